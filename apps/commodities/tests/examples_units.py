"""One successful request per endpoint of units, prices and conversions."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

from apps.commodities.models.units import PackWeight, Unit
from apps.commodities.reference.units import DIMENSIONS
from apps.commodities.services import packs, pricing, reference_units, units
from erp.access import SYSTEM
from erp.api.examples import Example

PER_KG = {"currency": "INR", "divisor": 1, "unit": "KG", "places": 2, "tick": "0.05"}


def unit(code="KG"):
    """A unit, added where it is missing."""
    found = Unit.objects.filter(code=code).first()
    return found or units.create_unit(
        actor=SYSTEM, code=code, dimension=DIMENSIONS[code], symbol=code.lower(), name=code
    )


def keeper(world, target):
    unit()
    return world.user("INTERNAL_MASTERDATA")


def pricing_unit(world=None, code="INR/KG", **fields):
    values = {**PER_KG, "tick": Decimal("0.05"), "unit": unit(), "code": code, **fields}
    return pricing.create_pricing_unit(actor=SYSTEM, **values)


def pack_weight(commodity, **fields):
    """A bale from India of 170 kg, a day later than the one before."""
    before = PackWeight.objects.order_by("valid_from").last()
    values = {
        "package_unit": unit("BALE"),
        "unit": unit(),
        "value": Decimal(170),
        "low": Decimal(155),
        "high": Decimal(175),
        "source": "Practice",
        "valid_from": date(2020, 1, 1) if before is None else before.valid_from + timedelta(days=1),
    }
    return packs.set_pack_weight(commodity, actor=SYSTEM, **{**values, **fields})


def goods(world):
    """A commodity, in a world where units are defined."""
    reference_units.load_units(actor=SYSTEM)
    return world.commodity()


EXAMPLES = {
    "create_pricing_unit": Example(keeper, {"code": "INR/KG", **PER_KG}),
    "update_pricing_unit": Example(keeper, {**PER_KG, "places": 3, "status": "ACTIVE"}, pricing_unit),
    "calculate_conversion": Example(
        lambda world, target: world.user("BUYER"),
        {
            "quantity": {"count": "600", "count_unit": "BALE", "weight": "102000", "weight_unit": "KG"},
            "to_unit": "LB",
            "rate": "50000",
            "pricing_unit": "INR/CANDY",
            "unit_versions": {"CANDY": 1},
            "origin_country": "IN",
            "on_date": "2026-01-12",
            "rounding": {"places": 2, "mode": "HALF_UP"},
        },
        goods,
    ),
}


def add_unit(world, viewer):
    units.create_unit(
        actor=SYSTEM, code=f"U{uuid4().hex[:8].upper()}", dimension="MASS", symbol="u", name="A unit"
    )


def add_pricing_unit(world, viewer):
    code = uuid4().hex[:8].upper()
    made = units.create_unit(actor=SYSTEM, code=f"U{code}", dimension="MASS", symbol="u", name="A unit")
    pricing_unit(code=f"INR/{code}", unit=made)


LISTS = {
    "/api/v1/units": ("BUYER", add_unit),
    "/api/v1/pricing-units": ("BUYER", add_pricing_unit),
}
