"""When offers end: end-of-day policies, trading days and time zones (availability §5.6)."""

from datetime import date, datetime, time, timedelta

from apps.availability import capabilities, events
from apps.availability.models import Availability, MarketCalendar
from apps.commodities.models.commodities import Commodity
from apps.organization.models import Calendar
from erp import clock
from erp.access import Actor
from erp.services import emit, service

LONGEST = timedelta(days=180)
_Policy = Availability.EndOfDay


class TradingDays:
    """The market's days of one offer: by the calendar of its commodity, else every day until midnight."""

    def __init__(self, offer: Availability) -> None:
        found = MarketCalendar.objects.filter(commodity=offer.commodity_id).select_related("calendar").first()
        self.calendar: Calendar | None = None if found is None else found.calendar
        self.zone = offer.zone

    def cutoff(self, day: date) -> datetime:
        """When business ends on the day: closing time, else the midnight after it."""
        if self.calendar is not None:
            return self.calendar.cutoff(day, self.zone)
        return clock.instant(day + timedelta(days=1), time.min, self.zone)

    def after(self, day: date, count: int) -> date:
        """The ``count``-th trading day after the day."""
        if self.calendar is not None:
            return self.calendar.add_working_days(day, count)
        return day + timedelta(days=count)

    def of(self, moment: datetime) -> date:
        """The trading day of a listing: its own day before the cut-off, else the next one."""
        day = moment.astimezone(self.zone).date()
        is_open = self.calendar is None or self.calendar.is_business_day(day)
        return day if is_open and moment < self.cutoff(day) else self.after(day, 1)


def window_end(offer: Availability) -> datetime | None:
    """Midnight after the last day of the goods, in the offer's time zone."""
    if offer.available_until_date is None:
        return None
    return local_midnight(offer, offer.available_until_date)


def local_midnight(offer: Availability, day: date) -> datetime:
    """The end of the day in the offer's time zone: it tells no time of day at which anything was done."""
    return clock.instant(day + timedelta(days=1), time.min, offer.zone)


def expiry_of(offer: Availability) -> datetime | None:
    """When the offer ends: until it is listed by its window alone, then by its policy too."""
    ends = [window_end(offer)]
    if offer.listed_at is not None:
        days = TradingDays(offer)
        ends.append(local_midnight(offer, offer.listed_at.astimezone(offer.zone).date() + LONGEST))
        if offer.eod_policy == _Policy.DAY:
            ends.append(days.cutoff(days.after(days.of(offer.listed_at), offer.carried_days)))
        elif offer.eod_policy == _Policy.GOOD_TILL_DATE and offer.valid_until_date is not None:
            ends.append(days.cutoff(offer.valid_until_date))
    return min((end for end in ends if end is not None), default=None)


def firm_until(offer: Availability, listed_at: datetime) -> datetime:
    """17:00 local time on the day when the offer is listed."""
    day = listed_at.astimezone(offer.zone).date()
    return clock.instant(day, time(17, 0), offer.zone)


def carry_forward(offer: Availability, now: datetime) -> bool:
    """Move an offer for the day to a later trading day that hasn't ended, as far as its days allow."""
    while (
        offer.eod_policy == _Policy.DAY
        and offer.expires_at is not None
        and offer.expires_at <= now
        and offer.carried_days < offer.carry_forward_days
    ):
        offer.carried_days += 1
        end = expiry_of(offer)
        if end is None or end <= offer.expires_at:
            return False
        offer.expires_at = end
    return offer.expires_at is not None and offer.expires_at > now


@service(requires=capabilities.APPROVE, emits=[events.MarketCalendarChanged], label="Set market calendar")
def set_market_calendar(*, actor: Actor, commodity: Commodity, calendar: Calendar) -> MarketCalendar:
    """Set the calendar by whose trading days offers of a commodity end. It counts for deadlines set from now on."""
    row = MarketCalendar.objects.locked().filter(commodity=commodity).first() or MarketCalendar(
        commodity=commodity
    )
    row.calendar = calendar
    changed = row.is_new or bool(row.changed_fields())
    row.save()
    if changed:
        emit(
            events.MarketCalendarChanged(
                market_calendar_id=row.pk, commodity_id=commodity.pk, calendar_id=calendar.pk
            )
        )
    return row
