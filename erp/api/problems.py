"""Renders every error response as RFC 9457 ``application/problem+json`` (core §6).

One function converts any exception into a domain error, one renders it, and a middleware replaces other error
responses under ``/api/``: the router's 404, Django's own 400, 403 and 500.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import structlog
from django.apps import apps
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError
from django.utils.encoding import escape_uri_path
from django.utils.http import parse_etags
from rest_framework import exceptions as drf
from rest_framework.fields import get_error_detail
from rest_framework.request import Request

from erp import errors
from erp.api import headers
from erp.api.faults import faults_from, invalid
from erp.api.filters import check_query
from erp.errors import DomainError, FieldError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
# What a tag in If-Match that can't be a version's strong ETag comes down to: no row has this version.
NEVER = -1


class Refused(errors.Forbidden):
    """This is not allowed."""

    code = "request.forbidden"
    cause = "The server refuses this request for everyone in your position."
    fix = "Check the address and your roles; ask an administrator if you need access."


class CsrfFailed(errors.Forbidden):
    """The form's token is missing or doesn't match."""

    code = "request.csrf_failed"
    cause = "A browser form was sent without its token, or after the session changed."
    fix = "Reload the page and submit the form again. API clients use a Bearer token, which needs no form token."


def domain_error(exc: BaseException) -> DomainError:
    """Return the problem of any exception; unexpected ones are ``server.error``."""
    if isinstance(exc, DomainError):
        return exc
    if isinstance(exc, drf.APIException):
        return _from_drf(exc)
    if isinstance(exc, DatabaseFailure):
        return _from_database(exc)
    if isinstance(exc, Http404):
        return errors.NotFound()
    if isinstance(exc, PermissionDenied):
        return Refused()
    if isinstance(exc, DjangoValidationError):
        return invalid(faults_from(get_error_detail(exc)))
    if isinstance(exc, RequestDataTooBig):
        return errors.TooLarge(f"A request is limited to {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.")
    if isinstance(exc, UnreadablePostError) and isinstance(exc.__cause__, TimeoutError):
        return errors.RequestTimeout("The body didn't arrive in time.")
    if isinstance(exc, SuspiciousOperation | BadRequest | UnreadablePostError):
        return errors.Malformed()
    return errors.ServerError()


def _from_drf(exc: drf.APIException) -> DomainError:
    if isinstance(exc, drf.ValidationError):
        return invalid(faults_from(exc.detail))
    if isinstance(exc, drf.AuthenticationFailed | drf.NotAuthenticated):
        return errors.NotAuthenticated()
    if isinstance(exc, drf.Throttled):
        wait = getattr(exc, "wait", None)
        return errors.Throttled(headers={} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))})
    if isinstance(exc, drf.UnsupportedMediaType | drf.ParseError | drf.MethodNotAllowed):
        return _of_status(exc.status_code, str(exc.detail))
    return _of_status(exc.status_code)


_STATUSES: dict[int, type[DomainError]] = {
    400: errors.Malformed,
    401: errors.NotAuthenticated,
    403: Refused,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    408: errors.RequestTimeout,
    412: errors.PreconditionFailed,
    413: errors.TooLarge,
    414: errors.UriTooLong,
    415: errors.UnsupportedMediaType,
    428: errors.PreconditionRequired,
    429: errors.Throttled,
    431: errors.HeadersTooLarge,
    503: errors.Unavailable,
}


def _of_status(status: int, detail: str = "") -> DomainError:
    fallback = errors.Malformed if status < 500 else errors.ServerError
    return _STATUSES.get(status, fallback)(detail)


# SQLSTATEs (PostgreSQL's appendix A): input that no column takes, a breach of a constraint, and what passes.
_INPUT = {"22001", "22003", "22007", "22008", "22021", "22P02", "22P05", "22023", "54000"}
_BREACHES: dict[str, tuple[type[DomainError], str, str]] = {
    "23505": (errors.Conflict, "duplicate", "A row with these values exists already."),
    "23P01": (errors.Conflict, "overlap", "It overlaps with a row that exists already."),
    "23503": (
        errors.Conflict,
        "reference_missing",
        "A row that this refers to no longer exists, or this row is still in use.",
    ),
    "23514": (errors.RuleBroken, "rule_broken", "This combination of values is not allowed."),
}
_RACES = {"40001", "40P01"}


def _from_database(exc: DatabaseFailure) -> DomainError:
    """Core §6: unique 409, check 422, no input that the column takes 400, what passes by itself 503."""
    cause = exc.__cause__
    state = str(getattr(cause, "sqlstate", None) or "")
    diagnosis = getattr(cause, "diag", None)
    if state in _BREACHES:
        known = errors.by_constraint.get(str(getattr(diagnosis, "constraint_name", "")))
        kind = known or _of_label(state, _label_of_table(str(getattr(diagnosis, "table_name", ""))))
        return kind()
    # The driver refuses NUL characters itself, without a state.
    if state in _INPUT or (not state and type(cause).__name__ == "DataError"):
        return errors.Invalid("A value is outside of what can be stored.")
    if state in _RACES or isinstance(exc, OperationalError | InterfaceError):
        return errors.Unavailable("The database is busy; send the same request again.")
    return errors.ServerError()


@cache
def _label_of_table(table: str) -> str:
    models = apps.get_models(include_auto_created=True)
    return next((model._meta.app_label for model in models if model._meta.db_table == table), "request")


@cache
def _of_label(state: str, label: str) -> type[DomainError]:
    """The module's own problem for a breach that no error class of it is declared for."""
    family, reason, title = _BREACHES[state]
    return type(reason, (family,), {"__module__": __name__, "code": f"{label}.{reason}", "title": title})


def problem_document(error: DomainError, *, instance: str = "", request_id: str = "") -> dict[str, Any]:
    """The problem as a JSON object: RFC 9457's members, ``code``, ``request_id``, faults, its own members.

    ``instance`` is a decoded path; the document holds it percent-encoded, as RFC 3986 asks.
    """
    document: dict[str, Any] = {
        "type": f"/api/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": escape_uri_path(instance),
        "code": error.code,
        "request_id": request_id,
    }
    if error.errors:
        document["errors"] = [fault.as_dict() for fault in error.errors]
    return document | error.members


def encode(document: dict[str, Any]) -> bytes:
    """The document as JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).encode(
        "utf-8", "replace"
    )


def problem_response(error: DomainError, request: HttpRequest | Request) -> HttpResponse:
    """Render a domain error, with its headers, as the answer to ``request``."""
    document = problem_document(
        error, instance=request.path, request_id=str(getattr(request, "request_id", "") or "")
    )
    return HttpResponse(
        encode(document),
        status=error.status,
        content_type=MEDIA_TYPE,
        headers={"Cache-Control": "private, no-store", **error.headers},
    )


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's ``EXCEPTION_HANDLER``: convert any exception of a view into a problem."""
    error = _convert_and_log(exc)
    if error.status == 405 and (view := context.get("view")) is not None:
        error.headers.setdefault("Allow", ", ".join(view.allowed_methods))
    return problem_response(error, context["request"])


def _convert_and_log(exc: Exception) -> DomainError:
    """The problem behind ``exc``, with a line in the log where operators need one."""
    error = domain_error(exc)
    if error.status == 500:
        log.error("request_failed", exc_info=exc)
    elif isinstance(exc, DatabaseFailure):
        cause = exc.__cause__
        log.warning(
            "database_refused",
            code=error.code,
            sqlstate=getattr(cause, "sqlstate", None),
            constraint=getattr(getattr(cause, "diag", None), "constraint_name", None),
        )
    return error


class ProblemMiddleware:
    """Renders every failure under ``/api/`` as a problem, also if no view was reached."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """``get_response`` is the rest of the chain."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request; refuse a body that can't be read whole before anything reads it."""
        if not is_api(request):
            return self.get_response(request)
        refused = _unreadable(request)
        response = problem_response(refused, request) if refused else self.get_response(request)
        if response.status_code >= 400 and not _is_problem(response):
            response = _as_problem(response, request)
        if request.path_info.startswith("/api/v"):
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Refuse parameters of pages under ``/api/``; what a viewset takes depends on its action."""
        if is_api(request) and not hasattr(view, "actions"):
            try:
                check_query(request.GET, ())
            except DomainError as error:
                return problem_response(error, request)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What a view outside of DRF raises."""
        return problem_response(_convert_and_log(exception), request) if is_api(request) else None


def is_api(request: HttpRequest) -> bool:
    """Whether the request is to the API, which answers with problems, not with pages."""
    return request.path_info == "/api" or request.path_info.startswith("/api/")


def _is_problem(response: HttpResponseBase) -> bool:
    return str(response.headers.get("Content-Type", "")).startswith(MEDIA_TYPE)


def _unreadable(request: HttpRequest) -> DomainError | None:
    sent = {"HTTP_X_REQUEST_ID": getattr(request, "sent_request_id", "")}
    if repeated := headers.faults({**request.META, **sent}):
        return errors.Malformed("A header was sent more than once.", errors=repeated)
    length = str(request.META.get("CONTENT_LENGTH") or "")
    if not length and request.META.get("HTTP_TRANSFER_ENCODING"):
        # WSGI gives no end of a chunked body; Django would take it for an empty one.
        return errors.Malformed("Send the body with a Content-Length.")
    if length.isdecimal() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return errors.TooLarge(f"A request is limited to {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.")
    return None


def _as_problem(response: HttpResponseBase, request: HttpRequest) -> HttpResponse:
    error = _of_status(response.status_code)
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            error.headers[name] = response.headers[name]
    # Not closed: that would fire request_finished, and with it close the database's connection, mid-request.
    return problem_response(error, request)


def etag(version: int) -> str:
    """The strong ETag of a row's version: ``"7"``."""
    return f'"{version}"'


def parse_if_match(header: str | None) -> int | None:
    """The version that ``If-Match`` asks for; None when it is missing or ``*``.

    A weak tag, or one that isn't a version, comes back as ``NEVER``, which no row has: the comparison with
    the locked row then answers 412 with the current ETag. A list, or what isn't a tag at all, raises
    ``Invalid``.
    """
    value = (header or "").strip()
    if value in ("", "*"):
        return None
    opaque = value.removeprefix("W/")
    if len(opaque) < 2 or not (opaque[0] == opaque[-1] == '"') or '"' in opaque[1:-1]:
        raise invalid([FieldError("/headers/If-Match", "invalid", 'Send exactly one tag, such as "7".')])
    digits = opaque[1:-1]
    if opaque != value or not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        return NEVER
    return int(digits) if etag(int(digits)) == opaque else NEVER


def is_fresh(header: str | None, tag: str) -> bool:
    """Whether ``If-None-Match`` names the tag, so that the answer is 304 (weakly, RFC 9110 §13.1.2)."""
    tags = parse_etags(header or "")
    return "*" in tags or any(known.removeprefix("W/") == tag for known in tags)


def _subclasses(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


def problem_kinds() -> dict[str, type[DomainError]]:
    """Every problem that this installation can answer with: code → class, sorted by code."""
    for config in apps.get_app_configs():
        if config.name.startswith("apps.") and any(config.get_models()):
            for state in _BREACHES:
                _of_label(state, config.label)
    # The families in erp.errors that have no code of their own are never answered as such.
    kinds = {kind.code: kind for kind in _subclasses(DomainError) if not kind.code.startswith("erp.")}
    return dict(sorted(kinds.items()))
