"""The web server's worker: whatever gunicorn refuses by itself is answered as a problem, too.

A request that trickles in is cut off, since each one occupies a thread until it has been read.
"""

import time
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import structlog
from gunicorn import util
from gunicorn.http import errors as gunicorn
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import ThreadWorker

from erp.api import headers
from erp.errors import (
    DomainError,
    FieldError,
    HeadersTooLarge,
    Malformed,
    RequestTimeout,
    ServerError,
    UriTooLong,
)
from erp.ids import uuid7

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 60.0


class HeadTimeout(gunicorn.ParseException):  # type: ignore[misc]
    """Request line and headers didn't arrive in time."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with problems for refusals and with deadlines for requests."""

    def handle(self, conn: Any) -> Any:
        """Handle a request, read against its deadlines."""
        if conn.parser is None and not self.cfg.is_ssl:
            conn.parser = _Parser(self.cfg, conn.sock, conn.client)
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Note repeated headers for Django, before they are joined."""
        if names := headers.repeated(name for name, _ in req.headers):
            req.headers.append((headers.NOTE, ",".join(names)))
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what Django never saw, or couldn't answer. Values of headers don't reach the log."""
        error = problem_of(exc)
        if error.status == 500:
            log.error("request_failed", exc_info=exc)
        else:
            log.warning("request_refused", code=error.code, reason=type(exc).__name__)
        try:
            util.write_nonblock(client, render(error, getattr(req, "path", "") or ""))
        except OSError:
            log.debug("refusal_not_sent")


class _Parser(RequestParser):  # type: ignore[misc]
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.unreader: Any = _Unreader(args[1])

    def __next__(self) -> Any:
        self.unreader.deadline = time.monotonic() + HEAD_SECONDS
        try:
            request = super().__next__()
        except TimeoutError:
            raise HeadTimeout from None
        self.unreader.deadline = time.monotonic() + BODY_SECONDS
        return request


class _Unreader(SocketUnreader):  # type: ignore[misc]
    deadline = 0.0

    def chunk(self, size_hint: int | None = None) -> Any:
        """Read from the socket before the deadline. Raises TimeoutError."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        before = self.sock.gettimeout()
        self.sock.settimeout(remaining if before is None else min(before, remaining))
        try:
            return super().chunk(size_hint)
        finally:
            self.sock.settimeout(before)


def problem_of(exc: BaseException) -> DomainError:
    """The problem behind an exception of the server."""
    match exc:
        case HeadTimeout():
            return RequestTimeout("Send request line and headers without delay.")
        case gunicorn.LimitRequestLine():
            return UriTooLong("Send fewer or shorter parameters.")
        case gunicorn.LimitRequestHeaders():
            return HeadersTooLarge("Send fewer or shorter headers.")
        case gunicorn.InvalidResponseHeader() | gunicorn.InvalidResponseHeaderName():
            return ServerError()
        case gunicorn.ConfigurationProblem():
            return ServerError()
        case gunicorn.ExpectationFailed():
            return _malformed("Expect")
        case gunicorn.UnsupportedTransferCoding():
            return _malformed("Transfer-Encoding")
        case gunicorn.InvalidHeader(hdr=str(name)) | gunicorn.ObsoleteFolding(hdr=str(name)):
            return _malformed(name) if TOKEN_RE.fullmatch(name) else Malformed("A header can't be read.")
        case gunicorn.ParseException():
            return Malformed()
    return ServerError()


def _malformed(name: str) -> Malformed:
    shown = headers.SINGLE.get(name.upper(), name.title())
    detail = "Send this header once, in the form that HTTP defines."
    return Malformed("A header can't be read.", errors=[FieldError(f"/headers/{shown}", "invalid", detail)])


def render(error: DomainError, path: str) -> bytes:
    """The answer with the problem, as it goes over the wire; the connection ends with it."""
    from erp.api import problems  # the arbiter imports this module, and it has no Django

    request_id = uuid7().hex
    body = problems.encode(problems.problem_document(error, instance=unquote(path), request_id=request_id))
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "Connection: close",
        f"Content-Type: {problems.MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: private, no-store",
        f"X-Request-ID: {request_id}",
    )
    return "\r\n".join([*head, "", ""]).encode("ascii") + body
