"""A price is suggested from what was paid and is asked, exactly, whatever the order of the rows."""

import random
from decimal import Decimal
from fractions import Fraction
from uuid import UUID, uuid4

import pytest

from apps.commodities import market
from apps.commodities.market import Observation, PriceQuestion, suggest_price

CANDY = "17781/50"  # 355.62 kg


def question(**fields):
    values = {"commodity_id": uuid4(), "category": "FIBRE", "pricing_unit": "INR/CANDY", "kg": CANDY}
    return PriceQuestion(**values | {"tick": Decimal(50)} | fields)


def seen(price, kg, age, *, sold, partner):
    return Observation(
        id=UUID(int=int(price)),
        partner_id=UUID(int=partner),
        price_per_kg=Fraction(price) / Fraction(CANDY),
        kg=Decimal(kg),
        age_days=age,
        is_sale=sold,
    )


VECTOR = [
    seen(53_400, 17_000, 0, sold=True, partner=1),
    seen(53_000, 34_000, 10, sold=True, partner=2),
    seen(52_600, 17_000, 20, sold=True, partner=3),
    seen(53_900, 17_000, 0, sold=False, partner=4),
    seen(54_200, 85_000, 0, sold=False, partner=5),
]


def test_the_vector_of_the_trade_has_its_price_quarters_and_confidence():
    assert [market.weight_of(each) for each in VECTOR] == [17_000, 17_000, 4_250, 8_500, 25_000]
    for seed in range(20):
        rows = random.Random(seed).sample(VECTOR, len(VECTOR))
        answer = suggest_price(question(), rows)
        assert answer.value == market.SuggestedPrice(
            price=Decimal(53_400), low=Decimal(53_000), high=Decimal(54_200)
        )
        assert answer.confidence == Decimal("0.222")
        assert answer.evidence == {"observations": "5", "partners": "5"}


def test_an_age_between_two_halvings_counts_exactly():
    week = seen(53_000, 1_000, 7, sold=True, partner=1)
    assert market.weight_of(week) == Decimal("615.572207")  # 1000 × 2^-0.7


@pytest.mark.parametrize(
    "rows",
    [VECTOR[:4], [seen(53_000 + n, 100, 0, sold=True, partner=n % 2) for n in range(9)], []],
)
def test_few_observations_or_two_partners_give_no_price(rows):
    answer = suggest_price(question(), rows)
    assert (answer.value, answer.confidence, answer.reasons[0].code) == (None, 0, "too_few")


def test_prices_are_on_the_tick_before_the_confidence_is_judged():
    rows = [seen(53_010 + n, 1_000, 0, sold=True, partner=n) for n in range(20)]
    answer = suggest_price(question(), rows)
    assert answer.value.price == answer.value.low == answer.value.high == 53_000
    assert answer.confidence == 1
    assert market.ticked(Fraction(75), Decimal(50), 2) == 100
    assert market.ticked(Fraction(1, 3), None, 2) == Decimal("0.33")
