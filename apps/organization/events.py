"""Events of organizations: ids and business facts, no tax or bank account numbers.

Partners can't read this module, so their feed contains none of its events.
"""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from apps.organization import capabilities
from erp.events import Event, event, rows_of

rows_of("organization", model="organization.Organization", reads=capabilities.VIEW)
rows_of("document_series", model="organization.DocumentSeries", reads=capabilities.VIEW)
rows_of("calendar", model="organization.Calendar", reads=capabilities.VIEW)

ORGANIZATION = ("organization", "organization_id")


class OrganizationFieldChange(BaseModel):
    """A field's value before and after; both are left out where the field identifies the organization."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    field: str
    old: Any = None
    new: Any = None


class OfOrganization(Event):
    """Fields of every event of an organization."""

    organization_id: UUID


@event("organization.created", version=1, aggregate=ORGANIZATION, readers={})
class OrganizationCreated(OfOrganization):
    legal_form: str
    state_code: str
    base_currency: str


@event("organization.updated", version=1, aggregate=ORGANIZATION, readers={})
class OrganizationUpdated(OfOrganization):
    changed: list[OrganizationFieldChange]


@event("organization.gst.added", version=1, aggregate=ORGANIZATION, readers={})
class GstAdded(OfOrganization):
    gst_registration_id: UUID
    state_code: str
    kind: str
    is_primary: bool


@event("organization.gst.updated", version=1, aggregate=ORGANIZATION, readers={})
class GstUpdated(OfOrganization):
    gst_registration_id: UUID
    state_code: str
    kind: str
    is_primary: bool
    status: str
    changed: list[str]


@event("organization.bank_account.added", version=1, aggregate=ORGANIZATION, readers={})
class BankAccountAdded(OfOrganization):
    bank_account_id: UUID
    last4: str
    currency: str
    account_type: str
    approval_id: UUID


@event("organization.bank_account.updated", version=1, aggregate=ORGANIZATION, readers={})
class BankAccountUpdated(OfOrganization):
    bank_account_id: UUID
    last4: str
    currency: str
    account_type: str
    status: str
    is_default: bool
    changed: list[str]


@event("organization.bank_account.activated", version=1, aggregate=ORGANIZATION, readers={})
class BankAccountActivated(OfOrganization):
    bank_account_id: UUID
    approval_id: UUID


@event("organization.bank_account.refused", version=1, aggregate=ORGANIZATION, readers={})
class BankAccountRefused(OfOrganization):
    bank_account_id: UUID
    approval_id: UUID


@event("organization.bank_account.number_shown", version=1, aggregate=ORGANIZATION, readers={})
class BankAccountNumberShown(OfOrganization):
    bank_account_id: UUID
    shown_to: UUID


@event("organization.financial_year.added", version=1, aggregate=ORGANIZATION, readers={})
class FinancialYearAdded(OfOrganization):
    financial_year_id: UUID
    code: str
    start_date: date
    end_date: date


@event("organization.financial_year.updated", version=1, aggregate=ORGANIZATION, readers={})
class FinancialYearUpdated(OfOrganization):
    financial_year_id: UUID
    code: str
    start_date: date
    end_date: date
    old_status: str
    status: str


@event("organization.financial_year.reopening_requested", version=1, aggregate=ORGANIZATION, readers={})
class FinancialYearReopeningRequested(OfOrganization):
    financial_year_id: UUID
    code: str
    start_date: date
    end_date: date
    approval_id: UUID


@event("organization.document_series.added", version=1, aggregate=ORGANIZATION, readers={})
class DocumentSeriesAdded(OfOrganization):
    document_series_id: UUID
    gst_registration_id: UUID | None
    financial_year_id: UUID
    document_type: str
    template: str
    start_number: int


@event("organization.document_series.updated", version=1, aggregate=ORGANIZATION, readers={})
class DocumentSeriesUpdated(OfOrganization):
    document_series_id: UUID
    gst_registration_id: UUID | None
    financial_year_id: UUID
    document_type: str
    template: str
    start_number: int
    status: str
    changed: list[str]


@event(
    "document_number.allocated",
    version=1,
    aggregate=("document_series", "document_series_id"),
    readers={},
)
class DocumentNumberAllocated(Event):
    document_series_id: UUID
    allocation_id: UUID
    organization_id: UUID
    gst_registration_id: UUID | None
    financial_year_id: UUID
    document_type: str
    number: int
    document_number: str
    document_date: date
    reference_type: str
    reference_id: UUID


@event("calendar.changed", version=1, aggregate=("calendar", "calendar_id"), readers={})
class CalendarChanged(Event):
    calendar_id: UUID
    dates: list[date]
