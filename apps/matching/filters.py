"""Query parameters of matches."""

from typing import Any, Final
from uuid import UUID

import django_filters
from rest_framework.request import Request

from apps.matching.lookups import MOST_SAMPLE, SAMPLE
from apps.matching.models import Side
from erp.access import actor_of
from erp.api.faults import invalid
from erp.errors import FieldError

STAFF_ORDER: Final = "score"
END: Final = "expires_at"


class MatchFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the list of matches beyond its columns."""

    requirement_id = django_filters.UUIDFilter(
        method="of_requirement", label="Requirement; of a partner its own."
    )
    commodity_id = django_filters.UUIDFilter(
        field_name="availability__commodity", label="Goods of the offer."
    )
    side = django_filters.ChoiceFilter(
        choices=Side.choices, method="on_side", label="Side of the caller's own partner."
    )
    run_id = django_filters.UUIDFilter(
        method="of_run", label="Run that made it, of the caller's own listings."
    )

    def filter_queryset(self, queryset: Any) -> Any:
        """The rows; refuses an order by what only staff see exactly."""
        asked = self.data.get("ordering", "").replace("-", "").split(",")
        if STAFF_ORDER in asked and self._partner_id is not None:
            raise invalid(
                [FieldError("/query/ordering", "not_allowed", "Only staff can order by the score.")]
            )
        if self._partner_id is not None and (END in asked or any(name.startswith(END) for name in self.data)):
            queryset = queryset.filter(
                buyer_partner_id=self._partner_id
            )  # sellers don't learn a requirement's end
        return super().filter_queryset(queryset)

    @property
    def _partner_id(self) -> Any:
        return actor_of(self.request).partner_id

    def of_requirement(self, rows: Any, name: str, key: Any) -> Any:
        """Matches of a requirement. Sellers don't learn which one is behind a match, so for them there are none."""
        rows = rows.filter(requirement_id=key)
        return rows if self._partner_id is None else rows.filter(buyer_partner_id=self._partner_id)

    def on_side(self, rows: Any, name: str, side: str) -> Any:
        """Matches in which the caller's partner is on that side."""
        column = "buyer_partner_id" if side == Side.BUYER else "seller_partner_id"
        return rows.filter(**{column: self._partner_id}) if self._partner_id is not None else rows

    def of_run(self, rows: Any, name: str, key: Any) -> Any:
        """Matches that a run made; a partner knows the runs of its own listings only."""
        rows = rows.filter(run_id=key)
        if self._partner_id is None:
            return rows
        own = rows.filter(run__requirement__buyer_partner_id=self._partner_id)
        return own | rows.filter(run__availability__seller_partner_id=self._partner_id)


def id_in(values: Any, name: str, *, of: str = "/query") -> UUID | None:
    """An id among query parameters or, with ``of`` empty, members of a body; None where missing. Raises Invalid."""
    text = values.get(name) if hasattr(values, "get") else None
    try:
        return None if text is None else UUID(str(text))
    except ValueError:
        raise invalid([FieldError(f"{of}/{name}", "format", "Send a UUID.")]) from None


def sample_of(request: Request) -> int:
    """How many requirements a simulation takes. Raises Invalid."""
    text = request.query_params.get("sample", str(SAMPLE))
    if (
        not text.isascii()
        or not text.isdecimal()
        or not 1 <= len(text) <= 3
        or not 1 <= int(text) <= MOST_SAMPLE
    ):
        raise invalid(
            [FieldError("/query/sample", "out_of_range", f"A whole number from 1 to {MOST_SAMPLE}.")]
        )
    return int(text)
