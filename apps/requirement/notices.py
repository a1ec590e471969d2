"""Notices to buyers about their requirements. They name no figure: messages travel outside."""

from django.conf import settings

from apps.notifications.models import Category, Message, Notice, Values
from apps.requirement.models import Requirement


def _status(message: Message) -> Values:
    requirement = Requirement.objects.get(pk=message.fact("requirement_id"))
    status = Requirement.Status(message.context["status"])
    return {"number": requirement.number, "status": str(status.label).lower(), "link": settings.PUBLIC_URL}


STATUS = Notice(
    code="requirement_status",
    title="Status of requirements",
    category=Category.TRANSACTIONAL,
    variables=frozenset({"number", "status", "link"}),
    values=_status,
)
