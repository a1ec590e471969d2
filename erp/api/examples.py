"""One example per write: it feeds the OpenAPI document and the contract tests that every endpoint inherits.

A module has them in ``tests/examples.py`` as ``EXAMPLES``: name of the service or lookup → ``Example``. They are
loaded by what needs them, the generator of the document, the audit and tests; no request does.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings

from erp.files import CSV, Upload

SAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\{(\w+)\}")


@dataclass(frozen=True)
class Sample:
    """A value that depends on rows, and ``shown``, a typical one for the documentation."""

    shown: Any
    make: Callable[[Any, Any], Any]

    def __call__(self, world: Any, target: Any) -> Any:
        """The value for rows that exist."""
        return self.make(world, target)


@dataclass(frozen=True)
class Example:
    """A request that succeeds.

    ``actor`` makes the user who sends it, ``target`` the row it is about; both get the test's world, a bundle of
    factories. Values of ``body`` and ``path`` that depend on rows are functions of the world and the target, and
    a ``Sample`` where they aren't ids; a file is an ``Upload``. ``path`` names the parameters of the route where
    they are more than the target's id. ``signs_out``: the request ends the session that it came by, so a repeat
    finds nobody signed in.
    """

    actor: Callable[[Any, Any], Any] | None = None
    body: dict[str, Any] = field(default_factory=dict)
    target: Callable[[Any], Any] | None = None
    path: dict[str, Any] = field(default_factory=dict)
    signs_out: bool = False

    def address(self, route: str, world: Any, target: Any) -> str:
        """The route with its parameters filled in: ``/api/v1/offers/<uuid:pk>`` or ``/api/v1/offers/{id}``."""
        values = {"pk": getattr(target, "pk", ""), **self._filled(self.path, world, target)}
        values["id"] = values["pk"]
        return _PARAMETER.sub(lambda found: str(values[found[1] or found[2]]), route)

    def documented(self) -> dict[str, Any]:
        """The body with samples in place of what depends on rows, and a table as the text that it is."""
        return {name: _documented(value) for name, value in self.body.items()}

    def for_rows(self, world: Any, target: Any) -> dict[str, Any]:
        """The body for rows that exist."""
        return self._filled(self.body, world, target)

    @staticmethod
    def _filled(values: dict[str, Any], world: Any, target: Any) -> dict[str, Any]:
        return {name: value(world, target) if callable(value) else value for name, value in values.items()}


def _documented(value: Any) -> Any:
    if isinstance(value, Upload):
        return value.content.decode() if value.media_type == CSV else value.name
    if isinstance(value, Sample):
        return value.shown
    return SAMPLE_ID if callable(value) else value


def package_of(module: str) -> str:
    """Package of the app that a Python module belongs to: ``apps.availability``."""
    config = apps.get_containing_app_config(module)
    return config.name if config is not None else module.rpartition(".")[0]


def example_of(call: Any) -> Example | None:
    """The example of a service or lookup function, None where the module has none or none are loaded."""
    return _loaded.get(package_of(call.__module__), {}).get(call.__name__)


def load() -> None:
    """Load the examples of the modules named in ``settings.API_EXAMPLES``."""
    for name in settings.API_EXAMPLES:
        with suppress(ModuleNotFoundError):  # an image for production has no tests
            _loaded[package_of(name)] = import_module(name).EXAMPLES


def are_installed() -> bool:
    """Whether any were found; only the audit asks, which in an image can't tell what tests try."""
    return bool(_loaded)


_loaded: dict[str, Mapping[str, Example]] = {}
