"""Filters of the list of sessions."""

from typing import Any

from django_filters import rest_framework as filters

from apps.accounts.models import Session


class SessionFilter(filters.FilterSet):  # type: ignore[misc]
    """``live=true``: sessions that may still be used."""

    live = filters.ChoiceFilter(
        choices=[("true", "true")], method="only_live", label="`true`: sessions that may still be used."
    )

    class Meta:
        model = Session
        fields: tuple[str, ...] = ()

    def only_live(self, rows: Any, name: str, value: str) -> Any:
        """Filter live sessions."""
        return rows.live()
