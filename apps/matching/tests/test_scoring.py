"""The score: worked figures, the vectorised path against an exact one, and that better input never scores lower."""

from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.matching.engine.body import DEFAULT, NotWhole, RuleBody
from apps.matching.engine.scoring import (
    NO_WISH,
    SAME,
    SILENT,
    Pair,
    Value,
    columns_of,
    label_of,
    score_all,
    score_pair,
    stored,
    wish_of,
)

WISHES = (
    wish_of("staple_length", direction="HIGHER", minimum=285_000, maximum=None, preferred=295_000, tolerance=5_000),
    wish_of("micronaire", direction="TARGET", minimum=37_000, maximum=45_000, preferred=41_000, tolerance=1_000),
    wish_of("trash", direction="LOWER", minimum=None, maximum=45_000, preferred=30_000, tolerance=3_000),
)  # fmt: skip


def value(number, verified=True, high=None):
    return Value(number, number if high is None else high, verified)


WORKED = Pair(
    values=(value(292_000), value(39_000), value(32_000)),
    landed=15_044_148_248,
    ceiling=15_184_747_764,
    target=15_184_747_764 * 9_000 // 10_000,
    take=100,
    need=10,
    preferred=100,
    delivered=False,
    distance=1_300_000,
    reach=2_000_000,
    shared_days=10,
    days=10,
    terms=(SAME, SAME, SILENT, NO_WISH),
    warn=False,
)


def unverified(pair):
    return pair._replace(values=tuple(each._replace(verified=False) for each in pair.values))


@pytest.mark.parametrize(
    ("pair", "micros", "label"),
    [
        (WORKED, 715_042, "ACCEPTABLE"),
        (WORKED._replace(warn=True), 643_537, "ACCEPTABLE"),
        (unverified(WORKED), 680_019, "ACCEPTABLE"),
    ],
)
def test_the_worked_scores(pair, micros, label):
    exact = score_pair(pair, WISHES, DEFAULT)
    assert (stored(exact.score), label_of(micros)) == (micros, label)
    assert score_all([pair], [WISHES], DEFAULT).micros[0] == micros


def test_the_parts_of_the_worked_score():
    parts = score_pair(WORKED, WISHES, DEFAULT)
    assert parts.parameters == (Fraction(88, 100), Fraction(80, 100), Fraction(142, 150))
    assert (parts.delivery, parts.quantity, parts.window, parts.terms) == (
        Fraction(7025, 10_000), 1, 1, Fraction(7, 8),
    )  # fmt: skip
    assert f"{float(parts.price):.12f}".startswith("0.36481481463")


def test_rules_name_every_key_and_their_weights_are_whole():
    with pytest.raises(ValueError, match="add up"):
        RuleBody.model_validate(
            {"weights": {"quality": 4000, "price": 3000, "delivery": 1500, "quantity": 1499}}
        )
    with pytest.raises(ValueError, match="extra"):
        RuleBody.model_validate({"bonus": 1})
    assert RuleBody.model_validate(DEFAULT.stored()) == DEFAULT
    assert NotWhole("weights").name == "weights"


@pytest.mark.parametrize(
    ("change", "price"),
    [
        ({"landed": None}, Fraction(1, 2)),
        ({"ceiling": None, "target": None}, Fraction(1, 2)),
        ({"landed": None, "ceiling": None, "target": None}, Fraction(1, 2)),
        ({"ceiling": None, "target": 100, "landed": 100}, Fraction(1)),
        ({"ceiling": None, "target": 100, "landed": 110}, Fraction(1, 2)),
        ({"ceiling": 100, "target": 100, "landed": 100}, Fraction(1)),
    ],
)
def test_prices_that_are_missing_are_neutral(change, price):
    assert score_pair(WORKED._replace(**change), WISHES, DEFAULT).price == price


def test_a_missed_minimum_scores_below_the_limit_and_a_range_counts_its_worst_lot():
    limit = Fraction(DEFAULT.at_limit, 10_000)
    one_sided = [wish_of("x", direction="HIGHER", minimum=100, maximum=None, preferred=None, tolerance=10)]

    def part(number, wishes=one_sided, high=None):
        pair = WORKED._replace(values=(value(number, high=high),))
        return score_pair(pair, wishes, DEFAULT).parameters[0]

    assert part(99) < limit
    assert (part(90), part(100), part(10**6)) == (0, 1, 1)
    both = [wish_of("x", direction="TARGET", minimum=100, maximum=200, preferred=150, tolerance=10)]
    assert part(150, both, high=200) == part(200, both) == limit
    exact = [wish_of("x", direction="TARGET", minimum=100, maximum=100, preferred=100, tolerance=0)]
    assert (part(100, exact), part(101, exact)) == (1, 0)


# The vectorised path against an exact one


def random_wishes(random):
    """Wishes with equal bounds and without tolerance among them."""
    wishes = []
    for place in range(random.randrange(6)):
        low = random.randrange(20, 400) * 1_000
        best = random.choice([None, low, low + random.randrange(30) * 500])
        high = random.choice([None, max(low, best or 0) + random.randrange(30) * 500])
        wishes.append(
            wish_of(
                f"p{place}", direction=random.choice(["HIGHER", "LOWER", "TARGET", "NONE"]),
                minimum=random.choice([None, low]), maximum=high, preferred=best,
                tolerance=random.choice([0, 250, 5_000]), weight=random.choice([0, 50, 100, 333]),
                missing=random.choice(["ZERO", "NEUTRAL"]), is_code=random.random() < 0.1,
            )
        )  # fmt: skip
    return wishes


def random_value(random, wish):
    """A value, often exactly on a limit; or none."""
    if random.random() < 0.1:
        return None
    around = wish.up or (wish.down and tuple(-end for end in wish.down)) or (100_000, 100_000)
    low = random.choice(around) + random.choice(
        [0, 0, wish.tolerance, -wish.tolerance, random.randrange(-9_000, 9_000)]
    )
    high = low + random.choice([0, 0, 0, 777])
    return Value(low, high, random.random() < 0.7, random.random() < 0.5)


def random_pair(random, wishes):
    ceiling = random.choice([None, random.randrange(10**9, 3 * 10**10)])
    target = random.choice([ceiling, (ceiling or 10**10) * random.randrange(5_000, 10_001) // 10_000])
    most = ceiling or 2 * 10**10
    need, days = random.randrange(1, 200), random.randrange(1, 60)
    preferred = need + random.choice([0, random.randrange(300)])
    return Pair(
        values=tuple(random_value(random, wish) for wish in wishes),
        landed=random.choice([None, target or most, most, most * random.randrange(4_000, 10_001) // 10_000]),
        target=target, ceiling=ceiling, take=random.choice([need, preferred, need + random.randrange(400)]),
        need=need, preferred=preferred, delivered=random.random() < 0.2,
        distance=random.choice([None, 0, random.randrange(3_000_000)]), reach=random.randrange(1, 3_000) * 1_000,
        shared_days=random.randrange(0, 60), days=days,
        terms=(random.randrange(4), random.randrange(4), random.randrange(4), random.randrange(4)),
        warn=random.random() < 0.3,
    )  # fmt: skip


def test_a_hundred_thousand_pairs_are_stored_as_the_decimal_reference_says():
    """§8.4: less than 10⁻⁹ apart unrounded, and equal when stored."""
    random, began, number = Random(20261130), monotonic(), 0
    with localcontext(prec=34):
        for _ in range(100):
            wishes = random_wishes(random)
            pairs = [random_pair(random, wishes) for _ in range(1_000)]
            number += len(pairs)
            scores = score_all(pairs, [wishes], DEFAULT)
            for pair, raw, micros in zip(pairs, scores.raw.tolist(), scores.micros.tolist(), strict=True):
                exact = score_pair(pair, wishes, DEFAULT, Decimal).score
                assert abs(exact - Decimal(raw)) < Decimal("1e-9")
                if int((exact * 1_000_000).to_integral_value("ROUND_HALF_UP")) != micros:
                    # 34 digits may miss a half that a rational number hits.
                    assert stored(score_pair(pair, wishes, DEFAULT).score) == micros, (pair, wishes)
    assert number == 100_000
    assert monotonic() - began < 60


def test_other_batches_and_another_order_score_the_same():
    random = Random(7)
    wishes = random_wishes(random)
    pairs = [random_pair(random, wishes) for _ in range(500)]
    whole = score_all(pairs, [wishes], DEFAULT).micros.tolist()
    shuffled = list(range(500))
    random.shuffle(shuffled)
    again = score_all([pairs[place] for place in shuffled], [wishes], DEFAULT).micros.tolist()
    assert again == [whole[place] for place in shuffled]
    parts = [
        score_all(pairs[start : start + 7], [wishes], DEFAULT).micros.tolist() for start in range(0, 500, 7)
    ]
    assert [micros for part in parts for micros in part] == whole
    own = score_all(pairs, [wishes] * 500, DEFAULT).micros.tolist()
    assert own == whole, "wishes of each pair, or the same for all"


SEEDS = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["cheaper", "stronger", "cleaner", "nearer", "more"]), st.integers(1, 10**6))
def test_better_never_scores_lower(seed, way, step):
    """§8.2: cheaper, stronger, cleaner, nearer, more open stock."""
    random = Random(seed)
    direction = {"stronger": "HIGHER", "cleaner": "LOWER"}.get(way, "TARGET")
    wish = wish_of(
        "p", direction=direction, minimum=200_000, maximum=300_000,
        preferred=random.choice([None, 250_000]), tolerance=random.choice([0, 5_000]),
    )  # fmt: skip
    pair = random_pair(random, [wish])
    worse = pair._replace(values=(Value(*sorted((random.randrange(400_000), 250_000))),))
    landed, distance, level = worse.landed, worse.distance, worse.values[0]
    better = {
        "cheaper": worse._replace(landed=None if landed is None else max(landed - step, 0)),
        "stronger": worse._replace(values=(Value(level.low + step, level.high + step),)),
        "cleaner": worse._replace(values=(Value(level.low - step, level.high - step),)),
        "nearer": worse._replace(distance=None if distance is None else max(distance - step, 0)),
        "more": worse._replace(take=worse.take + step),
    }[way]
    before, after = score_all([worse, better], [[wish]], DEFAULT).micros
    assert after >= before


def test_quality_out_of_range_by_its_tolerance_is_below_the_floor():
    """§8.1, rulings M6."""
    out = tuple(value(number) for number in (280_000, 46_000, 48_000))
    parts = score_pair(WORKED._replace(values=out), WISHES, DEFAULT)
    assert stored(parts.quality) < DEFAULT.min_quality * 100
    assert parts.quality == 0


def test_nothing_to_score_and_nothing_wanted():
    assert len(score_all([], [WISHES], DEFAULT).micros) == 0
    assert score_pair(WORKED._replace(values=()), (), DEFAULT).quality == 1
    assert columns_of([WORKED._replace(values=())], [()]).low.shape == (0, 1)
