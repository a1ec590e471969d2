"""Approval requests: another person decides, once, on the version that they reviewed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.approvals import capabilities, events, services, tasks
from apps.approvals.models import ApprovalDecision, ApprovalQuestion, ApprovalRequest
from apps.approvals.tests.examples import make_request
from apps.approvals.tests.kinds import COMMON, LIMIT, OFFER, RULE, TRADE, applied, ended
from config.testing import begin_session
from erp import access, clock
from erp.access import SYSTEM
from erp.approvals import ApprovalBand, ApprovalKind, Base, kinds
from erp.errors import CapabilityMissing, PreconditionFailed, ReauthenticationRequired, SelfApproval
from erp.models import unguarded_writes
from erp.services import service
from erp.testing import at_once

pytestmark = pytest.mark.django_db
SEEN = {"subject_version": 3}


@pytest.fixture
def decider(user):
    return lambda: user("INTERNAL_COMPLIANCE")


def again(request):
    return ApprovalRequest.objects.get(pk=request.pk)


def test_a_new_request_is_pending_and_emits_an_event(world, assert_emitted):
    request = make_request(world)
    assert (request.status, request.needed, request.given) == ("pending", 1, 0)
    assert request.excluded == [request.maker_id]
    assert timedelta(days=13) < request.expires_at - timezone.now() < timedelta(days=15)
    assert_emitted(
        events.ApprovalRequested,
        approval_id=str(request.pk),
        kind="test.rule",
        subject_type="rule",
        subject_version=3,
        needed=1,
        given=0,
    )


def test_the_capability_of_the_modules_own_service_suffices_to_open_a_request(user, commodity):
    from apps.commodities.services import commodities as commodities

    seller = user("SELLER")
    with pytest.raises(CapabilityMissing, match=r"approval\.request"):
        services.request(
            actor=seller, kind=RULE, subject_id=uuid4(), subject_version=1, reason="Ten characters."
        )

    def propose(*, actor):
        return services.request(
            actor=actor, kind=RULE, subject_id=uuid4(), subject_version=1, reason="Ten characters."
        )

    propose.__module__ = "apps.approvals.services"
    outer = service(requires=commodities.create.requires, emits=[events.ApprovalRequested])(propose)
    try:
        assert outer(actor=user("INTERNAL_MASTERDATA")).status == "pending"
    finally:
        from erp.services import registry

        del registry[outer.name]


def test_one_subject_has_one_pending_request(world):
    request = make_request(world)
    with pytest.raises(services.PendingExists):
        make_request(world, subject_id=request.subject_id)
    services.mark_stale(actor=SYSTEM, row_type="rule", row_id=request.subject_id)
    assert make_request(world, subject_id=request.subject_id, subject_version=4).status == "pending"


@pytest.mark.parametrize("reason", ["", "too short", " " * 40, "x" * 1001])
def test_a_request_needs_a_reason_of_ten_to_a_thousand_characters(world, reason):
    with pytest.raises(services.ReasonMissing):
        make_request(world, reason=reason)


def test_the_proposed_changes_are_stored_masked(world):
    request = make_request(
        world,
        diff=[
            ("account_number", "50100234567891", None),
            ("note", "PAN ABCPE1234F", "call +919876543210"),
            ("limit", Decimal("2500000.00"), Decimal("5000000.00")),
        ],
    )
    assert request.diff[0] == {"field": "account_number", "old": "[hidden]", "new": None}
    assert "ABCPE1234F" not in str(request.diff)
    assert "9876543210" not in str(request.diff)
    assert request.diff[2] == {"field": "limit", "old": "2500000.00", "new": "5000000.00"}


@pytest.mark.parametrize(
    ("amount", "needed", "role"),
    [
        (None, 1, None),
        ("2500000.00", 1, None),
        ("2500000.01", 2, None),
        ("10000000.00", 2, None),
        ("10000000.01", 2, "INTERNAL_DIRECTOR"),
    ],
)
def test_the_amount_determines_the_number_of_approvals_and_the_role(world, amount, needed, role):
    money = {} if amount is None else {"amount": Decimal(amount), "currency": "INR"}
    request = make_request(world, LIMIT, **money)
    assert (request.needed, request.decider_role, request.expires_at) == (needed, role, None)


def test_a_module_may_require_more_approvals_than_the_band(world):
    assert make_request(world, LIMIT, needed=3, decider_role="INTERNAL_DIRECTOR").needed == 3


def test_a_kind_is_declared_once_and_needs_one_to_three_approvals():
    with pytest.raises(ImproperlyConfigured, match="twice"):
        ApprovalKind(
            name="test.rule",
            title="Again",
            subject="rule",
            model="account.User",
            capability=capabilities.DECIDE,
        )
    for bands in ((), (ApprovalBand(needed=0),), (ApprovalBand(needed=4),)):
        with pytest.raises(ImproperlyConfigured, match="1 to 3"):
            ApprovalKind(**{**COMMON, "name": "test.bad", "title": "Bad", "subject": "rule", "bands": bands})
    assert "test.bad" not in kinds


def test_another_person_grants_it(world, decider, assert_emitted):
    request, who = make_request(world), decider()
    granted = services.approve(request, actor=who, **SEEN, note="Seen.")
    assert (granted.status, granted.given) == ("granted", 1)
    assert granted.people() == [request.maker_id, who.pk]
    decision = granted.decisions.get()
    assert (decision.decider, decision.decision, decision.seen_version, decision.note) == (
        who,
        "approve",
        3,
        "Seen.",
    )
    assert_emitted(events.ApprovalGranted, given=1, by=str(who.pk))


def test_one_rejection_refuses_it(world, decider, assert_emitted, emitted):
    request = make_request(world, LIMIT, needed=2)
    services.approve(request, actor=decider(), **SEEN)
    refused = services.reject(
        request, actor=decider(), **SEEN, reason_code="duplicate", note="A duplicate request."
    )
    assert (refused.status, refused.given) == ("refused", 1)
    assert_emitted(events.ApprovalRefused, given=1, needed=2)
    assert not emitted("approval.granted")


@pytest.mark.parametrize("verb", ["approve", "reject", "decide"])
def test_neither_requester_nor_editor_decides_whatever_their_role(world, user, verb):
    maker, editor = user("INTERNAL_COMPLIANCE"), user()  # user() without a role is a superuser
    request = make_request(world, OFFER if verb == "decide" else RULE, maker=maker, excluded=[editor.pk])
    more = {
        "approve": {},
        "reject": {"reason_code": "other", "note": "Ten characters."},
        "decide": {"decision": "approve"},
    }[verb]
    for person in (maker, editor):
        with pytest.raises(SelfApproval):
            getattr(services, verb)(request, actor=person, **SEEN, **more)
    superuser = user()
    own = make_request(world, OFFER if verb == "decide" else RULE, maker=superuser)
    with pytest.raises(SelfApproval):
        getattr(services, verb)(own, actor=superuser, **SEEN, **more)
    assert not ApprovalDecision.objects.exists()


def insert(request, decider, maker_id):
    """Insert a decision past the services."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO approval_approvaldecision (id, request_id, decider_id, maker_id, decision, seen_version,"
            " reason_code, note, created_at) VALUES (%s, %s, %s, %s, 'approve', 3, '', '', now())",
            [uuid4(), request.pk, decider.pk, maker_id],
        )


def test_the_database_refuses_decisions_of_excluded_users_too(world, user, decider):
    maker, editor = user("INTERNAL_COMPLIANCE"), user()
    request = make_request(world, maker=maker, excluded=[editor.pk])
    for person, copied in ((maker, maker.pk), (editor, maker.pk), (maker, None), (decider(), None)):
        with pytest.raises(IntegrityError):
            insert(request, person, copied)
    insert(request, decider(), maker.pk)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approval_approvalrequest SET excluded = excluded[2:] WHERE id = %s",
        "UPDATE approval_approvalrequest SET maker_id = NULL WHERE id = %s",
        "UPDATE approval_approvalrequest SET status = 'granted', decided_at = now() WHERE id = %s",
        "UPDATE approval_approvalrequest SET given = 4 WHERE id = %s",
        "UPDATE approval_approvaldecision SET decision = 'reject' WHERE request_id = %s",
        "DELETE FROM approval_approvaldecision WHERE request_id = %s",
    ],
)
def test_the_database_refuses_changes_of_exclusions_and_decisions(world, decider, statement):
    request = make_request(world, LIMIT, needed=2, excluded=[uuid4()])
    services.approve(request, actor=decider(), **SEEN)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, [request.pk])


def test_users_whom_the_kind_excludes_at_the_decision_cannot_decide(world, decider, monkeypatch):
    request, member = make_request(world), decider()
    monkeypatch.setitem(RULE.__dict__, "excludes", lambda request: [member.pk])
    with pytest.raises(SelfApproval):
        services.approve(request, actor=member, **SEEN)
    assert services.approve(request, actor=decider(), **SEEN).status == "granted"


def test_the_kinds_capability_is_required_and_named_in_the_problem(world, user):
    request = make_request(world)
    with pytest.raises(CapabilityMissing) as caught:
        services.approve(request, actor=user("INTERNAL_FINANCE"), **SEEN)
    assert caught.value.members == {"capability": "account.manage_users"}
    with pytest.raises(CapabilityMissing) as caught:
        services.approve(request, actor=user("INTERNAL"), **SEEN)
    assert caught.value.members == {"capability": "approval.decide"}


def test_the_role_of_the_request_is_required(world, user):
    request = make_request(world, LIMIT, amount=Decimal(20_000_000), currency="INR")
    with pytest.raises(services.RoleRequired):
        services.approve(request, actor=user("INTERNAL_COMPLIANCE"), **SEEN)
    director = user("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR")
    assert services.approve(request, actor=director, **SEEN).given == 1


def test_two_approvals_need_two_people(world, decider, emitted):
    request, first = make_request(world, LIMIT, needed=2), decider()
    assert services.approve(request, actor=first, **SEEN).status == "pending"
    with pytest.raises(services.AlreadyDecided):
        services.approve(request, actor=first, **SEEN)
    assert services.approve(request, actor=decider(), **SEEN).status == "granted"
    assert [row.payload["given"] for row in emitted() if row.event_type.startswith("approval.")] == [0, 1, 2]


@pytest.mark.parametrize("lost", ["rights", "activity", "independence"])
def test_an_earlier_approver_who_may_not_approve_any_more_no_longer_counts(world, decider, lost, monkeypatch):
    request, first = make_request(world, LIMIT, needed=2), decider()
    services.approve(request, actor=first, **SEEN)
    with unguarded_writes():
        if lost == "rights":
            first.groups.clear()
        elif lost == "activity":
            type(first).objects.filter(pk=first.pk).update(status="deactivated")
        else:
            monkeypatch.setitem(LIMIT.__dict__, "excludes", lambda request: [first.pk])
    second = services.approve(request, actor=decider(), **SEEN)
    assert (second.status, second.given) == ("pending", 1)
    third = services.approve(request, actor=decider(), **SEEN)
    assert (third.status, third.given) == ("granted", 2)


def test_an_edit_after_the_page_was_read_makes_the_request_stale(world, decider, assert_emitted):
    request = make_request(world)
    version = request.version
    services.mark_stale(actor=SYSTEM, row_type="rule", row_id=request.subject_id)
    with pytest.raises(PreconditionFailed):
        services.approve(request, actor=decider(), if_version=version, **SEEN)
    with pytest.raises(services.Stale):
        services.approve(request, actor=decider(), subject_version=4)
    assert_emitted(events.ApprovalStaled, approval_id=str(request.pk))


def test_a_decision_on_another_version_is_refused(world, decider):
    with pytest.raises(services.Stale):
        services.approve(make_request(world), actor=decider(), subject_version=2)


def test_an_ended_request_cannot_be_decided(world, decider):
    def refused(request, who):
        services.reject(request, actor=who, **SEEN, reason_code="other", note="Ten characters.")

    def overdue(request, who):
        with unguarded_writes():
            ApprovalRequest.objects.filter(pk=request.pk).update(expires_at=timezone.now())

    def expired(request, who):
        overdue(request, who)
        tasks.expire_overdue()
        assert again(request).status == "expired"

    def withdrawn(request, who):
        services.withdraw(request, actor=request.maker)

    for ending in (refused, overdue, expired, withdrawn):
        request = make_request(world)
        ending(request, decider())
        with pytest.raises(services.NotPending):
            services.approve(request, actor=decider(), **SEEN)
    request, who = make_request(world), decider()
    services.approve(request, actor=who, **SEEN)
    with pytest.raises(services.AlreadyDecided):
        services.approve(request, actor=who, **SEEN)
    with pytest.raises(services.NotPending):
        services.approve(request, actor=decider(), **SEEN)


def test_a_kind_decided_at_the_modules_endpoint_is_refused_here(world, decider):
    offer, trade = make_request(world, OFFER), make_request(world, TRADE)
    refusal = {"reason_code": "other", "note": "Ten characters."}
    for request in (offer, trade):
        with pytest.raises(services.DecidedElsewhere):
            services.approve(request, actor=decider(), **SEEN)
    with pytest.raises(services.DecidedElsewhere):
        services.reject(offer, actor=decider(), **SEEN, **refusal)
    assert services.reject(trade, actor=decider(), **SEEN, **refusal).status == "refused"
    assert services.decide(offer, actor=decider(), decision="approve", **SEEN).status == "granted"


def test_an_approval_at_a_modules_endpoint_needs_reauthentication_if_the_kind_requires_it(
    world, decider, monkeypatch
):
    kind = replace(OFFER, name="test.settlement", reauthenticate=True)
    monkeypatch.setitem(kinds, kind.name, kinds.pop(kind.name))  # declared for this test only
    request, refused, person = make_request(world, kind), make_request(world, kind), decider()
    person.current_session = session = begin_session(person)
    with pytest.raises(ReauthenticationRequired):
        services.decide(request, actor=person, decision="approve", **SEEN)
    assert (again(request).status, request.decisions.count()) == ("pending", 0)
    rejected = {"decision": "reject", "reason_code": "other", "note": "Ten characters."}
    assert services.decide(refused, actor=person, **rejected, **SEEN).status == "refused"
    session.reauthenticated_at = timezone.now()
    assert services.decide(request, actor=person, decision="approve", **SEEN).status == "granted"


def test_only_the_requester_withdraws_a_request(world, decider, assert_emitted):
    request = make_request(world)
    with pytest.raises(services.MakerOnly):
        services.withdraw(request, actor=world.user("INTERNAL"))
    assert services.withdraw(request, actor=request.maker).status == "withdrawn"
    assert_emitted(events.ApprovalWithdrawn, by=str(request.maker_id))
    with pytest.raises(services.NotPending):
        services.withdraw(request, actor=request.maker)


def test_an_undecided_request_expires_once(world, emitted):
    request, other = make_request(world), make_request(world)
    with unguarded_writes():
        ApprovalRequest.objects.filter(pk=request.pk).update(expires_at=timezone.now())
    assert tasks.expire_overdue() == 1
    assert tasks.expire_overdue() == 0
    services.expire(other, actor=SYSTEM)
    assert (again(request).status, again(other).status) == ("expired", "pending")
    assert len(emitted("approval.expired")) == 1


def test_a_decision_can_be_escalated_to_another_role(world, user, decider, assert_emitted):
    from erp.access import authorize

    request, who = make_request(world), decider()
    why = "A matter of policy."
    with pytest.raises(services.RoleUnfit):
        services.escalate(request, actor=who, role="INTERNAL_FINANCE", reason=why)
    services.escalate(request, actor=who, role="INTERNAL_COMPLIANCE", reason=why)
    assert_emitted(events.ApprovalEscalated, approval_id=str(request.pk))
    row = again(request)
    assert (row.decider_role, row.escalated_by, row.escalation_reason) == ("INTERNAL_COMPLIANCE", who, why)
    with pytest.raises(CapabilityMissing):
        services.escalate(request, actor=user("INTERNAL_FINANCE"), role="INTERNAL_COMPLIANCE", reason=why)
    authorize(who, capabilities.DECIDE, request)


def test_a_request_without_a_role_is_not_escalated_to_a_role_of_the_same_rank(world, user, monkeypatch):
    table = access.matrix()
    for role in ("INTERNAL_FINANCE", "INTERNAL_MANAGER", "INTERNAL_DIRECTOR"):
        table[role] |= {"account.manage_users", "approval.decide"}
    monkeypatch.setattr(access, "matrix", lambda: table)
    request, who, why = make_request(world), user("INTERNAL_COMPLIANCE"), "A matter of policy."
    for role in ("INTERNAL_FINANCE", "INTERNAL_MANAGER"):
        with pytest.raises(services.RoleUnfit):
            services.escalate(request, actor=who, role=role, reason=why)
    assert again(request).decider_role is None
    services.escalate(request, actor=who, role="INTERNAL_DIRECTOR", reason=why)
    assert again(request).decider_role == "INTERNAL_DIRECTOR"


@pytest.fixture
def calls():
    applied.clear()
    ended.clear()
    return SimpleNamespace(applied=applied, ended=ended)


def test_the_last_approval_applies_the_change_with_the_approver_as_actor(world, decider, calls):
    request, first, last = make_request(world, LIMIT, needed=2), decider(), decider()
    services.approve(request, actor=first, **SEEN)
    assert calls.applied == []
    services.approve(request, actor=last, **SEEN)
    [(subject, actor, about)] = calls.applied
    assert (subject.pk, actor, about.pk) == (request.subject_id, last, request.pk)
    assert calls.ended == []


def test_an_error_of_the_change_leaves_the_request_unchanged(world, decider, monkeypatch, emitted):
    request, who = make_request(world), decider()

    def fail(subject, *, actor, request):
        raise services.AlreadyDecided("The change is refused.")

    monkeypatch.setitem(RULE.__dict__, "apply", fail)
    with pytest.raises(services.AlreadyDecided):
        services.approve(request, actor=who, **SEEN)
    assert (again(request).status, again(request).given) == ("pending", 0)
    assert not ApprovalDecision.objects.exists()
    assert not emitted("approval.granted")


def test_the_end_of_a_request_calls_its_module_in_the_same_transaction(world, decider, calls, monkeypatch):
    refused, withdrawn, expired, overtaken, edited = (make_request(world) for _ in range(5))
    services.reject(refused, actor=decider(), **SEEN, reason_code="other", note="Ten characters.")
    services.withdraw(withdrawn, actor=withdrawn.maker)
    with unguarded_writes():
        ApprovalRequest.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
        ApprovalRequest.objects.filter(pk=overtaken.pk).update(subject_version=2)
    services.mark_stale(actor=SYSTEM, row_type="rule", row_id=edited.subject_id)
    assert tasks.expire_overdue() == 2
    assert [(subject.pk, status) for subject, status in calls.ended] == [
        (refused.subject_id, "refused"),
        (withdrawn.subject_id, "withdrawn"),
        (expired.subject_id, "expired"),
        (overtaken.subject_id, "stale"),
    ]
    assert (again(overtaken).status, again(edited).status) == ("stale", "stale")
    assert calls.applied == []


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_changed_base_is_found_at_the_decision_and_marked_by_the_periodic_task(
    world, decider, monkeypatch, emitted, verb
):
    base = Base("policy", uuid4(), 7)
    monkeypatch.setitem(RULE.__dict__, "base_of", lambda subject: base._replace(version=8))
    request = make_request(world, base=base)
    more = {"reason_code": "other", "note": "Ten characters."} if verb == "reject" else {}
    with pytest.raises(services.Stale):
        getattr(services, verb)(request, actor=decider(), **SEEN, **more)
    assert again(request).status == "pending"
    assert tasks.expire_overdue() == 1
    assert again(request).status == "stale"
    assert len(emitted("approval.staled")) == 1


def test_the_periodic_task_continues_after_a_request_that_fails(world, monkeypatch):
    fails, over = make_request(world), make_request(world, LIMIT)
    with unguarded_writes():
        ApprovalRequest.objects.all().update(expires_at=timezone.now())

    def fail(subject, *, actor, request):
        raise RuntimeError

    monkeypatch.setitem(RULE.__dict__, "ended", fail)
    assert tasks.expire_overdue() == 1
    assert (again(fails).status, again(over).status) == ("pending", "expired")


def test_requester_approvers_and_readers_of_the_trail_see_a_request(world, user):
    request = make_request(world)
    for sees, person in (
        (True, request.maker),
        (True, user("INTERNAL_COMPLIANCE")),
        (True, user("AUDITOR")),
        (True, user("INTERNAL_DIRECTOR")),
        (True, user()),
        (True, SYSTEM),
        (False, user("INTERNAL_FINANCE")),
        (False, user("INTERNAL")),
        (False, user("SELLER")),
    ):
        assert ApprovalRequest.objects.visible_to(person).filter(pk=request.pk).exists() is sees, person


def test_pending_approvals_exclude_own_and_already_decided_requests(world, decider, user):
    me = decider()
    own, decided, waits = (
        make_request(world, maker=me),
        make_request(world, LIMIT, needed=2),
        make_request(world),
    )
    services.approve(decided, actor=me, **SEEN)
    directors = make_request(world, LIMIT, amount=Decimal(20_000_000), currency="INR")
    over = make_request(world)
    with unguarded_writes():
        ApprovalRequest.objects.filter(pk=over.pk).update(expires_at=timezone.now())

    def waiting(person):
        return set(ApprovalRequest.objects.to_decide(person))

    assert waiting(me) == {waits}
    assert waiting(user()) == {own, decided, waits, directors}
    assert waiting(user("INTERNAL")) == set()


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_approvals_of_one_person_are_one_decision(world, decider, emitted):
    request, who = make_request(world, LIMIT, needed=2), decider()
    results = at_once(*[lambda: services.approve(request, actor=who, **SEEN)] * 20)
    assert sum(isinstance(result, services.AlreadyDecided) for result in results) == 19
    assert (again(request).given, ApprovalDecision.objects.count()) == (1, 1)
    assert len(emitted("approval.endorsed")) == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_approvals_one_grants_where_one_is_needed(world, decider, emitted):
    request = make_request(world)
    people = [decider(), decider()]
    results = at_once(*[lambda who=who: services.approve(request, actor=who, **SEEN) for who in people])
    assert sum(isinstance(result, services.NotPending) for result in results) == 1
    assert (again(request).status, ApprovalDecision.objects.count()) == ("granted", 1)
    assert len(emitted("approval.granted")) == 1


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_approvals_grant_where_two_are_needed(world, decider, emitted):
    request = make_request(world, LIMIT, needed=2)
    people = [decider(), decider()]
    at_once(*[lambda who=who: services.approve(request, actor=who, **SEEN) for who in people])
    assert (again(request).status, again(request).given) == ("granted", 2)
    assert len(emitted("approval.granted")) == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_for_one_subject_create_one(world):
    subject, maker = uuid4(), world.user("INTERNAL")
    results = at_once(*[lambda: make_request(world, maker=maker, subject_id=subject)] * 5)
    assert sum(isinstance(result, ApprovalRequest) for result in results) == 1
    assert all(isinstance(r, ApprovalRequest | services.PendingExists | IntegrityError) for r in results)


WHY = "Which contract asks for the new figure?"


def test_an_approver_asks_and_the_requester_answers_once(world, decider, assert_emitted):
    request, who = make_request(world), decider()
    services.ask(request, actor=who, question=WHY, due_date=clock.today())
    assert_emitted(events.ApprovalQuestioned, approval_id=str(request.pk), by=str(who.pk))
    assert {"answer"} == again(request).open_verbs() & {"ask", "answer"}
    with pytest.raises(services.QuestionOpen):
        services.ask(request, actor=decider(), question=WHY)
    for stranger in (who, SYSTEM):
        with pytest.raises(services.MakerOnly):
            services.answer(request, actor=stranger, answer="None.")
    services.answer(request, actor=request.maker, answer="That of Kovai Spinners.")
    assert_emitted(events.ApprovalAnswered, approval_id=str(request.pk), by=str(request.maker_id))
    (question,) = again(request).questions.all()
    assert (question.asked_by, question.answered_by, question.answer) == (
        who, request.maker, "That of Kovai Spinners.",
    )  # fmt: skip
    with pytest.raises(services.NoQuestion):
        services.answer(request, actor=request.maker, answer="Again.")
    assert services.approve(request, actor=who, **SEEN).status == "granted"
    with pytest.raises(services.NotPending):
        services.ask(request, actor=who, question=WHY)


def test_nobody_asks_about_their_own_request_or_one_of_the_system_or_by_yesterday(world, decider):
    who = decider()
    with pytest.raises(SelfApproval):
        services.ask(make_request(world, maker=who), actor=who, question=WHY)
    with pytest.raises(services.NobodyToAsk):
        services.ask(make_request(world, maker=None), actor=who, question=WHY)
    with pytest.raises(services.DecidedElsewhere):
        services.ask(make_request(world, OFFER), actor=who, question=WHY)
    with pytest.raises(services.PastDate):
        services.ask(make_request(world), actor=who, question=WHY, due_date=clock.today() - timedelta(days=1))


def test_the_database_changes_no_question_and_no_answer(world, decider):
    request, who = make_request(world), decider()
    services.ask(request, actor=who, question=WHY)
    question = ApprovalQuestion.objects.get()
    for change in ({"question": "Another one?"}, {"answer": "Mine.", "answered_by": who}):
        with unguarded_writes(), pytest.raises(IntegrityError), transaction.atomic():
            ApprovalQuestion.objects.filter(pk=question.pk).update(**change)
    services.answer(request, actor=request.maker, answer="That of Kovai Spinners.")
    with unguarded_writes(), pytest.raises(IntegrityError), transaction.atomic():
        ApprovalQuestion.objects.filter(pk=question.pk).update(answer="Another.")
    with unguarded_writes(), pytest.raises(IntegrityError), transaction.atomic():
        ApprovalQuestion.objects.filter(pk=question.pk).delete()
