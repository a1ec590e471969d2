"""What happens to the goods: quality, weighings, dispatches with e-way bills, deliveries, returns, cancellation."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from apps.availability.models import Availability
from apps.partners.models import OpenExposure
from apps.requirement.models import Requirement
from apps.risk.models import TradeFact
from apps.trades import tasks
from apps.trades.models import Deadline, Dispatch, LedgerEntry, Trade
from apps.trades.services import cancellation, execution, facts, rules
from apps.trades.tests.deals import LAB, D, Deals
from erp import clock
from erp.errors import CapabilityMissing


@pytest.fixture
def deals(world):
    return Deals(world)


@pytest.fixture
def trade(deals):
    return deals.approved()


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def test_journey_a_up_to_the_arrival(deals, trade):
    """Journey A17–A21: figures of quality, weight, dispatch with e-way bill, arrival."""
    result = deals.tested(trade)
    assert result.decision == "PASS_WITH_ALLOWANCE"
    assert fresh(trade).status == "IN_EXECUTION"
    weighed = deals.weighed(trade)
    assert weighed.net_kg == D("16938.500")
    sent = deals.dispatched(trade)
    assert sent.eway_status == "PENDING"
    assert tasks.ask_eways() == 1
    sent = fresh(sent)
    assert sent.eway_status == "RECORDED"
    assert len(sent.eway_number) == 12
    last = clock.today() + timedelta(days=9)  # 1,730 km: nine days, each to the midnight after
    assert rules.day_of(sent.eway_valid_until - timedelta(seconds=1)) == last
    assert tasks.ask_eways() == 0
    deals.delivered(trade, sent, final=True)
    trade = fresh(trade)
    assert trade.status == "DELIVERED"
    arrived = deals.weighed(trade, "16942.000", stage="DESTINATION", dispatch=sent)
    assert arrived.net_kg == D("16857.000")
    deadlines = dict(Deadline.objects.filter(trade=trade).values_list("kind", "status"))
    assert deadlines == {
        "ACKNOWLEDGE": "MET", "ADVANCE": "OPEN", "DELIVERY": "MET", "BALANCE": "OPEN", "WEIGHT_CLAIM": "OPEN",
        "QUALITY_CLAIM": "OPEN",
    }  # fmt: skip
    owed = OpenExposure.objects.get(account__partner=deals.buyer, bucket="delivered_unpaid")
    assert owed.amount == D("2173879.42")


def test_bad_weights_and_results_are_refused_and_store_nothing(deals, trade):
    """§8.16."""
    deals.weighed(trade, slip_number="WB-1")
    with pytest.raises(rules.SlipUsed):
        deals.weighed(trade, slip_number="wb-1")
    with pytest.raises(rules.NetNotPositive):
        deals.weighed(trade, tare="17023.500")
    with pytest.raises(rules.CountMismatch):
        deals.weighed(trade, count=1)  # all 100 were weighed
    first = trade.weighments.get()
    corrected = deals.weighed(trade, "17000.000", slip_number="WB-1", corrects=first)
    with pytest.raises(rules.AlreadyCorrected):
        deals.weighed(trade, corrects=first)
    with pytest.raises(rules.OverTolerance):
        deals.weighed(trade, "30000.000", corrects=corrected)
    with pytest.raises(rules.DateInFuture):
        deals.weighed(trade, weighed_at=clock.now() + timedelta(days=400))
    with pytest.raises(rules.DispatchRequired):
        deals.weighed(trade, stage="DESTINATION")
    with pytest.raises(rules.GoverningIncomplete):
        deals.tested(trade, {"trash": "3.8"})
    with pytest.raises(rules.ValueOutOfRange):
        deals.tested(trade, {"trash": "200"})
    with pytest.raises(rules.SourceNotFinal):
        deals.tested(trade, source="SELLER")
    assert trade.weighments.count() == 2
    assert not trade.quality_results.exists()
    governing = deals.tested(trade)
    with pytest.raises(rules.GoverningExists):
        deals.tested(trade)
    deals.tested(trade, supersedes=governing)


def test_only_those_whose_part_it_is_record(deals, trade):
    with pytest.raises(rules.NotYourPart):
        deals.weighed(trade, actor=deals.buyers)  # the buyer weighs at the destination
    own = deals.weighed(trade, "8600", "100", actor=deals.sellers, count=50)
    staffs = deals.weighed(trade, "8600", "100", count=50)
    with pytest.raises(rules.NotYourPart):
        deals.weighed(trade, "8700", "100", actor=deals.sellers, count=50, corrects=staffs)
    with pytest.raises(rules.EvidenceRequired):
        deals.weighed(trade, "8700", "100", count=50, corrects=own)
    deals.weighed(trade, "8600", "100", actor=deals.sellers, count=50, corrects=own)
    with pytest.raises(rules.NotYourPart):
        deals.dispatched(trade, actor=deals.buyers)
    yesterday, today = clock.now() - timedelta(days=1), clock.today()
    for early in ({"dispatched_at": yesterday}, {"invoice_date": today - timedelta(days=1)}):
        with pytest.raises(rules.TimesOutOfOrder):
            deals.dispatched(trade, **early)
    carriers = deals.world.user("SERVICE_PROVIDER", of=deals.transporter)
    with pytest.raises(rules.NotYourPart):
        deals.tested(trade, actor=carriers, source="CONTROLLER", governing=False)
    with pytest.raises(rules.NotYourPart):
        deals.dispatched(trade, actor=carriers)  # the invoice is the seller's
    challan = {"invoice_number": "", "invoice_date": None, "challan_number": "C/1"}
    sent = deals.dispatched(trade, actor=carriers, **challan)
    with pytest.raises(rules.NotYourPart):
        deals.delivered(trade, sent, actor=deals.sellers)
    stranger = deals.world.user("SELLER")
    with pytest.raises(CapabilityMissing):
        deals.weighed(trade, actor=stranger)


def test_dispatches_stay_within_lots_and_papers(deals, trade):
    sent = deals.dispatched(trade, 60, invoice_number="INV-1")
    with pytest.raises(rules.LotOverdispatched):
        deals.dispatched(trade, 41)
    with pytest.raises(rules.DocumentUsed):
        deals.dispatched(trade, 40, invoice_number="INV-1")
    with pytest.raises(rules.DocumentMissing):
        deals.dispatched(trade, 40, invoice_number="", invoice_date=None)
    with pytest.raises(rules.OverTolerance):
        deals.dispatched(trade, lines=[deals.line(trade, 40, "12000")])
    with pytest.raises(rules.GoodsInTransit):
        cancellation.cancel(trade, actor=deals.director, reason_code="MUTUAL", reason="Both sides agree.")
    balance = Deadline.objects.get(trade=trade, kind="BALANCE")
    execution.void_dispatch(sent, actor=deals.desk, reason="Never left the yard.")
    assert fresh(balance).status == "VOID"
    with capture_logs() as lines:
        assert execution.record_eway(fresh(sent), actor=deals.desk, number="1" * 12).eway_status == "PENDING"
    assert [line["number"] for line in lines if line["event"] == "eway_number_unused"] == ["1" * 12]
    again = deals.dispatched(trade, invoice_number="INV-1")
    with pytest.raises(rules.AlreadyDelivered):
        deals.delivered(trade, sent)
    execution.extend_eway(
        again, actor=deals.desk, reason="The lorry broke down.", vehicle_number="GJ05AB1234"
    )
    assert fresh(again).vehicle_number == "GJ05AB1234"
    small = deals.line(trade, 1)
    assert small["weight_kg"] == 170


def test_the_portal_that_does_not_answer_is_asked_again_and_a_refusal_is_final(deals, trade):
    waiting = deals.dispatched(trade, 10, invoice_number="I-T")
    refused = deals.dispatched(trade, 10, invoice_number="I-R")
    assert tasks.ask_eways() == 1
    waiting, refused = fresh(waiting), fresh(refused)
    assert (waiting.eway_status, waiting.eway_request.attempts) == ("PENDING", 1)
    assert refused.eway_status == "FAILED"
    assert tasks.ask_eways() == 0
    for _ in execution.RETRY_MINUTES:
        execution.postpone_eway(fresh(waiting), actor=deals.desk)
    assert fresh(waiting).eway_status == "FAILED"


def test_cancel_returns_exactly_what_was_not_delivered(deals, trade):
    """§8.10: the whole trade, journey B8."""
    offer, wanted = trade.availability, trade.requirement
    assert fresh(offer).status == "SOLD_OUT"
    deals.weighed(trade)
    washout = {"market_price": D(54100), "source": "CAI spot rate", "source_date": clock.today()}
    with pytest.raises(CapabilityMissing):
        cancellation.cancel(trade, actor=deals.managers[0], reason_code="OTHER", reason="Not wanted.")
    with pytest.raises(rules.WashoutMissing):
        cancellation.cancel(trade, actor=deals.director, reason_code="SELLER_DEFAULT", reason="No bales.")
    cancellation.cancel(
        trade, actor=deals.director, reason_code="SELLER_DEFAULT", reason="No bales came.", washout=washout
    )
    trade, offer, wanted = fresh(trade), fresh(offer), fresh(wanted)
    assert (trade.status, trade.cancelled_count) == ("CANCELLED", 100)
    assert (offer.status, offer.available_quantity, offer.sold_quantity) == ("ACTIVE", 100, 0)
    assert (wanted.purchased_quantity, wanted.spent_amount) == (0, 0)
    assert not OpenExposure.objects.filter(source_id=trade.pk, amount__gt=0).exists()
    fact = TradeFact.objects.get(trade_id=trade.pk)
    assert (fact.stage, fact.due_kg, fact.in_window_kg, fact.settled_date) == (
        "CANCELLED", D(17000), 0, clock.today(),
    )  # fmt: skip
    entry = LedgerEntry.objects.get(trade=trade)
    assert (entry.kind, entry.amount, entry.debtor, entry.creditor) == (
        "WASHOUT", D("28578.54"), deals.seller, deals.buyer,
    )  # fmt: skip
    with pytest.raises(rules.InvalidState):
        cancellation.cancel(trade, actor=deals.director, reason_code="MUTUAL", reason="A second time.")


def test_cancel_of_the_rest_delivers_the_trade(deals, trade):
    """§8.10: a part."""
    sent = deals.dispatched(trade, 60)
    deals.delivered(trade, sent, 60, final=True)
    assert fresh(trade).status == "IN_EXECUTION"  # 40 of 100 are more than the tolerance
    cancellation.cancel(
        trade, actor=deals.director, reason_code="MUTUAL", reason="Both agreed.", stock="WITHDRAW"
    )
    trade = fresh(trade)
    assert (trade.status, trade.cancelled_count, trade.cancelled_kg) == ("DELIVERED", 40, D(6800))
    offer = Availability.objects.get(pk=trade.availability_id)
    assert (offer.sold_quantity, offer.withdrawn_quantity, offer.available_quantity) == (60, 40, 0)
    assert Requirement.objects.get(pk=trade.requirement_id).purchased_quantity == 60
    sums = dict(OpenExposure.objects.filter(source_id=trade.pk, side="buy").values_list("bucket", "amount"))
    assert sums["contracted"] == 0
    assert sums["delivered_unpaid"] == D("1304327.65")
    assert TradeFact.objects.get(trade_id=trade.pk).stage == "EXECUTED"


def test_a_rejected_lot_goes_back(deals, trade):
    sent = deals.dispatched(trade)
    deals.delivered(trade, sent)
    with pytest.raises(rules.NotRejected):  # a buyer doesn't undo a purchase of goods that passed
        deals.dispatched(trade, 100, actor=deals.buyers, returns=sent)
    rejected = deals.tested(trade, {**LAB, "rd": "70"})
    assert rejected.decision == "REJECT"
    carriers = deals.world.user("SERVICE_PROVIDER", of=deals.transporter)
    with pytest.raises(rules.NotYourPart):
        deals.dispatched(trade, 100, actor=carriers, returns=sent)
    with pytest.raises(rules.LotOverdispatched):
        deals.dispatched(trade, lines=[deals.line(trade, 100, "17001")], returns=sent)
    mistaken = deals.dispatched(trade, 100, actor=deals.buyers, returns=sent)
    execution.void_dispatch(mistaken, actor=deals.desk, reason="Never left the mill.")
    back = deals.dispatched(trade, 100, actor=deals.buyers, returns=sent)
    assert (back.direction, back.consignor) == ("RETURN", deals.buyer)
    offers, wants = Availability.objects, Requirement.objects
    assert offers.get(pk=trade.availability_id).available_quantity == 0  # on its way
    assert len(facts.goods_of(trade)["dispatches"]) == 1
    with pytest.raises(rules.NotYourPart):
        deals.delivered(trade, back, actor=deals.buyers)
    deals.delivered(trade, back, actor=deals.sellers)
    assert offers.get(pk=trade.availability_id).available_quantity == 100
    assert wants.get(pk=trade.requirement_id).purchased_quantity == 0
    assert len(facts.goods_of(trade)["dispatches"]) == 2
    with pytest.raises(rules.LotOverdispatched):
        deals.dispatched(trade, 1, returns=sent)

    # An award takes its own capability, a report, and somebody who had no part in the trade.
    award = {"source": "AWARD", "award_price": D(50000), "supersedes": rejected}
    with pytest.raises(CapabilityMissing):
        deals.tested(trade, **award)
    with pytest.raises(rules.EvidenceRequired):
        deals.tested(trade, actor=deals.director, **award)


def test_a_rejected_lot_does_not_leave_and_suspension_holds_the_trade(deals, trade):
    result = deals.tested(
        trade, {"rd": "76", "trash": "3", "moisture": "8", "staple_length": "29", "micronaire": "4"}
    )
    assert result.decision == "PASS"
    type(deals.seller).objects.none()
    from erp.models import unguarded_writes

    with unguarded_writes():
        type(deals.seller).objects.filter(pk=deals.seller.pk).update(status="suspended")
    assert tasks.follow_suspensions() == 1
    assert fresh(trade).hold_code == "PARTNER_SUSPENDED"
    with pytest.raises(rules.OnHold):
        deals.dispatched(trade, actor=deals.sellers)
    with unguarded_writes():
        type(deals.seller).objects.filter(pk=deals.seller.pk).update(status="active")
    assert tasks.follow_suspensions() == 1
    assert tasks.follow_suspensions() == 0
    assert Trade.objects.get(pk=trade.pk).hold_code is None
    assert Dispatch.objects.count() == 0


def test_missed_deadlines_are_marked_once(deals, trade, assert_emitted):
    from erp.models import unguarded_writes

    with unguarded_writes():
        Deadline.objects.filter(trade=trade, kind="ADVANCE").update(
            due_date=clock.today() - timedelta(days=1)
        )
    assert tasks.miss_deadlines() == 1
    assert tasks.miss_deadlines() == 0
    assert Deadline.objects.get(trade=trade, kind="ADVANCE").status == "MISSED"
