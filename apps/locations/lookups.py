"""Look-ups of places at providers, and distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from apps.locations import capabilities
from apps.locations.clients import Provider, SearchQuery, provider_of
from apps.locations.details import Details
from apps.locations.earth import Point, great_circle_km
from apps.locations.models import Distance, Location, ProviderRef
from erp import clock
from erp.access import Actor
from erp.errors import FieldError, Invalid, NotFound, RuleBroken
from erp.identifiers import STATES


class NoCoordinates(RuleBroken):
    """One of the places has no coordinates."""


class PlaceNotFound(NotFound):
    """The provider doesn't know this place."""

    code = "location.place_not_found"


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """One place in the answer of a provider."""

    details: Details
    label: str
    location_id: UUID | None = None
    distance_km: Decimal | None = None

    @property
    def details_token(self) -> str:
        """The details as a signed token."""
        return self.details.signed()


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The answer of a provider."""

    provider: str
    results: list[FoundPlace]


def search(
    *,
    actor: Actor,
    query: str,
    types: Sequence[str] = (),
    country: str = "IN",
    state: str | None = None,
    near: Point | None = None,
    limit: int = 8,
    provider: str = "",
    session_token: str = "",
) -> SearchResults:
    """Find places by name or PIN code.

    One provider is asked. While it is down the answer is 503; no other provider replaces it.
    """
    source = _provider(provider)
    places = source.search(
        SearchQuery(
            query=query,
            types=tuple(types),
            country=country,
            state=state,
            near=near,
            limit=limit,
            session_token=session_token,
        )
    )
    known = _registered(source, places)
    return SearchResults(
        source.name, [FoundPlace(place, _label(place), known.get(place.provider_id)) for place in places]
    )


def fetch_details(
    *, actor: Actor, provider_id: str, provider: str = "", session_token: str = ""
) -> FoundPlace:
    """Fetch the details of a place, signed so that the place can be added within 15 minutes."""
    source = _provider(provider)
    place = source.details(provider_id, session_token)
    if place is None:
        raise PlaceNotFound
    return FoundPlace(place, _label(place), _registered(source, [place]).get(place.provider_id))


def reverse_geocode(
    *, actor: Actor, latitude: Decimal, longitude: Decimal, radius_km: int = 25, provider: str = ""
) -> SearchResults:
    """Find the places around a point, nearest first."""
    source = _provider(provider)
    nearby = source.reverse(latitude, longitude, radius_km)
    known = _registered(source, [each.place for each in nearby])
    return SearchResults(
        source.name,
        [
            FoundPlace(each.place, _label(each.place), known.get(each.place.provider_id), each.km)
            for each in nearby
        ],
    )


def _provider(name: str) -> Provider:
    provider = provider_of(name)
    if provider is None:
        words = "The provider doesn't exist or isn't enabled."
        raise Invalid(words, errors=[FieldError("/provider", "unknown_provider", words)])
    return provider


def _registered(provider: Provider, places: Sequence[Details]) -> dict[str, UUID]:
    """Return the ids of the places that are registered already, by provider id."""
    refs = ProviderRef.objects.filter(
        provider=provider.name, provider_id__in=[place.provider_id for place in places]
    )
    return dict(refs.values_list("provider_id", "location_id"))


def _label(place: Details) -> str:
    """Return a place in one line: name, district, state and PIN code."""
    state = STATES[place.state].name if place.state else None
    parts = dict.fromkeys(part for part in (place.name, place.district, state) if part)
    tail = f" {place.pincode}" if place.pincode else ""
    return ", ".join(parts) + tail


@dataclass(frozen=True, slots=True)
class KnownDistance:
    """The distance between two places."""

    from_id: UUID
    to_id: UUID
    mode: str
    great_circle_km: Decimal
    km: Decimal | None = None
    transit_days: int | None = None
    source: str | None = None
    valid_from: date | None = None


def distance(origin: UUID, destination: UUID, mode: str, *, actor: Actor) -> KnownDistance:
    """Return the distance between two places: by great circle, and by road or rail where known.

    Raises Invalid for an id that doesn't exist or that the actor can't see; NoCoordinates.
    """
    start, end = _place(origin, "/query/from", actor), _place(destination, "/query/to", actor)
    if start == end:
        return KnownDistance(start.pk, end.pk, mode, Decimal("0.0"))
    known = Distance.objects.between(start, end, mode, clock.today())
    values = (known.km, known.transit_days, known.source, known.valid_from) if known else ()
    return KnownDistance(start.pk, end.pk, mode, great_circle_km(_point(start), _point(end)), *values)


def _point(place: Location) -> Point:
    if place.latitude is None or place.longitude is None:
        raise NoCoordinates(f"{place.name} has no coordinates. Add them to the place first.")
    return place.latitude, place.longitude


def _place(pk: UUID, pointer: str, actor: Actor) -> Location:
    visible = Location.objects.visible_to(actor).permitted(actor, capabilities.VIEW)
    try:
        return visible.resolve(pk)
    except Location.DoesNotExist:
        words = "This row does not exist, or you may not see it."
        raise Invalid(errors=[FieldError(pointer, "does_not_exist", words)]) from None
