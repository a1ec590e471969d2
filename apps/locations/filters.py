"""Filters and query parameters of places."""

from decimal import Decimal
from typing import Any, Final

import django_filters
from django import forms
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from apps.locations.models import Distance, State, code_of
from erp.api import fields
from erp.api.faults import faults_from, invalid
from erp.errors import FieldError

RADIUS_KM: Final = (Decimal(25), Decimal(500))  # default, most


class PointField(forms.CharField):
    """``near=22.3,70.8``: latitude and longitude."""

    def clean(self, value: Any) -> Any:
        """Return the two decimals, or None."""
        text = super().clean(value)
        if not text:
            return None
        try:
            latitude, longitude = (
                fields.from_text(
                    fields.DecimalField(9, 6, min_value=Decimal(-limit), max_value=Decimal(limit)), part
                )
                for part, limit in zip(text.split(","), (90, 180), strict=True)
            )
        except (ValidationError, ValueError):
            raise forms.ValidationError("Use latitude,longitude, such as 22.3,70.8.", code="format") from None
        return latitude, longitude


class StateChoice(forms.CharField):
    """A state by code, letters or name."""

    def clean(self, value: Any) -> Any:
        """Return its GST code, or None."""
        text = super().clean(value)
        code = code_of(text) if text else None
        if text and code is None:
            raise forms.ValidationError(
                "Unknown state. Use its code or name, such as 24, GJ or Gujarat.", code="unknown_state"
            )
        return code


class _Near(django_filters.Filter):  # type: ignore[misc]
    field_class = PointField


class _State(django_filters.Filter):  # type: ignore[misc]
    field_class = StateChoice


class PlaceFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of a list of places beyond its columns."""

    state = _State(field_name="state_id", label="A state by GST code, letters, name or older name.")
    region = django_filters.ChoiceFilter(
        field_name="state__region", choices=State.Region.choices, label="Region of India."
    )
    cotton_zone = django_filters.ChoiceFilter(
        field_name="state__cotton_zone",
        choices=State.CottonZone.choices,
        label="Zone of the Cotton Corporation of India.",
    )
    pincode_prefix = django_filters.CharFilter(
        field_name="pincode", lookup_expr="startswith", label="First digits of the PIN code.", max_length=12
    )
    near = _Near(method="within", label="`latitude,longitude`: only places within `radius_km` of it.")
    radius_km = django_filters.NumberFilter(
        method="widen", min_value=1, max_value=RADIUS_KM[1], label="With `near`: 1 to 500, default 25."
    )

    def within(self, places: Any, name: str, point: Any) -> Any:
        """Return places near a point."""
        return places.near(*point, self.form.cleaned_data.get("radius_km") or RADIUS_KM[0])

    def widen(self, places: Any, name: str, radius: Any) -> Any:
        """Return all places: ``within`` reads the radius."""
        return places


def distance_query(query: QueryDict) -> dict[str, Any]:
    """Return the ids ``from`` and ``to`` and the ``mode`` of a request for a distance. Raises ``Invalid``."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, field in (
        ("from", fields.UUIDField()),
        ("to", fields.UUIDField()),
        ("mode", fields.ChoiceField(choices=Distance.Mode.choices)),
    ):
        try:
            values[name] = fields.from_text(field, query.get(name, "ROAD" if name == "mode" else ""))
        except ValidationError as error:
            errors += faults_from(error.detail, f"/query/{name}")
    if errors:
        raise invalid(errors)
    return values
