"""Messages about new matches. They name no figure and no partner: messages travel outside."""

from django.conf import settings

from apps.notifications.models import Category, Message, Notice, Values


def _digest(message: Message) -> Values:
    count, more = int(message.context["count"]), int(message.context["more"])
    return {"count": str(count), "total": str(count + more), "link": settings.PUBLIC_URL}


DIGEST = Notice(
    code="match_digest",
    title="New matches",
    category=Category.DIGEST,
    variables=frozenset({"count", "total", "link"}),
    values=_digest,
)
