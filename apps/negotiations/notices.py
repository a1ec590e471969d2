"""Notices to the two sides. They name neither a figure nor anything of the other side: messages travel outside."""

from django.conf import settings

from apps.negotiations.models import Negotiation
from apps.notifications.models import Category, Message, Notice, Values


def _offer(message: Message) -> Values | None:
    """None once the offer has been answered or is over."""
    row = Negotiation.objects.get(pk=message.fact("negotiation_id"))
    is_current = str(row.standing_offer_id) == message.context["offer_id"]
    return {"link": settings.PUBLIC_URL} if is_current else None


def _ended(message: Message) -> Values:
    row = Negotiation.objects.get(pk=message.fact("negotiation_id"))
    return {"status": str(row.get_status_display()).lower(), "link": settings.PUBLIC_URL}


OFFER = Notice(
    code="negotiation_offer",
    title="Offers in negotiations",
    category=Category.TRANSACTIONAL,
    variables=frozenset({"link"}),
    values=_offer,
)
ENDED = Notice(
    code="negotiation_ended",
    title="Negotiations that ended",
    category=Category.TRANSACTIONAL,
    variables=frozenset({"status", "link"}),
    values=_ended,
)
