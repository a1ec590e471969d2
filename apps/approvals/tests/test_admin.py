"""Pending approvals in the staff portal, decided by the same services as over the API."""

import pytest
from django.urls import reverse
from django.utils.http import urlencode

from apps.approvals.models import ApprovalDecision, ApprovalRequest
from apps.approvals.tests.examples import make_request
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
def staff(user, staff_client_for):
    found = staff_client_for(me := user("INTERNAL_COMPLIANCE"))
    found.person = me
    return found


def test_the_home_page_counts_the_pending_approvals_of_the_user(world, staff):
    make_request(world, maker=staff.person)
    text = staff.get("/admin/").content.decode()
    assert "Changes to approve" in text
    assert QUEUE.replace("&", "&amp;") in text
    make_request(world)
    [queue] = [q for q in staff.get("/admin/").context["queues"] if q.title == "Changes to approve"]
    assert queue.waiting == "1"


def test_the_home_page_names_requests_to_decide_and_ones_own(world, staff):
    own, other = make_request(world, maker=staff.person), make_request(world)
    tasks = {task.url: task.text for task in staff.get("/admin/").context["tasks"]}
    assert tasks == {
        page(own): "waits for another person's approval",
        page(other): "waits for your decision",
    }


def test_the_history_of_a_row_shows_the_requests_about_it(world, staff):
    request = make_request(world)
    staff.fill(run(request, "reject"), **REFUSAL)
    address = reverse("admin:account_user_history", args=[request.subject_id])
    (table,) = (each for each in staff.get(address).context["tables"] if each.title == "Approvals")
    (line,) = table.rows
    assert page(request) in line[1]
    assert (line[3], line[4]) == ("Refused", f"{staff.person}: Reject")


def test_the_queue_lists_pending_requests_oldest_first_and_own_ones_under_their_filter(world, staff):
    own, first, second = (
        make_request(world, maker=staff.person),
        make_request(world),
        make_request(world, LIMIT),
    )
    assert list(staff.get(QUEUE).context["cl"].result_list) == [first, second]
    assert list(staff.get(f"{LIST}?for_me=made").context["cl"].result_list) == [own]
    assert list(staff.get(LIST).context["cl"].result_list) == [own, first, second]


def test_the_page_shows_the_proposed_changes_and_links_to_the_neighbours(world, staff):
    rows = [make_request(world) for _ in range(3)]
    make_request(world, LIMIT)
    filters = {"_changelist_filters": "status=pending&kind=test.rule"}
    text = staff.get(page(rows[1]), filters).content.decode()
    assert "5.00" in text
    assert "6.50" in text
    for rel, row in (("prev", rows[0]), ("next", rows[2])):
        link = f"{page(row)}?{urlencode(filters)}"
        assert f'rel="{rel}"' in text
        assert f'href="{link}"' in text
    last = staff.get(page(rows[2]), filters).content.decode()
    assert 'rel="next"' not in last
    assert 'rel="next"' in staff.get(page(rows[2])).content.decode()


def test_a_decision_is_stored_once_with_its_reason_and_the_version_shown(world, staff):
    request = make_request(world)
    form = staff.form(run(request, "reject"))
    assert form["subject_version"] == ["3"]
    for _ in range(2):
        assert staff.post(run(request, "reject"), {**form, **REFUSAL}).status_code == 302
    decision = ApprovalDecision.objects.get()
    assert (decision.decider, decision.reason_code, decision.note) == (
        staff.person,
        "not_justified",
        "The figure of last year still holds.",
    )
    assert again(request).status == "refused"
    shown = staff.get(page(request)).content.decode()
    assert "The figure of last year still holds." in shown
    assert run(request, "approve") not in shown


def test_a_refusal_without_a_reason_changes_nothing(world, staff):
    request = make_request(world)
    answer = staff.fill(run(request, "reject"), reason_code="", note="no")
    assert answer.status_code == 400
    assert set(answer.context["errors"]) >= {"reason_code", "note"}
    assert again(request).status == "pending"


def test_an_outdated_page_decides_nothing(world, staff):
    request = make_request(world)
    form = staff.form(run(request, "approve"))
    from apps.approvals import services
    from erp.access import SYSTEM

    services.mark_stale(actor=SYSTEM, row_type="rule", row_id=request.subject_id)
    assert staff.post(run(request, "approve"), form).status_code == 412
    assert not ApprovalDecision.objects.exists()


def test_requesters_cannot_decide_on_their_own_requests_even_by_a_forged_post(
    world, staff, staff_client_for, user
):
    superuser = user()
    for person, client in ((staff.person, staff), (superuser, staff_client_for(superuser))):
        request = make_request(world, maker=person)
        shown = client.get(page(request)).content.decode()
        assert "You created or edited this request" in shown
        assert run(request, "approve") not in shown
        assert run(request, "withdraw") in shown
        form = client.form(run(request, "approve"))
        answer = client.post(run(request, "approve"), form)
        assert answer.status_code == 403
        assert "another person must" in answer.content.decode()
        assert again(request).status == "pending"
        assert client.fill(run(request, "withdraw")).status_code == 302
        assert again(request).status == "withdrawn"


def test_a_missing_capability_is_named_and_a_kind_decided_elsewhere_has_no_actions(
    world, staff, staff_client_for, user
):
    request = make_request(world)
    director = staff_client_for(user("INTERNAL_DIRECTOR"))
    assert "You need the capability account.manage_users." in director.get(page(request)).content.decode()
    elsewhere = staff.get(page(make_request(world, OFFER))).content.decode()
    assert "/run/approve/" not in elsewhere


def test_a_request_is_escalated_to_another_role_with_a_reason(world, staff):
    request = make_request(world)
    answer = staff.fill(run(request, "escalate"), role="INTERNAL_COMPLIANCE", reason="A matter of policy.")
    assert answer.status_code == 302
    assert again(request).decider_role == "INTERNAL_COMPLIANCE"


def test_decisions_stand_in_one_place_beside_the_record(world, staff, staff_client_for):
    request = make_request(world, subject_id=(subject := world.user("SELLER")).pk)
    answer = staff.get(page(request))
    assert [each.verb.name for each in answer.context["panel"]] == [
        "approve", "reject", "ask", "escalate", "withdraw",
    ]  # fmt: skip
    assert [bool(each.form) for each in answer.context["panel"]] == [True, True, True, True, False]
    assert answer.context["verbs"] == []
    assert "/run/" not in staff.get(LIST).content.decode()
    titles = [table.title for table in answer.context["tables"]]
    assert titles == ["Proposed changes", "Record as it is now", "Decisions"]
    text = answer.content.decode()
    assert f'action="{run(request, "reject")}"' in text
    assert text.count('id="approve_note"') == text.count('id="reject_note"') == 1
    sent = {"question": "Which contract asks for it?", "due_date": ""}
    assert staff.fill(run(request, "ask"), **sent).status_code == 302
    assert "Which contract asks for it?" in staff.get(page(request)).content.decode()
    maker = staff_client_for(request.maker)
    shown = {each.verb.name: each.verb.disabled_reason for each in maker.get(page(request)).context["panel"]}
    assert (shown["answer"], bool(shown["approve"])) == ("", True)
    assert maker.fill(run(request, "answer"), answer="That of Kovai Spinners.").status_code == 302
    assert "That of Kovai Spinners." in staff.get(page(request)).content.decode()
    assert str(subject) in text


def test_the_list_names_the_record_and_finds_it_and_shows_pending_requests_first(world, staff):
    decided, other = make_request(world), make_request(world)
    staff.fill(run(decided, "reject"), **REFUSAL)
    assert list(staff.get(LIST).context["cl"].result_list) == [other, again(decided)]
    assert other.subject_name in staff.get(LIST).content.decode()
    found = staff.get(f"{LIST}?{urlencode({'q': other.subject_name[:-1]})}").context["cl"].result_list
    assert other in list(found)


def test_an_auditor_sees_every_request_and_no_actions(world, staff_client_for, user):
    request = make_request(world)
    staff = staff_client_for(user("AUDITOR"))
    shown = staff.get(page(request)).content.decode()
    assert "Percentage" in shown
    assert "/run/" not in shown
    answer = staff.post(run(request, "approve"), {"_key": "a" * 20, "_version": "1", "subject_version": "3"})
    assert answer.status_code == 403


def test_a_list_costs_the_same_queries_for_one_row_and_for_many(world, staff):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    make_request(world)
    staff.get(LIST)
    with CaptureQueriesContext(connection) as few:
        staff.get(LIST)
    for _ in range(5):
        make_request(world)
    with CaptureQueriesContext(connection) as many:
        assert len(staff.get(LIST).context["cl"].result_list) == 6
    assert len(many) == len(few) <= 25
