"""Events of messages and templates. They never hold an address or a text."""

from uuid import UUID

from apps.notifications import capabilities
from erp.events import ALL, Event, event, rows_of

rows_of("message", model="notification.Message", reads=capabilities.VIEW)


class MessageEvent(Event):
    """The fields that all events of a message share."""

    message_id: UUID
    code: str
    channel: str
    user_id: UUID | None
    attempts: int


MESSAGE = ("message", "message_id")
RECIPIENT = {"user_id": ALL}


@event("notification.queued", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageQueued(MessageEvent):
    """A message was queued."""


@event("notification.sent", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageSent(MessageEvent):
    """A message was accepted by the provider."""


@event("notification.failed", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageFailed(MessageEvent):
    """A message was refused permanently, or its attempts are used up."""


@event("notification.expired", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageExpired(MessageEvent):
    """A message was no longer relevant before it could be sent."""


@event("notification.suppressed", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageSuppressed(MessageEvent):
    """A message was not sent: the user turned it off, or has no verified address."""


@event("notification.requeued", version=1, aggregate=MESSAGE, readers=RECIPIENT)
class MessageRequeued(MessageEvent):
    """A failed message was queued again."""


@event("notification.digest_sent", version=1, aggregate=("digest", "digest_id"), readers={})
class DigestSent(Event):
    """The messages of a user and day were sent as one."""

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
    """A template was added, changed or retired."""

    template_id: UUID
    code: str
    channel: str
    locale: str
    status: str
    by: UUID | None
