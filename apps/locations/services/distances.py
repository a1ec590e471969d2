"""Services of distances by road and rail."""

from datetime import date
from decimal import Decimal

from apps.locations import capabilities, events
from apps.locations.models import Distance, Location, Merged
from apps.locations.services.rules import NotActive, require_active
from erp.access import Actor
from erp.errors import FieldError, RuleBroken
from erp.services import emit, service


class SamePlace(RuleBroken):
    """A distance needs two different places."""


@service(
    requires=capabilities.UPDATE, emits=[events.LocationDistanceSet], raises=[NotActive, SamePlace, Merged]
)
def set_distance(
    location: Location,
    *,
    actor: Actor,
    to: Location,
    mode: str,
    km: Decimal,
    valid_from: date,
    source: str,
    transit_days: int | None = None,
) -> Distance:
    """Set the distance from this place to another, effective from a day.

    It also applies to the way back, unless that has a distance of its own.
    """
    require_active(location)
    require_active(to)
    if to.pk == location.pk:
        raise SamePlace(errors=[FieldError("/to", "same_place", "Choose another place.")])
    row = Distance.objects.filter(
        origin=location, destination=to, mode=mode, valid_from=valid_from
    ).first() or Distance(origin=location, destination=to, mode=mode, valid_from=valid_from)
    row.km, row.transit_days, row.source = km, transit_days, source
    if row.is_new or row.changed_fields():
        row.save()
        emit(
            events.LocationDistanceSet(
                location_id=location.pk,
                to_id=to.pk,
                mode=mode,
                km=km,
                transit_days=transit_days,
                valid_from=valid_from,
            )
        )
    return row
