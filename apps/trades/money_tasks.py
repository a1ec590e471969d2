"""Documents, the end of the sale and what is overdue: work that follows from what was recorded."""

from collections.abc import Iterator
from functools import partial
from typing import Final
from uuid import UUID

from celery import shared_task
from django.core.cache import cache
from django.db import transaction
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.availability.services import stock
from apps.organization.events import OrganizationCreated
from apps.trades import ledgers
from apps.trades.events import (
    TradeAmended,
    TradeAmendmentAccepted,
    TradeCreated,
    TradePaymentRecorded,
    TradeSettled,
)
from apps.trades.models import Trade
from apps.trades.services import documents, performance, tax_rules
from erp import metrics, sweeps
from erp.access import SYSTEM
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK: Final = 200  # trades of one run of a sweep
DIFFERENCES: Final = "erp:settlement_differences"
KNOWN_FOR: Final = 2 * 24 * 3600  # seconds; then the figure is missing


def settlement_differences() -> Iterator[Metric]:
    """How many settlements, payments and positions differed at the last check."""
    family = GaugeMetricFamily(
        "erp_settlement_diff_total",
        "Settlements, payments and TDS positions that differ from what their facts come to.",
    )
    found = cache.get(DIFFERENCES)
    if found is not None:
        family.add_metric([], found)
    yield family


metrics.of_modules.append(settlement_differences)


@shared_task  # type: ignore[untyped-decorator]
def verify_settlements() -> int:
    """Recompute what was settled, as verify_ledger does; returns how many rows differ."""
    checks = (ledgers.check_settlements, ledgers.check_payments, ledgers.check_positions)
    found = sum(1 for check in checks for _ in check())
    cache.set(DIFFERENCES, found, KNOWN_FOR)
    return found


@handles(TradeCreated, TradeAmended, TradeAmendmentAccepted, TradeSettled)
def start_drawing(
    event: TradeCreated | TradeAmended | TradeAmendmentAccepted | TradeSettled, *, meta: Envelope
) -> None:
    """Draw the trade's documents at once; what is missed the next sweep finds."""
    transaction.on_commit(
        partial(draw_documents.apply_async, (str(event.trade_id),), retry=False), robust=True
    )


@shared_task  # type: ignore[untyped-decorator]
def draw_documents(trade_id: str | None = None) -> int:
    """Draw the missing documents of a trade, or of all; returns of how many trades.

    Drawn outside a transaction from rows that never change, so that a repeat stores nothing new.
    """
    if trade_id is not None:
        return sweeps.each(Trade.objects.filter(pk=UUID(trade_id)), _draw)
    waiting = list(documents.without_document(CHUNK))
    return sweeps.each(waiting, _draw)


def _draw(trade: Trade) -> bool:
    papers = list(documents.missing(trade))
    for paper in papers:
        documents.store_document(trade, actor=SYSTEM, paper=paper)
    return bool(papers)


@handles(TradeSettled)
def close_sale(event: TradeSettled, *, meta: Envelope) -> None:
    """The sale of the stock is final once the trade is settled."""
    trade = Trade.objects.select_related("availability").get(pk=event.trade_id)
    stock.close_sale(trade.availability, actor=SYSTEM, reservation_id=trade.reservation_id, trade_id=trade.pk)


@handles(TradePaymentRecorded)
def start_reporting(event: TradePaymentRecorded, *, meta: Envelope) -> None:
    """Report what is overdue after a payment."""
    transaction.on_commit(
        partial(report_overdue.apply_async, (str(event.trade_id),), retry=False), robust=True
    )


@shared_task  # type: ignore[untyped-decorator]
def report_overdue(trade_id: str | None = None) -> int:
    """Report to risk what the buyers of delivered goods owe past its day; returns of how many trades."""
    rows = Trade.objects.filter(pk=UUID(trade_id)) if trade_id is not None else performance.owing()
    return sweeps.each(rows.order_by("pk"), partial(performance.report_overdue, actor=SYSTEM))


@handles(OrganizationCreated)
def give_approval_bands(event: OrganizationCreated, *, meta: Envelope) -> None:
    """A new organization has approval bands from the start."""
    tax_rules.load_approval_bands(actor=SYSTEM)
