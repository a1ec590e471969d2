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
    elif payment.kind == PaymentKind.BALANCE.value and _has_account(trade.buyer_id):
        exposure.pay(actor=actor, partner=trade.buyer, source=source_of(trade), amount=amount, entry_key=key)


def reverse(trade: Trade, actor: Actor, payment: Payment) -> None:
    """A bounced payment puts back what it had taken off; a bounced advance is no exposure any more."""
    amount, key = in_rupees(trade, payment.amount), f"bounced:{payment.pk}"
    source = source_of(trade)
    is_advance = payment.kind == PaymentKind.ADVANCE.value
    if is_advance and _has_account(trade.seller_id):
        account = exposure.locked_account(trade.seller_id)
        held = exposure.open_amount(account, source, Bucket.ADVANCE)
        if held:
            exposure.advance(
                actor=actor, partner=trade.seller, source=source, amount=-min(amount, held), entry_key=key
            )
    is_owed = payment.kind == PaymentKind.BALANCE.value or trade.status == Trade.Status.SETTLED
    if payment.kind in PAYS and is_owed and _has_account(trade.buyer_id):
        exposure.reverse_payment(
            actor=actor, partner=trade.buyer, source=source, amount=amount, entry_key=f"{key}:buyer"
        )


def close(trade: Trade, actor: Actor, key: str) -> None:
    """A settled trade is no exposure of either side any more."""
    for partner in sorted((trade.seller, trade.buyer), key=lambda partner: partner.pk):
        if _has_account(partner.pk):
            exposure.cancel_source(actor=actor, partner=partner, source=source_of(trade), entry_key=key)


def _has_account(partner_id: UUID) -> bool:
    return CreditAccount.objects.filter(pk=partner_id).exists()
