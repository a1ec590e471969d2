"""The company's organizations: registrations, bank accounts, years, document numbers, calendars."""

from apps.organization.models.calendars import Calendar, CalendarDay
from apps.organization.models.identity import (
    BankAccount,
    GstRegistration,
    Organization,
)
from apps.organization.models.numbers import (
    TAX_TYPES,
    AllocatedNumber,
    DocumentSeries,
    DocumentType,
    NumberFormat,
    lacks_financial_year,
)
from apps.organization.models.years import (
    LONGEST_FIRST_YEAR,
    YEAR_END,
    FinancialYear,
    months_after,
)

__all__ = [
    "LONGEST_FIRST_YEAR",
    "TAX_TYPES",
    "YEAR_END",
    "AllocatedNumber",
    "BankAccount",
    "Calendar",
    "CalendarDay",
    "DocumentSeries",
    "DocumentType",
    "FinancialYear",
    "NumberFormat",
    "GstRegistration",
    "Organization",
    "months_after",
    "lacks_financial_year",
]
