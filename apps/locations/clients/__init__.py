"""Providers of places: their protocol, the bundled gazetteer, and a service over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Protocol

from django.conf import settings

from apps.locations.clients.bundled import Bundled
from apps.locations.clients.nominatim import Nominatim
from apps.locations.clients.queries import Near, SearchQuery
from apps.locations.details import Details

__all__ = ["Near", "Provider", "SearchQuery", "provider_of", "providers"]


class Provider(Protocol):
    """A provider of places. Every call may raise Unavailable: a failure never looks like an empty result."""

    name: ClassVar[str]

    def search(self, query: SearchQuery) -> list[Details]:
        """Return places that match a text, the best match first."""

    def details(self, provider_id: str, session_token: str = "") -> Details | None:
        """Return the details of a place; None for an id that doesn't exist."""

    def reverse(self, latitude: Decimal, longitude: Decimal, radius_km: int) -> list[Near]:
        """Return at most five places around a point, nearest first."""


@dataclass(frozen=True, slots=True)
class _Configured:
    url: str
    key: str
    provider: Provider


_nominatim: list[_Configured] = []


def providers() -> Mapping[str, Provider]:
    """Return the enabled providers by name."""
    enabled: dict[str, Provider] = {"gazetteer": Bundled()}
    if settings.NOMINATIM_URL:
        enabled["nominatim"] = _over_http(settings.NOMINATIM_URL, settings.NOMINATIM_KEY)
    return enabled


def _over_http(url: str, key: str) -> Provider:
    """Return the one client of the process, which reuses connections; a new one when the settings changed."""
    if not _nominatim or (_nominatim[0].url, _nominatim[0].key) != (url, key):
        _nominatim[:] = [_Configured(url, key, Nominatim(url, key))]
    return _nominatim[0].provider


def provider_of(name: str = "") -> Provider | None:
    """Return the provider of that name, by default that of the settings; None if it isn't enabled."""
    return providers().get(name or settings.LOCATION_PROVIDER)
