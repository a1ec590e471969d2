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


def test_a_tax_rule_is_drafted_in_the_portal(world, staff_client_for):
    client = staff_client_for(world.user("INTERNAL_FINANCE"))
    form = client.get("/admin/trade/taxrule/add/")
    assert form.status_code == 200
    assert not TaxRule.objects.exists()
    assert client.get("/admin/trade/positionopening/add/").status_code == 200
