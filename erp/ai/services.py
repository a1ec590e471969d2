"""Services of prompts, budgets and the record of calls."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Max

from erp import locks
from erp.access import Actor
from erp.ai import capabilities, events
from erp.ai.models import Budget, Call, Prompt
from erp.ai.registry import tasks
from erp.ai.scrubbing import schema_hash
from erp.approvals import ApprovalKind
from erp.errors import FieldError, RuleBroken
from erp.events import Event, Money
from erp.services import emit, service

MOST_CHARACTERS = 20_000


class TaskUnknown(RuleBroken):
    """There is no such AI task."""

    code = "ai.task_unknown"


class ValueInvalid(RuleBroken):
    """A value is outside its limits."""

    code = "ai.value_invalid"


@service(
    label="Propose prompt",
    requires=capabilities.MANAGE,
    emits=[events.AiPromptProposed],
    raises=[TaskUnknown, ValueInvalid],
    advisory_lock="ai.prompt",
)
def propose_prompt(*, actor: Actor, task: str, template: str, reason: str) -> Prompt:
    """Propose the instruction for a task. It takes effect when another person approves it."""
    _require_tasks([task], "/task")
    if not 1 <= len(template) <= MOST_CHARACTERS:
        raise ValueInvalid(errors=[FieldError("/template", "invalid", "Enter 1 to 20,000 characters.")])
    last = Prompt.objects.filter(task=task).aggregate(last=Max("number"))["last"] or 0
    prompt = Prompt(
        task=task,
        number=last + 1,
        template=template,
        schema_hash=schema_hash(tasks[task]),
        reason=reason,
        proposed_by_id=actor.pk,
    )
    prompt.save()
    _emit_prompt(events.AiPromptProposed, prompt)
    return prompt


@service(
    label="Publish prompt",
    requires=capabilities.MANAGE,
    emits=[events.AiPromptPublished],
    lock_via=None,
    advisory_lock="ai.prompt",
)
def publish_prompt(prompt: Prompt, *, actor: Actor, request: Any) -> Prompt:
    """Make an approved prompt effective in place of the task's current one."""
    Prompt.objects.active().filter(task=prompt.task).update(status=Prompt.Status.RETIRED)
    prompt.status = Prompt.Status.ACTIVE
    prompt.save()
    _emit_prompt(events.AiPromptPublished, prompt)
    return prompt


@service(label="Discard prompt", requires=capabilities.MANAGE, emits=[events.AiPromptDiscarded])
def discard_prompt(prompt: Prompt, *, actor: Actor, request: Any) -> Prompt:
    """Retire a proposed prompt that was not approved."""
    prompt.status = Prompt.Status.RETIRED
    prompt.save()
    _emit_prompt(events.AiPromptDiscarded, prompt)
    return prompt


@service(
    label="Propose budget",
    requires=capabilities.MANAGE,
    emits=[events.AiBudgetProposed],
    raises=[TaskUnknown, ValueInvalid],
)
def propose_budget(
    *,
    actor: Actor,
    month_limit: Decimal,
    currency: str,
    allowed_tasks: str,
    reason: str,
    calls_per_user_hour: int = 100,
    organization_id: UUID | None = None,
) -> Budget:
    """Propose what an organization, by default one's own, may spend in a month.

    ``allowed_tasks`` are the names of tasks, separated by commas.
    """
    names = sorted({name.strip() for name in allowed_tasks.split(",") if name.strip()})
    _require_tasks(names, "/allowed_tasks")
    organization_id = organization_id or actor.organization_id
    faults = [
        FieldError(f"/{name}", "invalid", text)
        for name, right, text in (
            ("month_limit", 0 <= month_limit < 10**16, "Enter an amount of at least 0."),
            ("currency", len(currency) == 3 and currency.isupper(), "Enter a code such as INR."),
            ("calls_per_user_hour", 0 <= calls_per_user_hour <= 100_000, "Enter 0 to 100,000."),
            ("organization_id", organization_id is not None, "Choose the organization."),
        )
        if not right
    ]
    if faults:
        raise ValueInvalid(errors=faults)
    budget = Budget(
        organization_id=organization_id,
        month_limit=month_limit,
        currency=currency,
        calls_per_user_hour=calls_per_user_hour,
        tasks=names,
        reason=reason,
        proposed_by_id=actor.pk,
    )
    budget.save()
    _emit_budget(events.AiBudgetProposed, budget)
    return budget


@service(
    label="Change budget",
    requires=capabilities.MANAGE,
    emits=[events.AiBudgetChanged],
    lock_via=None,
    advisory_lock="ai.budget",
)
def change_budget(budget: Budget, *, actor: Actor, request: Any) -> Budget:
    """Make an approved budget effective in place of the organization's current one."""
    old = Budget.objects.active().filter(organization_id=budget.organization_id).locked().first()
    if old is not None:
        old.status = Budget.Status.RETIRED
        old.save()
    budget.status = Budget.Status.ACTIVE
    budget.save()
    _emit_budget(events.AiBudgetChanged, budget, old=None if old is None else _money(old))
    return budget


@service(label="Discard budget", requires=capabilities.MANAGE, emits=[events.AiBudgetDiscarded])
def discard_budget(budget: Budget, *, actor: Actor, request: Any) -> Budget:
    """Retire a proposed budget that was not approved."""
    budget.status = Budget.Status.RETIRED
    budget.save()
    _emit_budget(events.AiBudgetDiscarded, budget)
    return budget


@service(requires=capabilities.MANAGE, emits=[events.AiCallRecorded])
def record_call(*, actor: Actor, call_id: UUID, figures: dict[str, Any]) -> bool:
    """Record a call, once; return whether it is new. ``figures`` are its columns."""
    locks.hold(f"ai.call:{call_id}")  # the task may run twice at once
    if Call.objects.filter(pk=call_id).exists():
        return False
    call = Call(call_id=call_id, **figures)
    call.save()
    emit(
        events.AiCallRecorded(
            call_id=call_id,
            task=call.task,
            provider=call.provider,
            outcome=call.outcome,
            cost=call.cost,
            currency=call.currency,
        )
    )
    return True


def _require_tasks(names: list[str], pointer: str) -> None:
    if unknown := set(names) - tasks.keys():
        detail = f"There is no task {', '.join(sorted(unknown))}. Choose of: {', '.join(sorted(tasks))}."
        raise TaskUnknown(errors=[FieldError(pointer, "does_not_exist", detail)])


def _emit_prompt(event: type[events.PromptEvent], prompt: Prompt) -> None:
    emit(event(prompt_id=prompt.pk, task=prompt.task, number=prompt.number))


def _emit_budget(event: type[events.BudgetEvent], budget: Budget, **members: Any) -> None:
    emit(event(budget_id=budget.pk, organization_id=budget.organization_id, new=_money(budget), **members))


def _money(budget: Budget) -> Money:
    return Money(amount=budget.month_limit, currency=budget.currency)


def _describe(*names: str) -> Callable[[Any], dict[str, Any] | None]:
    """The fields of the approval request of a proposal that is still one."""

    def describe(proposal: Any) -> dict[str, Any] | None:
        if proposal.status != proposal.Status.DRAFT:
            return None
        lines = [(name, None, str(getattr(proposal, name))[:2000]) for name in names]
        return {"maker": proposal.proposed_by, "reason": proposal.reason, "diff": lines}

    return describe


def _kind(name: str, model: type[Any], opened_by: type[Event], **rest: Any) -> ApprovalKind:
    return ApprovalKind(
        name=f"ai.{name}",
        title=f"{name.capitalize()} of AI",
        subject=f"ai_{name}",
        model=model._meta.label,
        capability=capabilities.MANAGE,
        opened_by=opened_by,
        **rest,
    )


PROMPT = _kind(
    "prompt",
    Prompt,
    events.AiPromptProposed,
    apply=publish_prompt,
    ended=discard_prompt,
    describe=_describe("task", "number", "template"),
)
BUDGET = _kind(
    "budget",
    Budget,
    events.AiBudgetProposed,
    apply=change_budget,
    ended=discard_budget,
    describe=_describe("organization_id", "month_limit", "currency", "calls_per_user_hour", "tasks"),
)
