"""Query parameters of requirements."""

from datetime import date
from typing import Any, Final

import django_filters
from django.db.models import Q

from apps.availability.listings import ListingFilters
from apps.requirement import capabilities
from apps.requirement.models import Requirement

_STATUSES: Final = ("status", "status__in")


class _In(django_filters.BaseInFilter, django_filters.ChoiceFilter):  # type: ignore[misc]
    pass


class RequirementFilters(ListingFilters):
    """Filters of the list of requirements beyond its columns."""

    owner, day = "buyer_partner", "published_date"
    sees_all = capabilities.VIEW_ALL
    guarded = (*ListingFilters.guarded, "intent", "urgency")
    guarded_orders = ("live_since",)  # it is set anew when the buyer would take more, or pay more

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
    delivery_on_date = django_filters.DateFilter(
        method="delivered_on", input_formats=["%Y-%m-%d"], label="A day of delivery."
    )
    intent = django_filters.ChoiceFilter(choices=Requirement.Intent.choices, label="Intent. Needs scope=own.")
    urgency = django_filters.ChoiceFilter(
        choices=Requirement.Urgency.choices, label="Urgency. Needs scope=own."
    )

    def guarded_parameters(self) -> list[str]:
        asked = self.form.cleaned_data
        statuses = {name: {asked[name]} if name == "status" else set(asked[name] or ()) for name in _STATUSES}
        ended = [name for name, values in statuses.items() if values - {"", *Requirement.LIVE}]
        return super().guarded_parameters() + ended

    def with_status(self, rows: Any, name: str, asked: str | list[str]) -> Any:
        """Rows with a status. Whether anything was bought is masked, so to others both live ones are one."""
        wanted = {asked} if isinstance(asked, str) else set(asked)
        return rows.filter(status__in=wanted if self.is_open() else Requirement.LIVE)

    def delivered_on(self, rows: Any, name: str, day: date) -> Any:
        """Rows whose window has the day; their flexibility is masked."""
        return rows.filter(delivery_from_date__lte=day, delivery_until_date__gte=day)

    def accepting(self, rows: Any, name: str, variety_id: Any) -> Any:
        """Rows that accept the variety."""
        return rows.filter(Q(variety_ids=[]) | Q(variety_ids__contains=[variety_id]))
