"""What staff, SYSTEM and modules above decide about requirements: approval, suspension, the end, who sees more."""

from datetime import datetime
from typing import Final
from uuid import UUID

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalDecision
from apps.availability.models import Stage
from apps.availability.services.listing import measured
from apps.locations.models import Location
from apps.partners.models import Partner
from apps.requirement import capabilities, events
from apps.requirement.models import Disclosure, Requirement
from apps.requirement.services import deadlines, rules
from apps.requirement.services.approval import (
    beyond_approval,
    pending_request,
    request_approval,
    snapshot,
    withdraw_request,
)
from apps.requirement.services.content import copy_destination
from apps.requirement.services.requirements import go_live, make_stale
from apps.requirement.services.rules import head
from erp import clock
from erp.access import SYSTEM, Actor
from erp.services import emit, service

_Status = Requirement.Status
STAFF: Final = "staff"


@service(
    requires=capabilities.APPROVE,
    emits=[events.RequirementApproved],
    raises=[*approvals.DECISION_ERRORS, rules.InvalidState, rules.BuyerNotEligible, rules.WindowOver],
)
def approve(requirement: Requirement, *, actor: Actor, note: str = "") -> Requirement:
    """Approve a requirement. Its creator and its editors can't approve it."""
    rules.require_status(requirement, _Status.PENDING_APPROVAL)
    request = approvals.decide(
        pending_request(requirement) or request_approval(requirement, SYSTEM, "waits for approval"),
        actor=actor,
        decision=ApprovalDecision.Decision.APPROVE,
        subject_version=requirement.terms_version,
        note=note,
    )
    rules.require_buyer(requirement)
    if deadlines.window_end(requirement) <= clock.now():
        raise rules.WindowOver
    requirement.approved_terms = snapshot(requirement)
    go_live(requirement)
    requirement.approved_by_id, requirement.approved_at = actor.pk, clock.now()
    requirement.save()
    since = requirement.live_since or clock.now()
    emit(events.RequirementApproved(**head(requirement), approval_id=request.pk, live_since=since))
    return requirement


@service(
    requires=capabilities.REJECT,
    emits=[events.RequirementRejected],
    raises=[*approvals.DECISION_ERRORS, rules.InvalidState],
)
def reject(requirement: Requirement, *, actor: Actor, reason_code: str, reason: str) -> Requirement:
    """Reject a requirement. Its buyer can edit it and publish it again."""
    rules.require_status(requirement, _Status.PENDING_APPROVAL)
    approvals.decide(
        pending_request(requirement) or request_approval(requirement, SYSTEM, "waits for approval"),
        actor=actor,
        decision=ApprovalDecision.Decision.REJECT,
        subject_version=requirement.terms_version,
        reason_code=reason_code,
        note=reason,
    )
    requirement.status, requirement.status_reason, requirement.editors = _Status.REJECTED, reason, []
    requirement.expires_at = None
    requirement.save()
    emit(events.RequirementRejected(**head(requirement), reason_code=reason_code))
    return requirement


@service(requires=capabilities.APPROVE, emits=[events.RequirementSuspended], raises=[rules.InvalidState])
def suspend(requirement: Requirement, *, actor: Actor, reason: str, cause: str = STAFF) -> Requirement:
    """Take a requirement off the market for now. Trades go on."""
    rules.require_status(requirement, *Requirement.OPEN)
    if cause in requirement.suspended_for:
        return requirement
    requirement.status, requirement.status_reason = _Status.SUSPENDED, reason
    requirement.suspended_for = [*requirement.suspended_for, cause]
    requirement.save()
    withdraw_request(requirement)
    emit(events.RequirementSuspended(**head(requirement), cause=cause))
    return requirement


@service(requires=capabilities.UPDATE, emits=[events.RequirementUpdated], label="Follow merged places")
def follow_places(requirement: Requirement, *, actor: Actor) -> Requirement:
    """Move the places of a requirement from merged ones to those that they became. What was approved stays so."""
    places = requirement.places.filter(location__in=Location.objects.merged())
    moved = list(places.select_related("location__merged_into").locked())
    for place in moved:
        place.location = place.location.merged_into
        place.save()
        if place.position == 0:
            copy_destination(requirement, place.location)
    if moved:
        requirement.raise_version()
        requirement.save()
        emit(events.RequirementUpdated(**head(requirement), changed=["places"], parameters=[]))
    return requirement


@service(
    requires=capabilities.APPROVE,
    emits=[events.RequirementReactivated, events.RequirementExpired, events.RequirementSubmitted],
    raises=[rules.InvalidState],
)
def reactivate(requirement: Requirement, *, actor: Actor, cause: str = STAFF) -> Requirement:
    """End a cause of suspension. Without any left, the status is the one that the facts give."""
    rules.require_status(requirement, _Status.SUSPENDED)
    if cause not in requirement.suspended_for:
        return requirement
    requirement.suspended_for = [other for other in requirement.suspended_for if other != cause]
    if requirement.suspended_for:
        requirement.save()
        emit(events.RequirementReactivated(**head(requirement), cause=cause))
        return requirement
    if requirement.expires_at is not None and requirement.expires_at <= clock.now():
        return _expire(requirement)
    thresholds = beyond_approval(requirement)
    if thresholds:
        requirement.status = _Status.PENDING_APPROVAL
    else:
        go_live(requirement)
    requirement.save()
    emit(events.RequirementReactivated(**head(requirement), cause=cause))
    if thresholds:
        request = request_approval(requirement, SYSTEM, "is free again")
        emit(events.RequirementSubmitted(**head(requirement), thresholds=thresholds, approval_id=request.pk))
    return requirement


@service(requires=capabilities.APPROVE, emits=[events.RequirementExpired, events.RequirementExtended])
def expire(requirement: Requirement, *, actor: Actor) -> Requirement:
    """End a requirement past its time, or carry it forward; a rerun changes nothing."""
    now, old = clock.now(), requirement.expires_at
    if requirement.status not in Requirement.OPEN or old is None or old > now:
        return requirement
    if requirement.is_live and deadlines.carry_forward(requirement, now):
        requirement.save()
        emit(
            events.RequirementExtended(
                **head(requirement), old_expires_at=old, new_expires_at=requirement.expires_at
            )
        )
        return requirement
    return _expire(requirement)


def _expire(requirement: Requirement) -> Requirement:
    unfilled = requirement.open_quantity
    requirement.status, requirement.suspended_for = _Status.EXPIRED, []
    requirement.save()
    withdraw_request(requirement)
    make_stale(requirement)
    emit(events.RequirementExpired(**head(requirement), unfilled=measured(requirement, unfilled)))
    return requirement


@service(
    requires=capabilities.APPROVE,
    emits=[events.RequirementRiskRecorded, events.RequirementSuspended, events.RequirementReactivated,
           events.RequirementExpired, events.RequirementSubmitted],
    raises=[rules.InvalidState],
)  # fmt: skip
def record_risk(requirement: Requirement, *, actor: Actor, risk_status: str) -> Requirement:
    """Record an assessment of the risk module. FAIL suspends; another result ends that cause."""
    requirement.risk_status, requirement.risk_assessed_at = risk_status, clock.now()
    requirement.save()
    emit(events.RequirementRiskRecorded(**head(requirement), risk_status=risk_status))
    if risk_status == Requirement.Risk.FAIL and requirement.status in Requirement.OPEN:
        requirement = suspend(requirement, actor=actor, reason="The risk assessment failed.", cause="risk")
    elif (
        risk_status != Requirement.Risk.FAIL
        and requirement.status == _Status.SUSPENDED
        and "risk" in requirement.suspended_for
    ):
        requirement = reactivate(requirement, actor=actor, cause="risk")
    return requirement


@service(requires=capabilities.APPROVE, emits=[events.RequirementDisclosed])
def disclose(
    requirement: Requirement,
    *,
    actor: Actor,
    partner: Partner,
    stage: int,
    source_type: str,
    source_id: UUID,
    until: datetime | None = None,
) -> Disclosure:
    """Show more of a requirement to a partner, because of a negotiation or a trade."""
    of_source = {"partner": partner, "source_type": source_type, "source_id": source_id}
    row: Disclosure = requirement.disclosures.filter(**of_source).first() or Disclosure(
        requirement=requirement, **of_source
    )
    row.stage, row.until = Stage(stage), until
    if row.is_new or row.changed_fields():
        row.save()
        emit(
            events.RequirementDisclosed(
                **head(requirement),
                partner_id=partner.pk,
                stage=int(row.stage),
                source_type=source_type,
                source_id=source_id,
            )
        )
    return row


@service(requires=capabilities.APPROVE, emits=[events.RequirementConcealed])
def conceal(requirement: Requirement, *, actor: Actor, source_type: str, source_id: UUID) -> Requirement:
    """End what a negotiation or trade disclosed; a rerun changes nothing."""
    now = clock.now()
    shown = requirement.disclosures.live(now).filter(source_type=source_type, source_id=source_id)
    if ended := shown.update(until=now):
        emit(
            events.RequirementConcealed(
                **head(requirement), source_type=source_type, source_id=source_id, partners=ended
            )
        )
    return requirement
