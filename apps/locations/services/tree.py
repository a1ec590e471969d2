"""Moving places within the tree, and merging one into another. One at a time: see ``under``."""

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
    keep,
    put_under,
    require_active,
    require_open,
)
from erp import access, clock
from erp.access import Actor
from erp.errors import Fault, RuleBroken
from erp.services import emit, service
from erp.text import name_key


class SameRow(RuleBroken):
    """A place isn't merged into itself."""


class OtherType(RuleBroken):
    """The places are of different types."""


class OtherCountry(RuleBroken):
    """The places lie in different countries."""


@service(
    requires=capabilities.MANAGE_HIERARCHY,
    emits=[events.LocationReparented],
    raises=[*TREE_ERRORS, ParentType, OutsideCountry],
    advisory_lock=TREE,
)
def reparent(location: Location, *, actor: Actor, parent: Location | None) -> Location:
    """Move a place under another.

    Country and state of the place and of all below it become the new parent's. Only outside India can a place
    lie under nothing.
    """
    require_open(location)
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
    """Merge a place into another of its type. This can't be undone; returns the other place.

    Provider ids, names, children and distances move over; what was merged into the loser before points to the
    winner. Other modules follow when the event reaches them.
    """
    if into.pk == location.pk:
        raise SameRow(errors=[Fault("/into_id", "same_row", "Name another place.")])
    require_open(location)
    winner: Location = Location.objects.locked().get(pk=into.pk)
    access.authorize(actor, capabilities.MANAGE_HIERARCHY, winner)
    require_active(winner)
    if winner.type != location.type:
        raise OtherType(f"{winner.name} is a {winner.type}.")
    if winner.country != location.country:
        raise OtherCountry(f"{winner.name} lies in {winner.country}.")
    if winner.pk in Location.objects.below(location.pk):
        raise Cycle(f"{winner.name} lies in {location.name}.")
    moved = list(_move_children(location, winner))
    known = {winner.name_key, *map(name_key, winner.aliases)}
    names = [
        name
        for name in (location.name, *location.aliases)
        if name_key(name) not in known and len(name) <= LONGEST_ALIAS
    ]
    # As many as a row may have: all stay on the loser, which leads here.
    winner.call(winner.name, [*winner.aliases, *names][:MOST_ALIASES])
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
    """Put a place with all below it under another, and tell of it."""
    old_parent_id, old_state, old_country = place.parent_id, place.state_id, place.country
    levels = Location.objects.below(place.pk)
    if parent is not None:
        if parent.pk in levels:
            raise Cycle(f"{parent.name} lies in {place.name}.")
        parent = Location.objects.get(pk=parent.pk)
        require_active(parent)
        put_under(place, parent, height=max(levels.values()))
    elif place.country == "IN":
        raise ParentType(errors=[Fault("/parent_id", "required", "In India a place lies under another.")])
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
    keep(place)
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
    """Distances of the loser become the winner's; where that one has its own, it stands."""
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
