"""Services that add, update and confirm places."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from apps.locations import capabilities, events
from apps.locations.details import FACTS, Details
from apps.locations.models import Location, Merged, ProviderRef
from apps.locations.services.rules import (
    PLACE_ERRORS,
    TREE,
    NotActive,
    ParentType,
    Protected,
    StateMismatch,
    StateNeeded,
    TooDeep,
    check,
    is_protected,
    require_active,
    save_place,
    set_parent,
)
from erp import clock, locks
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid
from erp.services import emit, service

# Columns derived from others, which events leave out.
_UNREPORTED = frozenset({"name_key", "search_key"})


class Archived(Conflict):
    """The place is archived."""


@service(
    requires=capabilities.CREATE,
    emits=[events.LocationCreated],
    raises=[*PLACE_ERRORS, Archived, NotActive, ParentType, TooDeep, StateNeeded, StateMismatch],
)
def create(
    *,
    actor: Actor,
    type: str | None = None,
    name: str | None = None,
    aliases: Sequence[str] = (),
    parent: Location | None = None,
    country: str | None = None,
    state: str | None = None,
    district: str | None = None,
    address: str | None = None,
    pincode: str | None = None,
    latitude: Decimal | None = None,
    longitude: Decimal | None = None,
    timezone: str = "Asia/Kolkata",
    unlocode: str | None = None,
    customs_code: str | None = None,
    wdra_code: str | None = None,
    provider: str | None = None,
    provider_id: str | None = None,
    details: Details | None = None,
    source: str = "manual",
) -> Location:
    """Add a place, or return the existing one with the same provider ID.

    With the signed details of a look-up the provider's details apply and the place is verified; only name, aliases,
    type and parent can be set beside them. A place in India without a parent is located in its state.
    """
    locks.hold(TREE, shared=True)
    place = Location(
        type=type or "",
        country=country or "IN",
        state_id=state,
        district=district,
        address=address,
        pincode=pincode,
        latitude=latitude,
        longitude=longitude,
        timezone=timezone,
        unlocode=unlocode,
        customs_code=customs_code,
        wdra_code=wdra_code,
    )
    if details is not None:
        provider, provider_id, source = details.provider, details.provider_id, "provider"
        country, state = details.country, details.state
        place.type, place.country, place.state_id = type or details.type, details.country, details.state
        place.timezone = details.timezone
        for field in FACTS:
            setattr(place, field, getattr(details, field))
        place.is_verified, place.verified_by = True, details.provider
        name = name or details.name
    if provider and provider_id and (known := _claim(provider, provider_id, place)) is not None:
        return known
    if not place.type or not name:
        raise Invalid(errors=[FieldError("/name", "required", "Enter the type and the name of the place.")])
    place.set_names(name, aliases)
    if is_protected(place):
        raise Protected("The states of India exist already.")
    _set_parent_of(place, parent, country, state)
    check(place)
    save_place(place)
    emit(created(place, source))
    return place


def _claim(provider: str, provider_id: str, place: Location) -> Location | None:
    """Assign the provider's id to the place; return the place that has it already, if any. Raises Archived.

    The unique constraint decides a race: the insert waits for the other transaction, then does nothing. The
    place itself is saved later: its foreign key is checked when the transaction ends.
    """
    ref = ProviderRef(location=place, provider=provider, provider_id=provider_id, fetched_at=clock.now())
    ProviderRef.objects.bulk_create([ref], ignore_conflicts=True)
    owner_id = ProviderRef.objects.values_list("location_id", flat=True).get(
        provider=provider, provider_id=provider_id
    )
    if owner_id == place.pk:
        return None
    known: Location = Location.objects.resolve(owner_id)
    if known.status == Location.Status.ARCHIVED:
        raise Archived(
            f"{known.name} is archived. Make it active again to use it.", location_id=str(known.pk)
        )
    known.existed = True
    return known


def _set_parent_of(place: Location, parent: Location | None, country: str | None, state: str | None) -> None:
    """Set the parent; submitted country and state must be those of the parent."""
    if parent is not None:
        parent = Location.objects.get(pk=parent.pk)  # read again under the lock of the tree
        require_active(parent)
        if (country or parent.country) != parent.country or (state or parent.state_id) != parent.state_id:
            raise StateMismatch(
                f"{parent.name} is in another state or country than submitted.",
                country=parent.country,
                state=parent.state_id,
            )
        set_parent(place, parent)
    elif place.country == "IN":
        above = Location.objects.selectable().filter(type=Location.Type.STATE, state=place.state_id).first()
        if place.state_id is None or above is None:
            raise StateNeeded(
                errors=[
                    FieldError("/state", "required", "Enter the state, or the place that it is located in.")
                ]
            )
        set_parent(place, above)
    else:
        place.state_id = None


def created(place: Location, source: str) -> events.LocationCreated:
    """Return the event of a new place; ``source`` is provider, manual or import."""
    return events.LocationCreated(
        location_id=place.pk,
        type=place.type,
        name=place.name,
        parent_id=place.parent_id,
        country=place.country,
        state=place.state_id,
        pincode=place.pincode,
        latitude=place.latitude,
        longitude=place.longitude,
        is_verified=place.is_verified,
        source=source,
    )


@service(requires=capabilities.UPDATE, emits=[events.LocationUpdated], raises=[*PLACE_ERRORS, Merged])
def update(
    location: Location,
    *,
    actor: Actor,
    name: str,
    status: str,
    aliases: Sequence[str] = (),
    district: str | None = None,
    address: str | None = None,
    pincode: str | None = None,
    latitude: Decimal | None = None,
    longitude: Decimal | None = None,
    timezone: str = "Asia/Kolkata",
    unlocode: str | None = None,
    customs_code: str | None = None,
    wdra_code: str | None = None,
) -> Location:
    """Update a place. Its status archives or reactivates it.

    Type, parent, country and state can't change here. Changed details have to be confirmed again.
    """
    if is_protected(location):
        raise Protected
    location.set_names(name, aliases)
    location.district, location.address, location.pincode = district, address, pincode
    location.latitude, location.longitude, location.timezone = latitude, longitude, timezone
    location.unlocode, location.customs_code, location.wdra_code = unlocode, customs_code, wdra_code
    location.status = status
    if not location.changed_fields().keys().isdisjoint(FACTS):
        location.is_verified, location.verified_by = False, None
    check(location)
    _save_changes(location)
    return location


@service(requires=capabilities.UPDATE, emits=[events.LocationUpdated], raises=[NotActive, Merged])
def confirm(location: Location, *, actor: Actor) -> Location:
    """Confirm that the details of a place are correct."""
    require_active(location)
    location.is_verified, location.verified_by = True, "staff"
    _save_changes(location)
    return location


def _save_changes(location: Location) -> None:
    """Save the place and emit its changes, if any."""
    changes = location.changed_fields()
    if not changes:
        return
    save_place(location)
    emit(
        events.LocationUpdated(
            location_id=location.pk,
            version=location.version,
            changes={
                field: events.LocationFieldChange()
                if field == "address"
                else events.LocationFieldChange(old=_plain(old), new=_plain(new))
                for field, (old, new) in changes.items()
                if field not in _UNREPORTED
            },
        )
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
