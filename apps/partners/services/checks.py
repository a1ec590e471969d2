"""Checks with registries: what is asked, what an answer means, and the score and route that follow (partners §5)."""

import random
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from apps.partners import capabilities, events
from apps.partners.models import (
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerLocation,
    PartnerRole,
    PartyLink,
    TaxRegistration,
    Vehicle,
)
from apps.partners.services import links, permissions
from apps.partners.services.rules import (
    InvalidState,
    lock_partner_of,
    require_another_person,
    roles_of,
)
from erp import clock, encryption
from erp.access import Actor
from erp.services import emit, service
from erp.text import name_score

WHOLE_NAME: Final = Decimal("0.800")
BARE_NAME: Final = Decimal("0.900")
# Words of the trade, which many firms share: what remains must fit better ("Mahalaxmi Ginning Factory").
TRADE_WORDS: Final = frozenset(
    {
        "cotton", "ginning", "pressing", "factory", "industries", "industry", "traders", "trading", "spinning",
        "mills", "mill", "brothers", "bros", "enterprise", "enterprises", "textiles", "textile", "corporation",
        "spinners", "ginners", "brokers", "roadways", "transport", "sons",
    }
)  # fmt: skip
HOURS_TO_WAIT: Final = 24  # for registries, until a person looks without them
_MINUTES_AT_MOST: Final = 60
_Status = KycCheck.Status


def names_fit(declared: str, answered: str) -> tuple[Decimal, bool]:
    """How alike two names of a firm are, and whether they are taken for the same.

    Both the whole names and what remains without words of the trade must fit (rulings §5).
    """
    whole = name_score(declared, answered)
    bare = name_score(declared, answered, without=TRADE_WORDS)
    if not bare and whole == 1:  # nothing but words of the trade
        return whole, True
    return whole, whole >= WHOLE_NAME and bare >= BARE_NAME


def _best(partner: Partner, answered: list[str]) -> tuple[Decimal, bool]:
    """The better of legal name and trade name against each answered name."""
    declared = [name for name in (partner.legal_name, partner.trade_name) if name]
    scores = [names_fit(ours, theirs) for ours in declared for theirs in answered if theirs]
    return max(scores, key=lambda score: (score[1], score[0]), default=(Decimal("0.000"), False))


def inputs_of(check: KycCheck) -> dict[str, str] | None:
    """What the registry is asked; None where its subject is gone."""
    partner = check.partner
    if check.kind == KycCheck.Kind.PAN:
        return {"pan": partner.pan or "", "name": partner.legal_name}
    if check.kind == KycCheck.Kind.GST:
        registration = TaxRegistration.objects.filter(pk=check.subject_id).first()
        return registration and {"gstin": registration.gstin or "", "name": partner.legal_name}
    if check.kind == KycCheck.Kind.BANK:
        account = PartnerBankAccount.objects.filter(pk=check.subject_id).first()
        return account and {
            "account": account.number or "", "ifsc": account.ifsc or "", "name": account.holder,
            "reference": str(check.pk),
        }  # fmt: skip
    place = PartnerLocation.objects.filter(pk=check.subject_id).first()
    if place is None:
        return None
    address = ", ".join(filter(None, (place.line1, place.line2, place.city, place.district)))
    return {"address": address, "postal_code": place.postal_code, "country": place.country}


def _hash_of(inputs: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(inputs.items()) if name != "reference")
    return encryption.keyed_hash(text, context="partner.check")


def ask(
    partner: Partner,
    kind: str,
    subject_id: UUID,
    round: OnboardingRound | None,
    *,
    asked_by: UUID | None = None,
) -> bool:
    """Open a check, or open it anew where its input changed; return whether the registry is asked.

    ``asked_by`` entered what is checked outside of a round, whose editors are stored.
    """
    check = KycCheck.objects.filter(partner=partner, round=round, kind=kind, subject_id=subject_id).first()
    check = check or KycCheck(
        partner=partner, round=round, kind=kind, subject_id=subject_id, mandatory=kind in KycCheck.MANDATORY
    )
    inputs = inputs_of(check)
    hashed = _hash_of(inputs) if inputs is not None else ""
    same = check.input_hash == hashed and check.status != _Status.FAILED
    if inputs is None or (not check.is_new and same):
        return False
    check.asked_by_id = asked_by
    _open(check, hashed)
    return True


def makers_of(check: KycCheck) -> set[UUID]:
    """Who entered what is checked: whoever asked, wrote to the file or added the bank account."""
    account = PartnerBankAccount.objects.filter(pk=check.subject_id).first()
    makers = {check.asked_by_id, None if account is None else account.created_by_id}
    if check.round is not None:
        makers.update(check.round.editors.values_list("user_id", flat=True))
    return {maker for maker in makers if maker is not None}


def _open(check: KycCheck, hashed: str) -> None:
    check.input_hash, check.status, check.attempts = hashed, _Status.PENDING, 0
    check.next_attempt_at, check.error_code, check.answered_at = clock.now(), None, None
    check.name_score, check.result = None, {}
    check.save()


@service(requires=capabilities.OPERATE, emits=[events.CheckRecorded], lock_via=lock_partner_of)
def recheck_registration(registration: TaxRegistration, *, actor: Actor) -> TaxRegistration:
    """Ask the GST registry about a registration in use again, once in a calendar month."""
    gst, partner_id = KycCheck.Kind.GST, registration.partner_id
    asked = KycCheck.objects.filter(kind=gst, subject_id=registration.pk)
    due = TaxRegistration.objects.in_use().checked_before(month_start()).filter(pk=registration.pk)
    if asked.filter(status=_Status.PENDING).exists() or not due.exists():
        return registration
    check = asked.filter(round=None).first() or KycCheck(
        partner_id=partner_id, kind=gst, subject_id=registration.pk, mandatory=True
    )
    _open(check, _hash_of(inputs_of(check) or {}))
    emit(
        events.CheckRecorded(
            partner_id=partner_id, check_id=check.pk, kind=check.kind, check_status=check.status
        )
    )
    return registration


def month_start() -> datetime:
    """The first moment of this month in Kolkata."""
    return datetime.combine(clock.today().replace(day=1), time(), clock.KOLKATA)


def ask_registries(round: OnboardingRound) -> int:
    """Open the checks of a round; return how many registries are asked (partners §5.3)."""
    partner = round.partner
    wanted: list[tuple[str, UUID]] = []
    if partner.pan_hash is not None:
        wanted.append((KycCheck.Kind.PAN, partner.pk))
    accounts = PartnerBankAccount.objects.filter(partner=partner)
    places = PartnerLocation.objects.filter(partner=partner, status="active")
    if round.kind == OnboardingRound.Kind.ONBOARDING:
        accounts = accounts.filter(status="pending_verification")
    else:  # a renewal asks about accounts in use again, and not about places on the map
        accounts = accounts.filter(status__in=["pending_verification", "verified"])
        places = places.filter(geo_status=PartnerLocation.Geo.PENDING)
    for kind, rows in (
        (KycCheck.Kind.GST, TaxRegistration.objects.filter(partner=partner)),
        (KycCheck.Kind.BANK, accounts),
        (KycCheck.Kind.GEOCODE, places),
    ):
        wanted += [(kind, pk) for pk in rows.order_by("id").values_list("pk", flat=True)]
    gone = KycCheck.objects.filter(round=round).exclude(subject_id__in=[pk for _, pk in wanted])
    for check in gone:
        check.delete()
    return sum(ask(partner, kind, pk, round) for kind, pk in wanted)


@service(
    requires=capabilities.OPERATE,
    emits=[
        events.CheckRecorded,
        events.RegistrationChecked,
        events.PartnerLocationLocated,
        events.OnboardingAssessed,
        events.PermissionsChanged,
    ],
    lock_via=lock_partner_of,
)
def record_check(
    check: KycCheck,
    *,
    actor: Actor,
    input_hash: str,
    answer: dict[str, Any] | None = None,
    provider: str = "",
    error_code: str = "",
) -> KycCheck:
    """Record a registry's answer, or that there is none yet; then the next attempt follows later.

    An answer to an earlier input, and a second answer, are dropped.
    """
    if check.status != _Status.PENDING or check.input_hash != input_hash:
        return check
    check.attempts += 1
    check.provider = provider or check.provider
    if answer is None:
        minutes = min(_MINUTES_AT_MOST, 2**check.attempts)
        wait = timedelta(minutes=minutes * random.uniform(0.5, 1))  # noqa: S311 - spreads the load
        check.error_code, check.next_attempt_at = error_code, clock.now() + wait
    else:
        check.answered_at, check.error_code, check.next_attempt_at = clock.now(), None, None
        _APPLY[KycCheck.Kind(check.kind)](check, answer)
    check.save()
    emit(
        events.CheckRecorded(
            partner_id=check.partner_id, check_id=check.pk, kind=check.kind, check_status=check.status
        )
    )
    if check.round is not None and check.status != _Status.PENDING:
        assess_if_complete(check.round)
    return check


def _judge(check: KycCheck, good: bool, names: list[str]) -> None:
    check.name_score, fits = _best(check.partner, names)
    check.status = _Status.FAILED if not good else _Status.PASSED if fits else _Status.REVIEW


def _apply_gst(check: KycCheck, answer: dict[str, Any]) -> None:
    registration = TaxRegistration.objects.get(pk=check.subject_id)
    old = registration.registry_status
    registration.registry_status = answer["status"]
    registration.legal_name = answer.get("legal_name", "")
    registration.type = answer.get("type")
    registered = answer.get("registration_date")
    registration.registration_date = date.fromisoformat(registered) if registered else None
    registration.filing_grade = answer.get("filing")
    turnover = answer.get("turnover")
    registration.turnover = Decimal(turnover) if turnover else None
    registration.checked_at = clock.now()
    registration.save()
    if old != registration.registry_status:
        emit(
            events.RegistrationChecked(
                partner_id=check.partner_id,
                registration_id=registration.pk,
                old_status=old,
                new_status=registration.registry_status,
            )
        )
        permissions.recompute(check.partner)
    active = registration.registry_status == TaxRegistration.RegistryStatus.ACTIVE
    _judge(check, active, [answer.get("legal_name", ""), answer.get("trade_name", "")])
    check.result = {"registry_status": registration.registry_status, "type": registration.type}


def _apply_pan(check: KycCheck, answer: dict[str, Any]) -> None:
    good = answer["valid"] and answer.get("operative", False)
    check.name_score, fits = names_fit(check.partner.legal_name, answer.get("name", ""))
    check.status = _Status.FAILED if not good else _Status.PASSED if fits else _Status.REVIEW
    check.result = {"valid": answer["valid"], "operative": answer.get("operative", False)}


def _apply_bank(check: KycCheck, answer: dict[str, Any]) -> None:
    _judge(check, answer["status"] == "open", [answer.get("holder", "")])
    check.result = {"account_status": answer["status"]}


def _apply_geocode(check: KycCheck, answer: dict[str, Any]) -> None:
    place = PartnerLocation.objects.get(pk=check.subject_id)
    confidence = Decimal(answer["confidence"])
    geo = PartnerLocation.Geo
    place.geo_status = (
        geo.LOCATED if confidence >= Decimal("0.90")
        else geo.APPROXIMATE if confidence >= Decimal("0.50")
        else geo.UNLOCATED
    )  # fmt: skip
    if place.geo_status != geo.UNLOCATED:
        place.latitude, place.longitude = Decimal(answer["latitude"]), Decimal(answer["longitude"])
    place.save()
    check.status, check.result = _Status.PASSED, {"geo_status": place.geo_status}
    emit(
        events.PartnerLocationLocated(
            partner_id=check.partner_id, location_id=place.pk, geo_status=place.geo_status
        )
    )


_APPLY: Final = {
    KycCheck.Kind.GST: _apply_gst,
    KycCheck.Kind.PAN: _apply_pan,
    KycCheck.Kind.BANK: _apply_bank,
    KycCheck.Kind.GEOCODE: _apply_geocode,
}


@service(
    requires=capabilities.VERIFY_KYC,
    emits=[events.CheckRecorded, events.OnboardingAssessed],
    raises=[InvalidState],
    lock_via=lock_partner_of,
    label="Settle by hand",
    description="Settle a check that waits for a registry or for a person, with the evidence that you saw.",
)
def settle_check(check: KycCheck, *, actor: Actor, reason: str) -> KycCheck:
    """Settle a pending check, or one in review, as passed. Nobody who wrote to the file may; a failed one stays."""
    if check.status not in (_Status.PENDING, _Status.REVIEW):
        raise InvalidState.of_status(
            check, "Only a check that is pending or in review can be settled by hand."
        )
    require_another_person(actor, *makers_of(check))
    check.status, check.settled_by_id, check.settled_reason = _Status.PASSED, actor.pk, reason
    check.answered_at, check.next_attempt_at = clock.now(), None
    check.result = {**check.result, "by_hand": True}
    check.save()
    emit(
        events.CheckRecorded(
            partner_id=check.partner_id, check_id=check.pk, kind=check.kind, check_status=check.status
        )
    )
    if check.round is not None:
        assess_if_complete(check.round)
    return check


@service(requires=capabilities.OPERATE, emits=[events.OnboardingAssessed], lock_via=lock_partner_of)
def assess_overdue(round: OnboardingRound, *, actor: Actor) -> OnboardingRound:
    """Submit a round for review although a registry has not answered for a day."""
    waiting = round.status == OnboardingRound.Status.VERIFICATION_PENDING
    submitted = round.submitted_at
    if waiting and submitted is not None and submitted <= clock.now() - timedelta(hours=HOURS_TO_WAIT):
        _assess(round)
    return round


@service(requires=capabilities.OPERATE, emits=[events.OnboardingAssessed], lock_via=lock_partner_of)
def reassess(round: OnboardingRound, *, actor: Actor) -> OnboardingRound:
    """Score a file under review anew after something about the partner has changed, such as a related party."""
    if round.status == OnboardingRound.Status.UNDER_REVIEW:
        _assess(round)
    return round


def assess_if_complete(round: OnboardingRound) -> None:
    """Score a round and submit it for review once every mandatory check has an answer; rescore it in review."""
    if round.status not in (OnboardingRound.Status.VERIFICATION_PENDING, OnboardingRound.Status.UNDER_REVIEW):
        return
    if round.status == OnboardingRound.Status.UNDER_REVIEW or not (
        KycCheck.objects.filter(round=round, mandatory=True, status=_Status.PENDING).exists()
    ):
        _assess(round)


def _assess(round: OnboardingRound) -> None:
    partner = round.partner
    checks = list(KycCheck.objects.filter(round=round))
    parts = score_parts(partner, checks, clock.today())
    score = score_of(parts)
    before = (round.status, round.trust_score, round.route, round.score_parts)
    round.status = OnboardingRound.Status.UNDER_REVIEW
    round.score_parts, round.trust_score = parts, score
    round.risk_category = category_of(score)
    round.route = route_of(partner, checks, score)
    if before == (round.status, round.trust_score, round.route, round.score_parts):
        return
    round.save()
    open_checks = sum(
        check.status not in (_Status.PASSED, _Status.WAIVED) for check in checks if check.mandatory
    )
    emit(
        events.OnboardingAssessed(
            partner_id=partner.pk,
            round_id=round.pk,
            trust_score=score,
            category=round.risk_category,
            route=round.route,
            open_checks=open_checks,
        )
    )


def score_of(parts: Mapping[str, int]) -> int:
    """The score of points by factor: 0 to 100, higher is safer."""
    return max(0, min(100, 50 + sum(parts.values())))


def category_of(score: int) -> str:
    """Risk category of a score."""
    category = Partner.Category
    if score >= 70:
        return category.LOW
    return category.MEDIUM if score >= 40 else category.HIGH if score >= 20 else category.CRITICAL


def route_of(partner: Partner, checks: list[KycCheck], score: int) -> str:
    """Who may decide: by score, and at least the director where the case is special (partners §5.4)."""
    route = OnboardingRound.Route
    kinds = {role.service_kind for role in roles_of(partner)}
    special = (
        kinds & {"controller", "financer", "shipping_agent"}
        or partner.country in settings.PARTNER_HIGH_RISK_COUNTRIES
        or any(check.status == _Status.WAIVED for check in checks)
        or shares_pan(partner)
        or links.is_linked(partner)
        or score < 40
    )
    if special:
        return route.DIRECTOR
    linked = PartyLink.objects.of(partner.pk).effective().exists()
    plain = score >= 70 and partner.no_gst_reason is None and not linked
    return route.AUTO if plain else route.MANAGER


def shares_pan(partner: Partner) -> bool:
    """Whether another partner beyond a draft, also a rejected or closed one, has the same PAN."""
    if partner.pan_hash is None:
        return False
    others = Partner.objects.filter(pan_hash=partner.pan_hash).exclude(pk=partner.pk)
    return bool(others.exclude(status=Partner.Status.DRAFT).exists())


_FORM_POINTS: Final = {
    "private_limited": 15, "public_limited": 15, "llp": 10, "partnership": 5, "proprietorship": -5,
}  # fmt: skip
_FILING_POINTS: Final = {"excellent": 15, "good": 10, "poor": -25}


def _points(value: Decimal | int, steps: tuple[tuple[int, int], ...]) -> int:
    """Points of the highest step that the value reaches."""
    return next((points for least, points in steps if value >= least), 0)


def months_between(start: date, end: date) -> int:
    """Whole calendar months from one day to another."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - (end.day < start.day)


def score_parts(partner: Partner, checks: list[KycCheck], day: date) -> dict[str, int]:
    """Points by factor; with 50 they add up to the score before it is cut to 0–100 (partners §5.4).

    A missing answer never counts as good.
    """
    roles = roles_of(partner)
    main = TaxRegistration.objects.filter(partner=partner, is_main=True).first()
    verified = set(
        PartnerDocument.objects.valid_on(day).filter(partner=partner).values_list("document_type", flat=True)
    )
    since = main.registration_date if main is not None else None
    if since is None and "incorporation_cert" in verified:
        since = partner.incorporation_date
    months = months_between(since, day) if since is not None else 0
    turnover = main.turnover if main is not None and main.turnover is not None else Decimal(0)
    mandatory = [check.status for check in checks if check.mandatory]
    place = PartnerLocation.objects.filter(partner=partner, kind=PartnerLocation.Kind.PRINCIPAL).first()
    own = {vehicle.pk for vehicle in Vehicle.objects.roadworthy(day).filter(partner=partner)}
    sells = any(role.role == PartnerRole.Role.SELLER for role in roles)
    transports = any(role.service_kind == PartnerRole.ServiceKind.TRANSPORTER for role in roles)
    parts = {
        "age": _points(months, ((60, 20), (24, 10), (12, 0), (0, -15))),
        "legal_form": _FORM_POINTS.get(partner.legal_form, 0),
        "turnover": _points(turnover, ((10_000_000, 15), (5_000_000, 10), (1_000_000, 5))),
        "filing": _FILING_POINTS.get(main.filing_grade or "", 0) if main is not None else 0,
        "laboratory": 10 if sells and "lab_accreditation" in verified else 0,
        "vehicles": 5 if sells and own else 0,
        "open_checks": -10 * sum(status in (_Status.REVIEW, _Status.PENDING) for status in mandatory),
        "failed_checks": -25 * sum(status == _Status.FAILED for status in mandatory),
        "no_gst": -15 if partner.no_gst_reason is not None else 0,
        "place": {"approximate": -5, "unlocated": -10}.get(place.geo_status if place else "", 0),
        "country": _country_points(partner),
        "fleet": _fleet_points(partner, day) if transports else 0,
    }  # fmt: skip
    return {factor: points for factor, points in parts.items() if points}


def _country_points(partner: Partner) -> int:
    if partner.is_indian:
        return 0
    if partner.country in settings.PARTNER_HIGH_RISK_COUNTRIES:
        return -40
    return -20 if partner.country in settings.PARTNER_MEDIUM_RISK_COUNTRIES else -10


def _fleet_points(partner: Partner, day: date) -> int:
    fleet = Vehicle.objects.filter(partner=partner, status=Vehicle.Status.ACTIVE).count()
    ending = PartnerDocument.objects.valid_on(day).filter(
        partner=partner,
        document_type=PartnerDocument.Type.VEHICLE_INSURANCE,
        expiry_date__lte=day + timedelta(days=30),
    )
    return (-10 if fleet < 5 else -5 if fleet <= 20 else 0) + (-15 if ending.exists() else 0)


def suggested_limit(round: OnboardingRound) -> Decimal | None:
    """A credit limit for staff to consider: 15, 10 or 5 % of the registry's turnover; never applied by itself."""
    main = TaxRegistration.objects.filter(partner=round.partner, is_main=True).first()
    if main is None or main.turnover is None or round.trust_score is None:
        return None
    percent = _points(round.trust_score, ((70, 15), (40, 10), (0, 5)))
    suggested: Decimal = (main.turnover * percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return suggested
