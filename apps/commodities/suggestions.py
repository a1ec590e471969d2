"""Rules that suggest HSN codes and categories from names, descriptions and stored rows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from django.db.models import Q

from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnMapping
from apps.commodities.models.varieties import Variety
from apps.commodities.reference import tax as known
from erp.text import name_key

PROVIDER: Final = "builtin"
CONFIRMED, ALIAS, WORDS, WITHIN, USUAL = (Decimal(text) for text in ("1", "0.95", "0.85", "0.6", "0.4"))
COTTON: Final = "5201"
UNGINNED: Final = ("kapas", "narma", "seed cotton", "unginned")
PHRASES: Final = tuple(sorted(known.PHRASES, key=lambda phrase: (-len(phrase), phrase)))


@dataclass(frozen=True, slots=True)
class SuggestionReason:
    """The reason of a suggestion: a stable code and its facts."""

    code: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """An HSN code or a category, with its confidence and reasons."""

    value: str
    confidence: Decimal
    reasons: tuple[SuggestionReason, ...]


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
        reason = SuggestionReason("usual_of_category", {"category": str(category)})
        found = [Hit(known.USUAL_CODES[str(category)], USUAL, (reason,))]
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
    found = [
        Hit(category, ALIAS, (SuggestionReason("named_so", {"commodity": code}),))
        for category, code in (*named, *of_variety)
    ]
    confirmed = [(hit, _category_of(hit.value)) for hit in _confirmed(key)]
    found = [Hit(category, hit.confidence, hit.reasons) for hit, category in confirmed if category] + found
    found += _categories_of_phrases(name, Decimal(1), "name")
    found += _categories_of_phrases(description, USUAL, "description")
    return _once(found)


def _confirmed(key: str) -> list[Hit]:
    rows = HsnMapping.objects.filter(name_key=key).values_list("hsn_code", flat=True)
    return [Hit(code, CONFIRMED, (SuggestionReason("confirmed", {"name": key}),)) for code in rows]


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
    return [Hit(str(hsn), ALIAS, (SuggestionReason("alias", {"commodity": code}),)) for hsn, code in rows]


def _phrases(name: str) -> list[Hit]:
    return [
        Hit(known.PHRASES[phrase], sure, (SuggestionReason("phrase", {"phrase": phrase}),))
        for phrase, sure in phrases_in(name)
    ]


def _categories_of_phrases(text: str, most: Decimal, where: str) -> list[Hit]:
    hits = []
    for phrase, sure in phrases_in(text):
        category = _category_of(known.PHRASES[phrase])
        if category is not None:
            reason = SuggestionReason(
                "phrase", {"phrase": phrase, "in": where, "hsn_code": known.PHRASES[phrase]}
            )
            hits.append(Hit(category, min(sure, most), (reason,)))
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
