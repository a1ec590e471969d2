"""Lists by keyset: a place in a total order, not a row count, so rows that come and go disturb nothing."""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import OrderBy
from django.http import QueryDict
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from erp.api.faults import invalid
from erp.errors import FieldError

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
LIMIT_PARAMETER: Final[dict[str, Any]] = {
    "name": "limit",
    "in": "query",
    "required": False,
    "description": "Rows per page.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
}
# Parameters that choose how a page looks, not which rows the list has: a cursor doesn't bind them.
UNBOUND = frozenset({"limit", "cursor", "count", "fields", "omit", "expand"})
# Longer filters travel inside the cursor, compressed: proxies and browsers refuse long addresses.
LINK_FILTERS = 1000


@dataclass(frozen=True)
class Key:
    """One field of a list's order."""

    name: str
    descending: bool
    field: "models.Field[Any, Any]"
    nullable: bool
    path: tuple[str, ...]

    def of(self, row: models.Model) -> Any:
        """The row's value, as JSON carries it."""
        value: Any = row
        for step in self.path:
            value = None if value is None else getattr(value, step)
        return value if value is None or isinstance(value, bool | int) else str(value)

    def read(self, value: Any) -> Any:
        """The value that ``of`` wrote."""
        return None if value is None else self.field.to_python(value)

    def ordering(self, backwards: bool) -> OrderBy:
        """The term of ORDER BY; PostgreSQL counts NULL as larger than every value."""
        return F(self.name).desc() if self.descending != backwards else F(self.name).asc()

    def beyond(self, value: Any, backwards: bool) -> Q | None:
        """Rows that this field alone puts after ``value``; None where there can be none."""
        falling = self.descending != backwards
        if value is None:
            return Q(**{f"{self.name}__isnull": False}) if falling else None
        after = Q(**{f"{self.name}__lt" if falling else f"{self.name}__gt": value})
        return after if falling or not self.nullable else after | Q(**{f"{self.name}__isnull": True})

    def tied(self, value: Any) -> Q:
        """Rows that this field alone can't tell from ``value``."""
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})

    def bound(self, value: Any, backwards: bool) -> Q | None:
        """The range that holds all rows from ``value`` on, for an index; None where it isn't one range."""
        falling = self.descending != backwards
        if value is None or (self.nullable and not falling):
            return None
        return Q(**{f"{self.name}__lte" if falling else f"{self.name}__gte": value})


@dataclass(frozen=True)
class ListPage:
    """Rows of one page, the cursors of its neighbours (None where there is none), the total if asked for."""

    rows: list[Any]
    next: str | None
    previous: str | None
    count: int | None = None


def paginate(
    queryset: models.QuerySet[Any],
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
    binding: str = "",
    filters: str = "",
    count: bool = False,
    pointer: str = "/query/cursor",
) -> ListPage:
    """One page of ``queryset`` in its own order, with the primary key as the last word.

    ``binding`` stands for the list that the cursor belongs to: its route and filters; ``filters`` are parameters
    that the cursor carries, for ``unfold``. Raises ``Invalid`` at
    ``pointer`` for a cursor that was altered or belongs to another list, filter or order.
    """
    keys = _keys(queryset)
    bound = _digest(binding, keys)
    place, backwards = (None, False) if cursor is None else _read(cursor, bound, keys, pointer)
    rows = queryset.order_by(*(key.ordering(backwards) for key in keys))
    if place is not None:
        rows = rows.filter(_seek(keys, place, backwards))
    found = list(rows[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    if backwards:
        found.reverse()

    def neighbour(row: models.Model | None, back: bool) -> str:
        values = None if row is None else [key.of(row) for key in keys]
        content = {"b": bound, "k": values, "r": back} | ({"q": filters} if filters else {})
        return seal(content, context="list")

    has_next, has_previous = (place is not None, more) if backwards else (more, place is not None)
    # A page can come out empty when its rows went; its neighbours are then the ends of the list.
    return ListPage(
        rows=found,
        next=neighbour(found[-1] if found else None, False) if has_next else None,
        previous=neighbour(found[0] if found else None, True) if has_previous else None,
        count=queryset.order_by().count() if count else None,
    )


def parse_limit(text: str, pointer: str = "/query/limit") -> int:
    """Rows per page, 1 to 200. Raises ``Invalid`` at ``pointer``."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise invalid([FieldError(pointer, "out_of_range", f"Send a whole number from 1 to {MAX_LIMIT}.")])
    return int(text)


class KeysetPagination(BasePagination):
    """``?limit=&cursor=`` over the queryset's order; ``?count=exact`` where the view sets ``count_exact``."""

    page: ListPage
    request: Request

    @staticmethod
    def parameters(view: Any) -> tuple[str, ...]:
        """The query parameters that it reads."""
        return ("limit", "cursor", "count") if getattr(view, "count_exact", False) else ("limit", "cursor")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any | None = None) -> list[Any]:
        """The page's rows. Raises ``Invalid`` for a bad limit, cursor or count."""
        self.request = request
        query = request.query_params.dict()
        count = query.get("count")
        if count is not None and count != "exact":
            raise invalid([FieldError("/query/count", "not_a_choice", "The only value is exact.")])
        self.page = paginate(
            queryset,
            limit=parse_limit(query["limit"]) if "limit" in query else DEFAULT_LIMIT,
            cursor=query.get("cursor"),
            binding=binding_of(request.path, query.items()),
            filters=self._carried(),
            count=count is not None,
        )
        return self.page.rows

    def get_paginated_response(self, data: Any) -> Response:
        """The envelope, with the same links in ``Link`` (RFC 8288)."""
        links = {"next": self._url(self.page.next), "prev": self._url(self.page.previous)}
        body = {"results": data, "next": links["next"], "previous": links["prev"]}
        if self.page.count is not None:
            body["count"] = self.page.count
        given = ", ".join(f'<{url}>; rel="{rel}"' for rel, url in links.items() if url)
        return Response(body, headers={"Link": given} if given else None)

    def _carried(self) -> str:
        """The filters that are too long for a link."""
        bound = _only(self.request.query_params, bound=True).urlencode()
        return bound if len(bound) > LINK_FILTERS else ""

    def _url(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        query = (
            _only(self.request.query_params, bound=False)
            if self._carried()
            else self.request.query_params.copy()
        )
        query["cursor"] = cursor
        return self.request.build_absolute_uri(f"{self.request.path}?{query.urlencode()}")

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """OpenAPI schema of the envelope around a list of ``schema``."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {
                "results": schema,
                "next": {**link, "description": "The page after this one; null on the last."},
                "previous": {**link, "description": "The page before this one; null on the first."},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """OpenAPI query parameters."""
        parameters: list[dict[str, Any]] = [
            LIMIT_PARAMETER,
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "A position in the list, taken from `next` or `previous`. Opaque; valid only "
                "with the same filters and order.",
                "schema": {"type": "string"},
            },
        ]
        if getattr(view, "count_exact", False):
            parameters.append(
                {
                    "name": "count",
                    "in": "query",
                    "required": False,
                    "description": "`exact` adds the number of all rows as `count`.",
                    "schema": {"type": "string", "enum": ["exact"]},
                }
            )
        return parameters


def unfold(request: Request) -> None:
    """Put the filters that a cursor carries back into the request's query, unless it names some itself."""
    query = request.query_params
    if "cursor" not in query or _only(query, bound=True):
        return
    try:
        carried = unseal(query["cursor"], context="list").get("q", "")
    except ValueError:
        return  # refused where the cursor is read
    whole = QueryDict(carried, mutable=True)
    whole.update(query)
    request._request.GET = whole  # type: ignore[assignment]


def _only(query: QueryDict, *, bound: bool) -> QueryDict:
    """The parameters that decide which rows come, or the others."""
    chosen = QueryDict(mutable=True)
    for name, values in query.lists():
        if (name not in UNBOUND) == bound:
            chosen.setlist(name, values)
    return chosen


def binding_of(route: str, parameters: Iterable[tuple[str, Any]]) -> str:
    """What a cursor is bound to: the route, and all parameters that decide which rows come in which order."""
    return repr((route, sorted((name, value) for name, value in parameters if name not in UNBOUND)))


def seal(content: Any, *, context: str) -> str:
    """The text of a cursor, encrypted: a position holds values of a row that its reader may not see."""
    return _cipher(context).encrypt(zlib.compress(json.dumps(content).encode())).decode()


def unseal(cursor: str, *, context: str) -> Any:
    """What ``seal`` was given with the same context. Raises ValueError for any other text."""
    try:
        return json.loads(zlib.decompress(_cipher(context).decrypt(cursor.encode("ascii", "replace"))))
    except InvalidToken:
        raise ValueError("not a cursor") from None


@cache
def _cipher(context: str) -> Fernet:
    key = hashlib.sha256(f"erp.api.cursor:{context}:{settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _keys(queryset: models.QuerySet[Any]) -> list[Key]:
    """The queryset's order, made total by its primary key (in the direction of the field before it)."""
    keys: list[Key] = []
    for term in (*queryset.query.order_by, queryset.model._meta.pk.name):
        if not isinstance(term, str):
            raise TypeError(f"A list is ordered by names of fields, not by {term!r}")
        name = term.removeprefix("-")
        if name == "pk":
            name = queryset.model._meta.pk.name
        if any(key.name == name for key in keys):
            continue
        last = len(keys) == len(queryset.query.order_by)
        descending = keys[-1].descending if last and keys else term.startswith("-")
        keys.append(_key(queryset, name, descending))
    return keys


def _key(queryset: models.QuerySet[Any], name: str, descending: bool) -> Key:
    if name in queryset.query.annotations:
        return Key(name, descending, queryset.query.annotations[name].output_field, True, (name,))
    model: Any = queryset.model
    steps = name.split("__")
    nullable = False
    for step in steps:
        field = model._meta.get_field(step)
        nullable = nullable or field.null
        model = field.related_model
    return Key(name, descending, field, nullable, (*steps[:-1], field.attname))


def _digest(binding: str, keys: list[Key]) -> str:
    order = [(key.name, key.descending) for key in keys]
    return hashlib.sha256(repr((binding, order)).encode("utf-8", "replace")).hexdigest()[:16]


def _read(cursor: str, bound: str, keys: list[Key], pointer: str) -> tuple[list[Any] | None, bool]:
    try:
        position = unseal(cursor, context="list")
        if position["b"] != bound:
            raise ValueError
        values = position["k"]
        place = None if values is None else [key.read(value) for key, value in zip(keys, values, strict=True)]
    except (DjangoValidationError, ValueError):
        words = "This cursor belongs to another list, filter or order. Start from the first page."
        raise invalid([FieldError(pointer, "invalid", words)]) from None
    return place, bool(position["r"])


def _seek(keys: list[Key], values: list[Any], backwards: bool) -> Q:
    """Rows after the place: beyond it in the first field, or tied there and beyond it in the rest."""
    condition: Q | None = None
    for key, value in reversed(list(zip(keys, values, strict=True))):
        ways = [key.beyond(value, backwards)]
        if condition is not None:
            ways.append(key.tied(value) & condition)
        condition = reduce(or_, [way for way in ways if way is not None])
    bound = keys[0].bound(values[0], backwards)
    assert condition is not None
    return condition if bound is None else bound & condition
