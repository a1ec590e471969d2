"""The terms and facts of a trade as the engine reads them, from stored rows."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from apps.commodities.differences import Result
from apps.commodities.figures import plain
from apps.organization.models import CalendarDay
from apps.trades.engine import errors
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.engine.v1 import taxes
from apps.trades.models import (
    Delivery,
    Dispatch,
    Dispute,
    Governing,
    LedgerEntry,
    Payment,
    TaxPosition,
    Terms,
    Trade,
    Weighment,
)
from apps.trades.services import positions
from apps.trades.services.positions import PositionKey
from apps.trades.services.tax_rules import rows_for
from erp import clock

AWARD: Final = "/AWARD/"


class Gathered(NamedTuple):
    """Terms, facts and the positions that they were taken from."""

    terms: t.Terms
    facts: f.Facts
    positions: dict[PositionKey, TaxPosition]


def terms_of(trade: Trade, version: int | None = None) -> t.Terms:
    """The trade's terms, those in force unless a version is named. Raises SnapshotDamaged."""
    row = Terms.objects.get(trade=trade, terms_version=version or trade.terms_version)
    if version is None and row.hash != trade.contract_hash:
        raise errors.SnapshotDamaged("The trade names another hash than its terms have.")
    return t.thaw(row.body, row.hash)


def gather(
    trade: Trade,
    *,
    as_of: date,
    lock: bool,
    invoice_number: str = "",
    invoice_date: date | None = None,
    washout: f.Washout | None = None,
) -> Gathered:
    """Everything that a settlement on a day depends on. ``lock``: lock the TDS positions, by id.

    Raises SnapshotDamaged.
    """
    terms = terms_of(trade)
    dispatches = _dispatches(trade)
    keys = _position_keys(terms, dispatches, as_of, invoice_date)
    found = positions.find(keys, lock=lock)
    facts = f.Facts(
        as_of=as_of,
        invoice_number=invoice_number,
        invoice_date=invoice_date,
        weighments=_weighments(trade),
        dispatches=dispatches,
        deliveries=_deliveries(trade),
        quality=_quality(trade),
        payments=_payments(trade),
        awards=_awards(trade),
        tax_rows=tax_rows(trade, terms, as_of),
        positions=tuple(positions.as_fact(key, row) for key, row in sorted(found.items())),
        holidays=holidays(terms),
        washout=washout,
    )
    return Gathered(terms, facts, found)


def tax_rows(trade: Trade, terms: t.Terms, as_of: date) -> tuple[f.TaxRow, ...]:
    """The tax rows effective between the trade date and a day."""
    codes = {terms.goods.hsn, *(row.sac for row in terms.brokerage)}
    condition = terms.references.get("tax_condition") or trade.availability.tax_condition
    since = min(terms.trade_date, as_of)
    return rows_for(trade.organization, codes=codes, condition=condition, since=since, until=as_of)


def holidays(terms: t.Terms) -> tuple[date, ...]:
    """Bank holidays from the trade date on, where the terms count working days."""
    if terms.payment.day_kind is not t.DayKind.WORKING:
        return ()
    days = CalendarDay.objects.filter(calendar__code="RBI", closed=True, day__gte=terms.trade_date)
    return tuple(days.order_by("day").values_list("day", flat=True).distinct())


def is_deducting(terms: t.Terms) -> bool:
    """Whether TDS on goods can fall on the trade: not on imports, exports and other currencies."""
    return terms.direction is t.Direction.DOMESTIC and terms.currency == "INR"


def goods_key(trade: Trade, day: date) -> PositionKey:
    """The position of TDS on the goods in the financial year of a day."""
    return PositionKey(f.RowKind.TDS_GOODS.value, trade.buyer_id, trade.seller_id, taxes.financial_year(day))


def _position_keys(
    terms: t.Terms, dispatches: Iterable[f.Dispatch], as_of: date, invoice_date: date | None
) -> set[PositionKey]:
    def key(kind: f.RowKind, deductor: t.Party, deductee: t.Party, day: date) -> PositionKey:
        pair = UUID(deductor.partner_id), UUID(deductee.partner_id)
        return PositionKey(kind.value, *pair, taxes.financial_year(day))

    keys: set[PositionKey] = set()
    if is_deducting(terms):
        days = {row.invoice_date or invoice_date or as_of for row in dispatches} | {as_of}
        keys |= {key(f.RowKind.TDS_GOODS, terms.buyer, terms.seller, day) for day in days}
    for row in terms.brokerage if terms.currency == "INR" else ():
        payer = terms.seller if row.side is t.Side.SELLER else terms.buyer
        keys |= {key(f.RowKind.TDS_BROKERAGE, payer, broker, as_of) for broker in terms.brokers(row.side)}
    return keys


def _weighments(trade: Trade) -> tuple[f.Weighment, ...]:
    rows = (
        Weighment.objects.filter(Q(dispatch=None) | Q(dispatch__voided_at=None), trade=trade)
        .select_related("lot")
        .order_by("pk")
    )
    return tuple(
        f.Weighment(
            id=str(row.pk),
            lot_no=row.lot.lot_no,
            stage=f.Stage(row.stage),
            weighed_date=clock.today(row.weighed_at),
            gross_kg=row.gross_kg,
            tare_kg=row.tare_kg,
            dispatch=row.dispatch_id and str(row.dispatch_id),
            corrects=row.corrects_id and str(row.corrects_id),
        )
        for row in rows
    )


def _goods(lines: Any) -> tuple[f.Goods, ...]:
    rows = sorted(lines.all(), key=lambda line: line.lot.lot_no)
    return tuple(f.Goods(lot_no=row.lot.lot_no, weight_kg=row.weight_kg, count=row.count) for row in rows)


def _dispatches(trade: Trade) -> tuple[f.Dispatch, ...]:
    rows = Dispatch.objects.filter(trade=trade, voided_at=None).prefetch_related("lines__lot").order_by("pk")
    return tuple(
        f.Dispatch(
            id=str(row.pk),
            dispatched_date=clock.today(row.dispatched_at),
            lines=_goods(row.lines),
            direction=f.Movement(row.direction),
            invoice_number=row.invoice_number,
            invoice_date=row.invoice_date,
            returns=row.returns_id and str(row.returns_id),
        )
        for row in rows
    )


def _deliveries(trade: Trade) -> tuple[f.Delivered, ...]:
    outward = Delivery.objects.filter(trade=trade, dispatch__direction=f.Movement.OUTWARD.value)
    return tuple(
        f.Delivered(
            dispatch=str(row.dispatch_id),
            delivered_date=clock.today(row.delivered_at),
            lines=_goods(row.lines),
            final=row.final,
        )
        for row in outward.prefetch_related("lines__lot").order_by("pk")
    )


def _quality(trade: Trade) -> tuple[f.Governing, ...]:
    rows = Governing.objects.filter(trade=trade).select_related("lot", "result")
    return tuple(
        f.Governing(lot_no=row.lot.lot_no, source=row.result.source, results=results_of(row.result))
        for row in rows.prefetch_related("result__values__parameter").order_by("lot__lot_no")
    )


def results_of(result: Any) -> tuple[Result, ...]:
    """The values of a quality result, without useless zeros."""
    return tuple(
        Result(row.parameter.code, row.method, Decimal(plain(row.value)))
        for row in sorted(result.values.all(), key=lambda row: row.parameter.code)
    )


def _payments(trade: Trade) -> tuple[f.Payment, ...]:
    rows = Payment.objects.filter(trade=trade).prefetch_related("allocations").order_by("number")
    return tuple(payment_as_fact(row) for row in rows)


def payment_as_fact(row: Payment) -> f.Payment:
    """A payment as the engine reads it."""
    parts = sorted(row.allocations.all(), key=lambda part: part.obligation)
    return f.Payment(
        id=str(row.pk),
        number=row.number,
        kind=f.PaymentKind(row.kind),
        payer=str(row.payer_id),
        payee=str(row.payee_id),
        amount=row.amount,
        paid_date=row.paid_date,
        tds=row.tds,
        reverses=row.reverses_id and str(row.reverses_id),
        allocations=tuple(f.Allocation(obligation=part.obligation, amount=part.amount) for part in parts),
    )


def award_as_fact(dispute: Dispute) -> f.Award:
    """The award of a resolved dispute."""
    return f.Award(
        id=str(dispute.pk),
        amount=dispute.award_amount,
        to=t.Side(dispute.award_to),
        lot_no=dispute.lot.lot_no if dispute.lot is not None else None,
    )


def _awards(trade: Trade) -> tuple[f.Award, ...]:
    """Awards that were not posted by themselves, after a settlement."""
    alone = LedgerEntry.objects.filter(trade=trade, settlement=None, document__contains=AWARD)
    posted = {document.rpartition("/")[2] for document in alone.values_list("document", flat=True)}
    rows = Dispute.objects.filter(trade=trade, status=Dispute.Status.RESOLVED, award_amount__isnull=False)
    return tuple(
        award_as_fact(row) for row in rows.select_related("lot").order_by("pk") if str(row.pk) not in posted
    )
