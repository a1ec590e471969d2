"""The terms and facts of a trade as the engine reads them, from stored rows."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Q

from apps.organization.models import CalendarDay
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.engine.v1 import taxes
from apps.trades.models import LedgerEntry, TaxPosition, Trade
from apps.trades.services import positions
from apps.trades.services.facts import goods_of
from apps.trades.services.positions import PositionKey
from apps.trades.services.rules import terms_of
from apps.trades.services.tax_rules import rows_for

AWARD: Final = "/AWARD/"


class Gathered(NamedTuple):
    """Terms, facts and the positions that they were taken from."""

    terms: t.Terms
    facts: f.Facts
    positions: dict[PositionKey, TaxPosition]


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
    terms, happened = terms_of(trade), goods_of(trade)
    keys = _position_keys(terms, happened, as_of, invoice_date)
    found = positions.find(keys, lock=lock)
    outward = {row.id for row in happened["dispatches"] if row.direction is f.Movement.OUTWARD}
    facts = f.Facts(
        **{
            **happened,
            "deliveries": tuple(row for row in happened["deliveries"] if row.dispatch in outward),
            "awards": _awards(trade, happened["awards"]),
        },
        as_of=as_of,
        invoice_number=invoice_number,
        invoice_date=invoice_date,
        tax_rows=tax_rows(trade, terms, as_of),
        positions=tuple(positions.as_fact(key, row) for key, row in sorted(found.items())),
        holidays=holidays(terms),
        washout=washout,
        posted=_posted(trade),
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
    terms: t.Terms, happened: Mapping[str, Any], as_of: date, invoice_date: date | None
) -> set[PositionKey]:
    def key(kind: f.RowKind, deductor: t.Party, deductee: t.Party, day: date) -> PositionKey:
        pair = UUID(deductor.partner_id), UUID(deductee.partner_id)
        return PositionKey(kind.value, *pair, taxes.financial_year(day))

    keys: set[PositionKey] = set()
    if is_deducting(terms):
        days = {row.invoice_date or invoice_date or as_of for row in happened["dispatches"]} | {as_of}
        days |= {row.paid_date for row in happened["payments"] if row.kind is f.PaymentKind.ADVANCE}
        keys |= {key(f.RowKind.TDS_GOODS, terms.buyer, terms.seller, day) for day in days}
    for row in terms.brokerage if terms.currency == "INR" else ():
        payer = terms.seller if row.side is t.Side.SELLER else terms.buyer
        keys |= {key(f.RowKind.TDS_BROKERAGE, payer, broker, as_of) for broker in terms.brokers(row.side)}
    return keys


def _posted(trade: Trade) -> tuple[f.Posted, ...]:
    """What was posted beside settlements and payments: the washout of a rest, and awards after a settlement."""
    rows = LedgerEntry.objects.filter(trade=trade, settlement=None, payment=None)
    owed: dict[str, Decimal] = {}
    for row in rows.filter(Q(document="WASHOUT") | Q(document__contains=AWARD)).order_by("pk"):
        amount = row.amount if row.debtor_id == trade.buyer_id else -row.amount
        owed[row.document] = owed.get(row.document, Decimal(0)) + amount
    sides = str(trade.buyer_id), str(trade.seller_id)
    return tuple(
        f.Posted(
            document=document,
            reason="AWARD" if AWARD in document else "WASHOUT",
            debtor=sides[amount < 0],
            creditor=sides[amount > 0],
            amount=abs(amount),
        )
        for document, amount in owed.items()
        if amount
    )


def _awards(trade: Trade, awards: tuple[f.Award, ...]) -> tuple[f.Award, ...]:
    """Awards that were not posted by themselves, after a settlement."""
    alone = LedgerEntry.objects.filter(trade=trade, settlement=None, document__contains=AWARD)
    posted = {document.rpartition("/")[2] for document in alone.values_list("document", flat=True)}
    return tuple(award for award in awards if award.id not in posted)
