"""One example per write: it feeds the OpenAPI document and the contract tests that every endpoint inherits.

A module keeps them in ``tests/examples.py`` as ``EXAMPLES``: name of the service or lookup → ``Example``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

SAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass(frozen=True)
class Example:
    """A request that succeeds.

    ``actor`` makes the user who sends it, ``target`` the row it is about; both get the test's world, a bundle of
    factories. Values of ``body`` that depend on rows are functions of the world and the target.
    """

    actor: Callable[[Any, Any], Any] | None = None
    body: dict[str, Any] = field(default_factory=dict)
    target: Callable[[Any], Any] | None = None

    def documented(self) -> dict[str, Any]:
        """The body with a sample id in place of what depends on rows."""
        return {name: SAMPLE_ID if callable(value) else value for name, value in self.body.items()}

    def for_rows(self, world: Any, target: Any) -> dict[str, Any]:
        """The body for rows that exist."""
        return {name: value(world, target) if callable(value) else value for name, value in self.body.items()}


def example_of(call: Any) -> Example | None:
    """The example of a service or lookup function, None where the module has none."""
    package = call.__module__.rsplit(".", 1)[0]
    try:
        examples = import_module(f"{package}.tests.examples").EXAMPLES
    except ModuleNotFoundError:
        return None
    found: Example | None = examples.get(call.__name__)
    return found
