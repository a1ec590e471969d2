"""Notices to approvers of pending requests, and to requesters of decisions."""

from typing import Any

from django.conf import settings
from django.urls import reverse

from apps.approvals.models import ApprovalRequest
from apps.notifications.models import Category, Message, Notice, Values


def _request(message: Message) -> ApprovalRequest:
    found: ApprovalRequest = ApprovalRequest.objects.get(pk=message.fact("approval_id"))
    return found


def _values(request: ApprovalRequest) -> dict[str, str]:
    path = reverse("admin:approval_approvalrequest_change", args=[request.pk])
    return {"what": request.title, "link": f"{settings.PUBLIC_URL}{path}"}


def _waiting(message: Message) -> Values | None:
    """None once the request is decided, or if the user may no longer decide on it."""
    request = _request(message)
    person: Any = message.user
    is_waiting = ApprovalRequest.objects.to_decide(person).filter(pk=request.pk).exists()
    return _values(request) if is_waiting else None


def _decided(message: Message) -> Values:
    request = _request(message)
    outcome = request.get_status_display().lower()
    return {**_values(request), "outcome": outcome}


def _question(message: Message) -> Values | None:
    """None once the request is decided, or the question is answered."""
    request = _request(message)
    is_open = request.status == ApprovalRequest.Status.PENDING and request.open_question is not None
    return _values(request) if is_open else None


def _answer(message: Message) -> Values | None:
    """None once the request is decided."""
    request = _request(message)
    return _values(request) if request.status == ApprovalRequest.Status.PENDING else None


WAITING = Notice(
    code="approval_waiting",
    title="Requests waiting for your decision",
    category=Category.DIGEST,
    variables=frozenset({"what", "link"}),
    values=_waiting,
)
DECIDED = Notice(
    code="approval_decided",
    title="Your requests that were decided",
    category=Category.DIGEST,
    variables=frozenset({"what", "link", "outcome"}),
    values=_decided,
)
QUESTIONED = Notice(
    code="approval_questioned",
    title="Questions about your requests",
    category=Category.DIGEST,
    variables=frozenset({"what", "link"}),
    values=_question,
)
ANSWERED = Notice(
    code="approval_answered",
    title="Answers to your questions",
    category=Category.DIGEST,
    variables=frozenset({"what", "link"}),
    values=_answer,
)
