"""Financial years: shape, order, closing, and reopening with an approval."""

import threading
from datetime import date

import pytest
from django.db import IntegrityError, connection, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.organization import events
from apps.organization.models import FinancialYear, Organization, lacks_financial_year, months_after
from apps.organization.services import rules
from apps.organization.services import years as years_services
from apps.organization.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
REASON = "The auditors found a missing entry."


def move(year, status, actor=SYSTEM, **fields):
    year.refresh_from_db()
    dates = {"start_date": year.start_date, "end_date": year.end_date}
    return years_services.update_financial_year(year, actor=actor, **{**dates, "status": status, **fields})


@pytest.fixture
def past(organization):
    """An organization with two years that have ended, and a series in each."""
    made = organization()
    factories.year(made, date(2023, 4, 1))
    factories.series(made)
    factories.year(made, date(2024, 4, 1))
    return made


def years(organization):
    return list(organization.financial_years.order_by("start_date"))


@pytest.mark.parametrize(
    ("start", "end", "fits"),
    [
        (date(2026, 4, 1), date(2027, 3, 31), True),
        (date(2026, 6, 15), date(2027, 3, 31), True),
        (date(2026, 1, 1), date(2027, 3, 31), True),
        (date(2025, 12, 31), date(2027, 3, 31), False),
        (date(2026, 4, 1), date(2027, 3, 30), False),
        (date(2027, 4, 1), date(2027, 3, 31), False),
        (date(2026, 4, 1), date(2028, 3, 31), False),
    ],
)
def test_a_first_year_ends_in_march_and_lasts_up_to_fifteen_months(organization, start, end, fits):
    company = organization()
    if fits:
        year = years_services.add_financial_year(company, actor=SYSTEM, start_date=start, end_date=end)
        assert year.code == "2627"
    else:
        with pytest.raises(years_services.FinancialYearShape):
            years_services.add_financial_year(company, actor=SYSTEM, start_date=start, end_date=end)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (date(2025, 5, 1), date(2026, 3, 31), years_services.FinancialYearShape),
        (date(2024, 4, 1), date(2025, 3, 31), years_services.FinancialYearOverlap),
        (date(2026, 4, 1), date(2027, 3, 31), years_services.FinancialYearGap),
        (date(2025, 4, 1), date(2026, 3, 31), None),
        (date(2022, 4, 1), date(2023, 3, 31), None),
        (date(2021, 4, 1), date(2022, 3, 31), years_services.FinancialYearGap),
    ],
)
def test_years_must_follow_each_other_without_a_gap(past, start, end, problem):
    if problem is None:
        assert years_services.add_financial_year(past, actor=SYSTEM, start_date=start, end_date=end).pk
    else:
        with pytest.raises(problem):
            years_services.add_financial_year(past, actor=SYSTEM, start_date=start, end_date=end)


def test_the_database_itself_refuses_an_overlap(past):
    fields = {"organization": past, "status": "open"}
    with (
        unguarded_writes(),
        pytest.raises(IntegrityError, match="financial_year_no_overlap"),
        transaction.atomic(),
    ):
        FinancialYear(**fields, code="9999", start_date=date(2025, 3, 31), end_date=date(2026, 3, 31)).save()
    with unguarded_writes():
        FinancialYear(**fields, code="9999", start_date=date(2025, 4, 1), end_date=date(2026, 3, 31)).save()


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_overlapping_years_is_refused(organization, user, client_for):
    company = organization()
    clients = [client_for(user("INTERNAL_FINANCE", organization_id=company.pk)) for _ in range(2)]
    bodies = [
        {"start_date": "2026-04-01", "end_date": "2027-03-31"},
        {"start_date": "2026-01-01", "end_date": "2027-03-31"},
    ]
    gate, answers = threading.Barrier(2), []

    def send(client, body):
        try:
            gate.wait(30)
            answers.append(client.write(f"/api/v1/organizations/{company.pk}/financial-years", body))
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, bodies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "organization.financial_year_overlap"
    assert company.financial_years.count() == 1


def test_a_new_year_copies_the_active_series_of_the_one_before(past, emitted):
    first, second = years(past)
    copy = second.document_series.get()
    assert (copy.template, copy.last_number, copy.start_number) == ("TRD-{FY}-{N:6}", 0, 1)
    assert copy.number_format.text(1) == "TRD-2425-000001"
    added = emitted("organization.document_series.added")
    assert [row.payload["financial_year_id"] for row in added] == [str(first.pk), str(second.pk)]
    third = factories.year(past, date(2025, 4, 1), copy_series=False)
    assert not third.document_series.exists()


def test_dates_cannot_change_once_a_number_was_allocated(organization):
    company = organization()
    year = factories.year(company, date(2025, 4, 1))
    moved = move(year, "open", start_date=date(2025, 6, 1))
    assert (moved.start_date, moved.version) == (date(2025, 6, 1), 2)
    factories.series(company)
    factories.number(company, document_date=date(2025, 7, 1))
    with pytest.raises(years_services.FinancialYearInUse):
        move(year, "open", start_date=date(2025, 4, 1))


def test_a_year_is_closed_after_its_end_and_locked_after_the_previous_one(past):
    first, second = years(past)
    running = factories.year(past, factories.year_of(date(2025, 4, 1))[0])
    for later in range(2026, clock.today().year + 1):
        if not FinancialYear.objects.filter(organization=past).on(clock.today()).exists():
            running = factories.year(past, date(later, 4, 1))
    with pytest.raises(rules.InvalidState) as caught:
        move(running, "soft_closed")
    assert caught.value.members == {"status_now": "open", "allowed": []}
    with pytest.raises(rules.InvalidState) as caught:
        move(first, "locked")
    assert caught.value.members == {"status_now": "open", "allowed": ["soft_closed"]}
    move(second, "soft_closed")
    with pytest.raises(rules.InvalidState):
        move(second, "locked")
    move(first, "soft_closed")
    assert move(first, "locked").status == "locked"
    assert move(second, "locked").status == "locked"


def test_locking_closes_the_year_s_series(past, assert_emitted):
    first, _ = years(past)
    move(first, "soft_closed")
    assert first.document_series.get().status == "active"
    move(first, "locked")
    assert first.document_series.get().status == "closed"
    assert_emitted(events.DocumentSeriesUpdated, status="closed", changed=["status"])
    assert_emitted(events.FinancialYearUpdated, old_status="soft_closed", status="locked")
    with pytest.raises(rules.FinancialYearLocked):
        factories.series(past, "claim", financial_year=FinancialYear.objects.get(pk=first.pk))


def test_a_soft_closed_year_is_reopened_by_a_director_with_a_reason(past, user):
    first, _ = years(past)
    move(first, "soft_closed")
    finance = user("INTERNAL_FINANCE", organization_id=past.pk)
    with pytest.raises(CapabilityMissing) as caught:
        move(first, "open", finance, reason=REASON)
    assert caught.value.members["capability"] == "organization.reopen_financial_year"
    director = user("INTERNAL_DIRECTOR")
    with pytest.raises(years_services.ReasonRequired):
        move(first, "open", director)
    opened = move(first, "open", director, reason=REASON)
    assert (opened.status, opened.status_reason) == ("open", REASON)


@pytest.fixture
def locked(past):
    first, _ = years(past)
    move(first, "soft_closed")
    return move(first, "locked")


def test_a_locked_year_reopens_only_after_a_second_director_approved(
    locked, user, client_for, deliver, emitted
):
    requester, second = user("INTERNAL_DIRECTOR"), user("INTERNAL_DIRECTOR")
    path = f"/api/v1/organizations/{locked.organization_id}/financial-years/{locked.pk}"
    body = {
        "start_date": "2023-04-01",
        "end_date": "2024-03-31",
        "status": "soft_closed",
        "reason": REASON,
    }
    finance = client_for(user("INTERNAL_FINANCE", organization_id=locked.organization_id))
    refused = finance.write(path, body, method="PUT", if_match=locked.version)
    assert (refused.status_code, refused.json()["capability"]) == (
        403,
        "organization.reopen_financial_year",
    )
    client = client_for(requester)
    answer = client.write(path, body, method="PUT", if_match=locked.version)
    assert answer.status_code == 202, answer.content
    assert (answer.json()["status"], answer["Location"]) == ("locked", path)
    request = ApprovalRequest.objects.get(pk=answer.json()["pending_approval_id"])
    again = client.write(path, body, method="PUT", if_match=answer["ETag"])
    assert (again.status_code, again.json()["code"]) == (409, "organization.reopening_pending")
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=requester, subject_version=request.subject_version)
    deliver()
    assert FinancialYear.objects.get(pk=locked.pk).status == "locked"

    approvals.approve(request, actor=second, subject_version=request.subject_version)
    deliver()
    year = FinancialYear.objects.get(pk=locked.pk)
    assert (year.status, year.status_reason, year.pending_approval_id) == ("soft_closed", REASON, None)
    request.refresh_from_db()
    assert request.status == "granted"
    assert emitted("organization.financial_year.reopening_requested")


def test_the_user_who_locked_a_year_cannot_approve_its_reopening(past, user):
    first, _ = years(past)
    locker = user("INTERNAL_DIRECTOR")
    move(first, "soft_closed", locker)
    first.refresh_from_db()
    move(first, "locked", locker)
    first.refresh_from_db()
    requested = move(first, "soft_closed", user("INTERNAL_DIRECTOR"), reason=REASON)
    request = ApprovalRequest.objects.get(pk=requested.pending_approval_id)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=locker, subject_version=request.subject_version)


def test_a_refused_reopening_leaves_the_year_locked(locked, user, deliver):
    year = move(locked, "soft_closed", user("INTERNAL_DIRECTOR"), reason=REASON)
    request = ApprovalRequest.objects.get(pk=year.pending_approval_id)
    approvals.reject(
        request,
        actor=user("INTERNAL_DIRECTOR"),
        subject_version=request.subject_version,
        reason_code="not_justified",
        note="The entry belongs into this year.",
    )
    deliver()
    year.refresh_from_db()
    assert (year.status, year.pending_approval_id) == ("locked", None)


def test_a_year_is_not_reopened_when_a_later_one_was_locked_meanwhile(past, locked, user):
    year = move(locked, "soft_closed", user("INTERNAL_DIRECTOR"), reason=REASON)
    request = ApprovalRequest.objects.get(pk=year.pending_approval_id)
    _, second = years(past)
    move(second, "soft_closed")
    move(second, "locked")
    with pytest.raises(rules.InvalidState):
        approvals.approve(request, actor=user("INTERNAL_DIRECTOR"), subject_version=request.subject_version)
    year.refresh_from_db()
    request.refresh_from_db()
    assert (year.status, year.pending_approval_id, request.status) == ("locked", request.pk, "pending")


def test_a_year_before_a_locked_one_stays_locked(past, locked, user):
    _, second = years(past)
    move(second, "soft_closed")
    move(second, "locked")
    with pytest.raises(rules.InvalidState):
        move(locked, "soft_closed", user("INTERNAL_DIRECTOR"), reason=REASON)


def test_added_months_end_at_the_last_day_of_a_shorter_month():
    assert months_after(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert months_after(date(2026, 1, 1), 15) == date(2027, 4, 1)
    assert months_after(date(2025, 12, 31), 14) == date(2027, 2, 28)


@pytest.mark.parametrize(
    ("today", "lacks"),
    [(date(2025, 2, 28), False), (date(2025, 3, 1), True), (date(2025, 4, 1), True)],
)
def test_from_march_on_a_missing_year_is_reported(past, today, lacks):
    assert Organization.objects.filter(lacks_financial_year(today)).exists() is lacks
    factories.year(past, date(2025, 4, 1))
    assert not Organization.objects.filter(lacks_financial_year(today)).exists()


def test_a_series_without_a_copy_is_reported_when_the_year_turns(past):
    factories.year(past, date(2025, 4, 1), copy_series=False)
    for today in (date(2025, 3, 1), date(2025, 4, 1), date(2025, 4, 30)):
        assert Organization.objects.filter(lacks_financial_year(today)).exists(), today
    assert not Organization.objects.filter(lacks_financial_year(date(2025, 5, 1))).exists()
    factories.series(past)
    assert not Organization.objects.filter(lacks_financial_year(date(2025, 3, 1))).exists()
