"""Every route of the URL conf, with the methods that it really takes and what a write is bound to."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from erp.api.endpoints import Endpoint
from erp.api.viewsets import ViewSet
from erp.audit.sources import is_own, module_name

UNSAFE: Final = ("POST", "PUT", "PATCH", "DELETE")
_METHODS: Final = ("GET", *UNSAFE)
_PARAMETER: Final = re.compile(r"<(?:[^:>]+:)?([^>]+)>")


@dataclass(frozen=True)
class Route:
    """One pattern of the URL conf. ``path`` is written as the register does: ``/api/v1/varieties/{id}``."""

    path: str
    view: Callable[..., Any]
    cls: type[Any] | None
    actions: Mapping[str, str]
    methods: tuple[str, ...]
    in_admin: bool = False

    @property
    def in_api(self) -> bool:
        """Whether it lies under ``/api/``."""
        return self.path.startswith("/api/")

    @property
    def versioned(self) -> bool:
        """Whether it belongs to the versioned API: ``/api/v1/…``."""
        return re.match(r"/api/v\d+/", self.path) is not None

    @property
    def origin(self) -> str:
        """Python module of the view."""
        return str(getattr(self.cls or self.view, "__module__", ""))

    @property
    def own(self) -> bool:
        """Whether the view is the product's own code."""
        return is_own(self.origin)

    @property
    def module(self) -> str:
        """The register's word for the view's module."""
        return module_name(self.origin)

    @property
    def viewset(self) -> type[ViewSet] | None:
        """The view's class where it is a viewset of ours."""
        return self.cls if self.cls is not None and issubclass(self.cls, ViewSet) else None

    @property
    def unsafe(self) -> tuple[str, ...]:
        """The methods that may write."""
        return tuple(method for method in self.methods if method in UNSAFE)

    def endpoint(self, method: str) -> Endpoint | None:
        """What the method is bound to; None when it isn't one of the four kinds of endpoint."""
        viewset = self.viewset
        if viewset is None:
            return None
        name = self.actions.get(method.lower(), "")
        endpoint = viewset.endpoints.get(name)
        handler = getattr(viewset, name, None)
        return endpoint if endpoint is not None and getattr(handler, "endpoint", None) is endpoint else None

    def reads(self) -> bool:
        """Whether a GET answers rows or parts of them."""
        return "GET" in self.methods and self.viewset is not None


def routes(urlconf: str | None = None) -> list[Route]:
    """All routes of a URL conf (default: the one in force)."""
    return list(_walk(get_resolver(urlconf).url_patterns, "/", False))


def _walk(patterns: list[URLPattern | URLResolver], prefix: str, in_admin: bool) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path, in_admin or pattern.app_name == "admin")
        else:
            yield _route(path, pattern.callback, in_admin)


def _route(path: str, view: Callable[..., Any], in_admin: bool) -> Route:
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    actions: Mapping[str, str] = getattr(view, "actions", None) or {}
    written = _PARAMETER.sub(lambda found: "{id}" if found[1] == "pk" else f"{{{found[1]}}}", path)
    return Route(written, view, cls, actions, _taken(view, cls, actions), in_admin)


def _taken(view: Callable[..., Any], cls: type[Any] | None, actions: Mapping[str, str]) -> tuple[str, ...]:
    if cls is not None:
        names = {name.lower() for name in getattr(cls, "http_method_names", ())}
        return tuple(
            method
            for method in _METHODS
            if method.lower() in names and (method.lower() in actions or hasattr(cls, method.lower()))
        )
    allowed = _decorated(view)
    return tuple(method for method in _METHODS if allowed is None or method in allowed)


def _decorated(view: Any) -> set[str] | None:
    """Methods that ``require_http_methods`` and its kin let through to a function; None: whatever comes."""
    while view is not None:
        code, cells = getattr(view, "__code__", None), getattr(view, "__closure__", None)
        held = dict(zip(code.co_freevars, cells or (), strict=False)) if code is not None else {}
        if "request_method_list" in held:
            return set(held["request_method_list"].cell_contents)
        view = getattr(view, "__wrapped__", None)
    return None


def goes_through_the_handler(cls: type[Any]) -> list[str]:
    """What keeps a class's failures from the one exception handler, in words."""
    faults = []
    if issubclass(cls, APIView):
        for name in ("handle_exception", "get_exception_handler", "raise_uncaught_exception", "settings"):
            if getattr(cls, name) is not getattr(APIView, name):
                faults.append(f"{cls.__name__} has its own {name}")
    return faults
