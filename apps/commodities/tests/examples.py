"""One request that succeeds per door of the commodities module."""

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


EXAMPLES = {
    "create": Example(keeper, {"code": "COTTON", **GOODS}),
    "update": Example(
        keeper, {**GOODS, "description": "Ginned, not carded."}, lambda world: world.commodity()
    ),
}
