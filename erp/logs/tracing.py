"""The request id and the W3C trace context: taken over or made, and readable wherever code runs."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django_structlog import signals

from erp.ids import uuid7

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00; ids of zeros only are invalid.
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def current_request_id() -> str:
    """The id of the request being served (or that led to this task); "" outside one."""
    return str(structlog.contextvars.get_contextvars().get("request_id") or "")


def current_traceparent() -> str:
    """The W3C ``traceparent`` of the work being done; "" where there is none."""
    return str(structlog.contextvars.get_contextvars().get("traceparent") or "")


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Put fields (``request_id``, ``traceparent``, …) on every line logged inside the block."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


class RequestIdMiddleware:
    """Gives each request one id and one trace context; answers the id as ``X-Request-ID``.

    Comes first in MIDDLEWARE. A caller's id is taken over when it is 8–64 of ``A-Za-z0-9._-``.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        for signal in (
            signals.bind_extra_request_metadata,
            signals.bind_extra_request_finished_metadata,
            signals.bind_extra_request_failed_metadata,
        ):
            signal.connect(_tidy, dispatch_uid="erp.logs")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Read from META: request.headers keeps what it was when it was first looked at.
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid7().hex
        context = request.META.get("HTTP_TRACEPARENT", "")
        traceparent = context if TRACEPARENT.fullmatch(context) else _fresh_traceparent()
        request.request_id, request.traceparent = request_id, traceparent  # type: ignore[attr-defined]
        request.sent_request_id = given  # type: ignore[attr-defined]
        request.META["HTTP_X_REQUEST_ID"] = request_id  # others read the header: one id for all
        with bind(request_id=request_id, traceparent=traceparent):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


def _fresh_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def _tidy(request: HttpRequest, log_kwargs: dict[str, Any], **kwargs: Any) -> None:
    """django-structlog's lines: our request id; no address, no user agent, no query string."""
    structlog.contextvars.unbind_contextvars("ip")
    structlog.contextvars.bind_contextvars(request_id=getattr(request, "request_id", ""))
    log_kwargs.pop("user_agent", None)
    log_kwargs["request"] = f"{request.method} {request.path}"
