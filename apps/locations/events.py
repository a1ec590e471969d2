"""Events of places."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from apps.locations import capabilities
from erp.events import ALL, EVERYONE, DecimalText, Event, event, rows_of

rows_of("location", model="location.Location", reads=capabilities.VIEW)

LOCATION = ("location", "location_id")
EVERYBODY = {EVERYONE: ALL}  # the registry is open to all users


class LocationFieldChange(BaseModel):
    """A field's value before and after; both are left out for an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    old: Any = None
    new: Any = None


class OfLocation(Event):
    """Fields of every event of a place."""

    location_id: UUID


@event("location.created", version=1, aggregate=LOCATION, readers=EVERYBODY)
class LocationCreated(OfLocation):
    type: str
    name: str
    parent_id: UUID | None
    country: str
    state: str | None
    pincode: str | None
    latitude: DecimalText | None
    longitude: DecimalText | None
    is_verified: bool
    source: str


@event("location.updated", version=1, aggregate=LOCATION, readers=EVERYBODY)
class LocationUpdated(OfLocation):
    version: int
    changes: dict[str, LocationFieldChange]


@event("location.reparented", version=1, aggregate=LOCATION, readers=EVERYBODY)
class LocationReparented(OfLocation):
    old_parent_id: UUID | None
    new_parent_id: UUID | None
    old_state: str | None
    new_state: str | None


@event("location.merged", version=1, aggregate=LOCATION, readers=EVERYBODY)
class LocationMerged(OfLocation):
    into_id: UUID
    reparented: list[UUID]


@event("location.distance_set", version=1, aggregate=LOCATION, readers=EVERYBODY)
class LocationDistanceSet(OfLocation):
    to_id: UUID
    mode: str
    km: DecimalText
    transit_days: int | None
    valid_from: date


@event("location.bulk_imported", version=1, aggregate=("job", "job_id"), readers=EVERYBODY)
class LocationBulkImported(Event):
    job_id: UUID
    outcome: str
    total: int
    created: int
    existing: int
    refused: int
    file_sha256: str
