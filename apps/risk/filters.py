"""Query parameters of risk beyond columns."""

from typing import Any

import django_filters


class AssessmentFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the list of assessments."""

    gate = django_filters.CharFilter(method="with_gate", label="Code of a gate that fired.")
    partner_id = django_filters.UUIDFilter(method="of_owner", label="Partner, or owner of the listing.")
    policy_version = django_filters.NumberFilter(
        field_name="policy__policy_version", label="Version of the policy."
    )
    current = django_filters.BooleanFilter(method="that_are_current", label="Only the newest that is valid.")

    def with_gate(self, rows: Any, name: str, code: str) -> Any:
        """Rows in which the gate fired."""
        return rows.with_gate(code)

    def of_owner(self, rows: Any, name: str, partner_id: Any) -> Any:
        """Rows about the partner or one of its listings."""
        return rows.of_owner(partner_id)

    def that_are_current(self, rows: Any, name: str, wanted: bool) -> Any:
        """The newest rows of their subjects."""
        return rows.current() if wanted else rows


class OfPartnerFilters(django_filters.FilterSet):  # type: ignore[misc]
    """A filter of rows that concern a partner."""

    partner_id = django_filters.UUIDFilter(method="of_partner_id", label="One of the partners.")

    def of_partner_id(self, rows: Any, name: str, partner_id: Any) -> Any:
        """Rows that concern the partner."""
        return rows.of(partner_id)
