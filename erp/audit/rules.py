"""The eight rules of the audit, each proved from the running code: routes, registries, syntax trees."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import autodiscover_modules
from rest_framework.settings import api_settings

from erp import access, events, logs, pages, services
from erp.api import examples, problems
from erp.api.endpoints import Endpoint
from erp.api.viewsets import ViewSet
from erp.audit import code, event_files
from erp.audit.channels import channels
from erp.audit.register import Register, RegisterRow
from erp.audit.routes import Route, goes_through_the_handler, routes
from erp.audit.sources import KERNEL, Source, is_own, module_name, own_apps, read
from erp.clients import Client, clients
from erp.models import Guarded, QuerySet
from erp.services import Service

RULES: Final = (
    "1 idempotency",
    "2 service layer",
    "3 circuit breaker",
    "4 outbox pattern",
    "5 capability auth",
    "6 PII sanitization",
    "7 event versioning",
    "8 error handling",
)


@dataclass(frozen=True)
class Check:
    """One item that a rule checked, and its problems."""

    rule: str
    module: str
    subject: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Write:
    """One method of a route that may write, what it is bound to, and its row in the register."""

    route: Route
    method: str
    row: RegisterRow | None

    @property
    def name(self) -> str:
        """``POST /api/v1/varieties``."""
        return f"{self.method} {self.route.path}"

    @property
    def module(self) -> str:
        """Return the register's value if the write is listed, else that of the view."""
        return self.row.module if self.row is not None else self.route.module

    @cached_property
    def endpoint(self) -> Endpoint | None:
        """What it is bound to."""
        return self.route.endpoint(self.method)

    @property
    def service(self) -> Service | None:
        """The service behind it."""
        return self.endpoint.service if self.endpoint is not None else None

    @property
    def emits(self) -> list[str]:
        """Event types that it can lead to: the service's, and those of the job that it starts."""
        return emitted(self.service) if self.service is not None else []


def emitted(service: Service) -> list[str]:
    """Event types of a service, and of the services that carry out the job which it accepts (``jobs``)."""
    behind = (service, *service.jobs)
    return sorted({event.__event__.name for one in behind for event in one.emits})


class Product:
    """The running product, as the rules see it."""

    def __init__(
        self,
        *,
        urlconf: str | None = None,
        sources: list[Source] | None = None,
        register: Register | None = None,
    ) -> None:
        """``urlconf``, ``sources`` and ``register`` replace the product's own, for tests of the audit."""
        examples.load()
        self.routes = routes(urlconf)
        self.sources = sources if sources is not None else read()
        self.register = register or Register()

    @cached_property
    def writes(self) -> list[Write]:
        """Every write that a caller can reach: all under ``/api/``, and whatever of ours lies elsewhere."""
        rows = {row.key: row for row in self.register.rows}
        return [
            Write(route, method, rows.get((method, route.path)))
            for route in self.routes
            if route.in_api or (route.own and not route.in_admin)
            for method in route.unsafe
        ]

    @cached_property
    def channels(self) -> dict[str, list[str]]:
        """The channels of each service."""
        return channels(self.routes, self.sources)

    def checks(self, rules: Collection[str] = RULES) -> Iterator[Check]:
        """Apply all eight rules, or some of them."""
        every = (
            self._idempotency,
            self._service_layer,
            self._circuit_breaker,
            self._outbox,
            self._capabilities,
            self._personal_data,
            self._event_versions,
            self._errors,
        )
        for name, rule in zip(RULES, every, strict=True):
            if name in rules:
                for module, subject, faults in rule():
                    yield Check(name, module, subject, tuple(faults))

    def _idempotency(self) -> "_Found":
        for write in self.writes:
            yield write.module, write.name, list(self._keyed(write))
        built = {write.name for write in self.writes}
        for extra in self.register.extras.values():
            if extra.kind == "route":
                yield KERNEL, f"extra.csv: {extra.name}", _absent(extra.name, built, extra.reason)

    def _keyed(self, write: Write) -> Iterator[str]:
        endpoint, row = write.endpoint, write.row
        if endpoint is None:
            yield "isn't bound with endpoint() or lookup(), so it asks for no Idempotency-Key"
            return
        cls = write.route.viewset
        for name in ("dispatch", "initial", "initialize_request", "endpoint_for", "endpoint"):
            if getattr(cls, name) is not getattr(ViewSet, name):
                yield f"{cls.__name__} has its own {name}, which may skip the key"  # type: ignore[union-attr]
        if not endpoint.idempotent and not endpoint.reason:
            yield "waives the key without a reason"
        if _tried(endpoint.call) is False:
            yield "has no example in tests/examples.py, so nothing tries it"
        if row is None:
            if not self.register.reason("route", write.name):
                yield "stands neither in endpoints.csv nor, with a reason, in extra.csv"
            return
        if endpoint.kind != row.kind:
            yield f"is a {endpoint.kind} endpoint, the register says {row.kind}"
        if endpoint.if_match != row.if_match:
            yield f"takes If-Match as {endpoint.if_match}, the register says {row.if_match}"

    def _service_layer(self) -> "_Found":
        for write in self.writes:
            yield write.module, write.name, list(_bound(write))
        faults = code.past_the_services(self.sources)
        for source in self.sources:
            if source.name in faults:
                yield source.module, source.name, faults[source.name]
        for config in own_apps():
            if not config.name.startswith("erp"):
                for model in config.get_models():
                    yield module_name(config.name), model._meta.label, list(_unguarded(model))

    def _circuit_breaker(self) -> "_Found":
        for source in self.sources:
            excused = self.register.reason("import", source.name)
            yield source.module, source.name, [] if excused else code.clients_past_the_breaker(source)
        for extra in self.register.extras.values():
            if extra.kind == "import":
                there = {source.name for source in self.sources}
                yield KERNEL, f"extra.csv: {extra.name}", _absent(extra.name, there, extra.reason)
        names: set[str] = set()
        for client in own_clients():
            yield module_name(client.__module__), client.__name__, list(_broken(client, names))

    def _outbox(self) -> "_Found":
        for source in self.sources:
            yield source.module, source.name, code.events_past_the_outbox(source)
        for service in services.registry.values():
            yield module_name(service.__module__), f"service {service.name}", list(_service_faults(service))
        for write in self.writes:
            if write.row is not None and write.row.event and write.endpoint is not None:
                missing = write.row.event not in write.emits
                yield (
                    write.module,
                    write.name,
                    [f"doesn't emit {write.row.event} as the register says"] if missing else [],
                )

    def _capabilities(self) -> "_Found":
        for service in services.registry.values():
            faults = list(_authorised(service.requires, service.public))
            yield module_name(service.__module__), f"service {service.name}", faults
        for write in self.writes:
            yield write.module, write.name, list(_guard_faults(write))
        for route in self.routes:
            if route.reads():
                yield route.module, f"GET {route.path}", list(_scoped(route))
        for source in self.sources:
            yield source.module, source.name, code.questions_without_a_row(source)
        for model in events.registry:
            meta = model.__event__
            missing_readers = ["does not declare its readers (readers=)"] if meta.readers is None else []
            yield module_name(model.__module__), f"event {meta.key}", missing_readers
        for extra in self.register.extras.values():
            if extra.kind == "service":
                yield KERNEL, f"extra.csv: {extra.name}", _absent(extra.name, services.registry, extra.reason)

    def _personal_data(self) -> "_Found":
        yield KERNEL, "logging configuration", logs.masking_faults()
        for source in self.sources:
            yield source.module, source.name, code.lines_past_the_mask(source)

    def _event_versions(self) -> "_Found":
        for model in events.registry:
            meta = model.__event__
            yield module_name(model.__module__), meta.key, event_files.faults(model)
        for name in event_files.orphans():
            yield KERNEL, name, ["no event in the code belongs to this file"]
        yield KERNEL, "AsyncAPI document", event_files.asyncapi_faults()

    def _errors(self) -> "_Found":
        handler: Any = api_settings.EXCEPTION_HANDLER
        ours = handler is problems.exception_handler
        yield KERNEL, "EXCEPTION_HANDLER", [] if ours else [f"is {_path(handler)}, not ours"]
        middleware = f"{problems.__name__}.{problems.ProblemMiddleware.__name__}"
        installed = middleware in settings.MIDDLEWARE
        yield KERNEL, "MIDDLEWARE", [] if installed else [f"lacks {middleware}"]
        refused = f"{pages.__name__}.{pages.csrf_failure.__name__}"
        csrf = settings.CSRF_FAILURE_VIEW
        yield KERNEL, "CSRF_FAILURE_VIEW", [] if csrf == refused else [f"is {csrf}, not ours"]
        kinds = problems.problem_kinds()
        for service in services.registry.values():
            faults = [
                f"declares {kind.__name__}, a family of errors"
                for kind in service.raises
                if kind.code not in kinds
            ]
            yield module_name(service.__module__), f"service {service.name}", faults
        for source in self.sources:
            if source.layer("viewsets"):
                yield source.module, source.name, code.failures_past_the_handler(source)
        for route in self.routes:
            if route.in_api:
                yield route.module if route.own else KERNEL, route.path, list(_rendered(route))


_Found = Iterator[tuple[str, str, list[str]]]


def _absent(name: str, there: Mapping[str, object] | set[str], reason: str) -> list[str]:
    return [*([] if name in there else ["isn't there any more"]), *([] if reason else ["has no reason"])]


def _tried(call: Any) -> bool | None:
    """Whether contract tests have an example of a call; None where no examples are installed."""
    return examples.example_of(call) is not None if examples.are_installed() else None


def _bound(write: Write) -> Iterator[str]:
    endpoint = write.endpoint
    if endpoint is None:
        yield "is bound to no service"
    elif endpoint.kind == "lookup":
        if ".lookups" not in endpoint.call.__module__:
            yield f"asks {_path(endpoint.call)}, which doesn't stand in a lookups.py"
    elif not isinstance(endpoint.call, Service):
        yield f"runs {_path(endpoint.call)}, which is no service"


def _unguarded(model: Any) -> Iterator[str]:
    if not issubclass(model, Guarded):
        yield "isn't guarded: derive it from erp.models.Model"
        return
    for manager in model._meta.managers:
        if not issubclass(manager._queryset_class, QuerySet):
            yield f"its manager {manager.name} isn't guarded"
    for field in model._meta.local_many_to_many:
        if field.remote_field.through._meta.auto_created:
            yield f"{field.name} has no named model between, so its rows aren't guarded"


def own_clients() -> list[type[Client]]:
    """Clients of remote systems that the product's modules declare."""
    autodiscover_modules("clients")
    return [c for c in clients() if is_own(c.__module__) and ".tests." not in c.__module__]


def _broken(client: Any, names: set[str]) -> Iterator[str]:
    name, timeout = getattr(client, "name", ""), getattr(client, "timeout", None)
    if not isinstance(name, str) or not name:
        yield "has no name for its breaker"
    elif name in names:
        yield f"shares the breaker {name} with another client"
    names.add(name)
    if not isinstance(timeout, int | float) or timeout <= 0:
        yield "has no timeout"
    if client.request is not Client.request:
        yield "has a request() of its own, past the breaker"


def _service_faults(service: Service) -> Iterator[str]:
    if not service.emits and not service.machinery:
        yield "emits nothing and doesn't say why"
    for event in service.emits:
        meta = event.__event__
        if events.registry.types.get(meta.name, {}).get(meta.version) is not event:
            yield f"emits {meta.key}, which isn't registered"


def _authorised(capability: access.Capability | None, public: str) -> Iterator[str]:
    if capability is None:
        if not public:
            yield "asks for no capability and gives no reason"
    elif access.registry.capabilities.get(capability.name) is not capability:
        yield f"asks for {capability.name}, which isn't registered"


def _guard_faults(write: Write) -> Iterator[str]:
    endpoint, row = write.endpoint, write.row
    if endpoint is None:
        yield "asks for no capability"
        return
    yield from _authorised(endpoint.capability, endpoint.reason if endpoint.anonymous else "")
    if endpoint.service is not None and endpoint.capability is not endpoint.service.requires:
        yield "endpoint and service require different capabilities"
    if endpoint.anonymous and endpoint.limit is None:
        yield "is open to anybody without a limit of its own"
    held = endpoint.capability.name if endpoint.capability is not None else ""
    if row is not None and held != row.capability:
        yield f"asks for {held or 'nothing'}, the register says {row.capability or 'nothing'}"


def _scoped(route: Route) -> Iterator[str]:
    cls = route.viewset
    assert cls is not None
    yield from _authorised(cls.reads, "")
    queryset = getattr(cls, "queryset", None)
    if queryset is None:
        return
    if getattr(type(queryset), "visible_to", QuerySet.visible_to) is QuerySet.visible_to:
        yield f"{queryset.model.__name__} does not declare who may see its rows (visible_to)"
    for kind in cls.__mro__:
        own = vars(kind).get("get_queryset")
        if kind is ViewSet:
            break
        names = getattr(getattr(own, "__code__", None), "co_names", ())
        if own is not None and "visible_to" not in names and not {"super", "get_queryset"} <= set(names):
            yield f"{kind.__name__}.get_queryset leaves out visible_to"


def _rendered(route: Route) -> Iterator[str]:
    if route.versioned and route.viewset is None:
        yield f"{_path(route.cls or route.view)} isn't a viewset of ours"
    if route.cls is not None:
        yield from goes_through_the_handler(route.cls)


def _path(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__name__)}"
