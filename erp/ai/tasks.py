"""The record of calls, written apart from the request that asked."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery import shared_task

from erp.access import SYSTEM
from erp.ai import budgets, services


@shared_task
def record_call(call: dict[str, Any], estimate: str) -> bool:
    """Record a call, and take its estimate off what is in flight; a rerun changes nothing."""
    figures = {
        **{name: value for name, value in call.items() if name != "call_id"},
        "organization_id": UUID(call["organization_id"]),
        "user_id": UUID(call["user_id"]) if call["user_id"] else None,
        "cost": Decimal(call["cost"]),
        "recorded_at": datetime.fromisoformat(call["recorded_at"]),
    }
    call_id = UUID(call["call_id"])
    is_new = bool(services.record_call(actor=SYSTEM, call_id=call_id, figures=figures))
    budgets.give_back(figures["organization_id"], call_id, Decimal(estimate))
    return is_new
