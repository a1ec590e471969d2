"""Pagination of the feed: by a durable cursor, with a ``next`` link on every page."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.integrations.models import FeedEntry, FeedPosition
from apps.integrations.services import CursorExpired
from erp import clock
from erp.api.faults import invalid
from erp.api.pagination import DEFAULT_LIMIT, LIMIT_PARAMETER, parse_limit, seal, unseal
from erp.errors import FieldError

LATEST: Final = "latest"


class FeedPagination(BasePagination):
    """``?after=&limit=``: entries after a position of the feed, independent of the filters.

    The ``next`` of a page that is not full starts at the end of the feed, so that the cursor of a client that polls
    regularly does not expire, even without entries for that client.
    """

    request: Request
    position: FeedPosition | None

    @staticmethod
    def parameters(view: Any) -> tuple[str, ...]:
        """The query parameters of the pagination."""
        return ("after", "limit")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any | None = None) -> list[Any]:
        """The page's entries. Raises ``Invalid`` for a bad limit or cursor, CursorExpired for an old one."""
        self.request = request
        query = request.query_params.dict()
        limit = parse_limit(query["limit"]) if "limit" in query else DEFAULT_LIMIT
        after = query.get("after")
        # The end is read first: entries that are committed later come after it.
        self.position = end = FeedEntry.objects.newest()
        if after == LATEST:
            return []
        event_id = None if after is None else _decode(after)
        if end is None and event_id is None:
            return []
        if event_id is not None:
            queryset = queryset.after(event_id)
        rows = list(queryset.filter(position__lte=end.position if end else 0)[:limit])
        if not rows and event_id is not None and not FeedEntry.objects.filter(event_id=event_id).exists():
            raise CursorExpired(
                "Continue with after=latest, and read lists with updated_after for missed changes."
            )
        if len(rows) == limit:
            self.position = FeedPosition(rows[-1].position, rows[-1].event_id)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """The envelope of lists, always with a next page."""
        url = str(replace_query_param(self.request.build_absolute_uri(), "after", _encode(self.position)))
        body = {"results": data, "next": url, "previous": None}
        return Response(body, headers={"Link": f'<{url}>; rel="next"'})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """OpenAPI schema of the envelope around a list of ``schema``."""
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "description": "Oldest first. Without results you are up to date.",
            "properties": {
                "results": schema,
                "next": {
                    "type": "string",
                    "format": "uri",
                    "description": "The next page, now or later. Never null.",
                    "example": "https://erp.example/api/v1/events?after=IjAxODkwYTVkIg.c2lnbmF0dXJl",
                },
                "previous": {
                    "type": "null",
                    "description": "Always null: the feed is read forwards.",
                    "example": None,
                },
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """OpenAPI query parameters."""
        return [
            {
                "name": "after",
                "in": "query",
                "required": False,
                "description": "Cursor from `next`, or `latest` for the end of the feed. Without it the list starts "
                "at the oldest stored event. Opaque; valid for any filters.",
                "schema": {"type": "string"},
            },
            LIMIT_PARAMETER,
        ]


# A cursor holds the ID of the event before it: if the event was purged or lost in a restore, the cursor has expired.
# The cursor of an empty feed holds the time.


def _encode(position: FeedPosition | None) -> str:
    return seal(str(position.event_id) if position else int(clock.now().timestamp()), context="feed")


def _decode(cursor: str) -> UUID | None:
    try:
        value = unseal(cursor, context="feed")
    except ValueError:
        words = "This is not a cursor of the feed. Start without a cursor or with latest."
        raise invalid([FieldError("/query/after", "invalid", words)]) from None
    if isinstance(value, str):
        return UUID(value)
    retention = timedelta(days=settings.FEED_RETENTION_DAYS)
    if value < (clock.now() - retention).timestamp():
        raise CursorExpired
    return None
