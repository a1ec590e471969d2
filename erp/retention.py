"""Retention: what each table holds about people, what becomes of it, and when.

A module's ``retention.py`` declares its tables (``declare``) and the rules by which rows become due (``register``).
``manage.py purge`` and a daily task run every rule. A row is erased by its module's own service, in a transaction of
its own, and the service judges once more whether it is due.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.module_loading import autodiscover_modules

from erp import clock
from erp.access import SYSTEM
from erp.errors import DomainError
from erp.services import Service

log = structlog.get_logger(__name__)

BATCH: Final = 200  # rows that are read together
DELETE: Final[Mapping[str, Any]] = {}  # the whole row goes


@dataclass(frozen=True)
class PersonalData:
    """What a table holds about people: its category, what for, and the value of each column after erasure."""

    category: str
    purpose: str
    erased: Mapping[str, Any]

    @property
    def is_deleted(self) -> bool:
        """Whether erasure deletes the row."""
        return self.erased is DELETE


@dataclass(frozen=True)
class Rule:
    """Rows that are erased a while after they were last needed: which ones, when, on which ground, by which service."""

    name: str
    title: str
    period: timedelta
    basis: str
    due: Callable[[datetime], Any]
    erase: Service


class Outcome(NamedTuple):
    """What became of a rule's rows."""

    rule: Rule
    due: int
    erased: int
    failed: int


data_map: dict[type[models.Model], PersonalData] = {}
rules: dict[str, Rule] = {}


def declare(model: type[models.Model], *, category: str, purpose: str, erased: Mapping[str, Any]) -> None:
    """Put a table into the data map. ``erased``: column → value after erasure, or ``DELETE``.

    Raises ImproperlyConfigured for an unknown column, one of the trail's personal columns that is left out, or a text
    that is erased here and stands in clear in the audit trail, from which nothing is removed.
    """
    personal = set(getattr(model, "trail_personal", ()))
    columns = {field.attname: field for field in model._meta.local_fields}
    wrong = erased.keys() - columns.keys()
    if erased is not DELETE:
        texts = {
            name for name, field in columns.items() if isinstance(field, models.CharField | models.TextField)
        }
        wrong |= (personal - erased.keys()) | ((erased.keys() & texts) - personal)
    if wrong or model in data_map:
        raise ImproperlyConfigured(
            f"the data map of {model._meta.label}: {', '.join(sorted(wrong)) or 'twice'}"
        )
    data_map[model] = PersonalData(category, purpose, erased)


def register(rule: Rule) -> None:
    """Add a rule; raises ImproperlyConfigured for a second one of the same name."""
    if rule.name in rules:
        raise ImproperlyConfigured(f"the rule {rule.name} is registered twice")
    rules[rule.name] = rule


def erase(row: Any, *, keep: Collection[str] = ()) -> None:
    """Erase a row as the data map says, but for some columns. Only inside a service of the row's module."""
    entry = data_map[type(row)]
    if entry.is_deleted:
        row.delete()
        return
    for column, value in entry.erased.items():
        if column not in keep:
            setattr(row, column, value)
    row.save()


def run(*, dry_run: bool = False) -> Iterator[Outcome]:
    """Run every rule; a row that can't be erased is logged, left, and tried again the next day."""
    autodiscover_modules("retention")
    for _, rule in sorted(rules.items()):
        keys = list(rule.due(clock.now()).order_by("pk").values_list("pk", flat=True))
        yield Outcome(rule, len(keys), *((0, 0) if dry_run else _erase_all(rule, keys)))


def _erase_all(rule: Rule, keys: list[Any]) -> tuple[int, int]:
    erased = failed = 0
    model = rule.erase.target_model
    assert model is not None
    for start in range(0, len(keys), BATCH):
        for row in model._default_manager.filter(pk__in=keys[start : start + BATCH]).order_by("pk"):
            try:
                rule.erase(row, actor=SYSTEM)
                erased += 1
            except DomainError as error:
                log.error("row_not_erased", rule=rule.name, row=str(row.pk), code=error.code)
                failed += 1
    return erased, failed
