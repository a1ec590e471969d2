"""Errors and checks that several services share."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from django.db import IntegrityError

from apps.locations.models import LEVELS, Location, Merged
from erp.errors import Conflict, FieldError, RuleBroken
from erp.identifiers import PIN_CODE, STATES, pin_fits, states_of_pin
from erp.services import attempt

# Advisory lock: exclusive for moves and merges, shared for additions, so that the tree doesn't change meanwhile.
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
    """The place exists already."""

    constraints = ("location_once",)


class NotActive(Conflict):
    """The place isn't active."""


class Protected(Conflict):
    """States of India can't be changed."""


class PinStateMismatch(RuleBroken):
    """The PIN code doesn't belong to the state."""


class OutsideCountry(RuleBroken):
    """The coordinates are outside the country."""


class ParentType(RuleBroken):
    """A place of this type can't be located in a place of that type."""


class StateNeeded(RuleBroken):
    """A place in India needs a state."""


class StateMismatch(RuleBroken):
    """The parent is in another state or country."""


class CoordinatesIncomplete(RuleBroken):
    """Latitude and longitude must be entered together."""


class FieldNotApplicable(RuleBroken):
    """The code doesn't apply to this type of place."""


class Cycle(RuleBroken):
    """A place can't be located in itself."""


class TooDeep(RuleBroken):
    """Places can be nested at most five levels deep."""


# Errors of the rules across the fields of a place, and of moving a place in the tree.
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
    """Return whether it is a state of India, which is reference data."""
    return bool(place.type == Location.Type.STATE and place.country == "IN")


def require_movable(place: Location) -> None:
    """Raise Protected for a state of India, NotActive for an inactive place."""
    if is_protected(place):
        raise Protected
    require_active(place)


def require_active(place: Location) -> None:
    """Raise NotActive unless the place may be chosen for something new."""
    if place.status != Location.Status.ACTIVE:
        raise NotActive(f"{place.name} is {place.get_status_display().lower()}.", status_now=place.status)


def set_parent(place: Location, parent: Location, *, height: int = 0) -> None:
    """Set the parent of a place, with its country and state.

    ``height`` is the number of levels below the place. Raises ParentType, TooDeep.
    """
    if parent.type not in Location.PARENT_TYPES[Location.Type(place.type)]:
        words = f"A {place.type} can't be located in a {parent.type}."
        raise ParentType(words, errors=[FieldError("/parent_id", "parent_type", words)])
    levels = len(parent.ancestors) + 2 + height
    if levels > LEVELS:
        raise TooDeep(f"The place would be at level {levels}. The limit is {LEVELS}.")
    place.parent = parent
    place.country, place.state_id = parent.country, parent.state_id


def check(place: Location) -> None:
    """Check the rules across the fields of a place."""
    if (place.latitude is None) != (place.longitude is None):
        missing = "latitude" if place.latitude is None else "longitude"
        words = "Enter both latitude and longitude, or neither."
        raise CoordinatesIncomplete(errors=[FieldError(f"/{missing}", "required", words)])
    for field, types in APPLICABLE.items():
        if getattr(place, field) and place.type not in types:
            raise FieldNotApplicable(
                errors=[
                    FieldError(
                        f"/{field}",
                        "not_applicable",
                        f"Leave this empty: it doesn't apply to the type {place.get_type_display()}.",
                    )
                ]
            )
    if place.country == "IN":
        check_pins([place])
        check_point(place)


def check_point(place: Location) -> None:
    """Check that the point of a place in India is in India. Raises OutsideCountry."""
    latitude, longitude = place.latitude, place.longitude
    if place.country != "IN" or latitude is None or longitude is None:
        return
    if not (LATITUDES[0] <= latitude <= LATITUDES[1] and LONGITUDES[0] <= longitude <= LONGITUDES[1]):
        words = f"India is within {LATITUDES[0]}–{LATITUDES[1]} N and {LONGITUDES[0]}–{LONGITUDES[1]} E."
        raise OutsideCountry(words, errors=[FieldError("/latitude", "outside_country", words)])


def check_pins(places: Iterable[Location]) -> None:
    """Check that each PIN code belongs to the state of its place. Raises PinStateMismatch with the states that fit."""
    for place in places:
        pin, state = place.pincode, place.state_id
        if pin is None or state is None:
            continue
        if not PIN_CODE.is_valid(pin) or not pin_fits(pin, state):
            fitting = [each.code for each in states_of_pin(pin)] if PIN_CODE.is_valid(pin) else []
            words = f"PIN code {pin} doesn't belong to {STATES[state].name}."
            raise PinStateMismatch(words, errors=[FieldError("/pincode", "state", words)], states=fitting)


def save_place(place: Location) -> None:
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
        raise Duplicate(f"{twin.name} exists already.", location_id=str(twin.pk)) from breach
