"""What payments and a settlement do to the exposure of the two sides (partners §5.8)."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from uuid import UUID

from apps.partners.models import CreditAccount
from apps.partners.models.credit import Bucket
from apps.partners.services import exposure
from apps.trades.engine.facts import PaymentKind
from apps.trades.models import Payment, Trade
from erp.access import Actor

PAYS: Final = (PaymentKind.BALANCE.value, PaymentKind.ADVANCE.value)


def source_of(trade: Trade) -> exposure.Source:
    """The trade as a source of exposure."""
    return exposure.Source("trade", trade.pk)


def in_rupees(trade: Trade, amount: Decimal) -> Decimal:
    """An amount of the trade at its rate of exchange."""
    return (amount * trade.fx_rate).quantize(Decimal("0.01"), ROUND_HALF_UP)


def record(trade: Trade, actor: Actor, payment: Payment) -> None:
    """An advance counts as exposure of the seller, a balance takes off what the buyer owes."""
    amount, key = in_rupees(trade, payment.amount), f"payment:{payment.pk}"
    if payment.kind == PaymentKind.ADVANCE.value:
        if _has_account(trade.seller_id):
            exposure.advance(
                actor=actor, partner=trade.seller, source=source_of(trade), amount=amount, entry_key=key
            )
    elif payment.kind == PaymentKind.REFUND.value:
        _take_advance(trade, actor, amount, key)
    elif payment.kind == PaymentKind.BALANCE.value and _has_account(trade.buyer_id):
        exposure.pay(actor=actor, partner=trade.buyer, source=source_of(trade), amount=amount, entry_key=key)


def _take_advance(trade: Trade, actor: Actor, amount: Decimal, key: str) -> Decimal:
    """Take an advance off the seller, at most what is still open of it; returns what was used up before."""
    if not _has_account(trade.seller_id):
        return Decimal("0.00")
    source = source_of(trade)
    held = exposure.open_amount(exposure.locked_account(trade.seller_id), source, Bucket.ADVANCE)
    taken = min(amount, held)
    if taken:
        exposure.advance(actor=actor, partner=trade.seller, source=source, amount=-taken, entry_key=key)
    return amount - taken


def reverse(trade: Trade, actor: Actor, payment: Payment) -> None:
    """A bounced payment puts back what it had taken off; what of a bounced advance was delivered the buyer owes."""
    amount, key = in_rupees(trade, payment.amount), f"bounced:{payment.pk}"
    source, owed = source_of(trade), Decimal("0.00")
    if payment.kind == PaymentKind.ADVANCE.value:
        used = _take_advance(trade, actor, amount, key)
        owed = used if trade.status in (Trade.Status.IN_EXECUTION, Trade.Status.DELIVERED) else owed
    if payment.kind == PaymentKind.REFUND.value and _has_account(trade.seller_id):
        exposure.advance(actor=actor, partner=trade.seller, source=source, amount=amount, entry_key=key)
    if payment.kind == PaymentKind.BALANCE.value or trade.status == Trade.Status.SETTLED:
        owed = amount
    if payment.kind in PAYS and owed and _has_account(trade.buyer_id):
        exposure.reverse_payment(
            actor=actor, partner=trade.buyer, source=source, amount=owed, entry_key=f"{key}:buyer"
        )


def close(trade: Trade, actor: Actor, key: str) -> None:
    """A settled trade is no exposure of either side any more."""
    for partner in sorted((trade.seller, trade.buyer), key=lambda partner: partner.pk):
        if _has_account(partner.pk):
            exposure.cancel_source(actor=actor, partner=partner, source=source_of(trade), entry_key=key)


def _has_account(partner_id: UUID) -> bool:
    return CreditAccount.objects.filter(pk=partner_id).exists()
