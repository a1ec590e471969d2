"""The facts of a trade: what happened, and the tax rows and positions that apply, all gathered by the caller."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from apps.commodities.differences import Result
from apps.trades.engine import errors
from apps.trades.engine.records import Count, Days, NotNegative, Percent, Positive
from apps.trades.engine.terms import Side, TaxStatus, Terms
from erp.errors import FieldError


class Stage(StrEnum):
    """Where a weighing was made. CHECK is recorded and never counts."""

    ORIGIN = "ORIGIN"
    DESTINATION = "DESTINATION"
    CHECK = "CHECK"


class Movement(StrEnum):
    OUTWARD = "OUTWARD"
    RETURN = "RETURN"


class PaymentKind(StrEnum):
    ADVANCE = "ADVANCE"
    BALANCE = "BALANCE"
    CARRYING = "CARRYING"
    CLAIM = "CLAIM"
    BROKERAGE = "BROKERAGE"
    WASHOUT = "WASHOUT"
    REFUND = "REFUND"
    REVERSAL = "REVERSAL"


class RowKind(StrEnum):
    GST = "GST"
    REVERSE_CHARGE = "REVERSE_CHARGE"
    TDS_GOODS = "TDS_GOODS"
    TDS_BROKERAGE = "TDS_BROKERAGE"
    NOTE_LIMIT = "NOTE_LIMIT"
    MSME = "MSME"
    BANK_RATE = "BANK_RATE"


class ThresholdMode(StrEnum):
    """Whether TDS falls on what exceeds the threshold, or on everything once it is exceeded."""

    EXCESS = "EXCESS"
    WHOLE = "WHOLE"


class Payable(StrEnum):
    BOTH_WAYS = "BOTH_WAYS"
    DEFAULTER_ONLY = "DEFAULTER_ONLY"


@dataclass(frozen=True, kw_only=True)
class Weighment:
    """``dispatch``: the dispatch whose goods were weighed; none: the whole lot, before any dispatch."""

    id: str
    lot_no: str
    stage: Stage
    weighed_date: date
    gross_kg: Positive
    tare_kg: NotNegative
    dispatch: str | None = None
    corrects: str | None = None


@dataclass(frozen=True, kw_only=True)
class Goods:
    """Goods of a lot in a dispatch or delivery."""

    lot_no: str
    weight_kg: NotNegative
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    id: str
    dispatched_date: date
    lines: tuple[Goods, ...]
    direction: Movement = Movement.OUTWARD
    invoice_number: str = ""
    invoice_date: date | None = None
    returns: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delivered:
    dispatch: str
    delivered_date: date
    lines: tuple[Goods, ...]
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class Governing:
    """The governing results of a lot. An award beyond a reject limit has a price, or an allowance in percent."""

    lot_no: str
    source: str
    results: tuple[Result, ...]
    award_price: Decimal | None = None
    award_allowance_percent: Percent | None = None


@dataclass(frozen=True, kw_only=True)
class Fixation:
    """A slice: so much of the contract quantity, in price units, fixed at a futures price."""

    number: Count
    fixed_date: date
    quantity: Decimal
    futures_price: Positive


@dataclass(frozen=True, kw_only=True)
class Quotation:
    day: date
    price: Positive


@dataclass(frozen=True, kw_only=True)
class FinalPrice:
    price: Decimal
    day: date
    source: str


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """``obligation``: ADVANCE, BALANCE or the kind of a note."""

    obligation: str
    amount: Positive


@dataclass(frozen=True, kw_only=True)
class Payment:
    """``amount`` is what it discharges, ``tds`` included; ``number`` orders payments of one day as recorded."""

    id: str
    number: Count
    kind: PaymentKind
    payer: str
    payee: str
    amount: Positive
    paid_date: date
    tds: NotNegative = Decimal(0)
    reverses: str | None = None
    allocations: tuple[Allocation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Award:
    id: str
    amount: Positive
    to: Side
    lot_no: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaxRow:
    """A dated row of tax law; each kind uses its own figures. ``hsn``: a prefix of the codes it is about.

    NOTE_LIMIT: ``month`` and ``day`` after the financial year of the invoice. MSME: ``days`` and the ``multiple`` of
    the bank rate. ``section``: what a certificate must name.
    """

    kind: RowKind
    code: str
    version: int
    valid_from: date
    source: str
    valid_to: date | None = None
    hsn: str = ""
    rate_percent: Percent | None = None
    no_pan_percent: Percent | None = None
    threshold: NotNegative | None = None
    threshold_mode: ThresholdMode = ThresholdMode.EXCESS
    supplier_status: TaxStatus | None = None
    section: str = ""
    days: Days | None = None
    multiple: NotNegative | None = None
    month: int | None = None
    day: int | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate for TDS at a lower rate, up to a limit; ``used`` of it before."""

    number: str
    rate_percent: Percent
    valid_from: date
    valid_to: date
    limit: NotNegative
    section: str
    used: NotNegative = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Position:
    """What counts towards a TDS threshold between two parties in a financial year, before this settlement."""

    kind: RowKind
    deductor: str
    deductee: str
    financial_year: str
    liable: bool
    opening_amount: NotNegative = Decimal(0)
    opening_taxed: NotNegative | None = None
    counted: Decimal = Decimal(0)
    taxed: NotNegative = Decimal(0)
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Washout:
    """``defaulter``: the side in default; none: closed by agreement."""

    market_price: Positive
    source: str
    source_date: date
    payable: Payable = Payable.BOTH_WAYS
    defaulter: Side | None = None


@dataclass(frozen=True, kw_only=True)
class Posted:
    """A document between buyer and seller that was posted by itself: a washout, or an award after a settlement."""

    document: str
    reason: str
    debtor: str
    creditor: str
    amount: NotNegative


@dataclass(frozen=True, kw_only=True)
class Facts:
    """``as_of``: the settled date, or the date of a preview. Invoice number and date: for dispatches without their own.

    ``reverse_charge_unregistered``: whether reverse charge extends to other unregistered suppliers.
    """

    as_of: date
    invoice_number: str = ""
    invoice_date: date | None = None
    weighments: tuple[Weighment, ...] = ()
    dispatches: tuple[Dispatch, ...] = ()
    deliveries: tuple[Delivered, ...] = ()
    quality: tuple[Governing, ...] = ()
    fixations: tuple[Fixation, ...] = ()
    quotations: tuple[Quotation, ...] = ()
    final_price: FinalPrice | None = None
    payments: tuple[Payment, ...] = ()
    awards: tuple[Award, ...] = ()
    tax_rows: tuple[TaxRow, ...] = ()
    positions: tuple[Position, ...] = ()
    holidays: tuple[date, ...] = ()
    reverse_charge_unregistered: bool = False
    open_limit: NotNegative = Decimal("1.00")
    washout: Washout | None = None
    posted: tuple[Posted, ...] = ()


def check(terms: Terms, facts: Facts) -> None:
    """Refuse facts that name what isn't there, or twice what is there once. Raises BadInput, NetNotPositive."""
    faults: list[FieldError] = []
    lots = {lot.lot_no for lot in terms.lots}
    outward = {row.id for row in facts.dispatches if row.direction is Movement.OUTWARD}

    def known(pointer: str, name: str | None, names: set[str]) -> None:
        if name is not None and name not in names:
            faults.append(FieldError(pointer, "does_not_exist", f"There is no {name!r}."))

    def once(pointer: str, names: Iterable[object]) -> None:
        faults.extend(
            FieldError(pointer, "duplicate", f"{name} occurs {times} times.")
            for name, times in Counter(names).items()
            if times > 1
        )

    for n, weighment in enumerate(facts.weighments):
        known(f"/weighments/{n}/lot_no", weighment.lot_no, lots)
        known(f"/weighments/{n}/dispatch", weighment.dispatch, outward)
        known(f"/weighments/{n}/corrects", weighment.corrects, {row.id for row in facts.weighments})
        if weighment.gross_kg <= weighment.tare_kg:
            raise errors.NetNotPositive(f"Weighing {weighment.id}: tare {weighment.tare_kg} kg.")
    for n, dispatch in enumerate(facts.dispatches):
        known(f"/dispatches/{n}/returns", dispatch.returns, outward)
        if (dispatch.direction is Movement.RETURN) != (dispatch.returns is not None):
            faults.append(FieldError(f"/dispatches/{n}/returns", "invalid", "A return names its dispatch."))
        for m, line in enumerate(dispatch.lines):
            known(f"/dispatches/{n}/lines/{m}/lot_no", line.lot_no, lots)
    for n, delivery in enumerate(facts.deliveries):
        known(f"/deliveries/{n}/dispatch", delivery.dispatch, outward)
    for n, governing in enumerate(facts.quality):
        known(f"/quality/{n}/lot_no", governing.lot_no, lots)
    for n, award in enumerate(facts.awards):
        known(f"/awards/{n}/lot_no", award.lot_no, lots)
    for n, payment in enumerate(facts.payments):
        known(f"/payments/{n}/reverses", payment.reverses, {row.id for row in facts.payments})
        if sum(row.amount for row in payment.allocations) > payment.amount:
            raise errors.OverAllocated(f"Payment {payment.id} is of {payment.amount}.")
    once("/weighments", (row.id for row in facts.weighments))
    once("/weighments", (f"a correction of {row.corrects}" for row in facts.weighments if row.corrects))
    once("/dispatches", (row.id for row in facts.dispatches))
    once("/deliveries", (row.dispatch for row in facts.deliveries))
    once("/quality", (row.lot_no for row in facts.quality))
    once("/fixations", (row.number for row in facts.fixations))
    once("/quotations", (row.day for row in facts.quotations))
    once("/payments", (row.id for row in facts.payments))
    once("/payments", (row.number for row in facts.payments))
    once("/payments", (f"a reversal of {row.reverses}" for row in facts.payments if row.reverses))
    once("/awards", (row.id for row in facts.awards))
    once("/positions", ((p.kind, p.deductor, p.deductee, p.financial_year) for p in facts.positions))
    if faults:
        raise errors.BadInput(faults)
