"""What must be put right before Django reads a request, since no middleware can answer for it."""

from collections.abc import Callable, Iterable
from typing import Any

from django.utils.http import parse_header_parameters

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def readable(application: Application) -> Application:
    """Wrap Django's WSGI application: an unreadable ``Content-Type`` is a 415, a body that ends early a 400.

    Django reads the header while it makes the request object and raises on a parameter in an encoding that
    doesn't exist; the web server would then answer with a page of its own.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            parse_header_parameters(environ.get("CONTENT_TYPE", ""))
        except ValueError:
            environ["CONTENT_TYPE"] = "application/octet-stream"
        environ["wsgi.input"] = _WholeBody(environ["wsgi.input"])
        return application(environ, start_response)

    return answer


class _WholeBody:
    """A body that raises OSError where it ends before its Content-Length: its beginning must not pass for the whole.

    Django never asks for more than is left of the length, so the end has come where it gets less.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        return self._checked(data, len(data) == size)

    def readline(self, size: int) -> bytes:
        line: bytes = self._stream.readline(size)
        return self._checked(line, len(line) == size or line.endswith(b"\n"))

    @staticmethod
    def _checked(data: bytes, is_whole: bool) -> bytes:
        if not is_whole:
            raise OSError("the body ended before its Content-Length")
        return data
