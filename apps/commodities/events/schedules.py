"""What others may learn of schedules of premiums and discounts."""

from datetime import date
from uuid import UUID

from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Event, event, rows_of

rows_of("quality_schedule", model="commodity.QualitySchedule", reads=capabilities.VIEW)

SCHEDULE = ("quality_schedule", "quality_schedule_id")


class Schedule(Event):
    """What each event says of its schedule."""

    quality_schedule_id: UUID
    commodity_id: UUID
    code: str
    schedule_version: int
    version: int
    valid_from: date
    valid_to: date | None


# Until it is published a schedule is the staff's alone.
@event("quality_schedule.drafted", version=1, aggregate=SCHEDULE, readers={})
class QualityScheduleDrafted(Schedule):
    """Somebody wrote a schedule."""


@event("quality_schedule.edited", version=1, aggregate=SCHEDULE, readers={})
class QualityScheduleEdited(Schedule):
    """Somebody changed a draft."""


@event("quality_schedule.submitted", version=1, aggregate=SCHEDULE, readers={})
class QualityScheduleSubmitted(Schedule):
    """A second person is asked."""


@event("quality_schedule.returned", version=1, aggregate=SCHEDULE, readers={})
class QualityScheduleReturned(Schedule):
    """It is a draft again: refused, taken back, not decided in time, or changed meanwhile."""


@event("quality_schedule.published", version=1, aggregate=SCHEDULE, readers={EVERYONE: ALL})
class QualitySchedulePublished(Schedule):
    """It holds from its first day on; the open one before it ends the day before."""


@event("quality_schedule.withdrawn", version=1, aggregate=SCHEDULE, readers={EVERYONE: ALL})
class QualityScheduleWithdrawn(Schedule):
    """It isn't chosen any more; what was agreed by it stays."""
