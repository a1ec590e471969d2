"""Services of financial years: adding, closing, locking, and reopening with an approval."""

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
from erp.approvals import ApprovalKind
from erp.errors import Conflict, FieldError, RuleBroken
from erp.services import emit, service

DAY = timedelta(days=1)


class FinancialYearOverlap(Conflict):
    """The financial year overlaps with another."""

    constraints = ("financial_year_no_overlap", "financial_year_code_once")


class FinancialYearInUse(Conflict):
    """The dates can't change: a document number was allocated in this year."""


class FinancialYearShape(RuleBroken):
    """A year starts on 1 April and ends on 31 March; only the first can start on another day."""


class FinancialYearGap(RuleBroken):
    """Financial years must follow each other without a gap."""


class ReopeningPending(Conflict):
    """A request to reopen the year is already pending."""


class ReasonRequired(RuleBroken):
    """A reason is required to reopen the year."""


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
    lock_via="organization",  # a change depends on the years before and after
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

    Reopening also needs organization.reopen_financial_year. A locked year stays locked until a second person
    approves: the answer is 202 with ``pending_approval_id``. Locking closes the year's series.
    """
    before = year.status
    if (start_date, end_date) != (year.start_date, year.end_date):
        _move_dates(year, start_date, end_date)
        record_editor(year, actor)
    series: list[DocumentSeries] = []
    if status != before:
        # Allocating a number locks its series, so none is allocated while the status changes.
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
            raise invalid_state(
                year, (), f"The year ends on {year.end_date}. It can be closed after that day."
            )
        earlier = FinancialYear.objects.filter(
            organization=year.organization_id, end_date__lt=year.start_date
        ).exclude(status=FinancialYear.Status.LOCKED)
        if status == FinancialYear.Status.LOCKED and earlier.exists():
            raise invalid_state(year, (FinancialYear.Status.OPEN,), "Lock the previous year first.")
        return
    access.authorize(actor, capabilities.REOPEN_FINANCIAL_YEAR, year)
    if reason is None:
        raise ReasonRequired(
            errors=[FieldError("/reason", "required", "Enter the reason for reopening the year.")]
        )
    if year.status == FinancialYear.Status.LOCKED:
        if year.pending_approval_id is not None:
            raise ReopeningPending
        if _has_later_locked_year(year):
            raise invalid_state(year, (), "The year can't be reopened: a later year is locked.")


def _has_later_locked_year(year: FinancialYear) -> bool:
    later = FinancialYear.objects.filter(organization=year.organization_id, start_date__gt=year.end_date)
    return bool(later.filter(status=FinancialYear.Status.LOCKED).exists())


def _request_reopening(year: FinancialYear, actor: Actor, reason: str) -> FinancialYear:
    """Request approval to reopen the year; the year stores only the request."""
    version = (
        year.version + 1
    )  # saving raises the version by one, so this is the version that the approver sees
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
    """Reopen a locked year. Raises InvalidState when a later year was locked meanwhile."""
    if _has_later_locked_year(year):
        raise invalid_state(year, (), "The year can't be reopened: a later year is locked.")
    year.status, year.status_reason = FinancialYear.Status.SOFT_CLOSED, request.reason
    return _close_request(year, FinancialYear.Status.LOCKED)


@service(
    requires=capabilities.REOPEN_FINANCIAL_YEAR, emits=[events.FinancialYearUpdated], lock_via="organization"
)
def end_reopening(year: FinancialYear, *, actor: Actor, request: Any) -> FinancialYear:
    """Close the request of a year that stays locked."""
    return _close_request(year, year.status) if year.pending_approval_id == request.pk else year


def _close_request(year: FinancialYear, before: str) -> FinancialYear:
    year.pending_approval_id, year.editors = None, []
    year.save()
    emit(events.FinancialYearUpdated(**_head(year), old_status=before, status=year.status))
    return year


REOPEN_YEAR = ApprovalKind(
    name="organization.reopen_year",
    title="Reopening of a locked year",
    subject="financial_year",
    model="organization.FinancialYear",
    capability=capabilities.REOPEN_FINANCIAL_YEAR,
    locks=lock_organization_of(FinancialYear),
    apply=apply_reopening,
    ended=end_reopening,
)


def _move_dates(year: FinancialYear, start_date: date, end_date: date) -> None:
    if year.status != FinancialYear.Status.OPEN:
        raise invalid_state(year, (), "The dates can change only while the year is open.")
    list(DocumentSeries.objects.filter(financial_year=year).order_by("pk").locked())
    if year.allocated_numbers.exists():
        raise FinancialYearInUse
    year.start_date, year.end_date = start_date, end_date
    year.code = FinancialYear.code_of(end_date)
    _check_dates(year)


def _check_dates(year: FinancialYear) -> None:
    """Check shape, overlap and gap, in this order, so that the error names the nearest cause."""
    others = FinancialYear.objects.filter(organization=year.organization_id).exclude(pk=year.pk)
    start, end = year.start_date, year.end_date
    is_first = not others.filter(start_date__lt=start).exists()
    errors = []
    if (end.month, end.day) != YEAR_END:
        errors.append(FieldError("/end_date", "shape", "A financial year must end on 31 March."))
    if not start < end < months_after(start, LONGEST_FIRST_YEAR if is_first else 12):
        errors.append(
            FieldError(
                "/end_date",
                "shape",
                "The end must be after the start, at most 12 months later (15 months for the first year).",
            )
        )
    if not is_first and (start.month, start.day) != (4, 1):
        errors.append(
            FieldError(
                "/start_date",
                "shape",
                "The year must start on 1 April. Only the first year can start on another day.",
            )
        )
    if errors:
        raise FinancialYearShape(errors=errors)
    if others.filter(start_date__lte=end, end_date__gte=start).exists():
        raise FinancialYearOverlap
    known = others.aggregate(first=Min("start_date"), last=Max("end_date"))
    if known["first"] is not None and start != known["last"] + DAY and end != known["first"] - DAY:
        raise FinancialYearGap(f"The existing years cover {known['first']} to {known['last']}.")


def _copy_series(year: FinancialYear, actor: Actor) -> None:
    """Copy the active series of the previous year; numbers start again."""
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
