"""Middleware of the admin: rate limit, and a page for errors."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from erp import pages
from erp.admin import acts
from erp.api import throttling
from erp.errors import DomainError, Malformed
from erp.trail import context as trail


class AdminMiddleware:
    """Counts requests to the admin with those to the API, per person or address; renders domain errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_admin(request):
            return self._get_response(request)
        with trail.through("admin"):
            return self._get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponseBase | None:
        """Refuse requests over the limit, and NUL characters, before the view runs."""
        if not _is_admin(request):
            return None
        try:
            throttling.check(
                SimpleNamespace(_request=request, META=request.META, user=request.user, auth=None),  # type: ignore[arg-type]
                SimpleNamespace(
                    throttle_class_name="read" if request.method in ("GET", "HEAD", "OPTIONS") else "write"
                ),
            )
            if "\0" in request.path or any("\0" in v for _, vs in request.GET.lists() for v in vs):
                raise Malformed("The address contains a NUL character.")
        except Exception as error:
            page = self.process_exception(request, error)
            if page is None:
                raise
            return page
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """The page of a domain error; Django's own page for missing rows, missing permissions and unexpected errors."""
        if not _is_admin(request) or isinstance(exception, Http404 | PermissionDenied):
            return None
        try:
            error = acts.problem_of(exception)
        except Exception:
            return None
        return problem_page(request, error)


def problem_page(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    """Return an error page that needs no database."""
    page = pages.error_page(
        request, error.status, error.title, "" if error.detail == error.title else error.detail
    )
    for name, value in error.headers.items():
        page[name] = value
    return page


def _is_admin(request: HttpRequest) -> bool:
    return request.resolver_match is not None and request.resolver_match.app_name == "admin"
