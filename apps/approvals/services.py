"""Every way a request for a second person's decision can change.

How a module uses it, from its ``services.py`` and ``tasks.py``:

1. Declare what can be asked for, once::

       REOPEN = Kind(name="organization.reopen_year", title="Reopening a financial year", subject="financial_year",
                     model="organization.FinancialYear", capability=capabilities.REOPEN_FINANCIAL_YEAR)

2. Ask inside the service that would have made the change; the subject keeps what was proposed. The authority is
   that service's own::

       approval = approvals.request(actor=actor, kind=REOPEN, subject_id=year.pk, subject_version=year.version,
                                    reason=reason, diff=[("status", "locked", "soft_closed")], excluded=editors)

3. In each service that edits the subject or its base: ``approvals.mark_stale(actor=actor, row_type="financial_year",
   row_id=year.pk)``. What was granted and not yet applied is settled in 4. A module that lies below this one and
   can't call gives the kind a ``base``, which is asked at each decision.

4. Apply when it is granted, as SYSTEM on behalf of maker and deciders (``request.people()``), with the base checked
   again under lock, and report. Inbox row, change and report commit together, so a repeat finds it done::

       @handles(approval_events.ApprovalGranted)
       def reopen(event, *, meta):
           if event.kind == "organization.reopen_year":
               services.apply_reopening(FinancialYear.objects.get(pk=event.subject_id), actor=SYSTEM,
                                        approval_id=event.approval_id)

       # the end of apply_reopening, which locked the year and looked at its version:
       approvals.report(request, actor=actor, outcome="applied")        # or "stale", with nothing changed

   ``approval.refused``, ``.withdrawn``, ``.expired`` and ``.staled`` come the same way, where the subject has a
   status to reset.

A kind with ``door="own"`` is decided at the module's endpoint: its service calls ``decide`` in its own transaction
and makes the change there and then when the answer is granted, reporting it at once.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from apps.accounts.capabilities import MANAGE_CAPABILITIES
from apps.accounts.models import CapabilityChange, RoleMembership, User
from apps.accounts.services.policy import policy_version
from apps.approvals import capabilities, events
from apps.approvals.models import ApprovalDecision, ApprovalRequest, roles_of
from erp import access
from erp.approvals import Kind, kinds
from erp.errors import CapabilityMissing, Conflict, DomainError, Fault, Forbidden, RuleBroken, SelfApproval
from erp.logs import mask
from erp.services import Refusal, emit, refuse, service

Diff = Iterable[tuple[str, Any, Any]]
Status = ApprovalRequest.Status
BARRED = "You created or edited this request, or it concerns you, so another person must approve it."


class PendingExists(Conflict):
    """A request about this is waiting already."""

    constraints = ("approval_one_pending",)


class NotPending(Conflict):
    """The request doesn't wait for a decision any more."""


class Stale(Conflict):
    """It has changed since it was put to you; only a new request can be decided."""


class AlreadyDecided(Conflict):
    """You have decided on this request; it takes another person."""


class DecidedElsewhere(Conflict):
    """This kind is decided at the endpoint of what it is about."""


class NotGranted(Conflict):
    """Only what was granted has an outcome, and one only."""


class RoleRequired(Forbidden):
    """Somebody of another role decides on this."""


class MakerOnly(Forbidden):
    """Only its maker withdraws a request."""


class ReasonMissing(RuleBroken):
    """Say why, in 10 to 1000 characters."""


class RoleUnfit(RuleBroken):
    """Nobody of this role could decide on it."""


# --- Changes of rights: declared here, since accounts lies below -------------------------------------

EVERY_MEMBER_OF_STAFF = "INTERNAL"  # a role that nobody can be kept from deciding by


def _concerned(request: ApprovalRequest) -> Iterable[UUID]:
    """The user whose rights change; for a role's, its members as they are now."""
    change = CapabilityChange.objects.get(pk=request.subject_id)
    if change.user_id is not None:
        return [change.user_id]
    if change.role == EVERY_MEMBER_OF_STAFF:
        return []
    members: Iterable[UUID] = RoleMembership.objects.filter(role__name=change.role).values_list(
        "user_id", flat=True
    )
    return members


def _base_now(request: ApprovalRequest) -> int:
    """Version of the rights of the user concerned; of the matrix for a role's."""
    change = CapabilityChange.objects.select_related("user").get(pk=request.subject_id)
    return change.user.rights_version if change.user is not None else policy_version()


CAPABILITY_CHANGE = Kind(
    name="capability.change",
    title="A change of rights",
    subject="capability_change",
    model="account.CapabilityChange",
    capability=MANAGE_CAPABILITIES,
    reauthenticate=True,
    excludes=_concerned,
    base=_base_now,
)


# --- Asking -----------------------------------------------------------------------------------------


@service(requires=capabilities.REQUEST, emits=[events.ApprovalRequested])
def request(
    *,
    actor: Any,
    kind: Kind,
    subject_id: UUID,
    subject_version: int,
    reason: str,
    diff: Diff = (),
    excluded: Iterable[UUID] = (),
    base_type: str = "",
    base_id: UUID | None = None,
    base_version: int | None = None,
    amount: Decimal | None = None,
    currency: str = "",
    needed: int | None = None,
    decider_role: str | None = None,
    maker: User | None = None,
) -> ApprovalRequest:
    """Ask for another person's decision on a change.

    ``subject_version`` is the version that the deciders will see; ``base_…`` names the row that the change builds
    on, where that is another. ``diff`` holds (field, old, new) and is kept masked. ``excluded`` are all who edited
    the subject since its last decision, and whom else the module keeps from deciding; the maker always is.
    ``amount`` in ``currency`` picks the kind's band; ``needed`` (1–3) and ``decider_role`` stand in for the band's
    where the module knows better. ``maker`` is who asks, where SYSTEM acts for somebody.

    Raises PendingExists, ReasonMissing.
    """
    reason = reason.strip()
    if not 10 <= len(reason) <= 1000:
        raise ReasonMissing(errors=[Fault("/reason", "invalid", "Say why, in 10 to 1000 characters.")])
    if (
        ApprovalRequest.objects.pending()
        .filter(kind=kind.name, subject_type=kind.subject, subject_id=subject_id)
        .exists()
    ):
        raise PendingExists
    band = kind.band(amount)
    maker_id = maker.pk if maker is not None else actor.pk
    row = ApprovalRequest(
        kind=kind.name,
        subject_type=kind.subject,
        subject_id=subject_id,
        subject_version=subject_version,
        base_type=base_type,
        base_id=base_id,
        base_version=base_version,
        capability=str(kind.capability),
        decider_role=decider_role or band.role,
        diff=[
            {"field": name, "old": _masked(name, old), "new": _masked(name, new)} for name, old, new in diff
        ],
        reason=reason,
        amount=amount,
        currency=currency,
        needed=needed or band.needed,
        maker_id=maker_id,
        expires_at=None if kind.days is None else timezone.now() + timedelta(days=kind.days),
    )
    barred = {*excluded, *kind.excludes(row), maker_id} - {None}
    row.excluded = sorted(barred, key=str)
    row.save()
    emit(events.ApprovalRequested(**_head(row, actor)))
    return row


@service(requires=capabilities.REQUEST, emits=[events.ApprovalWithdrawn])
def withdraw(request: ApprovalRequest, *, actor: Any) -> ApprovalRequest:
    """Take a request back. Its maker may, and the module for it. Raises MakerOnly, NotPending, Stale."""
    if actor.pk is not None and actor.pk != request.maker_id:
        raise MakerOnly
    _still_pending(request)
    _end(request, Status.WITHDRAWN)
    emit(events.ApprovalWithdrawn(**_head(request, actor)))
    return request


@service(requires=capabilities.REQUEST, emits=[events.ApprovalStaled])
def mark_stale(*, actor: Any, row_type: str, row_id: UUID, version: int | None = None) -> Sequence[UUID]:
    """Void the pending requests whose subject or base is this row, which is being edited.

    The module calls it in the transaction of the edit. With ``version``, requests that were bound to just this
    version of the row stand. Returns the ids of the requests voided.
    """
    subject = Q(subject_type=row_type, subject_id=row_id)
    base = Q(base_type=row_type, base_id=row_id)
    if version is not None:
        subject, base = subject & ~Q(subject_version=version), base & ~Q(base_version=version)
    voided = []
    for row in ApprovalRequest.objects.pending().filter(subject | base).order_by("pk").locked():
        _end(row, Status.STALE)
        emit(events.ApprovalStaled(**_head(row, actor)))
        voided.append(row.pk)
    return voided


@service(requires=capabilities.REQUEST, emits=[events.ApprovalExpired])
def expire(request: ApprovalRequest, *, actor: Any) -> ApprovalRequest:
    """End a request that nobody decided in time; a rerun changes nothing."""
    if request.status == Status.PENDING and _is_over(request):
        _end(request, Status.EXPIRED)
        emit(events.ApprovalExpired(**_head(request, actor)))
    return request


@service(requires=capabilities.REQUEST, emits=[events.ApprovalApplied, events.ApprovalStaled])
def report(request: ApprovalRequest, *, actor: Any, outcome: str) -> ApprovalRequest:
    """Say what became of a granted change: ``applied``, or ``stale`` when the base had moved in between.

    The module reports once; saying the same again changes nothing. Raises NotGranted.
    """
    outcome = ApprovalRequest.Outcome(outcome)
    if request.outcome == outcome:
        return request
    if request.status != Status.GRANTED or request.outcome is not None:
        raise NotGranted(status_now=request.status)
    request.outcome = outcome
    request.save()
    applied = outcome == ApprovalRequest.Outcome.APPLIED
    told = events.ApprovalApplied if applied else events.ApprovalStaled
    emit(told(**_head(request, actor)))
    return request


# --- Deciding ---------------------------------------------------------------------------------------

_VOICES = [events.ApprovalEndorsed, events.ApprovalGranted, events.ApprovalRefused, events.ApprovalStaled]


def _asks_reauthentication(request: ApprovalRequest) -> bool:
    return request.kind in kinds and kinds[request.kind].reauthenticate


@service(
    requires=capabilities.DECIDE,
    emits=_VOICES,
    trace=[ApprovalRequest],
    reauthenticate=_asks_reauthentication,
)
def approve(
    request: ApprovalRequest, *, actor: Any, subject_version: int, note: str = ""
) -> ApprovalRequest | Refusal:
    """Approve a request. The last approval needed grants it.

    Where its base has moved the refusal, Stale, is kept: the request is stale from then on.
    """
    if _kind(request).door == "own":
        raise DecidedElsewhere
    return _decide(request, actor, ApprovalDecision.Decision.APPROVE, subject_version, "", note)


@service(requires=capabilities.DECIDE, emits=_VOICES, trace=[ApprovalRequest])
def reject(
    request: ApprovalRequest, *, actor: Any, subject_version: int, reason_code: str, note: str
) -> ApprovalRequest | Refusal:
    """Reject a request. One rejection is enough."""
    kind = _kind(request)
    if kind.door == "own" and kind.own_reject:
        raise DecidedElsewhere
    return _decide(request, actor, ApprovalDecision.Decision.REJECT, subject_version, reason_code, note)


@service(requires=capabilities.DECIDE, emits=_VOICES, trace=[ApprovalRequest])
def decide(
    request: ApprovalRequest,
    *,
    actor: Any,
    decision: str,
    subject_version: int,
    reason_code: str = "",
    note: str = "",
) -> ApprovalRequest | Refusal:
    """The voice of a person at a module's own door: ``approve`` or ``reject``, in that door's transaction.

    ``subject_version`` is the subject's version as the module finds it under lock. The caller looks at the answer's
    status: pending (another voice is needed), granted, refused. Raises SelfApproval, CapabilityMissing,
    RoleRequired, Stale, NotPending, AlreadyDecided.
    """
    return _decide(request, actor, ApprovalDecision.Decision(decision), subject_version, reason_code, note)


@service(requires=capabilities.DECIDE, emits=[events.ApprovalEscalated])
def escalate(request: ApprovalRequest, *, actor: Any, role: str, reason: str) -> ApprovalRequest:
    """Leave the decision to a higher role. Approvals already given stand.

    Who can't decide can't escalate either. Raises SelfApproval, CapabilityMissing, Stale, NotPending, RoleUnfit.
    """
    against = exclusion(request, actor)
    if against is not None:
        raise against
    _require_not_concerned(request, actor)
    _still_pending(request)
    if not {str(capabilities.DECIDE), request.capability} <= access.matrix().get(role, set()):
        raise RoleUnfit(errors=[Fault("/role", "unfit", f"{role} may not decide on {request.title}.")])
    if request.decider_role == role:
        return request
    ranks = access.registry.ranks
    if request.decider_role is not None:
        is_upwards = ranks[role] > ranks[request.decider_role]
    else:  # any role decides so far: nobody passes it to a role below their own
        is_upwards = ranks[role] >= max((ranks.get(held, 0) for held in roles_of(actor)), default=0)
    if not is_upwards:
        raise RoleUnfit(errors=[Fault("/role", "lower", "Choose a higher role.")])
    request.decider_role, request.escalated_by_id, request.escalation_reason = role, actor.pk, reason
    request.save()
    emit(events.ApprovalEscalated(**_head(request, actor)))
    return request


def exclusion(request: ApprovalRequest, actor: Any) -> DomainError | None:
    """Why this person can neither decide on the request nor escalate it, by what is stored; None: no reason."""
    if actor.pk in request.excluded:
        return SelfApproval(BARRED)
    if not request.is_within_reach(actor):
        return CapabilityMissing(request.capability)
    return None


def hindrance(request: ApprovalRequest, actor: Any) -> DomainError | None:
    """Why this person can't decide on the request, by what is stored; None: no reason."""
    against = exclusion(request, actor)
    if against is not None:
        return against
    if request.decider_role and not (actor.is_superuser or request.decider_role in roles_of(actor)):
        return RoleRequired(
            f"Somebody with the role {request.decider_role} decides.", role=request.decider_role
        )
    if request.voice_of(actor) is not None:
        return AlreadyDecided()
    return None


def _decide(
    request: ApprovalRequest, actor: Any, decision: str, subject_version: int, reason_code: str, note: str
) -> ApprovalRequest | Refusal:
    if actor.pk is None:
        raise TypeError("a request is decided by a person")
    against = hindrance(request, actor)
    if against is not None:
        raise against
    kind = _kind(request)
    _require_not_concerned(request, actor)
    _still_pending(request)
    if kind.base is not None and kind.base(request) != request.base_version:
        _end(request, Status.STALE)
        emit(events.ApprovalStaled(**_head(request, actor)))
        return refuse(Stale())
    if subject_version != request.subject_version:
        raise Stale(f"You saw version {subject_version}; the request is about {request.subject_version}.")
    ApprovalDecision(
        request=request,
        decider_id=actor.pk,
        maker_id=request.maker_id,
        decision=decision,
        seen_version=subject_version,
        reason_code=reason_code,
        note=note,
    ).save()
    if decision == ApprovalDecision.Decision.REJECT:
        _end(request, Status.REFUSED)
        emit(events.ApprovalRefused(**_head(request, actor)))
        return request
    request.given += 1
    if request.given < request.needed:
        request.save()
        emit(events.ApprovalEndorsed(**_head(request, actor)))
        return request
    _end(request, Status.GRANTED)
    emit(events.ApprovalGranted(**_head(request, actor)))
    return request


# --- Rules ------------------------------------------------------------------------------------------


def _kind(request: ApprovalRequest) -> Kind:
    kind = kinds.get(request.kind)
    if kind is None:
        raise DecidedElsewhere(f"{request.kind} isn't decided here any more.")
    return kind


def _require_not_concerned(request: ApprovalRequest, actor: Any) -> None:
    """Raises SelfApproval for whom the kind excludes by now."""
    if actor.pk in set(_kind(request).excludes(request)):
        raise SelfApproval(BARRED)


def _still_pending(request: ApprovalRequest) -> None:
    if request.status == Status.STALE:
        raise Stale
    if request.status != Status.PENDING or _is_over(request):
        raise NotPending(status_now=request.status)


def _is_over(request: ApprovalRequest) -> bool:
    return request.expires_at is not None and request.expires_at <= timezone.now()


def _end(request: ApprovalRequest, status: str) -> None:
    request.status, request.decided_at = status, timezone.now()
    request.save()


def _masked(field: str, value: Any) -> str | None:
    """The value in words, as anybody who sees the request may see it."""
    shown = next(iter(mask({field: value}).values()))
    return (
        None if shown is None else shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    )


def _head(request: ApprovalRequest, actor: Any) -> dict[str, Any]:
    return {
        "approval_id": request.pk,
        "kind": request.kind,
        "subject_type": request.subject_type,
        "subject_id": request.subject_id,
        "subject_version": request.subject_version,
        "base_version": request.base_version,
        "needed": request.needed,
        "given": request.given,
        "by": actor.pk,
    }
