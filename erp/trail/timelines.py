"""The timeline of a row: what was done to it and its parts, one line per call of a service, from the audit trail."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db.models import CharField, Func, JSONField, Min, Model, Q, TextField, Value
from django.db.models.functions import Cast

from erp.access import Actor
from erp.errors import snake
from erp.trail.models import Entry

_OPERATIONS: Final = {"INSERT": "added", "UPDATE": "changed", "DELETE": "removed"}
_UNSHOWN: Final = frozenset({"id", "version", "created_at", "updated_at"})
_OF_CALL: Final = ("txid", "service", "record_id")  # the same in every entry of one call


class _Without(Func):
    """A JSON object without the members of an array."""

    template, arg_joiner = "(%(expressions)s)", " - "
    output_field = JSONField()


@dataclass(frozen=True)
class Change:
    """A row that a call changed: its kind, its id, how, and the names of its columns; never values."""

    type: str
    id: str
    operation: str
    changed: list[str]


@dataclass(frozen=True)
class Timeline:
    """What belongs to the timeline of a whole: models of its parts → their relation to it.

    ``internal`` are names of columns that only staff learn of: a change of nothing else is left out for others.
    """

    whole: type[Model]
    parts: Mapping[type[Model], str]
    internal: Collection[str] = ()

    def calls(self, visible: Any, key: Any, *, reader: Actor) -> Any:
        """The first entry of each call about the whole with that key, among visible ones: a list's rows."""
        entries = self._entries(key, reader=reader)
        first = entries.order_by().values(*_OF_CALL).annotate(first=Min("position")).values("first")
        return visible.filter(position__in=first)

    def changes(
        self, key: Any, calls: Iterable[Entry], *, reader: Actor
    ) -> dict[tuple[Any, ...], list[Change]]:
        """What each of the calls changed, by transaction, service and cause."""
        hidden = self._hidden(reader)
        names = {model._meta.db_table: snake(model.__name__) for model in (self.whole, *self.parts)}
        found = defaultdict(list)
        entries = self._entries(key, reader=reader)
        for entry in entries.filter(txid__in={call.txid for call in calls}).order_by("position"):
            columns = {**(entry.before or {}), **(entry.after or {})}.keys() - hidden
            fields = sorted({name.removesuffix("_encrypted").removesuffix("_hash") for name in columns})
            change = Change(names[entry.table], entry.row, _OPERATIONS[entry.operation], fields)
            found[self.call_of(entry)].append(change)
        return dict(found)

    @staticmethod
    def call_of(entry: Entry) -> tuple[Any, ...]:
        """The key of an entry's call in ``changes``."""
        return tuple(getattr(entry, each) for each in _OF_CALL)

    def _hidden(self, reader: Actor) -> frozenset[str]:
        return _UNSHOWN if reader.is_staff else _UNSHOWN.union(self.internal)

    def _entries(self, key: Any, *, reader: Actor) -> Any:
        keys = defaultdict(list, {self.whole._meta.db_table: [str(key)]})
        rows = [
            model.objects.visible_to(reader)  # type: ignore[attr-defined]
            .filter(**{relation: key})
            .order_by()
            .values_list(Value(model._meta.db_table), Cast("pk", CharField()))
            for model, relation in self.parts.items()
        ]
        removed = [
            Entry.objects.filter(
                operation="DELETE",
                table=model._meta.db_table,
                **{f"before__{model._meta.get_field(relation).column}": str(key)},  # type: ignore[union-attr]
            ).values_list("table", "row")
            for model, relation in self.parts.items()
        ]
        for table, part in rows[0].union(*rows[1:], *removed, all=True):
            keys[table].append(part)
        belongs = Q(pk__in=())
        for table, of_table in keys.items():
            belongs |= Q(table=table, row__in=of_table)
        names = Value(sorted(self._hidden(reader)), output_field=ArrayField(TextField()))
        entries = Entry.objects.filter(belongs).alias(shown=_Without("after", names))
        return entries.exclude(operation="UPDATE", shown={})
