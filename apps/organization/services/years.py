"""Financial years: opened, closed, locked, and reopened by two people."""

from datetime import date, timedelta
from typing import Any

from django.db.models import Max, Min

from apps.approvals import services as approvals
from apps.organization import capabilities, events
from apps.organization.models import (
    LONGEST_FIRST_YEAR,
    YEAR_END,
    DocumentSeries,
    FinancialYear,
    Organization,
    months_after,
)
from apps.organization.services.rules import (
    Inactive,
    InvalidState,
    check_transition,
    invalid_state,
    lock_organization_of,
    record_editor,
    require_active,
)
from apps.organization.services.series import emit_series_added, emit_series_updated
from erp import access, clock
from erp.access import Actor
from erp.approvals import Kind
from erp.errors import Conflict, Fault, RuleBroken
from erp.services import emit, service

DAY = timedelta(days=1)


class FinancialYearOverlap(Conflict):
    """The year overlaps with another."""

    constraints = ("financial_year_no_overlap", "financial_year_code_once")


class FinancialYearInUse(Conflict):
    """A number was given in this year: its dates stay."""


class FinancialYearShape(RuleBroken):
    """A year ends on 31 March and starts on 1 April; only the first may start on another day."""


class FinancialYearGap(RuleBroken):
    """Financial years must follow each other without a gap."""


class ReopeningPending(Conflict):
    """A second person has been asked already."""


class ReasonRequired(RuleBroken):
    """Say why the year is reopened."""


@service(
    requires=capabilities.MANAGE_FINANCIAL_YEARS,
    emits=[events.FinancialYearAdded, events.DocumentSeriesAdded],
    raises=[FinancialYearOverlap, Inactive, FinancialYearShape, FinancialYearGap],
)
def add_financial_year(
    organization: Organization, *, actor: Actor, start_date: date, end_date: date, copy_series: bool = True
) -> FinancialYear:
    """Add a financial year. Each active series of the year before is copied."""
    require_active(organization)
    year = FinancialYear(
        organization=organization,
        code=FinancialYear.code_of(end_date),
        start_date=start_date,
        end_date=end_date,
        created_by_id=actor.pk,
    )
    _check_dates(year)
    year.save()
    emit(events.FinancialYearAdded(**_head(year)))
    if copy_series:
        _copy_series(year, actor)
    return year


@service(
    requires=capabilities.MANAGE_FINANCIAL_YEARS,
    emits=[
        events.FinancialYearUpdated,
        events.FinancialYearReopeningRequested,
        events.DocumentSeriesUpdated,
    ],
    raises=[
        ReopeningPending,
        FinancialYearInUse,
        FinancialYearOverlap,
        InvalidState,
        ReasonRequired,
        approvals.ReasonMissing,
        FinancialYearShape,
        FinancialYearGap,
    ],
    lock_via="organization",  # a step looks at the years before and after
)
def update_financial_year(
    year: FinancialYear,
    *,
    actor: Actor,
    start_date: date,
    end_date: date,
    status: str,
    reason: str | None = None,
) -> FinancialYear:
    """Update a financial year. Closes, locks or reopens it, or corrects unused dates.

    Reopening asks organization.reopen_financial_year as well. A locked year stays locked until a second
    person has agreed: the answer is 202, and ``pending_approval_id`` names what they decide. Locking closes
    the year's series.
    """
    before = year.status
    if (start_date, end_date) != (year.start_date, year.end_date):
        _move_dates(year, start_date, end_date)
        record_editor(year, actor)
    series: list[DocumentSeries] = []
    if status != before:
        # Whoever takes a number holds its series: so none is given while the year's status moves.
        series = list(DocumentSeries.objects.filter(financial_year=year).order_by("pk").locked())
        _check_transition(year, status, actor, reason)
        if before == FinancialYear.Status.LOCKED:
            return _request_reopening(year, actor, str(reason))
        year.status, year.status_reason = status, reason
        record_editor(year, actor)
    changed = year.changed_fields()
    year.save()
    if status == FinancialYear.Status.LOCKED and status != before:
        for each in series:
            if each.status == DocumentSeries.Status.ACTIVE:
                each.status = DocumentSeries.Status.CLOSED
                each.save()
                emit_series_updated(each, ["status"])
    if changed:
        emit(events.FinancialYearUpdated(**_head(year), old_status=before, status=year.status))
    return year


def _check_transition(year: FinancialYear, status: str, actor: Actor, reason: str | None) -> None:
    check_transition(year, status)
    reopens = status == FinancialYear.Status.OPEN or year.status == FinancialYear.Status.LOCKED
    if not reopens:
        if year.end_date >= clock.today():
            raise invalid_state(year, (), f"The year lasts until {year.end_date}.")
        earlier = FinancialYear.objects.filter(
            organization=year.organization_id, end_date__lt=year.start_date
        ).exclude(status=FinancialYear.Status.LOCKED)
        if status == FinancialYear.Status.LOCKED and earlier.exists():
            raise invalid_state(year, (FinancialYear.Status.OPEN,), "Lock the year before first.")
        return
    access.authorize(actor, capabilities.REOPEN_FINANCIAL_YEAR, year)
    if reason is None:
        raise ReasonRequired(errors=[Fault("/reason", "required", "Needed to reopen a year.")])
    if year.status == FinancialYear.Status.LOCKED:
        if year.pending_approval_id is not None:
            raise ReopeningPending
        if _is_followed_by_a_locked_one(year):
            raise invalid_state(year, (), "A later year is locked.")


def _is_followed_by_a_locked_one(year: FinancialYear) -> bool:
    later = FinancialYear.objects.filter(organization=year.organization_id, start_date__gt=year.end_date)
    return bool(later.filter(status=FinancialYear.Status.LOCKED).exists())


def _request_reopening(year: FinancialYear, actor: Actor, reason: str) -> FinancialYear:
    """Ask a second person; only that somebody asked is kept on the year."""
    version = year.version + 1  # keeping it is one change, so this is what the second person sees
    request = approvals.request(
        actor=actor,
        kind=REOPEN_YEAR,
        subject_id=year.pk,
        subject_version=version,
        reason=reason,
        excluded=year.editors,
        diff=[
            ("organization", None, year.organization.name),
            ("financial_year", None, year.code),
            ("status", year.status, FinancialYear.Status.SOFT_CLOSED),
        ],
    )
    year.pending_approval_id = request.pk
    year.save()
    year.reopening_requested = True
    emit(events.FinancialYearReopeningRequested(**_head(year), approval_id=request.pk))
    return year


@service(
    requires=capabilities.REOPEN_FINANCIAL_YEAR,
    emits=[events.FinancialYearUpdated],
    raises=[InvalidState],
    lock_via="organization",
)
def apply_reopening(year: FinancialYear, *, actor: Actor, request: Any) -> FinancialYear:
    """Reopen a locked year. Raises InvalidState where a later one was locked meanwhile."""
    if _is_followed_by_a_locked_one(year):
        raise invalid_state(year, (), "A later year is locked.")
    year.status, year.status_reason = FinancialYear.Status.SOFT_CLOSED, request.reason
    return _close_request(year, FinancialYear.Status.LOCKED)


@service(
    requires=capabilities.REOPEN_FINANCIAL_YEAR, emits=[events.FinancialYearUpdated], lock_via="organization"
)
def end_reopening(year: FinancialYear, *, actor: Actor, request: Any) -> FinancialYear:
    """Leave a year locked whose request ended without an approval."""
    return _close_request(year, year.status) if year.pending_approval_id == request.pk else year


def _close_request(year: FinancialYear, before: str) -> FinancialYear:
    year.pending_approval_id, year.editors = None, []
    year.save()
    emit(events.FinancialYearUpdated(**_head(year), old_status=before, status=year.status))
    return year


REOPEN_YEAR = Kind(
    name="organization.reopen_year",
    title="Reopening a locked year",
    subject="financial_year",
    model="organization.FinancialYear",
    capability=capabilities.REOPEN_FINANCIAL_YEAR,
    locks=lock_organization_of(FinancialYear),
    apply=apply_reopening,
    ended=end_reopening,
)


def _move_dates(year: FinancialYear, start_date: date, end_date: date) -> None:
    if year.status != FinancialYear.Status.OPEN:
        raise invalid_state(year, (), "Its dates stay as they are.")
    list(DocumentSeries.objects.filter(financial_year=year).order_by("pk").locked())
    if year.allocated_numbers.exists():
        raise FinancialYearInUse
    year.start_date, year.end_date = start_date, end_date
    year.code = FinancialYear.code_of(end_date)
    _check_dates(year)


def _check_dates(year: FinancialYear) -> None:
    """Shape, overlap, gap: in this order, so that each refusal names the nearest cause."""
    others = FinancialYear.objects.filter(organization=year.organization_id).exclude(pk=year.pk)
    start, end = year.start_date, year.end_date
    is_first = not others.filter(start_date__lt=start).exists()
    faults = []
    if (end.month, end.day) != YEAR_END:
        faults.append(Fault("/end_date", "shape", "A financial year ends on 31 March."))
    if not start < end < months_after(start, LONGEST_FIRST_YEAR if is_first else 12):
        faults.append(
            Fault(
                "/end_date", "shape", "It ends after its start, at most a year later (the first: 15 months)."
            )
        )
    if not is_first and (start.month, start.day) != (4, 1):
        faults.append(
            Fault("/start_date", "shape", "Only the first year starts on another day than 1 April.")
        )
    if faults:
        raise FinancialYearShape(errors=faults)
    if others.filter(start_date__lte=end, end_date__gte=start).exists():
        raise FinancialYearOverlap
    known = others.aggregate(first=Min("start_date"), last=Max("end_date"))
    if known["first"] is not None and start != known["last"] + DAY and end != known["first"] - DAY:
        raise FinancialYearGap(f"The years known last from {known['first']} to {known['last']}.")


def _copy_series(year: FinancialYear, actor: Actor) -> None:
    """Copies of the active series of the year before, from their first number on."""
    before = FinancialYear.objects.filter(
        organization=year.organization_id, end_date=year.start_date - DAY
    ).first()
    if before is None:
        return
    for former in before.document_series.active().order_by("pk"):
        series = DocumentSeries(
            organization=year.organization,
            gst_registration_id=former.gst_registration_id,
            financial_year=year,
            document_type=former.document_type,
            prefix=former.prefix,
            template=former.template,
            date_ordered=former.date_ordered,
            created_by_id=actor.pk,
        )
        series.save()
        emit_series_added(series)


def _head(year: FinancialYear) -> dict[str, Any]:
    return {
        "organization_id": year.organization_id,
        "financial_year_id": year.pk,
        "code": year.code,
        "start_date": year.start_date,
        "end_date": year.end_date,
    }
