"""Cotton that can be wanted: with parameters, a candy, and the content of journey A10."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import Unit, UnitDefinition
from apps.commodities.services import parameters
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes

SHAPES: dict[str, dict[str, Any]] = {
    "staple_length": {"unit": "mm", "precision": 1, "direction": "HIGHER", "methods": ["UHML", "SPAN"],
                      "possible_min": Decimal(18), "possible_max": Decimal(42)},
    "micronaire": {"unit": "index", "precision": 2, "direction": "TARGET", "methods": ["HVI"],
                   "possible_min": Decimal(2), "possible_max": Decimal(7), "target_low": Decimal("3.7"),
                   "target_high": Decimal("4.2")},
    "strength": {"unit": "g/tex", "precision": 1, "direction": "HIGHER", "methods": ["HVI"],
                 "possible_min": Decimal(15), "possible_max": Decimal(50)},
    "trash": {"unit": "%", "precision": 1, "direction": "LOWER", "methods": ["GRAVIMETRIC"],
              "possible_min": Decimal(0), "possible_max": Decimal(15)},
}  # fmt: skip


def candy() -> PricingUnit:
    """Rupees per candy of 355.62 kg."""
    with unguarded_writes():
        for code, kilograms in (("CANDY", (17781, 50)), ("KG", (1, 1))):
            unit, new = Unit.objects.get_or_create(
                code=code, defaults={"dimension": "MASS", "symbol": code.lower(), "name": code.title()}
            )
            if new:
                UnitDefinition(
                    unit=unit, unit_version=1, numerator=kilograms[0], denominator=kilograms[1],
                    source="Trade convention.", valid_from=date(2000, 1, 1), status="PUBLISHED",
                ).save()  # fmt: skip
        price, _ = PricingUnit.objects.get_or_create(
            code="INR/CANDY",
            defaults={
                "currency": "INR", "unit": Unit.objects.get(code="CANDY"), "places": 2, "tick": Decimal(50),
            },
        )  # fmt: skip
    return price


def cotton(commodity: Any, **fields: Any) -> Any:
    """A commodity with parameters of cotton."""
    goods = commodity(**fields)
    for code, shape in SHAPES.items():
        parameters.create_parameter(
            actor=SYSTEM, commodity=goods, code=code, name=code.title(), data_type="DECIMAL", **shape
        )
    choices = [{"code": code, "label": code, "rank": rank} for rank, code in enumerate(("31-3", "41-4"), 1)]
    parameters.create_parameter(
        actor=SYSTEM, commodity=goods, code="colour_grade", name="Colour", data_type="ENUM", methods=["CLASSER"],
        direction="NONE", choices=choices,
    )  # fmt: skip
    return goods


def band(parameter: str, minimum: Any = None, maximum: Any = None, **more: Any) -> dict[str, Any]:
    """A band as the service takes it, required."""
    ends = {"minimum": minimum, "maximum": maximum}
    figures = {name: Decimal(str(value)) for name, value in ends.items() if value is not None}
    return {"parameter": parameter, "required": True, **figures, **more}


def content(**fields: Any) -> Any:
    """What journey A10 says: 100 bales ± 5 %, at most 54,000 a candy, delivery within ten days."""
    today = clock.today()
    return {
        "max_quantity": Decimal(100),
        "kg_per_count": Decimal(170),
        "ceiling_price": Decimal(54_000),
        "pricing_unit": candy(),
        "delivery_from_date": today,
        "delivery_until_date": today + timedelta(days=10),
        "bands": [
            band("staple_length", 28.5, 30.0, preferred=Decimal("29.5")),
            band("micronaire", 3.7, 4.5, preferred=Decimal("4.1")),
            band("trash", maximum=4.5),
        ],
        "places": [
            {"latitude": Decimal("11.016800"), "longitude": Decimal("76.955800"), "state_code": "TN",
             "max_distance_km": 2000}
        ],
        **fields,
    }  # fmt: skip
