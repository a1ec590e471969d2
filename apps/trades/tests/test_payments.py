"""Payments: TDS on advances, allocation, references, bounced cheques; threads across the TDS threshold."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from apps.trades import ledgers
from apps.trades.engine import errors
from apps.trades.models import (
    Deadline,
    LedgerEntry,
    Payment,
    PositionEntry,
    Settlement,
    TaxPosition,
    Trade,
)
from apps.trades.services import payments, rules, settlement
from apps.trades.tests.cases import ADVANCE, ARRIVED, BALANCE, D, pay
from apps.trades.tests.stored import Exchange
from erp import clock
from erp.access import SYSTEM
from erp.errors import Conflict, Invalid
from erp.models import Writer, unguarded_writes, writing
from erp.services import unit_of_work

DAY = date(2026, 2, 23)


@pytest.fixture
def exchange(world):
    return Exchange(world)


def in_service(function):
    """Call what services call, in a unit of work of the module."""
    with unit_of_work(SYSTEM) as unit, writing(Writer("trade", unit.count)):
        unit.running.append(settlement.settle)
        return function()


def position_of(exchange):
    row = TaxPosition.objects.get(pk=exchange.position.pk)
    return row.counted, row.taxed


def test_a_payment_is_refused_with_what_is_wrong_and_leaves_nothing(exchange, world):
    """§8.17, §8.16: over-allocation, a used reference, another currency, a stranger, tomorrow."""
    trade = exchange.trade()
    exchange.pay(trade, ADVANCE, reference="N1")
    reversal = {"kind": "REVERSAL", "amount": D("1.00")}
    faults = [
        (payments.PaymentReferenceUsed, {"reference": "N1"}),
        (payments.CurrencyMismatch, {"currency": "USD"}),
        (payments.NotAParty, {"payer": world.partner()}),
        (payments.NotAParty, {"payee": exchange.buyer}),
        (payments.NotAParty, {"payer": exchange.seller, "payee": exchange.buyer}),
        (rules.DateInFuture, {"paid_date": clock.today() + timedelta(1)}),
        (settlement.FinancialYearMissing, {"paid_date": date(2024, 3, 31)}),
        (
            errors.OverAllocated,
            {"allocations": [{"obligation": "BALANCE", "amount": BALANCE.amount + D("0.01")}]},
        ),
        (Invalid, {"kind": "REVERSAL"}),
        (Invalid, {"reverses_payment": Payment.objects.get()}),
        (Invalid, {**reversal, "reverses_payment": Payment.objects.get()}),
        (errors.FactsMissing, {"kind": "ADVANCE", "paid_date": date(2026, 4, 2)}),
    ]
    before = (Payment.objects.count(), LedgerEntry.objects.count(), position_of(exchange))
    for problem, fields in faults:
        with pytest.raises(problem):
            exchange.pay(trade, BALANCE, **fields)
    assert before == (Payment.objects.count(), LedgerEntry.objects.count(), position_of(exchange))
    for status in ("PENDING_APPROVAL", "CANCELLED"):
        with pytest.raises(rules.InvalidState):
            exchange.pay(exchange.trade(status=status), BALANCE)
    with pytest.raises(rules.InvalidState):
        exchange.pay(exchange.trade(status="SETTLED"), ADVANCE)


def test_tds_on_an_advance_above_the_threshold(world):
    """§5.8: an advance counts when it is paid, and the invoice counts the rest."""
    exchange = Exchange(world, opening="4900000.00")
    trade = exchange.trade()
    payment = exchange.pay(trade, ADVANCE)
    assert (payment.tds, payment.bank_amount) == (D(284), D("383341.78"))  # 0.1 % of 2,83,625.78
    assert [(row.kind, row.amount) for row in payment.entries.order_by("pk")] == [
        ("PAYMENT", D("383341.78")),
        ("TDS", D("284.00")),
    ]
    assert position_of(exchange) == (ADVANCE.amount, D("283625.78"))
    assert settlement.net_of(trade) == -ADVANCE.amount
    done = settlement.preview(trade, as_of=date(2026, 1, 22)).settlement
    assert done.totals.tds == D("2096.00")  # 0.1 % of 24,79,684.66 − 3,83,625.78
    assert list(ledgers.check_payments()) == []


def test_a_bounced_cheque_reverses_once_and_reopens_balance_and_days(exchange):
    """§8.17: everything that the payment did is taken back; the carrying charge counts to the new payment."""
    trade = exchange.trade()
    with unguarded_writes():
        due = Deadline(trade=trade, kind="ADVANCE", due_date=date(2026, 1, 14))
        due.save()
        balance = Deadline(trade=trade, kind="BALANCE", due_date=date(2026, 1, 31))
        balance.save()
    exchange.pay(trade, ADVANCE)
    due.refresh_from_db()
    balance.refresh_from_db()
    assert (due.status, balance.status) == ("MET", "OPEN")
    cheque = exchange.pay(trade, BALANCE, method="CHEQUE", paid_date=date(2026, 1, 31))
    balance.refresh_from_db()
    assert balance.status == "MET"
    assert settlement.preview(trade, as_of=DAY).settlement.totals.carrying == 0
    bounced = {"kind": "REVERSAL", "reverses_payment": cheque, "paid_date": date(2026, 2, 3)}
    exchange.pay(trade, BALANCE, **bounced)
    with pytest.raises(payments.AlreadyReversed):
        exchange.pay(trade, BALANCE, **bounced)
    balance.refresh_from_db()
    due.refresh_from_db()
    assert (due.status, balance.status) == ("MET", "OPEN")
    seen = settlement.preview(trade, as_of=DAY)
    assert "balance_open" in seen.blocking
    assert settlement.net_of(trade) == -ADVANCE.amount
    exchange.pay(trade, BALANCE)
    assert str(settlement.preview(trade, as_of=DAY).settlement.totals.carrying) == "19153.41"
    advance = Payment.objects.get(kind="ADVANCE")
    exchange.pay(trade, ADVANCE, kind="REVERSAL", reverses_payment=advance)
    assert position_of(exchange) == (0, 0)
    due.refresh_from_db()
    balance.refresh_from_db()
    assert (due.status, balance.status) == ("MET", "OPEN")  # the second cheque pays what is due first
    assert list(ledgers.check_payments()) == list(ledgers.check_positions()) == []


def test_an_advance_that_bounces_after_cancelling_in_the_next_year_leaves_nothing(world):
    """§5.8, §8.17: closing takes it off the position of its own year, the bounce takes back both."""
    exchange = Exchange(world, opening="4900000.00")
    trade = exchange.trade(
        facts=replace(ARRIVED, dispatches=(), deliveries=(), weighments=()), status="IN_EXECUTION"
    )
    advance = exchange.pay(trade, ADVANCE)
    in_service(
        lambda: settlement.close_undelivered(trade, exchange.finance, washout=None, day=date(2026, 4, 2))
    )
    assert position_of(exchange) == (0, D("283625.78"))
    assert settlement.net_of(trade) == -advance.bank_amount
    with unguarded_writes():
        trade.status = "CANCELLED"
        trade.save()
    exchange.pay(trade, ADVANCE, kind="REVERSAL", reverses_payment=advance)
    assert position_of(exchange) == (0, 0)
    assert settlement.net_of(trade) == 0
    assert list(ledgers.check_payments()) == list(ledgers.check_positions()) == []


def test_an_advance_that_bounces_after_settling_stays_counted_with_its_invoice(world):
    """§5.8, §8.17: each rupee counts once, before and after the bounce, and once more when settled again."""
    exchange = Exchange(world, opening="4900000.00")
    trade = exchange.trade()
    advance = exchange.pay(trade, ADVANCE)
    exchange.pay(trade, BALANCE)
    settlement.settle(trade, actor=exchange.finance, settled_date=DAY)
    trade = Trade.objects.get(pk=trade.pk)
    counted, owed = position_of(exchange), settlement.net_of(trade)
    exchange.pay(trade, ADVANCE, kind="REVERSAL", reverses_payment=advance)
    assert position_of(exchange) == counted
    assert settlement.net_of(trade) == owed + advance.bank_amount
    trade = Trade.objects.get(pk=trade.pk)
    in_service(lambda: (settlement.reverse(trade, exchange.finance), trade.save()))
    assert position_of(exchange) == (0, 0)
    assert settlement.net_of(trade) == -BALANCE.amount
    exchange.pay(trade, BALANCE, amount=ADVANCE.amount)
    settlement.settle(trade, actor=exchange.finance, settled_date=DAY)
    assert position_of(exchange) == counted
    assert list(ledgers.check_payments()) == list(ledgers.check_positions()) == []
    assert list(ledgers.check_settlements()) == []


def test_a_lower_deduction_certificate_is_used_up_to_its_limit(world):
    """Rulings §4: up to the limit at the certificate's rate, beyond it at the row's."""
    exchange = Exchange(world, opening="5000000.00")
    certificate = {
        "number": "C1", "rate_percent": "0.05", "valid_from": "2025-04-01", "valid_to": "2026-03-31",
        "limit": "100000.00", "section": "194Q",
    }  # fmt: skip
    with unguarded_writes():
        TaxPosition.objects.filter(pk=exchange.position.pk).update(certificates=[certificate])
    payment = exchange.pay(exchange.trade(), ADVANCE)
    assert payment.tds == D(334)  # 50 of 1,00,000 and 283.63 of the rest
    row = TaxPosition.objects.get(pk=exchange.position.pk)
    assert Decimal(row.certificates[0]["used"]) == 100000
    assert PositionEntry.objects.get().certificates == {"C1": "100000"}


def test_partners_of_one_pan_share_a_position(exchange, world):
    """§2: partners of one PAN count as one."""
    branch = world.partner("Somnath, second file")
    with unguarded_writes():
        type(branch).objects.filter(pk=branch.pk).update(pan_hash=exchange.seller.pan_hash)
    exchange.firms["somnath"] = exchange.seller = branch
    exchange.pay(exchange.trade(), ADVANCE)
    assert position_of(exchange)[0] == ADVANCE.amount


@pytest.mark.django_db(transaction=True)
def test_threads_across_the_threshold_deduct_exactly_what_lies_above_it(world):
    """§8.9 and §8.8: Σ base = Σ counted − T; settling one trade many times at once makes one settlement."""
    exchange = Exchange(world, opening="0.00")
    trades = [exchange.trade() for _ in range(4)]
    for trade in trades[:3]:
        exchange.pay(trade, pay(1, "BALANCE", "2602989.00", "2026-01-30"))
    one = trades[3]
    exchange.pay(one, pay(1, "BALANCE", "2602989.00", "2026-01-30"))

    def settle(key):
        try:
            return settlement.settle(Trade.objects.get(pk=key), actor=exchange.finance, settled_date=DAY).pk
        except Conflict as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(settle, [trade.pk for trade in trades[:3]] + [one.pk] * 5))
    assert results.count("trade.invalid_state") == 4
    assert Settlement.objects.count() == 4
    counted, taxed = position_of(exchange)
    notes = sum(D(each["taxable"]) for row in Settlement.objects.all() for each in row.documents
                if each["kind"] == "CREDIT_NOTE")  # fmt: skip
    bases = sum(entry.taxed for entry in PositionEntry.objects.filter(position=exchange.position))
    assert taxed == bases >= counted + notes - D(5000000) - notes
    assert counted + notes == 4 * D("2479684.66")
    assert sorted(row.number for row in Settlement.objects.all()) == [
        f"SET-2526-00000{n}" for n in (1, 2, 3, 4)
    ]
    for check in (ledgers.check_settlements, ledgers.check_positions, ledgers.check_payments):
        assert list(check()) == []
