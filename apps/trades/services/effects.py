"""What a trade does to stock, demand and credit, through the services of the modules below.

Locks in one order: requirement, availability, reservation, credit accounts by id (rulings §1).
"""

from datetime import date
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

from apps.availability.models import Availability, Reservation
from apps.availability.services import rules as of_offers
from apps.availability.services import stock
from apps.commodities.exact import rounded
from apps.commodities.services import factors
from apps.commodities.tax import NoTaxRate, tax_on
from apps.partners.models import CreditAccount
from apps.partners.models.credit import Bucket
from apps.partners.services import exposure
from apps.requirement.models import Requirement
from apps.requirement.services import ledger
from apps.requirement.services import rules as of_requirements
from apps.trades.engine import errors as engine_errors
from apps.trades.engine import terms as t
from apps.trades.models import Trade
from erp.access import Actor

ERRORS: Final = (
    of_offers.ReservationNotFound, of_offers.ReservationNotInTrade, of_offers.ReservationInTrade,
    of_offers.ReservationClosed, of_offers.ReservationExpired, of_offers.ReservationBound, of_offers.TradeMismatch,
    of_offers.QuantityExceeded, of_offers.QuantityNotWhole, of_offers.LotAlreadyOffered, *ledger.ERRORS,
    exposure.CreditLimitMissing, exposure.CreditExceeded, exposure.EntryKeyReused, exposure.HoldGone,
    exposure.SourceTooSmall, factors.NoDefinition, of_requirements.OverPurchase, engine_errors.TaxRuleMissing,
)  # fmt: skip


def source_of(trade: Trade) -> exposure.Source:
    """The trade as a source of exposure."""
    return exposure.Source("trade", trade.pk)


def locked(trade: Trade) -> tuple[Requirement, Availability, Reservation]:
    """Requirement, offer and reservation, locked in this order."""
    requirement = Requirement.objects.locked().get(pk=trade.requirement_id)
    offer = Availability.objects.locked().get(pk=trade.availability_id)
    return requirement, offer, Reservation.objects.locked().get(pk=trade.reservation_id)


def tax_factor(terms: t.Terms, day: date) -> Fraction:
    """By what the value of goods is multiplied to have the tax that the seller charges. Raises TaxRuleMissing."""
    if terms.direction is not t.Direction.DOMESTIC or terms.seller.tax_status is not t.TaxStatus.REGISTERED:
        return Fraction(1)
    try:
        found = tax_on(terms.goods.hsn, day, terms.references.get("tax_condition"))
    except NoTaxRate as missing:
        raise engine_errors.TaxRuleMissing(str(missing.detail)) from missing
    return 1 + Fraction(found.rate_percent) / 100


def exposure_of(trade: Trade, terms: t.Terms, kg: Decimal) -> Decimal:
    """What goods are as exposure, in rupees: with tax, less the share paid in advance (partners §5.8)."""
    price = Fraction(getattr(terms.price, "price", trade.price))
    share = Fraction(terms.payment.advance_percent) / 100
    value = Fraction(kg) * price / terms.unit.k * Fraction(terms.fx_rate)
    return rounded(value * tax_factor(terms, terms.trade_date) * (1 - share), 2)


def _demand(trade: Trade, quantity: Decimal, kg: Decimal) -> Decimal:
    """A quantity of the offer in the unit of the requirement: as it is in the same unit, else by weight."""
    wanted = trade.requirement
    if trade.availability.unit == wanted.unit:
        return quantity
    return _cut(trade, wanted.in_unit(kg)) or Decimal(1)


def _demand_part(trade: Trade, quantity: Decimal) -> Decimal:
    """What a part of the goods is of the demand that the trade still counts; the last part is the rest of it."""
    open_quantity = Reservation.objects.get(pk=trade.reservation_id).still_open
    counted = ledger.counted_of(trade.requirement, trade.pk)
    if quantity >= open_quantity:
        return counted
    return _cut(trade, counted * quantity / open_quantity)


def _cut(trade: Trade, quantity: Decimal) -> Decimal:
    """Whole packages, or three decimals of a weight."""
    wanted = trade.requirement
    whole = wanted.commodity.is_counted_in(wanted.unit)
    return quantity.quantize(Decimal(1) if whole else Decimal("0.001"), ROUND_DOWN)


def commit(trade: Trade, actor: Actor, quantity: Decimal) -> None:
    """A new trade: demand is committed, the stock waits for it, the credit hold is its own."""
    ledger.commit(
        trade.requirement,
        actor=actor,
        trade_id=trade.pk,
        quantity=_demand(trade, quantity, trade.weight_kg),
        negotiation_id=trade.negotiation_id,
    )
    reservation = stock.commit(
        trade.availability,
        actor=actor,
        reservation_id=trade.reservation_id,
        trade_id=trade.pk,
        unit_price=trade.price,
        negotiation_id=trade.negotiation_id,
    )
    if reservation.credit_amount:
        exposure.move_hold(
            actor=actor,
            partner=trade.buyer,
            source=exposure.Source("reservation", reservation.pk),
            target=source_of(trade),
            entry_key=f"trade:{trade.pk}",
        )


def confirm(trade: Trade, terms: t.Terms, actor: Actor) -> None:
    """An approved trade: bought, sold and contracted."""
    ledger.confirm(trade.requirement, actor=actor, trade_id=trade.pk, amount=trade.contract_value)
    stock.mark_sold(trade.availability, actor=actor, reservation_id=trade.reservation_id, trade_id=trade.pk)
    for partner, side in sorted(
        ((trade.buyer, exposure.BUY), (trade.seller, exposure.SELL)), key=lambda each: each[0].pk
    ):
        if has_account(partner.pk):
            exposure.contract(
                actor=actor, partner=partner, source=source_of(trade), entry_key=f"contract:{trade.pk}", side=side,
                amount=exposure_of(trade, terms, trade.weight_kg),
            )  # fmt: skip
            if side == exposure.BUY:  # what the estimate of the reservation held beyond it
                exposure.release_hold(
                    actor=actor, partner=partner, source=source_of(trade), entry_key=f"contracted:{trade.pk}"
                )


def deliver(trade: Trade, actor: Actor, value: Decimal, key: str, *, part: Fraction) -> None:
    """Delivered goods are owed, and use up their part of what the seller was advanced."""
    exposure.lock_accounts([trade.buyer_id, trade.seller_id])
    if has_account(trade.seller_id):
        account = exposure.locked_account(trade.seller_id)
        advanced = exposure.open_amount(account, source_of(trade), Bucket.ADVANCE)
        if used := rounded(Fraction(advanced) * min(part, Fraction(1)), 2):
            exposure.advance(
                actor=actor, partner=trade.seller, source=source_of(trade), amount=-used,
                entry_key=f"delivered:{key}",
            )  # fmt: skip
    if has_account(trade.buyer_id):
        exposure.deliver(
            actor=actor,
            partner=trade.buyer,
            source=source_of(trade),
            amount=value,
            entry_key=f"deliver:{key}",
        )


def give_back(
    trade: Trade, actor: Actor, *, quantity: Decimal, amount: Decimal, key: str, withdraw: bool
) -> None:
    """Stock that isn't sold after all returns to its offer, or to the seller; demand and spending fall."""
    ledger.revoke(
        trade.requirement,
        actor=actor,
        trade_id=trade.pk,
        quantity=_demand_part(trade, quantity),
        amount=amount,
        entry_key=f"revoke:{key}",
    )
    stock.return_stock(
        trade.availability,
        actor=actor,
        reservation_id=trade.reservation_id,
        trade_id=trade.pk,
        quantity=quantity,
        withdraw=withdraw,
    )


def follow_amendment(
    trade: Trade, actor: Actor, *, less: Decimal, value: Decimal, approved: bool, key: str
) -> None:
    """Demand, spending and stock follow a lower quantity and another value."""
    ledger.adjust(
        trade.requirement, actor=actor, trade_id=trade.pk, quantity=-_demand_part(trade, less), entry_key=key,
        amount=value if approved else Decimal(0),
    )  # fmt: skip
    if less:
        stock.return_stock(
            trade.availability,
            actor=actor,
            reservation_id=trade.reservation_id,
            trade_id=trade.pk,
            quantity=less,
        )


def end_credit(trade: Trade, actor: Actor) -> None:
    """A trade of which nothing was delivered is no exposure any more, but for an advance until it is paid back."""
    for partner in sorted((trade.buyer, trade.seller), key=lambda each: each.pk):
        if not has_account(partner.pk):
            continue
        source, key = source_of(trade), f"cancel:{trade.pk}"
        if partner.pk == trade.buyer_id:
            exposure.cancel_source(actor=actor, partner=partner, source=source, entry_key=key)
        else:
            exposure.contract_again(
                actor=actor,
                partner=partner,
                source=source,
                amount=Decimal(0),
                entry_key=key,
                side=exposure.SELL,
            )


def contract_again(trade: Trade, actor: Actor, amount: Decimal, key: str) -> None:
    """Bring what is contracted and not delivered to an amount in rupees, for both sides."""
    for partner, side in sorted(
        ((trade.buyer, exposure.BUY), (trade.seller, exposure.SELL)), key=lambda each: each[0].pk
    ):
        if has_account(partner.pk):
            exposure.contract_again(
                actor=actor, partner=partner, source=source_of(trade), amount=amount, entry_key=key, side=side
            )


def has_account(partner_id: UUID) -> bool:
    """Whether credit is counted for the partner."""
    return bool(CreditAccount.objects.filter(pk=partner_id).exists())
