"""What the AI sources of the market return, and the price that follows from observed ones.

The module that owns the rows registers the sources; whoever asks reads these shapes, without importing that module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Annotated, Final
from uuid import UUID

from apps.commodities.exact import rounded
from erp.ai.registry import SEND, Answer, Reason, Shape

OPEN_OFFERS: Final = "market.open_offers"
EXECUTED_SALES: Final = "market.executed_sales"
PRICE_TASK: Final = "price.suggest"

SALE_WEIGHT, OFFER_WEIGHT = Decimal(1), Decimal("0.5")
MOST_KG: Final = Decimal(50_000)  # a large parcel counts no more than this
HALF_LIFE_DAYS: Final = 10
FEWEST_OBSERVATIONS, FEWEST_PARTNERS, MANY = 5, 3, 20


@dataclass(frozen=True, kw_only=True)
class OpenOffer:
    """An offer that the asking partner may be matched with. ``quality`` holds governing values by parameter and method.

    ``price_per_kg`` is exact, in ``currency`` without tax; None where the offer has no price.
    """

    availability_id: UUID
    seller_partner_id: UUID
    commodity_id: UUID
    variety_id: UUID | None
    crop_year: str | None
    unit: str
    open_quantity: Decimal
    open_kg: Decimal
    min_order_quantity: Decimal | None
    allow_partial: bool
    quality: Mapping[tuple[str, str], Decimal]
    price_per_kg: Fraction | None
    currency: str
    price_group: str
    country: str
    state_code: str
    latitude: Decimal | None
    longitude: Decimal | None
    available_from_date: date
    available_until_date: date | None
    listed_date: date
    texts: Mapping[str, str] = field(default_factory=dict)  # codes of parameters that aren't numbers


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A price that was paid or is asked, already moved to the asked quality and exact per kg; age in business days."""

    id: UUID
    partner_id: UUID
    price_per_kg: Fraction
    kg: Decimal
    age_days: int
    is_sale: bool


class PriceQuestion(Shape):
    """Which goods a price is wanted for. ``kg`` is the weight that the price is for; prices are steps of ``tick``."""

    commodity_id: UUID
    category: Annotated[str, SEND]
    variety_id: UUID | None = None
    crop_year: Annotated[str | None, SEND] = None
    state_code: Annotated[str | None, SEND] = None
    currency: Annotated[str, SEND] = "INR"
    price_group: Annotated[str, SEND] = "EX"
    pricing_unit: Annotated[str, SEND]
    kg: str  # exact, as a fraction such as 17781/50
    tick: Decimal | None = None
    places: int = 2


class SuggestedPrice(Shape):
    """The middle of the observed prices, and the quarters below and above it."""

    price: Decimal
    low: Decimal
    high: Decimal


def suggest_price(question: PriceQuestion, observations: Sequence[Observation]) -> Answer[SuggestedPrice]:
    """Suggest a price from sales (weight 1) and open offers (½); less weight the older and smaller they are.

    No value with fewer than five observations or three partners. The result doesn't depend on the order of rows.
    """
    partners = {each.partner_id for each in observations}
    evidence = {"observations": str(len(observations)), "partners": str(len(partners))}
    if len(observations) < FEWEST_OBSERVATIONS or len(partners) < FEWEST_PARTNERS:
        return Answer[SuggestedPrice](value=None, reasons=(Reason(code="too_few"),), evidence=evidence)
    ordered = sorted(observations, key=lambda each: (each.price_per_kg, each.id))
    weights = [weight_of(each) for each in ordered]

    def quantile(share: Fraction) -> Decimal:
        needed, reached = share * Fraction(sum(weights)), Fraction(0)
        for each, weight in zip(ordered, weights, strict=True):
            reached += Fraction(weight)
            if reached >= needed:
                return ticked(each.price_per_kg * Fraction(question.kg), question.tick, question.places)
        raise AssertionError("unreachable")

    price, low, high = (quantile(Fraction(quarters, 4)) for quarters in (2, 1, 3))
    spread = max(Fraction(0), 1 - Fraction(high - low) / (Fraction(price) / 5)) if price else Fraction(0)
    confidence = min(Fraction(1), Fraction(len(observations), MANY)) * spread
    facts = {"sales": str(sum(each.is_sale for each in observations)), "low": str(low), "high": str(high)}
    return Answer[SuggestedPrice](
        value=SuggestedPrice(price=price, low=low, high=high),
        confidence=rounded(confidence, 3),
        reasons=(Reason(code="observed", facts=facts),),
        evidence=evidence,
    )


def weight_of(observation: Observation) -> Decimal:
    """How much an observation counts: kind × 2^(−age ÷ 10) × kilograms up to 50,000; six decimals, half up."""
    kind = SALE_WEIGHT if observation.is_sale else OFFER_WEIGHT
    with localcontext(prec=40):
        halves = Decimal(2) ** (Decimal(-observation.age_days) / HALF_LIFE_DAYS)
        weight = kind * halves * min(observation.kg, MOST_KG)
    return rounded(Fraction(weight), 6)


def ticked(price: Fraction, tick: Decimal | None, places: int) -> Decimal:
    """A price on its tick, half up; without a tick at so many decimals."""
    if tick is None:
        return rounded(price, places)
    return rounded(price / Fraction(tick), 0) * tick
