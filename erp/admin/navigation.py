"""The sidebar: pages grouped by work, with the number of rows that wait behind each."""

from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import get_script_prefix, reverse
from django.utils.text import capfirst

from erp.admin import cached, queues

OTHER: Final = "Other"  # group of the apps that PORTAL_GROUPS doesn't name
BADGE_SECONDS: Final = 30  # the sidebar is on every page: its counts may be this old


def group_of(label: str) -> str:
    """The title of the group in which the pages of an app stand."""
    return next((title for title, labels in settings.PORTAL_GROUPS if label in labels), OTHER)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of ``PORTAL_GROUPS`` (title and app labels) with the pages that the person may see."""
    waiting = _waiting(request)
    address = reverse("admin:index")
    home = {"title": "Home", "icon": "home", "link": address, "active": request.path == address}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, entries in _entries(tuple(admin.site._registry.values()), get_script_prefix()):
        items = [
            _item(request, entry, waiting) for entry in entries if entry.page.has_view_permission(request)
        ]
        if items:
            groups.append({"title": title, "collapsible": True, "items": items})
    return groups


class _Entry(NamedTuple):
    page: Any
    title: str
    link: str


@lru_cache(maxsize=4)
def _entries(pages: tuple[Any, ...], prefix: str) -> list[tuple[str, list[_Entry]]]:
    """The pages of each group by title, with their addresses: the same for everybody, so found once per process."""
    groups: dict[str, list[_Entry]] = {title: [] for title, _ in settings.PORTAL_GROUPS}
    for page in pages:
        entry = _Entry(page, capfirst(str(page.opts.verbose_name_plural)), page._url("changelist"))
        groups.setdefault(group_of(page.opts.app_label), []).append(entry)
    return [
        (title, sorted(entries, key=lambda entry: entry.title.lower())) for title, entries in groups.items()
    ]


def _item(request: HttpRequest, entry: _Entry, waiting: dict[str, str]) -> dict[str, Any]:
    item = {"title": entry.title, "link": entry.link, "active": request.path.startswith(entry.link)}
    if entry.link in waiting:
        item |= {"badge": waiting[entry.link], "badge_variant": "warning"}
    return item


def _waiting(request: HttpRequest) -> dict[str, str]:
    """Address of a page → how many rows wait in its queues; only those where some do."""
    view = getattr(request, "view_as", None)  # a simulated user has no id of its own
    key = f"admin:waiting:{request.user.pk if view is None else view.pk}"
    found: dict[str, str] | None = cached.get(key)
    if found is None:
        found = {}
        for queue in queues.waiting(admin.site._registry.values(), request):
            if queue.waiting != "0":
                found.setdefault(queue.url.partition("?")[0], queue.waiting)
        cached.put(key, found, BADGE_SECONDS)
    return found
