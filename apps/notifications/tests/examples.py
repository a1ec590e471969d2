"""Rows for the module's list; it has no endpoint that writes."""

from uuid import uuid4

from apps.notifications import notices, services
from erp.access import SYSTEM


def notify(person, notice=notices.NEW_SIGN_IN, **fields):
    """Notify a user; return the message."""
    return services.notify(actor=SYSTEM, **{"notice": notice, "event_id": uuid4(), "user": person, **fields})[
        0
    ]


LISTS = {"/api/v1/notifications": ("INTERNAL", lambda world, viewer: notify(viewer))}
EXAMPLES = {}
