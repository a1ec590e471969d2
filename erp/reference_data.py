"""Reference data that the product brings along: tables beside a module, whose rows its services create."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.models import Model
from erp.services import attempt


@cache
def read(path: Path) -> tuple[dict[str, str], ...]:
    """Return the rows of a CSV file by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@dataclass(frozen=True, kw_only=True)
class ReferenceTable:
    """Rows of a model that the product brings along.

    ``rows`` are a CSV file, or the rows themselves. Each becomes keywords of ``create``: a service, or a function that
    creates by the rules of one and returns None for a row that it leaves out. Text is read as the model's column of
    that name: the items of a list between semicolons, ``yes`` for true, JSON, a related row by its code. An empty cell
    leaves the default. ``key``: the columns that tell one row from another.
    """

    model: type[Model]
    rows: Path | Sequence[Mapping[str, Any]]
    create: Callable[..., Any]
    key: tuple[str, ...] = ("code",)

    def load(self, actor: Actor) -> list[Any]:
        """Create the rows that are missing, inside a service; return them.

        What is there already stays as it is, since staff may have changed it, and goes before a new row that
        contradicts it. A row that names one which isn't there is left out.
        """
        columns = [_column(self.model, name) for name in self.key]
        there = set(self.model._default_manager.values_list(*(column.attname for column in columns)))
        related: dict[str, dict[str, Any]] = {}
        created = []
        for row in read(self.rows) if isinstance(self.rows, Path) else self.rows:
            values = self._typed(row, related)
            if not values or tuple(_stored(column, values[column.name]) for column in columns) in there:
                continue
            try:
                with attempt():
                    created.append(self.create(actor=actor, **values))
            except (Conflict, RuleBroken):
                continue
        return [row for row in created if row is not None]

    def _typed(self, row: Mapping[str, Any], related: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Values as the model's columns hold them; none where the row names one which isn't there."""
        values: dict[str, Any] = {}
        for name, value in row.items():
            if value == "":
                continue
            column = _column(self.model, name)
            if not isinstance(value, str) or column is None:
                values[name] = value
            elif column.is_relation:
                if name not in related:
                    related[name] = {row.code: row for row in column.related_model._default_manager.all()}
                values[name] = related[name].get(value)
                if values[name] is None and not column.null:
                    return {}
            elif isinstance(column, ArrayField):
                values[name] = value.split(";")
            elif isinstance(column, models.BooleanField):
                values[name] = value == "yes"
            elif isinstance(column, models.JSONField):
                values[name] = json.loads(value)
            else:
                values[name] = column.to_python(value)
        return values


def _column(model: type[Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _stored(column: Any, value: Any) -> Any:
    return getattr(value, column.target_field.attname) if column.is_relation else value
