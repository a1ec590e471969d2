"""Rules that suggest HSN codes, categories and parameters, and the AI tasks that they answer."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

from django.db.models import Q

from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnCode, HsnMapping
from apps.commodities.models.varieties import Variety
from apps.commodities.reference import tax as known
from erp.ai.registry import SEND, Answer, Facts, Reason, Shape, Task
from erp.text import name_key

CONFIRMED, ALIAS, WORDS, WITHIN, USUAL = (Decimal(text) for text in ("1", "0.95", "0.85", "0.6", "0.4"))
COTTON: Final = "5201"
MOST_CODES: Final = 5
UNGINNED: Final = ("kapas", "narma", "seed cotton", "unginned")
PHRASES: Final = tuple(sorted(known.PHRASES, key=lambda phrase: (-len(phrase), phrase)))


class Hit(Shape):
    """An HSN code, a category or the id of a template, with its confidence and reasons."""

    value: str
    confidence: Decimal
    reasons: tuple[Reason, ...] = ()


class Hits(Shape):
    """What was found, the most likely first."""

    hits: tuple[Hit, ...]


class GoodsNamed(Shape):
    """Goods by name and description."""

    name: Annotated[str, SEND]
    description: Annotated[str, SEND] = ""


class GoodsToClassify(Shape):
    """Goods for which an HSN code is wanted."""

    name: Annotated[str, SEND]
    category: Annotated[str | None, SEND] = None
    origin_country: Annotated[str, SEND] = "IN"
    staple_mm: Annotated[Decimal | None, SEND] = None


class Candidate(Shape):
    """A template of parameters that a commodity lacks."""

    template_id: Annotated[UUID, SEND]
    code: Annotated[str, SEND]


class ParametersLacking(Shape):
    """The templates of a commodity's category that it lacks, in their order."""

    category: Annotated[str, SEND]
    candidates: Annotated[tuple[Candidate, ...], SEND]
    limit: Annotated[int, SEND]


def phrases_in(text: str) -> Iterator[tuple[str, Decimal]]:
    """Phrases that name goods in ``text``, longest first, each with its confidence.

    What belongs to a longer phrase isn't read again; within words only the longest phrase of all counts.
    """
    rest = name_key(text)
    first = True
    for phrase in PHRASES:
        whole = rf"(?<!\w){re.escape(phrase)}(?!\w)"
        if re.search(whole, rest):
            rest = re.sub(whole, "\0", rest)
            yield phrase, WORDS
        elif first and phrase in rest:
            rest = rest.replace(phrase, "\0")
            yield phrase, WITHIN
        else:
            continue
        first = False


def codes_for(name: str, category: str | None) -> list[Hit]:
    """Return possible codes of goods of this name, most certain first; else the usual one of the category."""
    key = name_key(name)
    found = [*_confirmed(key), *_aliases(key), *_phrases(name)]
    if not found and category in known.USUAL_CODES:
        reason = Reason(code="usual_of_category", facts={"category": str(category)})
        found = [Hit(value=known.USUAL_CODES[str(category)], confidence=USUAL, reasons=(reason,))]
    return _once(found)


def cotton_line(name: str, origin_country: str, staple_mm: Decimal | None) -> str | None:
    """Return the line of eight digits for lint; None if it is undetermined or the tariff has none."""
    key = name_key(name)
    if any(word in key for word in UNGINNED):
        return None
    if origin_country == "IN" and "bengal deshi" in key:
        return known.BENGAL_DESHI
    if staple_mm is None:
        return None
    lines = known.INDIAN_COTTON if origin_country == "IN" else known.OTHER_COTTON
    return next((line.code for line in lines if line.contains(staple_mm)), None)


def categories_for(name: str, description: str) -> list[Hit]:
    """Return possible categories of goods of this name, most certain first.

    A commodity of this very code, name or alias decides first, then phrases of the name, then those of the description.
    """
    key = name_key(name)
    named = Commodity.objects.filter(Q(names__key=key) | Q(code__iexact=key)).values_list("category", "code")
    of_variety = Variety.objects.filter(names__key=key).values_list("commodity__category", "commodity__code")
    found = [_hit(category, ALIAS, "named_so", commodity=code) for category, code in (*named, *of_variety)]
    confirmed = [(hit, _category_of(hit.value)) for hit in _confirmed(key)]
    found = [
        Hit(value=category, confidence=hit.confidence, reasons=hit.reasons)
        for hit, category in confirmed
        if category
    ] + found
    found += _categories_of_phrases(name, Decimal(1), "name")
    found += _categories_of_phrases(description, USUAL, "description")
    return _once(found)


def _hit(value: str, confidence: Decimal, code: str, **facts: str) -> Hit:
    """A hit with one reason."""
    return Hit(value=value, confidence=confidence, reasons=(Reason(code=code, facts=facts),))


def _confirmed(key: str) -> list[Hit]:
    rows = HsnMapping.objects.filter(name_key=key).values_list("hsn_code", flat=True)
    return [_hit(code, CONFIRMED, "confirmed", name=key) for code in rows]


def _aliases(key: str) -> list[Hit]:
    """Return codes of commodities with this alias, or with a variety of this name.

    A commodity's own name is left out, since it is unique.
    """
    goods = Commodity.objects.active().exclude(hsn_code=None)
    rows = [
        (row.hsn_code, row.code)
        for row in goods.filter(names__key=key)
        if key in {name_key(alias) for alias in row.aliases}
    ]
    rows += goods.filter(variety_names__key=key).values_list("hsn_code", "code")
    return [_hit(str(hsn), ALIAS, "alias", commodity=code) for hsn, code in rows]


def _phrases(name: str) -> list[Hit]:
    return [
        Hit(
            value=known.PHRASES[phrase],
            confidence=sure,
            reasons=(Reason(code="phrase", facts={"phrase": phrase}),),
        )
        for phrase, sure in phrases_in(name)
    ]


def _categories_of_phrases(text: str, most: Decimal, where: str) -> list[Hit]:
    hits = []
    for phrase, sure in phrases_in(text):
        category = _category_of(known.PHRASES[phrase])
        if category is not None:
            facts = {"phrase": phrase, "in": where, "hsn_code": known.PHRASES[phrase]}
            reason = Reason(code="phrase", facts=facts)
            hits.append(Hit(value=category, confidence=min(sure, most), reasons=(reason,)))
    return hits


def _category_of(hsn: str) -> str | None:
    prefixes = [hsn[:digits] for digits in range(len(hsn), 1, -1)]
    return next((known.CATEGORIES[prefix] for prefix in prefixes if prefix in known.CATEGORIES), None)


def _once(hits: list[Hit]) -> list[Hit]:
    """Return each value once, by its most certain hit; equally certain ones in their order."""
    unique: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: -hit.confidence):
        unique.setdefault(hit.value, hit)
    return list(unique.values())


def _classified(goods: GoodsToClassify, facts: Facts) -> Answer[Hits]:
    """Codes for goods, at most five. Cotton lint gets a code of eight digits if its staple length determines one."""
    hits = codes_for(goods.name, goods.category)
    cotton = next((hit for hit in hits if hit.value == COTTON), None)
    if cotton is not None and goods.category != Commodity.Category.SEED_COTTON:
        hits = _with_line(hits, cotton, goods)
    return _answer(hits[:MOST_CODES])


def _with_line(hits: list[Hit], cotton: Hit, goods: GoodsToClassify) -> list[Hit]:
    """Insert the line of eight digits before the heading, or add the reason that the tariff has none."""
    at, staple = hits.index(cotton), goods.staple_mm
    line = cotton_line(goods.name, goods.origin_country, staple)
    facts = {} if staple is None else {"staple_mm": f"{staple:f}"}
    if line is not None:
        reasons = (*cotton.reasons, Reason(code="cotton_line", facts=facts))
        return [*hits[:at], cotton.model_copy(update={"value": line, "reasons": reasons}), *hits[at:]]
    if staple is None:
        return hits
    silent = Reason(code="tariff_silent", facts=facts)
    return [
        *hits[:at],
        cotton.model_copy(update={"reasons": (*cotton.reasons, silent)}),
        *hits[at + 1 :],
    ]


def _lacking(question: ParametersLacking, facts: Facts) -> Answer[Hits]:
    reason = Reason(code="usual_of_category", facts={"category": question.category})
    return _answer(
        [
            Hit(value=str(each.template_id), confidence=WORDS, reasons=(reason,))
            for each in question.candidates[: question.limit]
        ]
    )


def _answer(hits: list[Hit]) -> Answer[Hits]:
    best = hits[0].confidence if hits else Decimal(0)
    return Answer[Hits](value=Hits(hits=tuple(hits)), confidence=best)


def _among(answer: Answer[Hits], known_values: set[str]) -> Answer[Hits]:
    """A remote answer whose values are known. Raises ValueError for any other."""
    if answer.value is None or {hit.value for hit in answer.value.hits} - known_values:
        raise ValueError("a value that is not known")
    return answer


def _known_codes(goods: GoodsToClassify, facts: Facts, answer: Answer[Hits]) -> Answer[Hits]:
    return _among(answer, {*known.HSN_CODES, *HsnCode.objects.values_list("code", flat=True)})


CATEGORY: Final = Task(
    name="commodity.category",
    input=GoodsNamed,
    output=Hits,
    built_in=lambda goods, facts: _answer(categories_for(goods.name, goods.description)),
    check=lambda goods, facts, answer: _among(answer, set(Commodity.Category.values)),
)
HSN: Final = Task(
    name="commodity.hsn", input=GoodsToClassify, output=Hits, built_in=_classified, check=_known_codes
)
PARAMETERS: Final = Task(
    name="commodity.parameters",
    input=ParametersLacking,
    output=Hits,
    built_in=_lacking,
    check=lambda question, facts, answer: _among(
        answer, {str(each.template_id) for each in question.candidates}
    ),
)
