"""What staff and SYSTEM decide about offers: approval, rejection, suspension, the end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalDecision
from apps.availability import capabilities, events
from apps.availability.models import Availability, Disclosure, Reservation, Stage, TestReport
from apps.availability.services import deadlines, rules, stock
from apps.availability.services.approval import pending_request, request_approval, withdraw_request
from apps.availability.services.content import copy_location, take_turns_with_lots
from apps.availability.services.listing import measured
from apps.availability.services.media import clear_media
from apps.availability.services.offers import activate
from apps.availability.services.quality import choose_governing
from apps.availability.services.rules import head
from apps.availability.services.terms import snapshot
from apps.partners.models import Partner
from erp import clock
from erp.access import SYSTEM, Actor
from erp.services import emit, service

GRACE: Final = timedelta(hours=4)  # of a reservation after its offer has ended
_Status = Availability.Status


@service(
    requires=capabilities.APPROVE,
    emits=[
        events.AvailabilityApproved,
        events.AvailabilityTestReportVerified,
        events.AvailabilityMediaCleared,
    ],
    raises=[
        rules.MediaInvalid,
        *approvals.DECISION_ERRORS,
        rules.InvalidState,
        rules.SellerNotEligible,
        rules.WindowOver,
        rules.TestReportMissing,
        rules.QualityInvalid,
    ],
)
def approve(
    offer: Availability,
    *,
    actor: Actor,
    note: str = "",
    verified_report_ids: Sequence[UUID] = (),
    cleared_media_ids: Sequence[UUID] = (),
) -> Availability:
    """Approve an offer. Its creator and its editors can't approve it."""
    rules.require_status(offer, _Status.PENDING_APPROVAL)
    request = approvals.decide(
        pending_request(offer) or request_approval(offer, SYSTEM),  # the requester may have withdrawn it
        actor=actor,
        decision=ApprovalDecision.Decision.APPROVE,
        subject_version=offer.terms_version,
        note=note,
    )
    rules.require_seller(offer)
    end = deadlines.window_end(offer)
    if end is not None and end <= clock.now():
        raise rules.WindowOver
    reports = list(offer.test_reports.filter(pk__in=verified_report_ids))
    if len(reports) != len(set(verified_report_ids)):
        raise rules.QualityInvalid.at(
            "/verified_report_ids", "unknown_report", "The offer has no such report."
        )
    for report in reports:
        _verify(offer, report, actor)
    pictures = list(offer.media.filter(pk__in=cleared_media_ids))
    if len(pictures) != len(set(cleared_media_ids)):
        raise rules.MediaInvalid.at("/cleared_media_ids", "unknown", "The offer has no such picture.")
    for picture in pictures:
        clear_media(picture, actor=actor)
    if reports:
        choose_governing(offer)
    passing = offer.passing_term
    if passing is not None and passing.requires_quality_test and not offer.test_reports.exists():
        raise rules.TestReportMissing
    activate(offer, actor.pk, request.pk)
    return offer


def _verify(offer: Availability, report: TestReport, actor: Actor) -> None:
    if report.verified_at is None:
        report.verified_at, report.verified_by_id = clock.now(), actor.pk
        report.save()
        emit(events.AvailabilityTestReportVerified(**head(offer), report_id=report.pk))


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityTestReportVerified],
    lock_via="availability",
    label="Verify test report",
)
def verify_test_report(report: TestReport, *, actor: Actor) -> TestReport:
    """Verify a report: its results then govern before unverified ones, unless others were chosen."""
    offer = report.availability
    _verify(offer, report, actor)
    choose_governing(offer)
    return report


@service(
    requires=capabilities.REJECT,
    emits=[events.AvailabilityRejected, events.AvailabilityReleased],
    raises=[*approvals.DECISION_ERRORS, rules.InvalidState],
)
def reject(offer: Availability, *, actor: Actor, reason_code: str, reason: str) -> Availability:
    """Reject an offer. Reservations on it are released, but for those that back a deal."""
    rules.require_status(offer, _Status.PENDING_APPROVAL)
    approvals.decide(
        pending_request(offer) or request_approval(offer, SYSTEM),
        actor=actor,
        decision=ApprovalDecision.Decision.REJECT,
        subject_version=offer.terms_version,
        reason_code=reason_code,
        note=reason,
    )
    offer.status, offer.status_reason, offer.editors = _Status.REJECTED, reason, []
    offer.expires_at = None
    offer.save()
    stock.release_all(offer, actor, "offer_ended")
    stock.refresh_lots(offer)
    emit(events.AvailabilityRejected(**head(offer), reason_code=reason_code))
    return offer


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilitySuspended, events.AvailabilityReleased],
    raises=[rules.InvalidState],
)
def suspend(offer: Availability, *, actor: Actor, reason: str, cause: str = "staff") -> Availability:
    """Take an offer off the market for now. Reservations on it are released.

    Those that back a deal stay, unless the seller itself is suspended: the trade could then not be made.
    """
    was_pending = offer.status == _Status.PENDING_APPROVAL
    if offer.status != _Status.SUSPENDED or cause in offer.suspended_for:
        rules.require_status(offer, _Status.ACTIVE, _Status.PENDING_APPROVAL)
        offer.status, offer.status_reason, offer.suspended_for = _Status.SUSPENDED, reason, []
    offer.suspended_for = [*offer.suspended_for, cause]
    offer.save()
    if was_pending:
        withdraw_request(offer, actor)
    by_partner = cause == Availability.FOR_PARTNER
    stock.release_all(
        offer, actor, "partner_suspended" if by_partner else "offer_ended", protected=by_partner
    )
    emit(events.AvailabilitySuspended(**head(offer), cause=cause))
    return offer


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityReactivated, events.AvailabilityExpired],
    raises=[rules.InvalidState],
)
def reactivate(offer: Availability, *, actor: Actor, reason: str = "", cause: str = "staff") -> Availability:
    """Put a suspended offer back once no cause is left; changed terms need approval first."""
    rules.require_status(offer, _Status.SUSPENDED)
    if cause not in offer.suspended_for:
        raise rules.InvalidState(
            f"The offer is suspended for another cause: {', '.join(offer.suspended_for)}.",
            status_now=offer.status,
            allowed_actions=[],
        )
    offer.suspended_for = [other for other in offer.suspended_for if other != cause]
    if not offer.suspended_for:
        offer.status, offer.status_reason = stock.back_status(offer), ""
    offer.save()
    if offer.status == _Status.PENDING_APPROVAL:
        request_approval(offer, actor, "was reactivated with other terms")
    emit(events.AvailabilityReactivated(**head(offer), cause=cause))
    if offer.is_live and offer.expires_at is not None and offer.expires_at <= clock.now():
        _end(offer, actor)
    return offer


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityRiskRecorded, events.AvailabilitySuspended, events.AvailabilityReactivated,
           events.AvailabilityReleased, events.AvailabilityExpired],
    label="Record risk",
)  # fmt: skip
def record_risk(offer: Availability, *, actor: Actor, risk_status: str) -> Availability:
    """Record what risk says of an offer. A failure suspends it; another result ends that cause."""
    offer.risk_status, offer.risk_assessed_at = risk_status, clock.now()
    offer.save()
    emit(events.AvailabilityRiskRecorded(**head(offer), risk_status=risk_status))
    fails, for_risk = risk_status == Availability.Risk.FAIL, "risk" in offer.suspended_for
    if fails and not for_risk and offer.is_live:
        return suspend(offer, actor=actor, reason="The assessment of risk failed.", cause="risk")  # type: ignore[no-any-return]
    if not fails and for_risk and offer.status == _Status.SUSPENDED:
        return reactivate(offer, actor=actor, cause="risk")  # type: ignore[no-any-return]
    return offer


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityExpired, events.AvailabilityExtended],
    label="End an offer that is due",
)
def expire(offer: Availability, *, actor: Actor) -> Availability:
    """End an offer past its deadline, or carry it forward to a later trading day; a rerun changes nothing."""
    now, old = clock.now(), offer.expires_at
    if not offer.is_live or old is None or old > now:
        return offer
    if offer.status == _Status.ACTIVE and deadlines.carry_forward(offer, now):
        offer.save()
        emit(
            events.AvailabilityExtended(
                **head(offer), old_expires_at=old, new_expires_at=offer.expires_at, cause="carry_forward"
            )
        )
        return offer
    _end(offer, actor)
    return offer


def _end(offer: Availability, actor: Actor) -> None:
    """Withdraw what is free. Reservations live on for some hours, and those that back a deal to their own deadline."""
    ended_at = offer.expires_at or clock.now()
    withdrawn, was_pending = offer.available_quantity, offer.status == _Status.PENDING_APPROVAL
    offer.status, offer.available_quantity = _Status.EXPIRED, offer.available_quantity - withdrawn
    offer.withdrawn_quantity += withdrawn
    offer.save()
    for reservation in (
        offer.reservations.filter(status=Reservation.Status.HELD).unprotected().locked().order_by("pk")
    ):
        reservation.expires_at = min(reservation.expires_at, ended_at + GRACE)
        reservation.save()
    stock.refresh_lots(offer)
    if was_pending:
        withdraw_request(offer, actor)
    emit(events.AvailabilityExpired(**head(offer), withdrawn=measured(offer, withdrawn)))


@service(requires=capabilities.UPDATE, emits=[events.AvailabilityUpdated], label="Follow merged places")
def follow_places(offer: Availability, *, actor: Actor) -> Availability:
    """Move an offer and its lots from merged places to those that they became. What was approved stays so."""
    changed, before = set(), snapshot(offer)
    if offer.location is not None and offer.location.merged_into is not None:
        copy_location(offer, offer.location.merged_into)
        changed.add("terms")
        # What was approved is this place, unless another one waits for its approval.
        if offer.approved_terms is not None and offer.approved_terms["location_id"] == before["location_id"]:
            moved = {name: value for name, value in snapshot(offer).items() if value != before[name]}
            offer.approved_terms |= moved
    if offer.lots.at_merged_places().exists():
        take_turns_with_lots(offer)
        lots = offer.lots.at_merged_places().select_related("gin_location", "godown_location")
        for lot in lots.locked().order_by("pk"):
            for name in ("gin_location", "godown_location"):
                if (at := getattr(lot, name)) is not None and at.merged_into_id is not None:
                    setattr(lot, f"{name}_id", at.merged_into_id)
            lot.save()
        changed.add("lots")
    if changed:
        offer.raise_version()
        offer.save()
        emit(events.AvailabilityUpdated(**head(offer), changed=sorted(changed)))
    return offer


# What modules above show to a partner


@service(requires=capabilities.APPROVE, emits=[events.AvailabilityDisclosed], label="Disclose to a partner")
def disclose(
    offer: Availability,
    *,
    actor: Actor,
    partner: Partner,
    stage: int,
    source_type: str,
    source_id: UUID,
    until: datetime | None = None,
) -> Disclosure:
    """Show more of an offer to a partner because of a match, a negotiation or a trade; once for each of them."""
    row = offer.disclosures.filter(partner=partner, source_type=source_type, source_id=source_id).first()
    row = row or Disclosure(availability=offer, partner=partner, source_type=source_type, source_id=source_id)
    row.stage, row.until = Stage(stage), until
    changed = row.is_new or bool(row.changed_fields())
    row.save()
    if changed:
        emit(
            events.AvailabilityDisclosed(
                **head(offer), partner_id=partner.pk, stage=Stage(stage).name, source_type=source_type,
                source_id=source_id,
            )
        )  # fmt: skip
    return row


@service(requires=capabilities.APPROVE, emits=[events.AvailabilityConcealed], label="End a disclosure")
def conceal(offer: Availability, *, actor: Actor, source_type: str, source_id: UUID) -> Availability:
    """End what a match, a negotiation or a trade had disclosed."""
    now = clock.now()
    rows = offer.disclosures.live(now).filter(source_type=source_type, source_id=source_id)
    if rows.update(until=now):
        emit(events.AvailabilityConcealed(**head(offer), source_type=source_type, source_id=source_id))
    return offer
