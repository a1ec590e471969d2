"""Assess partners, listings and proposed trades; store what was read, and the newest word about each subject."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Q

from apps.availability.models import Availability, Reservation
from apps.commodities.exact import rounded
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import PaymentTerms
from apps.commodities.models.units import UnitDefinition
from apps.commodities.services.factors import factor_of
from apps.partners.models import Partner, PartnerRole
from apps.partners.models.partners import ROLES_OF
from apps.requirement.models import Requirement
from apps.risk import advice, capabilities, engine, events
from apps.risk.models import (
    ProviderCheck,
    RiskAssessment,
    RiskPolicy,
    RiskStatus,
    ScreeningHit,
    Side,
    Subject,
    Verdict,
    ordered,
)
from apps.risk.services import checks
from apps.risk.services.gathering import Party, Proposal, Reader, Reading, route_of, route_to
from apps.risk.services.policies import policy_for
from erp import clock, locks
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.services import emit, service

CHUNK: Final = 2_000  # rows of one statement
EARLY: Final = timedelta(hours=2)  # before it lapses, a word about a live listing is renewed
ANSWERS: Final = {
    Verdict.PASS: "allowed",
    Verdict.WARN: "allowed",
    Verdict.REVIEW: "under_review",
    Verdict.FAIL: "not_allowed",
}
ASSESS_EVENTS: Final = (
    events.RiskAssessed,
    events.RiskCheckRequested,
    events.RiskCheckAnswered,
    events.RiskHitFound,
    events.RiskPolicyChanged,
)
# What stays of a refusal that a judgement causes: the module that refuses names it in ``writes_on_refusal``.
WRITES: Final = (RiskAssessment, RiskPolicy, ProviderCheck, ScreeningHit)


class SubjectClosed(Conflict):
    """The subject has ended, so it isn't assessed any more."""


class SideNotHeld(RuleBroken):
    """The partner has no role on this side."""


class SourceMismatch(RuleBroken):
    """The reservation isn't one of this buyer on this offer."""


class UnitMismatch(RuleBroken):
    """The quantity or the price isn't in a unit of these goods."""


class Blocked(RuleBroken):
    """The risk assessment doesn't allow this."""


class _Subject(NamedTuple):
    """A subject, its rows, and the partner that it belongs to."""

    type: Subject
    key: str
    side: str | None
    owner: Partner | None = None
    requirement: Requirement | None = None
    availability: Availability | None = None
    partner: Partner | None = None


def _of_requirement(requirement: Requirement) -> _Subject:
    key = f"{Subject.REQUIREMENT}:{requirement.pk}"
    owner = requirement.buyer_partner
    return _Subject(Subject.REQUIREMENT, key, Side.BUYER, owner, requirement=requirement)


def _of_offer(offer: Availability) -> _Subject:
    owner = offer.seller_partner
    return _Subject(
        Subject.AVAILABILITY, f"{Subject.AVAILABILITY}:{offer.pk}", Side.SELLER, owner, None, offer
    )


def _of_partner(partner: Partner, side: str) -> _Subject:
    return _Subject(Subject.PARTNER, f"{Subject.PARTNER}:{partner.pk}:{side}", side, partner, partner=partner)


def held_sides(partner: Partner) -> list[str]:
    """The sides on which the partner has a role."""
    roles = set(PartnerRole.objects.filter(partner=partner, live=True).values_list("role", flat=True))
    sides = ((Side.BUYER, "buy"), (Side.SELLER, "sell"))
    return [str(side) for side, verb in sides if roles.intersection(ROLES_OF[verb])]


def _read(subject: _Subject, policy: RiskPolicy) -> Reading:
    """The figures of a listing or a partner."""
    reader = Reader(policy.content, clock.today())
    owner = subject.owner
    own = Q(partner_low=owner, partner_high=owner)  # not one of a trade with somebody else
    of_partner = own & Q(requirement=None, availability=None)
    if subject.requirement is not None:
        requirement = subject.requirement
        countries = tuple(filter(None, (requirement.country, requirement.origin_country)))
        party = Party(owner, Side.BUYER, (route_to(requirement).buyer,), countries)
        return reader.read(
            [party],
            deal=reader.of_requirement(requirement),
            scope=of_partner | own & Q(requirement=requirement, availability=None),
        )
    if subject.availability is not None:
        offer = subject.availability
        party = Party(owner, Side.SELLER, (route_of(offer, offer.country).seller,), (offer.country,))
        return reader.read([party], scope=of_partner | own & Q(availability=offer, requirement=None))
    assert subject.side is not None
    return reader.read([Party(owner, subject.side)], scope=of_partner)


def _assess(
    subject: _Subject, actor: Actor, *, cause: UUID | None = None, only_changes: bool = False
) -> RiskAssessment | None:
    """Assess a listing or a partner, one at a time for each: the newest row is made from the newest figures.

    ``only_changes``: nothing is stored where the figures are those of the current word, and it isn't about to lapse.
    """
    locks.hold(f"risk.subject:{subject.key}")
    listing = subject.requirement or subject.availability
    policy = policy_for(None if listing is None else listing.commodity_id)
    # Locked before anything is read: a mark that something has changed meanwhile waits, and lands after.
    words = RiskStatus.objects.locked().filter(**_ids(subject)).select_related("assessment")
    known: RiskStatus | None = words.first()
    reading = _read(subject, policy)
    if only_changes and known is not None and _is_current(known, reading, policy, listing):
        if known.stale:
            known.stale = False
            known.save()
        return None
    row = _store(subject, actor, policy, reading, cause, previous=None if known is None else known.status)
    status: Any = known or RiskStatus(**_ids(subject))
    status.owner, status.assessment, status.status, status.score = subject.owner, row, row.status, row.score
    status.valid_until, status.stale = row.valid_until, False
    status.renew_at = max(row.valid_until - EARLY, clock.now() + (row.valid_until - clock.now()) / 2)
    status.save()
    return row


def _ids(subject: _Subject) -> dict[str, Any]:
    return {
        "subject_type": subject.type,
        "requirement": subject.requirement,
        "availability": subject.availability,
        "partner": subject.partner,
        "side": subject.side,
    }


def _is_current(known: RiskStatus, reading: Reading, policy: RiskPolicy, listing: Any) -> bool:
    word = known.assessment
    version = word.requirement_version or word.availability_version
    same = word.inputs_digest == engine.digest(reading.inputs) and word.policy_id == policy.pk
    return same and version == (listing and listing.terms_version) and known.renew_at > clock.now()


def _store(
    subject: _Subject,
    actor: Actor,
    policy: RiskPolicy,
    reading: Reading,
    cause: UUID | None = None,
    *,
    previous: str | None = None,
    **proposed: Any,
) -> RiskAssessment:
    """Judge what was read, store it with its event, and ask for outside answers that are missing."""
    body = policy.content
    result = engine.judge(reading.inputs, body)
    now, deal = clock.now(), reading.inputs["deal"] or {}
    is_partner = subject.type == Subject.PARTNER
    longest = timedelta(days=body.partner_valid_days) if is_partner else timedelta(hours=body.valid_hours)
    value = deal.get("value")
    row = RiskAssessment(
        subject_type=subject.type,
        subject_key=subject.key,
        side=subject.side,
        requirement=subject.requirement,
        availability=subject.availability,
        partner=subject.partner,
        requirement_version=None if subject.requirement is None else subject.requirement.terms_version,
        availability_version=None if subject.availability is None else subject.availability.terms_version,
        value=None if value is None else Decimal(value),
        currency=deal.get("account_currency"),
        status=result.status,
        score=result.score,
        gates=result.gates,
        factors=result.factors,
        inputs=reading.inputs,
        inputs_digest=engine.digest(reading.inputs),
        policy=policy,
        engine_version=engine.VERSION,
        provider_checks=reading.checks,
        advice=advice.predict(reading.inputs),
        valid_until=min(now + longest, reading.until or datetime.max.replace(tzinfo=now.tzinfo)),
        requested_by_id=actor.pk,
        cause_event_id=cause,
        **proposed,
    )
    row.save()
    emit(
        events.RiskAssessed(
            assessment_id=row.pk,
            subject_type=row.subject_type,
            requirement_id=row.requirement_id,
            availability_id=row.availability_id,
            partner_id=row.partner_id,
            match_id=row.match_id,
            trade_id=row.trade_id,
            side=row.side,
            status=row.status,
            previous_status=previous,
            gate_codes=row.gate_codes,
            score=row.score,
            policy_version=policy.policy_version,
            valid_until=row.valid_until,
        )
    )
    sides = {gate["side"] for gate in row.gates if gate["code"] == "provider.missing"}
    asked = {
        party["partner_id"]
        for party in reading.inputs["parties"]
        if party["side"] in sides and party["partner_id"] is not None
    }
    for partner_id in sorted(asked):  # each holds a lock: always in the same order
        checks.request(UUID(partner_id), ProviderCheck.Kind.CREDIT_BUREAU)
    return row


@service(
    requires=capabilities.ASSESS,
    emits=ASSESS_EVENTS,
    raises=[SubjectClosed],
    lock_via=None,
    label="Check the risk",
    description="Check before publication whether the buyer may trade, and why not.",
)
def precheck(requirement: Requirement, *, actor: Actor) -> RiskAssessment:
    """Assess a requirement, also before it is published."""
    return _assess_requirement(requirement, actor)


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS, raises=[SubjectClosed], within="requirement")
def assess_requirement(*, actor: Actor, requirement: Requirement) -> RiskAssessment:
    """Assess a requirement: its buyer, and the credit for the smallest and the largest deal."""
    return _assess_requirement(requirement, actor)


def _assess_requirement(requirement: Requirement, actor: Actor) -> RiskAssessment:
    if requirement.status not in Requirement.EDITABLE:
        raise SubjectClosed(status_now=requirement.status)
    row = _assess(_of_requirement(requirement), actor)
    assert row is not None
    return row


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS, raises=[SubjectClosed], within="availability")
def assess_availability(*, actor: Actor, availability: Availability) -> RiskAssessment:
    """Assess an offer: its seller, and the route of the goods."""
    if availability.status not in Availability.EDITABLE:
        raise SubjectClosed(status_now=availability.status)
    row = _assess(_of_offer(availability), actor)
    assert row is not None
    return row


@service(
    requires=capabilities.ASSESS, emits=ASSESS_EVENTS, raises=[SubjectClosed, SideNotHeld], within="partner"
)
def assess_partner(*, actor: Actor, partner: Partner, side: str) -> RiskAssessment:
    """Assess a partner on one side."""
    if partner.status in (Partner.Status.CLOSED, Partner.Status.REJECTED):
        raise SubjectClosed(status_now=partner.status)
    if side not in held_sides(partner):
        raise SideNotHeld.at("/side", "not_held", "The partner has no role on this side.")
    row = _assess(_of_partner(partner, side), actor)
    assert row is not None
    return row


@service(
    requires=capabilities.ASSESS,
    emits=ASSESS_EVENTS,
    raises=[SubjectClosed, SourceMismatch, UnitMismatch],
    label="Assess a proposed trade",
)
def assess_trade(
    *,
    actor: Actor,
    requirement: Requirement,
    availability: Availability,
    quantity: Mapping[str, Any],
    price: Mapping[str, Any],
    payment_term: PaymentTerms | None = None,
    match_id: UUID | None = None,
    reservation_id: UUID | None = None,
) -> RiskAssessment:
    """Assess a trade that staff propose: both sides, the pair, and the credit for this quantity at this price.

    ``quantity``: value and unit, the offer's or one of weight; ``price``: amount, currency and pricing unit.
    """
    if requirement.status not in Requirement.OPEN:
        raise SubjectClosed(status_now=requirement.status)
    if availability.status not in Availability.LIVE:
        raise SubjectClosed(status_now=availability.status)
    if price["currency"] != price["pricing_unit"].currency:
        raise UnitMismatch.at("/price/currency", "unit_mismatch", "It isn't that of the pricing unit.")
    if reservation_id is not None:
        held = Reservation.objects.filter(pk=reservation_id).first()
        expected = (availability.pk, requirement.buyer_partner_id)
        if held is None or (held.availability_id, held.holder_partner_id) != expected:
            raise SourceMismatch.at("/reservation_id", "mismatch", "It is of another buyer or offer.")
        if match_id is not None and held.match_id not in (None, match_id):
            raise SourceMismatch.at("/match_id", "mismatch", "The reservation is of another match.")
    row: RiskAssessment = judge(
        actor=actor,
        requirement=requirement,
        availability=availability,
        quantity_kg=_kg_of(availability, quantity["value"], quantity["unit"]),
        price=price["amount"],
        pricing_unit=price["pricing_unit"],
        currency=price["currency"],
        payment_term=payment_term,
        match_id=match_id,
        reservation_id=reservation_id,
    )
    return row


def _kg_of(offer: Availability, value: Decimal, unit: str) -> Decimal:
    """A quantity in kilograms: packages by the offer's weight. Raises UnitMismatch for what isn't a weight."""
    if unit == offer.unit:
        return offer.weight_of(value)
    defined = UnitDefinition.objects.active().on(clock.today()).filter(unit__code=unit).select_related("unit")
    found = defined.first()
    if found is None or found.unit.dimension != "MASS":
        raise UnitMismatch.at("/quantity/unit", "unit_mismatch", f"Enter {offer.unit} or a unit of weight.")
    return rounded(Fraction(value) * factor_of(found).value, 3)


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS, requires_transaction=True)
def judge(
    *,
    actor: Actor,
    requirement: Requirement,
    availability: Availability,
    quantity_kg: Decimal,
    price: Decimal,
    pricing_unit: PricingUnit,
    currency: str,
    payment_term: PaymentTerms | None = None,
    match_id: UUID | None = None,
    reservation_id: UUID | None = None,
    trade_id: UUID | None = None,
) -> RiskAssessment:
    """Judge a trade for a module above, in its transaction: the assessment and its event are stored with its work.

    Without ``payment_term`` the offer's counts. FAIL and REVIEW raise nothing: the caller returns a refusal that
    commits (``own_reasons``, ``Blocked``), so that the assessment stays. No row is locked: the hold of credit, under
    the lock of its account, stops trades side by side.
    """
    policy = policy_for(availability.commodity_id)
    buyer, seller = requirement.buyer_partner, availability.seller_partner
    reader = Reader(policy.content, clock.today())
    term = payment_term or availability.payment_term
    deal = reader.of_trade(availability, Proposal(quantity_kg, price, pricing_unit, currency, term))
    destination = requirement.country
    permissions = route_of(availability, destination)
    low, high = ordered(buyer.pk, seller.pk)
    on_listings = (Q(requirement=None) | Q(requirement=requirement)) & (
        Q(availability=None) | Q(availability=availability)
    )
    reading = reader.read(
        [
            Party(buyer, Side.BUYER, (permissions.buyer,), (destination,)),
            Party(seller, Side.SELLER, (permissions.seller,), (availability.country,)),
        ],
        sources=[source for source in (reservation_id, trade_id) if source is not None],
        deal=deal,
        scope=Q(partner_low=low, partner_high=high) & on_listings,
        capped=True,
    )
    key = f"{Subject.TRADE}:{requirement.pk}:{availability.pk}"
    return _store(
        _Subject(Subject.TRADE, key, None, None, requirement, availability),
        actor,
        policy,
        reading,
        match_id=match_id,
        trade_id=trade_id,
        reservation_id=reservation_id,
        quantity=quantity_kg,
        unit="KG",
        price=price,
        pricing_unit=pricing_unit.code,
    )


def own_reasons(assessment: RiskAssessment, side: str) -> list[str]:
    """Codes that a side may read about itself: none of the other side, no link, hit or score."""
    return list(
        dict.fromkeys(
            gate["code"]
            for gate in assessment.gates
            if gate["side"] == side and gate["override_id"] is None and gate["code"] in engine.OWN_CODES
        )
    )


def is_of_other(assessment: RiskAssessment, side: str) -> bool:
    """Whether nothing but the other side blocks, of which this one may read nothing (rulings X10)."""
    counted = (gate for gate in assessment.gates if gate["override_id"] is None)
    blocking = [gate["side"] for gate in counted if gate["outcome"] in (Verdict.FAIL, Verdict.REVIEW)]
    return bool(blocking) and not {side, None}.intersection(blocking)


def answer_for(assessment: RiskAssessment) -> str:
    """What a partner is told: allowed, not_allowed or under_review."""
    return ANSWERS[Verdict(assessment.status)]


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS)
def reassess(*, actor: Actor, status: RiskStatus, cause: UUID | None = None) -> RiskAssessment | None:
    """Assess a subject anew after something has changed, or before its word lapses."""
    if status.requirement_id is not None:
        return _follow_requirement(status.requirement_id, actor, cause)
    if status.availability_id is not None:
        return _follow_availability(status.availability_id, actor, cause)
    assert status.partner is not None
    return _assess(_of_partner(status.partner, status.side), actor, cause=cause, only_changes=True)


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS)
def follow_requirement(
    *, actor: Actor, requirement_id: UUID, cause: UUID | None = None
) -> RiskAssessment | None:
    """Assess a requirement as it stands now, if it can still be traded; a late event finds the newest row."""
    return _follow_requirement(requirement_id, actor, cause)


def _follow_requirement(requirement_id: UUID, actor: Actor, cause: UUID | None) -> RiskAssessment | None:
    rows = Requirement.objects.select_related("buyer_partner", "commodity", "pricing_unit")
    row = rows.filter(pk=requirement_id, status__in=Requirement.OPEN).first()
    return row and _assess(_of_requirement(row), actor, cause=cause, only_changes=True)


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS)
def follow_availability(
    *, actor: Actor, availability_id: UUID, cause: UUID | None = None
) -> RiskAssessment | None:
    """Assess an offer as it stands now, if it can still be traded."""
    return _follow_availability(availability_id, actor, cause)


def _follow_availability(availability_id: UUID, actor: Actor, cause: UUID | None) -> RiskAssessment | None:
    rows = Availability.objects.select_related("seller_partner", "commodity")
    row = rows.filter(pk=availability_id, status__in=Availability.LIVE).first()
    return row and _assess(_of_offer(row), actor, cause=cause, only_changes=True)


@service(requires=capabilities.ASSESS, emits=ASSESS_EVENTS)
def follow_partner(*, actor: Actor, partner_id: UUID, cause: UUID | None = None) -> int:
    """Assess a partner on its sides, and mark its listings to be assessed anew; return how many listings there are."""
    partner = Partner.objects.get(pk=partner_id)
    listings = RiskStatus.objects.of_owner(partner_id).exclude(subject_type=Subject.PARTNER)
    marked = _mark(
        listings.of_live_listings()
    )  # first: whoever assesses one holds its row before other locks
    for side in held_sides(partner):
        _assess(_of_partner(partner, side), actor, cause=cause, only_changes=True)
    return marked


def _mark(rows: Any) -> int:
    """Mark words to be assessed anew, locked by id; one that is marked already too, since its mark may just be used."""
    keys = list(rows.locked().order_by("pk").values_list("pk", flat=True))
    return sum(
        RiskStatus.objects.filter(pk__in=keys[start : start + CHUNK]).update(stale=True)
        for start in range(0, len(keys), CHUNK)
    )


@service(
    requires=capabilities.ASSESS, machinery="marks words about subjects, which are assessed anew by the sweep"
)
def mark_stale(*, actor: Actor, commodity_id: UUID | None = None, only_review: bool = False) -> int:
    """Mark the words about live subjects to be assessed anew: of a commodity, or of all."""
    rows = RiskStatus.objects.of_live_listings()
    if commodity_id is not None:
        rows = rows.filter(Q(requirement__commodity=commodity_id) | Q(availability__commodity=commodity_id))
    if only_review:
        rows = rows.filter(status=Verdict.REVIEW)
    return _mark(rows)
