"""Pairs that passed the filters, scored, in order, and without duplicates."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from apps.commodities.exact import rounded
from apps.matching.engine import VERSION
from apps.matching.engine.body import WHOLE, RuleBody
from apps.matching.engine.scoring import (
    MICRO,
    TERMS,
    Pair,
    Value,
    Wish,
    label_of,
    score_all,
    score_pair,
    wish_of,
)
from apps.matching.services.pairs import Row
from apps.matching.services.rule_reading import Rules

PRICE: Final = Decimal("1e-8")
QUALITY: Final = Decimal("1e-4")
FLOOR, THRESHOLD, DUPLICATE, COOLDOWN, CUT = (
    "quality_floor", "below_threshold", "duplicate", "cooldown", "cut",
)  # fmt: skip
MOST_KEPT: Final = 50


@lru_cache(maxsize=4_096)
def _bands(text: str) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(text))


def _wishes(bands: Sequence[Mapping[str, Any]], rules: RuleBody) -> tuple[Wish, ...]:
    """What is wanted, with the weights of the rules."""
    wishes = []
    for band in bands:
        rule = rules.rule_of(band["code"])
        own = band["tolerance"] if rule.tolerance is None else int(rule.tolerance * WHOLE)
        wishes.append(
            wish_of(
                band["code"], direction=band["direction"], minimum=band["min"], maximum=band["max"],
                preferred=band["best"], tolerance=own, weight=rule.weight, missing=rule.missing,
                is_code=band["is_code"],
            )
        )  # fmt: skip
    return tuple(wishes)


def _value(band: Mapping[str, Any], quality: Mapping[str, Any]) -> Value | None:
    found = quality.get(band["key"])
    if found is None:
        return None
    if band["is_code"]:
        accepted = not band["codes"] or set(found.get("c", ())) <= set(band["codes"])
        return Value(verified=found["v"], accepted=accepted)
    return Value(found["lo"], found["hi"], found["v"]) if "lo" in found else None


class Candidate:
    """A pair that passed the filters, with its score."""

    def __init__(self, row: Row, rules: Rules, wishes: tuple[Wish, ...], pair: Pair) -> None:
        self.row: Any = row
        self.rules, self.wishes, self.pair = rules, wishes, pair
        self.micros = self.quality_micros = 0

    @property
    def key(self) -> tuple[UUID, UUID]:
        """The pair's ids."""
        return self.row.requirement_id, self.row.availability_id

    @property
    def landed(self) -> int | None:
        """What the goods cost at the destination, in 10⁻⁸ INR per kg; None without a price."""
        return self.pair.landed

    @property
    def score(self) -> Decimal:
        """The stored score."""
        return Decimal(self.micros) / MICRO

    @property
    def label(self) -> str:
        """The score in a word."""
        return label_of(self.micros)

    def quantity(self, steps: int) -> Decimal:
        """A number of steps in the offer's unit."""
        return Decimal(steps) / int(self.row.scale)

    def kilograms(self, steps: int) -> Decimal:
        """The weight of a number of steps by its share of the offer, three decimals, half up."""
        share = (
            Fraction(self.row.total_weight_kg) * steps / (Fraction(self.row.total_quantity) * self.row.scale)
        )
        return rounded(share, 3)

    @cached_property
    def bands(self) -> tuple[dict[str, Any], ...]:
        """The bands of the requirement, of the parameters that count."""
        return _bands(self.row.bands)

    @cached_property
    def bucket(self) -> str:
        """What duplicates share: seller, goods, identity of the lots, and each wanted result within its tolerance."""
        row = self.row
        marks: list[Any] = [str(row.seller_partner_id), str(row.commodity_id), str(row.variety_id), row.lots]
        quality = json.loads(row.quality)
        for band, wish, value in zip(self.bands, self.wishes, self.pair.values, strict=True):
            if value is None:
                marks.append(None)
            elif wish.is_code:
                marks.append(quality[band["key"]].get("c"))
            else:
                step = wish.tolerance or 1
                marks.append([value.low // step, value.high // step])
        return sha256(json.dumps(marks).encode()).hexdigest()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every integer, code and version that the score came from."""
        row, pair = self.row, self.pair
        facts = {
            "pair": [str(each) for each in self.key],
            "terms": [row.want_terms_version, row.offer_terms_version],
            "rules": [self.rules.key, self.rules.version],
            "engine": VERSION,
            "wishes": [
                [w.code, w.weight, w.missing, w.tolerance, w.up, w.down, w.is_code] for w in self.wishes
            ],
            "values": [v and [v.low, v.high, v.verified, v.accepted] for v in pair.values],
            "price": [
                row.quoted,
                row.equalised,
                row.freight,
                row.tax,
                pair.landed,
                pair.target,
                pair.ceiling,
            ],
            "quantity": [
                pair.take,
                pair.need,
                pair.preferred,
                None if row.allow_partial else row.demand,
                row.scale,
            ],
            "delivery": [
                pair.delivered,
                pair.distance,
                pair.reach,
                pair.shared_days,
                pair.days,
                list(pair.terms),
            ],
            "flags": sorted(row.flags),
            "risk": "WARN" if pair.warn else "PASS",
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def is_like(self, other: "Candidate") -> bool:
        """Whether both are one parcel listed twice."""
        return self.bucket == other.bucket and self.is_close(
            other.row.offer_created_at, other.landed, other.pair.take
        )

    def is_close(self, created_at: datetime, landed: int | None, take: int) -> bool:
        """Whether a listing of that time, cost and quantity is close enough to be the same parcel."""
        body = self.rules.body
        return (
            abs(self.row.offer_created_at - created_at) <= timedelta(minutes=body.duplicate_minutes)
            and _alike(self.landed, landed, body.similarity)
            and _alike(self.pair.take, take, body.similarity)
        )

    @cached_property
    def breakdown(self) -> dict[str, Any]:
        """Each part of the score with what was wanted and got, for people; exact figures as text."""
        parts = score_pair(self.pair, self.wishes, self.rules.body)
        body, pair, row = self.rules.body, self.pair, self.row
        weights, inner = body.weights, body.delivery_weights

        def six(value: Fraction) -> str:
            return f"{rounded(value, 6):f}"

        parameters = []
        for band, wish, value, part in zip(
            self.bands, self.wishes, pair.values, parts.parameters, strict=True
        ):
            parameters.append(
                {
                    "code": band["code"],
                    "name": band["name"],
                    "unit": band["unit"],
                    "direction": band["direction"],
                    "wanted": {
                        "min": _text(band["min"]), "max": _text(band["max"]), "preferred": _text(band["best"]),
                        "codes": band["codes"], "required": band["required"],
                    },
                    "got": _got(band, value, row),
                    "weight": wish.weight,
                    "score": six(part),
                    "flags": _flags(wish, value),
                }
            )  # fmt: skip
        terms = dict(zip(TERMS, pair.terms, strict=True))
        return {
            "quality": {"score": six(parts.quality), "weight": weights.quality},
            "price": {
                "score": six(parts.price), "weight": weights.price, "target": _rupees(pair.target),
                "ceiling": _rupees(pair.ceiling),
            },
            "delivery": {"score": six(parts.delivery), "weight": weights.delivery},
            "quantity": {
                "score": six(parts.quantity), "weight": weights.quantity,
                "take": f"{self.quantity(pair.take):f}", "need": f"{self.quantity(pair.need):f}",
                "preferred": f"{self.quantity(pair.preferred):f}",
            },
            "place": {"score": six(parts.place), "weight": inner.place, "reach_m": pair.reach},
            "window": {
                "score": six(parts.window), "weight": inner.window, "shared_days": max(pair.shared_days, 0),
                "days": pair.days,
            },
            "terms": {
                "score": six(parts.terms), "weight": inner.terms,
                **{name: _TERM_WORDS[each] for name, each in terms.items()},
            },
            "parameters": parameters,
            "flags": sorted({*row.flags, *(["warned"] if pair.warn else []),
                             *(["unpriced"] if pair.landed is None else [])}),
        }  # fmt: skip


_TERM_WORDS: Final = {0: "no_wish", 1: "as_wished", 2: "silent", 3: "different"}


def _text(points: int | None) -> str | None:
    return None if points is None else f"{(points * QUALITY).normalize():f}"


def _rupees(units: int | None) -> str | None:
    return None if units is None else f"{units * PRICE:f}"


def _got(band: Mapping[str, Any], value: Value | None, row: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if band["is_code"]:
        return {"codes": json.loads(row.quality)[band["key"]].get("c", []), "verified": value.verified}
    return {"low": _text(value.low), "high": _text(value.high), "verified": value.verified}


def _flags(wish: Wish, value: Value | None) -> list[str]:
    if value is None:
        return ["missing"]
    return [] if value.verified else ["unverified"]


def _alike(one: int | None, other: int | None, similarity: int) -> bool:
    if one is None or other is None:
        return one is other
    return min(one, other) * WHOLE >= similarity * max(one, other)


def scored(rows: Iterable[Row], rules: Mapping[UUID, Rules]) -> list[Candidate]:
    """Score pairs that passed the filters, those of one commodity at once; best first."""
    by_goods: dict[UUID, list[Candidate]] = {}
    wishes: dict[tuple[str, UUID], tuple[Wish, ...]] = {}
    for row in rows:
        each: Any = row
        own = rules[each.commodity_id]
        known = wishes.get((each.bands, each.commodity_id))
        if known is None:
            known = wishes[each.bands, each.commodity_id] = _wishes(_bands(each.bands), own.body)
        by_goods.setdefault(each.commodity_id, []).append(Candidate(row, own, known, _pair(each, own.body)))
    for key, group in by_goods.items():
        lists = {id(candidate.wishes): candidate.wishes for candidate in group}
        shared = list(lists.values()) if len(lists) == 1 else [candidate.wishes for candidate in group]
        scores = score_all([candidate.pair for candidate in group], shared, rules[key].body)
        for candidate, micros, quality in zip(
            group, scores.micros.tolist(), scores.quality.tolist(), strict=True
        ):
            candidate.micros, candidate.quality_micros = micros, quality
    return [candidate for group in by_goods.values() for candidate in group]


def _pair(row: Any, rules: RuleBody) -> Pair:
    quality = json.loads(row.quality)
    return Pair(
        values=tuple(_value(band, quality) for band in _bands(row.bands)),
        landed=row.landed if row.quoted is not None else None,
        target=row.target,
        ceiling=row.ceiling,
        take=row.take,
        need=row.need,
        preferred=row.pref,
        delivered=row.delivered,
        distance=row.distance_m,
        reach=row.reach or rules.place_scale_km * 1000,
        shared_days=max(row.shared_days, 0),
        days=row.days,
        terms=(row.delivery_term, row.payment_term, row.weighment_term, row.passing_term),
        warn=not row.passes,
    )


def in_order(candidates: Iterable[Candidate], *, by_offer: bool) -> list[Candidate]:
    """Best first: score, price, how long the other listing has been live, its id. A total order."""

    def key(candidate: Candidate) -> tuple[Any, ...]:
        row, landed = candidate.row, candidate.landed
        since, other = (
            (row.live_since, row.requirement_id) if by_offer else (row.listed_at, row.availability_id)
        )
        return -candidate.micros, landed is None, landed or 0, since is None, since, other

    return sorted(candidates, key=key)


@dataclass(frozen=True)
class Choice:
    """Scored pairs: those kept in their order, those that pass the rules, and why others were dropped."""

    kept: list[Candidate]
    passing: dict[tuple[UUID, UUID], Candidate]
    dropped: dict[str, int]


def choose(
    candidates: Sequence[Candidate],
    *,
    by_offer: bool,
    min_score: Decimal | None = None,
    refused: Callable[[Sequence[Candidate]], Mapping[tuple[UUID, UUID], str]] = lambda candidates: {},
) -> Choice:
    """Drop pairs below floor and threshold, duplicates, those that may not come back yet, and those beyond 50.

    ``refused`` takes the candidates left and returns keys of those to drop because of stored matches, with the reason.
    """
    dropped: Counter[str] = Counter()
    passing: dict[tuple[UUID, UUID], Candidate] = {}
    good = []
    for candidate in in_order(candidates, by_offer=by_offer):
        body = candidate.rules.body
        if candidate.quality_micros < body.min_quality * (MICRO // WHOLE):
            dropped[FLOOR] += 1
            continue
        if candidate.micros < body.min_score * MICRO:
            dropped[THRESHOLD] += 1
            continue
        passing[candidate.key] = candidate
        if min_score is not None and candidate.micros < min_score * MICRO:
            dropped[THRESHOLD] += 1
        else:
            good.append(candidate)
    single = list(_without_duplicates(good))
    dropped[DUPLICATE] = len(good) - len(single)
    left: list[Candidate] = []
    asked = 0
    while asked < len(single) and len(left) < MOST_KEPT:  # stored matches are read for no more than needed
        some = single[asked : asked + 2 * MOST_KEPT]
        away = refused(some)
        dropped.update(away.values())
        left += [candidate for candidate in some if candidate.key not in away]
        asked += len(some)
    dropped[CUT] = max(len(left) - MOST_KEPT, 0) + len(single) - asked
    return Choice(left[:MOST_KEPT], passing, {name: number for name, number in dropped.items() if number})


def _without_duplicates(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """The best of each parcel that was listed more than once for a requirement."""
    listed = Counter((each.row.requirement_id, each.row.seller_partner_id) for each in candidates)
    chosen: dict[tuple[UUID, str], list[Candidate]] = {}
    for candidate in candidates:
        if listed[candidate.row.requirement_id, candidate.row.seller_partner_id] > 1:
            same = chosen.setdefault((candidate.row.requirement_id, candidate.bucket), [])
            if any(candidate.is_like(other) for other in same):
                continue
            same.append(candidate)
        yield candidate
