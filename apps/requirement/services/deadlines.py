"""When requirements end: end-of-day policies, trading days and time zones (availability §5.6)."""

from datetime import datetime, time, timedelta

from apps.availability.services.deadlines import LONGEST, TradingDays
from apps.requirement.models import Requirement
from erp import clock

_Policy = Requirement.EndOfDay


def window_end(requirement: Requirement) -> datetime:
    """Midnight after the last day of delivery, in the time zone of the destination."""
    return clock.instant(requirement.delivery_until_date + timedelta(days=1), time.min, requirement.zone)


def expiry_of(requirement: Requirement) -> datetime:
    """When it ends: until it is live by its window alone, then by its policy too."""
    ends = [window_end(requirement)]
    if (since := requirement.live_since) is not None:
        days = TradingDays(requirement)  # type: ignore[arg-type]  # it has a commodity and a zone, too
        ends.append(since + LONGEST)
        if requirement.eod_policy == _Policy.DAY:
            ends.append(days.cutoff(days.after(days.of(since), requirement.carried_days)))
        elif requirement.valid_until_date is not None:
            ends.append(days.cutoff(requirement.valid_until_date))
    return min(ends)


def carry_forward(requirement: Requirement, now: datetime) -> bool:
    """Move a requirement for the day to a later day that hasn't ended, as far as its days allow."""
    while (
        requirement.eod_policy == _Policy.DAY
        and requirement.expires_at is not None
        and requirement.expires_at <= now
        and requirement.carried_days < requirement.carry_forward_days
    ):
        requirement.carried_days += 1
        end = expiry_of(requirement)
        if end <= requirement.expires_at:
            return False
        requirement.expires_at = end
    return requirement.expires_at is not None and requirement.expires_at > now
