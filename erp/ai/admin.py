"""Prompts, budgets and calls in the staff portal."""

from typing import ClassVar

from django.contrib import admin

from erp.admin import ServiceAdmin
from erp.ai import capabilities, services
from erp.ai.models import Budget, Call, Prompt


@admin.register(Prompt)
class PromptAdmin(ServiceAdmin):
    """Instructions to a remote model, one effective per task."""

    views = capabilities.VIEW
    creates = services.propose_prompt
    list_display: ClassVar = ["task", "number", "status", "proposed_by", "created_at"]
    list_filter: ClassVar = ["status", "task"]
    list_select_related: ClassVar = ["proposed_by"]
    ordering: ClassVar = ["-id"]  # ids rise with time
    details: ClassVar = ["task", "number", "template", "status", "reason", "proposed_by", "created_at"]


@admin.register(Budget)
class BudgetAdmin(ServiceAdmin):
    """What may be spent on a remote model in a month."""

    views = capabilities.VIEW
    creates = services.propose_budget
    list_display: ClassVar = ["__str__", "organization_id", "status", "proposed_by", "created_at"]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["proposed_by"]
    ordering: ClassVar = ["-id"]  # ids rise with time
    details: ClassVar = [
        "organization_id", "month_limit", "currency", "calls_per_user_hour", "tasks", "status", "reason",
        "proposed_by", "created_at",
    ]  # fmt: skip


@admin.register(Call)
class CallAdmin(ServiceAdmin):
    """Questions to a remote model: cost and outcome, never their text."""

    empty = "The system records each question to a remote model; none was asked so far."
    views = capabilities.VIEW
    list_display: ClassVar = [
        "task",
        "recorded_at",
        "model",
        "outcome",
        "reason",
        "cost",
        "currency",
        "latency_ms",
    ]
    list_filter: ClassVar = ["outcome", "reason", "task"]
    ordering: ClassVar = ["-recorded_at"]
