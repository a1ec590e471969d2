"""Services that move and merge places, one at a time (see ``rules.TREE``)."""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, Q

from apps.locations import capabilities, events
from apps.locations.models import LONGEST_ALIAS, MOST_ALIASES, Distance, Location, ProviderRef
from apps.locations.services.rules import (
    TREE,
    TREE_ERRORS,
    Cycle,
    OutsideCountry,
    ParentType,
    check,
    check_pins,
    check_point,
    require_active,
    require_movable,
    save_place,
    set_parent,
)
from erp import access, clock
from erp.access import Actor
from erp.errors import FieldError, RuleBroken
from erp.services import emit, service
from erp.text import name_key


class SameRow(RuleBroken):
    """A place can't be merged into itself."""


class OtherType(RuleBroken):
    """The places are of different types."""


class OtherCountry(RuleBroken):
    """The places are in different countries."""


@service(
    label="Move",
    requires=capabilities.MANAGE_HIERARCHY,
    emits=[events.LocationReparented],
    raises=[*TREE_ERRORS, ParentType, OutsideCountry],
    advisory_lock=TREE,
)
def reparent(location: Location, *, actor: Actor, parent: Location | None) -> Location:
    """Move a place to another that it is located in.

    Country and state of the place and of all places in it become those of the new parent. Only outside India can a
    place have no parent.
    """
    require_movable(location)
    if location.parent_id == (parent.pk if parent else None):
        return location
    _move(location, parent)
    return location


@service(
    requires=capabilities.MANAGE_HIERARCHY,
    emits=[events.LocationMerged, events.LocationReparented],
    raises=[*TREE_ERRORS, SameRow, OtherType, OtherCountry],
    advisory_lock=TREE,
)
def merge(location: Location, *, actor: Actor, into: Location, reason: str) -> Location:
    """Merge a place into another of its type. This can't be undone.

    Returns the other place. Provider ids, names, children and distances move to it; places merged into the loser
    before now point to the winner. Other modules follow when the event reaches them.
    """
    if into.pk == location.pk:
        raise SameRow(errors=[FieldError("/into_id", "same_row", "Choose another place.")])
    require_movable(location)
    winner: Location = Location.objects.locked().get(pk=into.pk)
    access.authorize(actor, capabilities.MANAGE_HIERARCHY, winner)
    require_active(winner)
    if winner.type != location.type:
        raise OtherType(
            f"{winner.name} is of the type {winner.get_type_display()}. Both places must have the same type."
        )
    if winner.country != location.country:
        raise OtherCountry(f"{winner.name} is in {winner.country}. Both places must be in the same country.")
    if winner.pk in Location.objects.below(location.pk):
        raise Cycle(f"{winner.name} is located in {location.name}.")
    moved = list(_move_children(location, winner))
    known = {winner.name_key, *map(name_key, winner.aliases)}
    names = [
        name
        for name in (location.name, *location.aliases)
        if name_key(name) not in known and len(name) <= LONGEST_ALIAS
    ]
    # Names beyond the limit stay on the loser, which points to the winner.
    winner.set_names(winner.name, [*winner.aliases, *names][:MOST_ALIASES])
    winner.save()
    location.status, location.merged_into, location.merge_reason = Location.Status.MERGED, winner, reason
    location.save()
    Location.objects.filter(merged_into=location).update(merged_into=winner)
    ProviderRef.objects.filter(location=location).update(location=winner)
    _move_distances(location, winner)
    emit(events.LocationMerged(location_id=location.pk, into_id=winner.pk, reparented=moved))
    return winner


def _move_children(loser: Location, winner: Location) -> Iterator[Any]:
    children = loser.children.exclude(status=Location.Status.MERGED)
    for child in children.order_by("pk").locked():
        _move(child, winner)
        yield child.pk


def _move(place: Location, parent: Location | None) -> None:
    """Move a place with all places in it to another parent, and emit the event."""
    old_parent_id, old_state, old_country = place.parent_id, place.state_id, place.country
    levels = Location.objects.below(place.pk)
    if parent is not None:
        if parent.pk in levels:
            raise Cycle(f"{parent.name} is located in {place.name}.")
        parent = Location.objects.get(pk=parent.pk)
        require_active(parent)
        set_parent(place, parent, height=max(levels.values()))
    elif place.country == "IN":
        raise ParentType(
            errors=[
                FieldError(
                    "/parent_id",
                    "required",
                    "Choose the place that it is located in. It is required in India.",
                )
            ]
        )
    else:
        place.parent = None
    below = list(
        Location.objects.filter(pk__in=[pk for pk in levels if pk != place.pk]).order_by("pk").locked()
    )
    check(place)
    if place.country != old_country:
        for row in below:
            row.country = place.country
            check_point(row)
    if (place.country, place.state_id) != (old_country, old_state):
        for row in below:
            row.country, row.state_id = place.country, place.state_id
        check_pins(row for row in below if row.status != Location.Status.MERGED)
        Location.objects.filter(pk__in=[row.pk for row in below]).update(
            country=place.country,
            state=place.state_id,
            version=F("version") + 1,
            updated_at=clock.now(),
        )
    save_place(place)
    emit(
        events.LocationReparented(
            location_id=place.pk,
            old_parent_id=old_parent_id,
            new_parent_id=place.parent_id,
            old_state=old_state,
            new_state=place.state_id,
        )
    )


def _move_distances(loser: Location, winner: Location) -> None:
    """Move the loser's distances to the winner, except where the winner has its own."""
    for row in Distance.objects.filter(Q(origin=loser) | Q(destination=loser)).order_by("pk"):
        ends = {
            "origin": winner if row.origin_id == loser.pk else row.origin,
            "destination": winner if row.destination_id == loser.pk else row.destination,
        }
        taken = Distance.objects.filter(**ends, mode=row.mode, valid_from=row.valid_from).exists()
        if taken or ends["origin"] == ends["destination"]:
            row.delete()
        else:
            row.origin, row.destination = ends["origin"], ends["destination"]
            row.save()
