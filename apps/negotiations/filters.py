"""Query parameters of negotiations."""

from typing import Any

import django_filters

from apps.negotiations.models import Side
from erp.access import actor_of


class NegotiationFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the list of negotiations beyond its columns."""

    side = django_filters.ChoiceFilter(
        choices=Side.choices, method="on_side", label="Negotiations in which you are this side."
    )
    requirement_id = django_filters.UUIDFilter(
        method="of_requirement", label="Negotiations of one of your own requirements."
    )

    def on_side(self, rows: Any, name: str, side: str) -> Any:
        """Rows in which the caller is the side."""
        return rows.on_side(actor_of(self.request), side)

    def of_requirement(self, rows: Any, name: str, requirement_id: Any) -> Any:
        """Rows of the requirement, which only its buyer and staff know."""
        actor = actor_of(self.request)
        known = rows if actor.partner_id is None else rows.on_side(actor, Side.BUYER)
        return known.filter(requirement=requirement_id)
