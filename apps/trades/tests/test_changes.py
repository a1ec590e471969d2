"""Amendments and disputes (§8.6, 8.22, 8.24)."""

from datetime import timedelta

import pytest

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.partners.models import OpenExposure
from apps.trades import ledgers
from apps.trades.engine import errors
from apps.trades.models import Amendment, Deadline, Terms, Trade
from apps.trades.services import amendments, approval, disputes, effects, rules
from apps.trades.tests.deals import D, Deals
from erp import clock
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import unguarded_writes


@pytest.fixture
def deals(world):
    return Deals(world)


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def propose(trade, actor, *changes, **fields):
    return amendments.propose_amendment(
        trade, actor=actor, reason="Agreed on the telephone.",
        changes=[{"pointer": pointer, "value": value} for pointer, value in changes], **fields,
    )  # fmt: skip


def test_an_amendment_before_approval_applies_at_once_and_earlier_approvals_do_not_count(deals):
    """§8.6."""
    trade = deals.acknowledged()
    first, second, third = deals.managers
    approval.approve(trade, actor=first)
    row = propose(trade, deals.sellers, ("/price", "53000"), ("/count", 90))
    assert row.commercial
    with pytest.raises(rules.AmendmentOpen):
        propose(trade, deals.buyers, ("/price", "52000"))
    with pytest.raises(rules.OwnAmendment):
        amendments.accept_amendment(row, actor=deals.sellers)
    with pytest.raises(rules.OwnAmendment):
        amendments.accept_amendment(row, actor=deals.world.user("SELLER", of=deals.seller))
    assert amendments.accept_amendment(row, actor=deals.buyers).status == "APPLIED"
    trade = fresh(trade)
    assert (trade.status, trade.terms_version, trade.count, trade.weight_kg) == (
        "PENDING_APPROVAL",
        2,
        90,
        D(15300),
    )
    assert trade.contract_value == D("2280242.96")
    assert trade.acknowledgements.filter(terms_version=2, contract_hash=trade.contract_hash).count() == 2
    assert trade.availability.available_quantity == 10
    assert trade.requirement.committed_quantity == 90
    now = OpenExposure.objects.get(source_id=trade.pk, bucket="hold").amount
    assert now == effects.exposure_of(trade, rules.terms_of(trade), D(15300)) == D("1938206.51")
    with pytest.raises(SelfApproval):
        approval.approve(trade, actor=_proposer(deals, trade))
    trade = approval.approve(trade, actor=second)
    assert trade.status == "PENDING_APPROVAL"  # the first one's approval was of other terms
    assert approval.approve(trade, actor=third).status == "APPROVED"


def _proposer(deals, trade):
    """A manager who acknowledged for a side counts as one of those concerned."""
    manager = deals.managers[0]
    with unguarded_writes():
        Amendment.objects.filter(trade=trade).update(decided_by=manager)
    return manager


def test_after_approval_a_commercial_amendment_waits_for_approval(deals):
    trade = deals.approved()
    for changes, problem in (
        ([("/parties", "x")], rules.NotAmendable),
        ([("/count", 101)], rules.NotAmendable),
        ([("/price", "53500")], rules.NoChange),
        ([("/price", "-1")], errors.BadInput),
        ([("/delivery/window_end", "2020-01-01")], errors.WindowInvalid),
        ([("/payment/carrying_slabs", [{"days": 15, "annual_percent": "15"}])], errors.SlabsInvalid),
        ([("/from_location_id", "nowhere")], rules.NotAmendable),
    ):
        with pytest.raises(problem):
            propose(trade, deals.sellers, *changes)
    row = propose(trade, deals.sellers, ("/price", "53600"))
    row = amendments.accept_amendment(row, actor=deals.buyers)
    trade = fresh(trade)
    assert (row.status, trade.status, trade.terms_version) == ("ACCEPTED", "APPROVED", 1)
    request = ApprovalRequest.objects.get(kind="trade.amend", status="pending")
    assert request.needed == 2
    with unguarded_writes():
        type(deals.seller).objects.filter(pk=deals.seller.pk).update(status="suspended")
    approvals.approve(fresh(request), actor=deals.managers[2], subject_version=request.subject_version)
    with pytest.raises(rules.PartnerNotReady):
        approvals.approve(fresh(request), actor=deals.managers[0], subject_version=request.subject_version)
    with unguarded_writes():
        type(deals.seller).objects.filter(pk=deals.seller.pk).update(status="active")
    for manager in deals.managers[:1]:
        approvals.approve(fresh(request), actor=manager, subject_version=request.subject_version)
    row, trade = fresh(row), fresh(trade)
    assert (row.status, trade.terms_version, trade.price) == ("APPLIED", 2, D(53600))
    assert trade.requirement.spent_amount == trade.contract_value
    contracted = OpenExposure.objects.get(source_id=trade.pk, bucket="contracted", side="buy")
    assert contracted.amount == effects.exposure_of(trade, rules.terms_of(trade), trade.weight_kg)

    refused = propose(trade, deals.buyers, ("/price", "50000"))
    refused = amendments.accept_amendment(refused, actor=deals.sellers)
    request = ApprovalRequest.objects.get(kind="trade.amend", status="pending")
    approvals.reject(
        request, actor=deals.managers[2], subject_version=request.subject_version, reason_code="PRICE",
        note="Too far below the market.",
    )  # fmt: skip
    assert (fresh(refused).status, fresh(trade).price) == ("REFUSED", D(53600))

    window = propose(trade, deals.buyers, ("/delivery/window_end", str(clock.today() + timedelta(days=20))))
    assert not window.commercial
    with pytest.raises(rules.EvidenceRequired):
        amendments.accept_amendment(window, actor=deals.desk, on_behalf_of="SELLER")
    amendments.accept_amendment(window, actor=deals.sellers)
    open_ones = Deadline.objects.filter(trade=trade, kind="DELIVERY", status="OPEN")
    assert open_ones.get().due_date == clock.today() + timedelta(days=20)
    deals.dispatched(trade, 10)
    with pytest.raises(rules.NotAmendable):
        propose(trade, deals.sellers, ("/price", "53700"))
    late = propose(trade, deals.sellers, ("/transporter_id", str(deals.broker.pk)))
    amendments.reject_amendment(late, actor=deals.buyers, reason="The broker has no lorries.")
    assert Terms.objects.filter(trade=trade).count() == 3
    assert list(ledgers.check_terms()) == []


def test_a_dispatch_meanwhile_makes_an_accepted_amendment_stale(deals):
    trade = deals.approved()
    row = amendments.accept_amendment(propose(trade, deals.sellers, ("/price", "53600")), actor=deals.buyers)
    deals.dispatched(trade, 10)
    assert ApprovalRequest.objects.get(kind="trade.amend").status == "stale"
    assert fresh(row).status == "STALE"
    assert fresh(trade).terms_version == 1
    with pytest.raises(rules.EvidenceRequired):
        propose(trade, deals.desk, ("/transporter_id", str(deals.broker.pk)), on_behalf_of="SELLER")
    propose(trade, deals.sellers, ("/transporter_id", str(deals.broker.pk)))  # nothing is open any more


def test_disputes_end_with_their_deadline_and_are_decided_by_another(deals):
    """§8.22: a dispute after its deadline."""
    trade = deals.approved()
    sent = deals.dispatched(trade)
    deals.delivered(trade, sent)
    row = disputes.create_dispute(
        trade,
        actor=deals.buyers,
        kind="QUALITY",
        statement="The trash is above the sample.",
        claimed_amount=D(5000),
    )
    for given, problem in (
        ({"outcome": "UPHELD"}, rules.AwardMissing),
        ({"outcome": "REJECTED", "award_amount": D(1), "award_to": "BUYER"}, rules.AwardMissing),
        ({"outcome": "UPHELD", "award_amount": D(5001), "award_to": "BUYER"}, rules.AwardAboveClaim),
        ({"outcome": "RESETTLE"}, rules.InvalidState),
    ):
        with pytest.raises(problem):
            disputes.resolve_dispute(row, actor=deals.director, reason="After arbitration.", **given)
    with pytest.raises(CapabilityMissing):
        disputes.resolve_dispute(row, actor=deals.managers[0], outcome="REJECTED", reason="No ground for it.")
    decided = disputes.resolve_dispute(
        row,
        actor=deals.director,
        outcome="PART_UPHELD",
        award_amount=D(3000),
        award_to="BUYER",
        reason="Half of it.",
    )
    assert (decided.status, decided.award_amount) == ("RESOLVED", D(3000))
    own = disputes.create_dispute(
        trade, actor=deals.director, kind="OTHER", statement="A lorry was damaged.", on_behalf_of="SELLER"
    )
    with pytest.raises(SelfApproval):
        disputes.resolve_dispute(own, actor=deals.director, outcome="REJECTED", reason="Own dispute.")
    with pytest.raises(rules.NotASide):
        disputes.create_dispute(
            trade, actor=deals.world.user("SELLER", of=deals.broker), kind="OTHER", statement="I want more."
        )
    with unguarded_writes():
        Deadline.objects.filter(trade=trade).update(due_date=clock.today() - timedelta(days=1))
    with pytest.raises(rules.ClaimTooLate):
        disputes.create_dispute(trade, actor=deals.buyers, kind="SHORTAGE", statement="Bales are missing.")
    assert Trade.objects.get(pk=trade.pk).disputes.count() == 2
