"""Events of prompts, budgets and calls; neither a prompt's text nor an answer is in them."""

from uuid import UUID

from erp.events import DecimalText, Event, Money, event


class PromptEvent(Event):
    prompt_id: UUID
    task: str
    number: int


@event("ai_prompt.proposed", version=1, aggregate=("ai_prompt", "prompt_id"), readers={})
class AiPromptProposed(PromptEvent):
    """Somebody proposed a prompt."""


@event("ai_prompt.published", version=1, aggregate=("ai_prompt", "prompt_id"), readers={})
class AiPromptPublished(PromptEvent):
    """A prompt is effective."""


@event("ai_prompt.discarded", version=1, aggregate=("ai_prompt", "prompt_id"), readers={})
class AiPromptDiscarded(PromptEvent):
    """A proposed prompt was not approved."""


class BudgetEvent(Event):
    budget_id: UUID
    organization_id: UUID
    new: Money


@event("ai_budget.proposed", version=1, aggregate=("ai_budget", "budget_id"), readers={})
class AiBudgetProposed(BudgetEvent):
    """Somebody proposed a budget."""


@event("ai_budget.changed", version=1, aggregate=("ai_budget", "budget_id"), readers={})
class AiBudgetChanged(BudgetEvent):
    """A budget is effective in place of the old one."""

    old: Money | None


@event("ai_budget.discarded", version=1, aggregate=("ai_budget", "budget_id"), readers={})
class AiBudgetDiscarded(BudgetEvent):
    """A proposed budget was not approved."""


@event("ai_call.recorded", version=1, aggregate=("ai_call", "call_id"), readers={})
class AiCallRecorded(Event):
    """A question was meant for a remote model: answered, or stopped for a reason."""

    call_id: UUID
    task: str
    provider: str
    outcome: str
    cost: DecimalText
    currency: str
