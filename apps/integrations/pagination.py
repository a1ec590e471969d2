"""Paging through a feed that has no last page: by a place that lasts, and a ``next`` that is always there."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core import signing
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.integrations.models import FeedEntry, Place
from apps.integrations.services import CursorExpired
from erp import clock
from erp.api.faults import invalid
from erp.api.pagination import DEFAULT_LIMIT, LIMIT_PARAMETER, parse_limit
from erp.errors import Fault

LATEST: Final = "latest"


class FeedPagination(BasePagination):
    """``?after=&limit=``: entries behind a place of the feed, whatever the filters.

    A page that isn't full has looked at everything up to the feed's end, so its ``next`` begins there: a place
    stays young while its holder keeps asking, even when nothing was for its eyes.
    """

    request: Request
    place: Place | None

    @staticmethod
    def parameters(view: Any) -> tuple[str, ...]:
        """The query parameters that it reads."""
        return ("after", "limit")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any | None = None) -> list[Any]:
        """The page's entries. Raises ``Invalid`` for a bad limit or cursor, CursorExpired for an old one."""
        self.request = request
        query = request.query_params.dict()
        limit = parse_limit(query["limit"]) if "limit" in query else DEFAULT_LIMIT
        after = query.get("after")
        # The end is read first: whatever is committed later lies behind it.
        self.place = end = FeedEntry.objects.newest()
        if after == LATEST:
            return []
        seen = None if after is None else _read(after)
        if end is None and seen is None:
            return []
        if seen is not None:
            queryset = queryset.behind(seen)
        rows = list(queryset.filter(position__lte=end.position if end else 0)[:limit])
        if not rows and seen is not None and not FeedEntry.objects.filter(event_id=seen).exists():
            raise CursorExpired("Take after=latest, then lists with updated_after for what you missed.")
        if len(rows) == limit:
            self.place = Place(rows[-1].position, rows[-1].event_id)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """The envelope of lists, whose next page is always there."""
        url = str(replace_query_param(self.request.build_absolute_uri(), "after", _written(self.place)))
        body = {"results": data, "next": url, "previous": None}
        return Response(body, headers={"Link": f'<{url}>; rel="next"'})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """OpenAPI schema of the envelope around a list of ``schema``."""
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "description": "Oldest first; without results you are up to date.",
            "properties": {
                "results": schema,
                "next": {
                    "type": "string",
                    "format": "uri",
                    "description": "Where to go on, now or later. Never null.",
                    "example": "https://erp.example/api/v1/events?after=IjAxODkwYTVkIg.c2lnbmF0dXJl",
                },
                "previous": {"type": "null", "description": "A feed is read forwards.", "example": None},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """OpenAPI query parameters."""
        return [
            {
                "name": "after",
                "in": "query",
                "required": False,
                "description": "A place in the feed, as `next` gives it, or `latest` for its end. Left out: "
                "from the oldest event that is kept. Opaque; it holds for any filters.",
                "schema": {"type": "string"},
            },
            LIMIT_PARAMETER,
        ]


# A place is written as the event before it: purged or lost to a restore, it isn't found again and has expired.
# The beginning of a feed that was empty is written as the moment when it was.


def _signer() -> signing.Signer:
    return signing.Signer(salt="integration.feed.cursor", sep=".")


def _written(place: Place | None) -> str:
    return str(_signer().sign_object(str(place.event_id) if place else int(clock.now().timestamp())))


def _read(cursor: str) -> UUID | None:
    try:
        told = _signer().unsign_object(cursor)
    except (signing.BadSignature, ValueError):
        words = "This cursor isn't one of the feed; start from the oldest event or from latest."
        raise invalid([Fault("/query/after", "invalid", words)]) from None
    if isinstance(told, str):
        return UUID(told)
    kept = timedelta(days=settings.FEED_RETENTION_DAYS)
    if told < (clock.now() - kept).timestamp():
        raise CursorExpired
    return None
