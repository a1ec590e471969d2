"""The rules of matching as data: shares in basis points (10,000 = 1), and limits."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

WHOLE: Final = 10_000
Bp = Annotated[int, Field(ge=0, le=WHOLE)]
FromHalf = Annotated[int, Field(ge=5_000, le=WHOLE)]
Exact = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str)]


class NotWhole(ValueError):
    """The weights don't add up to 10,000; ``name`` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} must add up to {WHOLE}")
        self.name = name


class Shape(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Weights(Shape):
    """What quality, price, delivery and quantity count."""

    quality: Bp = 4_000
    price: Bp = 3_000
    delivery: Bp = 1_500
    quantity: Bp = 1_500


class DeliveryWeights(Shape):
    """What place, window and terms count within delivery."""

    place: Bp = 4_000
    window: Bp = 3_000
    terms: Bp = 3_000


class ParameterRule(Shape):
    """What a quality parameter counts. Without a tolerance here the parameter's own is used."""

    weight: Annotated[int, Field(ge=0, le=1_000)] = 100
    missing: Literal["ZERO", "NEUTRAL", "REJECT"] = "ZERO"
    tolerance: Annotated[Exact, Field(ge=0, max_digits=18, decimal_places=4)] | None = None


class RuleBody(Shape):
    """Every figure by which pairs are filtered, scored and served."""

    weights: Weights = Weights()
    delivery_weights: DeliveryWeights = DeliveryWeights()
    min_score: Annotated[Exact, Field(ge=Decimal("0.30"), le=Decimal("0.95"), decimal_places=4)] = Decimal(
        "0.60"
    )
    min_quality: Bp = 4_000
    at_limit: Bp = 6_000
    unverified_factor: Bp = 9_000
    neutral: Bp = 5_000
    at_ceiling: Bp = 3_000
    default_target: FromHalf = 9_000
    band: Bp = 2_000
    at_need: Bp = 5_000
    min_part: Bp = 1_000
    warn_factor: FromHalf = 9_000
    silent: Bp = 5_000
    different: Bp = 3_000
    road: Annotated[int, Field(ge=10_000, le=30_000)] = 12_500
    similarity: Bp = 9_500
    max_share: Bp = 5_000
    place_scale_km: Annotated[int, Field(ge=1, le=20_000)] = 2_000
    tax_view: Literal["EXCLUDE", "INCLUDE"] = "EXCLUDE"
    freight_rate: Annotated[Exact, Field(ge=0, le=1_000, decimal_places=4)] = Decimal("3.0000")
    schedule_id: UUID | None = None
    schedule_version: Annotated[int, Field(ge=1)] | None = None
    duplicate_minutes: Annotated[int, Field(ge=0, le=1_440)] = 5
    cooldown_hours: Annotated[int, Field(ge=0, le=720)] = 24
    lives_hours: Annotated[int, Field(ge=1, le=720)] = 72
    parameters: dict[str, ParameterRule] = {}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("weights", "delivery_weights"):
            if sum(getattr(self, name).model_dump().values()) != WHOLE:
                raise NotWhole(name)
        return self

    def rule_of(self, parameter: str) -> ParameterRule:
        """The rule of a quality parameter."""
        return self.parameters.get(parameter, ParameterRule())

    def stored(self) -> dict[str, Any]:
        """The rules as a row stores them."""
        return self.model_dump(mode="json")


DEFAULT: Final = RuleBody()
# Presets of commodities by code; any other uses the default.
PRESETS: Final = {
    "GOLD": RuleBody(
        weights=Weights(quality=3_000, price=4_000, delivery=1_000, quantity=2_000), min_score=Decimal("0.70")
    ),
    "WHEAT": RuleBody(
        weights=Weights(quality=3_500, price=3_500, delivery=2_000, quantity=1_000), min_score=Decimal("0.50")
    ),
    "RICE": RuleBody(
        weights=Weights(quality=3_500, price=3_500, delivery=2_000, quantity=1_000), min_score=Decimal("0.50")
    ),
    "OIL": RuleBody(
        weights=Weights(quality=4_000, price=3_500, delivery=1_500, quantity=1_000), min_score=Decimal("0.60")
    ),
}
