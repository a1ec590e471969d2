"""Who can be asked where a place is: one port, the bundled gazetteer, and a service over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Protocol

from django.conf import settings

from apps.locations.clients.bundled import Bundled
from apps.locations.clients.nominatim import Nominatim
from apps.locations.clients.questions import Near, Question
from apps.locations.details import Details

__all__ = ["Near", "Provider", "Question", "provider_of", "providers"]


class Provider(Protocol):
    """A provider of places. Every call may raise Unavailable: a failure never looks like nothing found."""

    name: ClassVar[str]

    def search(self, question: Question) -> list[Details]:
        """Places that a text may mean, the likeliest first."""

    def details(self, provider_id: str, session_token: str = "") -> Details | None:
        """All that is known of a place; None for an id that doesn't exist."""

    def reverse(self, latitude: Decimal, longitude: Decimal, radius_km: int) -> list[Near]:
        """At most five places around a point, nearest first."""


@dataclass(frozen=True, slots=True)
class _Configured:
    url: str
    key: str
    provider: Provider


_nominatim: list[_Configured] = []


def providers() -> Mapping[str, Provider]:
    """Those that are switched on, by name."""
    found: dict[str, Provider] = {"gazetteer": Bundled()}
    if settings.NOMINATIM_URL:
        found["nominatim"] = _over_http(settings.NOMINATIM_URL, settings.NOMINATIM_KEY)
    return found


def _over_http(url: str, key: str) -> Provider:
    """One client per process, since it keeps connections; anew where the settings changed."""
    if not _nominatim or (_nominatim[0].url, _nominatim[0].key) != (url, key):
        _nominatim[:] = [_Configured(url, key, Nominatim(url, key))]
    return _nominatim[0].provider


def provider_of(name: str = "") -> Provider | None:
    """The provider of that name, by default the one of the settings; None where it isn't switched on."""
    return providers().get(name or settings.LOCATION_PROVIDER)
