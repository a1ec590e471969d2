"""What leaves the trail: the chain's last hash of a day, the anchor outside the database."""

import datetime
from uuid import UUID

from erp.events import Event, event

TRAIL = ("trail", "trail_id")


@event("trail.sealed", version=1, aggregate=TRAIL, readers={})
class TrailSealed(Event):
    trail_id: UUID
    day: datetime.date
    number: int
    hash: str
