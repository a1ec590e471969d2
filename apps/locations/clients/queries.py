"""What providers are asked, and what they answer beside the details of places."""

from dataclasses import dataclass
from decimal import Decimal

from apps.locations.details import Details


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A search for places by text. ``state`` is a GST code; ``near`` puts what is near that point first."""

    query: str
    types: tuple[str, ...] = ()
    country: str = "IN"
    state: str | None = None
    near: tuple[Decimal, Decimal] | None = None
    limit: int = 8
    session_token: str = ""


@dataclass(frozen=True, slots=True)
class Near:
    """A place and how far it is from the point asked about."""

    place: Details
    km: Decimal
