"""The product's own source files, as syntax trees, and what the names in them stand for."""

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from django.apps import AppConfig, apps
from django.conf import ENVIRONMENT_VARIABLE

import erp

PROJECT: Final = Path(erp.__file__).resolve().parents[1]
KERNEL: Final = "kernel"
# Folders whose code never runs in production, or runs past the services by its nature.
_APART: Final = frozenset({"tests", "migrations"})
_TESTING: Final = frozenset({"testing", "conftest", "test_settings"})


@cache
def own_apps() -> tuple[AppConfig, ...]:
    """Installed apps that are the product's own: their packages lie beside ``erp``."""
    return tuple(
        config
        for config in apps.get_app_configs()
        if Path(config.path).resolve().is_relative_to(PROJECT / config.name.split(".")[0])
    )


@cache
def packages() -> tuple[str, ...]:
    """The product's top-level packages: those of its apps, and the one that plugs them together."""
    names = [config.name.split(".")[0] for config in own_apps()]
    return tuple(dict.fromkeys([*names, os.environ[ENVIRONMENT_VARIABLE].split(".")[0]]))


@cache
def _app_of(module: str) -> AppConfig | None:
    """The innermost own app that a Python module belongs to."""
    found = [c for c in own_apps() if module == c.name or module.startswith(f"{c.name}.")]
    return max(found, key=lambda config: len(config.name), default=None)


def module_name(module: str) -> str:
    """The register's word for a Python module's module: ``apps.accounts.services`` → ``auth``.

    An app may state it (``register_name``); otherwise it is the package's own name, ``kernel`` for ``erp``.
    """
    config = _app_of(module)
    name = config.name if config is not None else module.split(".")[0]
    given = getattr(config, "register_name", "")
    return str(given) or (KERNEL if name == "erp" else name.rsplit(".", 1)[-1])


def is_own(module: str) -> bool:
    """Whether a Python module is the product's own."""
    return module.split(".")[0] in packages()


@dataclass(frozen=True)
class Source:
    """One file: its dotted name and its syntax tree."""

    name: str
    tree: ast.Module = field(repr=False, compare=False)

    @classmethod
    @cache
    def of(cls, name: str, text: str) -> "Source":
        """Parse a file's text. Raises SyntaxError."""
        return cls(name, ast.parse(text, name))

    @property
    def module(self) -> str:
        """The register's word for its module."""
        return module_name(self.name)

    @cached_property
    def app(self) -> str:
        """Name of the package that counts as its module: ``apps.availability``, ``erp``."""
        config = _app_of(self.name)
        return config.name if config is not None else self.name.split(".")[0]

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Return the path after the app's name: ``("management", "commands", "doctor")``."""
        return tuple(self.name.removeprefix(self.app).strip(".").split("."))

    def in_(self, *names: str) -> bool:
        """Whether the file is one of these packages or modules, or lies inside of one."""
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)

    def layer(self, *names: str) -> bool:
        """Whether the file is a layer of that name (``viewsets.py``, or a file of ``viewsets/``)."""
        return any(name in self.parts for name in names)

    @cached_property
    def names(self) -> dict[str, str]:
        """What the file's imported names stand for: local name → dotted name."""
        known: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    known[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                known |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        return known

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> tuple[tuple[str, int], ...]:
        """Every module or name that the file imports, with the line; by statement or by function."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[tuple[str, int]]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield self._origin(node), node.lineno
                yield from ((f"{self._origin(node)}.{alias.name}", node.lineno) for alias in node.names)
            elif (
                isinstance(node, ast.Call)
                and dotted(node.func).rsplit(".", 1)[-1] in ("import_module", "__import__", "import_string")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value), node.lineno

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        base = self.name.split(".")[: -node.level]
        return ".".join([*base, *([node.module] if node.module else [])])

    def stands_for(self, node: ast.AST) -> str:
        """The full dotted name of a name or attribute, through the file's imports; "" for anything else."""
        name = dotted(node)
        first, _, rest = name.partition(".")
        origin = self.names.get(first)
        if origin is None:
            return f"{self.name}.{name}" if name else ""
        return f"{origin}.{rest}" if rest else origin

    def is_module(self, node: ast.AST) -> bool:
        """Return whether a name refers to an imported module, such as ``services``."""
        return dotted(node).split(".")[0] in self.names and _is_module(self.stands_for(node))

    def functions(self) -> Iterator[tuple[str, ast.AST]]:
        """The file's statements, with the name where they define a function or class, else ""."""
        for node in self.tree.body:
            yield getattr(node, "name", ""), node

    def at(self, node: ast.AST) -> str:
        """Return the position of a node: ``apps.availability.viewsets:12``."""
        return f"{self.name}:{getattr(node, 'lineno', 0)}"


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of attributes on a name; "" when it starts with anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


@cache
def _is_module(name: str) -> bool:
    if name in sys.modules:
        return True
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def loaded(name: str) -> Any:
    """The object behind a dotted name, among what this process has imported; None when there is none."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        found: Any = sys.modules.get(".".join(parts[:cut]))
        if found is None:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        return None if isinstance(found, ModuleType) else found
    return None


def read(folders: Iterable[Path] | None = None, root: Path = PROJECT) -> list[Source]:
    """Every own source file that runs in production: no tests, no migrations.

    ``folders`` (default: the product's packages) lie under ``root``, from where dotted names count.
    """
    found = []
    for folder in folders if folders is not None else [root / name for name in packages()]:
        for path in sorted(folder.rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            if (
                _APART.isdisjoint(parts)
                and parts[-1] not in _TESTING
                and (text := path.read_text(encoding="utf-8"))
            ):
                found.append(Source.of(".".join(parts), text))
    return found
