"""What the list of sessions can be asked."""

from typing import Any

from django_filters import rest_framework as filters

from apps.accounts.models import Session


class SessionFilter(filters.FilterSet):  # type: ignore[misc]
    """``live=true``: sessions that may still be used."""

    live = filters.ChoiceFilter(
        choices=[("true", "true")], method="only_live", label="`true`: those that may still be used."
    )

    class Meta:
        model = Session
        fields: tuple[str, ...] = ()

    def only_live(self, rows: Any, name: str, value: str) -> Any:
        """Narrow the rows."""
        return rows.live()
