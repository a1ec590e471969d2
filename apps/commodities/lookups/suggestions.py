"""Suggestions for commodities, and the GST rate on a date. Nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.commodities import suggestions, tax
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import ParameterTemplate
from apps.commodities.models.tax import HsnCode, TaxRate
from apps.commodities.reference.tax import HSN_CODES
from erp import clock
from erp.access import Actor
from erp.ai import asking as ai
from erp.ai.registry import Reason
from erp.ai.registry import Suggestion as Answered

MOST_ALTERNATIVES = 3
MOST_TEMPLATES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A suggestion with its confidence, reasons and origin."""

    confidence: Decimal
    reasons: Sequence[Reason]
    provider: str
    degraded: str
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


def _origin(found: Answered) -> dict[str, Any]:
    return {"provider": found.provider, "degraded": found.degraded}


def detect_category(*, actor: Actor, name: str, description: str = "") -> BestCategory:
    """Suggest a category by name and description. Null where no word is known."""
    goods = suggestions.GoodsNamed(name=name, description=description)
    answered = ai.ask(suggestions.CATEGORY, goods, actor=actor)
    found = [
        CategorySuggestion(
            category=hit.value, confidence=hit.confidence, reasons=hit.reasons, **_origin(answered)
        )
        for hit in answered.value.hits
    ]
    if not found:
        return BestCategory(
            category=None,
            confidence=Decimal(0),
            reasons=[Reason(code="unknown")],
            alternatives=[],
            **_origin(answered),
        )
    best = found[0]
    return BestCategory(
        category=best.category,
        confidence=best.confidence,
        reasons=best.reasons,
        alternatives=found[1 : MOST_ALTERNATIVES + 1],
        **_origin(answered),
    )


def suggest_hsn(
    *,
    actor: Actor,
    name: str,
    category: str | None = None,
    origin_country: str = "IN",
    staple_mm: Decimal | None = None,
) -> Suggestions:
    """Suggest HSN codes for a name. At most five, likeliest first; none where no word is known."""
    goods = suggestions.GoodsToClassify(
        name=name, category=category, origin_country=origin_country, staple_mm=staple_mm
    )
    answered = ai.ask(suggestions.HSN, goods, actor=actor)
    codes = [hit.value for hit in answered.value.hits]
    rates = list(TaxRate.objects.for_codes(codes).on(clock.today()))
    words = {**HSN_CODES, **dict(HsnCode.objects.filter(code__in=codes).values_list("code", "description"))}
    return Suggestions(
        [
            CodeSuggestion(
                hsn_code=hit.value,
                description=words.get(hit.value, ""),
                rates=[rate for _, rate in sorted(tax.longest(rates, hit.value).items())],
                confidence=hit.confidence,
                reasons=hit.reasons,
                **_origin(answered),
            )
            for hit in answered.value.hits
        ]
    )


def suggest_parameters(commodity: Commodity, *, actor: Actor, limit: int = 20) -> Suggestions:
    """Suggest quality parameters for a commodity. They are its category's templates that it lacks."""
    there = commodity.quality_parameters.values("code")
    lacking = ParameterTemplate.objects.active().filter(category=commodity.category).exclude(code__in=there)
    templates = {str(each.pk): each for each in lacking.order_by("display_order", "code")[:MOST_TEMPLATES]}
    question = suggestions.ParametersLacking(
        category=commodity.category,
        candidates=tuple(
            suggestions.Candidate(template_id=each.pk, code=each.code) for each in templates.values()
        ),
        limit=limit,
    )
    answered = ai.ask(suggestions.PARAMETERS, question, actor=actor)
    return Suggestions(
        [
            ParameterSuggestion(
                template=templates[hit.value],
                confidence=hit.confidence,
                reasons=hit.reasons,
                **_origin(answered),
            )
            for hit in answered.value.hits
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
