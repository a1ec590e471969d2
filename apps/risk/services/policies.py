"""Policies: proposed by one person, activated by another; the first one comes with the product."""

from typing import Any, Final
from uuid import UUID

from django.db.models import Max
from pydantic import ValidationError

from apps.approvals import services as approvals
from apps.commodities.models.commodities import Commodity
from apps.risk import capabilities, events
from apps.risk.models import RiskPolicy
from apps.risk.policy import PolicyBody
from erp import clock, locks
from erp.access import Actor
from erp.approvals import ApprovalKind, Base
from erp.errors import Conflict, FieldError, Invalid
from erp.services import emit, service

LOCK: Final = "risk.policy"
_Status = RiskPolicy.Status


class PolicyProposalOpen(Conflict):
    """A proposal for this scope waits for approval."""

    constraints = ("risk_policy_one_proposed",)


def policy_for(commodity_id: UUID | None) -> RiskPolicy:
    """The active policy of a commodity, else the default one.

    Only inside a service that emits RiskPolicyChanged: the first call activates the policy of the product.
    """
    scopes = RiskPolicy.objects.active().filter(commodity=None) | RiskPolicy.objects.active().filter(
        commodity=commodity_id
    )
    found: RiskPolicy | None = scopes.order_by("commodity").first()  # nulls last: the commodity's own first
    return found or _first()


def _first() -> RiskPolicy:
    """Activate the policy that comes with the product."""
    locks.hold(LOCK)
    known: RiskPolicy | None = RiskPolicy.objects.active().filter(commodity=None).first()
    if known is not None:
        return known
    policy = RiskPolicy(policy_version=1, body=PolicyBody().stored(), reason="Policy of the product.")
    _activate(policy, None)
    return policy


def _activate(policy: RiskPolicy, previous: RiskPolicy | None) -> None:
    if previous is not None:
        previous.status = _Status.RETIRED
        previous.save()
    policy.status, policy.activated_at = _Status.ACTIVE, clock.now()
    policy.save()
    emit(
        events.RiskPolicyChanged(
            **_head(policy), previous_version=None if previous is None else previous.policy_version
        )
    )


def _head(policy: RiskPolicy) -> dict[str, Any]:
    return {
        "policy_id": policy.pk,
        "commodity_id": policy.commodity_id,
        "version": policy.policy_version,
    }


def _typed(body: dict[str, Any]) -> PolicyBody:
    """The body with its defaults. Raises Invalid, with a pointer to each fault."""
    try:
        return PolicyBody.model_validate(body)
    except ValidationError as fault:
        raise Invalid(
            errors=[
                FieldError("/body" + "".join(f"/{place}" for place in each["loc"]), each["type"], each["msg"])
                for each in fault.errors(include_url=False, include_context=False, include_input=False)
            ]
        ) from None


@service(
    requires=capabilities.CONFIGURE,
    emits=[events.RiskPolicyProposed, events.RiskPolicyChanged],
    raises=[PolicyProposalOpen, approvals.ReasonMissing],
    advisory_lock=LOCK,
    label="Propose a policy",
    description="Propose a new version of a policy. What is left out of it takes its default. A second person decides.",
)
def propose_policy(
    *, actor: Actor, body: dict[str, Any], reason: str, commodity: Commodity | None = None
) -> RiskPolicy:
    """Propose a new version of the policy of a commodity, or of the default one."""
    typed = _typed(body)
    scope = RiskPolicy.objects.in_scope(commodity)
    if scope.filter(status=_Status.PROPOSED).exists():
        raise PolicyProposalOpen
    previous = _first() if commodity is None else scope.active().first()
    last = scope.aggregate(last=Max("policy_version"))["last"] or 0
    policy = RiskPolicy(
        commodity=commodity,
        policy_version=last + 1,
        body=typed.stored(),
        base_version=None if previous is None else previous.policy_version,
        reason=reason,
        proposed_by_id=actor.pk,
    )
    old = {} if previous is None else previous.content.stored()
    request = approvals.request(
        actor=actor,
        kind=RISK_POLICY,
        subject_id=policy.pk,
        subject_name=str(policy),
        subject_version=policy.version,
        base=previous and Base("risk_policy", previous.pk, previous.version),
        reason=reason,
        diff=[
            (name, _words(old.get(name)), _words(new))
            for name, new in policy.body.items()
            if old.get(name) != new
        ],
    )
    policy.approval_id = request.pk
    policy.save()
    emit(events.RiskPolicyProposed(**_head(policy), approval_id=request.pk))
    return policy


def _words(value: Any) -> str | None:
    return None if value is None else str(value)


def _base_of(policy: RiskPolicy) -> Base | None:
    previous = RiskPolicy.objects.in_scope(policy.commodity).active().first()
    return previous and Base("risk_policy", previous.pk, previous.version)


@service(requires=capabilities.CONFIGURE, emits=[events.RiskPolicyChanged])
def apply_policy(policy: RiskPolicy, *, actor: Actor, request: Any) -> RiskPolicy:
    """Activate a proposed policy, in the transaction of its approval; the former one is retired."""
    previous = RiskPolicy.objects.in_scope(policy.commodity).active().locked().first()
    _activate(policy, previous)
    return policy


@service(requires=capabilities.CONFIGURE, emits=[events.RiskPolicyRefused])
def end_policy(policy: RiskPolicy, *, actor: Actor, request: Any) -> RiskPolicy:
    """End a proposal whose request was refused, withdrawn, expired or went stale."""
    if policy.status == _Status.PROPOSED:
        policy.status = _Status.STALE if request.status == "stale" else _Status.REFUSED
        policy.save()
        emit(events.RiskPolicyRefused(**_head(policy), status=policy.status))
    return policy


RISK_POLICY = ApprovalKind(
    name="risk.policy",
    title="Risk policy",
    subject="risk_policy",
    model="risk.RiskPolicy",
    capability=capabilities.CONFIGURE,
    locks=lambda policy_id: locks.hold(LOCK),
    base_of=_base_of,
    apply=apply_policy,
    ended=end_policy,
)
