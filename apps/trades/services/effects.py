"""What a trade does to stock, demand and credit, through the services of the modules below.

Locks in one order: requirement, availability, reservation, credit accounts by id (rulings §1).
"""

from decimal import Decimal
from typing import Final
from uuid import UUID

from apps.availability.models import Availability, Reservation
from apps.availability.services import rules as of_offers
from apps.availability.services import stock
from apps.commodities.services import factors
from apps.partners.models import CreditAccount
from apps.partners.services import exposure
from apps.requirement.models import Requirement
from apps.requirement.services import ledger
from apps.requirement.services import rules as of_requirements
from apps.trades.models import Trade
from erp.access import Actor

ERRORS: Final = (
    of_offers.ReservationNotFound, of_offers.ReservationNotInTrade, of_offers.ReservationInTrade,
    of_offers.ReservationClosed, of_offers.ReservationExpired, of_offers.ReservationBound, of_offers.TradeMismatch,
    of_offers.QuantityExceeded, of_offers.QuantityNotWhole, of_offers.LotAlreadyOffered, *ledger.ERRORS,
    exposure.CreditLimitMissing, exposure.CreditExceeded, exposure.EntryKeyReused, exposure.HoldGone,
    exposure.SourceTooSmall, factors.NoDefinition, of_requirements.OverPurchase,
)  # fmt: skip


def source_of(trade: Trade) -> exposure.Source:
    """The trade as a source of exposure."""
    return exposure.Source("trade", trade.pk)


def locked(trade: Trade) -> tuple[Requirement, Availability, Reservation]:
    """Requirement, offer and reservation, locked in this order."""
    requirement = Requirement.objects.locked().get(pk=trade.requirement_id)
    offer = Availability.objects.locked().get(pk=trade.availability_id)
    return requirement, offer, Reservation.objects.locked().get(pk=trade.reservation_id)


def commit(trade: Trade, actor: Actor, quantity: Decimal) -> None:
    """A new trade: demand is committed, the stock waits for it, the credit hold is its own."""
    ledger.commit(
        trade.requirement,
        actor=actor,
        trade_id=trade.pk,
        quantity=quantity,
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


def confirm(trade: Trade, actor: Actor) -> None:
    """An approved trade: bought, sold and contracted."""
    ledger.confirm(trade.requirement, actor=actor, trade_id=trade.pk, amount=trade.contract_value)
    stock.mark_sold(trade.availability, actor=actor, reservation_id=trade.reservation_id, trade_id=trade.pk)
    for partner, side in sorted(
        ((trade.buyer, exposure.BUY), (trade.seller, exposure.SELL)), key=lambda each: each[0].pk
    ):
        if has_account(partner.pk):
            exposure.contract(
                actor=actor, partner=partner, source=source_of(trade), amount=trade.base_value,
                entry_key=f"contract:{trade.pk}", side=side,
            )  # fmt: skip


def deliver(trade: Trade, actor: Actor, value: Decimal, key: str) -> None:
    """Delivered goods are owed."""
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
        quantity=quantity,
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


def end_credit(trade: Trade, actor: Actor) -> None:
    """A trade of which nothing was delivered is no exposure any more."""
    for partner in sorted((trade.buyer, trade.seller), key=lambda each: each.pk):
        if has_account(partner.pk):
            exposure.cancel_source(
                actor=actor, partner=partner, source=source_of(trade), entry_key=f"cancel:{trade.pk}"
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
