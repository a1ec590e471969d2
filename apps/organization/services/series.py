"""Services of document series, which allocate numbers without gaps."""

import re
from datetime import date
from typing import Any
from uuid import UUID

from apps.organization import capabilities, events
from apps.organization.models import (
    TAX_TYPES,
    AllocatedNumber,
    DocumentSeries,
    DocumentType,
    FinancialYear,
    GstRegistration,
    Organization,
)
from apps.organization.services.rules import (
    FinancialYearLocked,
    FinancialYearMissing,
    FinancialYearSoftClosed,
    Inactive,
    InvalidState,
    check_transition,
    invalid_state,
    require_active,
    require_same,
    require_writable,
)
from erp import clock, locks
from erp.access import Actor
from erp.errors import Conflict, FieldError, NotFound, RuleBroken
from erp.services import emit, service

_TOKEN = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"[A-Z0-9/-]*")


class SeriesExists(Conflict):
    """An active series for this document type exists already."""

    constraints = ("document_series_one_active",)


class SeriesCollides(Conflict):
    """Another series can produce the same numbers."""


class SeriesInUse(Conflict):
    """The series has allocated a number: only its status and date order can change."""


class SeriesMissing(Conflict):
    """There is no active series for this document type."""


class SeriesExhausted(Conflict):
    """The next number exceeds the maximum length."""


class GstRegistrationRequired(RuleBroken):
    """This document type needs a GST registration."""


class GstRegistrationNotAllowed(RuleBroken):
    """This document type can't have a GST registration."""


class GstRegistrationNotActive(RuleBroken):
    """The GST registration isn't active."""


class TemplateInvalid(RuleBroken):
    """The template is invalid."""


class NumberTooLong(RuleBroken):
    """The numbers of the series would be too long."""


class DateInFuture(RuleBroken):
    """A document can't be dated after today."""


class DateOutOfOrder(RuleBroken):
    """The series has already allocated a number to a later date."""


REGISTRATION_ERRORS = (GstRegistrationRequired, GstRegistrationNotAllowed, GstRegistrationNotActive)


@service(
    requires=capabilities.MANAGE_SERIES,
    emits=[events.DocumentSeriesAdded],
    raises=[
        SeriesExists,
        SeriesCollides,
        Inactive,
        FinancialYearLocked,
        *REGISTRATION_ERRORS,
        TemplateInvalid,
        NumberTooLong,
    ],
)
def add_document_series(
    organization: Organization,
    *,
    actor: Actor,
    financial_year: FinancialYear,
    document_type: str,
    template: str,
    gst_registration: GstRegistration | None = None,
    prefix: str = "",
    start_number: int = 1,
    date_ordered: bool | None = None,
) -> DocumentSeries:
    """Add a document series for one financial year and GST registration.

    The template contains `{FY}` once and `{N:w}` once at the end (w digits, 3 to 9); `{PREFIX}` and `{BRANCH}` are
    optional. Documents of GST law are in date order by default.
    """
    require_active(organization)
    require_same(organization, financial_year, "/financial_year_id")
    if financial_year.status == FinancialYear.Status.LOCKED:
        raise FinancialYearLocked
    _check_registration(organization, document_type, gst_registration)
    series = DocumentSeries(
        organization=organization,
        gst_registration=gst_registration,
        financial_year=financial_year,
        document_type=document_type,
        prefix=prefix,
        template=template,
        start_number=start_number,
        date_ordered=document_type in TAX_TYPES if date_ordered is None else date_ordered,
        created_by_id=actor.pk,
    )
    check_template(series)
    _refuse_duplicate(series)
    check_format(series)
    series.save()
    emit_series_added(series)
    return series


@service(
    requires=capabilities.MANAGE_SERIES,
    emits=[events.DocumentSeriesUpdated],
    raises=[SeriesInUse, SeriesCollides, InvalidState, TemplateInvalid, NumberTooLong],
    lock_via="organization",  # so that concurrent changes can't make two series collide
)
def update_document_series(
    series: DocumentSeries,
    *,
    actor: Actor,
    template: str,
    start_number: int,
    date_ordered: bool,
    status: str,
    prefix: str = "",
) -> DocumentSeries:
    """Update a document series. Closing it is final.

    After its first number only status and date order can change.
    """
    series = DocumentSeries.objects.locked().get(pk=series.pk)  # so that no number is allocated meanwhile
    before = series.status
    if status != before:
        check_transition(series, status)
    series.prefix = prefix
    series.template = template
    series.start_number = start_number
    series.date_ordered = date_ordered
    series.status = status
    changed = series.changed_fields()
    if not changed:
        return series
    if before == DocumentSeries.Status.CLOSED:
        raise invalid_state(series, (), "A closed series can't be changed.")
    if {"prefix", "template", "start_number"} & changed.keys():
        if series.last_number:
            raise SeriesInUse
        check_template(series)
        check_format(series)
    series.save()
    emit_series_updated(series, sorted(changed))
    return series


@service(
    requires=capabilities.ALLOCATE_NUMBER,
    emits=[events.DocumentNumberAllocated],
    raises=[
        Inactive,
        FinancialYearMissing,
        FinancialYearSoftClosed,
        FinancialYearLocked,
        SeriesMissing,
        SeriesExhausted,
        *REGISTRATION_ERRORS,
        DateInFuture,
        DateOutOfOrder,
    ],
    lock_via=None,  # only the row of the series, as the last lock of a transaction
    requires_transaction=True,
)
def allocate_number(
    organization: Organization,
    *,
    actor: Actor,
    type: str,
    document_date: date,
    reference_type: str,
    reference_id: UUID,
    gst_registration: GstRegistration | None = None,
) -> AllocatedNumber:
    """Allocate the next document number. Numbers of a series have no gaps.

    The number is allocated in the caller's transaction and rolled back with it. Allocate it last before the commit:
    other callers of the same series wait until then. The same reference always gets the same number.
    """
    if type not in DocumentType.values:
        raise NotFound
    # One number per reference, also when two callers send different dates or registrations.
    locks.hold(f"number:{organization.pk}:{type}:{reference_type}:{reference_id}")
    if existing := _find_allocation(organization, type, reference_type, reference_id):
        return existing
    require_active(organization)
    _check_registration(organization, type, gst_registration)
    if document_date > clock.today():
        raise DateInFuture(
            errors=[
                FieldError("/document_date", "future", f"The date must not be after today, {clock.today()}.")
            ]
        )
    years = FinancialYear.objects.filter(organization=organization).on(document_date)
    year = years.first()
    series = (
        DocumentSeries.objects.active()
        .filter(
            organization=organization,
            gst_registration=gst_registration,
            financial_year=year,
            document_type=type,
        )
        .locked()
        .first()
        if year is not None
        else None
    )
    # All conditions change only under the lock of the series, so they are read again under it.
    year = require_writable(years.first(), actor, document_date)
    if series is None:
        raise SeriesMissing
    # Again: a call that this one waited for may have allocated it.
    if existing := _find_allocation(organization, type, reference_type, reference_id):
        return existing
    require_active(Organization.objects.get(pk=organization.pk))
    if gst_registration is not None:
        gst_registration.refresh_from_db()
        _check_registration(organization, type, gst_registration)
    if series.date_ordered and series.last_document_date and document_date < series.last_document_date:
        raise DateOutOfOrder(
            errors=[
                FieldError(
                    "/document_date",
                    "order",
                    f"The last document is dated {series.last_document_date}. Use that date or a later one.",
                )
            ]
        )
    series.financial_year, series.gst_registration = year, gst_registration
    number = series.next_number
    text = series.number_format.text(number)
    if len(text) > series.longest:
        raise SeriesExhausted(f"Number {text} has {len(text)} characters. The limit is {series.longest}.")
    series.last_number = number
    series.last_document_date = max(document_date, series.last_document_date or document_date)
    series.save()
    allocation = AllocatedNumber(
        series=series,
        number=number,
        document_number=text,
        organization=organization,
        gst_registration=gst_registration,
        financial_year=year,
        document_type=type,
        document_date=document_date,
        reference_type=reference_type,
        reference_id=reference_id,
        allocated_by_id=actor.pk,
    )
    allocation.save()
    emit(
        events.DocumentNumberAllocated(
            document_series_id=series.pk,
            allocation_id=allocation.pk,
            organization_id=organization.pk,
            gst_registration_id=allocation.gst_registration_id,
            financial_year_id=year.pk,
            document_type=type,
            number=number,
            document_number=text,
            document_date=document_date,
            reference_type=reference_type,
            reference_id=reference_id,
        )
    )
    return allocation


def _find_allocation(
    organization: Organization, document_type: str, reference_type: str, reference_id: UUID
) -> AllocatedNumber | None:
    """Return the number that the document has already, if any."""
    allocation: AllocatedNumber | None = AllocatedNumber.objects.filter(
        organization=organization,
        document_type=document_type,
        reference_type=reference_type,
        reference_id=reference_id,
    ).first()
    if allocation is not None:
        allocation.already_allocated = True
    return allocation


def check_template(series: DocumentSeries) -> None:
    """Check tokens and characters of the template. Raises TemplateInvalid with all errors."""
    tokens = _TOKEN.findall(series.template)
    literals = _TOKEN.sub("", series.template)
    problems = []
    if not _LITERAL.fullmatch(literals):
        problems.append("Besides tokens, use only A–Z, 0–9, / and -.")
    if unknown := {t for t in tokens if t not in ("PREFIX", "FY", "BRANCH") and not _number(t)}:
        problems.append(f"Unknown tokens: {', '.join(sorted(unknown))}.")
    if tokens.count("FY") != 1:
        problems.append("Use {FY} exactly once.")
    if sum(map(_number, tokens)) != 1 or not re.search(r"\{N:[3-9]\}\Z", series.template):
        problems.append("Use {N:3} to {N:9} exactly once, at the end.")
    if "BRANCH" in tokens and series.gst_registration is None:
        problems.append("{BRANCH} needs a GST registration.")
    if problems:
        raise TemplateInvalid(errors=[FieldError("/template", "template", problem) for problem in problems])
    if series.document_type in TAX_TYPES and series.number_format.head[:1] in ("0", "-", "/"):
        raise TemplateInvalid(
            errors=[
                FieldError("/template", "template", "A number on a GST document can't start with 0, - or /.")
            ]
        )


def check_format(series: DocumentSeries) -> None:
    """Check that the numbers of the series are short enough and collide with no other series.

    Raises NumberTooLong or SeriesCollides.
    """
    number_format = series.number_format
    if len(number_format.text(series.start_number)) > series.longest:
        raise NumberTooLong(
            f"{number_format.text(series.start_number)} is longer than {series.longest} characters.",
            errors=[
                FieldError("/template", "too_long", f"A number can have at most {series.longest} characters.")
            ],
        )
    others = DocumentSeries.objects.filter(
        organization=series.organization_id,
        gst_registration=series.gst_registration_id,
        financial_year=series.financial_year_id,
    ).exclude(pk=series.pk)
    for other in others.select_related("financial_year", "gst_registration"):
        if other.gst_registration_id is not None:
            other.gst_registration = series.gst_registration  # with the new branch code
        if number_format.overlaps(other.number_format):
            raise SeriesCollides(
                errors=[
                    FieldError(
                        "/template",
                        "collides",
                        f"The series for {other.get_document_type_display()} can produce the same numbers.",
                    )
                ]
            )


def _number(token: str) -> bool:
    return re.fullmatch("N:[3-9]", token) is not None


def _check_registration(
    organization: Organization, document_type: str, registration: GstRegistration | None
) -> None:
    require_same(organization, registration, "/gst_registration_id")
    if document_type in TAX_TYPES:
        if registration is None:
            raise GstRegistrationRequired(
                errors=[
                    FieldError(
                        "/gst_registration_id",
                        "required",
                        "Choose the GST registration: it is required for this document type.",
                    )
                ]
            )
        if registration.status != GstRegistration.Status.ACTIVE:
            raise GstRegistrationNotActive(
                errors=[
                    FieldError(
                        "/gst_registration_id",
                        "inactive",
                        f"The GST registration is {registration.get_status_display().lower()}.",
                    )
                ]
            )
    elif registration is not None:
        raise GstRegistrationNotAllowed(
            errors=[
                FieldError(
                    "/gst_registration_id",
                    "contradicts",
                    "Leave this empty: it doesn't apply to this document type.",
                )
            ]
        )


def _refuse_duplicate(series: DocumentSeries) -> None:
    """Raise SeriesExists before a collision of the numbers is reported."""
    same = DocumentSeries.objects.active().filter(
        organization=series.organization_id,
        gst_registration=series.gst_registration_id,
        financial_year=series.financial_year_id,
        document_type=series.document_type,
    )
    if same.exists():
        raise SeriesExists


def emit_series_added(series: DocumentSeries) -> None:
    """Emit the event of a new series."""
    emit(events.DocumentSeriesAdded(**_head(series)))


def emit_series_updated(series: DocumentSeries, changed: list[str]) -> None:
    """Emit the event of a changed series."""
    emit(events.DocumentSeriesUpdated(**_head(series), status=series.status, changed=changed))


def _head(series: DocumentSeries) -> dict[str, Any]:
    return {
        "organization_id": series.organization_id,
        "document_series_id": series.pk,
        "gst_registration_id": series.gst_registration_id,
        "financial_year_id": series.financial_year_id,
        "document_type": series.document_type,
        "template": series.template,
        "start_number": series.start_number,
    }
