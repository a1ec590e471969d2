"""Notices to approvers and requesters."""

import pytest

from apps.accounts.services import rights
from apps.approvals import services
from apps.approvals.tests.examples import make_request
from apps.approvals.tests.kinds import LIMIT, OFFER
from apps.notifications import services as notifications
from apps.notifications.models import Message
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
SEEN = {"subject_version": 3}


def messages_with_code(code):
    return {message.user_id for message in Message.objects.filter(code=code)}


def test_only_users_who_may_decide_are_notified(world, user, deliver):
    decider, director = user("INTERNAL_COMPLIANCE"), user("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR")
    editor = user("INTERNAL_COMPLIANCE")
    for role in ("INTERNAL_FINANCE", "INTERNAL", "AUDITOR", "SELLER"):
        user(role)
    make_request(world, maker=user("INTERNAL_COMPLIANCE"), excluded=[editor.pk])
    deliver()
    assert messages_with_code("approval_waiting") == {decider.pk, director.pk}
    request = make_request(world, LIMIT, needed=2, decider_role="INTERNAL_DIRECTOR")
    deliver()
    about = Message.objects.filter(context={"approval_id": str(request.pk)})
    assert {message.user_id for message in about} == {director.pk}


def test_super_administrators_and_users_with_single_grants_are_notified_too(world, user, deliver):
    head, granted, boss = user(), user("INTERNAL"), user("INTERNAL_COMPLIANCE")
    request = make_request(world)
    for capability in ("approval.decide", request.capability):
        change = rights.propose_grant(
            granted, actor=boss, capability=capability, operation="add", reason="Deputises this week."
        )
        rights.apply_capability_change(change, actor=SYSTEM)
    deliver()
    assert {head.pk, granted.pk} <= {
        message.user_id for message in Message.objects.filter(context={"approval_id": str(request.pk)})
    }


def test_the_mail_links_to_the_request_and_is_not_sent_after_the_decision(world, user, deliver):
    notifications.load_templates(actor=SYSTEM)
    deciders = [user("INTERNAL_COMPLIANCE") for _ in range(2)]
    request = make_request(world)
    deliver()
    first, second = Message.objects.filter(code="approval_waiting").order_by("pk")
    rendered = first.render()
    assert f"/admin/approval/approvalrequest/{request.pk}/change/" in rendered.body
    assert rendered.address in {person.email for person in deciders}
    assert first.not_after == request.expires_at
    services.approve(request, actor=deciders[0], **SEEN)
    for message in (first, second):
        with pytest.raises(Exception, match="over"):
            message.render()


def test_the_requester_is_notified_of_the_outcome(world, user, deliver):
    notifications.load_templates(actor=SYSTEM)
    granted, refused, withdrawn = make_request(world), make_request(world), make_request(world)
    services.approve(granted, actor=user("INTERNAL_COMPLIANCE"), **SEEN)
    services.reject(
        refused, actor=user("INTERNAL_COMPLIANCE"), **SEEN, reason_code="other", note="Ten characters."
    )
    services.withdraw(withdrawn, actor=withdrawn.maker)
    deliver()
    assert messages_with_code("approval_decided") == {granted.maker_id, refused.maker_id}
    bodies = [message.render().body for message in Message.objects.filter(code="approval_decided")]
    assert sum("is now granted" in body for body in bodies) == 1
    assert sum("is now refused" in body for body in bodies) == 1


def test_requests_decided_at_the_modules_endpoint_cause_no_notices(world, user, deliver):
    request = make_request(world, OFFER)
    user("INTERNAL_COMPLIANCE")
    deliver()
    services.decide(request, actor=user("INTERNAL_COMPLIANCE"), decision="approve", **SEEN)
    deliver()
    assert not Message.objects.filter(code__startswith="approval_").exists()


def test_a_question_notifies_the_requester_and_its_answer_whoever_asked(world, user, deliver):
    notifications.load_templates(actor=SYSTEM)
    request, approver = make_request(world), user("INTERNAL_COMPLIANCE")
    services.ask(request, actor=approver, question="Which contract asks for the new figure?")
    deliver()
    (question,) = Message.objects.filter(code="approval_questioned")
    assert question.user == request.maker
    assert f"/admin/approval/approvalrequest/{request.pk}/change/" in question.render().body
    services.answer(request, actor=request.maker, answer="That of Kovai Spinners.")
    deliver()
    assert messages_with_code("approval_answered") == {approver.pk}
    with pytest.raises(Exception, match="over"):
        question.render()
