"""Query parameters of offers."""

from datetime import date, time, timedelta
from typing import Any, Final

import django_filters
from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError

from apps.availability import capabilities
from apps.availability.listings import ListingFilters
from erp import clock
from erp.api import fields
from erp.api.serializers import faults_from, invalid
from erp.errors import FieldError


class OfferFilters(ListingFilters):
    """Filters of the list of offers beyond its columns."""

    owner, day = "seller_partner", "listed_date"
    sees_all = capabilities.VIEW_ALL

    available_on_date = django_filters.DateFilter(
        method="available_on", input_formats=["%Y-%m-%d"], label="Day on which the goods can be collected."
    )

    def available_on(self, rows: Any, name: str, day: date) -> Any:
        """Rows whose window has the day."""
        return rows.available_on(day)


DAYS: Final = 30
_FIELDS: Final[dict[str, Any]] = {
    "from_date": fields.DateField(),
    "to_date": fields.DateField(),
    "commodity_id": fields.UUIDField(),
}
PARAMETERS: Final = [
    OpenApiParameter(
        "from_date", {"type": "string", "format": "date"}, description="Default: 30 days before."
    ),
    OpenApiParameter("to_date", {"type": "string", "format": "date"}, description="Default: today."),
    OpenApiParameter("commodity_id", {"type": "string", "format": "uuid"}, description="One commodity."),
]


def parse_period(query: QueryDict) -> dict[str, Any]:
    """The period as two moments in Indian time, and the commodity or None. Raises ``Invalid``."""
    values: dict[str, Any] = dict.fromkeys(_FIELDS)
    faults: list[FieldError] = []
    for name, text in query.dict().items():
        try:
            values[name] = fields.from_text(_FIELDS[name], str(text))
        except ValidationError as error:
            faults += faults_from(error.detail, f"/query/{name}")
    last = values["to_date"] or clock.today()
    first = values["from_date"] or last - timedelta(days=DAYS)
    if first > last:
        faults.append(FieldError("/query/to_date", "before_from", "The period ends before it begins."))
    if faults:
        raise invalid(faults)
    return {
        "start": clock.instant(first, time(), clock.KOLKATA),
        "end": clock.instant(last + timedelta(days=1), time(), clock.KOLKATA),
        "commodity_id": values["commodity_id"],
    }
