"""The second person's queue: looked at one by one, decided by the same services."""

import pytest
from django.urls import reverse
from django.utils.http import urlencode

from apps.approvals.models import ApprovalDecision, ApprovalRequest
from apps.approvals.tests.examples import asked
from apps.approvals.tests.kinds import LIMIT, OFFER

pytestmark = pytest.mark.django_db
LIST = "/admin/approval/approvalrequest/"
QUEUE = f"{LIST}?status=pending&for_me=True"
REFUSAL = {"reason_code": "not_justified", "note": "The figure of last year still holds."}


def page(request):
    return reverse("admin:approval_approvalrequest_change", args=[request.pk])


def run(request, verb):
    return reverse("admin:approval_approvalrequest_run", args=[request.pk, verb])


def again(request):
    return ApprovalRequest.objects.get(pk=request.pk)


@pytest.fixture
def desk(user, desk_for):
    found = desk_for(me := user("INTERNAL_COMPLIANCE"))
    found.person = me
    return found


def test_the_home_page_counts_what_waits_for_the_person(world, desk):
    asked(world, maker=desk.person)
    text = desk.get("/admin/").content.decode()
    assert "Second person" in text
    assert QUEUE.replace("&", "&amp;") in text
    asked(world)
    [queue] = [q for q in desk.get("/admin/").context["queues"] if q.title == "Second person"]
    assert queue.waiting == "1"


def test_the_queue_lists_what_waits_oldest_first_and_its_own_makers_under_their_filter(world, desk):
    own, first, second = asked(world, maker=desk.person), asked(world), asked(world, LIMIT)
    assert list(desk.get(QUEUE).context["cl"].result_list) == [first, second]
    assert list(desk.get(f"{LIST}?for_me=made").context["cl"].result_list) == [own]
    assert list(desk.get(LIST).context["cl"].result_list) == [own, first, second]


def test_the_page_shows_what_would_change_and_leads_to_its_neighbours(world, desk):
    rows = [asked(world) for _ in range(3)]
    asked(world, LIMIT)
    kept = {"_changelist_filters": "status=pending&kind=test.rule"}
    text = desk.get(page(rows[1]), kept).content.decode()
    assert "5.00" in text
    assert "6.50" in text
    for rel, row in (("prev", rows[0]), ("next", rows[2])):
        link = f"{page(row)}?{urlencode(kept)}"
        assert f'rel="{rel}"' in text
        assert f'href="{link}"' in text
    last = desk.get(page(rows[2]), kept).content.decode()
    assert 'rel="next"' not in last
    assert 'rel="next"' in desk.get(page(rows[2])).content.decode()


def test_a_decision_is_given_once_with_its_reason_on_the_version_shown(world, desk):
    request = asked(world)
    form = desk.form(run(request, "reject"))
    assert form["subject_version"] == ["3"]
    for _ in range(2):
        assert desk.post(run(request, "reject"), {**form, **REFUSAL}).status_code == 302
    voice = ApprovalDecision.objects.get()
    assert (voice.decider, voice.reason_code, voice.note) == (
        desk.person,
        "not_justified",
        "The figure of last year still holds.",
    )
    assert again(request).status == "refused"
    shown = desk.get(page(request)).content.decode()
    assert "The figure of last year still holds." in shown
    assert run(request, "approve") not in shown


def test_a_refusal_without_a_reason_changes_nothing(world, desk):
    request = asked(world)
    answer = desk.fill(run(request, "reject"), reason_code="", note="no")
    assert answer.status_code == 400
    assert set(answer.context["errors"]) >= {"reason_code", "note"}
    assert again(request).status == "pending"


def test_a_page_that_was_overtaken_decides_nothing(world, desk):
    request = asked(world)
    form = desk.form(run(request, "approve"))
    from apps.approvals import services
    from erp.access import SYSTEM

    services.mark_stale(actor=SYSTEM, row_type="rule", row_id=request.subject_id)
    assert desk.post(run(request, "approve"), form).status_code == 412
    assert not ApprovalDecision.objects.exists()


def test_nobody_decides_on_their_own_work_not_by_a_forged_post_either(world, desk, desk_for, user):
    superuser = user()
    for person, its_desk in ((desk.person, desk), (superuser, desk_for(superuser))):
        request = asked(world, maker=person)
        shown = its_desk.get(page(request)).content.decode()
        assert "You created or edited this request" in shown
        assert run(request, "approve") not in shown
        assert run(request, "withdraw") in shown
        form = its_desk.form(run(request, "approve"))
        answer = its_desk.post(run(request, "approve"), form)
        assert answer.status_code == 403
        assert "approval.self" in answer.content.decode()
        assert again(request).status == "pending"
        assert its_desk.fill(run(request, "withdraw")).status_code == 302
        assert again(request).status == "withdrawn"


def test_a_missing_right_is_named_and_a_kind_decided_elsewhere_offers_nothing(world, desk, desk_for, user):
    request = asked(world)
    director = desk_for(user("INTERNAL_DIRECTOR"))
    assert "You need the capability account.manage_users." in director.get(page(request)).content.decode()
    elsewhere = desk.get(page(asked(world, OFFER))).content.decode()
    assert "Approve" not in elsewhere


def test_a_request_is_left_to_another_role_with_a_reason(world, desk):
    request = asked(world)
    answer = desk.fill(run(request, "escalate"), role="INTERNAL_COMPLIANCE", reason="A matter of policy.")
    assert answer.status_code == 302
    assert again(request).decider_role == "INTERNAL_COMPLIANCE"


def test_an_auditor_sees_everything_and_is_offered_nothing(world, desk_for, user):
    request = asked(world)
    desk = desk_for(user("AUDITOR"))
    shown = desk.get(page(request)).content.decode()
    assert "percentage" in shown
    assert "/run/" not in shown
    answer = desk.post(run(request, "approve"), {"_key": "a" * 20, "_version": "1", "subject_version": "3"})
    assert answer.status_code == 403


def test_a_list_costs_the_same_queries_for_one_row_and_for_many(world, desk):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    asked(world)
    desk.get(LIST)
    with CaptureQueriesContext(connection) as few:
        desk.get(LIST)
    for _ in range(5):
        asked(world)
    with CaptureQueriesContext(connection) as many:
        assert len(desk.get(LIST).context["cl"].result_list) == 6
    assert len(many) == len(few) <= 25
