"""The triggers that write the trail, attached to every table that belongs into it."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.contrib.auth.models import Group
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models

from erp.trail.migrations._database import FUNCTIONS
from erp.trail.models import Anchor, ClearRead, Entry, Export, Seal

APPEND_ONLY: Final[tuple[type[models.Model], ...]] = (Entry, Seal, Anchor, ClearRead, Export)
NOISE: Final = ("updated_at",)  # moves with every change; the entry has its own time


class Trigger(NamedTuple):
    """A trigger that a table has: its name, when it fires, and what it runs with which arguments."""

    table: str
    name: str
    timing: str
    function: str
    arguments: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The SQL that creates or replaces it, and switches it on."""
        row = "STATEMENT" if "TRUNCATE" in self.timing else "ROW"
        arguments = ", ".join(f"'{argument}'" for argument in self.arguments)
        return (
            f'CREATE OR REPLACE TRIGGER {self.name} {self.timing} ON "{self.table}" FOR EACH {row}'
            f" EXECUTE FUNCTION {self.function}({arguments});"
            f' ALTER TABLE "{self.table}" ENABLE TRIGGER {self.name};'
        )


def recorded_models() -> list[type[models.Model]]:
    """Models whose rows belong into the trail: those of every module, groups, their rights, and single grants."""
    return [model for model in apps.get_models(include_auto_created=True) if _is_recorded(model)]


def _is_recorded(model: type[models.Model]) -> bool:
    if getattr(model, "trail_exempt", "") or not model._meta.managed or model._meta.proxy:
        return False
    package, _, _ = model.__module__.partition(".")
    return (
        package == "apps"
        or model in (Group, Group.permissions.through, ClearRead, Export, Anchor)
        or package == "guardian"
    )


def triggers() -> Iterator[Trigger]:
    """Every trigger of the trail."""
    for model in recorded_models():
        table = model._meta.db_table
        key = str(model._meta.pk.column)
        personal, ignored = getattr(model, "trail_personal", ()), getattr(model, "trail_ignored", ())
        if unknown := {*personal, *ignored} - {field.column for field in model._meta.local_fields}:
            raise ImproperlyConfigured(f"{model._meta.label} names columns that it lacks: {sorted(unknown)}")
        timing = "AFTER INSERT OR UPDATE OR DELETE"
        yield Trigger(
            table,
            "trail_record",
            timing,
            "trail_record",
            (key, ",".join(personal), ",".join((*NOISE, *ignored))),
        )
        yield Trigger(table, "trail_no_truncate", "BEFORE TRUNCATE", "trail_stays")
    for model in APPEND_ONLY:
        table = model._meta.db_table
        yield Trigger(table, "trail_stays", "BEFORE UPDATE OR DELETE", "trail_stays")
        yield Trigger(table, "trail_no_truncate", "BEFORE TRUNCATE", "trail_stays")
    yield Trigger(
        Entry._meta.db_table, "trail_written_by_triggers", "BEFORE INSERT", "trail_written_by_triggers"
    )


_PRESENT: Final = """
    SELECT t.tgrelid::regclass::text, t.tgname, t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL, t.tgtype::int,
        p.proname, p.prosrc, encode(t.tgargs, 'escape')
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgname LIKE 'trail\\_%'
"""
_BEFORE: Final = 2  # of pg_trigger.tgtype, as the events
_EVENTS: Final = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}


def _present(using: str) -> set[Trigger]:
    """The triggers of the trail that fire in the database, with the functions that the migration made."""
    with connections[using].cursor() as cursor:
        cursor.execute(_PRESENT)
        return {
            Trigger(table.strip('"'), name, _timing(kind), function, tuple(arguments.split("\\000")[:-1]))
            for table, name, fires, kind, function, source, arguments in cursor.fetchall()
            if fires and source in FUNCTIONS
        }


def _timing(kind: int) -> str:
    events = " OR ".join(
        event for event in ("INSERT", "UPDATE", "DELETE", "TRUNCATE") if kind & _EVENTS[event]
    )
    return f"{'BEFORE' if kind & _BEFORE else 'AFTER'} {events}"


def attach(using: str) -> None:
    """Create what the database lacks of functions and triggers. A second run changes nothing."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if Entry._meta.db_table not in tables:
        return
    present = _present(using)
    with connection.cursor() as cursor:
        for trigger in dict.fromkeys(triggers()):
            if trigger.table in tables and trigger not in present:
                cursor.execute(trigger.statement)


def check_triggers(databases: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """The database's check: every table that belongs into the trail has its triggers, and they fire."""
    return [
        checks.Error(
            f"{trigger.table} lacks the trigger {trigger.name}, or it is switched off",
            hint="Run `manage.py migrate`: it attaches the triggers of the audit trail.",
            id="trail.E001",
        )
        for using in databases or ()
        for trigger in _missing(using)
    ]


def _missing(using: str) -> list[Trigger]:
    tables = set(connections[using].introspection.table_names())
    if Entry._meta.db_table not in tables:
        return []
    present = _present(using)
    wanted = [trigger for trigger in dict.fromkeys(triggers()) if trigger.table in tables]
    return [t for t in wanted if t not in present]
