"""What ``verify_ledger`` recomputes: every settlement from its terms, facts and version of the engine; positions."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import DecimalField, F, Q, Sum
from django.db.models.functions import Coalesce

from apps.trades.models import Payment, Settlement, TaxPosition, TradeDocument
from apps.trades.services import settlement
from erp.errors import DomainError
from erp.ledgers import Mismatch, register

SHOWN = 20  # differences of one settlement
CHUNK = 200


def _settlements(trade: str | None = None, since: date | None = None) -> Any:
    rows = Settlement.objects.all()
    if trade is not None:
        rows = rows.filter(trade__number=trade)
    return rows if since is None else rows.filter(settled_date__gte=since)


def check_settlements(trade: str | None = None, since: date | None = None) -> Iterator[Mismatch]:
    """Settlements of which a line, document, total, entry or move differs from the recomputed one."""
    rows = _settlements(trade, since).select_related("trade").order_by("pk")
    for row in rows.prefetch_related("lines").iterator(chunk_size=CHUNK):
        try:
            found = settlement.verify(row)
        except DomainError as refused:
            yield Mismatch(
                str(row.pk), f"{row.number} can't be recomputed: {refused.detail}", {"code": refused.code}
            )
            continue
        if found:
            figures = {pointer: [stored, computed] for pointer, stored, computed in found[:SHOWN]}
            yield Mismatch(str(row.pk), f"{row.number} differs from what its facts come to", figures)


def _amount(path: str, **conditions: Any) -> Any:
    return Coalesce(
        Sum(path, filter=Q(**conditions)),
        Decimal(0),
        output_field=DecimalField(max_digits=20, decimal_places=2),
    )


def check_payments() -> Iterator[Mismatch]:
    """Payments whose entries do not add up to what the bank moved and the TDS."""
    rows = Payment.objects.filter(reverses=None).annotate(
        moved=_amount("entries__amount", entries__kind="PAYMENT", entries__reverses=None),
        withheld=_amount("entries__amount", entries__kind="TDS", entries__reverses=None),
    )
    for row in rows.exclude(moved=F("bank_amount"), withheld=F("tds")).order_by("pk").iterator():
        figures = {
            "bank_amount": row.bank_amount,
            "entries": row.moved,
            "tds": row.tds,
            "tds_entries": row.withheld,
        }
        yield Mismatch(str(row.pk), "the entries of a payment differ from it", figures)


def check_positions() -> Iterator[Mismatch]:
    """TDS positions that are not the sum of their entries."""
    rows = TaxPosition.objects.annotate(
        sum_counted=_amount("entries__counted"), sum_taxed=_amount("entries__taxed")
    )
    for row in rows.exclude(counted=F("sum_counted"), taxed=F("sum_taxed")).order_by("pk").iterator():
        figures = {
            "counted": row.counted, "entries_counted": row.sum_counted, "taxed": row.taxed,
            "entries_taxed": row.sum_taxed,
        }  # fmt: skip
        yield Mismatch(str(row.pk), f"{row} differs from its entries", figures)


def check_documents() -> Iterator[Mismatch]:
    """Documents whose stored file has another hash or size."""
    for row in TradeDocument.objects.exclude(sha256=F("file__sha256"), size=F("file__size")).order_by("pk"):
        yield Mismatch(str(row.pk), "the file of a document is another one", {"sha256": row.sha256})


register(
    "trade.settlements",
    "settlements as their facts come to",
    rows=lambda **options: _settlements(**options).count(),
    mismatches=check_settlements,
    options=("trade", "since"),
)
register(
    "trade.payments", "payments with their entries", rows=Payment.objects.count, mismatches=check_payments
)
register(
    "trade.positions",
    "TDS positions with their entries",
    rows=TaxPosition.objects.count,
    mismatches=check_positions,
)
register(
    "trade.documents",
    "documents with their files",
    rows=TradeDocument.objects.count,
    mismatches=check_documents,
)
