"""One request that succeeds per door of the commodities module."""

from apps.commodities import services
from erp.access import SYSTEM
from erp.api.examples import Example

GOODS = {
    "name": "Raw cotton",
    "category": "FIBRE",
    "quantity_mode": "COUNT_AND_WEIGHT",
    "package_unit": "BALE",
    "trade_unit": "BALE",
    "hsn_code": "5201",
    "season_start_month": 10,
    "quantity_tolerance_percent": "5",
}


def keeper(world, target):
    return world.user("INTERNAL_MASTERDATA")


VARIETY = {"name": "Shankar-6", "aliases": ["S-6", "ICS-105"], "is_standard": True}


def variety(world):
    return services.create_variety(actor=SYSTEM, commodity=world.commodity(), code="SHANKAR-6", **VARIETY)


def add_variety(world, viewer):
    variety(world)


def commodity_of(world, target):
    return str(world.commodity().pk)


EXAMPLES = {
    "create": Example(keeper, {"code": "COTTON", **GOODS}),
    "update": Example(
        keeper, {**GOODS, "description": "Ginned, not carded."}, lambda world: world.commodity()
    ),
    "create_variety": Example(keeper, {"commodity_id": commodity_of, "code": "SHANKAR-6", **VARIETY}),
    "update_variety": Example(keeper, {**VARIETY, "aliases": ["S-6"], "status": "ACTIVE"}, variety),
}


# --- Lists: who looks, and what makes a row of it for them -------------------------------------------

LISTS = {"/api/v1/varieties": ("BUYER", add_variety)}
