"""Which bounds a buyer could relax, by how much, and what that would unlock; exact, and without a database (AI §7).

A bound is one side of a required band; the ceiling, the delivery window and the distance can be bounds too. A
relaxation moves at most two bounds, each by at most three steps, and ends at the value of an offer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from math import ceil
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

from apps.availability.models import band
from apps.commodities.exact import rounded
from apps.commodities.market import OPEN_OFFERS, OpenOffer
from apps.locations.earth import great_circle_km
from erp.ai.registry import SEND, Answer, Facts, Reason, Shape, Task

MOST_STEPS, MOST_OTHERS, FEW_SELLERS, MOST_OFFERS = 3, 4, 3, 5_000
STEPS: Final = {
    "staple_length": Decimal("0.5"), "micronaire": Decimal("0.15"), "strength": Decimal("1.5"), "rd": Decimal(1),
    "plus_b": Decimal("0.5"), "trash": Decimal("0.3"), "moisture": Decimal("0.5"),
}  # fmt: skip
OTHER_SHARE: Final = Fraction(2, 100)
PRICE_STEP, DAY_STEP, KM_STEP = Fraction(1, 100), Fraction(1), Fraction(50)
CEILING, UNTIL, FROM, DISTANCE = "ceiling", "delivery_until", "delivery_from", "distance"
WHOLE: Final = frozenset({CEILING})  # bounds that move by whole steps only


class Bound(Shape):
    """One side of what is wanted. ``upper``: results up to the limit pass; else from the limit.

    ``hard``: the limit beyond which no result is possible. ``step`` is a fraction such as 3/20.
    """

    name: Annotated[str, SEND]
    upper: Annotated[bool, SEND]
    limit: Annotated[str, SEND]
    step: Annotated[str, SEND]
    hard: Annotated[str | None, SEND] = None

    @property
    def key(self) -> str:
        """The name of the bound among all of a requirement."""
        return f"{self.name}:{'max' if self.upper else 'min'}"

    def misses_by(self, value: Fraction) -> Fraction:
        """How far a value is beyond the bound; 0 where it passes."""
        distance = value - Fraction(self.limit) if self.upper else Fraction(self.limit) - value
        return max(distance, Fraction(0))

    def moved(self, shift: Fraction) -> Fraction:
        """The limit after a shift outwards."""
        return Fraction(self.limit) + (shift if self.upper else -shift)

    def allows(self, shift: Fraction) -> bool:
        """Whether a shift stays within three steps and the hard limit."""
        if shift > MOST_STEPS * Fraction(self.step):
            return False
        if self.hard is None:
            return True
        return (
            self.moved(shift) <= Fraction(self.hard)
            if self.upper
            else self.moved(shift) >= Fraction(self.hard)
        )


class Spot(Shape):
    """A place where the goods are wanted, and how far away they may be."""

    latitude: Decimal
    longitude: Decimal
    max_distance_km: int


class RelaxQuestion(Shape):
    """What is wanted. Only the names and limits of bounds leave, and how much is wanted; never the ceiling.

    ``limits`` are the bounds that aren't in scope, ``methods`` the test method of each parameter, ``codes`` the
    accepted codes of those that aren't numbers. ``price_kg``: kilograms that a price is for, as a fraction;
    None without a ceiling.
    """

    requirement_id: UUID
    commodity_id: UUID
    substitute_ids: tuple[UUID, ...] = ()
    variety_ids: tuple[UUID, ...] = ()
    crop_years: tuple[str, ...] = ()
    origin_country: str | None = None
    origin_state_codes: tuple[str, ...] = ()
    unit: Annotated[str, SEND]
    kg_per_unit: Decimal = Decimal(1)
    wanted: Annotated[Decimal, SEND]
    least: Decimal = Decimal(0)  # that one offer must have
    bounds: Annotated[tuple[Bound, ...], SEND]
    secret_bounds: tuple[Bound, ...] = ()  # the ceiling
    limits: tuple[Bound, ...] = ()
    methods: Mapping[str, str] = {}
    codes: Mapping[str, tuple[str, ...]] = {}
    currency: str = "INR"
    price_kg: str | None = None
    spots: tuple[Spot, ...] = ()
    keep: Annotated[tuple[str, ...], SEND] = ()


class Move(Shape):
    """One bound and its new limit."""

    bound: str
    old: str
    new: str


class Option(Shape):
    """A relaxation: its moves, what it costs in steps, and what it unlocks."""

    moves: tuple[Move, ...]
    cost: str
    unlocked: str
    offers: int


class Relaxations(Shape):
    """Options, best first, and what is open before."""

    options: tuple[Option, ...]
    open_before: str
    missing: str
    is_banded: bool = False


@dataclass(frozen=True)
class Candidate:
    """An offer that passes all that isn't a bound: its quantity in the wanted unit, and results by bound's name."""

    seller: UUID
    quantity: Decimal
    values: Mapping[str, Fraction]
    is_priced: bool = True

    def passes(self, bound: Bound) -> bool:
        """Whether it has a value that is within the bound."""
        return bound.name in self.values and not bound.misses_by(self.values[bound.name])


class _Choice(NamedTuple):
    """Shifts by bound, and what they bring. Ordered: most unlocked, least cost, fewest bounds, names."""

    unlocked: Decimal
    cost: Fraction
    shifts: tuple[tuple[Bound, Fraction], ...]
    offers: int

    def rank(self) -> tuple[object, ...]:
        """Best first."""
        return -self.unlocked, self.cost, len(self.shifts), [bound.key for bound, _ in self.shifts]


def relax(question: RelaxQuestion, candidates: Sequence[Candidate]) -> Answer[Relaxations]:
    """The best relaxation, and up to four that no other beats in cost and quantity.

    Where few sellers' prices meet the ceiling, in scope or not, no figure may depend on them: by trying one ceiling
    after another a buyer would find what they ask.
    """
    bounds = (*question.bounds, *question.secret_bounds)
    for ceiling in (bound for bound in (*question.secret_bounds, *question.limits) if bound.name == CEILING):
        if _decides_for_few(ceiling, question, candidates):
            return Answer[Relaxations](value=None, reasons=(Reason(code="too_few_sellers"),))
        if ceiling in question.limits:
            candidates = [each for each in candidates if each.passes(ceiling)]
    open_before, misses = _judge(bounds, candidates)
    missing = max(question.wanted - open_before, Decimal(0))
    movable = [bound for bound in bounds if bound.name not in question.keep]
    few = len({candidate.seller for candidate in candidates}) < FEW_SELLERS
    choices = [choice for choice in _choices(movable, misses, missing) if not _tells_prices(choice, misses)]
    frontier = _unbeaten(choices)
    evidence = {"offers": str(len(candidates))}
    if not frontier:
        code = "nothing_missing" if not missing else "nothing_unlocks"
        return Answer[Relaxations](value=None, reasons=(Reason(code=code),), evidence=evidence)
    shown: Callable[[Decimal], str] = _banded if few else _plain
    options = tuple(_option(choice, shown) for choice in frontier[: 1 + MOST_OTHERS])
    value = Relaxations(
        options=options, open_before=shown(open_before), missing=shown(missing), is_banded=few
    )
    return Answer[Relaxations](
        value=value, confidence=Decimal(1), reasons=(Reason(code="counted"),), evidence=evidence
    )


class _Miss(NamedTuple):
    """An offer that fails some bounds, and by how much each."""

    candidate: Candidate
    by: Mapping[str, Fraction]


def _judge(bounds: Sequence[Bound], candidates: Iterable[Candidate]) -> tuple[Decimal, list[_Miss]]:
    """What passes now, and the offers that fail. A missing value is never unlocked."""
    open_now, misses = Decimal(0), []
    for candidate in candidates:
        if any(bound.name not in candidate.values for bound in bounds):
            continue
        by = {
            bound.key: miss
            for bound in bounds
            if (miss := _shift(bound, bound.misses_by(candidate.values[bound.name])))
        }
        if by:
            misses.append(_Miss(candidate, by))
        else:
            open_now += candidate.quantity
    return open_now, misses


def _shift(bound: Bound, miss: Fraction) -> Fraction:
    """The least shift that lets a value pass: to the value itself, or by whole steps."""
    step = Fraction(bound.step)
    return -(-miss // step) * step if bound.name in WHOLE else miss


def _choices(movable: Sequence[Bound], misses: Sequence[_Miss], missing: Decimal) -> Iterator[_Choice]:
    """Every relaxation of one or two bounds that unlocks something."""
    by_key = {bound.key: bound for bound in movable}
    usable = [
        miss
        for miss in misses
        if len(miss.by) <= 2
        and all(key in by_key and by_key[key].allows(shift) for key, shift in miss.by.items())
    ]
    for bound in movable:
        yield from _grid([bound], usable, missing)
    for pair in combinations(movable, 2):
        if any(pair[0].key in miss.by for miss in usable) and any(pair[1].key in miss.by for miss in usable):
            yield from _grid(list(pair), usable, missing)


def _grid(bounds: list[Bound], usable: Sequence[_Miss], missing: Decimal) -> Iterator[_Choice]:
    """Every combination of shifts that ends at an offer, with running sums over a grid of them."""
    keys = [bound.key for bound in bounds]
    fitting = [miss for miss in usable if miss.by.keys() <= set(keys)]
    axes = [sorted({Fraction(0), *(miss.by[key] for miss in fitting if key in miss.by)}) for key in keys]
    if len(axes) == 1:
        axes.append([Fraction(0)])
        keys.append("")
    places = [{shift: place for place, shift in enumerate(axis)} for axis in axes]
    sums = [[Decimal(0)] * len(axes[1]) for _ in axes[0]]
    counts = [[0] * len(axes[1]) for _ in axes[0]]
    for miss in fitting:
        row, column = (at[miss.by.get(key, Fraction(0))] for at, key in zip(places, keys, strict=True))
        sums[row][column] += miss.candidate.quantity
        counts[row][column] += 1
    _cumulate(sums)
    _cumulate(counts)
    for row, first in enumerate(axes[0]):
        for column, second in enumerate(axes[1]):
            moved = [(bound, shift) for bound, shift in zip(bounds, (first, second), strict=False) if shift]
            if len(moved) == len(bounds) and counts[row][column] and missing:
                cost = sum((shift / Fraction(bound.step) for bound, shift in moved), Fraction(0))
                unlocked = min(sums[row][column], missing)
                yield _Choice(unlocked, cost, tuple(moved), counts[row][column])


def _cumulate(grid: list[list[Any]]) -> None:
    """Let each cell hold the sum of all that lie above and to the left, itself included."""
    for row, line in enumerate(grid):
        running = type(line[0])(0)
        for column, cell in enumerate(line):
            running += cell
            line[column] = running + (grid[row - 1][column] if row else 0)


def _tells_prices(choice: _Choice, misses: Sequence[_Miss]) -> bool:
    """Whether a higher ceiling would unlock so few sellers that it would tell what one of them asks."""
    if all(bound.name != CEILING for bound, _ in choice.shifts):
        return False
    shifts = {bound.key: shift for bound, shift in choice.shifts}
    sellers = {
        miss.candidate.seller
        for miss in misses
        if all(key in shifts and shift <= shifts[key] for key, shift in miss.by.items())
    }
    return len(sellers) < FEW_SELLERS


def _decides_for_few(ceiling: Bound, question: RelaxQuestion, candidates: Iterable[Candidate]) -> bool:
    """Whether the prices of fewer than three sellers meet the ceiling, or are above it; none is no matter."""
    priced = [each for each in candidates if each.is_priced and CEILING in each.values]
    priced = [each for each in priced if _within_reach(each, question)]
    everyone = {each.seller for each in priced}
    beyond = {each.seller for each in priced if not each.passes(ceiling)}
    return any(0 < len(sellers) < FEW_SELLERS for sellers in (everyone, beyond))


def _within_reach(candidate: Candidate, question: RelaxQuestion) -> bool:
    """Whether some relaxation would let the offer pass all bounds, but for its price."""
    if any(bound.name not in candidate.values for bound in question.bounds):
        return False
    missed = [bound for bound in question.bounds if not candidate.passes(bound)]
    return len(missed) <= 2 and all(
        bound.name not in question.keep and bound.allows(bound.misses_by(candidate.values[bound.name]))
        for bound in missed
    )


def _unbeaten(choices: Iterable[_Choice]) -> list[_Choice]:
    """Choices, best first, that no other is at least as good as in both cost and quantity."""
    kept: list[_Choice] = []
    for choice in sorted(choices, key=_Choice.rank):
        if not kept or choice.cost < kept[-1].cost:
            kept.append(choice)
    return kept


def _option(choice: _Choice, shown: Callable[[Decimal], str]) -> Option:
    return Option(
        moves=tuple(
            Move(bound=bound.key, old=_figure(Fraction(bound.limit)), new=_figure(bound.moved(shift)))
            for bound, shift in choice.shifts
        ),
        cost=str(choice.cost),
        unlocked=shown(choice.unlocked),
        offers=choice.offers,
    )


def _figure(value: Fraction) -> str:
    return f"{rounded(value, 6).normalize():f}"


def _plain(quantity: Decimal) -> str:
    return f"{quantity.normalize():f}"


def _banded(quantity: Decimal) -> str:
    return band(quantity) if quantity else "0"


def candidates_of(question: RelaxQuestion, offers: Iterable[OpenOffer]) -> list[Candidate]:
    """The newest offers that pass all that isn't a bound or the ceiling, with their values for the bounds."""
    newest = sorted(offers, key=lambda offer: (offer.listed_date, offer.availability_id), reverse=True)
    found = []
    for offer in newest[:MOST_OFFERS]:
        values = _values(question, offer)
        quantity = _quantity(question, offer)
        is_priced = offer.price_per_kg is not None
        candidate = Candidate(offer.seller_partner_id, quantity, values, is_priced)
        if (
            _fits(question, offer)
            and all(candidate.passes(bound) for bound in question.limits if bound.name != CEILING)
            and quantity >= max(question.least, Decimal("0.001"))
        ):
            found.append(candidate)
    return found


def _fits(question: RelaxQuestion, offer: OpenOffer) -> bool:
    """Whether goods and origin are accepted. Variety and crop year aren't asked of a substitute."""
    if offer.commodity_id == question.commodity_id:
        if question.variety_ids and offer.variety_id not in question.variety_ids:
            return False
        if question.crop_years and offer.crop_year not in question.crop_years:
            return False
    elif offer.commodity_id not in question.substitute_ids:
        return False
    if question.origin_country is not None and offer.country != question.origin_country:
        return False
    if question.origin_state_codes and offer.state_code not in question.origin_state_codes:
        return False
    return all(offer.texts.get(parameter) in accepted for parameter, accepted in question.codes.items())


def _quantity(question: RelaxQuestion, offer: OpenOffer) -> Decimal:
    """What is open, in the wanted unit: count to count, else by weight."""
    if offer.unit == question.unit:
        return offer.open_quantity
    return (offer.open_kg / question.kg_per_unit).quantize(Decimal("0.001"))


def _values(question: RelaxQuestion, offer: OpenOffer) -> dict[str, Fraction]:
    """What an offer has, by the names of bounds; a result by another method is none."""
    values = {
        parameter: Fraction(offer.quality[parameter, method])
        for parameter, method in question.methods.items()
        if (parameter, method) in offer.quality
    }
    values[UNTIL] = Fraction(offer.available_from_date.toordinal())
    values[FROM] = Fraction((offer.available_until_date or date.max).toordinal())
    if question.price_kg is not None and offer.price_per_kg is None:
        values[CEILING] = Fraction(0)  # to be agreed
    elif (
        question.price_kg is not None
        and offer.currency == question.currency
        and offer.price_per_kg is not None
    ):
        values[CEILING] = offer.price_per_kg * Fraction(question.price_kg)
    if question.spots and offer.latitude is not None and offer.longitude is not None:
        first = question.spots[0].max_distance_km
        here = (offer.latitude, offer.longitude)
        beyond = [
            ceil(great_circle_km((spot.latitude, spot.longitude), here)) - spot.max_distance_km
            for spot in question.spots
        ]
        values[DISTANCE] = Fraction(first + min(beyond))
    return values


def _built_in(question: RelaxQuestion, facts: Facts) -> Answer[Relaxations]:
    return relax(question, candidates_of(question, facts[OPEN_OFFERS]))


def _checked(question: RelaxQuestion, facts: Facts, answer: Answer[Relaxations]) -> Answer[Relaxations]:
    """A remote opinion: its order of the options that the facts give, with their own figures; it adds none."""
    own = _built_in(question, facts).value
    if own is None or answer.value is None:
        raise ValueError("nothing to choose from")
    known = {option.moves: option for option in own.options}
    options = tuple(known[option.moves] for option in answer.value.options if option.moves in known)
    if not options:
        raise ValueError("no option that the facts give")
    return answer.model_copy(update={"value": own.model_copy(update={"options": options})})


RELAX: Final = Task(
    name="requirement.relax",
    input=RelaxQuestion,
    output=Relaxations,
    built_in=_built_in,
    check=_checked,
    sources=(OPEN_OFFERS,),
)
