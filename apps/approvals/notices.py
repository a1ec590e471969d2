"""What people are told of requests: that one waits for them, and what became of theirs."""

from typing import Any

from django.conf import settings
from django.urls import reverse

from apps.approvals.models import ApprovalRequest
from apps.notifications.models import Category, Message, Notice, Values


def _request(message: Message) -> ApprovalRequest:
    found: ApprovalRequest = ApprovalRequest.objects.get(pk=message.fact("approval_id"))
    return found


def _told(request: ApprovalRequest) -> dict[str, str]:
    path = reverse("admin:approval_approvalrequest_change", args=[request.pk])
    return {"what": request.title, "link": f"{settings.PUBLIC_URL}{path}"}


def _waiting(message: Message) -> Values | None:
    """Nothing once it is decided, or no longer this person's to decide."""
    request = _request(message)
    person: Any = message.user
    waits = ApprovalRequest.objects.to_decide(person).filter(pk=request.pk).exists()
    return _told(request) if waits else None


def _decided(message: Message) -> Values:
    request = _request(message)
    outcome = request.get_status_display().lower()
    return {**_told(request), "outcome": outcome}


WAITING = Notice(
    code="approval_waiting",
    title="Requests that wait for your decision",
    category=Category.DIGEST,
    variables=frozenset({"what", "link"}),
    values=_waiting,
)
DECIDED = Notice(
    code="approval_decided",
    title="Requests of yours that were decided",
    category=Category.DIGEST,
    variables=frozenset({"what", "link", "outcome"}),
    values=_decided,
)
