"""Reference data of India that the product ships with."""

from apps.locations import capabilities, events
from apps.locations.gazetteer import GazetteerEntry, gazetteer
from apps.locations.models import Location, PinPrefix, ProviderRef, State
from apps.locations.models.states import COTTON_ZONES, NO_STATE, aliases_of
from apps.locations.services.places import created
from erp import clock
from erp.access import Actor
from erp.identifiers import STATES
from erp.services import emit, service
from erp.text import name_key

SOURCE = "import"
GAZETTEER = "gazetteer"


@service(requires=capabilities.CREATE, emits=[events.LocationCreated])
def load_states(*, actor: Actor) -> int:
    """Load the states, their PIN prefixes and their places; returns how many places are new.

    A second run changes nothing.
    """
    stored = State.objects.in_bulk()
    for code, known in STATES.items():
        if code in NO_STATE:
            continue
        state = stored.get(code) or State(gst_code=code)
        state.iso_code, state.name, state.region = known.iso, known.name, known.region
        state.plate_codes = list(dict.fromkeys((known.plate, *known.older_plates)))
        state.aliases, state.cotton_zone = aliases_of(code), COTTON_ZONES.get(code)
        state.save()
    _load_prefixes()
    registered = set(Location.objects.filter(type="STATE", country="IN").values_list("state_id", flat=True))
    missing = [code for code in STATES if code not in NO_STATE and code not in registered]
    for code in missing:
        place = Location(type=Location.Type.STATE, state_id=code, is_verified=True, verified_by="reference")
        place.set_names(STATES[code].name, aliases_of(code))
        place.save()
        emit(created(place, SOURCE))
    return len(missing)


@service(requires=capabilities.CREATE, emits=[events.LocationCreated])
def load_places(*, actor: Actor) -> int:
    """Add the districts, ports and cotton places of the bundled gazetteer; returns how many are new.

    An entry whose id, or whose type, name and state, is registered is skipped, so a second run changes nothing.
    """
    known = set(ProviderRef.objects.filter(provider=GAZETTEER).values_list("provider_id", flat=True))
    registered = set(Location.objects.values_list("type", "state_id", "name_key"))
    states = {place.state_id: place for place in Location.objects.filter(type="STATE", country="IN")}
    districts = {
        (place.state_id, place.name_key): place
        for place in Location.objects.selectable().filter(type="DISTRICT", country="IN")
    }
    places: list[Location] = []
    refs: list[ProviderRef] = []
    for entry in sorted(gazetteer().named, key=lambda entry: entry.type != Location.Type.DISTRICT):
        name = entry.type, entry.state, name_key(entry.name)
        if entry.type == Location.Type.STATE or entry.id in known or name in registered:
            continue
        registered.add(name)
        above = districts.get((entry.state, name_key(entry.district or "")), states[entry.state])
        place = _place(entry, above)
        if place.type == Location.Type.DISTRICT:
            districts[entry.state, place.name_key] = place
        places.append(place)
        refs.append(
            ProviderRef(location=place, provider=GAZETTEER, provider_id=entry.id, fetched_at=clock.now())
        )
    Location.objects.bulk_create(places)
    ProviderRef.objects.bulk_create(refs)
    for place in places:
        emit(created(place, SOURCE))
    return len(places)


def _place(entry: GazetteerEntry, above: Location) -> Location:
    place = Location(
        type=entry.type,
        parent=above,
        state_id=entry.state,
        district=entry.district,
        pincode=entry.pincode,
        latitude=entry.latitude,
        longitude=entry.longitude,
        unlocode=entry.unlocode,
        customs_code=entry.customs_code,
        is_verified=True,
        verified_by=GAZETTEER,
    )
    place.set_names(entry.name, entry.aliases)
    return place


def _load_prefixes() -> None:
    expected = {
        (code, f"{prefix:03}")
        for code, state in STATES.items()
        if code not in NO_STATE
        for prefix in state.prefixes
    }
    stored = set(PinPrefix.objects.values_list("state_id", "prefix"))
    PinPrefix.objects.bulk_create(
        PinPrefix(state_id=code, prefix=prefix) for code, prefix in sorted(expected - stored)
    )
    for code, prefix in stored - expected:
        PinPrefix.objects.filter(state=code, prefix=prefix).delete()
