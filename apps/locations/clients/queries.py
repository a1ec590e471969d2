"""Search queries to providers, and their answers about places near a point."""

from dataclasses import dataclass
from decimal import Decimal

from apps.locations.details import Details


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A search for places by text. ``state`` is a GST code; ``near`` ranks places near that point first."""

    query: str
    types: tuple[str, ...] = ()
    country: str = "IN"
    state: str | None = None
    near: tuple[Decimal, Decimal] | None = None
    limit: int = 8
    session_token: str = ""


@dataclass(frozen=True, slots=True)
class Near:
    """A place and its distance from the point of the request."""

    place: Details
    km: Decimal
