"""The ledger of purchases: nothing is bought twice, or beyond what is wanted."""

import os
from datetime import timedelta
from decimal import Decimal
from random import Random
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from apps.availability.models import Availability, Reservation
from apps.availability.services import stock
from apps.requirement.ledgers import check_requirements
from apps.requirement.models import Fulfilment, Requirement
from apps.requirement.services import ledger, requirements, rules
from apps.requirement.tests.factories import content
from erp.access import SYSTEM
from erp.errors import CapabilityMissing
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db
_Status = Requirement.Status
WHY = "Bought by telephone before the trade was entered."


def again(row):
    return Requirement.objects.get(pk=row.pk)


def bales(number):
    return Decimal(number)


def commit(row, quantity, trade=None, **more):
    trade = trade or uuid4()
    ledger.commit(again(row), actor=SYSTEM, trade_id=trade, quantity=bales(quantity), **more)
    return trade


def buy(row, quantity, amount=1000):
    trade = commit(row, quantity)
    ledger.confirm(again(row), actor=SYSTEM, trade_id=trade, amount=Decimal(amount))
    return trade


def correct(row, quantity, actor=SYSTEM, amount=0, **more):
    values = {"currency": "INR", "reason": WHY, **more}
    return ledger.fulfill(again(row), actor=actor, quantity=bales(quantity), amount=Decimal(amount), **values)


def test_the_example_of_the_trade(requirement, emitted):
    row = requirement()
    buy(row, 60)
    assert (again(row).status, again(row).open_quantity) == (_Status.PARTIALLY_FULFILLED, 40)
    forty = buy(row, 40)
    assert again(row).status == _Status.FULFILLED
    assert emitted("requirement.fulfilled")[-1].payload["trades"] == 2
    ledger.revoke(again(row), actor=SYSTEM, trade_id=forty, quantity=bales(40), amount=Decimal(1000))
    assert (again(row).status, again(row).open_quantity) == (_Status.PARTIALLY_FULFILLED, 40)
    forty = commit(row, 40)
    with pytest.raises(rules.OverPurchase) as error:
        commit(row, 6)
    assert Decimal(error.value.members["remaining"]) == 5
    ledger.revoke(again(row), actor=SYSTEM, trade_id=forty, quantity=bales(40))
    row = again(row)
    assert (row.status, row.open_quantity, row.purchased_quantity) == (_Status.PARTIALLY_FULFILLED, 40, 60)


def test_a_requirement_is_complete_from_its_maximum_less_the_tolerance(requirement):
    row = requirement()
    buy(row, 94)
    assert again(row).status == _Status.PARTIALLY_FULFILLED
    buy(row, 1)
    assert again(row).status == _Status.FULFILLED
    with pytest.raises(rules.InvalidState):
        commit(row, 1)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_trades_at_once_ten_fit(requirement):
    row = requirement()

    def act():
        return ledger.commit(
            Requirement.objects.get(pk=row.pk), actor=SYSTEM, trade_id=uuid4(), quantity=bales(10)
        )

    outcomes = at_once(*[act] * 20)
    assert sum(isinstance(outcome, Requirement) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, rules.OverPurchase) for outcome in outcomes) == 10
    assert again(row).committed_quantity == 100
    assert Fulfilment.objects.aggregate(total=Sum("committed_delta"))["total"] == 100
    connection.close()


STEPS = int(os.environ.get("LEDGER_STEPS", "250"))


def test_random_steps_keep_the_sums(requirement):
    """Commits, confirmations, amendments, revocations and corrections; 10,000 with ``LEDGER_STEPS=10000``."""
    row, random = requirement(max_quantity=Decimal(200)), Random(27)
    open_trades, done = [], []
    for step in range(STEPS):
        try:
            match random.randrange(5):
                case 0:
                    open_trades.append(commit(row, random.randint(1, 40)))
                case 1 if open_trades:
                    trade = open_trades.pop(random.randrange(len(open_trades)))
                    ledger.confirm(
                        again(row), actor=SYSTEM, trade_id=trade, amount=Decimal(random.randint(1, 9999))
                    )
                    done.append(trade)
                case 2 if open_trades or done:
                    trade = random.choice([*open_trades, *done])
                    quantity = bales(random.randint(-20, 20))
                    ledger.adjust(
                        again(row), actor=SYSTEM, trade_id=trade, quantity=quantity, entry_key=f"amend:{step}"
                    )
                case 3 if done:
                    trade = done.pop()
                    ledger.revoke(
                        again(row), actor=SYSTEM, trade_id=trade, quantity=bales(random.randint(0, 30))
                    )
                case 4:
                    correct(row, random.choice([-7, -3, 2, 5]))
        except (rules.OverPurchase, rules.BelowZero, rules.InvalidState):
            pass
        now = again(row)
        sums = now.fulfilments.aggregate(
            committed=Sum("committed_delta"), purchased=Sum("purchased_delta"), amount=Sum("amount_delta")
        )
        assert (now.committed_quantity, now.purchased_quantity, now.spent_amount) == tuple(
            value or 0 for value in sums.values()
        )
        assert 0 <= now.committed_quantity + now.purchased_quantity <= now.cap
    assert not list(check_requirements())


def test_an_entry_is_written_once_and_not_with_other_figures(requirement, emitted):
    row, trade = requirement(), uuid4()
    for _ in range(2):
        commit(row, 10, trade)
        assert again(row).committed_quantity == 10
    with pytest.raises(rules.EntryReused):
        commit(row, 11, trade)
    for _ in range(2):
        ledger.confirm(again(row), actor=SYSTEM, trade_id=trade, amount=Decimal(500))
    with pytest.raises(rules.EntryReused):
        ledger.confirm(again(row), actor=SYSTEM, trade_id=trade, amount=Decimal(501))
    for _ in range(2):
        ledger.adjust(
            again(row),
            actor=SYSTEM,
            trade_id=trade,
            quantity=bales(2),
            amount=Decimal(100),
            entry_key="amend:1",
        )
    with pytest.raises(rules.EntryReused):
        ledger.adjust(again(row), actor=SYSTEM, trade_id=trade, quantity=bales(3), entry_key="amend:1")
    for _ in range(2):
        ledger.revoke(again(row), actor=SYSTEM, trade_id=trade, quantity=bales(12), amount=Decimal(600))
    with pytest.raises(rules.EntryReused):
        ledger.revoke(again(row), actor=SYSTEM, trade_id=trade, quantity=bales(1))
    row = again(row)
    assert (row.committed_quantity, row.purchased_quantity, row.spent_amount, row.status) == (
        0,
        0,
        0,
        _Status.ACTIVE,
    )
    kinds = [event.payload["kind"] for event in emitted("requirement.fulfillment_updated")]
    assert kinds == ["COMMIT", "CONFIRM", "ADJUST", "REVOKE"]


def test_an_amendment_that_is_repeated_after_the_approval_changes_nothing(requirement):
    row, trade = requirement(), uuid4()
    commit(row, 10, trade)

    def amend(of=row, **values):
        figures = {"quantity": bales(2), "amount": Decimal(0), **values}
        return ledger.adjust(again(of), actor=SYSTEM, trade_id=trade, entry_key="amend:1", **figures)

    amend()
    ledger.confirm(again(row), actor=SYSTEM, trade_id=trade, amount=Decimal(500))
    amend()
    assert again(row).purchased_quantity == 12
    for different in ({"quantity": bales(3)}, {"amount": Decimal(1)}, {"of": requirement()}):
        with pytest.raises(rules.EntryReused):
            amend(**different)
    with pytest.raises(rules.EntryReused):
        commit(requirement(), 10, trade)


def test_a_trade_goes_on_after_its_requirement_was_cancelled(requirement, buyer_of):
    row = requirement()
    trade = commit(row, 40)
    requirements.cancel(again(row), actor=buyer_of(row), reason_code="NOT_NEEDED")
    ledger.confirm(again(row), actor=SYSTEM, trade_id=trade, amount=Decimal(1000))
    now = again(row)
    assert (now.status, now.committed_quantity, now.purchased_quantity) == (_Status.CANCELLED, 0, 40)


def test_an_accepted_negotiation_commits_in_any_status_but_fulfilled(requirement, buyer_of):
    row = requirement()
    requirements.cancel(again(row), actor=buyer_of(row), reason_code="NOT_NEEDED")
    with pytest.raises(rules.InvalidState):
        commit(row, 10)
    commit(row, 10, negotiation_id=uuid4())
    with pytest.raises(rules.OverPurchase):
        commit(row, 96, negotiation_id=uuid4())
    other = requirement()
    buy(other, 100)
    with pytest.raises(rules.InvalidState):
        commit(other, 1, negotiation_id=uuid4())


def test_a_bound_reservation_is_a_deal_that_waits_for_its_trade(requirement, offer, user):
    buyer = user("BUYER")
    row = requirement(buyer=buyer)
    live = offer(commodity=row.commodity)
    held = stock.reserve(
        live, actor=SYSTEM, holder_partner=row.buyer_partner, quantity=bales(60), requirement_id=row.pk
    )
    assert ledger.open_demand(row) == 105
    stock.bind(
        Availability.objects.get(pk=live.pk), actor=SYSTEM, reservation_id=held.pk, negotiation_id=uuid4(),
        unit_price=Decimal(53_500), until=timezone.now() + timedelta(hours=20),
    )  # fmt: skip
    assert ledger.open_demand(row) == 45
    with pytest.raises(rules.DealPending):
        requirements.cancel(again(row), actor=buyer, reason_code="NOT_NEEDED")
    commit(row, 60)
    with unguarded_writes():
        Reservation.objects.update(status="IN_TRADE", trade_id=uuid4(), expires_at=None)
    assert ledger.open_demand(again(row)) == 45
    assert requirements.cancel(again(row), actor=buyer, reason_code="NOT_NEEDED").status == _Status.CANCELLED


def test_price_discovery_buys_nothing_and_cannot_become_it_later(requirement, buyer_of):
    row = requirement(intent="PRICE_DISCOVERY_ONLY", ceiling_price=None)
    for act in (lambda: commit(row, 1), lambda: correct(row, 1)):
        with pytest.raises(rules.NotTradable):
            act()
    other = requirement()
    commit(other, 1)
    with pytest.raises(rules.IntentFixed):
        requirements.update(
            again(other), actor=buyer_of(other), content=content(intent="PRICE_DISCOVERY_ONLY")
        )
    buy(other, 60)
    with pytest.raises(rules.BelowCommitted):
        requirements.update(again(other), actor=buyer_of(other), content=content(max_quantity=Decimal(50)))


def test_an_edit_that_makes_it_complete_fulfils_it(requirement, buyer_of, emitted):
    row = requirement()
    buy(row, 60)
    row = requirements.update(again(row), actor=buyer_of(row), content=content(max_quantity=Decimal(60)))
    assert row.status == _Status.FULFILLED
    assert len(emitted("requirement.fulfilled")) == 1


def test_only_staff_correct_with_a_reason_and_never_below_zero(requirement, user, buyer_of, client_for):
    row = requirement()
    manager = user("INTERNAL_MANAGER")
    with pytest.raises(CapabilityMissing):
        correct(row, 10, actor=buyer_of(row))
    path = f"/api/v1/requirements/{row.pk}/fulfill"
    body = {"quantity": "10", "amount": "0", "currency": "INR"}
    assert client_for(buyer_of(row)).write(path, {**body, "reason": WHY}).status_code == 403
    assert client_for(manager).write(path, body).status_code == 400
    assert client_for(manager).write(path, {**body, "reason": WHY}).status_code == 200
    with pytest.raises(rules.BelowZero):
        correct(row, -11, actor=manager)
    with pytest.raises(rules.CurrencyMismatch):
        correct(row, 1, actor=manager, currency="USD")
    with pytest.raises(rules.PriceInvalid):
        correct(row, 1, actor=manager, amount=-5)
    with pytest.raises(rules.QuantityNotWhole):
        correct(row, "0.5", actor=manager)
    with pytest.raises(rules.OverPurchase):
        correct(row, 96, actor=manager)
    assert correct(row, -10, actor=manager).status == _Status.ACTIVE
    for status in ("CANCELLED", "EXPIRED", "DRAFT"):
        with unguarded_writes():
            Requirement.objects.filter(pk=row.pk).update(status=status)
        with pytest.raises(rules.InvalidState):
            correct(row, 1, actor=manager)


def test_verify_ledger_finds_a_figure_that_is_not_the_sum_of_its_lines(requirement):
    row = requirement()
    commit(row, 10)
    assert not list(check_requirements())
    with unguarded_writes():
        Requirement.objects.filter(pk=row.pk).update(committed_quantity=Decimal(11))
    (found,) = check_requirements()
    assert found.key == str(row.pk)
