"""Endpoints: what a viewset binds a POST or PUT to. There are exactly four kinds (core §5)."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from erp import access
from erp.access import Actor, Capability
from erp.api import problems
from erp.api.examples import example_of
from erp.api.faults import invalid
from erp.api.files import FileField, fingerprinted
from erp.api.filters import check_query
from erp.api.parsers import canonical_json
from erp.api.serializers import Input
from erp.errors import DomainError, FieldError, NotFound, PreconditionRequired
from erp.idempotency.once import Request as Attempt
from erp.idempotency.once import StoredResponse, once
from erp.services import Refusal, Service, declared_errors
from erp.trail import context as trail

Kind = Literal["change", "public", "exempt", "lookup"]
IfMatch = Literal["required", "optional", "none"]


class Empty(Input):
    """No body."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A throttle of one endpoint: ``limit`` requests per ``window`` seconds and address, and per value of ``field``."""

    limit: int
    window: int
    field: str = ""
    field_limit: int = 0
    field_window: int = 0


@dataclass(kw_only=True)
class Endpoint:
    """One write: service (or lookup function), input, and how it behaves on the wire."""

    call: Callable[..., Any]
    input: type[Input]
    kind: Kind
    capability: Capability | None
    reason: str = ""
    output: Any = None
    status: int = 0
    otherwise: Mapping[int, Callable[[Any], bool]] = field(default_factory=dict)
    if_match: IfMatch = "none"
    secret: bool = False
    detail: bool = False
    path: str = ""
    throttle: str = "write"
    limit: Limit | None = None
    lookup_raises: tuple[type[DomainError], ...] = ()
    read_only: bool = True
    method: Literal["post", "put"] = "post"
    target: Callable[[Request], Any] | None = None
    context: Mapping[str, Callable[[Request], Any]] = field(default_factory=dict)
    name: str = field(default="", init=False)

    @property
    def service(self) -> Service | None:
        """The service behind a change; None for a lookup."""
        return self.call if isinstance(self.call, Service) else None

    @property
    def raises(self) -> tuple[type[DomainError], ...]:
        """The domain errors of the service or the lookup."""
        return self.lookup_raises if self.service is None else self.service.raises

    @property
    def examples(self) -> list[dict[str, Any]]:
        """Bodies for the documentation."""
        found = example_of(self.call)
        return [{"request": found.documented()}] if found and found.body else []

    @cached_property
    def multipart(self) -> bool:
        """Whether the body comes in parts, since a file is among them."""
        return any(isinstance(field, FileField) for field in self.input().fields.values())

    @property
    def idempotent(self) -> bool:
        """Whether an Idempotency-Key is required (all but exempt endpoints)."""
        return self.kind != "exempt"

    @property
    def dry_run(self) -> bool:
        """Whether ``?dry_run=true`` is offered: not where an answer or a refusal must leave a trace."""
        service = self.service if self.kind == "change" and not self.secret else None
        return service is not None and not service.commits_refusals

    @property
    def anonymous(self) -> bool:
        """Whether no sign-in is needed."""
        return self.kind in ("public", "exempt")

    @property
    def doc(self) -> str:
        """First words of the service's docstring: the summary."""
        return (self.call.__doc__ or "").strip()

    @property
    def path_keywords(self) -> frozenset[str]:
        """Names in ``path`` that are keywords of the service."""
        return frozenset(re.findall(r"<(?:\w+:)?(\w+)>", self.path)) - {"pk"}

    def status_of(self, result: Any) -> int:
        """Status of the answer with this result."""
        return next((status for status, applies in self.otherwise.items() if applies(result)), self.status)

    def bind(self, name: str) -> None:
        """Take the attribute's name: it decides method and path where nothing else does."""
        self.name = name
        if name == "update":
            self.method = "put"
        if not self.status:
            self.status = 201 if self.kind != "lookup" and name == "create" else 200
        fields: set[str] = {
            f.source.partition(".")[0] if f.source and f.source != "*" else key
            for key, f in self.input().fields.items()
        }
        fields |= self.path_keywords | self.context.keys()
        service = self.service
        if service is not None and (fields - service.keywords or service.required - fields):
            raise ImproperlyConfigured(
                f"{service.name}: its keywords {sorted(service.keywords)} and the input's {sorted(fields)} differ"
            )


def endpoint(
    service: Service,
    input: type[Input] = Empty,
    *,
    public: str = "",
    exempt: str = "",
    output: Any = None,
    status: int = 0,
    otherwise: Mapping[int, Callable[[Any], bool]] | None = None,
    if_match: IfMatch = "none",
    secret: bool = False,
    path: str = "",
    method: Literal["post", "put"] = "post",
    throttle: str = "write",
    limit: Limit | None = None,
    target: Callable[[Request], Any] | None = None,
    context: Mapping[str, Callable[[Request], Any]] | None = None,
) -> Any:
    """Bind a service: a change by a signed-in user.

    ``public`` (with the reason) opens it to anonymous users; ``exempt`` (with the reason) also waives the key.
    ``output`` is the answer's serializer (default: the viewset's; None result: 204). ``otherwise`` names other
    success statuses, each with a test of the result (200 if it already existed,
    202 if it waits for approval). ``secret``: the answer carries tokens. ``target`` finds the row where the path
    names none: the caller's own user or session. ``context`` fills keywords of the service
    from the request itself, such as where it comes from. Raises ImproperlyConfigured when input and service don't fit.
    """
    if not isinstance(service, Service):
        raise ImproperlyConfigured(f"{service!r} is not a service: rows change in services only")
    if bool(service.public) != bool(public or exempt):
        raise ImproperlyConfigured(f"{service.name}: endpoint and service disagree about being public")
    if (public or exempt) and limit is None:
        raise ImproperlyConfigured(f"{service.name}: a public endpoint needs its own throttle")
    return Endpoint(
        call=service,
        input=input,
        kind="exempt" if exempt else "public" if public else "change",
        capability=service.requires,
        reason=exempt or public,
        output=output,
        status=status,
        otherwise=otherwise or {},
        if_match=if_match,
        secret=secret,
        detail=service.target is not None and target is None,
        path=path,
        method=method,
        throttle=throttle,
        limit=limit,
        target=target,
        context=context or {},
    )


def lookup(
    function: Callable[..., Any],
    input: type[Input] = Empty,
    *,
    requires: Capability,
    detail: bool = False,
    read_only: bool = True,
    output: Any = None,
    path: str = "",
    throttle: str = "lookup",
    raises: Iterable[type[DomainError]] = (),
) -> Any:
    """Bind a lookup that queries, previews or suggests: capability and key as usual, nothing is stored.

    It runs in a read-only transaction. With ``read_only=False`` no transaction is open at all, so that it may call a
    client, or run services and roll them back (``erp.services.dry_run``). ``raises``: the domain errors of the
    function, as a service declares its own.
    """
    if isinstance(function, Service):
        raise ImproperlyConfigured(f"{function.name} is a service; a lookup must not change rows")
    return Endpoint(
        call=function,
        input=input,
        kind="lookup",
        capability=requires,
        output=output,
        detail=detail,
        read_only=read_only,
        path=path,
        throttle=throttle,
        lookup_raises=tuple(raises),
    )


def handle(view: Any, request: Request, endpoint: Endpoint, parameters: Mapping[str, Any]) -> HttpResponse:
    """Execute one request: read the body, find the target, then run one transaction (core's order of checks)."""
    with trail.through("api"):
        return _handle(view, request, endpoint, parameters)


def _handle(view: Any, request: Request, endpoint: Endpoint, parameters: Mapping[str, Any]) -> HttpResponse:
    data = request.data
    target = _target(view, request, endpoint)
    extra = {name: value for name, value in parameters.items() if name in endpoint.path_keywords}
    if endpoint.kind == "lookup":
        return _look_up(view, request, endpoint, target, extra, data)

    def run() -> StoredResponse:
        return _change(view, request, endpoint, target, extra, data)

    if endpoint.kind == "exempt":
        with transaction.atomic():
            answer = run()
    else:
        answer = once(_attempt(view, request, endpoint, parameters, data), run)
    return _response(answer)


def _response(answer: StoredResponse) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status)
    del response["Content-Type"]  # Django's own: an answer without a body has none
    for name, value in answer.headers.items():
        response[name] = value
    if answer.replayed:
        response["Idempotency-Replayed"] = "true"
    return response


def _target(view: Any, request: Request, endpoint: Endpoint) -> Any:
    if endpoint.target is not None:
        return endpoint.target(request)
    return view.target(endpoint) if endpoint.detail else None


def _attempt(
    view: Any, request: Request, endpoint: Endpoint, parameters: Mapping[str, Any], data: Any
) -> Attempt:
    query = sorted((str(key), str(value)) for key, values in request.query_params.lists() for value in values)
    content_type = (request.content_type or "").split(";")[0].strip().lower()
    return Attempt(
        principal="" if endpoint.anonymous else f"user:{request.user.pk}",
        method=request.method or "",
        route=request.resolver_match.route if request.resolver_match else request.path,
        key=view.idempotency_key,
        parameters=tuple(sorted((name, str(value)) for name, value in parameters.items())),
        content=canonical_json([query, content_type if data else "", fingerprinted(data)]),
        secret=endpoint.secret,
        anonymous=endpoint.anonymous,
        dry_run=_is_dry_run(request, endpoint),
        context=partial(endpoint.service.trail_context, view.actor(request)) if endpoint.service else None,
    )


def _is_dry_run(request: Request, endpoint: Endpoint) -> bool:
    return endpoint.dry_run and request.query_params.get("dry_run") == "true"


def _check_query(request: Request, endpoint: Endpoint) -> None:
    check_query(request.query_params, ("dry_run",) if endpoint.dry_run else ())
    if request.query_params.get("dry_run", "true") not in ("true", "false"):
        raise invalid([FieldError("/query/dry_run", "not_a_choice", "Send true or false.")])


def _validated(view: Any, endpoint: Endpoint, data: Any, target: Any) -> dict[str, Any]:
    serializer = endpoint.input(data=data, context={**view.get_serializer_context(), "target": target})
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return dict(values)


def _change(
    view: Any, request: Request, endpoint: Endpoint, target: Any, extra: dict[str, Any], data: Any
) -> StoredResponse:
    service = endpoint.service
    assert service is not None
    _check_query(request, endpoint)
    keywords = _validated(view, endpoint, data, target) | extra
    keywords |= {name: read(request) for name, read in endpoint.context.items()}
    arguments = () if target is None else (target,)
    result = service(*arguments, actor=view.actor(request), if_version=view.if_version, **keywords)
    if isinstance(result, Refusal):
        problem = problems.problem_response(result.problem, request._request)
        headers = dict(problem.items())
        return StoredResponse(problem.status_code, headers, problem.content)
    if result is None:
        return StoredResponse(204, {}, b"")
    body = view.render(result, endpoint.output)
    headers = {"Content-Type": "application/json"}
    if hasattr(result, "version"):
        headers["ETag"] = problems.etag(result.version)
    if _is_dry_run(request, endpoint):
        return StoredResponse(200, {"Content-Type": "application/json"}, view.encode(body))
    status = endpoint.status_of(result)
    if status in (201, 202) and "links" in body:
        headers["Location"] = body["links"]["self"]
    return StoredResponse(status, headers, view.encode(body))


def _look_up(
    view: Any, request: Request, endpoint: Endpoint, target: Any, extra: dict[str, Any], data: Any
) -> Response:
    access.authorize(access.actor_of(request), endpoint.capability or "", target)
    _check_query(request, endpoint)
    keywords = _validated(view, endpoint, data, target) | extra
    arguments = () if target is None else (target,)
    with (
        declared_errors(endpoint.call.__qualname__, endpoint.raises),
        _read_only() if endpoint.read_only else nullcontext(),
    ):
        result = endpoint.call(*arguments, actor=request.user, **keywords)
        if endpoint.output is not None:
            result = view.render(result, endpoint.output)
    return Response(result, status=200)


@contextmanager
def _read_only() -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        yield


def visible_row(rows: Any, actor: Actor, reads: Capability | None, key: Any) -> Any:
    """The row of that id among those that the actor may see and holds the capability of reads on. Raises NotFound."""
    found = rows.visible_to(actor).filter(pk=key)
    row = (found if reads is None else found.permitted(actor, reads)).first()
    if row is None:
        raise NotFound
    return row


def precondition(endpoint: Endpoint | None, request: Request) -> int | None:
    """The version named by If-Match as the register says: 428 when required and missing, 400 when ill-formed."""
    if endpoint is None or endpoint.if_match == "none":
        return None
    version = problems.parse_if_match(request.headers.get("If-Match"))
    if version is None and endpoint.if_match == "required":
        raise PreconditionRequired("Send If-Match with the ETag of the row that you read.")
    return version
