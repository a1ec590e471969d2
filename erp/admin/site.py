"""The admin site of the staff portal, without Django's own views that write rows."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.paginator import InvalidPage, Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, path
from unfold.sites import UnfoldAdminSite

from erp import access, capabilities, clock, heartbeat
from erp.admin import charts, claims, partner_view, queries, queues, search
from erp.admin.options import ServiceAdmin
from erp.clients import breakers
from erp.errors import Malformed


class NextStep(NamedTuple):
    """What is left to set up: a link and a sentence."""

    title: str
    text: str
    url: str


class HealthSign(NamedTuple):
    """A figure of the system's health with its colour (``success``, ``warning``, ``danger``)."""

    title: str
    text: str
    colour: str


class Task(NamedTuple):
    """Something of the person's own that is still going on: what, how it stands, and its page."""

    title: str
    text: str
    url: str


def _breakers() -> Iterable[HealthSign]:
    found = breakers.not_closed()
    if found is None:
        return [HealthSign("Circuit breakers", "not known", "warning")]
    if not found:
        return [HealthSign("Circuit breakers", "closed", "success")]
    return [
        HealthSign(f"Circuit breaker {each.name}", f"{each.state} since {clock.local(each.since)}", "danger")
        for each in found
    ]


def _heartbeats() -> Iterable[HealthSign]:
    silent = [name for name, age in heartbeat.known() if age > heartbeat.SILENT_SECONDS]
    if silent:
        return [HealthSign("Processes", f"silent: {', '.join(silent)}", "danger")]
    alive = len(heartbeat.known())
    return [
        HealthSign("Processes", f"{alive} alive" if alive else "not known", "success" if alive else "warning")
    ]


def _claimed(request: HttpRequest) -> Iterable[Task]:
    return [Task(claim.title, "is claimed by you", claim.url) for claim in claims.tasks(request)]


# Filled by the modules: each function finds one step that is left, or None; reads the signs of one part;
# finds tasks of the person.
next_steps: list[Callable[[HttpRequest], NextStep | None]] = []
health_signs: list[Callable[[], Iterable[HealthSign]]] = [_breakers, _heartbeats]
my_tasks: list[Callable[[HttpRequest], Iterable[Task]]] = [_claimed]

PageView = Callable[[HttpRequest, dict[str, Any]], HttpResponse]
_pages: dict[str, tuple[str, PageView]] = {}

MOST_FOUND: Final = 100  # results of a search
_ABSENT = {"password_change", "password_change_done", "view_on_site", "autocomplete"}


def add_page(route: str, view: PageView, *, name: str) -> None:
    """Add a page that is about no model; ``view`` gets the request and what every page of the site shows."""
    _pages[name] = (route, view)


def environment(request: HttpRequest) -> list[str]:
    """Unfold's banner: production plain, everything else named and coloured."""
    name = settings.ERP_ENV
    return [name.capitalize(), {"production": "", "test": "info"}.get(name, "warning")]


def style(request: HttpRequest) -> str:
    """Address of the style sheet of our own pages."""
    return static("erp/admin.css")


def script(request: HttpRequest) -> str:
    """Address of the script that names search fields for screen readers."""
    return static("erp/select2.js")


def icon(request: HttpRequest) -> str:
    """Address of the icon in the browser's tab."""
    return static("erp/icon.svg")


class Site(UnfoldAdminSite):  # type: ignore[misc]
    """Registers ``ServiceAdmin`` pages only; third-party screens that write by themselves stay out."""

    index_template = "admin/service/index.html"
    login_template = "admin/service/login.html"
    enable_nav_sidebar = True

    def register(
        self,
        model_or_iterable: type[models.Model] | Iterable[type[models.Model]],
        admin_class: type[Any] | None = None,
        **options: Any,
    ) -> None:
        """Register a page. Raises ImproperlyConfigured for one of our own that is not a ServiceAdmin."""
        if admin_class is None or not issubclass(admin_class, ServiceAdmin):
            if admin_class is None or admin_class.__module__.split(".")[0] in ("apps", "erp", "config"):
                raise ImproperlyConfigured(f"{admin_class or model_or_iterable}: register a ServiceAdmin")
            return
        super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        own = [
            path(route, self.admin_view(partial(self._page_view, view)), name=name)
            for name, (route, view) in _pages.items()
        ]
        return own + [url for url in super().get_urls() if getattr(url, "name", None) not in _ABSENT]

    def _page_view(self, view: PageView, request: HttpRequest) -> HttpResponse:
        return view(request, self.each_context(request))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """What Ctrl-K finds, by Unfold's template. Raises Malformed for an invalid search or page."""
        term = queries.check_search(request.GET.get("s", ""))
        number = queries.check_page(request.GET.get("page", "1"))
        begin = time.perf_counter()
        found = Paginator(search.results(request, self._registry.values(), term), MOST_FOUND)
        try:
            results = found.page(number)
        except InvalidPage:
            raise Malformed("The search has no such page.") from None
        context = {
            "page_obj": found,
            "results": results,
            "page_counter": 0,
            "execution_time": time.perf_counter() - begin,
        }
        headers = {"HX-Trigger": "search"}
        return TemplateResponse(request, "unfold/helpers/command_results.html", context, headers=headers)

    def reads_only(self, request: HttpRequest) -> bool:
        """Whether the page is read-only for this person, so that no action is shown."""
        return False

    def is_reauthenticated(self, request: HttpRequest) -> bool:
        """Return whether the person confirmed their identity within the last minutes."""
        return True

    def reauthentication_url(self, request: HttpRequest) -> str:
        """Return the URL of the page that confirms the identity and then returns."""
        raise NotImplementedError

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the pages of one app: the portal's navigation has its own groups and needs no list of all."""
        return super().get_app_list(request, app_label) if app_label else []

    def get_log_entries(self, request: HttpRequest) -> Any:
        """Return nothing: Django's log is not used."""
        return super().get_log_entries(request).none()

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the home page: next steps of the set-up, what waits for the person, charts, and the health."""
        waiting = queues.waiting(self._registry.values(), request)
        is_viewed = partner_view.is_active(request)
        sees_machinery = access.holds_everywhere(access.actor_of(request), capabilities.VIEW_TRAIL)
        context = {
            "queues": [queue for queue in waiting if queue.is_shown],
            "next_steps": [step for find in next_steps if (step := find(request)) is not None],
            "health": [sign for read in health_signs for sign in read()],
            "sees_machinery": sees_machinery,
            "tasks": [] if is_viewed else [task for find in my_tasks for task in find(request)],
            "charts": [] if is_viewed else charts.current(),
            **(extra_context or {}),
        }
        page: TemplateResponse = super().index(request, context)
        return page
