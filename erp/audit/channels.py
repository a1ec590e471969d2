"""The channels of each service: routes, admin, approvals, tasks, commands, other services."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.contrib import admin

from erp.approvals import kinds
from erp.audit.routes import Route
from erp.audit.sources import Source, loaded
from erp.services import Service


def channels(routes: Iterable[Route], sources: Iterable[Source]) -> dict[str, list[str]]:
    """Return the channels of each service by its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for route in routes:
        for method in route.methods:
            endpoint = route.endpoint(method)
            if endpoint is not None and endpoint.service is not None:
                found[endpoint.service.name].append(f"{method} {route.path}")
    for service, channel in _of_the_admin():
        found[service.name].append(channel)
    for kind in kinds.values():
        for applied in (kind.apply, kind.ended):
            if isinstance(applied, Service):
                found[applied.name].append(f"approval {kind.name}")
    for source in sources:
        for service, channel in _of_a_file(source):
            found[service.name].append(channel)
    return {name: list(dict.fromkeys(names)) for name, names in found.items()}


def _of_the_admin() -> Iterator[tuple[Service, str]]:
    """Yield the services that an admin class names: ``creates``, ``updates``, ``runs`` and the like."""
    for model, model_admin in admin.site._registry.items():
        for kind in type(model_admin).__mro__:
            for value in vars(kind).values():
                for service in value if isinstance(value, list | tuple) else (value,):
                    if isinstance(service, Service):
                        yield service, f"admin {model._meta.label}"


def _of_a_file(source: Source) -> Iterator[tuple[Service, str]]:
    """Yield the services that a file calls: a task, a command, another service, a staff page."""
    for name, node in source.functions():
        channel = _channel(source, name)
        if not channel:
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute | ast.Name):
                dotted = source.stands_for(inner)
                service = loaded(dotted) if dotted else None
                if isinstance(service, Service) and channel != f"service {service.name}":
                    yield service, channel


def _channel(source: Source, function: str) -> str:
    if source.layer("commands"):
        return f"command {source.parts[-1]}"
    if source.layer("services"):
        calling = loaded(f"{source.name}.{function}")
        return f"service {calling.name}" if isinstance(calling, Service) else "service"
    if source.layer("tasks"):
        return f"task {function}" if function else ""
    # Routes and admin classes are listed above; any other caller is named by its file.
    return "" if source.layer("viewsets", "admin") else f"file {source.name}"
