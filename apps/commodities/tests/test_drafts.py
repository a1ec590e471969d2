"""Drafts: created by one person, published by another, never changed afterwards."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, connections, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.approvals.tasks import expire_overdue
from apps.commodities.events import units as events
from apps.commodities.models.units import Unit, UnitDefinition
from apps.commodities.services import rules, units
from erp.access import SYSTEM
from erp.errors import SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
WHY = "The trade has agreed on another candy."
FIRST, LATER = date(2026, 1, 1), date(2027, 1, 1)


@pytest.fixture
def candy(db):
    return units.create_unit(
        actor=SYSTEM, code="CANDY", dimension=Unit.Dimension.MASS, symbol="candy", name="Candy"
    )


@pytest.fixture
def author(user):
    return user("INTERNAL_MASTERDATA")


@pytest.fixture
def manager(user):
    return user("INTERNAL_MANAGER")


@pytest.fixture
def draft(candy, author):
    """Draft a definition of the candy, by default 355.62 kg."""

    def make(start=FIRST, *, by=author, kilos="355.62", **fields):
        numerator, denominator = Decimal(kilos).as_integer_ratio()
        return units.draft_unit_definition(
            actor=by,
            **{
                "unit": candy,
                "numerator": Decimal(numerator),
                "denominator": Decimal(denominator),
                "source": "Trade convention",
                "valid_from": start,
                **fields,
            },
        )

    return make


def submit(row, by):
    units.submit_unit_definition(row, actor=by, reason=WHY)
    return request_of(row)


def request_of(row):
    return ApprovalRequest.objects.filter(subject_id=row.pk).latest("created_at")


def approve(request, by):
    approvals.approve(request, actor=by, subject_version=request.subject_version)


def again(row):
    return type(row).objects.get(pk=row.pk)


@pytest.fixture
def publish(draft, author, manager, deliver):
    """Bring a definition all the way."""

    def bring(*args, **fields):
        row = draft(*args, **fields)
        approve(submit(row, author), manager)
        deliver()
        return again(row)

    return bring


def edit(row, by, **fields):
    values = {"numerator", "denominator", "source", "valid_from", "valid_to"}
    current = {name: getattr(row, name) for name in values}
    return units.edit_unit_definition(row, actor=by, **{**current, **fields})


def test_one_person_drafts_and_another_publishes(draft, author, manager, deliver, assert_emitted):
    row = draft()
    assert (row.status, row.unit_version, row.version) == ("DRAFT", 1, 1)
    request = submit(row, author)
    assert again(row).status == "SUBMITTED"
    assert {"field": "numerator", "old": None, "new": "17781"} in request.diff
    assert again(row).status == "SUBMITTED"
    approve(request, manager)
    deliver()
    row = again(row)
    request.refresh_from_db()
    assert (row.status, row.valid_to, request.status) == ("PUBLISHED", None, "granted")
    assert_emitted(
        events.UNIT_DEFINITION.published,
        unit_definition_id=str(row.pk),
        code="CANDY",
        unit_version=1,
        version=row.version,
        valid_from="2026-01-01",
        valid_to=None,
    )


def test_authors_and_editors_cannot_approve_their_drafts_even_as_superusers(draft, user, manager):
    author, editor = user(), user("INTERNAL_MANAGER")
    row = draft(by=author)
    edit(row, editor, source="Trade convention in India")
    request = submit(again(row), user("INTERNAL_MASTERDATA"))
    for own in (author, editor):
        with pytest.raises(SelfApproval):
            approve(request, own)
    approve(request, manager)


def test_an_edit_after_submission_makes_the_approval_stale(draft, author, manager, deliver, emitted):
    row = draft()
    request = submit(row, author)
    edited = edit(again(row), author, source="Another source")
    assert edited.status == "DRAFT"
    assert len(emitted("unit_definition.returned")) == 1
    with pytest.raises(approvals.Stale):
        approve(ApprovalRequest.objects.get(pk=request.pk), manager)
    deliver()
    assert again(row).status == "DRAFT"
    assert len(emitted("unit_definition.returned")) == 1
    approve(submit(again(row), author), manager)
    deliver()
    assert (again(row).status, again(row).source) == ("PUBLISHED", "Another source")


def test_equal_values_change_nothing_and_leave_the_approval(draft, author, manager, emitted):
    row = draft()
    request = submit(row, author)
    edit(again(row), author, numerator=Decimal(35562), denominator=Decimal(100))
    assert again(row).status == "SUBMITTED"
    assert emitted("unit_definition.edited") == []
    approve(request, manager)


@pytest.mark.parametrize("end", ["refuse", "withdraw", "expire"])
def test_a_rejected_or_expired_submission_is_a_draft_again(
    draft, author, manager, deliver, assert_emitted, end
):
    row = draft()
    request = submit(row, author)
    if end == "refuse":
        approvals.reject(
            request,
            actor=manager,
            subject_version=request.subject_version,
            reason_code="not_justified",
            note="It is 355.56.",
        )
    elif end == "withdraw":
        approvals.withdraw(request, actor=author)
    else:
        with unguarded_writes():
            request.expires_at = request.created_at
            request.save()
        approvals.expire(request, actor=SYSTEM)
    deliver()
    assert again(row).status == "DRAFT"
    assert_emitted(events.UNIT_DEFINITION.returned, unit_definition_id=str(row.pk))
    edit(again(row), author, source="Another source")
    submit(again(row), author)


def test_only_a_draft_is_submitted_and_only_what_is_published_withdrawn(draft, publish, author):
    row = draft()
    with pytest.raises(rules.IllegalTransition):
        units.withdraw_unit_definition(row, actor=author, reason=WHY)
    submit(row, author)
    with pytest.raises(rules.IllegalTransition):
        submit(again(row), author)


def test_dates_are_in_order(draft):
    with pytest.raises(rules.LimitsInverted):
        draft(LATER, valid_to=FIRST)


def test_a_successor_ends_the_open_one_the_day_before(publish):
    first = publish(FIRST)
    second = publish(LATER, kilos="356")
    first = again(first)
    assert (first.status, first.valid_to) == ("PUBLISHED", date(2026, 12, 31))
    assert (second.unit_version, second.valid_to) == (2, None)
    on = UnitDefinition.objects.active().on
    assert [on(day).get().pk for day in (FIRST, date(2026, 12, 31), LATER)] == [
        first.pk,
        first.pk,
        second.pk,
    ]


@pytest.mark.parametrize("start", [FIRST, date(2025, 12, 31)])
def test_a_start_on_or_before_the_predecessors_is_refused(publish, draft, author, start):
    publish(FIRST)
    with pytest.raises(rules.Overlap):
        submit(draft(start), author)


def test_what_ended_before_the_first_may_be_published_later(publish):
    publish(FIRST)
    assert publish(date(2025, 1, 1), valid_to=date(2025, 12, 31)).status == "PUBLISHED"


def test_an_approval_is_of_what_was_open_then(publish, draft, author, manager, deliver):
    """Two successors at once: the second approval was of the end of a row that has ended by then."""
    publish(FIRST)
    one, two = draft(LATER), draft(date(2028, 1, 1), kilos="356")
    requests = [submit(row, author) for row in (one, two)]
    approve(requests[0], manager)
    with pytest.raises(approvals.Stale):
        approve(requests[1], manager)
    assert [again(row).status for row in (one, two)] == ["PUBLISHED", "SUBMITTED"]
    assert expire_overdue() == 1
    assert [again(row).status for row in (one, two)] == ["PUBLISHED", "DRAFT"]
    approve(submit(again(two), author), manager)
    deliver()
    assert again(one).valid_to == date(2027, 12, 31)


def test_the_end_of_a_row_voids_pending_requests(publish, author, manager, deliver):
    first = publish(FIRST)
    units.withdraw_unit_definition(first, actor=author, reason=WHY)
    publish(LATER)
    with pytest.raises(approvals.Stale):
        approve(request_of(first), manager)
    assert expire_overdue() == 1
    assert request_of(first).status == "stale"
    assert again(first).status == "PUBLISHED"


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_publications_of_overlapping_rows_one_is_published(draft, author, manager):
    rows = [draft(kilos=f"355.{10 + number}") for number in range(20)]
    requests = [submit(row, author) for row in rows]

    def publish(request):
        try:
            approve(request, manager)
        except approvals.Stale:
            pass
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(publish, requests))
    assert sorted(ApprovalRequest.objects.values_list("status", flat=True)) == ["granted"] + ["pending"] * 19
    assert expire_overdue() == 19
    statuses = sorted(UnitDefinition.objects.values_list("status", flat=True))
    assert statuses == ["DRAFT"] * 19 + ["PUBLISHED"]


def test_a_withdrawal_needs_the_approval_of_another_person(publish, user, manager, deliver, assert_emitted):
    row, asker = publish(), user("INTERNAL_MANAGER")
    units.withdraw_unit_definition(row, actor=asker, reason=WHY)
    assert again(row).status == "PUBLISHED"
    with pytest.raises(SelfApproval):
        approve(request_of(row), asker)
    approve(request_of(row), manager)
    deliver()
    assert again(row).status == "WITHDRAWN"
    assert not UnitDefinition.objects.active().on(FIRST).exists()
    assert_emitted(events.UNIT_DEFINITION.withdrawn, unit_definition_id=str(row.pk))


def test_a_refused_withdrawal_leaves_it_published(publish, author, deliver):
    row = publish()
    units.withdraw_unit_definition(row, actor=author, reason=WHY)
    approvals.withdraw(request_of(row), actor=author)
    deliver()
    assert again(row).status == "PUBLISHED"
    assert again(row).version == row.version


def test_nothing_published_is_edited(publish, author):
    row = publish()
    with pytest.raises(rules.IllegalTransition):
        edit(row, author, source="Another source")


@pytest.mark.parametrize(
    "change",
    [
        {"numerator": 356},
        {"source": "Another"},
        {"valid_from": date(2025, 1, 1)},
        {"status": "DRAFT"},
        {"editors": []},
    ],
)
def test_the_database_refuses_changes_of_published_rows(publish, change):
    row = publish()
    with (
        pytest.raises(IntegrityError, match="what was published stays"),
        transaction.atomic(),
        unguarded_writes(),
    ):
        UnitDefinition.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        row.delete()


def test_the_database_refuses_two_rows_effective_on_one_day(publish, candy):
    publish(FIRST, valid_to=LATER)
    with (
        pytest.raises(IntegrityError, match="unit_definition_no_overlap"),
        transaction.atomic(),
        unguarded_writes(),
    ):
        UnitDefinition(
            unit=candy,
            unit_version=2,
            numerator=356,
            denominator=1,
            source="CCI",
            valid_from=LATER,
            status="PUBLISHED",
        ).save()


def test_an_end_cannot_be_changed_once_set(publish):
    row = publish(FIRST, valid_to=LATER)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        UnitDefinition.objects.filter(pk=row.pk).update(valid_to=None)


def test_partners_see_no_draft_but_what_was_withdrawn(publish, draft, user):
    buyer = user("BUYER")
    row, waiting = publish(), draft(LATER)
    seen = UnitDefinition.objects.visible_to(buyer)
    assert set(seen) == {row}
    assert set(UnitDefinition.objects.visible_to(user("INTERNAL_MASTERDATA"))) == {row, waiting}


def test_staff_draft_and_submit_on_pages(candy, author, manager, staff_client_for, deliver):
    staff = staff_client_for(author)
    added = staff.fill(
        "/admin/commodity/unitdefinition/add/",
        unit=str(candy.pk),
        numerator="35562",
        denominator="100",
        source="Trade convention",
        valid_from="2026-01-01",
    )
    assert added.status_code == 302, added.content
    row = UnitDefinition.objects.get()
    assert (row.numerator, row.denominator) == (17781, 50)
    page = f"/admin/commodity/unitdefinition/{row.pk}/"
    assert staff.fill(f"{page}run/submit_unit_definition/", reason=WHY).status_code == 302
    assert again(row).status == "SUBMITTED"
    approve(request_of(row), manager)
    deliver()
    assert 'name="_save"' not in staff.get(f"{page}change/").content.decode()
    unit_page = staff.get(f"/admin/commodity/unit/{candy.pk}/change/").content.decode()
    assert f"/admin/commodity/unitdefinition/{row.pk}/change/" in unit_page


def test_drafting_needs_the_capability_to_manage_terms(draft, user):
    from erp.errors import CapabilityMissing

    with pytest.raises(CapabilityMissing):
        draft(by=user("INTERNAL_FINANCE"))
