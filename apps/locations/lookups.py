"""Questions about places that a user waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from apps.locations import capabilities
from apps.locations.clients import Provider, Question, provider_of
from apps.locations.details import Details
from apps.locations.earth import Point, great_circle_km
from apps.locations.models import Distance, Location, ProviderRef
from erp import clock
from erp.access import Actor
from erp.errors import Fault, Invalid, NotFound, RuleBroken
from erp.identifiers import STATES


class NoCoordinates(RuleBroken):
    """One of the places has no coordinates."""


class PlaceNotFound(NotFound):
    """The provider knows no such place."""

    code = "location.place_not_found"


@dataclass(frozen=True, slots=True)
class Found:
    """What a provider answers of one place."""

    details: Details
    label: str
    location_id: UUID | None = None
    distance_km: Decimal | None = None

    @property
    def details_token(self) -> str:
        """The facts, signed."""
        return self.details.signed()


@dataclass(frozen=True, slots=True)
class Answers:
    """What a provider answers."""

    provider: str
    results: list[Found]


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
) -> Answers:
    """Find places by name or PIN code. One provider is asked; when it is down the answer is 503, never another's."""
    asked = _provider(provider)
    found = asked.search(
        Question(
            query=query,
            types=tuple(types),
            country=country,
            state=state,
            near=near,
            limit=limit,
            session_token=session_token,
        )
    )
    known = _registered(asked, found)
    return Answers(asked.name, [Found(place, _label(place), known.get(place.provider_id)) for place in found])


def fetch_details(*, actor: Actor, provider_id: str, provider: str = "", session_token: str = "") -> Found:
    """Fetch a place's details from its provider. They are signed, to add the place within 15 minutes."""
    asked = _provider(provider)
    place = asked.details(provider_id, session_token)
    if place is None:
        raise PlaceNotFound
    return Found(place, _label(place), _registered(asked, [place]).get(place.provider_id))


def reverse_geocode(
    *, actor: Actor, latitude: Decimal, longitude: Decimal, radius_km: int = 25, provider: str = ""
) -> Answers:
    """Find the places around a point, nearest first."""
    asked = _provider(provider)
    near = asked.reverse(latitude, longitude, radius_km)
    known = _registered(asked, [found.place for found in near])
    return Answers(
        asked.name,
        [
            Found(found.place, _label(found.place), known.get(found.place.provider_id), found.km)
            for found in near
        ],
    )


def _provider(name: str) -> Provider:
    found = provider_of(name)
    if found is None:
        words = "There is no such provider, or it isn't switched on."
        raise Invalid(words, errors=[Fault("/provider", "unknown_provider", words)])
    return found


def _registered(provider: Provider, places: Sequence[Details]) -> dict[str, UUID]:
    """Ids of the places that are registered already."""
    refs = ProviderRef.objects.filter(
        provider=provider.name, provider_id__in=[place.provider_id for place in places]
    )
    return dict(refs.values_list("provider_id", "location_id"))


def _label(place: Details) -> str:
    """A place in one line, as people write it."""
    state = STATES[place.state].name if place.state else None
    parts = dict.fromkeys(part for part in (place.name, place.district, state) if part)
    tail = f" {place.pincode}" if place.pincode else ""
    return ", ".join(parts) + tail


@dataclass(frozen=True, slots=True)
class Stretch:
    """How far it is from one place to another."""

    from_id: UUID
    to_id: UUID
    mode: str
    great_circle_km: Decimal
    km: Decimal | None = None
    transit_days: int | None = None
    source: str | None = None
    valid_from: date | None = None


def distance(origin: UUID, destination: UUID, mode: str, *, actor: Actor) -> Stretch:
    """How far it is between two places: along the great circle, and by road or rail where that is known.

    Raises Invalid for an id that isn't there, or that the actor can't see; NoCoordinates.
    """
    start, end = _place(origin, "/query/from", actor), _place(destination, "/query/to", actor)
    if start == end:
        return Stretch(start.pk, end.pk, mode, Decimal("0.0"))
    known = Distance.objects.between(start, end, mode, clock.today())
    told = (known.km, known.transit_days, known.source, known.valid_from) if known else ()
    return Stretch(start.pk, end.pk, mode, great_circle_km(_point(start), _point(end)), *told)


def _point(place: Location) -> Point:
    if place.latitude is None or place.longitude is None:
        raise NoCoordinates(f"{place.name} has no coordinates.")
    return place.latitude, place.longitude


def _place(pk: UUID, pointer: str, actor: Actor) -> Location:
    seen = Location.objects.visible_to(actor).permitted(actor, capabilities.VIEW)
    try:
        return seen.resolve(pk)
    except Location.DoesNotExist:
        words = "This row does not exist, or you may not see it."
        raise Invalid(errors=[Fault(pointer, "does_not_exist", words)]) from None
