"""Services of organizations."""

from datetime import date
from typing import Any

from apps.organization import capabilities, events
from apps.organization.models import DocumentSeries, FinancialYear, Organization
from apps.organization.services.rules import InvalidState, PinStateMismatch, check_pin, check_transition
from erp.access import Actor
from erp.errors import Conflict, FieldError, RuleBroken
from erp.identifiers import PAN, company_fits, holder_fits
from erp.reference import event_of, replace_columns, takes_columns, writable_fields
from erp.services import emit, service
from erp.text import name_key

# Their values identify the organization, so events report only that they changed.
UNREPORTED_FIELDS = frozenset(
    {
        "name", "legal_name", "pan", "cin", "llpin", "tan", "iec", "line1", "line2", "city", "state_code",
        "pin_code", "email", "phone", "lut_number", "invoice_footer",
    }
)  # fmt: skip


class NameTaken(Conflict):
    """Another organization has this name."""

    constraints = ("organization_name_once",)


class PanTaken(Conflict):
    """Another organization has this PAN."""

    constraints = ("organization_pan_once",)


class IdentityInUse(Conflict):
    """PAN and base currency are fixed once there is a registration or a financial year."""


class YearOpen(Conflict):
    """A financial year is still open: close it first."""


class PanFormMismatch(RuleBroken):
    """The PAN doesn't fit the legal form."""


class CinRequired(RuleBroken):
    """A company needs a CIN."""


class CinFormMismatch(RuleBroken):
    """The CIN doesn't fit the legal form."""


class LlpinRequired(RuleBroken):
    """A limited liability partnership needs an LLPIN."""


class IecMismatch(RuleBroken):
    """The IEC is the PAN of another holder."""


class LutIncomplete(RuleBroken):
    """A letter of undertaking needs a number and a last day."""


IDENTITY_ERRORS = (
    NameTaken,
    PanTaken,
    PanFormMismatch,
    CinRequired,
    CinFormMismatch,
    LlpinRequired,
    PinStateMismatch,
    IecMismatch,
    LutIncomplete,
)


FIELDS = writable_fields(Organization)


@service(requires=capabilities.CREATE, emits=[events.OrganizationCreated], raises=IDENTITY_ERRORS)
@takes_columns(Organization, FIELDS)
def create(*, actor: Actor, **values: Any) -> Organization:
    """Add an organization."""
    organization = Organization(**values, name_key=name_key(values["name"]), created_by_id=actor.pk)
    _check(organization)
    organization.save()
    emit(event_of(events.OrganizationCreated, organization, "organization"))
    return organization


@service(
    requires=capabilities.UPDATE,
    emits=[events.OrganizationUpdated],
    raises=[*IDENTITY_ERRORS, IdentityInUse, YearOpen, InvalidState],
)
@takes_columns(Organization, FIELDS)
def update(organization: Organization, *, actor: Actor, status: str, **values: Any) -> Organization:
    """Update an organization.

    PAN and base currency can't change once a registration or a financial year exists.
    """
    if status != organization.status:
        _move(organization, status)
    replace_columns(organization, FIELDS, values)
    organization.name_key = name_key(organization.name)
    changes = organization.changed_fields()
    fixed = [field for field in ("pan", "base_currency") if field in changes]
    if fixed and (organization.gst_registrations.exists() or organization.financial_years.exists()):
        raise IdentityInUse(
            errors=[
                FieldError(
                    f"/{field}",
                    "fixed",
                    "This can't change any more: there is a registration or a financial year.",
                )
                for field in fixed
            ]
        )
    if changes.keys() - {"status"}:
        _check(organization)
    organization.save()
    if changes:
        emit(
            events.OrganizationUpdated(
                organization_id=organization.pk,
                changed=[
                    events.OrganizationFieldChange(field=field)
                    if field in UNREPORTED_FIELDS
                    else events.OrganizationFieldChange(field=field, old=_plain(old), new=_plain(new))
                    for field, (old, new) in changes.items()
                    if field != "name_key"
                ],
            )
        )
    return organization


def _move(organization: Organization, status: str) -> None:
    check_transition(organization, status)
    if status == Organization.Status.INACTIVE:
        # Allocating a number locks its series, so none is allocated meanwhile.
        list(DocumentSeries.objects.filter(organization=organization).order_by("pk").locked())
        if organization.financial_years.filter(status=FinancialYear.Status.OPEN).exists():
            raise YearOpen
    organization.status = status


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _check(organization: Organization) -> None:
    """Check the rules across the fields of an organization."""
    form, pan = organization.legal_form, organization.pan
    if not holder_fits(pan, form):
        raise PanFormMismatch(
            errors=[
                FieldError("/pan", "holder_class", "The fourth letter of the PAN doesn't fit the legal form.")
            ]
        )
    if form in Organization.COMPANIES and not organization.cin:
        raise CinRequired(
            errors=[FieldError("/cin", "required", "Enter the CIN: it is required for a company.")]
        )
    if organization.cin and not company_fits(organization.cin, form):
        raise CinFormMismatch(
            errors=[
                FieldError(
                    "/cin", "company_class", "The CIN is of another class of company than the legal form."
                )
            ]
        )
    if form == Organization.LegalForm.LLP and not organization.llpin:
        raise LlpinRequired(
            errors=[FieldError("/llpin", "required", "Enter the LLPIN: it is required for an LLP.")]
        )
    if organization.iec and PAN.is_valid(organization.iec) and organization.iec != pan:
        raise IecMismatch(
            errors=[
                FieldError(
                    "/iec", "pan", "The IEC is the PAN of another holder. It must be this organization's PAN."
                )
            ]
        )
    if (organization.lut_number is None) != (organization.lut_valid_until is None):
        raise LutIncomplete(
            errors=[
                FieldError("/lut_valid_until", "contradicts", "Enter both number and last day, or neither.")
            ]
        )
    check_pin(organization)
