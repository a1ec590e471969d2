"""Query parameters of commodities."""

from typing import Any

import django_filters
from django import forms
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from apps.commodities.models.tax import TaxRate
from erp.api import fields
from erp.api.faults import faults_from, invalid
from erp.errors import FieldError


class DayField(forms.CharField):
    """A day as ``YYYY-MM-DD``, as strict as in a body."""

    def clean(self, value: Any) -> Any:
        """The day, or None."""
        text = super().clean(value)
        try:
            return fields.from_text(fields.DateField(), text) if text else None
        except ValidationError:
            raise forms.ValidationError("Send a date as YYYY-MM-DD.", code="invalid") from None


class DayFilter(django_filters.Filter):  # type: ignore[misc]
    """A filter by a day."""

    field_class = DayField


class DatedFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of a list of rows that are effective between two dates."""

    on_date = DayFilter(label="Rows that are effective on this date.", method="effective_on")

    def effective_on(self, rows: Any, name: str, day: Any) -> Any:
        """Rows that are effective on ``day``."""
        return rows.on(day)


TAX_QUERY: dict[str, Any] = {
    "on_date": fields.DateField(),
    "condition": fields.ChoiceField(choices=TaxRate.Condition.choices),
}


def parse_tax_query(query: QueryDict) -> dict[str, Any]:
    """Parse the date and the condition of a tax query, each None where it is left out. Raises ``Invalid``."""
    values: dict[str, Any] = dict.fromkeys(TAX_QUERY)
    faults: list[FieldError] = []
    for name, text in query.dict().items():
        try:
            values[name] = fields.from_text(TAX_QUERY[name], str(text))
        except ValidationError as error:
            faults += faults_from(error.detail, f"/query/{name}")
    if faults:
        raise invalid(faults)
    return values
