"""The register of endpoints, the matrix of capabilities, and what the product has beyond them."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from django.conf import settings


@dataclass(frozen=True)
class RegisterRow:
    """One write of ``endpoints.csv``; ``-`` there is "" here."""

    module: str
    method: str
    path: str
    kind: str
    capability: str
    event: str
    if_match: str

    @property
    def key(self) -> tuple[str, str]:
        """Method and path."""
        return self.method, self.path


@dataclass(frozen=True)
class RegisteredRight:
    """One line of ``capabilities.csv``."""

    capability: str
    everywhere: tuple[str, ...]
    own: tuple[str, ...]


@dataclass(frozen=True)
class Extra:
    """One line of ``extra.csv``: a write, a service or an import beyond the register, and the reason."""

    kind: Literal["route", "service", "import"]
    name: str
    reason: str


def folder() -> Path:
    """The folder of the register: ``docs/register``."""
    return Path(settings.BASE_DIR) / "docs" / "register"


class Register:
    """The three tables of a folder, read when they are asked for."""

    def __init__(self, path: Path | None = None) -> None:
        """``path`` is the folder (default: the product's)."""
        self._folder = path if path is not None else folder()

    @cached_property
    def rows(self) -> list[RegisterRow]:
        """Every write that the product is to have, in the register's order."""
        return [
            RegisterRow(
                *("" if line[name] == "-" else line[name] for name in RegisterRow.__dataclass_fields__)
            )
            for line in self._lines("endpoints.csv")
        ]

    @cached_property
    def rights(self) -> dict[str, RegisteredRight]:
        """The default matrix by capability."""
        return {
            line["capability"]: RegisteredRight(
                line["capability"], tuple(line["everywhere"].split()), tuple(line["own"].split())
            )
            for line in self._lines("capabilities.csv")
        }

    @cached_property
    def extras(self) -> dict[tuple[str, str], Extra]:
        """Endpoints beyond the register, by kind and name."""
        return {
            (line["kind"], line["name"]): Extra(line["kind"], line["name"], line["reason"].strip())  # type: ignore[arg-type]
            for line in self._lines("extra.csv")
        }

    def reason(self, kind: str, name: str) -> str:
        """Return the reason for an endpoint beyond the register; "" if there is none."""
        extra = self.extras.get((kind, name))
        return extra.reason if extra is not None else ""

    def _lines(self, name: str) -> list[dict[str, str]]:
        with (self._folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
