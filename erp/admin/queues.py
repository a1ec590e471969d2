"""Queues on the home page: number of waiting rows and waiting time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest

from erp import clock

COUNTED: Final = 999


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Rows that wait for a person's action.

    ``filters`` of the list select them, the field ``since`` is the start of waiting; ``amber`` and ``red``
    are limits of the waiting time.
    """

    title: str
    filters: Mapping[str, str]
    since: str
    amber: timedelta
    red: timedelta


class Waiting(NamedTuple):
    """The current state of a queue."""

    title: str
    url: str
    waiting: str
    oldest: datetime | None
    colour: str


def waiting(
    admins: Iterable[Any], request: HttpRequest, clock: Callable[[], datetime] = clock.now
) -> list[Waiting]:
    """Every queue of these pages whose rows the person may see: two small queries each, once per request."""
    found: list[Waiting] | None = getattr(request, "_waiting", None)
    if found is None:
        found = [
            _stand(admin, request, queue, clock())
            for admin in admins
            if admin.queues and admin.has_view_permission(request)
            for queue in admin.queues
        ]
        request._waiting = found  # type: ignore[attr-defined]
    return found


def _stand(admin: Any, request: HttpRequest, queue: Queue, now: datetime) -> Waiting:
    rows = admin.get_queryset(request).filter(**queue.filters).order_by()
    count = rows[: COUNTED + 1].count()
    oldest = rows.order_by(queue.since).values_list(queue.since, flat=True).first() if count else None
    age = now - oldest if oldest is not None else timedelta()
    colour = (
        "danger" if age >= queue.red else "warning" if age >= queue.amber else "success" if not count else ""
    )
    url = f"{admin._url('changelist')}?{urlencode(queue.filters)}"
    return Waiting(queue.title, url, f"{COUNTED}+" if count > COUNTED else str(count), oldest, colour)
