"""Query parameters of trades. What only a side sees finds rows of one's own sides only, for no filter may tell it."""

from typing import Any

import django_filters

from apps.trades.models import Party, Trade
from erp.access import actor_of


class TradeFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the list of trades."""

    number = django_filters.CharFilter(lookup_expr="startswith", label="Beginning of the number.")
    seller_id = django_filters.UUIDFilter(
        method="of_own_side", label="The seller. Finds trades of your own side."
    )
    buyer_id = django_filters.UUIDFilter(
        method="of_own_side", label="The buyer. Finds trades of your own side."
    )
    match_id = django_filters.UUIDFilter(method="of_own_side", label="The match.")
    negotiation_id = django_filters.UUIDFilter(method="of_own_side", label="The negotiation.")
    availability_id = django_filters.UUIDFilter(method="of_own_side", label="The offer.")
    requirement_id = django_filters.UUIDFilter(
        method="for_requirement", label="The requirement; finds only trades that you buy, or any for staff."
    )
    trade_date__gte = django_filters.DateFilter(method="of_own_side", label="Traded on that day or later.")
    trade_date__lte = django_filters.DateFilter(method="of_own_side", label="Traded on that day or earlier.")
    contract_value__gte = django_filters.NumberFilter(method="of_own_side", label="Least contract value.")
    contract_value__lte = django_filters.NumberFilter(method="of_own_side", label="Greatest contract value.")
    settled_date__gte = django_filters.DateFilter(method="settled", label="Settled on that day or later.")
    settled_date__lte = django_filters.DateFilter(method="settled", label="Settled on that day or earlier.")
    deadline_due = django_filters.DateFilter(
        method="with_deadline", label="Trades with an open deadline on or before that day."
    )
    external_ref = django_filters.CharFilter(method="by_reference", label="Your own reference.")

    def of_own_side(self, rows: Any, name: str, value: Any) -> Any:
        """Rows by a masked column."""
        return rows.of_side(actor_of(self.request)).filter(**{name: value})

    def for_requirement(self, rows: Any, name: str, value: Any) -> Any:
        """Rows for a requirement, which the seller doesn't learn."""
        actor = actor_of(self.request)
        found = rows.filter(requirement_id=value)
        return found if actor.partner_id is None else found.filter(buyer_id=actor.partner_id)

    def settled(self, rows: Any, name: str, value: Any) -> Any:
        """Rows by the day of their settlement in force."""
        rows = rows.of_side(actor_of(self.request)).filter(status=Trade.Status.SETTLED)
        return rows.filter(**{f"settlements__{name}": value}, settlements__reversed_by=None).distinct()

    def with_deadline(self, rows: Any, name: str, day: Any) -> Any:
        """Rows with something due."""
        return rows.of_side(actor_of(self.request)).deadline_due(day)

    def by_reference(self, rows: Any, name: str, value: str) -> Any:
        """Rows by the caller's own reference; staff find any."""
        actor = actor_of(self.request)
        named = Party.objects.filter(external_ref=value)
        own = named if actor.partner_id is None else named.of_partner(actor, "partner")
        return rows.filter(pk__in=own.values("trade"))
