"""The commission on a deal: the most specific row, and its exact amount, rounded once."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any
from uuid import UUID

from apps.commodities.models.commissions import Commission


@dataclass(frozen=True, slots=True)
class Due:
    """The commission that one side owes. Without one the amount is 0 and ``commission_id`` is None."""

    amount: Decimal
    currency: str
    commission_id: UUID | None = None


def commission_for(
    *,
    side: str,
    on_date: date,
    commodity_id: UUID,
    value: Decimal,
    currency: str = "INR",
    trade_type_id: UUID | None = None,
    partner_id: UUID | None = None,
    quantity_kg: Decimal | None = None,
    price_units: Fraction | None = None,
) -> Due:
    """Calculate the commission of ``side`` (BUYER or SELLER) on a deal of ``on_date``.

    ``value`` is before tax, in ``currency``; ``quantity_kg`` the net weight, ``price_units`` how many units of the
    commission's pricing unit the deal comes to. Raises ValueError where the commission that applies needs a figure
    that isn't given, or is in another currency.
    """
    rows = Commission.objects.for_deal(
        side=side,
        on_date=on_date,
        commodity_id=commodity_id,
        trade_type_id=trade_type_id,
        partner_id=partner_id,
    )
    commission = Commission.most_specific(rows)
    if commission is None:
        return Due(Decimal("0.00"), currency)
    if commission.currency != currency:
        raise ValueError(f"{commission.name} is in {commission.currency}, the deal in {currency}")
    amount = amount_of(commission, value=value, quantity_kg=quantity_kg, price_units=price_units)
    return Due(amount, currency, commission.pk)


def amount_of(
    commission: Commission,
    *,
    value: Decimal,
    quantity_kg: Decimal | None = None,
    price_units: Fraction | None = None,
) -> Decimal:
    """Calculate the commission on ``value`` (before tax) within its minimum and maximum, two decimals, half up.

    Raises ValueError where the basis needs ``quantity_kg`` or ``price_units`` and none is given.
    """
    match commission.basis:
        case Commission.Basis.PERCENT:
            amount = _percent(value, commission.percent)
        case Commission.Basis.PER_PRICE_UNIT:
            if price_units is None:
                raise ValueError(f"{commission.name} needs the number of price units")
            amount = Fraction(commission.amount or 0) * price_units
        case Commission.Basis.FIXED:
            amount = Fraction(commission.amount or 0)
        case _:
            amount = _by_slabs(commission, Fraction(value), quantity_kg)
    if commission.min_amount is not None:
        amount = max(amount, Fraction(commission.min_amount))
    if commission.max_amount is not None:
        amount = min(amount, Fraction(commission.max_amount))
    return Decimal(floor(amount * 100 + Fraction(1, 2))).scaleb(-2)  # nothing owed is below zero


def _percent(base: Decimal | Fraction, percent: Any) -> Fraction:
    return Fraction(base) * Fraction(Decimal(percent)) / 100


def _by_slabs(commission: Commission, value: Fraction, quantity_kg: Decimal | None) -> Fraction:
    """WHOLE: the slab that the measure lies in, for all. MARGINAL: each part at its own.

    A slab has a percentage of the value, or an amount that is due once. A bound belongs to the upper slab.
    """
    measure = value
    if commission.slab_by == Commission.SlabBy.QUANTITY:
        if quantity_kg is None:
            raise ValueError(f"{commission.name} needs the quantity")
        measure = Fraction(quantity_kg)
    reached = [slab for slab in commission.slabs if Fraction(slab["from"]) <= measure]
    if commission.slab_mode == Commission.SlabMode.WHOLE:
        last = reached[-1]
        return _percent(value, last["percent"]) if last["percent"] is not None else Fraction(last["amount"])
    total = Fraction(0)
    for slab in reached:
        if slab["percent"] is None:
            total += Fraction(slab["amount"])
        elif measure:
            end = measure if slab["to"] is None else min(measure, Fraction(slab["to"]))
            total += _percent(value * (end - Fraction(slab["from"])) / measure, slab["percent"])
    return total
