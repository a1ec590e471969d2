"""What ``verify_ledger`` recomputes: every settlement from its terms, facts and version of the engine; positions."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Any

from django.db.models import DecimalField, Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Coalesce

from apps.organization.models import DocumentType
from apps.organization.models.numbers import AllocatedNumber
from apps.trades import engine
from apps.trades.engine import facts as f
from apps.trades.engine import records
from apps.trades.engine import terms as frozen
from apps.trades.models import Payment, Settlement, TaxPosition, Terms, Trade, TradeDocument
from apps.trades.services import rules, settlement
from erp.errors import DomainError
from erp.ledgers import Mismatch, register

SHOWN = 20  # differences of one settlement
CHUNK = 200


def _chunks(rows: Any) -> Iterator[list[Any]]:
    """Rows by key, so many at a time: neither this process nor a cursor of the database holds all of them."""
    chunk = list(rows.order_by("pk")[:CHUNK])
    while chunk:
        yield chunk
        chunk = list(rows.filter(pk__gt=chunk[-1].pk).order_by("pk")[:CHUNK])


def _each(rows: Any) -> Iterator[Any]:
    return chain.from_iterable(_chunks(rows))


def _settlements(trade: str | None = None, since: date | None = None) -> Any:
    rows = Settlement.objects.all()
    if trade is not None:
        rows = rows.filter(trade__number=trade)
    return rows if since is None else rows.filter(settled_date__gte=since)


def check_settlements(trade: str | None = None, since: date | None = None) -> Iterator[Mismatch]:
    """Settlements of which a line, document, total, entry or move differs from the recomputed one."""
    for chunk in _chunks(_settlements(trade, since).select_related("trade")):
        stored = settlement.read_stored(chunk)
        for row in chunk:
            try:
                found = settlement.verify(row, stored[row.pk])
            except DomainError as refused:
                yield Mismatch(
                    str(row.pk), f"{row.number} can't be recomputed: {refused.detail}", {"code": refused.code}
                )
                continue
            if found:
                figures = {pointer: [one, other] for pointer, one, other in found[:SHOWN]}
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


def _trades(trade: str | None = None, since: date | None = None) -> Any:
    rows = Trade.objects.all() if trade is None else Trade.objects.filter(number=trade)
    return rows if since is None else rows.filter(trade_date__gte=since)


def check_terms(trade: str | None = None, since: date | None = None) -> Iterator[Mismatch]:
    """Trades whose terms do not match their hash, or whose figures are not those of the terms in force."""
    rows = Terms.objects.filter(trade__in=_trades(trade, since).values("pk")).select_related("trade")
    for row in _each(rows):
        is_current, of = row.terms_version == row.trade.terms_version, row.trade
        try:
            terms = frozen.thaw(row.body, row.hash)
            worth = engine.version(engine.CURRENT).value(terms)
        except DomainError as refused:
            yield Mismatch(
                str(row.pk), f"{of.number}: terms version {row.terms_version} can't be read: {refused.detail}",
                {"code": refused.code},
            )  # fmt: skip
            continue
        if not is_current:
            continue
        pairs = {
            "contract_hash": (of.contract_hash, row.hash),
            "contract_value": (of.contract_value, worth.contract_value),
            "base_value": (of.base_value, worth.base_value),
            "currency": (of.currency, terms.currency),
            "weight_kg": (of.weight_kg, terms.weight_kg),
        }
        wrong = {name: list(pair) for name, pair in pairs.items() if pair[0] != pair[1]}
        if wrong:
            yield Mismatch(str(of.pk), f"{of.number} differs from its terms", wrong)


def check_reversals(trade: str | None = None, since: date | None = None) -> Iterator[Mismatch]:
    """Settlements that were replaced or taken back of which entries or moves are not reversed in full."""
    rows = _settlements(trade, since).exclude(reversed_by=None, trade__status=Trade.Status.SETTLED)
    for row in _each(rows):
        entries = row.entries.filter(reverses=None)
        left = entries.filter(reversed_by=None).count()
        moves = row.position_entries.filter(reverses=None, reversed_by=None).count()
        unlike = entries.exclude(
            reversed_by__amount=F("amount"), reversed_by__debtor=F("creditor"), reversed_by__creditor=F("debtor")
        ).count()  # fmt: skip
        if left or moves or unlike:
            figures = {"entries": left, "position_entries": moves, "unlike": unlike}
            yield Mismatch(str(row.pk), f"{row.number} was taken back but not all of it is reversed", figures)


OWNERS = {DocumentType.TRADE: Trade, DocumentType.SETTLEMENT_STATEMENT: Settlement}


def _numbers() -> Any:
    return AllocatedNumber.objects.filter(document_type__in=OWNERS)


def check_numbers() -> Iterator[Mismatch]:
    """Numbers of trades and statements that belong to none; gaps are found with the series."""
    for kind, owner in OWNERS.items():
        owned = Exists(owner.objects.filter(pk=OuterRef("reference_id")))
        rows = _numbers().filter(~owned, document_type=kind)
        for row in rows.order_by("pk").iterator():
            yield Mismatch(str(row.pk), f"{row.document_number} belongs to no {owner._meta.verbose_name}", {})


def _cancelled(trade: str | None = None, since: date | None = None) -> Any:
    return _trades(trade, since).exclude(cancel_facts=None)


def check_closings(trade: str | None = None, since: date | None = None) -> Iterator[Mismatch]:
    """Trades of which the postings of a washout or a refund differ from what their stored facts come to."""
    for row in _each(_cancelled(trade, since)):
        try:
            facts = records.from_json(f.Facts, row.cancel_facts)
            done = engine.cancel(engine.CURRENT, rules.terms_of(row), facts)
        except DomainError as refused:
            yield Mismatch(
                str(row.pk), f"the closing of {row.number} can't be recomputed", {"code": refused.code}
            )
            continue
        expected = sorted(
            (each.kind, each.document, f"{each.amount:.2f}", each.debtor) for each in done.postings
        )
        stored = sorted(
            (each.kind, each.document, str(each.amount), str(each.debtor_id))
            for each in row.ledger.filter(
                Q(document="WASHOUT") | Q(document__startswith="REFUND/"), settlement=None, reverses=None
            )
        )
        if stored != expected:
            yield Mismatch(
                str(row.pk), f"the closing of {row.number} differs from what its facts come to",
                {"stored": stored[:SHOWN], "computed": expected[:SHOWN]},
            )  # fmt: skip


for _name, _words, _rows, _check in (
    ("trade.terms", "trades as their terms say", _trades, check_terms),
    ("trade.closings", "closings as their facts come to", _cancelled, check_closings),
    ("trade.reversals", "settlements that were taken back", _settlements, check_reversals),
):
    register(
        _name,
        _words,
        rows=lambda _rows=_rows, **options: _rows(**options).count(),
        mismatches=_check,
        options=("trade", "since"),
    )
register(
    "trade.numbers",
    "numbers of trades and statements",
    rows=lambda: _numbers().count(),
    mismatches=check_numbers,
)
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
