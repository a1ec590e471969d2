"""What every page has in common: the Content-Security-Policy, maintenance, and the pages of errors.

Pages of errors need no query, so they also work while the database is down.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from erp.api import problems
from erp.errors import Unavailable

POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'{scripts}",
        "style-src 'self' 'unsafe-inline'",  # Unfold, Swagger UI and Redoc set styles inline
        "img-src 'self' data:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",  # Redoc searches in a worker that it makes from a blob
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
MAINTENANCE_RETRY_SECONDS: Final = 120
PROBES: Final = ("/livez", "/readyz", "/metrics")
_TEXTS: Final = {
    400: ("This request is not valid.", "The address or the form could not be read. Go back and try again."),
    403: (
        "You can't open this page.",
        "Your roles don't include it. If you need it for your work, ask your administrator for access.",
    ),
    404: (
        "Page not found",
        "The address is wrong, the record does not exist, or your roles don't include it.",
    ),
    500: (
        "An internal error occurred.",
        "Nothing was saved. Try again in a moment; if it happens again, report it with the request ID below.",
    ),
    503: (
        "Maintenance in progress",
        "The system is being updated. Nothing you saved is lost. Try again in a few minutes.",
    ),
}
_FORM_EXPIRED: Final = (
    "The form has expired.",
    "Your session ended or changed while the form was open. Go back, reload the page and submit it again.",
)


class PageMiddleware:
    """Answers 503 during maintenance, and gives every page a Content-Security-Policy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        closed = settings.MAINTENANCE and request.path_info not in PROBES
        response = maintenance_response(request) if closed else self._get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            # Unfold's Alpine evaluates the expressions in attributes of the portal's pages.
            scripts = " 'unsafe-eval'" if request.path_info.startswith("/admin/") else ""
            response.headers.setdefault("Content-Security-Policy", POLICY.format(scripts=scripts))
        return response


def maintenance_response(request: HttpRequest) -> HttpResponse:
    """503 with ``Retry-After``: a problem for the API, a page for people."""
    if problems.is_api(request):
        error = Unavailable(_TEXTS[503][1], retry_after=MAINTENANCE_RETRY_SECONDS)
        return problems.problem_response(error, request)
    response = error_page(request, 503)
    response["Retry-After"] = str(MAINTENANCE_RETRY_SECONDS)
    return response


def error_page(request: HttpRequest, status: int, title: str = "", detail: str = "") -> HttpResponse:
    """A page with the reason and a way back; the usual texts of the status where none are given."""
    usual = _TEXTS.get(status, (HTTPStatus(status).phrase, ""))
    context = {
        "status": status,
        "title": title or usual[0],
        "detail": detail or ("" if title else usual[1]),
        "request_id": getattr(request, "request_id", ""),
        "retry": request.get_full_path() if status >= 500 and request.method == "GET" else "",
        "unfiltered": request.path if status == 400 and request.META.get("QUERY_STRING") else "",
        "support": settings.SUPPORT_EMAIL,
    }
    return HttpResponse(render_to_string("erp/error.html", context), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler400``."""
    return error_page(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler403``; shows the reason where the view gave one."""
    return error_page(request, 403, detail=str(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler404``."""
    return error_page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's ``handler500``."""
    return error_page(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's ``CSRF_FAILURE_VIEW``: a problem under ``/api/``, a page elsewhere."""
    if problems.is_api(request):
        return problems.problem_response(problems.CsrfFailed(), request)
    return error_page(request, 403, *_FORM_EXPIRED)
