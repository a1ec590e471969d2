"""One successful request per endpoint of the matching module."""

from decimal import Decimal
from typing import Any

from apps.accounts.models import User
from apps.matching.engine.body import DEFAULT
from apps.matching.models import Allocation, RuleSet
from apps.matching.tests.factories import Cotton
from erp.api.examples import Example
from erp.models import unguarded_writes


def want(world):
    market = Cotton(world)
    market.offer()
    return market.want()


def offer(world):
    market = Cotton(world)
    market.want()
    return market.offer()


def match(world):
    return Cotton(world).match()


def user_of(partner_id):
    return User.objects.get(partner_id=partner_id)


def buyer(world, target):
    return User.objects.get(pk=target.created_by_id) if target else world.user("BUYER")


def seller(world, target):
    return User.objects.get(pk=target.created_by_id) if target else world.user("SELLER")


def side(world, target):
    return user_of(target.buyer_partner_id) if target else world.user("BUYER")


def manager(world, target):
    return world.user("INTERNAL_MANAGER")


def goods(world, target):
    return str(world.commodity().pk)


def rules() -> dict[str, Any]:
    """Every key of the rules, with the default figures."""
    body = DEFAULT.stored()
    return {
        **body,
        "parameters": [{"parameter": "trash", "weight": 50, "missing": "NEUTRAL", "tolerance": None}],
    }


def add_match(world, viewer):
    match(world)


def add_rules(world, viewer):
    with unguarded_writes():
        RuleSet(commodity=world.commodity(), version=1, body=DEFAULT.stored(), base_version=0,
                reason="Freight has become dearer.").save()  # fmt: skip


def current_rules(world):
    """The default rules, which two people have changed once."""
    with unguarded_writes():
        row = RuleSet(
            version=1, status="ACTIVE", body=DEFAULT.stored(), base_version=0, reason="Stricter weights."
        )
        row.save()
    return row


def add_allocation(world, viewer):
    run = match(world).run
    with unguarded_writes():
        Allocation(
            availability=run.matches.get().availability, run=run, unit="BALE", open_quantity=Decimal(100),
            step=Decimal(1), max_share=5_000, divisible=True,
        ).save()  # fmt: skip


EXAMPLES: dict[str, Example] = {
    "find_for_requirement": Example(buyer, {"limit": 10, "min_score": "0.6"}, want),
    "find_for_availability": Example(seller, {"limit": 5}, offer),
    "start_batch": Example(manager, {"commodity_id": goods, "states": ["24"], "mode": "FULL"}),
    "approve": Example(
        side, {"quantity": {"value": "60", "unit": "BALE"}, "note": "For the second shift."}, match
    ),
    "reject": Example(side, {"reason": "PRICE", "note": "The last lot was cheaper."}, match),
    "propose_rules": Example(
        manager,
        {"commodity_id": None, "reason": "Freight has become dearer this season.", **rules()},
        current_rules,
    ),
}
LISTS = {
    "/api/v1/matching": ("INTERNAL_MANAGER", add_match),
    "/api/v1/matching/runs": ("INTERNAL_MANAGER", add_match),
    "/api/v1/matching/allocations": ("INTERNAL_MANAGER", add_allocation),
    "/api/v1/matching/rule-sets": ("INTERNAL_MANAGER", add_rules),
}
