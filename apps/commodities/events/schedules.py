"""Events of schedules of premiums and discounts."""

from uuid import UUID

from apps.approvals.events import draft_events
from apps.commodities import capabilities
from erp.events import ALL, EVERYONE

QUALITY_SCHEDULE = draft_events(
    "commodity.QualitySchedule",
    reads=capabilities.VIEW,
    readers={EVERYONE: ALL},
    commodity_id=UUID,
    code=str,
    schedule_version=int,
)
