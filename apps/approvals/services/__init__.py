"""Services of approval requests.

How a module uses it:

1. Declare the kind of change, once (see ``erp.approvals.ApprovalKind``)::

       REOPEN = Kind(name="organization.reopen_year", title="Reopening a financial year", subject="financial_year",
                     model="organization.FinancialYear", capability=capabilities.REOPEN_FINANCIAL_YEAR,
                     locks=_lock_organization, apply=apply_reopening, ended=end_reopening)

2. Open a request in the service that would have made the change; the subject stores the proposal. The capability
   is that service's own::

       approval = approvals.request(actor=actor, kind=REOPEN, subject_id=year.pk, subject_version=year.version,
                                    reason=reason, diff=[("status", "locked", "soft_closed")], excluded=editors)

3. In each service that edits the subject: ``approvals.mark_stale(actor=actor, row_type="financial_year",
   row_id=year.pk)``. A changed base is found at the decision, and by the periodic task.

4. The last approval calls ``apply`` in its own transaction: decision, change and events commit together, or the
   approver sees the problem and nothing is stored. Every decision locks what the kind names first and the request
   last, as edits do, so that no deadlock can occur.

A kind with ``decided_at="module"`` is decided at the module's endpoint: its service calls ``decide`` in its own
transaction, and makes the change itself when the request is granted.

Rows that one person drafts and another publishes need only the declaration of ``services.drafts``.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.accounts.models import User
from apps.approvals import capabilities, events
from apps.approvals.models import ApprovalDecision, ApprovalQuestion, ApprovalRequest, roles_of
from erp import access, clock, retention
from erp.access import Actor
from erp.approvals import NAME_LENGTH, ApprovalKind, Base, kinds
from erp.errors import (
    CapabilityMissing,
    Conflict,
    DomainError,
    FieldError,
    Forbidden,
    ReauthenticationRequired,
    RuleBroken,
    SelfApproval,
)
from erp.logs import mask
from erp.services import Service, emit, service
from erp.trail import context as trail

Diff = Iterable[tuple[str, Any, Any]]
Status = ApprovalRequest.Status
BARRED = "You created or edited this request, or it concerns you, so another person must approve it."


class PendingExists(Conflict):
    """There is already a pending request for this record."""

    constraints = ("approval_one_pending",)


class NotPending(Conflict):
    """The request is no longer pending."""


class Stale(Conflict):
    """The record has changed since the request was made. A new request is needed."""


class AlreadyDecided(Conflict):
    """You have already decided on this request, so another person must decide."""


class DecidedElsewhere(Conflict):
    """This request is decided on its record, not here."""


class RoleRequired(Forbidden):
    """Another role is required to decide on this request."""


class MakerOnly(Forbidden):
    """Only the person who made a request can withdraw it or answer questions about it."""


class ReasonMissing(RuleBroken):
    """A reason of 10 to 1000 characters is required."""


class RoleUnfit(RuleBroken):
    """This role cannot decide on the request."""


class QuestionOpen(Conflict):
    """The last question has not been answered yet."""

    constraints = ("approval_one_open_question",)


class NoQuestion(Conflict):
    """There is no open question to answer."""


class NobodyToAsk(Conflict):
    """The system made this request, so nobody can answer a question about it."""


class PastDate(RuleBroken):
    """The day is in the past."""


DECISION_ERRORS = (
    SelfApproval,
    RoleRequired,
    NotPending,
    Stale,
    AlreadyDecided,
    DecidedElsewhere,
    ReauthenticationRequired,
)


@service(
    requires=capabilities.REQUEST, emits=[events.ApprovalRequested], raises=[PendingExists, ReasonMissing]
)
def request(
    *,
    actor: Actor,
    kind: ApprovalKind,
    subject_id: UUID,
    subject_version: int,
    reason: str,
    subject_name: str = "",
    diff: Diff = (),
    excluded: Iterable[UUID] = (),
    base: Base | None = None,
    amount: Decimal | None = None,
    currency: str = "",
    needed: int | None = None,
    decider_role: str | None = None,
    maker: User | None = None,
) -> ApprovalRequest:
    """Open a request for approval of a change.

    ``subject_version`` is the version that the approvers will see; ``subject_name`` names a subject that isn't stored
    yet; ``base`` is the row that the change builds on, as
    the kind's ``base_of`` will find it. ``diff`` holds (field, old, new) and is stored masked. ``excluded`` are all
    who edited the subject since its last decision, and others whom the module excludes; the requester always is.
    ``amount`` in ``currency`` selects the kind's band; ``needed`` (1–3) and ``decider_role`` override the band's.
    ``maker`` is the requester, where SYSTEM acts for a user.

    Raises PendingExists, ReasonMissing.
    """
    reason = reason.strip()
    if not 10 <= len(reason) <= 1000:
        raise ReasonMissing(
            errors=[FieldError("/reason", "invalid", "Enter a reason of 10 to 1000 characters.")]
        )
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
        subject_name=subject_name[:NAME_LENGTH] or kind.name_of(subject_id),
        subject_version=subject_version,
        base_type="" if base is None else base.type,
        base_id=base and base.id,
        base_version=base and base.version,
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
        expires_at=None if kind.days is None else clock.now() + timedelta(days=kind.days),
    )
    barred = {*excluded, *kind.excludes(row), maker_id} - {None}
    row.excluded = sorted(barred, key=str)
    row.save()
    emit(events.ApprovalRequested(**_head(row, actor)))
    return row


def _lock_subject(request: ApprovalRequest) -> None:
    """Lock what the kind names, then the subject, before the request."""
    if request.kind in kinds:
        kinds[request.kind].locked_subject(request.subject_id)


@service(
    requires=capabilities.REQUEST,
    emits=[events.ApprovalWithdrawn],
    raises=[MakerOnly, NotPending, Stale],
    lock_via=_lock_subject,
)
def withdraw(request: ApprovalRequest, *, actor: Actor) -> ApprovalRequest:
    """Withdraw your request. The module may withdraw it too, as SYSTEM.

    Raises MakerOnly, NotPending, Stale.
    """
    if actor.pk is not None and actor.pk != request.maker_id:
        raise MakerOnly
    _require_pending(request)
    _end(request, Status.WITHDRAWN)
    emit(events.ApprovalWithdrawn(**_head(request, actor)))
    return _ended(request, actor)


@service(requires=capabilities.REQUEST, emits=[events.ApprovalStaled])
def mark_stale(*, actor: Actor, row_type: str, row_id: UUID) -> Sequence[UUID]:
    """Mark the pending requests for a row that is being edited as stale; return their IDs.

    The module calls it in the transaction of the edit, which has locked the row; its ``ended`` isn't called.
    """
    stale = []
    for row in (
        ApprovalRequest.objects.pending()
        .filter(subject_type=row_type, subject_id=row_id)
        .order_by("pk")
        .locked()
    ):
        _end(row, Status.STALE)
        emit(events.ApprovalStaled(**_head(row, actor)))
        stale.append(row.pk)
    return stale


@service(requires=capabilities.REQUEST, emits=[events.ApprovalErased], requires_transaction=True)
def erase(*, actor: Actor, subject_ids: Collection[UUID]) -> None:
    """Erase what requests about these rows say of people, in the transaction that erases the rows."""
    for row in ApprovalRequest.objects.filter(subject_id__in=subject_ids).order_by("pk").locked():
        retention.erase(row)
        emit(events.ApprovalErased(**_head(row, actor)))


@service(
    requires=capabilities.REQUEST,
    emits=[events.ApprovalExpired, events.ApprovalStaled],
    lock_via=_lock_subject,
)
def expire(request: ApprovalRequest, *, actor: Actor) -> ApprovalRequest:
    """End a pending request that has expired, or whose subject or base has changed."""
    if request.status != Status.PENDING:
        return request
    if _is_expired(request):
        _end(request, Status.EXPIRED)
        emit(events.ApprovalExpired(**_head(request, actor)))
        return _ended(request, actor)
    if request.kind in kinds and _has_changed(request):
        _end(request, Status.STALE)
        emit(events.ApprovalStaled(**_head(request, actor)))
        return _ended(request, actor)
    return request


_DECISION_EVENTS = [events.ApprovalEndorsed, events.ApprovalGranted, events.ApprovalRefused]


def _asks_reauthentication(request: ApprovalRequest) -> bool:
    return request.kind in kinds and kinds[request.kind].reauthenticate


@service(
    requires=capabilities.DECIDE,
    emits=_DECISION_EVENTS,
    raises=DECISION_ERRORS,
    forwards=lambda: (kind.apply for kind in kinds.values() if isinstance(kind.apply, Service)),
    lock_via=_lock_subject,
    reauthenticate=_asks_reauthentication,
)
def approve(
    request: ApprovalRequest, *, actor: Actor, subject_version: int, note: str = ""
) -> ApprovalRequest:
    """Approve a request. The last approval needed makes the change.

    Raises what ``decide`` and the kind's ``apply`` raise.
    """
    kind = _kind(request)
    if kind.decided_at == "module" or kind.apply is None:
        raise DecidedElsewhere
    _decide(request, actor, ApprovalDecision.Decision.APPROVE, subject_version, "", note)
    if request.status == Status.GRANTED:
        with trail.on_behalf_of(request.maker_id):
            kind.apply(kind.locked_subject(request.subject_id), actor=actor, request=request)
    return request


@service(requires=capabilities.DECIDE, emits=_DECISION_EVENTS, raises=DECISION_ERRORS, lock_via=_lock_subject)
def reject(
    request: ApprovalRequest, *, actor: Actor, subject_version: int, reason_code: str, note: str
) -> ApprovalRequest:
    """Reject a request. One rejection is enough."""
    kind = _kind(request)
    if kind.decided_at == "module" and kind.own_reject:
        raise DecidedElsewhere
    _decide(request, actor, ApprovalDecision.Decision.REJECT, subject_version, reason_code, note)
    return _ended(request, actor)


@service(requires=capabilities.DECIDE, emits=_DECISION_EVENTS, raises=DECISION_ERRORS, lock_via=_lock_subject)
def decide(
    request: ApprovalRequest,
    *,
    actor: Actor,
    decision: str,
    subject_version: int,
    reason_code: str = "",
    note: str = "",
) -> ApprovalRequest:
    """Store a decision (``approve`` or ``reject``) in the transaction of a module's own endpoint.

    ``subject_version`` is the version of the locked subject. The caller makes the change if the status of the result
    is granted; pending means that another approval is needed. Raises SelfApproval, CapabilityMissing, RoleRequired,
    Stale, NotPending, AlreadyDecided, ReauthenticationRequired.
    """
    decided = _decide(request, actor, ApprovalDecision.Decision(decision), subject_version, reason_code, note)
    if decision == ApprovalDecision.Decision.APPROVE and _asks_reauthentication(request):
        access.require_reauthentication(actor)
    return decided


@service(
    requires=capabilities.DECIDE,
    machinery="the decision that follows tells how many are needed",
    requires_transaction=True,
)
def require_more(request: ApprovalRequest, *, actor: Actor, needed: int) -> ApprovalRequest:
    """Let more people decide, where a module learns of a reason while it decides. Never fewer."""
    request.needed = max(request.needed, needed)
    request.save()
    return request


@service(
    requires=capabilities.DECIDE,
    emits=[events.ApprovalEscalated],
    raises=[SelfApproval, NotPending, Stale, DecidedElsewhere, RoleUnfit],
    lock_via=_lock_subject,
)
def escalate(request: ApprovalRequest, *, actor: Actor, role: str, reason: str) -> ApprovalRequest:
    """Escalate the decision to a higher role. Approvals so far remain valid.

    Whoever cannot decide cannot escalate either. Raises SelfApproval, CapabilityMissing, Stale, NotPending, RoleUnfit.
    """
    against = exclusion(request, actor)
    if against is not None:
        raise against
    _require_not_concerned(request, actor)
    _require_pending(request)
    if not {str(capabilities.DECIDE), request.capability} <= access.matrix().get(role, set()):
        raise RoleUnfit(
            errors=[FieldError("/role", "unfit", f"The role {role} may not decide on: {request.title}.")]
        )
    if request.decider_role == role:
        return request
    ranks = access.registry.ranks
    if request.decider_role is not None:
        is_upwards = ranks[role] > ranks[request.decider_role]
    else:  # any role may decide so far: the new one must be above the actor's own
        own = roles_of(actor)
        highest = max((ranks.get(held, 0) for held in own), default=0)
        is_upwards = ranks[role] > highest or (ranks[role] == highest and role in own)
    if not is_upwards:
        raise RoleUnfit(
            errors=[
                FieldError("/role", "lower", f"Choose a role above {request.decider_role or 'your own'}.")
            ]
        )
    request.decider_role, request.escalated_by_id, request.escalation_reason = role, actor.pk, reason
    request.save()
    emit(events.ApprovalEscalated(**_head(request, actor)))
    return request


@service(
    requires=capabilities.DECIDE,
    emits=[events.ApprovalQuestioned],
    raises=[SelfApproval, NotPending, Stale, DecidedElsewhere, QuestionOpen, NobodyToAsk, PastDate],
    lock_via=_lock_subject,
    label="Ask",
    description="Ask the requester a question. The request stays pending, and the answer stands beside it.",
)
def ask(
    request: ApprovalRequest, *, actor: Actor, question: str, due_date: date | None = None
) -> ApprovalRequest:
    """Ask the requester a question before deciding.

    Raises SelfApproval, CapabilityMissing, NotPending, Stale, DecidedElsewhere, QuestionOpen, NobodyToAsk, PastDate.
    """
    against = exclusion(request, actor)
    if against is not None:
        raise against
    if _kind(request).decided_at == "module":
        raise DecidedElsewhere
    _require_not_concerned(request, actor)
    _require_pending(request)
    if request.maker_id is None:
        raise NobodyToAsk
    if request.open_question is not None:
        raise QuestionOpen
    if due_date is not None and due_date < clock.today():
        raise PastDate(errors=[FieldError("/due_date", "past", "Choose today or a later day.")])
    ApprovalQuestion(request=request, asked_by_id=actor.pk, question=question, due_date=due_date).save()
    emit(events.ApprovalQuestioned(**_head(request, actor)))
    return request


@service(
    requires=capabilities.REQUEST,
    emits=[events.ApprovalAnswered],
    raises=[MakerOnly, NotPending, Stale, NoQuestion],
    lock_via=_lock_subject,
    label="Answer",
    description="Answer the approver's question.",
)
def answer(request: ApprovalRequest, *, actor: Actor, answer: str) -> ApprovalRequest:
    """Answer the open question about your request. Raises MakerOnly, NotPending, Stale, NoQuestion."""
    if actor.pk is None or actor.pk != request.maker_id:
        raise MakerOnly
    _require_pending(request)
    question = request.open_question
    if question is None:
        raise NoQuestion
    question.answer, question.answered_by_id, question.answered_at = answer, actor.pk, clock.now()
    question.save()
    emit(events.ApprovalAnswered(**_head(request, actor)))
    return request


def exclusion(request: ApprovalRequest, actor: Actor) -> DomainError | None:
    """Why the user can neither decide on the request nor escalate it, by the stored data; None if they can."""
    if actor.pk in request.excluded:
        return SelfApproval(BARRED)
    if not request.is_within_reach(actor):
        return CapabilityMissing(request.capability)
    return None


def disabled_reason(request: ApprovalRequest, actor: Actor) -> DomainError | None:
    """Why the user cannot decide on the request, by the stored data; None if they can."""
    against = exclusion(request, actor)
    if against is not None:
        return against
    if request.decider_role and not (actor.is_superuser or request.decider_role in roles_of(actor)):
        return RoleRequired(f"The role {request.decider_role} is required.", role=request.decider_role)
    if request.decision_of(actor) is not None:
        return AlreadyDecided()
    return None


def _decide(
    request: ApprovalRequest, actor: Actor, decision: str, subject_version: int, reason_code: str, note: str
) -> ApprovalRequest:
    if actor.pk is None:
        raise TypeError("a request is decided by a user, not by SYSTEM")
    against = disabled_reason(request, actor)
    if against is not None:
        raise against
    _require_not_concerned(request, actor)
    _require_pending(request)
    if subject_version != request.subject_version:
        raise Stale(
            f"You reviewed version {subject_version}; the request is about version {request.subject_version}."
        )
    if _has_changed(request):
        raise Stale
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
    earlier = request.decisions.exclude(decider_id=actor.pk).select_related("decider")
    request.given = 1 + sum(_still_counts(request, each.decider) for each in earlier)
    if request.given < request.needed:
        request.save()
        emit(events.ApprovalEndorsed(**_head(request, actor)))
        return request
    _end(request, Status.GRANTED)
    emit(events.ApprovalGranted(**_head(request, actor)))
    return request


def _still_counts(request: ApprovalRequest, decider: Actor) -> bool:
    """Whether an earlier approver could approve today: active, not excluded, with the capabilities (rulings §5)."""
    return (
        access.may(decider, capabilities.DECIDE, request)
        and exclusion(request, decider) is None
        and decider.pk not in set(_kind(request).excludes(request))
    )


def _kind(request: ApprovalRequest) -> ApprovalKind:
    kind = kinds.get(request.kind)
    if kind is None:
        raise DecidedElsewhere(f"Requests of kind {request.kind} are no longer decided here.")
    return kind


def _require_not_concerned(request: ApprovalRequest, actor: Actor) -> None:
    """Raise SelfApproval for users whom the kind excludes now."""
    if actor.pk in set(_kind(request).excludes(request)):
        raise SelfApproval(BARRED)


def _require_pending(request: ApprovalRequest) -> None:
    if request.status == Status.STALE:
        raise Stale
    if request.status != Status.PENDING or _is_expired(request):
        raise NotPending(status_now=request.status)


def _is_expired(request: ApprovalRequest) -> bool:
    return request.expires_at is not None and request.expires_at <= clock.now()


def _has_changed(request: ApprovalRequest) -> bool:
    """Whether the subject, which is locked, or its base has changed since the request was made."""
    kind = _kind(request)
    subject = kind.locked_subject(request.subject_id)
    if subject is None or kind.version_of(subject) != request.subject_version:
        return True
    try:
        base = kind.base_of(subject)
    except DomainError:  # there is no valid base now
        return True
    return (base or ("", None, None)) != (request.base_type, request.base_id, request.base_version)


def _ended(request: ApprovalRequest, actor: Actor) -> ApprovalRequest:
    """Call the kind's ``ended``, which closes the proposal of the subject's module."""
    kind = kinds.get(request.kind)
    if kind is not None and kind.ended is not None:
        with trail.on_behalf_of(request.maker_id):
            kind.ended(kind.locked_subject(request.subject_id), actor=actor, request=request)
    return request


def _end(request: ApprovalRequest, status: str) -> None:
    request.status, request.decided_at = status, clock.now()
    request.save()


def _masked(field: str, value: Any) -> str | None:
    """The value as text, masked for everybody who sees the request."""
    shown = next(iter(mask({field: value}).values()))
    return (
        None if shown is None else shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    )


def _head(request: ApprovalRequest, actor: Actor) -> dict[str, Any]:
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
