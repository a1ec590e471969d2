"""Viewsets: URL ↔ service, one line each. Reads are DRF's; a write can't be bound to anything but an endpoint."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, HttpResponseNotModified
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from erp import access
from erp.access import Capability
from erp.api import endpoints, problems, throttling
from erp.api.endpoints import Endpoint
from erp.api.files import MULTIPART, StrictMultiPartParser
from erp.api.filters import check_query
from erp.api.routers import address_of
from erp.errors import DomainError, MethodNotAllowed, NotAuthenticated, UnsupportedMediaType
from erp.idempotency.once import parse_key

_WRITES = {"post", "put", "patch", "delete"}
_WRITE_NAMES = {*_WRITES, "create", "update", "partial_update", "destroy"}


def _handler(endpoint: Endpoint, qualname: str) -> Callable[..., HttpResponse]:
    def run(self: "ViewSet", request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return endpoints.handle(self, request, endpoint, kwargs)

    run.__name__, run.__qualname__, run.__doc__ = endpoint.name, f"{qualname}.{endpoint.name}", endpoint.doc
    run.endpoint = endpoint  # type: ignore[attr-defined]
    return run


class ViewSet(GenericViewSet[Any]):
    """Base of every viewset.

    ``reads`` is the capability of its reads; rows come from ``queryset.visible_to(user)``, so what isn't
    visible is 404. A function bound to a write method is an error when the class is made.
    """

    reads: ClassVar[Capability | None] = None
    read_problems: ClassVar[tuple[type[DomainError], ...]] = ()  # its own ones of GET, for the document
    endpoints: ClassVar[dict[str, Endpoint]] = {}
    http_method_names = ["get", "head", "options", "post", "put"]
    list_serializer_class: ClassVar[Any] = (
        None  # of the rows of a list, where they show less than one row does
    )
    # Relation to the one partner that may know when a row changed: of others a change would tell of masked fields.
    changes_known_to: ClassVar[str | None] = None
    no_store: ClassVar[bool] = False  # True: no answer of the viewset is kept by anybody
    idempotency_key = ""
    if_version: int | None = None
    lookup_value_converter = "uuid"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.endpoints = dict(cls.endpoints)
        for name, member in list(vars(cls).items()):
            if isinstance(member, Endpoint):
                member.bind(name)
                handler = _handler(member, cls.__qualname__)
                if name not in ("create", "update"):
                    handler = action(
                        detail=member.detail,
                        methods=[member.method],
                        url_path=member.path or name.replace("_", "-"),
                        url_name=name.replace("_", "-"),
                    )(handler)
                setattr(cls, name, handler)
                cls.endpoints[name] = member
            elif callable(member) and (
                name in _WRITE_NAMES or _WRITES & set(getattr(member, "mapping", None) or ())
            ):
                raise ImproperlyConfigured(f"{cls.__name__}.{name}: bind a write with endpoint() or lookup()")
        if (
            cls.queryset is not None
            and cls.reads is None
            and (hasattr(cls, "list") or hasattr(cls, "retrieve"))
        ):
            raise ImproperlyConfigured(f"{cls.__name__} needs `reads`, the capability of its reads")

    def endpoint_for(self, name: str | None) -> Endpoint | None:
        """The endpoint behind an action's name, if it is a write."""
        return self.endpoints.get(name or "")

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint of the request's action."""
        return self.endpoint_for(self.action)

    @property
    def throttle_class_name(self) -> str:
        """Class of the limit that counts this request."""
        endpoint = self.endpoint
        if endpoint is None:
            return "read"
        return "public" if endpoint.anonymous else endpoint.throttle

    @property
    def capability(self) -> Capability | None:
        """What the endpoint requires: the endpoint's capability, or the one of reads."""
        return self.endpoint.capability if self.endpoint else self.reads

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        self.action = self.action_map.get((request.method or "").lower(), "")
        return super().initialize_request(request, *args, **kwargs)

    def get_authenticators(self) -> list[Any]:
        endpoint = self.endpoint
        return [] if endpoint is not None and endpoint.anonymous else super().get_authenticators()

    def get_parsers(self) -> list[Any]:
        endpoint = self.endpoint
        multipart = endpoint is not None and endpoint.multipart
        return [StrictMultiPartParser()] if multipart else super().get_parsers()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        endpoint = self.endpoint
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        if request.method != "OPTIONS" and not self.action:
            raise MethodNotAllowed(headers={"Allow": ", ".join(self.allowed_methods)})
        anonymous = endpoint is not None and endpoint.anonymous
        if not anonymous and not request.user.is_authenticated:
            raise NotAuthenticated
        throttling.check(request, self)
        if not anonymous and self.capability is not None:
            access.authorize_entry(access.actor_of(request), self.capability)
        if endpoint is None:
            if self.action != "list":  # a list's query is read by its filters
                names = getattr(getattr(self, self.action, None), "query_parameters", ())
                if names is not None:
                    check_query(request.query_params, names)
            return
        if endpoint.idempotent:
            self.idempotency_key = parse_key(request.headers.get("Idempotency-Key"))
        self.if_version = endpoints.precondition(endpoint, request)
        media = (request.content_type or "").split(";")[0].strip().lower()
        wanted = MULTIPART if endpoint.multipart else "application/json"
        if media not in ("", wanted) and int(request.headers.get("Content-Length") or 0):
            raise UnsupportedMediaType(f"Send {wanted}, not {media}.")

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        endpoint = self.endpoint
        secret = self.no_store or (endpoint is not None and (endpoint.secret or endpoint.anonymous))
        response["Cache-Control"] = "no-store" if secret else "private, no-cache"
        throttling.apply_headers(request, response)
        return response

    def actor(self, request: Request) -> Any:
        """Who acts: the user, or on public endpoints SYSTEM (the service checks what the caller proves)."""
        endpoint = self.endpoint
        return access.SYSTEM if endpoint is not None and endpoint.anonymous else request.user

    def get_serializer_class(self) -> Any:
        listed = self.list_serializer_class if self.action == "list" else None
        return listed or super().get_serializer_class()

    def get_queryset(self) -> Any:
        rows: Any = super().get_queryset()
        rows = rows.visible_to(self.request.user)
        if self.reads is None or access.holds_everywhere(access.actor_of(self.request), self.reads):
            return rows
        return rows.permitted(self.request.user, self.reads) if hasattr(rows, "permitted") else rows.none()

    def filter_queryset(self, queryset: Any) -> Any:
        """The rows that a list's query asks for; one row is found by its address alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def target(self, endpoint: Endpoint) -> Any:
        """The row that a write is about; 404 when the caller can't see it."""
        return self.get_object()

    def row_of(self, rows: Any, key: Any) -> Any:
        """The row of another kind that the request names. Raises NotFound when the caller can't see it."""
        return endpoints.visible_row(rows, access.actor_of(self.request), self.reads, key)

    def get_serializer_context(self) -> dict[str, Any]:
        return {
            **super().get_serializer_context(),
            "actor": getattr(self.request, "user", None),
            "allowed_actions": self.allowed_actions,
            "links": self.links,
        }

    def links(self, row: Any) -> dict[str, str]:
        """Address of the row and of named neighbours."""
        return {"self": address_of(row)}

    def allowed_actions(self, row: Any) -> list[str]:
        """Verbs open to the caller on this row now, by status and capability. Advice; the write decides."""
        open_verbs = row.open_verbs()
        return [
            name.replace("_", "-")
            for name, endpoint in self.endpoints.items()
            if endpoint.detail
            and name in open_verbs
            and access.may(access.actor_of(self.request), endpoint.capability or "", row)
        ]

    def render(self, row: Any, output: Any = None) -> Any:
        """The row as the caller sees it."""
        serializer = (output or self.get_serializer_class())(row, context=self.get_serializer_context())
        return serializer.data

    @staticmethod
    def encode(body: Any) -> bytes:
        """JSON bytes of an answer."""
        rendered: bytes = JSONRenderer().render(body)
        return rendered


class RowViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """A viewset with list and retrieve; one row's GET carries its strong ETag and answers 304.

    Where nobody keeps answers (``no_store``) nobody holds one to be told that it is current.
    """

    def etag_of(self, row: Any) -> str:
        """The strong ETag of the row as the caller sees it."""
        return problems.etag(row.version)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        row = self.get_object()
        if (gone := row.gone()) is not None:
            raise gone
        tag = self.etag_of(row)
        has_etag = not self.no_store and not request.query_params
        if has_etag and problems.is_fresh(request.headers.get("If-None-Match"), tag):
            response: Any = HttpResponseNotModified()
            response["ETag"] = tag
            return response
        response = Response(self.render(row))
        response["ETag"] = tag
        return response


class PartsViewSet(ListModelMixin, ViewSet):
    """Rows that are parts of another, as a list: ``/partners/{id}/documents``.

    ``wholes`` are the rows that have the parts, ``part_of`` names a part's relation to its own, and the router's
    prefix is ``<wholes>/<uuid:pk>/<parts>``. The whole is the target of the services that take it (``create``).
    Everything about a whole that the caller can't see is 404.
    """

    wholes: ClassVar[Any]
    part_of: ClassVar[str]
    lookup_url_kwarg = "child_id"

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(**{self.part_of: self.kwargs["pk"]})

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.whole()
        return super().list(request, *args, **kwargs)

    def whole(self) -> Any:
        """The row named first in the path. Raises NotFound."""
        return self.row_of(self.wholes, self.kwargs["pk"])

    def target(self, endpoint: Endpoint) -> Any:
        service = endpoint.service
        asks_whole = service is not None and service.target_model is self.wholes.model
        return self.whole() if asks_whole else super().target(endpoint)


class PartViewSet(PartsViewSet, RowViewSet):
    """Parts that also have an address below their whole: ``/organizations/{id}/bank-accounts/{child_id}``.

    A part of another whole is 404.
    """


def read(
    path: str,
    *,
    detail: bool = True,
    query: tuple[str, ...] | None = (),
    raises: tuple[type[DomainError], ...] = (),
) -> Callable[..., Any]:
    """A further GET of a viewset, such as the parts of a row.

    ``query``: the parameters that it takes; None where it checks them itself. ``raises``: problems of its own.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        bound: Callable[..., Any] = action(detail=detail, methods=["get"], url_path=path)(
            wraps(function)(function)
        )
        bound.query_parameters, bound.read_problems = query, raises  # type: ignore[attr-defined]
        return bound

    return decorate
