"""Questions to outside providers: asked by a task outside any transaction, answered late, or by hand (risk §6)."""

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from apps.partners.models import Partner
from apps.risk import capabilities, events
from apps.risk.models import ProviderCheck
from apps.risk.services.policies import policy_for
from erp import clock, locks
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.files import Upload
from erp.services import emit, service
from erp.uploads import services as uploads

BY_HAND_DAYS: Final = 30
LONGEST_WAIT: Final = 60  # minutes between two attempts
_Status, _Kind = ProviderCheck.Status, ProviderCheck.Kind


class CheckClosed(Conflict):
    """The check was answered already."""


class EvidenceRequired(RuleBroken):
    """An answer by hand needs evidence and a reason."""


class AnswerInvalid(RuleBroken):
    """The answer is invalid."""


def end_of(day: date) -> datetime:
    """The moment at which a business day ends."""
    return datetime.combine(day + timedelta(days=1), time.min, clock.KOLKATA).astimezone(UTC)


def _lock(partner_id: UUID, kind: str) -> str:
    return f"risk.check:{partner_id}:{kind}"


def hold_screening(partner_id: UUID) -> None:
    """Hold the lock under which a partner is screened, and asked to be."""
    locks.hold(_lock(partner_id, _Kind.SCREENING))


def request(partner_id: UUID, kind: str) -> ProviderCheck:
    """Open a check unless one is open. The calling service emits RiskCheckRequested."""
    locks.hold(_lock(partner_id, kind))
    checks = ProviderCheck.objects.of(partner_id).filter(kind=kind)
    known: ProviderCheck | None = checks.waiting().first()
    if known is not None:
        return known
    # What was screened before doesn't count any more: that partner's row is open again.
    check = checks.first() if kind == _Kind.SCREENING else None
    check = check or ProviderCheck(partner_id=partner_id, kind=kind)
    check.status, check.attempts = _Status.REQUESTED, 0
    check.requested_at = check.next_attempt_at = clock.now()
    check.save()
    emit(events.RiskCheckRequested(**_head(check)))
    return check


def _head(check: ProviderCheck) -> dict[str, Any]:
    return {"check_id": check.pk, "partner_id": check.partner_id, "kind": check.kind}


@service(
    requires=capabilities.ASSESS,
    emits=[events.RiskCheckAnswered, events.RiskCheckUnanswered, events.RiskPolicyChanged],
)
def record_check(
    check: ProviderCheck,
    *,
    actor: Actor,
    grade: str | None = None,
    as_of: date | None = None,
    reference: str = "",
) -> ProviderCheck:
    """Record what a provider answered, or, without a grade, that it didn't: then it is asked again later.

    An answer that comes after one by hand replaces nothing newer.
    """
    if check.status != _Status.REQUESTED:
        return check
    check.attempts += 1
    if grade is None or as_of is None:
        check.next_attempt_at = _next_attempt(check.attempts)
        check.save()
        emit(events.RiskCheckUnanswered(**_head(check), attempts=check.attempts))
        return check
    check.grade, check.as_of, check.reference = grade, as_of, reference[:100]
    check.status, check.next_attempt_at = _Status.ANSWERED, None
    check.valid_until = end_of(as_of + timedelta(days=policy_for(None).content.bureau_days))
    check.save()
    _report(check)
    return check


def _next_attempt(attempts: int) -> datetime:
    """Later by 2ⁿ minutes, at most an hour, with jitter so that not all come back at once."""
    minutes = min(LONGEST_WAIT, 2 ** min(attempts, 10))
    return clock.now() + timedelta(minutes=minutes * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _report(check: ProviderCheck) -> None:
    emit(
        events.RiskCheckAnswered(
            **_head(check), by_hand=check.status == _Status.BY_HAND, grade=check.grade, changed=True
        )
    )


@service(
    requires=capabilities.REVIEW,
    emits=[events.RiskCheckAnswered],
    raises=[CheckClosed, EvidenceRequired, AnswerInvalid],
    label="Answer by hand",
    description="Enter what the provider would have said, with evidence. The answer counts for 30 days.",
)
def answer_by_hand(
    check: ProviderCheck,
    *,
    actor: Actor,
    grade: str,
    as_of: date,
    reason: str,
    evidence: Upload | None = None,
) -> ProviderCheck:
    """Answer an open check by hand."""
    if check.status != _Status.REQUESTED:
        raise CheckClosed
    if evidence is None or len(reason.strip()) < 10:
        raise EvidenceRequired
    if as_of > clock.today():
        raise AnswerInvalid.at("/as_of", "future", "The day is in the future.")
    stored = uploads.create(actor=actor, file=evidence, purpose="risk.check", used_by="risk.ProviderCheck")
    check.grade, check.as_of, check.reason = grade, as_of, reason
    check.evidence_upload_id, check.answered_by_id = stored.pk, actor.pk
    check.status, check.next_attempt_at = _Status.BY_HAND, None
    check.valid_until = clock.now() + timedelta(days=BY_HAND_DAYS)
    check.save()
    _report(check)
    return check


@service(requires=capabilities.ASSESS, emits=[events.RiskCheckRequested])
def request_check(*, actor: Actor, partner: Partner, kind: str) -> ProviderCheck:
    """Ask a provider about a partner, or screen it anew; one question at a time."""
    return request(partner.pk, kind)


@service(requires=capabilities.ASSESS, emits=[events.RiskCheckLapsed])
def lapse_check(check: ProviderCheck, *, actor: Actor) -> ProviderCheck:
    """End an answer that has become too old."""
    answered = (_Status.ANSWERED, _Status.BY_HAND)
    if check.status in answered and check.valid_until is not None and check.valid_until <= clock.now():
        check.status = _Status.LAPSED
        check.save()
        emit(events.RiskCheckLapsed(**_head(check)))
    return check
