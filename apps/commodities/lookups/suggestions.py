"""Suggestions for commodities, and the GST rate on a date. Nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from apps.commodities import suggestions, tax
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import ParameterTemplate
from apps.commodities.models.tax import HsnCode, TaxRate
from apps.commodities.reference.tax import HSN_CODES
from apps.commodities.suggestions import Hit, SuggestionReason
from erp import clock
from erp.access import Actor

MOST_CODES = 5
MOST_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A suggestion with its confidence and reasons."""

    confidence: Decimal
    reasons: Sequence[SuggestionReason]
    provider: str = suggestions.PROVIDER
    is_suggestion: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CategorySuggestion(Suggestion):
    """A category; None where nothing is known."""

    category: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BestCategory(CategorySuggestion):
    """The most likely category, with alternatives."""

    alternatives: Sequence[CategorySuggestion]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSuggestion(Suggestion):
    """An HSN code with its GST rates today."""

    hsn_code: str
    description: str
    rates: Sequence[TaxRate]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSuggestion(Suggestion):
    """A template from which a parameter of the commodity can be copied."""

    template: ParameterTemplate


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Suggestions, the most likely first."""

    results: Sequence[Suggestion]


def detect_category(*, actor: Actor, name: str, description: str = "") -> BestCategory:
    """Suggest a category by name and description. Null where no word is known."""
    found = [
        CategorySuggestion(category=hit.value, confidence=hit.confidence, reasons=hit.reasons)
        for hit in suggestions.categories_for(name, description)
    ]
    if not found:
        return BestCategory(
            category=None, confidence=Decimal(0), reasons=[SuggestionReason("unknown")], alternatives=[]
        )
    best = found[0]
    return BestCategory(
        category=best.category,
        confidence=best.confidence,
        reasons=best.reasons,
        alternatives=found[1 : MOST_ALTERNATIVES + 1],
    )


def suggest_hsn(
    *,
    actor: Actor,
    name: str,
    category: str | None = None,
    origin_country: str = "IN",
    staple_mm: Decimal | None = None,
) -> Suggestions:
    """Suggest HSN codes for a name. At most five, likeliest first; none where no word is known.

    Cotton lint gets a code of eight digits if its staple length determines one.
    """
    hits = suggestions.codes_for(name, category)
    cotton = next((hit for hit in hits if hit.value == suggestions.COTTON), None)
    if cotton is not None and category != Commodity.Category.SEED_COTTON:
        hits = _with_line(hits, cotton, suggestions.cotton_line(name, origin_country, staple_mm), staple_mm)
    hits = hits[:MOST_CODES]
    codes = [hit.value for hit in hits]
    today = clock.today()
    rates = list(TaxRate.objects.for_codes(codes).on(today))
    words = {**HSN_CODES, **dict(HsnCode.objects.filter(code__in=codes).values_list("code", "description"))}
    return Suggestions(
        [
            CodeSuggestion(
                hsn_code=hit.value,
                description=words.get(hit.value, ""),
                rates=[rate for _, rate in sorted(tax.longest(rates, hit.value).items())],
                confidence=hit.confidence,
                reasons=hit.reasons,
            )
            for hit in hits
        ]
    )


def _with_line(hits: list[Hit], cotton: Hit, line: str | None, staple_mm: Decimal | None) -> list[Hit]:
    """Insert the line of eight digits before the heading, or add the reason that the tariff has none."""
    at = hits.index(cotton)
    if line is None:
        if staple_mm is None:
            return hits
        silent = SuggestionReason("tariff_silent", {"staple_mm": f"{staple_mm:f}"})
        return [*hits[:at], Hit(cotton.value, cotton.confidence, (*cotton.reasons, silent)), *hits[at + 1 :]]
    facts = {} if staple_mm is None else {"staple_mm": f"{staple_mm:f}"}
    exact = Hit(line, cotton.confidence, (*cotton.reasons, SuggestionReason("cotton_line", facts)))
    return [*hits[:at], exact, *hits[at:]]


def suggest_parameters(commodity: Commodity, *, actor: Actor, limit: int = 20) -> Suggestions:
    """Suggest quality parameters for a commodity. They are its category's templates that it lacks."""
    there = commodity.quality_parameters.values("code")
    templates = (
        ParameterTemplate.objects.active()
        .filter(category=commodity.category)
        .exclude(code__in=there)
        .order_by("display_order", "code")[:limit]
    )
    reason = SuggestionReason("usual_of_category", {"category": commodity.category})
    return Suggestions(
        [
            ParameterSuggestion(template=template, confidence=suggestions.WORDS, reasons=[reason])
            for template in templates
        ]
    )


@dataclass(frozen=True, slots=True)
class Tax:
    """The rate that applies to a commodity on a date."""

    commodity_id: UUID
    hsn_code: str
    on_date: date
    rate: TaxRate


def tax_of(commodity: Commodity, on_date: date | None, condition: str | None) -> Tax:
    """Return the GST rate of a commodity, by default today's. Raises NoTaxRate, ConditionNeeded."""
    day = on_date or clock.today()
    if commodity.hsn_code is None:
        raise tax.NoTaxRate(f"{commodity.name} has no HSN code.")
    return Tax(commodity.pk, commodity.hsn_code, day, tax.tax_on(commodity.hsn_code, day, condition))
