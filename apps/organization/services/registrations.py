"""Services of GST registrations."""

from datetime import date

from apps.organization import capabilities, events
from apps.organization.models import DocumentSeries, FinancialYear, GstRegistration, Organization
from apps.organization.services.rules import (
    Inactive,
    InvalidState,
    PinStateMismatch,
    check_pin,
    check_transition,
    invalid_state,
    require_active,
)
from apps.organization.services.series import NumberTooLong, SeriesCollides, check_format, emit_series_updated
from erp.access import Actor
from erp.errors import Conflict, FieldError, RuleBroken
from erp.identifiers import GSTIN
from erp.services import emit, service


class GstinTaken(Conflict):
    """This GSTIN exists already."""

    constraints = ("gst_gstin_once",)


class BranchCodeTaken(Conflict):
    """Another registration of the organization has this branch code."""

    constraints = ("gst_branch_code_once",)


class BranchCodeInUse(Conflict):
    """The branch code is part of document numbers in a year that isn't locked."""


class PrimaryRequired(Conflict):
    """This registration is the primary one: make another one primary first."""


class GstinPanMismatch(RuleBroken):
    """The PAN in the GSTIN isn't the organization's."""


class GstinStateMismatch(RuleBroken):
    """The address is in another state than the GSTIN."""


@service(
    requires=capabilities.UPDATE,
    emits=[events.GstAdded, events.GstUpdated],
    raises=[GstinTaken, BranchCodeTaken, Inactive, GstinPanMismatch, GstinStateMismatch, PinStateMismatch],
)
def add_gst_registration(
    organization: Organization,
    *,
    actor: Actor,
    gstin: str,
    line1: str,
    city: str,
    state_code: str,
    pin_code: str,
    branch_code: str,
    valid_from: date,
    line2: str | None = None,
    kind: str = GstRegistration.Kind.REGULAR,
    trade_name: str | None = None,
    is_primary: bool = False,
) -> GstRegistration:
    """Add a GST registration. The first becomes primary automatically; a new primary replaces it."""
    require_active(organization)
    registration = GstRegistration(
        organization=organization,
        gstin=gstin,
        kind=kind,
        trade_name=trade_name,
        line1=line1,
        line2=line2,
        city=city,
        state_code=state_code,
        pin_code=pin_code,
        branch_code=branch_code,
        is_primary=is_primary or not organization.gst_registrations.exists(),
        valid_from=valid_from,
        created_by_id=actor.pk,
    )
    _check(registration)
    if registration.is_primary:
        _unset_former_primary(registration)
    registration.save()
    emit(
        events.GstAdded(
            organization_id=organization.pk,
            gst_registration_id=registration.pk,
            state_code=registration.state_code,
            kind=registration.kind,
            is_primary=registration.is_primary,
        )
    )
    return registration


@service(
    requires=capabilities.UPDATE,
    emits=[events.GstUpdated, events.DocumentSeriesUpdated],
    raises=[
        PrimaryRequired,
        BranchCodeInUse,
        BranchCodeTaken,
        SeriesCollides,
        InvalidState,
        GstinStateMismatch,
        PinStateMismatch,
        NumberTooLong,
    ],
    lock_via="organization",  # so that concurrent changes leave one primary registration
)
def update_gst_registration(
    registration: GstRegistration,
    *,
    actor: Actor,
    line1: str,
    city: str,
    state_code: str,
    pin_code: str,
    branch_code: str,
    valid_from: date,
    status: str,
    line2: str | None = None,
    kind: str = GstRegistration.Kind.REGULAR,
    trade_name: str | None = None,
    is_primary: bool = False,
) -> GstRegistration:
    """Update a GST registration. The GSTIN can't change.

    Making it primary replaces the former one. Cancelling is final and closes its series.
    """
    was_primary, before = registration.is_primary, registration.status
    if was_primary and (not is_primary or status != GstRegistration.Status.ACTIVE):
        raise PrimaryRequired
    if status != before:
        check_transition(registration, status)
    registration.kind = kind
    registration.trade_name = trade_name
    registration.line1 = line1
    registration.line2 = line2
    registration.city = city
    registration.state_code = state_code
    registration.pin_code = pin_code
    registration.branch_code = branch_code
    registration.is_primary = is_primary
    registration.valid_from = valid_from
    registration.status = status
    changed = registration.changed_fields()
    if not changed:
        return registration
    if before == GstRegistration.Status.CANCELLED:
        check_transition(registration, status)
    if is_primary and status != GstRegistration.Status.ACTIVE:
        raise invalid_state(registration, (), "Only an active registration can be primary.")
    _check(registration)
    series: list[DocumentSeries] = []
    if {"status", "branch_code"} & changed.keys():
        # Allocating a number locks its series, so none is allocated meanwhile.
        series = list(DocumentSeries.objects.filter(gst_registration=registration).order_by("pk").locked())
    if "branch_code" in changed:
        _check_branch_code_change(registration, series)
    if is_primary and not was_primary:
        _unset_former_primary(registration)
    registration.save()
    if status == GstRegistration.Status.CANCELLED:
        for each in series:
            if each.status == DocumentSeries.Status.ACTIVE:
                each.status = DocumentSeries.Status.CLOSED
                each.save()
                emit_series_updated(each, ["status"])
    _emit_updated(registration, sorted(changed))
    return registration


def _check(registration: GstRegistration) -> None:
    parts = GSTIN.parts(registration.gstin)
    if parts.get("form") != "REGULAR" or parts.get("pan") != registration.organization.pan:
        raise GstinPanMismatch(
            errors=[
                FieldError("/gstin", "pan", "Positions 3 to 12 of the GSTIN aren't the organization's PAN.")
            ]
        )
    if registration.state_code != parts["state"]:
        raise GstinStateMismatch(
            errors=[
                FieldError(
                    "/state_code", "gstin", "The first two digits of the GSTIN are the code of another state."
                )
            ]
        )
    check_pin(registration)


def _unset_former_primary(registration: GstRegistration) -> None:
    """Make the former primary registration an ordinary one, if there is any."""
    organization = registration.organization
    rows = organization.gst_registrations.exclude(pk=registration.pk)
    former = rows.filter(is_primary=True).locked().first()
    if former is not None:
        former.is_primary = False
        former.save()
        _emit_updated(former, ["is_primary"])


def _check_branch_code_change(registration: GstRegistration, series: list[DocumentSeries]) -> None:
    """Check that a new branch code changes no number of a year that isn't locked and makes no two series collide."""
    for each in series:
        if "{BRANCH}" not in each.template or each.financial_year.status == FinancialYear.Status.LOCKED:
            continue
        if each.last_number:
            raise BranchCodeInUse
        each.gst_registration = registration
        check_format(each)


def _emit_updated(registration: GstRegistration, changed: list[str]) -> None:
    emit(
        events.GstUpdated(
            organization_id=registration.organization_id,
            gst_registration_id=registration.pk,
            state_code=registration.state_code,
            kind=registration.kind,
            is_primary=registration.is_primary,
            status=registration.status,
            changed=changed,
        )
    )
