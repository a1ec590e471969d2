"""Parts of an organization for tests, created by the services, with fictitious but well-formed numbers."""

from datetime import date
from itertools import count
from typing import Any
from uuid import uuid4

from django.db import transaction
from stdnum import luhn

from apps.organization.models import (
    AllocatedNumber,
    BankAccount,
    DocumentSeries,
    FinancialYear,
    GstRegistration,
    Organization,
)
from apps.organization.services import accounts, registrations, years
from apps.organization.services import series as series_services
from erp import clock
from erp.access import SYSTEM

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_numbers = count(1)


def pan(holder: str = "F") -> str:
    """Return a PAN that no other call returns."""
    place, serial = divmod(next(_numbers), 9999)
    return f"ZZ{chr(65 + place % 26)}{holder}T{serial + 1:04d}K"


def gstin(organization: Organization, state: str = "27", entity: str = "1") -> str:
    """Return a GSTIN of the organization; ``entity`` distinguishes several in one state."""
    start = f"{state}{organization.pan}{entity}Z"
    return start + luhn.calc_check_digit(start, _ALPHABET)


def registration(organization: Organization, entity: str = "1", **fields: Any) -> GstRegistration:
    """Add a registration in Mumbai; the first is primary."""
    made: GstRegistration = registrations.add_gst_registration(
        organization,
        actor=SYSTEM,
        **{
            "gstin": gstin(organization, entity=entity),
            "line1": "Kalbadevi Road",
            "city": "Mumbai",
            "state_code": "27",
            "pin_code": "400002",
            "branch_code": f"MU{entity}",
            "valid_from": date(2024, 4, 1),
            **fields,
        },
    )
    return made


def year_of(day: date) -> tuple[date, date]:
    """Return first and last day of the financial year that includes a date."""
    start = day.year if day.month >= 4 else day.year - 1
    return date(start, 4, 1), date(start + 1, 3, 31)


def year(organization: Organization, start: date | None = None, **fields: Any) -> FinancialYear:
    """Add the year that starts on a day (default: the one that includes today)."""
    first, last = year_of(start or clock.today())
    made: FinancialYear = years.add_financial_year(
        organization, actor=SYSTEM, **{"start_date": start or first, "end_date": last, **fields}
    )
    return made


def series(organization: Organization, kind: str = "trade", **fields: Any) -> DocumentSeries:
    """Add a series to the organization's latest year."""
    made: DocumentSeries = series_services.add_document_series(
        organization,
        actor=SYSTEM,
        **{
            "financial_year": organization.financial_years.order_by("start_date").last(),
            "document_type": kind,
            "template": "TRD-{FY}-{N:6}",
            **fields,
        },
    )
    return made


def account(organization: Organization, *, by: Any, number: str = "", **fields: Any) -> BankAccount:
    """Add an account proposed by ``by``, which is pending approval."""
    digits = number or f"50100{next(_numbers):09d}"
    made: BankAccount = accounts.add_bank_account(
        organization,
        actor=by,
        **{
            "holder": "Cotton House",
            "bank_name": "Zeta Bank",
            "number": digits,
            "number_again": digits,
            "account_type": "current",
            "ifsc": "ZZZB0000001",
            **fields,
        },
    )
    return made


def number(organization: Organization, kind: str = "trade", **fields: Any) -> AllocatedNumber:
    """Allocate a number in its own transaction."""
    with transaction.atomic():
        allocation: AllocatedNumber = series_services.allocate_number(
            organization,
            actor=fields.pop("actor", SYSTEM),
            type=kind,
            **{
                "document_date": clock.today(),
                "reference_type": "paper",
                "reference_id": uuid4(),
                **fields,
            },
        )
    return allocation
