"""What must be put right before Django reads a request, since no middleware can answer for it."""

from collections.abc import Callable, Iterable
from typing import Any

from django.utils.http import parse_header_parameters

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def readable(application: Application) -> Application:
    """Wrap Django's WSGI application so that an unreadable ``Content-Type`` is a 415 and not a crash.

    Django reads the header while it makes the request object and raises on a parameter in an encoding that
    doesn't exist; the web server would then answer with a page of its own.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            parse_header_parameters(environ.get("CONTENT_TYPE", ""))
        except ValueError:
            environ["CONTENT_TYPE"] = "application/octet-stream"
        return application(environ, start_response)

    return answer
