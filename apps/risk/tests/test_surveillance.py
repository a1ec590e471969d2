"""Facts, ratings and surveillance of executed trades (§8.4)."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import transaction

from apps.partners.models import GroupMember, Scorecard
from apps.risk import rings as search
from apps.risk.models import PairBlock, SurveillanceAlert, TradeFact
from apps.risk.services import facts, surveillance
from apps.risk.tasks import end_dates, find_rings, judge_blocked
from apps.risk.tests import factories
from apps.risk.tests.test_assessing import _link
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db


@pytest.fixture
def goods(commodity):
    return commodity()


def inspect(fact):
    surveillance.inspect(fact, actor=SYSTEM)
    return fact


def alerts(kind):
    return list(SurveillanceAlert.objects.filter(kind=kind).order_by("created_at"))


def test_buying_from_one_and_selling_to_another_is_no_reversal(partner, goods):
    """§8.4."""
    one, trader, other = partner(), partner(), partner()
    inspect(factories.fact(trader, one, goods))
    inspect(factories.fact(other, trader, goods))
    assert SurveillanceAlert.objects.count() == 0


def test_a_reversed_trade_raises_one_alert_and_the_second_blocks_the_pair(
    partner, goods, deal, emitted, set_clock, user
):
    """§8.4: three looks later it is still one alert each; the block ends by the clock."""
    made = deal()
    one, other = made.buyer, made.seller
    first = factories.fact(one, other, goods)
    back = inspect(factories.fact(other, one, goods, quantity_kg=Decimal("1111.111"), price=Decimal("151.5")))
    assert len(alerts("REVERSAL")) == 1
    assert not PairBlock.objects.exists()
    assert alerts("REVERSAL")[0].severity == "MEDIUM"
    for _ in range(3):
        inspect(back)
        inspect(first)
    assert len(alerts("REVERSAL")) == 1
    assert made.judge(10).status == "PASS"
    again = inspect(factories.fact(one, other, goods, quantity_kg=Decimal(1_100), price=Decimal(151)))
    assert [alert.severity for alert in alerts("REVERSAL")] == ["MEDIUM", "HIGH"]
    block = PairBlock.objects.get()
    assert (block.cause, block.low_id < block.high_id) == ("WASH", True)
    assert block.until_at - clock.now() > timedelta(days=89)
    row = made.judge(10)
    assert (row.status, row.gate_codes) == ("FAIL", ["pair.blocked"])
    for _ in range(3):
        inspect(again)
    assert len(alerts("REVERSAL")) == 2
    assert len(emitted("risk.alert_raised")) == 2
    assert [event.payload["cause"] for event in emitted("risk.pair_blocked")] == ["WASH"]
    set_clock(block.until_at + timedelta(seconds=1))
    assert not PairBlock.objects.live().exists()
    assert end_dates() == 1
    assert PairBlock.objects.get().freed_at is not None
    # A block by hand, freed by hand.
    manager = user("INTERNAL_MANAGER")
    by_hand = surveillance.block_pair(
        actor=manager, partner=one, other_partner=other, reason="Complaint of a mill."
    )
    with pytest.raises(surveillance.PairBlocked):
        surveillance.block_pair(actor=manager, partner=other, other_partner=one, reason="Complaint again.")
    with pytest.raises(surveillance.PairInvalid):
        surveillance.block_pair(actor=manager, partner=one, other_partner=one, reason="A pair of one.")
    assert "pair.blocked" in made.judge(10).gate_codes
    freed = surveillance.free_pair(by_hand, actor=manager, reason="The complaint was withdrawn.")
    assert freed.freed_by == manager
    assert "pair.blocked" not in made.judge(10).gate_codes


@pytest.mark.parametrize(
    ("back", "found"),
    [
        ({}, True),
        ({"quantity_kg": Decimal("1111.111")}, True),
        ({"quantity_kg": Decimal("1111.112")}, False),
        ({"price": Decimal("151.51515152")}, False),
        ({"price": Decimal("151.51")}, True),
        ({"bucket": "staple_length:57"}, False),
        ({"trade_date": 7}, True),
        ({"trade_date": 8}, False),
        ({"trade_date": 8, "pr_ranges": ["AB|2025-26|51|60"]}, True),
        ({"trade_date": 91, "pr_ranges": ["AB|2025-26|51|60"]}, False),
        ({"trade_date": 8, "pr_ranges": ["AB|2024-25|51|60"]}, False),
    ],
)
def test_the_limits_of_a_reversal(partner, goods, back, found):
    """Rulings R5: the same packages within 90 days need no price or quantity limit."""
    one, other = partner(), partner()
    day = clock.today() - timedelta(days=100)
    factories.fact(one, other, goods, trade_date=day, pr_ranges=["AB|2025-26|1|55"])
    later = {**back, "trade_date": day + timedelta(days=back.get("trade_date", 0))}
    inspect(factories.fact(other, one, goods, **later))
    assert bool(alerts("REVERSAL")) is found


def test_a_price_away_from_the_median_raises_an_alert_where_there_is_a_market(partner, goods):
    sellers, buyer = [partner() for _ in range(3)], partner()
    for place in range(4):
        factories.fact(buyer, sellers[place % 3], goods, price=Decimal(150 + place))
    dear = factories.fact(buyer, sellers[0], goods, price=Decimal(170), trade_date=clock.today())
    inspect(dear)
    assert alerts("PRICE_AWAY") == []  # four others: no verdict
    factories.fact(buyer, sellers[1], goods, price=Decimal(152))
    inspect(dear)
    inspect(dear)
    found = alerts("PRICE_AWAY")
    assert len(found) == 1
    assert found[0].evidence["median"] == "152.0000"
    inspect(factories.fact(buyer, sellers[0], goods, price=Decimal("167.2")))  # 10 % exactly
    assert len(alerts("PRICE_AWAY")) == 1


def test_a_ring_is_found_once_and_one_of_six_is_not(partner, goods, commodity, monkeypatch):
    """§8.4."""
    firms, other = [partner() for _ in range(6)], commodity()
    for place, firm in enumerate(firms[:5]):
        factories.fact(
            firms[(place + 1) % 5], firm, goods, trade_date=clock.today() - timedelta(days=9 - place)
        )
    for place, firm in enumerate(firms):
        factories.fact(
            firms[(place + 1) % 6], firm, other, trade_date=clock.today() - timedelta(days=9 - place)
        )
    assert (find_rings(), find_rings(), find_rings()) == (1, 0, 0)
    ring = alerts("RING")
    assert len(ring) == 1
    assert ring[0].commodity == goods
    assert len(ring[0].trade_ids) == 5
    monkeypatch.setattr(search, "MOST_STEPS", 5)
    monkeypatch.setattr(search, "LEAST_STEPS", 1)
    factories.fact(firms[1], firms[0], goods, trade_date=clock.today() - timedelta(days=9))
    assert (find_rings(), find_rings()) == (2, 0)  # a search that doesn't end is told, in both commodities
    unfinished = [alert for alert in alerts("RING") if "search_unfinished" in alert.evidence]
    assert {alert.commodity for alert in unfinished} == {goods, other}
    assert not PairBlock.objects.exists()


def test_many_listings_cancelled_at_once_raise_an_alert(offer, user, goods, deliver, partner):
    from apps.availability.services import offers

    factories.policy(layering_listings=3)
    seller = user("SELLER")
    for _ in range(3):
        assert alerts("LAYERING") == []
        made = offer(seller=seller, commodity=goods)
        offers.cancel(made, actor=seller, reason_code="PRICE_CHANGED", reason="Another price.")
        deliver()
    assert len(alerts("LAYERING")) == 1
    deliver()
    assert alerts("LAYERING")[0].partner_ids == [seller.partner_id]


def test_a_block_link_found_later_raises_an_alert_for_what_was_traded(partner, goods):
    one, other = partner(), partner()
    factories.fact(one, other, goods)
    _link(one, other)
    assert GroupMember.objects.count() == 2
    for _ in range(2):
        surveillance.watch_links(actor=SYSTEM, partner_id=one.pk)
    assert len(alerts("LINKED_TRADE")) == 1
    surveillance.report_limit(actor=SYSTEM, partner_id=one.pk, level="high", utilisation=Decimal("91.20"))
    surveillance.report_limit(actor=SYSTEM, partner_id=one.pk, level="high", utilisation=Decimal("92.00"))
    assert len(alerts("LIMIT")) == 1


def test_an_alert_is_taken_and_decided_with_a_note(partner, goods, user):
    one, other, person = partner(), partner(), user("INTERNAL_COMPLIANCE")
    factories.fact(one, other, goods)
    inspect(factories.fact(other, one, goods))
    alert = surveillance.take_alert(alerts("REVERSAL")[0], actor=person)
    assert (alert.status, alert.assignee) == ("IN_REVIEW", person)
    with pytest.raises(surveillance.NoteRequired):
        surveillance.decide_alert(alert, actor=person, status="CLEARED", note=" ")
    alert = surveillance.decide_alert(
        alert, actor=person, status="CLEARED", note="A wrong delivery came back."
    )
    assert alert.decided_by == person
    with pytest.raises(surveillance.AlertDecided):
        surveillance.take_alert(alert, actor=person)
    inspect(factories.fact(one, other, goods))  # what was cleared doesn't count as a first time
    assert not PairBlock.objects.exists()


# Facts


def test_a_trade_becomes_a_fact_is_executed_and_cancelled(deal, emitted, deliver):
    made, trade_id = deal(), uuid4()
    values = {
        "trade_id": trade_id, "buyer": made.buyer, "availability": made.offer, "quantity_kg": Decimal(1_700),
        "price": Decimal("150.44148248"), "trade_date": clock.today(),
    }  # fmt: skip
    with transaction.atomic():
        fact = facts.fact_created(actor=SYSTEM, **values)
    assert facts.fact_created(actor=SYSTEM, **values).pk == fact.pk
    assert (fact.stage, fact.bucket, fact.seller_id) == ("CREATED", None, made.seller.pk)
    facts.fact_executed(actor=SYSTEM, trade_id=trade_id)
    facts.fact_executed(actor=SYSTEM, trade_id=trade_id)
    deliver()
    facts.fact_cancelled(actor=SYSTEM, trade_id=trade_id)
    stages = [event.payload["stage"] for event in emitted("risk.fact_recorded")]
    assert stages == ["CREATED", "EXECUTED", "CANCELLED"]
    with pytest.raises(facts.FactUnknown):
        facts.record_performance(actor=SYSTEM, trade_id=uuid4(), disputed=True)


def test_performance_makes_the_rating_of_both_and_blocks_a_bad_pair(deal, partner, deliver, emitted):
    """§5.3, X19: risk computes it, partners stores the copy; below 30 the pair is blocked, freed when all rise."""
    made = deal()
    rows = [factories.fact(made.buyer, made.seller, made.offer.commodity) for _ in range(3)]
    good = {
        "settled_date": clock.today(), "due_amount": Decimal(100_000), "paid_in_time_amount": Decimal(100_000),
        "due_kg": Decimal(1_000), "in_window_kg": Decimal(1_000), "lots": 4, "lots_passed": 4,
    }  # fmt: skip
    for row in rows[:2]:
        facts.record_performance(actor=SYSTEM, trade_id=row.trade_id, **good)
    deliver()
    assert Scorecard.objects.get(partner=made.buyer).band is None  # below three settled trades
    bad = {**good, "in_window_kg": Decimal(0), "lots_passed": 0}
    facts.record_performance(actor=SYSTEM, trade_id=rows[2].trade_id, **bad)
    deliver()
    buyer, seller = (Scorecard.objects.get(partner=firm) for firm in (made.buyer, made.seller))
    assert (buyer.rating, buyer.band, buyer.paid_in_time) == (Decimal("5.00"), "A", 3)
    # d = q = 66.67, x = 0: (30 × 66.67 + 25 × 66.67 + 10 × 100) ÷ 65 ÷ 20
    assert (seller.rating, seller.band, seller.delivered_in_time) == (Decimal("3.59"), "C", 2)
    bands = {event.payload["partner_id"]: event.payload["band"] for event in emitted("risk.rating_changed")}
    assert bands == {str(made.buyer.pk): "A", str(made.seller.pk): "C"}
    assert emitted("partner.rated")
    row = made.judge(10)
    assert row.status == "PASS"
    assert not PairBlock.objects.exists()
    for fact in rows[:2]:
        facts.record_performance(
            actor=SYSTEM, trade_id=fact.trade_id, in_window_kg=Decimal(100), lots_passed=2, disputed=True
        )
    deliver()
    assert PairBlock.objects.get().cause == "CONDUCT"
    assert made.judge(10).status == "FAIL"
    for fact in rows:
        facts.record_performance(
            actor=SYSTEM, trade_id=fact.trade_id, in_window_kg=Decimal(450), lots_passed=2
        )
    deliver()
    assert PairBlock.objects.get().freed_at is not None
    weak = made.judge(10)
    assert (weak.status, "pair.weak" in weak.gate_codes) == ("WARN", True)
    with unguarded_writes():  # blocked, and what it was blocked for is long past
        PairBlock.objects.update(freed_at=None)
        TradeFact.objects.update(settled_date=clock.today() - timedelta(days=800))
    assert judge_blocked() == 1
    assert PairBlock.objects.get().freed_at is not None
    with pytest.raises(facts.FactContradicts):
        facts.record_performance(actor=SYSTEM, trade_id=rows[0].trade_id, lots_passed=5)


def test_the_bucket_follows_the_governing_values_of_the_offer(deal, user):
    from apps.availability.models import QualityValue
    from apps.commodities.models.parameters import QualityParameter
    from apps.risk.policy import PolicyBody

    made = deal()
    assert facts.bucket_of(made.offer, PolicyBody()) is None
    with unguarded_writes():
        for code, value in (("staple_length", "28.9"), ("micronaire", "4.1")):
            parameter = QualityParameter.objects.get(commodity=made.offer.commodity, code=code)
            QualityValue(
                availability=made.offer, parameter=parameter, value_number=Decimal(value), method="HVI",
                source="DECLARED", governing=True,
            ).save()  # fmt: skip
    assert facts.bucket_of(made.offer, PolicyBody()) == "micronaire:20;staple_length:57"
    assert TradeFact.objects.count() == 0
