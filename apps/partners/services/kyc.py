"""Renewal of KYC, reminders, and what its dates bring (partners §5.7). Everything reads dates and catches up."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.conf import settings

from apps.partners import capabilities, events
from apps.partners.models import (
    KycCheck,
    KycNotice,
    OnboardingRound,
    Partner,
    PartnerDocument,
    PartyLink,
    Scorecard,
)
from apps.partners.models.partners import GRACE_DAYS
from apps.partners.services import exposure, permissions
from apps.partners.services.checks import category_of, score_of, score_parts
from apps.partners.services.decisions import APPROVAL_ERRORS, KYC_DAYS, close_approved, decided_round
from apps.partners.services.onboarding import OnboardingOpen
from apps.partners.services.rules import InvalidState, add_editor, open_round
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Forbidden, Invalid
from erp.services import Refusal, emit, service

RENEWAL_DAYS: Final = 30  # until a renewal that nobody goes on with ends
EARLIEST_DAYS: Final = 90  # before the expiry day
THRESHOLDS: Final = (90, 60, 30, 7)
MONTH: Final = 0  # stands for a step of the month, among the thresholds
MOVE: Final = 10  # points that a monthly score may differ without a change
_Kind = OnboardingRound.Kind


class RenewalTooEarly(Conflict):
    """KYC can be renewed from 90 days before it expires."""


class StaffOnly(Forbidden):
    """Only staff can start this renewal."""


@service(
    requires=capabilities.UPDATE,
    emits=[events.RenewalStarted],
    raises=[InvalidState, RenewalTooEarly, OnboardingOpen, StaffOnly],
    label="Renew KYC",
)
def renew_kyc(partner: Partner, *, actor: Actor, kind: str = "annual", reason: str = "") -> OnboardingRound:
    """Start a renewal of KYC: a round with the same papers, submission and questions. A suspended partner may."""
    if partner.status not in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED):
        raise InvalidState.of_status(partner)
    ad_hoc = kind == "ad_hoc"
    if ad_hoc and not (actor.is_staff or actor.is_system):
        raise StaffOnly
    if ad_hoc and not reason:
        raise Invalid(errors=[FieldError("/reason", "required", "Say why the KYC is renewed.")])
    if open_round(partner) is not None:
        raise OnboardingOpen
    due = partner.kyc_expiry_date or clock.today()
    first_day = due - timedelta(days=EARLIEST_DAYS)
    if not ad_hoc and first_day > clock.today():
        raise RenewalTooEarly(f"From {first_day} on.", possible_from=str(first_day))
    number = OnboardingRound.objects.filter(partner=partner).count() + 1
    round = OnboardingRound(
        partner=partner,
        number=number,
        kind=_Kind.AD_HOC if ad_hoc else _Kind.ANNUAL,
        started_by_id=actor.pk,
        reason=reason or None,
        expires_at=clock.now() + timedelta(days=RENEWAL_DAYS),
    )
    round.save()
    add_editor(round, actor)
    emit(events.RenewalStarted(partner_id=partner.pk, round_id=round.pk, kind=round.kind, due_date=due))
    return round


@service(
    requires=capabilities.VERIFY_KYC,
    emits=[events.RenewalCompleted, events.PermissionsChanged, events.RelatedPartyDetected],
    raises=APPROVAL_ERRORS,
    writes_on_refusal=[PartyLink],
    label="Complete KYC renewal",
)
def complete_renewal(partner: Partner, *, actor: Actor, round_id: UUID, notes: str = "") -> Partner | Refusal:
    """Complete a renewal under the rules of an approval. A suspended partner stays suspended.

    Renewed in time, the KYC runs from the old expiry day; late, from today; never shorter than before.
    """
    round = decided_round(partner, actor, _Kind.ANNUAL, _Kind.AD_HOC)
    if isinstance(round, Refusal):
        return round
    if round.pk != round_id:
        raise InvalidState.of_status(partner, "This round isn't the one under review.")
    term = timedelta(days=KYC_DAYS[round.risk_category or "critical"])
    today, old = clock.today(), partner.kyc_expiry_date or clock.today()
    start = old if today <= old and round.kind == _Kind.ANNUAL else today
    partner.kyc_verified_date, partner.kyc_expiry_date = today, max(start + term, old)
    partner.trust_score, partner.risk_category = round.trust_score, round.risk_category
    partner.save()
    close_approved(round, actor, notes)
    permissions.recompute(partner)
    emit(
        events.RenewalCompleted(
            partner_id=partner.pk,
            round_id=round.pk,
            kyc_expiry_date=partner.kyc_expiry_date,
            completed_by=actor.pk,
        )
    )
    return partner


def _threshold(expiry: date, today: date) -> int | None:
    """The nearest threshold that has been reached; after an outage only that one counts."""
    left = (expiry - today).days
    return min((days for days in THRESHOLDS if left <= days), default=None) if left >= 0 else None


@service(
    requires=capabilities.OPERATE,
    emits=[
        events.KycReminded,
        events.KycExpired,
        events.KycLapsed,
        events.PartnerSuspended,
        events.ExposureReleased,
        events.ThresholdCrossed,
    ],
)
def keep_calendar(partner: Partner, *, actor: Actor) -> Partner:
    """Do what the dates of a partner ask for today: reminders once each, expiry, lapse."""
    today, expiry = clock.today(), partner.kyc_expiry_date
    if expiry is None or partner.status not in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED):
        return partner
    _remind(partner, "partner", partner.pk, expiry, today)
    papers = PartnerDocument.objects.filter(
        partner=partner, status=PartnerDocument.Status.VERIFIED,
        expiry_date__range=(today, today + timedelta(days=THRESHOLDS[0])),
    )  # fmt: skip
    for paper in papers.order_by("id"):
        _remind(partner, "document", paper.pk, paper.expiry_date, today)
    if today > expiry and _once(partner, "partner", partner.pk, expiry, -1):
        grace = expiry + timedelta(days=GRACE_DAYS)
        emit(events.KycExpired(partner_id=partner.pk, grace_until_date=grace))
    if today > expiry + timedelta(days=GRACE_DAYS) and _once(partner, "partner", partner.pk, expiry, -2):
        emit(events.KycLapsed(partner_id=partner.pk, kyc_expiry_date=expiry))
        if settings.KYC_AUTO_SUSPEND and partner.status == Partner.Status.ACTIVE:
            _suspend_lapsed(partner, actor)
    return partner


def _remind(partner: Partner, subject: str, subject_id: UUID, expiry: date, today: date) -> None:
    threshold = _threshold(expiry, today)
    if threshold is not None and _once(partner, subject, subject_id, expiry, threshold):
        emit(
            events.KycReminded(
                partner_id=partner.pk,
                subject_type=subject,
                subject_id=subject_id,
                expiry_date=expiry,
                days_left=(expiry - today).days,
            )
        )


def _once(partner: Partner, subject: str, subject_id: UUID, expiry: date, threshold: int) -> bool:
    """Note a step of the calendar; False where it was taken before."""
    known = KycNotice.objects.filter(
        partner=partner, subject_type=subject, subject_id=subject_id, expiry_date=expiry, threshold=threshold
    )
    if known.exists():
        return False
    KycNotice(
        partner=partner, subject_type=subject, subject_id=subject_id, expiry_date=expiry, threshold=threshold
    ).save()
    return True


@service(requires=capabilities.OPERATE, emits=[events.TrustScoreChanged])
def rescore(partner: Partner, *, actor: Actor) -> Partner:
    """Score a partner anew, once a month. The score changes where it moves by more than 10, or to another category.

    Questions that wait for a registry don't count: its outage lowers nobody's score.
    """
    trades = partner.status in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED)
    if not trades or not _once(partner, "partner", partner.pk, clock.today().replace(day=1), MONTH):
        return partner
    latest = {
        (check.kind, check.subject_id): check
        for check in KycCheck.objects.filter(partner=partner, mandatory=True).order_by("updated_at")
        if check.status != KycCheck.Status.PENDING
    }
    score = score_of(score_parts(partner, list(latest.values()), clock.today()))
    old, old_category, category = partner.trust_score, partner.risk_category, category_of(score)
    if old is not None and abs(score - old) <= MOVE and category == old_category:
        return partner
    partner.trust_score, partner.risk_category = score, category
    partner.save()
    emit(
        events.TrustScoreChanged(
            partner_id=partner.pk, old=old, new=score, old_category=old_category, new_category=category
        )
    )
    return partner


@service(requires=capabilities.OPERATE, emits=[events.PartnerRated])
def record_rating(
    partner: Partner,
    *,
    actor: Actor,
    trades: int,
    paid_in_time: int,
    delivered_in_time: int,
    quality_accepted: int,
    disputed: int,
    rating: Decimal | None,
    band: str | None,
) -> Scorecard:
    """Store a copy of the rating that risk has computed, and tell of a new band."""
    card = Scorecard.objects.filter(partner=partner).first() or Scorecard(partner=partner)
    previous = card.band
    card.trades, card.paid_in_time, card.delivered_in_time = trades, paid_in_time, delivered_in_time
    card.quality_accepted, card.disputed = quality_accepted, disputed
    card.rating, card.band = rating, band
    card.save()
    if band != previous:
        emit(events.PartnerRated(partner_id=partner.pk, band=band, previous_band=previous, trades=trades))
    return card


def _suspend_lapsed(partner: Partner, actor: Actor) -> None:
    partner.status = Partner.Status.SUSPENDED
    partner.suspension_code = Partner.Suspension.KYC_LAPSED
    partner.suspension_reason = "KYC lapsed: 30 days after its expiry it wasn't renewed."
    partner.suspended_at = clock.now()
    partner.save()
    released = exposure.release_all_holds(partner, actor)
    emit(
        events.PartnerSuspended(
            partner_id=partner.pk,
            reason_code=Partner.Suspension.KYC_LAPSED,
            review_date=None,
            holds_released=released,
        )
    )
