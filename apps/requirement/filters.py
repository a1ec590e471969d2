"""Query parameters of requirements."""

from typing import Any, Final

import django_filters
from django.db.models import Q
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from apps.requirement import capabilities
from apps.requirement.models import Requirement
from apps.requirement.serializers import DemandQuery
from erp.access import actor_of, holds_everywhere
from erp.api import fields
from erp.api.faults import faults_from, invalid
from erp.errors import FieldError

# What only the buyer and staff may know: a filter would find a masked value by trial.
GUARDED: Final = ("number", "intent", "urgency", "internal_reference", "tag")


class _In(django_filters.BaseInFilter, django_filters.ChoiceFilter):  # type: ignore[misc]
    pass


class RequirementFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the list of requirements beyond its columns."""

    scope = django_filters.ChoiceFilter(
        choices=[("own", "Own"), ("market", "Market"), ("all", "All")],
        method="within_scope",
        label="One's own requirements, those of others that are live, or all (default).",
    )
    status = django_filters.ChoiceFilter(
        choices=Requirement.Status.choices,
        method="with_status",
        label="Status. Without scope=own only live ones, which match each other.",
    )
    status__in = _In(
        choices=Requirement.Status.choices, method="with_status", label="One of these, as for status."
    )
    variety_id = django_filters.UUIDFilter(
        method="accepting", label="Requirements that accept this variety, or any."
    )
    number = django_filters.CharFilter(
        lookup_expr="startswith", label="Beginning of the number. Needs scope=own."
    )
    intent = django_filters.ChoiceFilter(choices=Requirement.Intent.choices, label="Intent. Needs scope=own.")
    urgency = django_filters.ChoiceFilter(
        choices=Requirement.Urgency.choices, label="Urgency. Needs scope=own."
    )
    internal_reference = django_filters.CharFilter(label="The buyer's own reference. Needs scope=own.")
    tag = django_filters.CharFilter(method="tagged", label="One of the buyer's labels. Needs scope=own.")

    def filter_queryset(self, queryset: Any) -> Any:
        """The rows; refuses what would find masked values."""
        asked = [name for name in GUARDED if self.data.get(name)]
        if "live_since" in self.data.get("ordering", "").replace("-", "").split(","):
            asked.append("ordering")  # it is set anew when the buyer would take more, or pay more
        statuses = (self.form.cleaned_data["status"], *(self.form.cleaned_data["status__in"] or ()))
        if set(statuses) - {"", *Requirement.LIVE}:
            asked.append("status" if self.form.cleaned_data["status"] else "status__in")
        if asked and not self._is_open():
            words = "Add scope=own: of other requirements this isn't shown."
            raise invalid([FieldError(f"/query/{name}", "not_allowed", words) for name in asked])
        return super().filter_queryset(queryset)

    def within_scope(self, rows: Any, name: str, scope: str) -> Any:
        """Rows of one's own partner, or those on its market."""
        actor = actor_of(self.request)
        if scope == "own":
            return rows.of_partner(actor, "buyer_partner")
        return rows.on_market_of(actor) if scope == "market" else rows

    def _is_open(self) -> bool:
        """Whether the caller sees every field of the rows it asks for."""
        return self.data.get("scope") == "own" or holds_everywhere(
            actor_of(self.request), capabilities.VIEW_ALL
        )

    def with_status(self, rows: Any, name: str, asked: str | list[str]) -> Any:
        """Rows with a status. Whether anything was bought is masked, so to others both live ones are one."""
        wanted = {asked} if isinstance(asked, str) else set(asked)
        return rows.filter(status__in=wanted if self._is_open() else Requirement.LIVE)

    def accepting(self, rows: Any, name: str, variety_id: Any) -> Any:
        """Rows that accept the variety."""
        return rows.filter(Q(variety_ids=[]) | Q(variety_ids__contains=[variety_id]))

    def tagged(self, rows: Any, name: str, tag: str) -> Any:
        """Rows with the label."""
        return rows.filter(tags__contains=[tag])


DEMAND_QUERY: Final = tuple(DemandQuery._declared_fields)


def parse_demand_query(query: QueryDict, context: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the demand statistics. Raises Invalid with every fault."""
    declared: dict[str, Any] = DemandQuery._declared_fields
    values: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, text in query.dict().items():
        try:
            values[name] = fields.primitive(declared[name], str(text))
        except ValidationError as error:
            faults += faults_from(error.detail, f"/query/{name}")
    asked = DemandQuery(data=values, context=context)
    if faults or not asked.is_valid():
        raise invalid(faults or faults_from(asked.errors, "/query"))
    return dict(asked.validated_data)
