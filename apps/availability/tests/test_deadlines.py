"""When offers end: midnights, trading days, carry-forward, grace, sweeps."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection

from apps.availability import tasks
from apps.availability.models import Availability, MarketCalendar, Reservation
from apps.availability.services import deadlines, decisions, offers, rules, stock
from apps.organization.models import Calendar, CalendarDay
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def listed(row, when, **fields):
    """The offer as if it had been listed at a moment, with these fields; where it would end."""
    row.listed_at = at(when)
    for name, value in {
        "valid_until_date": None,
        "available_until_date": date(2027, 12, 31),
        **fields,
    }.items():
        setattr(row, name, value)
    return deadlines.expiry_of(row)


@pytest.fixture
def market(offer):
    """An offer in Kolkata whose market closes at 17:00 and rests on Sundays and on 26 January."""
    row = offer(live=False)
    with unguarded_writes():
        calendar = Calendar(code="MKT", name="Market", weekly_off=[7], closes_at=time(17, 0))
        calendar.save()
        CalendarDay(calendar=calendar, day=date(2026, 1, 26), name="Republic Day", closed=True).save()
        MarketCalendar(commodity=row.commodity, calendar=calendar).save()
    return row


@pytest.mark.parametrize(
    ("zone", "last", "ends"),
    [
        ("Asia/Kolkata", date(2026, 3, 8), "2026-03-08T18:30"),
        ("America/New_York", date(2026, 3, 8), "2026-03-09T04:00"),
        ("America/New_York", date(2026, 3, 7), "2026-03-08T05:00"),
        ("Europe/London", date(2026, 3, 28), "2026-03-29T00:00"),
        ("Europe/London", date(2026, 3, 29), "2026-03-29T23:00"),
    ],
)
def test_a_good_till_date_offer_ends_at_local_midnight(offer, zone, last, ends):
    """The midnights of the page, where clocks change."""
    row = offer(live=False)
    row.time_zone = zone
    assert listed(row, "2026-01-12T05:00", eod_policy="GOOD_TILL_DATE", valid_until_date=last) == at(ends)


def test_a_day_offer_ends_with_the_trading_day_of_its_listing(market):
    """Listed before the cut-off: that day; at it exactly, after it, or on a holiday: the next trading day."""
    for when, ends in (
        ("2026-01-12T05:00", "2026-01-12T11:30"),  # Monday morning
        ("2026-01-12T11:29", "2026-01-12T11:30"),
        ("2026-01-12T11:30", "2026-01-13T11:30"),  # at 17:00 exactly
        ("2026-01-17T12:00", "2026-01-19T11:30"),  # Saturday evening: Monday
        ("2026-01-24T12:00", "2026-01-27T11:30"),  # Sunday, then Republic Day
    ):
        assert listed(market, when, eod_policy="DAY") == at(ends), when


def test_every_end_is_the_earliest_of_policy_window_and_half_a_year(market):
    long = listed(market, "2026-01-12T05:00", eod_policy="GOOD_TILL_CANCELLED")
    assert long == at("2026-07-11T18:30"), "at the end of a day, which doesn't tell when it was listed"
    window = listed(market, "2026-01-12T05:00", eod_policy="DAY", available_until_date=date(2026, 1, 11))
    assert window == at("2026-01-11T18:30")
    holiday = listed(
        market, "2026-01-12T05:00", eod_policy="GOOD_TILL_DATE", valid_until_date=date(2026, 1, 26)
    )
    assert holiday == at("2026-01-26T11:30"), "a date counts, holiday or not"


def due(offer, *, ago=timedelta(minutes=1), **fields):
    with unguarded_writes():
        Availability.objects.filter(pk=offer.pk).update(expires_at=clock.now() - ago, **fields)
    return Availability.objects.get(pk=offer.pk)


def test_at_its_end_free_stock_is_withdrawn_and_reservations_have_four_hours(offer, partner, emitted):
    """At expiry free stock is withdrawn; what is held lives to its own deadline or four hours, and may be traded."""
    live, buyer = offer(), partner()
    short = stock.reserve(live, actor=SYSTEM, holder_partner=buyer, quantity=Decimal(10), hold_hours=1)
    held = stock.reserve(live, actor=SYSTEM, holder_partner=buyer, quantity=Decimal(20), hold_hours=24)
    deal = stock.reserve(live, actor=SYSTEM, holder_partner=buyer, quantity=Decimal(30), match_id=uuid4())
    ended_at = due(live).expires_at
    assert tasks.expire_offers() == 1
    row = Availability.objects.get(pk=live.pk)
    assert (row.status, row.available_quantity, row.withdrawn_quantity) == ("EXPIRED", 0, 40)
    deadline = {r.pk: r.expires_at for r in Reservation.objects.all()}
    assert deadline[short.pk] == short.expires_at
    assert deadline[held.pk] == ended_at + timedelta(hours=4)
    assert deadline[deal.pk] == deal.expires_at, "what backs a deal keeps its own deadline"
    stock.commit(row, actor=SYSTEM, reservation_id=held.pk, trade_id=uuid4(), unit_price=Decimal(1))
    stock.release(row, actor=SYSTEM, reservation_id=short.pk)
    assert Availability.objects.get(pk=live.pk).withdrawn_quantity == 50
    assert tasks.expire_offers() == 0
    assert len(emitted("availability.expired")) == 1


def test_a_day_offer_is_carried_forward_as_often_as_it_says_then_ends(offer, emitted):
    """Carried forward, the offer keeps its id and time priority; after days of downtime the sweep catches up."""
    live = offer(eod_policy="DAY", carry_forward_days=2, valid_until_date=None)
    row = Availability.objects.get(pk=live.pk)
    first = row.expires_at
    assert first == deadlines.expiry_of(row)
    due(live)
    tasks.expire_offers()
    row = Availability.objects.get(pk=live.pk)
    assert (row.status, row.carried_days, row.listed_at, row.expires_at) == (
        "ACTIVE", 1, live.listed_at, first + timedelta(days=1),
    )  # fmt: skip
    assert emitted("availability.extended")[-1].payload["cause"] == "carry_forward"
    due(live, ago=timedelta(days=9), listed_at=live.listed_at - timedelta(days=9))
    tasks.expire_offers()
    assert Availability.objects.get(pk=live.pk).status == "EXPIRED"


@pytest.mark.django_db(transaction=True)
def test_four_sweepers_end_an_offer_once(offer, emitted):
    live = offer()
    due(live)

    def sweep(_):
        try:
            tasks.expire_offers()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(4)))
    assert len(emitted("availability.expired")) == 1


def test_an_ended_offer_never_comes_back(offer, user):
    live = offer()
    decisions.expire(due(live), actor=SYSTEM)
    with pytest.raises(rules.InvalidState):
        offers.extend(live, actor=user(), available_until_date=clock.today() + timedelta(days=90))
    with pytest.raises(rules.InvalidState):
        stock.reserve(live, actor=user("BUYER"), quantity=Decimal(1))


def test_an_extension_is_later_and_not_too_far(offer, user, emitted):
    seller = user("SELLER")
    live, today = offer(seller=seller), clock.today()
    for day, problem in (
        (live.valid_until_date, rules.NotLater),
        (today - timedelta(days=1), rules.NotLater),
        (today + timedelta(days=91), rules.TooFar),
    ):
        with pytest.raises(problem):
            offers.extend(live, actor=seller, valid_until_date=day)
    with pytest.raises(rules.Incomplete):
        offers.extend(live, actor=seller)
    later = today + timedelta(days=60)
    row = offers.extend(live, actor=seller, valid_until_date=later, available_until_date=later)
    assert row.expires_at == deadlines.window_end(row)
    assert (row.status, row.terms_version) == ("ACTIVE", live.terms_version)
    assert len(emitted("availability.extended")) == 1


def test_a_day_offer_with_a_date_becomes_good_till_it(offer, user):
    seller = user("SELLER")
    live = offer(seller=seller, eod_policy="DAY", valid_until_date=None)
    row = offers.extend(live, actor=seller, valid_until_date=clock.today() + timedelta(days=9))
    assert row.eod_policy == "GOOD_TILL_DATE"


def test_an_offer_whose_end_passed_while_suspended_ends_when_it_comes_back(offer):
    live = offer()
    decisions.suspend(live, actor=SYSTEM, reason="Doubts about the lot.")
    row = due(live)
    assert decisions.reactivate(row, actor=SYSTEM).status == "EXPIRED"


def test_staff_set_the_market_calendar_of_a_commodity_once(market, user, emitted):
    calendar = Calendar.objects.get(code="MKT")
    row = deadlines.set_market_calendar(
        actor=user("INTERNAL_MANAGER"), commodity=market.commodity, calendar=calendar
    )
    assert (row.calendar, emitted("market_calendar.changed")) == (calendar, [])
