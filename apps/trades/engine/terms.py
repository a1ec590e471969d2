"""The frozen terms of a trade: everything agreed that a figure depends on, by value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import gcd
from typing import Any, ClassVar

from apps.commodities.differences import DifferenceSchedule, Price
from apps.commodities.exact import exponent_of
from apps.trades.engine import errors, records
from apps.trades.engine.records import Count, Days, NotNegative, Percent, Positive


class Side(StrEnum):
    """The side of the trade."""

    SELLER = "SELLER"
    BUYER = "BUYER"


class Role(StrEnum):
    """What a partner is in the trade."""

    SELLER = "SELLER"
    BUYER = "BUYER"
    BROKER_SELLER = "BROKER_SELLER"
    BROKER_BUYER = "BROKER_BUYER"
    TRANSPORTER = "TRANSPORTER"
    CONTROLLER = "CONTROLLER"
    CONSIGNEE = "CONSIGNEE"
    BILL_TO = "BILL_TO"
    SHIP_TO = "SHIP_TO"


class TaxStatus(StrEnum):
    """How a party stands to GST on the trade date."""

    REGISTERED = "REGISTERED"
    COMPOSITION = "COMPOSITION"
    UNREGISTERED = "UNREGISTERED"
    AGRICULTURIST = "AGRICULTURIST"
    FOREIGN = "FOREIGN"


class Direction(StrEnum):
    DOMESTIC = "DOMESTIC"
    EXPORT = "EXPORT"
    IMPORT = "IMPORT"


class WeightFinal(StrEnum):
    """Whose weighing counts."""

    ORIGIN = "ORIGIN"
    DESTINATION = "DESTINATION"
    AVERAGE = "AVERAGE"


class Franchise(StrEnum):
    NONE = "NONE"
    DEDUCTIBLE = "DEDUCTIBLE"
    THRESHOLD = "THRESHOLD"


class Basis(StrEnum):
    """What a charge or brokerage is reckoned on."""

    PERCENT = "PERCENT"
    PER_PRICE_UNIT = "PER_PRICE_UNIT"
    FIXED = "FIXED"
    SLABS = "SLABS"


class ChargeKind(StrEnum):
    FREIGHT = "FREIGHT"
    INSURANCE = "INSURANCE"
    BULK_DISCOUNT = "BULK_DISCOUNT"


class BalanceFrom(StrEnum):
    INVOICE = "INVOICE"
    DELIVERY = "DELIVERY"
    DOCUMENTS = "DOCUMENTS"


class DayKind(StrEnum):
    CALENDAR = "CALENDAR"
    WORKING = "WORKING"


class NoteTax(StrEnum):
    """Whether a carrying charge is taxed like the goods."""

    AS_GOODS = "AS_GOODS"
    NONE = "NONE"


class RoundOff(StrEnum):
    """Whether documents are rounded to whole units of the currency; usual for rupees only."""

    WHOLE = "WHOLE"
    NONE = "NONE"


class TareMethod(StrEnum):
    ACTUAL = "ACTUAL"
    PER_PACKAGE = "PER_PACKAGE"
    PERCENT = "PERCENT"


class WeightKind(StrEnum):
    NET = "NET"
    GROSS_FOR_NET = "GROSS_FOR_NET"


class TaxBasis(StrEnum):
    EXCLUSIVE = "EXCLUSIVE"
    INCLUSIVE = "INCLUSIVE"


class Msme(StrEnum):
    """The class of an enterprise under the MSMED Act."""

    NONE = "NONE"
    MICRO = "MICRO"
    SMALL = "SMALL"
    MEDIUM = "MEDIUM"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The unit of the price as it was when contracted: so many kilograms, quoted in 1 ÷ ``divisor`` of the currency."""

    code: str
    unit: str
    definition_version: int
    source: str
    numerator: Count
    denominator: Count
    currency: str
    divisor: Count = 1
    dimension: str = "MASS"

    @property
    def kg(self) -> Fraction:
        """Kilograms of one unit."""
        return Fraction(self.numerator, self.denominator)

    @property
    def k(self) -> Fraction:
        """Kilograms for which the price is one whole unit of currency: kg × divisor, in lowest terms."""
        return self.kg * self.divisor

    @property
    def price(self) -> Price:
        """The quotation, for schedules with amounts of money."""
        return Price(self.currency, self.divisor, self.dimension, self.kg)


@dataclass(frozen=True, kw_only=True)
class Flat:
    """One agreed price."""

    form: ClassVar[str] = "FLAT"
    price: Decimal


@dataclass(frozen=True, kw_only=True)
class OnCall:
    """Futures price at fixing plus a basis in points of 0.01, fixed in slices until the deadline."""

    form: ClassVar[str] = "ON_CALL"
    futures: str
    basis_points: Decimal
    call: Side
    deadline: date
    provisional_price: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Formula:
    """Average of a published price over days, plus a difference."""

    form: ClassVar[str] = "FORMULA"
    source: str
    average_from: date
    average_to: date
    difference: Decimal
    least_quotations: Count = 1
    provisional_price: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Provisional:
    """Invoiced at a provisional price, trued up at the final one: a later agreement, or another form."""

    form: ClassVar[str] = "PROVISIONAL"
    price: Decimal
    final: OnCall | Formula | None = None


@dataclass(frozen=True, kw_only=True)
class Goods:
    commodity: str
    hsn: str
    variety: str = ""


@dataclass(frozen=True, kw_only=True)
class Lot:
    lot_no: str
    estimated_kg: Positive
    count: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A version of a premium and discount schedule, with all its lines."""

    code: str
    version: int
    rules: DifferenceSchedule


@dataclass(frozen=True, kw_only=True)
class Quality:
    final_source: str
    bales_per_sample: Count = 20
    claim_days: Days = 7


@dataclass(frozen=True, kw_only=True)
class Weight:
    final: WeightFinal
    franchise_kind: Franchise = Franchise.NONE
    franchise_percent: Percent = Decimal(0)
    tolerance_percent: Percent = Decimal(5)
    claim_days: Days = 3
    tare_method: TareMethod = TareMethod.ACTUAL
    weight: WeightKind = WeightKind.NET
    deduction_percent: Percent = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Slab:
    """So many days at a yearly percentage; None in the last: all further days."""

    days: Count | None
    annual_percent: Percent


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """``to_state``: GST code of the state where the movement ends; empty outside India."""

    basis: str
    from_state: str
    to_state: str
    window_start: date
    window_end: date
    free_days: Days = 0
    late_slabs: tuple[Slab, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PaymentTerms:
    advance_percent: Percent = Decimal(0)
    advance_days: Days = 0
    balance_days: Days = 0
    balance_from: BalanceFrom = BalanceFrom.INVOICE
    day_kind: DayKind = DayKind.CALENDAR
    carrying_slabs: tuple[Slab, ...] = ()
    carrying_tax: NoteTax = NoteTax.AS_GOODS


@dataclass(frozen=True, kw_only=True)
class Brokerage:
    """What a side pays its brokers. ``sac``: the service code that names the GST row."""

    side: Side
    basis: Basis
    rate: NotNegative
    sac: str = "9961"


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A charge of the seller; a discount is positive. ``from_quantity``: on what is above it, in price units."""

    kind: ChargeKind
    basis: Basis
    rate: NotNegative
    taxable: bool = True
    from_quantity: NotNegative | None = None


@dataclass(frozen=True, kw_only=True)
class Party:
    role: Role
    partner_id: str
    state_code: str
    tax_status: TaxStatus
    has_pan: bool = True
    share: Percent | None = None
    is_sez: bool = False
    is_individual: bool = False
    msme: Msme = Msme.NONE
    is_trader: bool = False


@dataclass(frozen=True, kw_only=True)
class Terms:
    """``rounding``: places of each named amount, as a version of the engine gives them; empty: not stated.

    ``tax_rules`` and ``references`` name the rows that the terms were taken from; no figure depends on them.
    """

    trade_date: date
    currency: str
    unit: Unit
    goods: Goods
    weight_kg: Positive
    lots: tuple[Lot, ...]
    price: Flat | OnCall | Formula | Provisional
    quality: Quality
    weight: Weight
    delivery: Delivery
    payment: PaymentTerms
    parties: tuple[Party, ...]
    round_off: RoundOff
    count: Count | None = None
    count_unit: str = ""
    schedule: Schedule | None = None
    premium_cap_percent: Percent | None = None
    brokerage: tuple[Brokerage, ...] = ()
    charges: tuple[Charge, ...] = ()
    direction: Direction = Direction.DOMESTIC
    tax_basis: TaxBasis = TaxBasis.EXCLUSIVE
    fx_rate: Positive = Decimal(1)
    rule_book: str = ""
    rounding: Mapping[str, int] = field(default_factory=dict)
    tax_rules: tuple[str, ...] = ()
    schema_version: int = 1
    references: Mapping[str, str] = field(default_factory=dict)

    def party(self, role: Role) -> Party | None:
        """The party in a role that only one partner can have."""
        return next((party for party in self.parties if party.role is role), None)

    @property
    def seller(self) -> Party:
        return self._needed(Role.SELLER)

    @property
    def buyer(self) -> Party:
        return self._needed(Role.BUYER)

    def brokers(self, side: Side) -> list[Party]:
        """The brokers of a side, in the order of the terms."""
        return [party for party in self.parties if party.role == f"BROKER_{side}"]

    def _needed(self, role: Role) -> Party:
        party = self.party(role)
        if party is None:
            raise records.reject("/parties", f"There is no {role.lower()}.")
        return party


def freeze(terms: Terms) -> tuple[dict[str, Any], str]:
    """Return the body to store and its hash. Raises what ``check`` raises."""
    check(terms)
    body = records.to_json(terms, normal=True)
    return body, records.digest(body)


def thaw(body: Any, contract_hash: str) -> Terms:
    """Read stored terms. Raises SnapshotDamaged where they do not match their hash, BadInput."""
    if records.digest(body) != contract_hash:
        raise errors.SnapshotDamaged("The terms do not match the contract hash.")
    return records.from_json(Terms, body)


def check(terms: Terms) -> None:
    """Refuse terms that the engine can't compute or that contradict themselves; the first fault is raised."""
    _check_unit(terms)
    _check_supported(terms)
    _check_lots(terms)
    _check_parties(terms)
    if terms.delivery.window_end < terms.delivery.window_start:
        raise errors.WindowInvalid()
    check_slabs(terms.payment.carrying_slabs)
    check_slabs(terms.delivery.late_slabs)
    for price in (getattr(terms.price, "price", None), getattr(terms.price, "provisional_price", None)):
        if price is not None and price <= 0:
            raise errors.PriceNotPositive(f"The price is {price}.")


def check_slabs(slabs: tuple[Slab, ...]) -> None:
    """Require days in all slabs but the last, which is open. No slabs: no charge."""
    if slabs and (slabs[-1].days is not None or any(slab.days is None for slab in slabs[:-1])):
        raise errors.SlabsInvalid("Every slab but the last needs days; the last has none.")


def _check_unit(terms: Terms) -> None:
    unit = terms.unit
    if unit.dimension != "MASS":
        raise errors.UnitMismatch(f"{unit.code} is not a price by weight.")
    if gcd(unit.numerator, unit.denominator) != 1:
        raise errors.UnitMismatch(f"The factor of {unit.code} is not in lowest terms.")
    if unit.currency != terms.currency:
        raise errors.UnitMismatch(f"{unit.code} is not quoted in {terms.currency}.")
    quoted = terms.schedule.rules.price if terms.schedule else None
    if quoted and (quoted.currency, quoted.dimension) != (unit.currency, unit.dimension):
        raise errors.UnitMismatch("The schedule's amounts are not in the contract's currency by weight.")


def _check_supported(terms: Terms) -> None:
    price, payment = terms.price, terms.payment
    if terms.tax_basis is TaxBasis.INCLUSIVE:
        raise errors.TermFixed()
    if not terms.goods.hsn.isdecimal():
        raise errors.TermsUnsupported("The goods have no HSN code.")
    unsupported = {
        "Currencies with more than two decimals": exponent_of(terms.currency) > 2,
        "Tare in percent": terms.weight.tare_method is TareMethod.PERCENT,
        "Gross for net": terms.weight.weight is WeightKind.GROSS_FOR_NET,
        "A deduction in percent": terms.weight.deduction_percent != 0,
        "A balance due from documents": payment.balance_from is BalanceFrom.DOCUMENTS,
        "Commission slabs": Basis.SLABS in [row.basis for row in terms.brokerage],
        "Charges by slabs": Basis.SLABS in [row.basis for row in terms.charges],
        "An advance without a price to reckon it from": payment.advance_percent > 0
        and isinstance(price, OnCall | Formula)
        and price.provisional_price is None,
    }
    for words, found in unsupported.items():
        if found:
            raise errors.TermsUnsupported(f"{words}: the engine does not compute this.")


def _check_lots(terms: Terms) -> None:
    numbers = {lot.lot_no for lot in terms.lots}
    if not terms.lots or len(numbers) != len(terms.lots):
        raise errors.LotsMismatch("Every lot needs a number of its own.")
    if sum(lot.estimated_kg for lot in terms.lots) != terms.weight_kg:
        raise errors.LotsMismatch("The kilograms of the lots are not those of the trade.")
    counts = [lot.count for lot in terms.lots]
    if None in counts and any(count is not None for count in (*counts, terms.count)):
        raise errors.LotsMismatch("Every lot needs a count, or none.")
    if None not in counts and sum(count or 0 for count in counts) != terms.count:
        raise errors.LotsMismatch("The counts of the lots are not that of the trade.")


def _check_parties(terms: Terms) -> None:
    if terms.seller.partner_id == terms.buyer.partner_id:
        raise records.reject("/parties", "Seller and buyer are one partner.")
    several = {Role.BROKER_SELLER, Role.BROKER_BUYER, Role.CONTROLLER}
    roles = [party.role for party in terms.parties if party.role not in several]
    if len(set(roles)) != len(roles):
        raise records.reject("/parties", "Two parties have one role.")
    for brokerage in terms.brokerage:
        brokers = terms.brokers(brokerage.side)
        shares = [party.share for party in brokers]
        if shares == [None]:
            continue
        if None in shares or sum(share or Decimal(0) for share in shares) != 100:
            raise errors.SharesNotWhole(
                f"The {brokerage.side.lower()}'s brokers need shares of 100 % together."
            )
