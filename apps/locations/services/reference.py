"""Reference data: what the product knows of India by itself."""

from typing import Any

from apps.locations import capabilities, events
from apps.locations.models import Location, PinPrefix, State
from apps.locations.models.states import COTTON_ZONES, NOWHERE, aliases_of
from apps.locations.services.places import created
from erp.identifiers import STATES
from erp.services import emit, service

SOURCE = "import"


@service(requires=capabilities.CREATE, emits=[events.LocationCreated])
def load_states(*, actor: Any) -> int:
    """Bring states, their PIN prefixes and their places in line with the code; returns how many places are new.

    A second run changes nothing.
    """
    kept = State.objects.in_bulk()
    for code, known in STATES.items():
        if code in NOWHERE:
            continue
        state = kept.get(code) or State(gst_code=code)
        state.iso_code, state.name, state.region = known.iso, known.name, known.region
        state.plate_codes = list(dict.fromkeys((known.plate, *known.older_plates)))
        state.aliases, state.cotton_zone = aliases_of(code), COTTON_ZONES.get(code)
        state.save()
    _load_prefixes()
    there = set(Location.objects.filter(type="STATE", country="IN").values_list("state_id", flat=True))
    missing = [code for code in STATES if code not in NOWHERE and code not in there]
    for code in missing:
        place = Location(type=Location.Type.STATE, state_id=code, is_verified=True, verified_by="reference")
        place.call(STATES[code].name, aliases_of(code))
        place.save()
        emit(created(place, SOURCE))
    return len(missing)


def _load_prefixes() -> None:
    wanted = {
        (code, f"{prefix:03}")
        for code, state in STATES.items()
        if code not in NOWHERE
        for prefix in state.prefixes
    }
    kept = set(PinPrefix.objects.values_list("state_id", "prefix"))
    PinPrefix.objects.bulk_create(
        PinPrefix(state_id=code, prefix=prefix) for code, prefix in sorted(wanted - kept)
    )
    for code, prefix in kept - wanted:
        PinPrefix.objects.filter(state=code, prefix=prefix).delete()
