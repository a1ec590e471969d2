"""What the APIs of offers and of requirements have in common: filters of lists, and the history."""

import hashlib
from typing import Any, ClassVar

import django_filters
from django.http import QueryDict

from apps.availability.models import Stage
from erp.access import Capability, actor_of, holds_everywhere
from erp.api import fields
from erp.api.faults import faults_from, invalid
from erp.api.serializers import Input
from erp.api.timelines import TimelineViewSet
from erp.api.viewsets import ViewSet
from erp.errors import FieldError, NotFound


def parse_query(asked: type[Input], query: QueryDict, context: dict[str, Any]) -> dict[str, Any]:
    """The query of a read by an input's fields. Raises Invalid with every fault."""
    declared: dict[str, Any] = asked._declared_fields
    values = {name: fields.primitive(declared[name], str(text)) for name, text in query.dict().items()}
    filled = asked(data=values, context=context)
    if not filled.is_valid():
        raise invalid(faults_from(filled.errors, "/query"))
    return dict(filled.validated_data)


def digest_of(view: ViewSet, row: Any) -> str:
    """The ETag of a row for a caller who sees a part of it: it moves only with what the caller sees."""
    return f'"{hashlib.sha256(view.encode(view.render(row))).hexdigest()[:32]}"'


class ListingFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of a list in which a partner meets rows of others, of which it sees some fields only.

    ``owner``: relation to the partner whose rows they are. ``sees_all``: the capability with which every field is
    seen. ``guarded``: what only the owner and staff may ask for. ``day``: the column by which rows of others are
    ordered; ids, which order rows of one day, are random, so the list doesn't tell which rows were posted together.
    """

    owner: ClassVar[str]
    sees_all: ClassVar[Capability]
    guarded: ClassVar[tuple[str, ...]] = ("number", "internal_reference", "tag")
    guarded_orders: ClassVar[tuple[str, ...]] = ()
    day: ClassVar[str]

    scope = django_filters.ChoiceFilter(
        choices=[("own", "Own"), ("market", "Market"), ("all", "All")],
        method="within_scope",
        label="One's own rows, those of others that are live, or all (default).",
    )
    number = django_filters.CharFilter(
        lookup_expr="startswith", label="Beginning of the number. Needs scope=own."
    )
    internal_reference = django_filters.CharFilter(label="The owner's own reference. Needs scope=own.")
    tag = django_filters.CharFilter(method="tagged", label="One of the owner's tags. Needs scope=own.")

    def filter_queryset(self, queryset: Any) -> Any:
        """The rows; refuses what would find masked values."""
        asked = self.guarded_parameters()
        if asked and not self.is_open():
            words = "Add scope=own: of rows of others this isn't shown."
            raise invalid([FieldError(f"/query/{name}", "not_allowed", words) for name in asked])
        return super().filter_queryset(queryset)

    def guarded_parameters(self) -> list[str]:
        """Parameters of the request that need to see every field."""
        orders = {term.removeprefix("-") for term in self.data.get("ordering", "").split(",")}
        ordering = ["ordering"] if orders & set(self.guarded_orders) else []
        return [name for name in self.guarded if self.data.get(name)] + ordering

    def is_open(self) -> bool:
        """Whether the caller sees every field of the rows that it asks for."""
        return self.data.get("scope") == "own" or holds_everywhere(actor_of(self.request), self.sees_all)

    def in_order(self, terms: list[str]) -> list[str]:
        """The order in which the caller gets the rows: of others by day instead of by moment."""
        if self.is_open():
            return terms
        by_day = [f"-{self.day}" if term.startswith("-") else self.day for term in terms]
        return list(dict.fromkeys(by_day))[:1]

    def within_scope(self, rows: Any, name: str, scope: str) -> Any:
        """Rows of one's own partner, or those on its market."""
        actor = actor_of(self.request)
        if scope == "own":
            return rows.of_partner(actor, self.owner)
        return rows.on_market_of(actor) if scope == "market" else rows

    def tagged(self, rows: Any, name: str, tag: str) -> Any:
        """Rows with the tag."""
        return rows.filter(tags__contains=[tag])


class ListingTimeline(TimelineViewSet):
    """What was done to a listing, the newest first; for its owner and staff."""

    def whole(self) -> Any:
        """The listing. Raises NotFound for other partners, whatever they see of it."""
        row = super().whole()
        if row.stage_for(actor_of(self.request)) < Stage.OWNER:
            raise NotFound
        return row
