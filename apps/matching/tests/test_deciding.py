"""Decisions of both sides: approval, reservation, rejection, and what ends a match."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.availability.models import Disclosure, Reservation
from apps.availability.services import stock
from apps.availability.tests.factories import with_credit
from apps.matching.models import Match, Side, protecting
from apps.matching.services import deals, deciding, problems
from apps.matching.tests.factories import again, put
from apps.risk.models import RiskAssessment
from apps.risk.services.assessing import Blocked
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, PreconditionFailed, SelfApproval
from erp.models import unguarded_writes
from erp.services import unit_of_work
from erp.testing import at_once

pytestmark = pytest.mark.django_db
_Status = Match.Status


def approve(match, actor, **more):
    return deciding.approve(again(match), actor=actor, **more)


def reject(match, actor, **more):
    return deciding.reject(again(match), actor=actor, **{"reason": "PRICE", **more})


def test_both_sides_approve_and_the_stock_is_reserved(cotton, emitted):
    match = cotton.match()
    approve(match, cotton.seller)
    first = again(match)
    assert (first.status, first.seller_decision, first.reservation_id) == (_Status.PROPOSED, "APPROVED", None)
    approve(match, cotton.buyer, quantity=Decimal(60), unit="BALE")
    match = again(match)
    held = Reservation.objects.get(pk=match.reservation_id)
    assert (match.status, match.buyer_quantity, held.quantity) == (_Status.APPROVED, 60, 60)
    assert (held.match_id, held.requirement_id) == (match.pk, match.requirement_id)
    assert held.holder_partner_id == match.buyer_partner_id
    offer = again(match.availability)
    assert (offer.available_quantity, offer.reserved_quantity) == (40, 60)
    told = [event.payload for event in emitted("match.approved")]
    assert [(each["side"], each["complete"]) for each in told] == [("SELLER", False), ("BUYER", True)]
    assert [each["quantity"]["value"] for each in told] == ["100.000", "60.000"]
    assert RiskAssessment.objects.filter(match_id=match.pk, subject_type="TRADE").count() == 1
    for actor in (cotton.seller, cotton.buyer):
        with pytest.raises(problems.AlreadyDecided):
            approve(match, actor)


def test_refusals_of_an_approval(cotton, world):
    """§8.11, §8.12."""
    match, desk = cotton.match(), world.user("INTERNAL_MANAGER")
    with pytest.raises(problems.SideNotAllowed):
        approve(match, cotton.buyer, side=Side.SELLER)
    with pytest.raises(problems.SideRequired):
        approve(match, desk)
    with pytest.raises(CapabilityMissing):
        approve(match, world.user("BUYER"))
    for quantity, unit in (
        (Decimal(5), "BALE"),
        (Decimal(101), "BALE"),
        (Decimal(50), "KG"),
        (Decimal("50.5"), "BALE"),
    ):
        with pytest.raises(problems.QuantityOutOfRange):
            approve(match, cotton.buyer, quantity=quantity, unit=unit)
    with pytest.raises(problems.QuantityOutOfRange):
        approve(match, cotton.seller, quantity=Decimal(50), unit="BALE")
    with pytest.raises(PreconditionFailed):
        deciding.approve(again(match), actor=cotton.buyer, if_version=match.version + 1)
    approve(match, desk, side=Side.SELLER, note="By telephone.")
    with pytest.raises(SelfApproval):
        approve(match, desk, side=Side.BUYER, note="By telephone.")
    with pytest.raises(problems.AlreadyDecided):
        approve(match, cotton.seller)
    with pytest.raises(problems.Bound):
        reject(match, cotton.seller)
    superuser = world.user()
    other = cotton.match(offer=cotton.offer(seller=world.user("SELLER")))
    approve(other, superuser, side=Side.BUYER, note="By telephone.")
    with pytest.raises(SelfApproval):
        approve(other, superuser, side=Side.SELLER, note="By telephone.")


def test_changed_facts_are_stale_and_an_old_match_has_expired(cotton):
    match = cotton.match()
    put(match.availability, unit_price=Decimal(53_600))
    with pytest.raises(problems.Stale):
        approve(match, cotton.buyer)
    put(match.availability, unit_price=Decimal(53_500))
    put(match, expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(problems.Expired):
        approve(match, cotton.buyer)


def test_risk_that_fails_meanwhile_is_a_refusal_that_leaves_its_trace(cotton):
    """§8.11: the assessment stays, the match and its first approval too, and nothing is reserved."""
    from apps.risk.models import PairBlock, ordered

    match = cotton.match()
    approve(match, cotton.seller)
    low, high = ordered(match.buyer_partner_id, match.seller_partner_id)
    with unguarded_writes():  # found between the filters and the gate
        block = PairBlock(low_id=low, high_id=high, cause="MANUAL", reason="Seen on the floor.")
    refused = _with(block, lambda: approve(match, cotton.buyer))
    assert isinstance(refused.problem, Blocked)
    assert refused.problem.code == "risk.blocked"
    assert "pair" not in str(refused.problem.members)
    assessment = RiskAssessment.objects.get(match_id=match.pk)
    assert assessment.status == "FAIL"
    assert (again(match).status, again(match).buyer_decision) == (_Status.PROPOSED, None)
    assert not Reservation.objects.exists()


def _with(block, act):
    """Act while the filters don't see the block yet: it begins in the moment after them."""
    from apps.matching.services import deciding as module

    passed = module._unchanged

    def then_blocked(match):
        candidate = passed(match)
        with unguarded_writes():
            block.save()
        return candidate

    module._unchanged = then_blocked
    try:
        return act()
    finally:
        module._unchanged = passed


def test_a_side_that_lacks_something_learns_it_and_the_other_only_that_it_is_not_ready(cotton, world):
    """Rulings X10."""
    offer = cotton.offer(advance=0)
    buyer = with_credit(world.partner(), 10_000_000)
    want = cotton.want(buyer=world.user("BUYER", of=buyer))
    match = cotton.match(want, offer)
    with unguarded_writes():
        type(buyer.credit.limits.get()).objects.update(amount=300_000)
    approve(match, world.user("BUYER", of=buyer))
    refused = approve(match, cotton.seller)
    assert refused.problem.code == "matching.counterpart_not_ready"
    assert not refused.problem.members
    assert RiskAssessment.objects.get(match_id=match.pk).status == "FAIL"


def test_the_last_bales_go_to_one_of_two_matches(cotton, world):
    """§8.10: the other gets 409 and keeps its first approval."""
    offer, buyers = cotton.offer(), [world.user("BUYER") for _ in range(2)]
    matches = [cotton.match(cotton.want(buyer=buyer), offer) for buyer in buyers]
    for match, buyer in zip(matches, buyers, strict=True):
        approve(match, buyer)
    approve(matches[0], cotton.seller)
    with pytest.raises((problems.Stale, problems.CounterpartNotReady, stock.rules.QuantityExceeded)):
        approve(matches[1], cotton.seller)
    assert again(matches[1]).buyer_decision == "APPROVED"
    assert Reservation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_both_sides_at_once_make_one_reservation(cotton):
    """§8.10."""
    match = cotton.match()
    outcomes = at_once(lambda: approve(match, cotton.buyer), lambda: approve(match, cotton.seller))
    assert all(isinstance(each, Match) for each in outcomes), outcomes
    assert again(match).status == _Status.APPROVED
    assert Reservation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_locks_matches_before_listings_as_an_approval_does(cotton):
    """Both go through: match, requirement, offer; what the run had judged before it waited isn't written."""
    match = cotton.match()
    put(match.availability, unit_price=Decimal(60_000))  # a run supersedes it
    with CaptureQueriesContext(connection) as asked:
        cotton.run(match.requirement)
    sequence = [
        table
        for query in asked.captured_queries
        for table in ("matching_match", "requirement_requirement", "availability_availability")
        if "FOR NO KEY UPDATE" in query["sql"] and f'FROM "{table}"' in query["sql"]
    ]
    assert sequence[0] == "matching_match"
    assert sequence.index("requirement_requirement") < sequence.index("availability_availability")
    other = cotton.match(cotton.want(), cotton.offer())
    outcomes = at_once(*[lambda: approve(other, cotton.buyer), lambda: cotton.run(other.availability)] * 3)
    faults = {type(each).__name__ for each in outcomes if isinstance(each, Exception)}
    assert faults <= {"AlreadyDecided", "PreconditionFailed"}, outcomes


def test_a_rejected_match_conceals_the_offer_and_releases_its_stock(cotton, world, emitted):
    match = cotton.match()
    assert Disclosure.objects.live(clock.now()).filter(source_id=match.pk).exists()
    with pytest.raises(problems.NoteRequired):
        reject(match, cotton.buyer, reason="OTHER")
    approve(match, cotton.seller)
    approve(match, cotton.buyer)
    with pytest.raises(problems.Bound):
        reject(match, cotton.seller)
    reject(match, cotton.buyer)
    assert again(match).status == _Status.REJECTED
    assert again(match.availability).available_quantity == 100
    assert emitted("availability.released")[-1].payload["reason"] == "by_match"
    assert not Disclosure.objects.live(clock.now()).filter(source_id=match.pk).exists()
    with pytest.raises(problems.AlreadyDecided):
        reject(match, cotton.buyer)
    with pytest.raises(problems.NotOpen):
        reject(match, cotton.seller)


def test_a_released_reservation_ends_its_match(cotton, deliver):
    match = cotton.match()
    approve(match, cotton.seller)
    approve(match, cotton.buyer)
    deliver()
    stock.release(
        again(match.availability),
        actor=SYSTEM,
        reservation_id=again(match).reservation_id,
        reason="Not wanted.",
    )
    deliver()
    assert again(match).status == _Status.EXPIRED


def test_a_match_that_is_negotiated_does_not_end_by_itself(cotton):
    """Rulings X1."""
    match = cotton.match()
    put(match, expires_at=clock.now() - timedelta(seconds=1))
    protecting.append(lambda: Match.objects.filter(pk=match.pk).values("pk"))
    try:
        deciding.expire(again(match), actor=SYSTEM)
        put(match.availability, unit_price=Decimal(90_000))
        cotton.run(match.requirement)
        deciding.end_for_listing(actor=SYSTEM, requirement_id=match.requirement_id, status=_Status.EXPIRED)
        assert again(match).status == _Status.PROPOSED
        with pytest.raises(problems.NegotiationOpen):
            reject(match, cotton.buyer)
    finally:
        protecting.pop()
    deciding.expire(again(match), actor=SYSTEM)
    assert again(match).status == _Status.EXPIRED


def test_what_negotiations_and_trades_make_of_a_match(cotton, world, emitted):
    """Rulings X3."""
    match, other = cotton.match(), cotton.match(offer=cotton.offer(seller=world.user("SELLER")))
    held = uuid4()
    with unit_of_work(SYSTEM):
        deals.accept_from_negotiation(
            again(match), actor=SYSTEM, reservation_id=held,
            by={Side.BUYER: cotton.buyer.pk, Side.SELLER: cotton.seller.pk},
        )  # fmt: skip
        with pytest.raises(problems.ReservationMismatch):
            deals.convert(again(match), actor=SYSTEM, trade_id=uuid4(), reservation_id=uuid4())
        deals.reject_from_negotiation(again(other), actor=SYSTEM, side=Side.BUYER, reason="PRICE")
    assert [event.payload["complete"] for event in emitted("match.approved")] == [True]
    assert (again(match).status, again(other).status) == (_Status.APPROVED, _Status.REJECTED)
    trade = uuid4()
    for _ in range(2):
        with unit_of_work(SYSTEM):
            deals.convert(again(match), actor=SYSTEM, trade_id=trade, reservation_id=held)
    assert (again(match).status, again(match).trade_id) == (_Status.CONVERTED, trade)
    assert len(emitted("match.converted")) == 1
    with unit_of_work(SYSTEM), pytest.raises(problems.NotOpen):
        deals.accept_from_negotiation(again(match), actor=SYSTEM, reservation_id=held, by={})
