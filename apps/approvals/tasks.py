"""Periodic work on requests."""

from celery import shared_task
from django.utils import timezone

from apps.approvals import services
from apps.approvals.models import ApprovalRequest
from erp.access import SYSTEM

CHUNK = 500  # rows of one sweep


@shared_task
def expire_overdue() -> int:
    """End requests past their time, each in a transaction of its own; returns their number."""
    due = list(ApprovalRequest.objects.overdue(timezone.now()).order_by("expires_at", "pk")[:CHUNK])
    for request in due:
        services.expire(request, actor=SYSTEM)
    return len(due)
