"""One request that succeeds per door of the commodities module."""

from uuid import uuid4

from apps.commodities import services
from apps.commodities.models import Commodity
from apps.commodities.tests import examples_terms
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


MICRONAIRE = {
    "name": "Micronaire",
    "data_type": "DECIMAL",
    "unit": "index",
    "methods": ["HVI", "AIRFLOW"],
    "precision": 2,
    "direction": "TARGET",
    "target_low": "3.5",
    "target_high": "4.9",
    "possible_min": "2",
    "possible_max": "7",
    "usual_min": "3",
    "usual_max": "5.5",
    "tolerance": "0.15",
}


def parameter(world, commodity=None, code="micronaire", **fields):
    said = {**MICRONAIRE, "commodity": commodity or world.commodity(), "code": code, **fields}
    return services.create_parameter(actor=SYSTEM, **said)


def template(world, code="micronaire", **fields):
    said = {"category": "FIBRE", "code": code, **MICRONAIRE, **fields}
    return services.create_template(actor=SYSTEM, **said)


def commodity_of(world, target):
    return str(world.commodity().pk)


EXAMPLES = {
    "create": Example(keeper, {"code": "COTTON", **GOODS}),
    "update": Example(
        keeper, {**GOODS, "description": "Ginned, not carded."}, lambda world: world.commodity()
    ),
    "create_variety": Example(keeper, {"commodity_id": commodity_of, "code": "SHANKAR-6", **VARIETY}),
    "update_variety": Example(keeper, {**VARIETY, "aliases": ["S-6"], "status": "ACTIVE"}, variety),
    "create_parameter": Example(
        keeper, {"commodity_id": commodity_of, "code": "micronaire", **MICRONAIRE, "is_mandatory": True}
    ),
    "update_parameter": Example(keeper, {**MICRONAIRE, "tolerance": "0.1", "status": "ACTIVE"}, parameter),
    "create_template": Example(keeper, {"category": "FIBRE", "code": "micronaire", **MICRONAIRE}),
    "update_template": Example(keeper, {**MICRONAIRE, "tolerance": "0.1", "status": "ACTIVE"}, template),
    **examples_terms.EXAMPLES,
}


# --- Lists: who looks, and what makes a row of it for them -------------------------------------------


def whole(world):
    """The one commodity that the parts of a list belong to."""
    return Commodity.objects.filter(code="WHOLE").first() or world.commodity(code="WHOLE")


def part(make):
    """Make a part of the whole, with a code of its own."""

    def of_whole(world, viewer):
        make(world, commodity=whole(world), code=f"{make.__name__}_{uuid4().hex[:8]}")

    return of_whole


def add_template(world, viewer):
    template(world, code=f"code_{uuid4().hex[:8]}")


def one_more_parameter(world, commodity, code):
    parameter(world, commodity, code, name=code)


def one_more_variety(world, commodity, code):
    services.create_variety(actor=SYSTEM, commodity=commodity, code=code.upper(), name=code)


LISTS = {
    "/api/v1/varieties": ("BUYER", add_variety),
    "/api/v1/commodities/<uuid:pk>/varieties": ("BUYER", part(one_more_variety)),
    "/api/v1/quality-parameters": ("BUYER", part(one_more_parameter)),
    "/api/v1/commodities/<uuid:pk>/quality-parameters": ("BUYER", part(one_more_parameter)),
    "/api/v1/parameter-templates": ("BUYER", add_template),
    **examples_terms.LISTS,
}
WHOLES = {"/api/v1/commodities/<uuid:pk>/": whole}
