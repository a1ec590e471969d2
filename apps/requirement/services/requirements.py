"""What buyers do with their requirements: create, publish, edit and cancel."""

from typing import Any, Final

from apps.availability.services.listing import measured
from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner
from apps.requirement import capabilities, events
from apps.requirement.models import Requirement, Suggestion
from apps.requirement.services import content as contents
from apps.requirement.services import deadlines, ledger, rules
from apps.requirement.services.approval import (
    beyond_approval,
    compare_price,
    request_approval,
    snapshot,
    withdraw_request,
)
from apps.requirement.services.content import Content
from apps.requirement.services.rules import head
from erp import access, clock
from erp.access import Actor
from erp.services import emit, service

_Status = Requirement.Status
CONTENT_ERRORS: Final = (
    rules.UnitNotAllowed, rules.QuantityNotWhole, rules.QuantitiesOutOfOrder, rules.BandsInvalid, rules.PriceInvalid,
    rules.BudgetTooSmall, rules.WindowInvalid, rules.PlaceInvalid, rules.SubstituteInvalid, rules.GoodsInvalid,
    rules.VisibilityInvalid, rules.Incomplete,
)  # fmt: skip


@service(
    requires=capabilities.CREATE,
    emits=[events.RequirementCreated, events.RequirementPublished],
    raises=[rules.BuyerNotEligible, rules.PartnerInvalid, rules.CommodityNotActive, *CONTENT_ERRORS],
)
def create(
    *,
    actor: Actor,
    commodity: Commodity,
    content: Content,
    unit: str | None = None,
    buyer_partner: Partner | None = None,
    publish: bool = False,
) -> Requirement:
    """Create a requirement. It is saved as a draft unless it is published."""
    requirement = Requirement(
        number=Requirement.next_number(clock.now()),
        buyer_partner=rules.acting_partner(actor, buyer_partner, "/buyer_partner_id"),
        created_by_id=actor.pk,
        updated_by_id=actor.pk,
        commodity=commodity,
    )
    access.authorize(actor, capabilities.CREATE, requirement)
    if commodity.status != Commodity.Status.ACTIVE:
        words = f"{commodity.code} isn't active."
        raise rules.CommodityNotActive.at("/commodity_id", "not_active", words)
    contents.set_unit(requirement, commodity, unit)
    contents.apply(requirement, content)
    if publish:
        _put_up(requirement, actor)
    requirement.save()
    _write_parts(requirement, content)
    emit(
        events.RequirementCreated(
            **head(requirement),
            variety_ids=requirement.variety_ids,
            crop_years=requirement.crop_years,
            min_quantity=measured(requirement, requirement.min_quantity),
            preferred_quantity=measured(requirement, requirement.preferred_quantity),
            max_quantity=measured(requirement, requirement.max_quantity),
            bands=[
                events.BandFact(
                    parameter=band.parameter.code,
                    minimum=band.minimum,
                    maximum=band.maximum,
                    accepted_codes=band.accepted_codes,
                    required=band.required,
                )
                for band in requirement.bands.select_related("parameter").order_by("parameter__code")
            ],
            origin_state_codes=requirement.origin_state_codes,
            state_code=requirement.state_code,
            delivery_from_date=requirement.delivery_from_date,
            delivery_until_date=requirement.delivery_until_date,
            intent=requirement.intent,
            urgency=requirement.urgency,
            visibility=requirement.visibility,
        )
    )
    if publish:
        contents.require_complete(requirement)
        _tell_published(requirement, actor)
    return requirement


@service(
    requires=capabilities.CREATE,
    emits=[events.RequirementPublished],
    raises=[rules.InvalidState, rules.BuyerNotEligible, rules.Incomplete, rules.WindowInvalid],
)
def publish(requirement: Requirement, *, actor: Actor) -> Requirement:
    """Publish a draft: it is live at once, or when another person has approved it."""
    rules.require_status(requirement, _Status.DRAFT)
    contents.require_complete(requirement)
    _put_up(requirement, actor)
    requirement.updated_by_id = actor.pk
    requirement.save()
    _tell_published(requirement, actor)
    return requirement


def _put_up(requirement: Requirement, actor: Actor) -> None:
    """Let a draft be live, or wait for its approval. Raises BuyerNotEligible."""
    rules.require_buyer(requirement)
    compare_price(requirement, actor)
    requirement.published_at = clock.now()
    if beyond_approval(requirement):
        requirement.status = _Status.PENDING_APPROVAL
        requirement.expires_at = deadlines.expiry_of(requirement)
    else:
        go_live(requirement)


def go_live(requirement: Requirement) -> None:
    """Let it be matched. Its first terms are those that later ones are measured against, until others are approved."""
    requirement.live_since = requirement.live_since or clock.now()
    requirement.approved_terms = requirement.approved_terms or snapshot(requirement)
    requirement.editors, requirement.status_reason = [], ""
    requirement.status = ledger.live_status(requirement)
    requirement.expires_at = deadlines.expiry_of(requirement)


def _tell_published(requirement: Requirement, actor: Actor) -> None:
    asked = requirement.status == _Status.PENDING_APPROVAL
    request = request_approval(requirement, actor, "was published") if asked else None
    emit(
        events.RequirementPublished(
            **head(requirement),
            approval_asked=asked,
            approval_id=None if request is None else request.pk,
            intent=requirement.intent,
            visibility=requirement.visibility,
            expires_at=requirement.expires_at,
        )
    )


def _write_parts(requirement: Requirement, content: Content) -> tuple[list[str], list[str]]:
    """Write bands, places and invitations; return the groups that changed, and the parameters."""
    parameters = contents.write_bands(requirement, content.get("bands") or ())
    changed = {
        "bands": bool(parameters),
        "places": contents.write_places(requirement, content.get("places") or ()),
        "visibility": contents.write_invitations(requirement, content.get("invited_partners") or ()),
    }
    return [group for group, differs in changed.items() if differs], parameters


@service(
    requires=capabilities.UPDATE,
    emits=[events.RequirementUpdated, events.RequirementSubmitted, events.RequirementFulfilled],
    raises=[rules.InvalidState, rules.BelowCommitted, rules.IntentFixed, *CONTENT_ERRORS],
)
def update(requirement: Requirement, *, actor: Actor, content: Content) -> Requirement:
    """Replace what a requirement says. Above a threshold against the approved terms it needs another approval.

    The same values change nothing.
    """
    rules.require_status(requirement, *Requirement.EDITABLE)
    before = (requirement.max_quantity, requirement.ceiling_price, requirement.target_price)
    contents.apply(requirement, content)
    _require_room(requirement)
    parts, parameters = _write_parts(requirement, content)
    groups = list(dict.fromkeys([*contents.changed_groups(requirement), *parts]))
    if not groups:
        return requirement
    changes_terms = not contents.TERMS.isdisjoint(groups)
    _note_edit(requirement, actor, changes_terms=changes_terms)
    thresholds = _judge_edit(requirement, actor, before)
    requirement.save()
    if changes_terms:
        make_stale(requirement)
    emit(events.RequirementUpdated(**head(requirement), changed=groups, parameters=parameters))
    if requirement.status == _Status.FULFILLED:
        withdraw_request(requirement, actor)
        ledger.tell_fulfilled(requirement)
    elif requirement.status == _Status.PENDING_APPROVAL and (thresholds or changes_terms):
        withdraw_request(requirement, actor)
        request = request_approval(requirement, actor, "was edited")
        emit(events.RequirementSubmitted(**head(requirement), thresholds=thresholds, approval_id=request.pk))
    return requirement


def _require_room(requirement: Requirement) -> None:
    """Raise BelowCommitted or IntentFixed where what was bought doesn't fit what is wanted now."""
    bought = requirement.committed_quantity + requirement.purchased_quantity
    if requirement.cap < bought:
        raise rules.BelowCommitted(
            f"{bought.normalize():f} {requirement.unit} are committed or bought.", committed=f"{bought:f}"
        )
    if bought and requirement.intent == Requirement.Intent.PRICE_DISCOVERY_ONLY:
        raise rules.IntentFixed


def _note_edit(requirement: Requirement, actor: Actor, *, changes_terms: bool) -> None:
    requirement.updated_by_id = actor.pk
    if actor.pk is not None and actor.pk not in requirement.editors:
        requirement.editors = [*requirement.editors, actor.pk]
    if changes_terms:
        requirement.terms_version += 1
    requirement.raise_version()


def _judge_edit(requirement: Requirement, actor: Actor, before: tuple[Any, ...]) -> list[str]:
    """Set the status and deadlines that follow from an edit; return why it needs another approval."""
    if requirement.status == _Status.REJECTED:
        requirement.status = _Status.DRAFT
        return []
    if requirement.status == _Status.DRAFT:
        return []
    contents.require_complete(requirement)
    compare_price(requirement, actor)
    now = (requirement.max_quantity, requirement.ceiling_price, requirement.target_price)
    risen = any(new is not None and (old is None or new > old) for old, new in zip(before, now, strict=True))
    if risen and requirement.live_since is not None:
        requirement.live_since, requirement.carried_days = clock.now(), 0
    thresholds: list[str] = []
    was_live = requirement.is_live
    if requirement.status != _Status.SUSPENDED or requirement.is_complete:
        requirement.status = (
            ledger.live_status(requirement) if was_live or requirement.is_complete else requirement.status
        )
    if requirement.is_live or requirement.status == _Status.PENDING_APPROVAL:
        thresholds = beyond_approval(requirement)
        if thresholds:
            requirement.status = _Status.PENDING_APPROVAL
    requirement.expires_at = deadlines.expiry_of(requirement)
    return thresholds


def make_stale(requirement: Requirement) -> None:
    """Close the suggestions for terms that aren't those of the requirement any more."""
    requirement.suggestions.open().update(status=Suggestion.Status.STALE, opinion_due=False)


@service(
    requires=capabilities.CANCEL,
    emits=[events.RequirementCancelled],
    raises=[rules.InvalidState, rules.ReasonRequired, rules.DealPending],
)
def cancel(requirement: Requirement, *, actor: Actor, reason_code: str, reason: str = "") -> Requirement:
    """Cancel what is still wanted. Trades go on."""
    rules.require_status(requirement, *Requirement.CANCELLABLE)
    if reason_code == "OTHER" and not reason.strip():
        raise rules.ReasonRequired.at("/reason", "required", "Enter the reason.")
    ledger.require_no_deal(requirement)
    unfilled = requirement.open_quantity
    requirement.status, requirement.suspended_for = _Status.CANCELLED, []
    requirement.status_reason = reason or reason_code
    requirement.cancelled_at, requirement.cancelled_by_id = clock.now(), actor.pk
    requirement.expires_at = None
    requirement.save()
    withdraw_request(requirement)
    make_stale(requirement)
    emit(
        events.RequirementCancelled(
            **head(requirement),
            reason_code=reason_code,
            unfilled=measured(requirement, unfilled),
            committed=measured(requirement, requirement.committed_quantity),
            purchased=measured(requirement, requirement.purchased_quantity),
        )
    )
    return requirement
