"""Pages of the portal about the money of trades: the trace unfolds and can be exported; rules are drafted there."""

import json

from apps.trades import engine, money_tasks
from apps.trades.engine import records
from apps.trades.models import LedgerEntry, Settlement, TaxRule, TradeDocument
from apps.trades.services import settlement
from apps.trades.tests.cases import ADVANCE, BALANCE
from apps.trades.tests.stored import Exchange
from apps.trades.tests.test_settlement import DAY
from erp.trail.models import ClearRead


def test_a_settlement_unfolds_figure_by_figure_and_its_trace_is_a_file(world, staff_client_for):
    exchange = Exchange(world)
    trade = exchange.trade()
    for payment in (ADVANCE, BALANCE):
        exchange.pay(trade, payment)
    settlement.settle(trade, actor=exchange.finance, settled_date=DAY)
    money_tasks.draw_documents(str(trade.pk))
    row = Settlement.objects.get()
    client = staff_client_for(exchange.finance)
    page = client.get(f"/admin/trade/settlement/{row.pk}/trace/").content.decode()
    for words in (
        "₹24,79,684.66",
        "24,79,684.6579129408",
        "Invoice SSG/25-26/0412",
        "CLM-2526-000001",
        "₹19,153.41",
    ):
        assert words in page, words
    assert page.count("<details") == row.lines.count()
    file = client.get(f"/admin/trade/settlement/{row.pk}/trace-file/")
    assert engine.recompute(records.load(file.content)).differences == []
    assert json.loads(file.content)["settlement"]["lines_hash"] == row.lines_hash
    change = client.get(f"/admin/trade/settlement/{row.pk}/change/").content.decode()
    assert "₹26,03,669.00" in change
    entry = LedgerEntry.objects.filter(kind="GOODS").get()
    pair = client.get(f"/admin/trade/ledgerentry/{entry.pk}/change/").content.decode()
    assert "₹14,068.00" in pair  # what the buyer owes after all
    paper = TradeDocument.objects.get(kind="STATEMENT")
    assert client.get(f"/admin/trade/tradedocument/{paper.pk}/file/").content == paper.file.content
    assert ClearRead.objects.filter(row=str(paper.pk)).exists()
    for name in (
        "settlement",
        "ledgerentry",
        "payment",
        "tradedocument",
        "taxposition",
        "taxrule",
        "approvalband",
    ):
        assert client.get(f"/admin/trade/{name}/").status_code == 200, name
    reader = staff_client_for(world.user("INTERNAL"))
    assert reader.get("/admin/trade/taxrule/").status_code == 403


def test_brokerage_shows_to_its_broker_and_what_is_counted_with_it_to_its_side_only(world, client_for):
    """§8.18: the seller's position with its broker isn't the buyer's to read; the broker reads its own entries."""
    exchange = Exchange(world)
    trade = exchange.trade()
    for payment in (ADVANCE, BALANCE):
        exchange.pay(trade, payment)
    settlement.settle(trade, actor=exchange.finance, settled_date=DAY)
    row = Settlement.objects.get()
    sellers = client_for(world.user("SELLER", of=exchange.seller))
    buyers = client_for(world.user("BUYER", of=exchange.buyer))
    brokers = client_for(world.user("BROKER", of=exchange.broker))

    def tds(lines):
        return next(
            line for line in lines if line["name"] == "tds" and line["document"].startswith("BROKERAGE")
        )

    address = f"/api/v1/trades/settlements/{row.pk}"
    for client, is_own in ((sellers, True), (buyers, False)):
        assert ("counted_before" in tds(client.read(address).json()["lines"])["inputs"]) is is_own
        trace = client.read(f"{address}/trace").json()
        kinds = {each["kind"] for each in trace["facts"]["positions"]}
        assert ("TDS_BROKERAGE" in kinds) is is_own
        assert "TDS_GOODS" in kinds
        assert ("counted_before" in tds(trace["settlement"]["lines"])["inputs"]) is is_own
    entries = brokers.read(f"/api/v1/trades/{trade.pk}/ledger").json()["results"]
    assert {each["kind"] for each in entries} == {"BROKERAGE", "TAX"}
    assert all(str(exchange.broker.pk) in (each["debtor_id"], each["creditor_id"]) for each in entries)
    assert brokers.read(f"/api/v1/trades/{trade.pk}/payments").json()["results"] == []


def test_a_tax_rule_is_drafted_in_the_portal(world, staff_client_for):
    client = staff_client_for(world.user("INTERNAL_FINANCE"))
    form = client.get("/admin/trade/taxrule/add/")
    assert form.status_code == 200
    assert not TaxRule.objects.exists()
    assert client.get("/admin/trade/positionopening/add/").status_code == 200
