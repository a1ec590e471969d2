"""Content negotiation: answers are JSON, chosen by ``Accept`` alone; bodies match their exact media type."""

from collections.abc import Iterable

from django.http.request import MediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from erp.errors import NotAcceptable

# Browsers and clients stay far below; the cost of reading the header is bounded.
ACCEPT_LENGTH = 4096


class JsonOnly(BaseContentNegotiation):
    """No ``?format=``, no suffix: a view's renderers (JSON, unless it says otherwise) against ``Accept``."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The parser of exactly the body's media type; None makes it a 415."""
        sent = str(request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """The renderer that the caller prefers, and its media type. Raises ``NotAcceptable``."""
        offered = [(renderer, str(renderer.media_type)) for renderer in renderers]
        accepted = _ranges(str(request.META.get("HTTP_ACCEPT", ""))[:ACCEPT_LENGTH])
        weights = [_weight(media_type, accepted) for _, media_type in offered]
        if not any(weights):
            names = ", ".join(dict.fromkeys(media_type for _, media_type in offered))
            raise NotAcceptable(f"The answer comes as {names}.")
        return offered[weights.index(max(weights))]


def _ranges(header: str) -> list[MediaType]:
    ranges = []
    for part in header.split(","):
        if part.strip():
            try:
                ranges.append(MediaType(part))
            except ValueError:  # a parameter in an unknown encoding
                continue
    return ranges if header.strip() else [MediaType("*/*")]


def _weight(media_type: str, accepted: list[MediaType]) -> float:
    """Weight of the most specific range that covers the media type (RFC 9110 §12.5.1); 0 when none does."""
    main, _, sub = media_type.partition(";")[0].partition("/")
    for covered in ((main, sub), (main, "*"), ("*", "*")):
        weights = [part.quality for part in accepted if (part.main_type, part.sub_type) == covered]
        if weights:
            return float(max(weights))
    return 0.0
