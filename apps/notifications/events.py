"""What others may learn of messages: that there is one, and what became of it. Never to which address, nor its text."""

from uuid import UUID

from apps.notifications import capabilities
from erp.events import ALL, Event, event, rows_of

rows_of("message", model="notification.Message", reads=capabilities.VIEW)


class Head(Event):
    """What each event says of its message."""

    message_id: UUID
    code: str
    channel: str
    user_id: UUID | None
    attempts: int


MESSAGE = ("message", "message_id")
RECIPIENT = {"user_id": ALL}


@event("notification.queued", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageQueued(Head):
    """It waits to be sent."""


@event("notification.sent", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageSent(Head):
    """The provider took it."""


@event("notification.failed", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageFailed(Head):
    """It was refused for good, or tried often enough."""


@event("notification.expired", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageExpired(Head):
    """What it tells was over before it could be sent."""


@event("notification.suppressed", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageSuppressed(Head):
    """The person doesn't want it, or can't be reached."""


@event("notification.requeued", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageRequeued(Head):
    """Somebody had it sent again."""


@event("notification.digest_sent", version=1, aggregate=("digest", "digest_id"), readers={})
class DigestSent(Event):
    """The day's messages of one person went out as one."""

    digest_id: UUID
    user_id: UUID
    count: int


@event(
    "notification.template_changed",
    version=1,
    aggregate=("message_template", "template_id"),
    readers={},
)
class TemplateChanged(Event):
    """A text is new, reads differently, or is retired."""

    template_id: UUID
    code: str
    channel: str
    locale: str
    status: str
    by: UUID | None
