"""Relaxations of a requirement: suggested from the market's facts, applied by the buyer only (§5.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from apps.requirement import capabilities, events, relaxing
from apps.requirement.models import Band, DeliveryPlace, Requirement, Suggestion
from apps.requirement.relaxing import CEILING, DISTANCE, FROM, RELAX, UNTIL, Bound, RelaxQuestion
from apps.requirement.services import content as contents
from apps.requirement.services import requirements, rules
from apps.requirement.services.content import Content
from apps.requirement.services.rules import head
from erp import clock
from erp.access import Actor
from erp.ai import asking
from erp.api import throttling
from erp.errors import FieldError
from erp.events import Quantity
from erp.services import emit, service

DAY: Final = 86_400
LIFE: Final = timedelta(hours=24)
SCOPES: Final = ("QUALITY", "CEILING", "WINDOW", "PLACE")
_Status = Suggestion.Status


@dataclass(frozen=True)
class Adjustment:
    """The answer to ``ai_adjust``: the suggestion, or why there is none."""

    suggestion: Suggestion | None
    reason: str = ""


@service(
    requires=capabilities.AI_ADJUST,
    emits=[events.RequirementAiAdjusted, *requirements.update.emits],
    raises=[
        rules.OwnerOnly, rules.SuggestionStale, rules.SuggestionClosed, rules.SuggestionExpired,
        rules.SuggestionNotFound, rules.OptionUnknown, *requirements.update.raises,
    ],
    label="Relax by suggestion",
)  # fmt: skip
def ai_adjust(
    requirement: Requirement,
    *,
    actor: Actor,
    action: str = "SUGGEST",
    scope: Sequence[str] = ("QUALITY",),
    keep: Sequence[str] = (),
    suggestion_id: UUID | None = None,
    option: int = 1,
) -> Adjustment:
    """Suggest which bounds to relax, apply a suggestion, or dismiss it. Only the buyer applies or dismisses."""
    if action == "SUGGEST":
        rules.require_status(requirement, Requirement.Status.DRAFT, *Requirement.LIVE)
        _require_parameters(requirement, keep)
        _count(requirement, actor)
        return _suggest(requirement, actor, scope, keep)
    if actor.partner_id != requirement.buyer_partner_id or actor.partner_id is None:
        raise rules.OwnerOnly
    suggestion: Suggestion | None = requirement.suggestions.locked().filter(pk=suggestion_id).first()
    if suggestion is None:
        words = "The requirement has no such suggestion."
        raise rules.SuggestionNotFound.at("/suggestion_id", "does_not_exist", words)
    if suggestion.status in (_Status.APPLIED, _Status.DISMISSED):
        raise rules.SuggestionClosed
    if action == "DISMISS":
        suggestion.status, suggestion.opinion_due = _Status.DISMISSED, False
        suggestion.save()
        _tell(requirement, suggestion, "dismissed")
        return Adjustment(suggestion)
    if suggestion.status == _Status.STALE or suggestion.base_terms_version != requirement.terms_version:
        raise rules.SuggestionStale
    if suggestion.expires_at <= clock.now():
        raise rules.SuggestionExpired
    options = suggestion.result["options"]
    if not 1 <= option <= len(options):
        raise rules.OptionUnknown.at("/option", "does_not_exist", f"Choose 1 to {len(options)}.")
    suggestion.status, suggestion.opinion_due = _Status.APPLIED, False
    suggestion.save()
    requirements.update(requirement, actor=actor, content=_relaxed(requirement, options[option - 1]["moves"]))
    _tell(Requirement.objects.get(pk=requirement.pk), suggestion, "applied")
    return Adjustment(suggestion)


@service(requires=capabilities.AI_ADJUST, emits=[events.RequirementAiOpinionRecorded], lock_via="requirement")
def record_opinion(
    suggestion: Suggestion, *, actor: Actor, opinion: dict[str, Any] | None, provider: str
) -> Suggestion:
    """Add what a provider says to a suggestion that waits for it, once; None: it gave no usable answer."""
    if suggestion.opinion_due:
        suggestion.opinion_due, suggestion.opinion = False, opinion
        suggestion.save()
        emit(
            events.RequirementAiOpinionRecorded(
                **head(suggestion.requirement), suggestion_id=suggestion.pk, provider=provider
            )
        )
    return suggestion


def _require_parameters(requirement: Requirement, codes: Sequence[str]) -> None:
    """Raise BandsInvalid for what isn't a parameter of the goods: it could be any text, and a remote model sees it."""
    known = set(requirement.commodity.quality_parameters.values_list("code", flat=True))
    faults = [
        FieldError(f"/keep/{position}", "unknown_parameter", "The commodity has no such parameter.")
        for position, code in enumerate(codes)
        if code not in known
    ]
    if faults:
        raise rules.BandsInvalid(errors=faults)


def _count(requirement: Requirement, actor: Actor) -> None:
    """Count a question of the buyer about its goods today: many with other ceilings would tell what sellers ask."""
    if actor.partner_id is None:
        return
    subject = f"partner:{requirement.buyer_partner_id}:{requirement.commodity_id}"
    policy = throttling.Policy("relax", settings.REQUIREMENT_SUGGESTIONS_PER_DAY, DAY, subject)
    throttling.require_remaining(policy)
    throttling.count_one(policy)


def _suggest(requirement: Requirement, actor: Actor, scope: Sequence[str], keep: Sequence[str]) -> Adjustment:
    question = question_of(requirement, scope, keep)
    found = asking.ask(RELAX, question, actor=actor, for_partner=requirement.buyer_partner_id)
    if found.value is None:
        return Adjustment(None, found.reasons[0].code)
    suggestion = Suggestion(
        requirement=requirement,
        base_terms_version=requirement.terms_version,
        scope=list(scope),
        keep=list(keep),
        result=found.value.model_dump(mode="json"),
        provider=found.provider,
        call_id=found.call_id,
        opinion_due=settings.AI_PROVIDER != asking.BUILT_IN,
        created_by_id=actor.pk,
        expires_at=clock.now() + LIFE,
    )
    suggestion.save()
    _tell(requirement, suggestion, "suggested")
    return Adjustment(suggestion)


def _tell(requirement: Requirement, suggestion: Suggestion, action: str) -> None:
    options = suggestion.result["options"]
    best = options[0]
    unlocked = best["unlocked"]
    emit(
        events.RequirementAiAdjusted(
            **head(requirement),
            suggestion_id=suggestion.pk,
            action=action,
            parameters=sorted(
                {move["bound"].split(":")[0] for each in options for move in each["moves"]} - {CEILING}
            ),
            options=len(options),
            unlocked=None
            if suggestion.result["is_banded"]
            else Quantity(value=Decimal(unlocked), unit=requirement.unit),
        )
    )


def question_of(requirement: Requirement, scope: Sequence[str], keep: Sequence[str]) -> RelaxQuestion:
    """The requirement as the task ``requirement.relax`` reads it."""
    bands = list(
        requirement.bands.filter(required=True).select_related("parameter").order_by("parameter__code")
    )
    spots = [
        relaxing.Spot(latitude=at[0], longitude=at[1], max_distance_km=place.max_distance_km)
        for place in requirement.places.select_related("location").order_by("position")
        if place.max_distance_km is not None and (at := _coordinates(place)) is not None
    ]
    by_scope = {
        "QUALITY": [bound for band in bands if band.parameter.is_number for bound in _bounds(band)],
        "CEILING": _ceiling(requirement),
        "WINDOW": _window(requirement),
        "PLACE": [_bound(DISTANCE, True, Fraction(spots[0].max_distance_km), relaxing.KM_STEP)]
        if spots
        else [],
    }
    moving = [bound for name, bounds in by_scope.items() for bound in bounds if name in scope]
    fixed = [bound for name, bounds in by_scope.items() for bound in bounds if name not in scope]
    return RelaxQuestion(
        requirement_id=requirement.pk,
        commodity_id=requirement.commodity_id,
        substitute_ids=tuple(requirement.substitute_ids),
        variety_ids=tuple(requirement.variety_ids),
        crop_years=tuple(requirement.crop_years),
        origin_country=requirement.origin_country,
        origin_state_codes=tuple(requirement.origin_state_codes),
        unit=requirement.unit,
        kg_per_unit=requirement.kg_per_unit,
        wanted=requirement.open_quantity,
        least=requirement.min_quantity if requirement.single_lot else Decimal(0),
        bounds=tuple(bound for bound in moving if bound.name != CEILING),
        secret_bounds=tuple(bound for bound in moving if bound.name == CEILING),
        limits=tuple(fixed),
        methods={
            band.parameter.code: band.method or band.parameter.default_method
            for band in bands
            if band.parameter.is_number
        },
        codes={
            band.parameter.code: tuple(band.accepted_codes) for band in bands if not band.parameter.is_number
        },
        currency=requirement.currency,
        price_kg=None if requirement.ceiling_price is None else str(rules.Quote(requirement).kg),
        spots=tuple(spots),
        keep=tuple(keep),
    )


def _bound(name: str, upper: bool, limit: Fraction, step: Fraction, hard: Fraction | None = None) -> Bound:
    return Bound(
        name=name, upper=upper, limit=str(limit), step=str(step), hard=None if hard is None else str(hard)
    )


def _bounds(band: Band) -> list[Bound]:
    parameter = band.parameter
    low, high = parameter.possible_min, parameter.possible_max
    step = relaxing.STEPS.get(parameter.code)
    if step is None and low is not None and high is not None:
        step = (high - low) * relaxing.OTHER_SHARE.numerator / relaxing.OTHER_SHARE.denominator
    if not step:
        return []
    sides = ((False, band.minimum, low), (True, band.maximum, high))
    return [
        _bound(
            parameter.code, upper, Fraction(limit), Fraction(step), None if hard is None else Fraction(hard)
        )
        for upper, limit, hard in sides
        if limit is not None
    ]


def _ceiling(requirement: Requirement) -> list[Bound]:
    if requirement.ceiling_price is None:
        return []
    ceiling = Fraction(requirement.ceiling_price)
    return [_bound(CEILING, True, ceiling, ceiling * relaxing.PRICE_STEP)]


def _window(requirement: Requirement) -> list[Bound]:
    flexible = requirement.flexibility_days
    until = Fraction(requirement.delivery_until_date.toordinal() + flexible)
    start = Fraction(requirement.delivery_from_date.toordinal() - flexible)
    return [_bound(UNTIL, True, until, relaxing.DAY_STEP), _bound(FROM, False, start, relaxing.DAY_STEP)]


def _coordinates(place: DeliveryPlace) -> tuple[Decimal, Decimal] | None:
    where: Any = place.location or place
    return None if where.latitude is None else (where.latitude, where.longitude)


def content_of(requirement: Requirement) -> Content:
    """What the requirement says now, as its author would submit it."""
    content: Any = {name: getattr(requirement, name) for name in contents.PLAIN}
    for name, rows in contents.rows_of_ids(requirement).items():
        content[name] = rows
    content |= {
        "min_quantity": requirement.min_quantity,
        "preferred_quantity": requirement.preferred_quantity,
        "pricing_unit": requirement.pricing_unit,
        "bands": [
            {
                "parameter": band.parameter.code, "minimum": band.minimum, "maximum": band.maximum,
                "preferred": band.preferred, "accepted_codes": band.accepted_codes, "method": band.method,
                "required": band.required,
            }
            for band in requirement.bands.select_related("parameter")
        ],
        "places": [
            {
                "location": place.location, "latitude": place.latitude, "longitude": place.longitude,
                "state_code": place.state_code, "max_distance_km": place.max_distance_km,
            }
            for place in requirement.places.select_related("location").order_by("position")
        ],
        "invited_partners": [row.partner for row in requirement.invitations.select_related("partner")],
    }  # fmt: skip
    return content  # type: ignore[no-any-return]


def _relaxed(requirement: Requirement, moves: Sequence[dict[str, str]]) -> Content:
    """What the requirement says with the moves of an option."""
    content: Any = content_of(requirement)
    for move in moves:
        name, side = move["bound"].split(":")
        shift = Decimal(move["new"]) - Decimal(move["old"])
        if name == CEILING:
            step = Decimal(1).scaleb(-requirement.pricing_unit.places)
            content["ceiling_price"] = Decimal(move["new"]).quantize(
                step, ROUND_CEILING
            )  # so that offers pass
        elif name == UNTIL:
            content["delivery_until_date"] = _moved(requirement.delivery_until_date, shift)
        elif name == FROM:
            content["delivery_from_date"] = _moved(requirement.delivery_from_date, shift)
        elif name == DISTANCE:
            for place in content["places"]:
                if place["max_distance_km"] is not None:
                    place["max_distance_km"] += int(shift)
        else:
            band = next(band for band in content["bands"] if band["parameter"] == name)
            band["maximum" if side == "max" else "minimum"] = Decimal(move["new"])
    return content  # type: ignore[no-any-return]


def _moved(day: date, days: Decimal) -> date:
    return day + timedelta(days=int(days))
