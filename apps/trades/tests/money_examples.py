"""One successful request per endpoint about the money of trades, and rows for its lists."""

from datetime import date

from apps.trades.models import Trade
from apps.trades.services import settlement
from apps.trades.tests.cases import ADVANCE, BALANCE
from apps.trades.tests.stored import Exchange
from erp.access import SYSTEM
from erp.api.examples import Example

DAY = date(2026, 2, 23)


def delivered(world):
    """A delivered trade of which nothing is paid."""
    return Exchange(world).trade()


def paid(world):
    """A delivered trade that can be settled."""
    exchange = Exchange(world)
    trade = exchange.trade()
    for payment in (ADVANCE, BALANCE):
        exchange.pay(trade, payment)
    return Trade.objects.get(pk=trade.pk)


def whole(world):
    """The trade whose parts are listed: settled, so that there are some."""
    known = Trade.objects.order_by("created_at").first()
    return known or settlement.settle(paid(world), actor=SYSTEM, settled_date=DAY)


def add_settlement(world, viewer):
    settlement.settle(paid(world), actor=SYSTEM, settled_date=DAY)


def add_payment(world, viewer):
    exchange = Exchange.__new__(Exchange)
    trade = whole(world)
    exchange.firms, exchange.finance = {"kovai": trade.buyer, "somnath": trade.seller}, SYSTEM
    exchange.pay(trade, BALANCE, kind="CARRYING")


def finance(world, target):
    return world.user("INTERNAL_FINANCE")


EXAMPLES = {
    "record_payment": Example(
        finance,
        {
            "kind": "BALANCE",
            "payer_id": lambda world, target: str(target.buyer_id),
            "payee_id": lambda world, target: str(target.seller_id),
            "amount": "2219363.22",
            "currency": "INR",
            "paid_date": "2026-02-20",
            "method": "RTGS",
            "reference": "ZZZBR26051000000001",
            "allocations": [{"obligation": "BALANCE", "amount": "2219363.22"}],
        },
        delivered,
    ),
    "settle": Example(finance, {"settled_date": "2026-02-23"}, paid),
    "preview_settlement": Example(finance, {"as_of_date": "2026-01-22"}, delivered),
}
WHOLES = {"/api/v1/trades/<uuid:pk>/": whole}
LISTS = {
    "/api/v1/trades/settlements": ("INTERNAL_FINANCE", add_settlement),
    "/api/v1/trades/<uuid:pk>/payments": ("INTERNAL_FINANCE", add_payment),
    "/api/v1/trades/<uuid:pk>/ledger": ("INTERNAL_FINANCE", add_payment),
}
