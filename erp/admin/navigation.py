"""The sidebar: pages grouped by work, with the number of rows that wait behind each."""

from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from erp.admin import queues

OTHER: Final = "Other"  # group of the apps that PORTAL_GROUPS doesn't name
BADGE_SECONDS: Final = 30  # the sidebar is on every page: its counts may be this old


def group_of(label: str) -> str:
    """The title of the group in which the pages of an app stand."""
    return next((title for title, labels in settings.PORTAL_GROUPS if label in labels), OTHER)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of ``PORTAL_GROUPS`` (title and app labels) with the pages that the person may see."""
    site = admin.site
    waiting = _waiting(request)
    pages: dict[str, list[Any]] = {}
    for page in site._registry.values():
        if page.has_view_permission(request):
            pages.setdefault(page.opts.app_label, []).append(page)
    address = reverse("admin:index")
    home = {"title": "Home", "icon": "home", "link": address, "active": request.path == address}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, labels in settings.PORTAL_GROUPS:
        found = [page for label in labels for page in pages.pop(label, [])]
        groups.append(_group(request, title, found, waiting))
    rest = [page for found in pages.values() for page in found]
    return [group for group in [*groups, _group(request, OTHER, rest, waiting)] if group["items"]]


def _group(request: HttpRequest, title: str, pages: list[Any], waiting: dict[str, str]) -> dict[str, Any]:
    items = []
    for page in sorted(pages, key=lambda page: str(page.opts.verbose_name_plural).lower()):
        address = page._url("changelist")
        item = {
            "title": capfirst(page.opts.verbose_name_plural),
            "link": address,
            "active": request.path.startswith(address),
        }
        if address in waiting:
            item |= {"badge": waiting[address], "badge_variant": "warning"}
        items.append(item)
    return {"title": title, "collapsible": True, "items": items}


def _waiting(request: HttpRequest) -> dict[str, str]:
    """Address of a page → how many rows wait in its queues; only those where some do."""
    view = getattr(request, "view_as", None)  # a simulated user has no id of its own
    key = f"admin:waiting:{request.user.pk if view is None else view.pk}"
    found: dict[str, str] | None = cache.get(key)
    if found is None:
        found = {}
        for queue in queues.waiting(admin.site._registry.values(), request):
            if queue.waiting != "0":
                found.setdefault(queue.url.partition("?")[0], queue.waiting)
        cache.set(key, found, BADGE_SECONDS)
    return found
