"""The score of a pair: one formula for exact numbers, and the same over columns of many pairs at once.

All inputs are integers: prices in 10⁻⁸ INR per kg, quality in 10⁻⁴ of its unit, distances in metres, quantities in the
offer's smallest step, shares in basis points. Differences are taken before the one division of a ramp, so binary and
exact results differ by less than 10⁻⁹; where that could change the sixth place, the exact one counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np

from apps.commodities.exact import rounded
from apps.matching.engine.body import WHOLE, RuleBody

MICRO: Final = 10**6  # of a stored score
DOUBT: Final = 1e-3  # of a micro: nearer to a half than this, the exact formula decides
TERMS: Final = ("delivery", "payment", "weighment", "passing")
NO_WISH, SAME, SILENT, OTHER = range(4)  # how the offer's terms stand to those wished
LABELS: Final = ((900_000, "EXCELLENT"), (750_000, "GOOD"), (600_000, "ACCEPTABLE"))
Number = Callable[[int], Any]  # Fraction, Decimal or float


@dataclass(frozen=True)
class Wish:
    """What is wanted of one parameter, already turned so that more is better: ``up`` of values, ``down`` of negated.

    Each of them is (limit, preferred), or None where that side doesn't count. ``codes``: the accepted ones.
    """

    code: str
    weight: int
    missing: str
    tolerance: int
    up: tuple[int, int] | None = None
    down: tuple[int, int] | None = None
    is_code: bool = False


class Value(NamedTuple):
    """What an offer has of a parameter: the lowest and highest result of its lots, or whether its code is accepted."""

    low: int = 0
    high: int = 0
    verified: bool = True
    accepted: bool = False


class Pair(NamedTuple):
    """The integers that a score is made of. ``values`` follow the wishes; None is missing."""

    values: Sequence[Value | None]
    landed: int | None
    target: int | None
    ceiling: int | None
    take: int
    need: int
    preferred: int
    delivered: bool
    distance: int | None
    reach: int
    shared_days: int
    days: int
    terms: tuple[int, int, int, int]
    warn: bool


@dataclass(frozen=True)
class Parts:
    """A score and what it is made of."""

    score: Any
    quality: Any
    parameters: tuple[Any, ...]
    price: Any
    place: Any
    window: Any
    terms: Any
    delivery: Any
    quantity: Any


def wish_of(
    code: str,
    *,
    direction: str,
    minimum: int | None,
    maximum: int | None,
    preferred: int | None,
    tolerance: int,
    weight: int = 100,
    missing: str = "ZERO",
    is_code: bool = False,
) -> Wish:
    """A wish with its curve: the good side of a parameter with a direction never lowers a score."""
    if is_code:
        return Wish(code, weight, missing, tolerance, is_code=True)

    def curve(limit: int | None, best: int | None) -> tuple[int, int] | None:
        if limit is None and best is None:
            return None
        lower = best - tolerance if limit is None else limit  # type: ignore[operator]
        return lower, lower if best is None else best

    def negated(value: int | None) -> int | None:
        return None if value is None else -value

    up = None if direction == "LOWER" else curve(minimum, preferred)
    down = None if direction == "HIGHER" else curve(negated(maximum), negated(preferred))
    return Wish(code, weight, missing, tolerance, up, down)


# One pair, exactly


def ramp(x: int, a: int, b: int, number: Number) -> Any:
    """0 up to a, 1 from b, and straight between them."""
    if x >= b:
        return number(1)
    return number(0) if x <= a else number(x - a) / number(b - a)


def _up(value: int, curve: tuple[int, int] | None, tolerance: int, at_limit: Any, number: Number) -> Any:
    if curve is None:
        return number(1)
    limit, best = curve
    below = ramp(value, limit - tolerance, limit, number)
    return at_limit * below + (number(1) - at_limit) * ramp(value, limit, best, number)


def score_pair(pair: Pair, wishes: Sequence[Wish], rules: RuleBody, number: Number = Fraction) -> Parts:
    """Score one pair in exact numbers (``Fraction`` or ``Decimal``), or in any other."""
    whole, one = number(WHOLE), number(1)

    def share(points: int) -> Any:
        return number(points) / whole

    at_limit, unverified, neutral = (
        share(rules.at_limit),
        share(rules.unverified_factor),
        share(rules.neutral),
    )
    parts, total, weights = [], number(0), 0
    for wish, value in zip(wishes, pair.values, strict=True):
        if value is None:
            part = neutral if wish.missing == "NEUTRAL" else number(0)
        else:
            if wish.is_code:
                part = number(int(value.accepted))
            else:
                part = min(
                    _up(value.low, wish.up, wish.tolerance, at_limit, number),
                    _up(-value.high, wish.down, wish.tolerance, at_limit, number),
                )
            part = part if value.verified else part * unverified
        parts.append(part)
        total += number(wish.weight) * part
        weights += wish.weight
    quality = total / number(weights) if weights else one

    at_ceiling = share(rules.at_ceiling)
    if pair.landed is None or (pair.target is None and pair.ceiling is None):
        price = neutral
    elif pair.ceiling is not None and pair.target is not None:
        gain = ramp(pair.ceiling - pair.landed, 0, pair.ceiling - pair.target, number)
        price = at_ceiling + (one - at_ceiling) * gain
    else:
        assert pair.target is not None, "a ceiling alone has a target"
        most = pair.target * (WHOLE + rules.band) // WHOLE
        price = ramp(most - pair.landed, 0, most - pair.target, number)

    at_need = share(rules.at_need)
    quantity = at_need + (one - at_need) * ramp(pair.take, pair.need, pair.preferred, number)
    if pair.delivered:
        place = one
    elif pair.distance is None:
        place = share(WHOLE // 2)
    else:
        place = ramp(pair.reach - pair.distance, 0, pair.reach, number)
    window = number(min(pair.shared_days, pair.days)) / number(pair.days)
    worth = {NO_WISH: one, SAME: one, SILENT: share(rules.silent), OTHER: share(rules.different)}
    terms = sum((worth[each] for each in pair.terms), number(0)) / number(len(pair.terms))
    inner, outer = rules.delivery_weights, rules.weights
    delivery = (
        number(inner.place) * place + number(inner.window) * window + number(inner.terms) * terms
    ) / whole
    score = (
        number(outer.quality) * quality
        + number(outer.price) * price
        + number(outer.delivery) * delivery
        + number(outer.quantity) * quantity
    ) / whole
    if pair.warn:
        score *= share(rules.warn_factor)
    return Parts(score, quality, tuple(parts), price, place, window, terms, delivery, quantity)


def stored(value: Fraction) -> int:
    """A score in millionths, rounded half up."""
    return int(rounded(value, 6) * MICRO)


def label_of(micros: int) -> str:
    """The label of a stored score."""
    return next((label for least, label in LABELS if micros >= least), "BELOW")


# Many pairs at once


@dataclass
class Columns:
    """Pairs as columns of 64-bit integers and booleans. Of quality one row per wish and one column per pair.

    Wishes are the same for all pairs (one column) or each pair's own, padded with weight 0.
    """

    low: Any
    high: Any
    present: Any
    verified: Any
    accepted: Any
    weight: Any
    neutral: Any
    tolerance: Any
    is_code: Any
    has_up: Any
    up_limit: Any
    up_best: Any
    has_down: Any
    down_limit: Any
    down_best: Any
    landed: Any
    priced: Any
    target: Any
    has_target: Any
    ceiling: Any
    has_ceiling: Any
    take: Any
    need: Any
    preferred: Any
    delivered: Any
    distance: Any
    known: Any
    reach: Any
    shared_days: Any
    days: Any
    terms: Any
    warn: Any


@dataclass(frozen=True)
class Scores:
    """Scores in millionths, and those of quality; ``exact`` counts the pairs that the exact formula decided."""

    micros: Any
    quality: Any
    raw: Any
    exact: int


def columns_of(pairs: Sequence[Pair], wishes: Sequence[Sequence[Wish]]) -> Columns:
    """Pairs as columns. ``wishes``: one list for all pairs, or one for each."""
    count, shared = len(pairs), len(wishes) == 1
    depth = max((len(each) for each in wishes), default=0)
    none = Value()
    empty = Wish("", 0, "ZERO", 0)

    def of_wish(take: Callable[[Wish], Any], kind: Any) -> Any:
        rows = [
            [take(each[row]) if row < len(each) else take(empty) for each in wishes] for row in range(depth)
        ]
        return np.array(rows, dtype=kind).reshape(depth, 1 if shared else count)

    def of_pair(take: Callable[[Pair], Any], kind: Any = np.int64) -> Any:
        return np.fromiter(map(take, pairs), dtype=kind, count=count)

    def known(column: str) -> tuple[Any, Any]:
        place = Pair._fields.index(column)
        values = [pair[place] for pair in pairs]
        there = np.fromiter((value is not None for value in values), dtype=bool, count=count)
        return np.fromiter((value or 0 for value in values), dtype=np.int64, count=count), there

    filled: list[Any] = [
        pair.values if None not in pair.values else [each or none for each in pair.values] for pair in pairs
    ]
    if not shared:
        filled = [[*each, *[none] * (depth - len(each))] for each in filled]
    numbers = np.fromiter(chain.from_iterable(chain.from_iterable(filled)), dtype=np.int64)
    values = np.ascontiguousarray(numbers.reshape(count, depth, len(Value._fields)).transpose(2, 1, 0))
    missing = np.zeros((depth, count), dtype=bool)
    for place, pair in enumerate(pairs):
        if None in pair.values or len(pair.values) < depth:
            missing[:, place] = [row >= len(pair.values) or pair.values[row] is None for row in range(depth)]
    words = np.fromiter(chain.from_iterable(pair.terms for pair in pairs), np.int8)
    landed, priced = known("landed")
    target, has_target = known("target")
    ceiling, has_ceiling = known("ceiling")
    distance, measured = known("distance")
    return Columns(
        low=values[0],
        high=values[1],
        present=~missing,
        verified=values[2] != 0,
        accepted=values[3] != 0,
        weight=of_wish(lambda wish: wish.weight, np.int64),
        neutral=of_wish(lambda wish: wish.missing == "NEUTRAL", bool),
        tolerance=of_wish(lambda wish: wish.tolerance, np.int64),
        is_code=of_wish(lambda wish: wish.is_code, bool),
        has_up=of_wish(lambda wish: wish.up is not None, bool),
        up_limit=of_wish(lambda wish: (wish.up or (0, 0))[0], np.int64),
        up_best=of_wish(lambda wish: (wish.up or (0, 0))[1], np.int64),
        has_down=of_wish(lambda wish: wish.down is not None, bool),
        down_limit=of_wish(lambda wish: (wish.down or (0, 0))[0], np.int64),
        down_best=of_wish(lambda wish: (wish.down or (0, 0))[1], np.int64),
        landed=landed,
        priced=priced,
        target=target,
        has_target=has_target,
        ceiling=ceiling,
        has_ceiling=has_ceiling,
        take=of_pair(attrgetter("take")),
        need=of_pair(attrgetter("need")),
        preferred=of_pair(attrgetter("preferred")),
        delivered=of_pair(attrgetter("delivered"), bool),
        distance=distance,
        known=measured,
        reach=of_pair(attrgetter("reach")),
        shared_days=of_pair(attrgetter("shared_days")),
        days=of_pair(attrgetter("days")),
        terms=np.ascontiguousarray(words.reshape(count, len(TERMS)).T),
        warn=of_pair(attrgetter("warn"), bool),
    )


def _ramps(x: Any, a: Any, b: Any) -> Any:
    """``ramp`` over columns."""
    span = b - a
    steep = span <= 0
    any_steep = steep.any()
    risen = (x - a) / (np.where(steep, 1, span) if any_steep else span)
    np.minimum(np.maximum(risen, 0.0, out=risen), 1.0, out=risen)
    return np.where(steep, x >= b, risen) if any_steep else risen


def _ups(value: Any, limit: Any, best: Any, tolerance: Any, at_limit: float) -> Any:
    below = _ramps(value, limit - tolerance, limit)
    return at_limit * below + (1.0 - at_limit) * _ramps(value, limit, best)


def _side(value: Any, has: Any, limit: Any, best: Any, tolerance: Any, at_limit: float) -> Any:
    """``_ups`` of the wishes that have this side; 1 for the others."""
    curve = np.ones(value.shape)
    rows = np.flatnonzero(has.any(axis=1))
    part = _ups(value[rows], limit[rows], best[rows], tolerance[rows], at_limit)
    curve[rows] = np.where(has[rows], part, 1.0)
    return curve


def score_columns(columns: Columns, rules: RuleBody) -> tuple[Any, Any]:
    """Scores and quality of many pairs in binary floating point, unrounded."""
    c, neutral = columns, rules.neutral / WHOLE
    count = len(c.landed)
    at_limit = rules.at_limit / WHOLE
    if len(c.low):
        up = _side(c.low, c.has_up, c.up_limit, c.up_best, c.tolerance, at_limit)
        down = _side(-c.high, c.has_down, c.down_limit, c.down_best, c.tolerance, at_limit)
        curve = np.where(c.is_code, c.accepted, np.minimum(up, down))
        part = np.where(c.verified, curve, curve * (rules.unverified_factor / WHOLE))
        part = np.where(c.present, part, np.where(c.neutral, neutral, 0.0))
        weights = np.broadcast_to(c.weight.sum(axis=0), (count,))
        quality = np.where(weights > 0, (c.weight * part).sum(axis=0) / np.maximum(weights, 1), 1.0)
    else:
        quality = np.ones(count)

    at_ceiling = rules.at_ceiling / WHOLE
    price = at_ceiling + (1.0 - at_ceiling) * _ramps(c.ceiling - c.landed, 0, c.ceiling - c.target)
    if not c.has_ceiling.all():
        most = _within_band(c.target, rules.band)
        price = np.where(c.has_ceiling, price, _ramps(most - c.landed, 0, most - c.target))
    price = np.where(c.priced & (c.has_target | c.has_ceiling), price, neutral)

    at_need = rules.at_need / WHOLE
    quantity = at_need + (1.0 - at_need) * _ramps(c.take, c.need, c.preferred)
    place = np.where(c.known, _ramps(c.reach - c.distance, 0, c.reach), 0.5)
    place = np.where(c.delivered, 1.0, place)
    window = np.minimum(c.shared_days, c.days) / c.days
    worth = np.array([1.0, 1.0, rules.silent / WHOLE, rules.different / WHOLE])
    terms = worth[c.terms].sum(axis=0) / len(TERMS)
    inner, outer = rules.delivery_weights, rules.weights
    delivery = (inner.place * place + inner.window * window + inner.terms * terms) / WHOLE
    score = (
        outer.quality * quality + outer.price * price + outer.delivery * delivery + outer.quantity * quantity
    ) / WHOLE
    return np.where(c.warn, score * (rules.warn_factor / WHOLE), score), quality


def _within_band(target: Any, band: int) -> Any:
    """floor(target × (10,000 + band) ÷ 10,000) without leaving 64 bits."""
    whole, rest = np.divmod(target, WHOLE)
    return whole * (WHOLE + band) + rest * (WHOLE + band) // WHOLE


def score_all(
    pairs: Sequence[Pair], wishes: Sequence[Sequence[Wish]], rules: RuleBody, columns: Columns | None = None
) -> Scores:
    """Score many pairs as they are stored: in binary, and exactly where that could be rounded differently."""
    if not pairs:
        return Scores(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), 0)
    score, quality = score_columns(columns or columns_of(pairs, wishes), rules)
    micros, doubtful = _rounded(score)
    quality_micros, quality_doubtful = _rounded(quality)
    again = np.flatnonzero(doubtful | quality_doubtful).tolist()
    for place in again:
        own = wishes[0 if len(wishes) == 1 else place]
        exact = score_pair(pairs[place], own, rules)
        micros[place], quality_micros[place] = stored(exact.score), stored(exact.quality)
    return Scores(micros, quality_micros, score, len(again))


def _rounded(values: Any) -> tuple[Any, Any]:
    scaled = values * MICRO
    floor = np.floor(scaled)
    rest = scaled - floor
    return (floor + (rest >= 0.5)).astype(np.int64), np.abs(rest - 0.5) < DOUBT
