"""Queues on the home page: number of waiting rows and waiting time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count, Min, Value
from django.http import HttpRequest

from erp import clock

COUNTED: Final = 999


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Rows that wait for a person's action.

    ``filters`` of the list select them, the field ``since`` is the start of waiting; ``amber`` and ``red``
    are limits of the waiting time, in ``working`` hours or by the clock. A ``quiet`` queue stands on the home
    page only while something waits.
    """

    title: str
    filters: Mapping[str, str]
    since: str
    amber: timedelta
    red: timedelta
    quiet: bool = False
    working: bool = False


class Waiting(NamedTuple):
    """The current state of a queue."""

    title: str
    url: str
    waiting: str
    oldest: datetime | None
    colour: str
    is_shown: bool


def waiting(
    admins: Iterable[Any], request: HttpRequest, clock: Callable[[], datetime] = clock.now
) -> list[Waiting]:
    """Every queue whose rows the person may see, as the navigation orders their pages: one query, once per request."""
    found: list[Waiting] | None = getattr(request, "_waiting", None)
    if found is None:
        labels = [label for _, labels in settings.PORTAL_GROUPS for label in labels]
        order = {label: place for place, label in enumerate(labels)}
        seen = [
            (admin, queue)
            for admin in sorted(admins, key=lambda page: order.get(page.opts.app_label, len(order)))
            if admin.queues and admin.has_view_permission(request)
            for queue in admin.queues
        ]
        counted = _counted(
            [admin.get_queryset(request).filter(**queue.filters) for admin, queue in seen], seen
        )
        found = [
            _stand(admin, queue, count, oldest, clock())
            for (admin, queue), (count, oldest) in zip(seen, counted, strict=True)
        ]
        request._waiting = found  # type: ignore[attr-defined]
    return found


def _counted(lists: list[Any], seen: list[tuple[Any, Queue]]) -> list[tuple[int, datetime | None]]:
    """How many rows each list has, and since when its oldest waits."""
    parts = [
        rows.order_by()
        .values(queue_number=Value(number))
        .annotate(queue_rows=Count("pk"), waits_since=Min(queue.since))
        for number, (rows, (_, queue)) in enumerate(zip(lists, seen, strict=True))
    ]
    found = (
        parts[0].union(*parts[1:], all=True).values_list("queue_number", "queue_rows", "waits_since")
        if parts
        else ()
    )
    by_number = {number: (count, oldest) for number, count, oldest in found}
    return [by_number.get(number, (0, None)) for number in range(len(lists))]


def _stand(admin: Any, queue: Queue, count: int, oldest: datetime | None, now: datetime) -> Waiting:
    age = timedelta()
    if oldest is not None:
        age = clock.working_time(oldest, now) if queue.working else now - oldest
    colour = (
        "danger" if age >= queue.red else "warning" if age >= queue.amber else "success" if not count else ""
    )
    url = admin._url("changelist") + (f"?{urlencode(queue.filters)}" if queue.filters else "")
    text = f"{COUNTED}+" if count > COUNTED else str(count)
    return Waiting(queue.title, url, text, oldest, colour, is_shown=bool(count) or not queue.quiet)
