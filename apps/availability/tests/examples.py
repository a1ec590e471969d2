"""One successful request per endpoint of the availability module."""

from decimal import Decimal

from apps.accounts.models import User
from apps.availability import services
from erp.api.examples import Example


def draft(world):
    return world.offer(live=False)


def pending(world):
    return world.offer(live=False, submit=True)


def seller(world, target):
    return User.objects.get(pk=target.created_by_id) if target else world.user("SELLER")


def buyer(world, target):
    return world.user("BUYER")


def held(world):
    live = world.offer()
    services.reserve(live, actor=world.user("BUYER"), quantity=Decimal(10))
    return live


def holder(world, target):
    return User.objects.get(pk=target.reservations.get().reserved_by_id)


EXAMPLES = {
    "post": Example(
        seller,
        {
            "commodity_id": lambda world, target: str(world.commodity().pk),
            "total_quantity": "100",
            "unit": "BALE",
            "total_weight_kg": "17000.000",
            "place": {"address": "Station Road, Gondal", "country": "IN", "state_code": "GJ"},
            "available_from_date": "2026-01-12",
            "available_until_date": "2099-12-31",
        },
    ),
    "submit": Example(seller, {}, draft),
    "approve": Example(lambda world, target: world.user("INTERNAL_MANAGER"), {"note": "Seen."}, pending),
    "reserve": Example(buyer, {"quantity": "60", "hold_hours": 24}, lambda world: world.offer()),
    "release": Example(
        holder,
        {"reservation_id": lambda world, target: str(target.reservations.get().pk), "quantity": "5"},
        held,
    ),
}
