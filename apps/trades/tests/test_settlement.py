"""Settling through stored rows: journey A's figures, what is posted, who may, and what a second look finds."""

import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection, transaction

from apps.commodities.models.tax import TaxRate
from apps.commodities.models.units import UnitDefinition
from apps.organization.models.numbers import AllocatedNumber
from apps.partners.models import OpenExposure
from apps.trades import engine, ledgers
from apps.trades.engine import errors, records
from apps.trades.models import (
    Dispute,
    LedgerEntry,
    Line,
    PositionEntry,
    QualityResult,
    Settlement,
    TaxPosition,
    TaxRule,
    Terms,
    Trade,
)
from apps.trades.services import gathering, rules, settlement
from apps.trades.services import ledger as books
from apps.trades.tests.cases import ADVANCE, ARRIVED, BALANCE, ORIGIN, TERMS, D, day, party, pay
from apps.trades.tests.stored import Exchange
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import Writer, unguarded_writes, writing
from erp.services import unit_of_work

DAY = date(2026, 2, 23)


@pytest.fixture
def exchange(world):
    return Exchange(world)


@pytest.fixture
def paid(exchange):
    """The trade of journey A, delivered and paid."""
    trade = exchange.trade()
    for payment in (ADVANCE, BALANCE):
        exchange.pay(trade, payment)
    trade.refresh_from_db()
    return trade


def amounts(row, *names):
    return [f"{line.amount:.{line.places}f}" for line in row.lines.filter(name__in=names).order_by("line_no")]


def in_service(function, *arguments):
    """Call what services call, in a unit of work of the module."""
    with unit_of_work(SYSTEM) as unit, writing(Writer("trade", unit.count)):
        unit.running.append(settlement.settle)
        return function(*arguments)


@contextmanager
def tampered(change):
    """A change behind the triggers' back, taken back at the end."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
        with unguarded_writes():
            change()
        yield
        transaction.set_rollback(True)


def resolved(trade, amount):
    with unguarded_writes():
        dispute = Dispute(
            trade=trade, kind="QUALITY", side="BUYER", statement="Damp.", status="RESOLVED", outcome="UPHELD",
            award_amount=D(amount), award_to="BUYER",
        )  # fmt: skip
        dispute.save()
    return dispute


def sum_of(entries):
    return sum(row.amount for row in entries)


def position_of(exchange):
    row = TaxPosition.objects.get(pk=exchange.position.pk)
    return row.counted, row.taxed


def test_journey_a_through_stored_rows(exchange, paid):
    """§8.1: preview and settlement print the journey's figures; §8.25: the preview stores nothing and agrees."""
    trade = paid
    counted = [model.objects.count() for model in (Line, LedgerEntry, PositionEntry, Settlement)]
    seen = settlement.preview(trade, as_of=DAY)
    assert counted == [model.objects.count() for model in (Line, LedgerEntry, PositionEntry, Settlement)]
    assert seen.blocking == ()
    settlement.settle(trade, actor=exchange.finance, settled_date=DAY, preview_hash=seen.preview_hash)
    row = Settlement.objects.get(trade=trade)
    assert amounts(row, "accounted_kg", "unit_price", "line_amount", "franchise_kg", "claim_kg") == [
        "16870.746",
        "52269.500000",
        "2479684.66",
        "42.346",
        "39.154",
    ]
    figures = (
        row.taxable,
        row.tax,
        row.round_off,
        row.invoice_total,
        row.tds,
        row.claim,
        row.carrying,
        row.brokerage,
    )
    assert list(map(str, figures)) == [
        "2479684.66", "123984.23", "0.11", "2603669.00", "680.00", "5754.91", "19153.41", "6199.21",
    ]  # fmt: skip
    assert amounts(row, "balance_due", "brokerage_tax") == ["1115.86", "2219363.22"]
    assert (row.net_due, row.net_debtor, row.number) == (
        Decimal("14068.00"),
        exchange.buyer,
        "SET-2526-000001",
    )
    notes = [each["number"] for each in row.documents if each["kind"].endswith("NOTE")]
    assert notes == ["CLM-2526-000001", "CLM-2526-000002"]
    stored = [(line.name, line.subject, line.amount, line.inputs) for line in row.lines.order_by("line_no")]
    assert stored == [
        (each.name, each.subject, each.amount, dict(each.inputs)) for each in seen.settlement.lines
    ]
    assert settlement.net_of(trade) == Decimal("14068.00")
    exchange.pay(trade, pay(3, "CARRYING", "14068.00", "2026-02-25"))
    assert settlement.net_of(trade) == 0
    assert settlement.verify(row) == []
    position = TaxPosition.objects.get(pk=exchange.position.pk)
    assert (position.counted, position.taxed) == (Decimal("2473929.75"), Decimal("679684.66"))
    export = records.load(json.dumps(settlement.export(row)).encode())
    assert engine.recompute(export).differences == []


def test_an_open_balance_a_missing_fact_or_a_dispute_blocks(exchange):
    """Journey A21: what blocks settling, and that nothing is stored by a refusal."""
    trade = exchange.trade()
    exchange.pay(trade, ADVANCE)
    arguments = {"actor": exchange.finance, "settled_date": DAY}
    with pytest.raises(errors.BalanceOpen):
        settlement.settle(trade, **arguments)
    exchange.pay(trade, BALANCE)
    stale = settlement.preview(trade, as_of=DAY).preview_hash
    with unguarded_writes():
        dispute = Dispute(trade=trade, kind="OTHER", side="BUYER", statement="Late.")
        dispute.save()
    with pytest.raises(settlement.DisputeOpen):
        settlement.settle(trade, **arguments)
    with unguarded_writes():
        dispute.status, dispute.outcome = "RESOLVED", "UPHELD"
        dispute.award_amount, dispute.award_to = D("100.00"), "BUYER"
        dispute.save()
    with pytest.raises(settlement.PreviewStale):
        settlement.settle(trade, **arguments, preview_hash=stale)
    with pytest.raises(rules.DateInFuture):
        settlement.settle(trade, actor=exchange.finance, settled_date=date(2099, 1, 1))
    unweighed = exchange.trade(facts=replace(ARRIVED, weighments=ARRIVED.weighments[1:]))
    with pytest.raises(errors.FactsMissing) as missing:
        settlement.settle(unweighed, **arguments)
    assert {"code": "weighing", "subject": "SSG-27"} in missing.value.members["missing"]
    assert not Settlement.objects.exists()
    settlement.settle(trade, **arguments)
    row = Settlement.objects.get()
    assert [each["total"] for each in row.documents if each["reason"] == "AWARD"] == ["105.00"]
    with pytest.raises(rules.InvalidState):
        settlement.settle(trade, **arguments)


def test_who_approved_or_created_a_trade_does_not_settle_it(exchange, world):
    """§8.7: a manager can't settle, and nobody settles what they approved."""
    finance = exchange.finance
    trade = exchange.trade(approved_by=finance)
    with pytest.raises(SelfApproval):
        settlement.settle(trade, actor=finance, settled_date=DAY)
    with unguarded_writes():
        made = exchange.trade()
        made.created_by = finance
        made.save()
    with pytest.raises(SelfApproval):
        settlement.settle(made, actor=finance, settled_date=DAY)
    awarded = exchange.trade(facts=replace(ARRIVED, quality=()))
    with unguarded_writes():
        QualityResult(
            trade=awarded, lot=awarded.lots.get(), source="AWARD", sampled_at=clock.now(), tested_at=clock.now(),
            decision="PASS", created_by=finance,
        ).save()  # fmt: skip
    with pytest.raises(SelfApproval):
        settlement.settle(awarded, actor=finance, settled_date=DAY)
    with pytest.raises(CapabilityMissing):
        settlement.settle(made, actor=world.user("INTERNAL_MANAGER"), settled_date=DAY)


def test_resettling_reverses_everything_first(exchange, paid, set_clock):
    """§8.22: entries and positions of a settlement sum to zero before the next one; awards beside it stay."""
    set_clock(datetime(2026, 11, 16, 6, tzinfo=UTC))  # later in the year a credit note carries no GST
    settlement.settle(paid, actor=exchange.finance, settled_date=DAY)
    paid.refresh_from_db()
    first = Settlement.objects.get()
    dispute = resolved(paid, "1000.00")
    number = in_service(settlement.post_award, paid, exchange.finance, dispute)
    assert number == "CLM-2627-000001"
    assert sum_of(LedgerEntry.objects.filter(settlement=None, document__contains="AWARD")) == D("1050.00")
    assert settlement.net_of(paid) == D("13018.00")
    before = position_of(exchange)
    paid = Trade.objects.get(pk=paid.pk)
    in_service(settlement.reverse, paid, exchange.finance)
    in_service(Trade.save, paid)
    net = books.balance(paid.buyer_id, paid.seller_id, "INR", paid)
    assert net == -(D("383625.78") + D("2219363.22") + D("1050.00"))
    assert position_of(exchange) == (D("383625.78") - D("1000.00"), D(0))
    assert before[1] == D("679684.66")
    settlement.settle(paid, actor=exchange.finance, settled_date=DAY)
    second = Settlement.objects.get(revision=2)
    assert (second.reverses, second.taxable) == (first, first.taxable)
    assert not [each for each in second.documents if each["reason"] == "AWARD"]
    # The award counts no longer towards the threshold: TDS of 679 in place of 680.
    assert settlement.net_of(paid) == second.net_due == D("13019.00")
    (award,) = (owed for owed in second.obligations if owed["kind"] == "AWARD")
    assert (award["open"], award["debtor"]) == ("1050.00", str(paid.seller_id))
    assert list(ledgers.check_settlements()) == []
    assert list(ledgers.check_positions()) == []


def test_changed_master_data_leaves_a_settlement_as_it_is(exchange, paid):
    """§8.12: later units, tax rows and rates change nothing that is stored."""
    settlement.settle(paid, actor=exchange.finance, settled_date=DAY)
    row = Settlement.objects.get()
    kept = settlement.export(row)
    with unguarded_writes():
        for model in (TaxRule, TaxRate, UnitDefinition):
            model.objects.update(status="WITHDRAWN")
        TaxPosition.objects.filter(pk=exchange.position.pk).update(opening_amount=0)
    assert settlement.verify(row) == []
    assert settlement.export(row) == kept


def test_without_a_tax_row_or_position_nothing_is_settled(exchange, paid):
    """§8.14: no row on the day of the law: refused; no rate stands in code."""
    with unguarded_writes():
        TaxPosition.objects.filter(pk=exchange.broker_position.pk).update(financial_year="2024-25")
    with pytest.raises(errors.FactsMissing, match="TDS_BROKERAGE"):
        settlement.settle(paid, actor=exchange.finance, settled_date=DAY)
    with unguarded_writes():
        TaxPosition.objects.filter(pk=exchange.broker_position.pk).update(financial_year="2025-26")
    rows = TaxRate.objects.filter(hsn="5201", valid_from=date(2025, 9, 22))
    # The invoice takes the rate of its day, the carrying charge that of the settled date.
    for last_day in (date(2026, 1, 15), date(2026, 2, 22)):
        with (
            tampered(lambda last_day=last_day: rows.update(valid_to=last_day)),
            pytest.raises(errors.TaxRuleMissing),
        ):
            settlement.preview(paid, as_of=DAY)
    settlement.settle(paid, actor=exchange.finance, settled_date=DAY)


def test_both_splits_of_tax_and_a_seller_without_pan(exchange):
    """Journey A's variants through stored rows: within one state, and TDS at the higher rate."""
    parties = (TERMS.parties[0], party("BUYER", "kovai", "24"), *TERMS.parties[2:])
    local = replace(TERMS, parties=parties, delivery=replace(TERMS.delivery, to_state="24"))
    seen = settlement.preview(exchange.trade(local), as_of=day("2026-01-16")).settlement
    assert [str(line.amount) for line in seen.lines if line.name == "tax"][:2] == ["61992.12", "61992.12"]
    assert (str(seen.totals.round_off), str(seen.totals.invoice_total)) == ("0.10", "2603669.00")
    seller = replace(TERMS.parties[0], has_pan=False)
    bare = exchange.trade(replace(TERMS, parties=(seller, *TERMS.parties[1:])))
    exchange.pay(bare, ADVANCE)
    assert str(settlement.preview(bare, as_of=day("2026-01-22")).settlement.totals.tds) == "33984.00"


def test_a_washout_of_what_was_never_delivered(exchange):
    """Journey B8 and §5.12: the market's difference, no tax; an advance is owed back and leaves the position."""
    facts = replace(ARRIVED, dispatches=(), deliveries=(), weighments=(ORIGIN,))
    trade = exchange.trade(facts=facts, status="IN_EXECUTION")
    exchange.pay(trade, ADVANCE)
    washout = gathering.f.Washout(
        market_price=D(54100), source="CAI spot rate", source_date=day("2026-01-19")
    )
    facts, done = in_service(
        lambda trade, actor: settlement.close_undelivered(trade, actor, washout=washout, day=DAY),
        trade,
        exchange.finance,
    )
    assert str(done.line("washout").amount) == "28578.54"
    assert [owed.kind for owed in done.obligations] == ["REFUND", "WASHOUT"]
    assert settlement.net_of(trade) == -(D("28578.54") + D("383625.78"))
    assert position_of(exchange) == (D(0), D(0))
    with unguarded_writes():
        trade.cancel_facts = facts
        trade.save()
    assert list(ledgers.check_positions()) == list(ledgers.check_closings()) == []
    with tampered(lambda: LedgerEntry.objects.filter(kind="WASHOUT").update(amount=1)):
        assert [each.key for each in ledgers.check_closings()] == [str(trade.pk)]


def test_a_washout_of_the_rest_is_part_of_the_settlement(exchange, paid):
    """§5.12: what was posted when the rest was cancelled, and what was paid of it, is in what is owed and the net."""
    washout = books.Posting(
        kind="WASHOUT", debtor=str(paid.seller_id), creditor=str(paid.buyer_id), amount=D("100000.00"),
        document="WASHOUT", line_no=0,
    )  # fmt: skip
    in_service(books.post, paid, exchange.finance, [washout])
    exchange.pay(
        paid, pay(3, "WASHOUT", "40000.00", "2026-02-10"), payer=exchange.seller, payee=exchange.buyer
    )
    settlement.settle(Trade.objects.get(pk=paid.pk), actor=exchange.finance, settled_date=DAY)
    row = Settlement.objects.get()
    (owed,) = (each for each in row.obligations if each["kind"] == "WASHOUT")
    assert (owed["amount"], owed["paid"], owed["open"]) == ("100000.00", "40000.00", "60000.00")
    assert (row.net_due, row.net_debtor) == (D("60000.00") - D("14068.00"), exchange.seller)
    assert settlement.net_of(paid) == -row.net_due
    assert settlement.verify(row) == []


def test_a_settled_trade_is_no_exposure(exchange, paid):
    settlement.settle(paid, actor=exchange.finance, settled_date=DAY)
    assert not OpenExposure.objects.filter(source_id=paid.pk, amount__gt=0).exists()


def test_verify_ledger_names_what_was_tampered_with(exchange, paid):
    """§8.2, §5.13: a changed line, total, entry or position is found."""
    settlement.settle(paid, actor=exchange.finance, settled_date=DAY)
    row = Settlement.objects.get()
    assert list(ledgers.check_settlements()) == list(ledgers.check_payments()) == []
    for change, pointer in (
        (lambda: Line.objects.filter(name="tax").update(amount=1), "/lines/"),
        (lambda: Settlement.objects.update(claim=1), "/totals/claim"),
        (lambda: LedgerEntry.objects.filter(kind="GOODS").update(amount=1), "/ledger/"),
        (lambda: Settlement.objects.update(facts={**row.facts, "as_of": "2026-02-24"}), "/documents/"),
    ):
        with tampered(change):
            (found,) = ledgers.check_settlements(trade=paid.number)
            assert any(each.startswith(pointer) for each in found.figures), found
    assert (
        list(ledgers.check_reversals()) == list(ledgers.check_terms()) == list(ledgers.check_closings()) == []
    )
    with tampered(lambda: Trade.objects.update(status="DELIVERED")):
        (found,) = ledgers.check_reversals(trade=paid.number)
        assert found.figures["entries"] == row.entries.count()
    with tampered(lambda: Trade.objects.update(base_value=1)):
        (found,) = ledgers.check_terms(trade=paid.number)
        assert list(found.figures) == ["base_value"]
    with tampered(lambda: Terms.objects.update(hash="0" * 64)):
        assert [each.figures["code"] for each in ledgers.check_terms()] == ["trade.snapshot_damaged"]
    assert list(ledgers.check_numbers()) == []
    numbers = AllocatedNumber.objects.filter(document_type="settlement_statement")
    with tampered(lambda: numbers.update(reference_id=paid.pk)):
        assert [each.detail for each in ledgers.check_numbers()] == [
            "SET-2526-000001 belongs to no settlement"
        ]
    with tampered(lambda: TaxPosition.objects.update(counted=1)):
        assert len(list(ledgers.check_positions())) == 2
    assert list(ledgers.check_settlements(since=day("2026-02-24"))) == []
    assert list(ledgers.check_settlements()) == []
