"""What queries about commodities can hold."""

from typing import Any

import django_filters
from django import forms
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from apps.commodities.models import TaxRate
from erp.api import fields
from erp.api.faults import faults_from, invalid
from erp.errors import Fault


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
    """What a list of rows that hold between two dates can be asked beyond its columns."""

    on_date = DayFilter(label="Rows that hold on this date.", method="holding")

    def holding(self, rows: Any, name: str, day: Any) -> Any:
        """Rows that hold on ``day``."""
        return rows.on(day)


TAX_QUERY: dict[str, Any] = {
    "on_date": fields.DateField(),
    "condition": fields.ChoiceField(choices=TaxRate.Condition.choices),
}


def parse_tax_query(query: QueryDict) -> dict[str, Any]:
    """The date and the condition of a question for the tax, each None where it isn't said. Raises ``Invalid``."""
    asked: dict[str, Any] = dict.fromkeys(TAX_QUERY)
    faults: list[Fault] = []
    for name, text in query.dict().items():
        try:
            asked[name] = fields.from_text(TAX_QUERY[name], str(text))
        except ValidationError as error:
            faults += faults_from(error.detail, f"/query/{name}")
    if faults:
        raise invalid(faults)
    return asked
