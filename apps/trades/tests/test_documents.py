"""Documents: what they say, that the same data gives the same bytes, and that they are drawn once."""

import hashlib
import io
from datetime import date

import pytest
from pypdf import PdfReader

from apps.trades import money_tasks
from apps.trades.models import Settlement, TradeDocument
from apps.trades.services import documents, settlement
from apps.trades.tests.cases import ADVANCE, BALANCE
from apps.trades.tests.stored import Exchange
from erp.models import unguarded_writes

DAY = date(2026, 2, 23)


def words(document):
    pages = PdfReader(io.BytesIO(document.file.content)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


@pytest.fixture
def exchange(world):
    return Exchange(world)


def test_the_documents_of_journey_a(exchange):
    """§5.13: Indian grouping, words, hash of the terms; drawn once; §8.12: they stay as they are."""
    trade = exchange.trade()
    for payment in (ADVANCE, BALANCE):
        exchange.pay(trade, payment)
    settlement.settle(trade, actor=exchange.finance, settled_date=DAY)
    assert money_tasks.draw_documents() == 1
    rows = {(row.kind, row.subject): row for row in TradeDocument.objects.filter(trade=trade)}
    assert set(rows) == {
        ("CONTRACT_NOTE", ""),
        ("STATEMENT", ""),
        ("CREDIT_NOTE", "CLM-2526-000001"),
        ("DEBIT_NOTE", "CLM-2526-000002"),
    }
    note, statement = words(rows["CONTRACT_NOTE", ""]), words(rows["STATEMENT", ""])
    assert "₹25,57,505.20" in note
    assert "1 candy is 355.62 kg" in note
    assert trade.contract_hash in note
    assert "Rupees Twenty-Six Lakh Three Thousand Six Hundred Sixty-Nine Only" in statement
    assert "₹24,79,684.66" in statement
    assert "2479684.66" not in statement.replace("24,79,684.66", "")
    assert "Rupees Six Thousand Forty-Three Only" in words(rows["CREDIT_NOTE", "CLM-2526-000001"])
    for row in rows.values():
        assert hashlib.sha256(row.file.content).hexdigest() == row.sha256 == row.file.sha256
    assert money_tasks.draw_documents() == money_tasks.draw_documents(str(trade.pk)) == 0
    again = {(paper.kind, paper.number): paper.content for paper in documents.draw(trade, there=set())}
    assert all(again[key] == row.file.content for key, row in rows.items())
    assert Settlement.objects.count() == 1
    version = type(trade).objects.get(pk=trade.pk).version
    documents.store_document(
        trade, actor=money_tasks.SYSTEM, paper=documents.Paper("STATEMENT", "", 1, b"other")
    )
    assert type(trade).objects.get(pk=trade.pk).version == version
    with unguarded_writes():
        type(exchange.seller).objects.filter(pk=exchange.seller.pk).update(legal_name="Another name")
    assert "Shree Somnath" in words(TradeDocument.objects.get(kind="STATEMENT"))
