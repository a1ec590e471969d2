"""Versions of the rules: proposed by one person, activated by another (§5.7)."""

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from django.db.models import Max

from apps.approvals import services as approvals
from apps.availability.models import Availability
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.schedules import QualitySchedule
from apps.matching import capabilities, events
from apps.matching.engine.body import DEFAULT, WHOLE, RuleBody
from apps.matching.models import RematchMark, RuleSet
from apps.matching.services import problems, profiles
from apps.matching.services.rule_reading import Rules, active_rule
from apps.requirement.models import Requirement
from erp import clock, locks
from erp.access import Actor
from erp.approvals import ApprovalKind, Base
from erp.services import emit, service

_Status = RuleSet.Status


def _head(row: RuleSet) -> dict[str, Any]:
    return {
        "rule_set_id": row.pk,
        "commodity_id": row.commodity_id,
        "rule_version": row.version,
        "base_version": row.base_version,
    }


def scope_of(commodity_id: UUID | None) -> RuleSet:
    """The active rules of exactly this scope; without any an unsaved row of version 0 with the built-in ones."""
    row: RuleSet | None = RuleSet.objects.in_scope(commodity_id).active().select_related("commodity").first()
    return row or RuleSet(
        commodity_id=commodity_id, version=0, base_version=0, body=_built_in(commodity_id).stored()
    )


def _built_in(commodity_id: UUID | None) -> RuleBody:
    return DEFAULT if commodity_id is None else active_rule(commodity_id).body


@service(
    requires=capabilities.CONFIGURE,
    emits=[events.RulesProposed],
    raises=[
        problems.RulesPending, problems.WeightsNotWhole, problems.ScheduleMismatch, approvals.PendingExists,
        approvals.ReasonMissing,
    ],
    label="Propose rules",
    description="Propose the next version of the rules. A second person approves it.",
)  # fmt: skip
def propose_rules(
    current: RuleSet,
    *,
    actor: Actor,
    body: Mapping[str, Any],
    reason: str,
    commodity: Commodity | None = None,
) -> RuleSet:
    """Propose the next version of a scope's rules, made from its current one."""
    rules = _typed(body)
    scope = None if commodity is None else commodity.pk
    locks.hold(f"matching.rules:{scope or 'default'}")
    rows = RuleSet.objects.in_scope(scope)
    if rows.filter(status=_Status.PROPOSED).exists():
        raise problems.RulesPending
    _require_schedule(rules, commodity)
    latest = rows.aggregate(latest=Max("version"))["latest"] or 0
    row = RuleSet(
        commodity=commodity, version=latest + 1, body=rules.stored(), base_version=current.version, reason=reason,
        proposed_by_id=actor.pk,
    )  # fmt: skip
    request = approvals.request(
        actor=actor,
        kind=RULES,
        subject_id=row.pk,
        subject_name=str(row),
        subject_version=row.version,
        base=_base(row),
        reason=reason,
        diff=_differences(RuleBody.model_validate(current.body), rules),
    )
    row.approval_id = request.pk
    row.save()
    emit(events.RulesProposed(**_head(row), approval_id=request.pk))
    return row


def _typed(body: Mapping[str, Any]) -> RuleBody:
    """The rules of a submitted body, whose values are each in their range. Raises WeightsNotWhole."""
    for name in ("weights", "delivery_weights"):
        if sum(body[name].values()) != WHOLE:
            raise problems.WeightsNotWhole.at(f"/{name}", "sum", "The weights must add up to 10,000.")
    parameters = {
        rule["parameter"]: {key: value for key, value in rule.items() if key != "parameter"}
        for rule in body["parameters"]
    }
    return RuleBody.model_validate({**body, "parameters": parameters})


def _require_schedule(body: RuleBody, commodity: Commodity | None) -> None:
    if body.schedule_id is None and body.schedule_version is None:
        return
    row = QualitySchedule.objects.active().filter(pk=body.schedule_id).first()
    fits = row is not None and row.schedule_version == body.schedule_version
    if row is None or not fits or commodity is None or row.commodity_id != commodity.pk:
        raise problems.ScheduleMismatch.at(
            "/schedule_id", "mismatch", "Choose a published version of this commodity."
        )


def _differences(old: RuleBody, new: RuleBody) -> list[tuple[str, Any, Any]]:
    before, after = old.stored(), new.stored()
    return [(name, before[name], after[name]) for name in after if before[name] != after[name]]


@service(requires=capabilities.CONFIGURE, emits=[events.RulesChanged], label="Activate rules")
def apply_rules(row: RuleSet, *, actor: Actor, request: Any) -> RuleSet:
    """Activate a version, in the transaction of its approval; the one before is retired."""
    old = RuleSet.objects.in_scope(row.commodity_id).active().locked().first()
    if old is not None:
        old.status = _Status.RETIRED
        old.save()
    row.status, row.activated_at = _Status.ACTIVE, clock.now()
    row.save()
    emit(events.RulesChanged(**_head(row)))
    return row


@service(requires=capabilities.CONFIGURE, emits=[events.RulesRefused], label="Close proposed rules")
def close_rules(row: RuleSet, *, actor: Actor, request: Any) -> RuleSet:
    """Close a proposal whose request was refused, withdrawn, expired or went stale."""
    if row.status == _Status.PROPOSED:
        stale = scope_of(row.commodity_id).version != row.base_version
        row.status = _Status.STALE if stale else _Status.REFUSED
        row.save()
        emit(events.RulesRefused(**_head(row), status=row.status))
    return row


def _base(row: RuleSet) -> Base | None:
    """The active version that the proposal builds on: its scope's, whatever row holds it."""
    current = RuleSet.objects.in_scope(row.commodity_id).active().first()
    return None if current is None else Base("rule_set", current.pk, current.version)


RULES: Final = ApprovalKind(
    name="matching.rules",
    title="Rules of matching",
    capability=capabilities.CONFIGURE,
    subject="rule_set",
    model="matching.RuleSet",
    base_of=_base,
    apply=apply_rules,
    ended=close_rules,
)


@service(
    requires=capabilities.EXECUTE,
    machinery="profiles are a cache, and marks a queue; the change behind them has its own event",
    label="Compute profiles anew",
)
def forget_profiles(
    *, actor: Actor, commodity_ids: Collection[UUID] = (), offer_ids: Collection[UUID] = ()
) -> None:
    """Drop profiles after a change of rates, units or results; the sweep starts a batch of the commodities."""
    profiles.forget(commodity_ids=commodity_ids, offer_ids=offer_ids)
    if commodity_ids:
        wants = Requirement.objects.live().filter(commodity__in=commodity_ids)
        matched = RematchMark.objects.filter(subject_type="REQUIREMENT", subject_id__in=wants.values("pk"))
        matched.update(rules="")


@service(
    requires=capabilities.EXECUTE,
    machinery="profiles are a cache",
    label="Copy profiles",
)
def copy_profiles(*, actor: Actor, commodity_ids: Collection[UUID], want_ids: Collection[UUID]) -> None:
    """Let the rest of the transaction work on copies of profiles."""
    profiles.work_on_copies(commodity_ids, want_ids)


@service(
    requires=capabilities.EXECUTE,
    machinery="profiles are a cache",
    label="Bring profiles up to date",
)
def refresh_profiles(*, actor: Actor, rules: Mapping[UUID, Rules], want_ids: Collection[UUID]) -> None:
    """Compute profiles for a batch, or by rules that are not active inside a simulation, which works on copies."""
    profiles.refresh_offers(Availability.objects.all(), rules)
    profiles.refresh_wants(Requirement.objects.filter(pk__in=want_ids))
