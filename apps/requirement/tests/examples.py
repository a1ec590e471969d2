"""One successful request per endpoint of the requirement module."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from apps.accounts.models import User
from apps.commodities.models.pricing import PricingUnit
from apps.requirement.models import Requirement, Suggestion
from apps.requirement.services import ledger
from apps.requirement.tests.factories import candy, cotton
from erp import clock
from erp.access import SYSTEM
from erp.api.examples import Example
from erp.models import unguarded_writes
from erp.services import caused_by


def draft(world):
    return world.requirement(live=False)


def live(world):
    return world.requirement()


def pending(world):
    return world.requirement(max_quantity=Decimal(400), ceiling_price=Decimal(60_000))


def whole(world):
    """The requirement whose parts are listed."""
    return Requirement.objects.order_by("created_at").first() or world.requirement()


def suggest(requirement):
    """A suggestion as the market's facts would give it."""
    moves = [{"bound": "micronaire:max", "old": "4.5", "new": "4.6"}]
    options = [{"moves": moves, "cost": "2/3", "unlocked": "200", "offers": 2}]
    with unguarded_writes():
        Suggestion(
            requirement=requirement, base_terms_version=requirement.terms_version, scope=["QUALITY"],
            result={"options": options, "open_before": "100", "missing": "300", "is_banded": False},
            provider="builtin", expires_at=clock.now() + timedelta(hours=24),
        ).save()  # fmt: skip
    return requirement


def suggested(world):
    return suggest(world.requirement())


def add_line(world, viewer):
    ledger.commit(whole(world), actor=SYSTEM, trade_id=uuid4(), quantity=Decimal(10))


def add_history(world, viewer):
    """A change by a request of its own, as the timeline tells requests apart."""
    with caused_by(str(uuid4())):
        add_line(world, viewer)


def add_suggestion(world, viewer):
    suggest(whole(world))


WHOLES = {"/api/v1/requirements/<uuid:pk>/": whole}
LISTS = {
    "/api/v1/requirements": ("INTERNAL_MANAGER", lambda world, viewer: world.requirement()),
    "/api/v1/requirements/<uuid:pk>/fulfilments": ("INTERNAL_MANAGER", add_line),
    "/api/v1/requirements/<uuid:pk>/history": ("INTERNAL_MANAGER", add_history),
    "/api/v1/requirements/<uuid:pk>/suggestions": ("INTERNAL_MANAGER", add_suggestion),
}


def buyer(world, target):
    return User.objects.get(pk=target.created_by_id) if target else world.user("BUYER")


def manager(world, target):
    return world.user("INTERNAL_MANAGER")


def staff(world, target):
    return world.user("INTERNAL")


def goods(world, target):
    return str(target.commodity_id if target else cotton(world.commodity).pk)


def price(world, target):
    return str((PricingUnit.objects.filter(code="INR/CANDY").first() or candy()).pk)


WANTED = {
    "max_quantity": "100",
    "kg_per_count": "170",
    "ceiling_price": "54000",
    "pricing_unit_id": price,
    "delivery_from_date": "2026-01-12",
    "delivery_until_date": "2099-12-31",
    "bands": [
        {"parameter": "staple_length", "min": "28.5", "max": "30.0", "preferred": "29.5", "required": True},
        {"parameter": "micronaire", "min": "3.7", "max": "4.5", "preferred": "4.1", "required": True},
    ],
    "places": [{"latitude": "11.0168", "longitude": "76.9558", "state_code": "TN", "max_distance_km": 1500}],
}

EXAMPLES = {
    "create": Example(buyer, {"commodity_id": goods, **WANTED, "publish": True}),
    "update": Example(buyer, {**WANTED, "max_quantity": "120"}, draft),
    "publish": Example(buyer, {}, draft),
    "cancel": Example(buyer, {"reason_code": "NOT_NEEDED"}, live),
    "fulfill": Example(
        manager,
        {
            "quantity": "10",
            "amount": "258140.71",
            "currency": "INR",
            "reason": "Bought by telephone before the trade was entered.",
        },
        live,
    ),
    "approve": Example(manager, {"note": "The mill has the storage."}, pending),
    "reject": Example(manager, {"reason_code": "QUANTITY", "reason": "Twice the mill's storage."}, pending),
    "ai_adjust": Example(
        buyer,
        {
            "action": "DISMISS",
            "suggestion_id": lambda world, target: str(target.suggestions.get().pk),
        },
        suggested,
    ),
    "search": Example(
        staff,
        {
            "commodity_id": lambda world, target: str(world.requirement().commodity_id),
            "quality": [{"parameter": "micronaire", "value": "4.0"}],
            "near": {"latitude": "11.0", "longitude": "77.0", "radius_km": 50},
            "sort": "distance",
        },
    ),
    "search_by_intent": Example(staff, {"intent": "DIRECT_BUY"}),
}
