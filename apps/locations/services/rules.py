"""Refusals and checks that several services share."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from django.db import IntegrityError

from apps.locations.models import LEVELS, Location, Merged
from erp.errors import Conflict, Fault, RuleBroken
from erp.identifiers import PIN_CODE, STATES, pin_fits, states_of_pin
from erp.services import attempt

# Moves and merges hold it alone; whoever adds a place holds it with others, so that the tree stands still.
TREE: Final = "location.tree"
# A box around India with its islands.
LATITUDES: Final = (Decimal("6.0"), Decimal("37.6"))
LONGITUDES: Final = (Decimal("68.0"), Decimal("97.6"))
APPLICABLE: Final = {
    "unlocode": {Location.Type.PORT, Location.Type.ICD},
    "customs_code": {Location.Type.PORT, Location.Type.ICD},
    "wdra_code": {Location.Type.WAREHOUSE},
}


class Duplicate(Conflict):
    """There is such a place already."""

    constraints = ("location_once",)


class NotActive(Conflict):
    """The place isn't active."""


class Protected(Conflict):
    """A state of India stays as it is."""


class PinStateMismatch(RuleBroken):
    """The PIN code doesn't lie in the state."""


class OutsideCountry(RuleBroken):
    """The point doesn't lie in the country."""


class ParentType(RuleBroken):
    """A place of this type doesn't lie under that one."""


class StateNeeded(RuleBroken):
    """A place in India has a state."""


class StateMismatch(RuleBroken):
    """The place that it lies in is in another state or country."""


class CoordinatesIncomplete(RuleBroken):
    """Latitude and longitude come together."""


class FieldNotApplicable(RuleBroken):
    """A place of this type has no such code."""


class Cycle(RuleBroken):
    """A place can't lie in itself."""


class TooDeep(RuleBroken):
    """The tree has at most five levels."""


# What the rules across the fields of a place raise, and what moving one in the tree does.
PLACE_ERRORS = (
    Duplicate,
    Protected,
    PinStateMismatch,
    OutsideCountry,
    CoordinatesIncomplete,
    FieldNotApplicable,
)
TREE_ERRORS = (NotActive, Protected, Duplicate, PinStateMismatch, Cycle, TooDeep, Merged)


def is_protected(place: Location) -> bool:
    """Whether it is a state of India, which is reference data."""
    return bool(place.type == Location.Type.STATE and place.country == "IN")


def require_open(place: Location) -> None:
    """Raise Protected for a state of India, NotActive for what isn't active."""
    if is_protected(place):
        raise Protected
    require_active(place)


def require_active(place: Location) -> None:
    """Raise NotActive unless the place may be chosen for something new."""
    if place.status != Location.Status.ACTIVE:
        raise NotActive(f"{place.name} is {place.status.lower()}.", status_now=place.status)


def put_under(place: Location, parent: Location, *, height: int = 0) -> None:
    """Make ``parent`` what ``place`` lies in, and take over its country and state.

    ``height`` is how many levels lie below the place. Raises ParentType, TooDeep.
    """
    if parent.type not in Location.UNDER[Location.Type(place.type)]:
        words = f"A {place.type} doesn't lie under a {parent.type}."
        raise ParentType(words, errors=[Fault("/parent_id", "parent_type", words)])
    levels = len(parent.ancestors) + 2 + height
    if levels > LEVELS:
        raise TooDeep(f"That would be level {levels}; there are {LEVELS}.")
    place.parent = parent
    place.country, place.state_id = parent.country, parent.state_id


def check(place: Location) -> None:
    """Rules across the fields of a place (spec §5.1, §5.3)."""
    if (place.latitude is None) != (place.longitude is None):
        missing = "latitude" if place.latitude is None else "longitude"
        words = "Send both, or neither."
        raise CoordinatesIncomplete(errors=[Fault(f"/{missing}", "required", words)])
    for field, types in APPLICABLE.items():
        if getattr(place, field) and place.type not in types:
            raise FieldNotApplicable(
                errors=[Fault(f"/{field}", "not_applicable", f"A {place.type} has none.")]
            )
    if place.country == "IN":
        check_pins([place])
        check_point(place)


def check_point(place: Location) -> None:
    """The point of a place in India lies there. Raises OutsideCountry."""
    latitude, longitude = place.latitude, place.longitude
    if place.country != "IN" or latitude is None or longitude is None:
        return
    if not (LATITUDES[0] <= latitude <= LATITUDES[1] and LONGITUDES[0] <= longitude <= LONGITUDES[1]):
        words = f"India lies within {LATITUDES[0]}…{LATITUDES[1]} N and {LONGITUDES[0]}…{LONGITUDES[1]} E."
        raise OutsideCountry(words, errors=[Fault("/latitude", "outside_country", words)])


def check_pins(places: Iterable[Location]) -> None:
    """Each PIN code lies in the state of its place in India. Raises PinStateMismatch, with those that fit."""
    for place in places:
        pin, state = place.pincode, place.state_id
        if pin is None or state is None:
            continue
        if not PIN_CODE.is_valid(pin) or not pin_fits(pin, state):
            fitting = [found.code for found in states_of_pin(pin)] if PIN_CODE.is_valid(pin) else []
            words = f"{pin} doesn't lie in {STATES[state].name}."
            raise PinStateMismatch(words, errors=[Fault("/pincode", "state", words)], states=fitting)


def keep(place: Location) -> None:
    """Save the place. Raises Duplicate with the id of the place that has its name, type and parent."""
    try:
        with attempt():
            place.save()
    except IntegrityError as breach:
        twin = (
            Location.objects.selectable()
            .filter(type=place.type, parent=place.parent_id, name_key=place.name_key)
            .exclude(pk=place.pk)
            .first()
        )
        if twin is None:
            raise
        raise Duplicate(f"{twin.name} is there already.", location_id=str(twin.pk)) from breach
