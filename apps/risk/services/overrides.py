"""Overrides: two people take gates out of the verdict, for a subject or a pair, a time and an amount (risk §5.8)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from apps.approvals import services as approvals
from apps.partners.models import editors_of
from apps.risk import capabilities, engine, events
from apps.risk.models import RiskAssessment, RiskOverride, Subject, ordered
from erp import clock
from erp.access import Actor
from erp.approvals import ApprovalKind, Base
from erp.errors import Conflict, FieldError, RuleBroken, SelfApproval
from erp.events import Money
from erp.services import emit, service
from erp.uploads import services as uploads
from erp.uploads.models import StoredFile

USUAL: Final = timedelta(days=7)
LONGEST: Final = timedelta(days=30)
EVIDENCE: Final = "risk.override"
_Status = RiskOverride.Status


class OverridePending(Conflict):
    """An override of this subject waits for its second person."""

    constraints = ("risk_override_one_pending",)


class AssessmentSuperseded(Conflict):
    """There is a newer assessment of this subject."""


class OverrideNotEffective(Conflict):
    """The override isn't effective."""


class NotOverridable(RuleBroken):
    """A gate can't be overridden, or the assessment doesn't have it."""


class CapRequired(RuleBroken):
    """An override for a trade needs the largest value, in the currency of the buyer's account."""


class ExpiryOutOfRange(RuleBroken):
    """An override ends in the future, at most 30 days ahead."""


class OverrideUsedUp(RuleBroken):
    """The override has no room for this value."""

    constraints = ("risk_override_within_cap",)


def makers_of(assessment: RiskAssessment) -> set[UUID]:
    """Who created or edited the listings of an assessment, or the open file of its partner."""
    found: set[UUID | None] = set()
    for listing in (assessment.requirement, assessment.availability):
        if listing is not None:
            found |= {listing.created_by_id, listing.updated_by_id, *listing.editors}
    if assessment.partner_id is not None:
        found |= editors_of(assessment.partner_id)
    return {user for user in found if user is not None}


def _parties(assessment: RiskAssessment) -> tuple[UUID, UUID]:
    ids: list[UUID] = []
    if assessment.requirement is not None:
        ids.append(assessment.requirement.buyer_partner_id)
    if assessment.availability is not None:
        ids.append(assessment.availability.seller_partner_id)
    if assessment.partner_id is not None:
        ids.append(assessment.partner_id)
    return ordered(ids[0], ids[-1])


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.RiskOverrideRequested],
    raises=[
        OverridePending, AssessmentSuperseded, NotOverridable, CapRequired, ExpiryOutOfRange, SelfApproval,
        uploads.FileUsed,
    ],
    label="Request an override",
    description="Ask a second person to take gates out of the verdict for a while. It covers them up to the largest "
    "value, until it ends; the caller then tries again.",
)  # fmt: skip
def request_override(
    *,
    actor: Actor,
    assessment: RiskAssessment,
    codes: list[str],
    reason_code: str,
    reason: str,
    expires_at: datetime | None = None,
    max_value: Mapping[str, Any] | None = None,
    evidence: list[StoredFile] | None = None,
) -> RiskOverride:
    """Request an override of gates of the newest assessment of a subject. ``max_value``: amount and currency."""
    newest = RiskAssessment.objects.newest(assessment.subject_key)
    if newest is None or newest.pk != assessment.pk:
        raise AssessmentSuperseded
    codes = list(dict.fromkeys(codes))
    _require_overridable(assessment, codes)
    is_trade = assessment.subject_type == Subject.TRADE
    cap, currency = (max_value["amount"], max_value["currency"]) if max_value else (None, None)
    if is_trade and (cap is None or currency != assessment.currency):
        words = f"Enter the largest value in {assessment.currency}."
        raise CapRequired.at("/max_value", "required", words)
    now = clock.now()
    expires_at = expires_at or now + USUAL
    if not now < expires_at <= now + LONGEST:
        raise ExpiryOutOfRange.at("/expires_at", "out_of_range", "At most 30 days ahead.")
    if actor.pk in makers_of(assessment):
        raise SelfApproval
    low, high = _parties(assessment)
    place = {
        "partner_low_id": low, "partner_high_id": high, "requirement_id": assessment.requirement_id,
        "availability_id": assessment.availability_id,
    }  # fmt: skip
    if RiskOverride.objects.filter(**place, status=_Status.PENDING).exists():
        raise OverridePending
    override = RiskOverride(
        assessment=assessment,
        codes=codes,
        **place,
        max_value=cap,
        currency=currency,
        starts_at=now,
        expires_at=expires_at,
        reason_code=reason_code,
        reason=reason,
        uploads=[file.pk for file in evidence or ()],
        requested_by_id=actor.pk,
    )
    for file in evidence or ():
        uploads.use(file, actor=actor, purpose=EVIDENCE, used_by="risk.RiskOverride")
    request = approvals.request(
        actor=actor,
        kind=RISK_OVERRIDE,
        subject_id=override.pk,
        subject_name=str(override),
        subject_version=override.version,
        base=Base("risk_assessment", assessment.pk, 1),
        reason=reason[:1000],
        diff=[
            ("codes", None, ", ".join(codes)),
            ("status", None, assessment.status),
            ("max_value", None, None if cap is None else f"{cap} {currency}"),
            ("expires_at", None, clock.local(expires_at)),
        ],
        excluded=makers_of(assessment),
    )
    override.approval_id = request.pk
    override.save()
    emit(events.RiskOverrideRequested(**_head(override), approval_id=request.pk))
    return override


def _require_overridable(assessment: RiskAssessment, codes: list[str]) -> None:
    outcomes: dict[str, list[str]] = {}
    for gate in assessment.gates:
        outcomes.setdefault(gate["code"], []).append(gate["outcome"])
    faults = [
        FieldError(f"/codes/{place}", "not_overridable", "It can't be overridden, or didn't fire.")
        for place, code in enumerate(codes)
        if not outcomes.get(code) or not all(engine.overridable(code, each) for each in outcomes[code])
    ]
    if faults or not codes:
        raise NotOverridable(errors=faults)


def _head(override: RiskOverride) -> dict[str, Any]:
    cap = override.max_value
    return {
        "override_id": override.pk,
        "assessment_id": override.assessment_id,
        "codes": override.codes,
        "partner_ids": sorted({override.partner_low_id, override.partner_high_id}),
        "requirement_id": override.requirement_id,
        "availability_id": override.availability_id,
        "max_value": None if cap is None else Money(amount=cap, currency=str(override.currency)),
        "expires_at": override.expires_at,
        "requested_by": override.requested_by_id,
    }


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.RiskOverrideGranted],
    raises=[ExpiryOutOfRange, SelfApproval],
)
def apply_override(override: RiskOverride, *, actor: Actor, request: Any) -> RiskOverride:
    """Grant an override, in the transaction of its approval."""
    now = clock.now()
    if override.expires_at <= now:
        raise ExpiryOutOfRange
    if actor.pk is not None and actor.pk in makers_of(override.assessment):
        raise SelfApproval
    override.status, override.starts_at, override.decided_by_id = _Status.GRANTED, now, actor.pk
    override.save()
    emit(events.RiskOverrideGranted(**_head(override), granted_by=actor.pk))
    return override


@service(requires=capabilities.OVERRIDE, emits=[events.RiskOverrideRefused])
def end_override(override: RiskOverride, *, actor: Actor, request: Any) -> RiskOverride:
    """End a request that was refused, withdrawn, expired or went stale."""
    if override.status == _Status.PENDING:
        override.status = _Status.STALE if request.status == "stale" else _Status.REFUSED
        override.save()
        emit(events.RiskOverrideRefused(override_id=override.pk, status=override.status))
    return override


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.RiskOverrideRevoked],
    raises=[OverrideNotEffective],
    label="Revoke",
    description="End the override at once: its gates count again.",
)
def revoke(override: RiskOverride, *, actor: Actor, reason: str) -> RiskOverride:
    """Revoke an effective override."""
    if not override.is_effective:
        raise OverrideNotEffective
    override.status = _Status.REVOKED
    override.save()
    emit(events.RiskOverrideRevoked(override_id=override.pk))
    return override


@service(requires=capabilities.ASSESS, emits=[events.RiskOverrideExpired])
def expire(override: RiskOverride, *, actor: Actor) -> RiskOverride:
    """Note that an override is over; it stopped counting by the clock before."""
    if override.status == _Status.GRANTED and override.expires_at <= clock.now():
        override.status = _Status.EXPIRED
        override.save()
        emit(events.RiskOverrideExpired(override_id=override.pk))
    return override


@service(
    requires=capabilities.ASSESS,
    emits=[events.RiskOverrideUsed],
    raises=[OverrideUsedUp, OverrideNotEffective],
    lock_via=None,
    requires_transaction=True,
)
def use_override(
    assessment: RiskAssessment, *, actor: Actor, value: Decimal, trade_id: UUID | None = None
) -> list[RiskOverride]:
    """Add the value of a trade to the overrides that its assessment stands on, locked by id.

    ``value`` is the whole worth with GST in the currency of the buyer's account (``worth_of``). Raises OverrideUsedUp
    where another trade has taken the room meanwhile.
    """
    named = sorted({gate["override_id"] for gate in assessment.gates if gate["override_id"]})
    rows = list(RiskOverride.objects.locked().filter(pk__in=named).order_by("pk"))
    for row in rows:
        if not row.is_effective:
            raise OverrideNotEffective
        if not row.has_room(value, str(assessment.currency)):
            raise OverrideUsedUp
        row.used_value += value
        if row.used_value >= (row.max_value or 0):
            row.status = _Status.USED_UP
        row.save()
        emit(
            events.RiskOverrideUsed(
                override_id=row.pk,
                trade_id=trade_id,
                value=Money(amount=value, currency=str(row.currency)),
                used_value=Money(amount=row.used_value, currency=str(row.currency)),
                status=row.status,
            )
        )
    return rows


def worth_of(assessment: RiskAssessment) -> Decimal:
    """What the assessed trade is worth with GST, in the currency of the buyer's account."""
    return Decimal(assessment.inputs["deal"]["worth"] or 0)


def _base_of(override: RiskOverride) -> Base | None:
    """The assessment that the override answers; a newer one where its gates are others."""
    first = override.assessment
    newest = RiskAssessment.objects.newest(first.subject_key) or first
    fired = [{(gate["code"], gate["side"]) for gate in row.gates} for row in (first, newest)]
    return Base("risk_assessment", first.pk if fired[0] == fired[1] else newest.pk, 1)


def _excluded(request: Any) -> set[UUID]:
    override = RiskOverride.objects.filter(pk=request.subject_id).select_related("assessment").first()
    return set() if override is None else makers_of(override.assessment)


RISK_OVERRIDE = ApprovalKind(
    name="risk.override",
    title="Override of risk gates",
    subject="risk_override",
    model="risk.RiskOverride",
    capability=capabilities.OVERRIDE,
    excludes=_excluded,
    base_of=_base_of,
    apply=apply_override,
    ended=end_override,
)
