"""One successful request per endpoint of the commodities module."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

from apps.commodities.models.commodities import Commodity
from apps.commodities.services import grades, parameters, schedules, varieties
from apps.commodities.tests import examples_tax, examples_terms, examples_units
from erp.access import SYSTEM
from erp.api.examples import Example
from erp.files import CSV, Upload
from erp.models import unguarded_writes

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
    return varieties.create_variety(actor=SYSTEM, commodity=world.commodity(), code="SHANKAR-6", **VARIETY)


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
    values = {**MICRONAIRE, "commodity": commodity or world.commodity(), "code": code, **fields}
    return parameters.create_parameter(actor=SYSTEM, **values)


def template(world, code="micronaire", **fields):
    values = {"category": "FIBRE", "code": code, **MICRONAIRE, **fields}
    return parameters.create_template(actor=SYSTEM, **values)


FINE = {"name": "Fine", "rank": 2, "difference_kind": "PERCENT", "difference": "1.5"}


def grade(world, commodity=None, code="FINE", **fields):
    values = {**FINE, "commodity": commodity or world.commodity(), "code": code, **fields}
    return grades.create_grade(actor=SYSTEM, **values)


# Parameters of DEMO_LINES: code, unit, methods, possible range.
MEASURED = (
    ("moisture", "%", ["OVEN", "METER"], 3, 15),
    ("rd", "%", ["HVI"], 40, 85),
    ("trash", "%", ["GRAVIMETRIC"], 0, 15),
    ("staple_length", "mm", ["UHML_HVI", "CLASSER"], 18, 42),
)
DEMO_LINES = [
    {
        "order": 1,
        "parameter": "moisture",
        "method": "OVEN",
        "form": "WEIGHT",
        "base_low": Decimal("8.5"),
        "side": "ABOVE",
        "weight_rule": "ONE_FOR_ONE",
    },
    {
        "order": 2,
        "parameter": "rd",
        "method": "HVI",
        "form": "BAND",
        "effect": "PERCENT",
        "bands": [
            {"from": Decimal(73), "to": Decimal("75.5"), "effect": Decimal("-1.5")},
            {"from": Decimal("75.5"), "to": None, "effect": Decimal(0)},
        ],
        "reject_below": Decimal(73),
    },
    {
        "order": 3,
        "parameter": "trash",
        "method": "GRAVIMETRIC",
        "form": "LINEAR",
        "effect": "PERCENT",
        "base_low": Decimal(3),
        "side": "ABOVE",
        "rate": Decimal(1),
        "reject_above": Decimal("4.5"),
    },
    {
        "order": 4,
        "parameter": "staple_length",
        "method": "UHML_HVI",
        "form": "NO_LIMIT",
        "reject_below": Decimal(28),
    },
]


def measured(commodity):
    """Give a commodity the parameters that DEMO_LINES name."""
    for code, unit, methods, least, most in MEASURED:
        parameters.create_parameter(
            actor=SYSTEM,
            commodity=commodity,
            code=code,
            name=code,
            data_type="DECIMAL",
            unit=unit,
            methods=methods,
            precision=1,
            direction="NONE",
            possible_min=Decimal(least),
            possible_max=Decimal(most),
        )


def schedule(commodity, code="DEMO", actor=SYSTEM, **fields):
    """Draft a schedule of a commodity that was ``measured``."""
    values = {
        "contract_form": "OWN",
        "title": "Demo",
        "mode": "ADDITIVE",
        "lines": DEMO_LINES,
        "source": "Contract form of the company",
        "valid_from": date(2026, 1, 1),
        **fields,
    }
    return schedules.draft_quality_schedule(actor=actor, commodity=commodity, code=code, **values)


def commodity_of(world, target):
    return str(world.commodity().pk)


TABLE = Upload(
    "commodities.csv",
    CSV,
    b"code,name,category,aliases,quantity_mode,package_unit,trade_unit,hsn_code\n"
    b"COTTON,Raw cotton,FIBRE,Lint;Rui,COUNT_AND_WEIGHT,BALE,BALE,5201\n",
)
EXAMPLES = {
    "create": Example(keeper, {"code": "COTTON", **GOODS}),
    "update": Example(
        keeper, {**GOODS, "description": "Ginned, not carded."}, lambda world: world.commodity()
    ),
    "bulk_upload": Example(keeper, {"file": TABLE, "kind": "COMMODITIES", "mode": "partial"}),
    "bulk_validate": Example(keeper, {"file": TABLE, "kind": "COMMODITIES"}),
    "create_variety": Example(keeper, {"commodity_id": commodity_of, "code": "SHANKAR-6", **VARIETY}),
    "update_variety": Example(keeper, {**VARIETY, "aliases": ["S-6"], "status": "ACTIVE"}, variety),
    "create_parameter": Example(
        keeper, {"commodity_id": commodity_of, "code": "micronaire", **MICRONAIRE, "is_mandatory": True}
    ),
    "update_parameter": Example(keeper, {**MICRONAIRE, "tolerance": "0.1", "status": "ACTIVE"}, parameter),
    "create_grade": Example(keeper, {"commodity_id": commodity_of, "code": "FINE", **FINE}),
    "update_grade": Example(keeper, {**FINE, "rank": 3, "status": "ACTIVE"}, grade),
    "create_template": Example(keeper, {"category": "FIBRE", "code": "micronaire", **MICRONAIRE}),
    "update_template": Example(keeper, {**MICRONAIRE, "tolerance": "0.1", "status": "ACTIVE"}, template),
    **examples_terms.EXAMPLES,
    **examples_tax.EXAMPLES,
    **examples_units.EXAMPLES,
}


def whole(world):
    """The one commodity that the parts of a list belong to."""
    return Commodity.objects.filter(code="WHOLE").first() or world.commodity(code="WHOLE")


def part(make):
    """Make a part of the whole, with a code of its own."""

    def of_whole(world, viewer):
        make(world, commodity=whole(world), code=f"{make.__name__.rpartition('_')[2]}_{uuid4().hex[:8]}")

    return of_whole


def add_template(world, viewer):
    template(world, code=f"code_{uuid4().hex[:8]}")


def one_more_parameter(world, commodity, code):
    parameter(world, commodity, code, name=code)


def one_more_variety(world, commodity, code):
    varieties.create_variety(actor=SYSTEM, commodity=commodity, code=code.upper(), name=code)


def one_more_grade(world, commodity, code):
    grade(world, commodity, code.upper(), rank=commodity.grades.count() + 1)


def one_more_schedule(world, commodity, code):
    if not commodity.quality_parameters.exists():
        measured(commodity)
    drafted = schedule(commodity, code.upper())
    with unguarded_writes():
        type(drafted).objects.filter(pk=drafted.pk).update(status="PUBLISHED")


def one_more_weight(world, commodity, code):
    examples_units.pack_weight(commodity)


LISTS = {
    "/api/v1/varieties": ("BUYER", add_variety),
    "/api/v1/commodities/<uuid:pk>/varieties": ("BUYER", part(one_more_variety)),
    "/api/v1/quality-parameters": ("BUYER", part(one_more_parameter)),
    "/api/v1/commodities/<uuid:pk>/quality-parameters": ("BUYER", part(one_more_parameter)),
    "/api/v1/grades": ("BUYER", part(one_more_grade)),
    "/api/v1/commodities/<uuid:pk>/grades": ("BUYER", part(one_more_grade)),
    "/api/v1/quality-schedules": ("BUYER", part(one_more_schedule)),
    "/api/v1/commodities/<uuid:pk>/quality-schedules": ("BUYER", part(one_more_schedule)),
    "/api/v1/parameter-templates": ("BUYER", add_template),
    **examples_terms.LISTS,
    **examples_tax.LISTS,
    "/api/v1/pack-weights": ("BUYER", part(one_more_weight)),
    "/api/v1/commodities/<uuid:pk>/pack-weights": ("BUYER", part(one_more_weight)),
    **examples_units.LISTS,
}
WHOLES = {"/api/v1/commodities/<uuid:pk>/": whole}
