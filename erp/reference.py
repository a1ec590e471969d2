"""Reference data: rows whose only rule is validity. One declaration makes services, API, admin pages and examples."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final, TypeVar
from uuid import UUID

from django.apps import apps
from django.db import models

from erp.access import Actor, Capability
from erp.errors import DomainError
from erp.events import Event, FieldChange
from erp.labels import with_article
from erp.models import Model
from erp.services import Service, emit, service

_Function = TypeVar("_Function", bound=Callable[..., Any])
EQUAL: Final = ("exact", "in")  # lookups of a column whose values are compared as a whole


@dataclass(kw_only=True, eq=False)
class ReferenceList:
    """Declaration of a list: services, inputs, answer, routes, admin page and examples follow from it and the model.

    The services ``create`` and ``update`` bear the noun in their names, unless it is the module's main one.
    ``requires`` is the capability of both, or of ``create`` where ``update_requires`` names another. Both raise
    ``raises``; ``create_raises`` and ``update_raises`` are one's own. ``fields`` are what a caller gives of a row, by
    default every column that is editable; ``fixed`` those of them that an update doesn't take. An update takes
    ``status`` as well where the model has one, and replaces: what is left out falls back to the model's default.
    ``optional`` names fields that may be left out though the model needs them (a ``status`` then stays as it is).
    ``prepare`` adds to the values of a new row those that it takes over from another. ``check`` sees the row before
    it is saved: it raises what speaks against it, and fills in what follows from other fields; ``after_save`` runs
    once it is saved.

    Both events are filled from the row (``event_of``); ``updated`` may have ``changes`` beside, without
    ``unreported_fields``. Equal values change nothing and emit nothing.

    How the list is presented: ``views`` is the capability of reads. ``path`` is the last part of the address; without
    one the module has routes and pages of its own. ``basename`` begins the operation ids of the API's document,
    ``schema_name`` names its components there, ``title`` says what the list is; they default to the noun, the
    module's name with the noun, and the words of the model. ``part_of``: the relation to the row that a row is part
    of, and the path of such rows, below which their parts are listed too. ``extra_output``: properties that answers
    hold beside the fields. ``filters`` (column → lookups, beside those of status and the whole), ``search`` and
    ``sortable``: what the API's list offers. ``columns`` and ``ordering``: those of the admin's list, which is
    filtered by the columns that have choices.
    """

    model: type[Model] = field(kw_only=False)
    noun: str
    views: Capability
    requires: Capability
    created: type[Event]
    updated: type[Event]
    update_requires: Capability | None = None
    fields: Sequence[str] = ()
    fixed: Sequence[str] = ("code",)
    raises: Collection[type[DomainError]] = ()
    create_raises: Collection[type[DomainError]] = ()
    update_raises: Collection[type[DomainError]] = ()
    unreported_fields: Sequence[str] = ()
    optional: Sequence[str] = ()
    prepare: Callable[[dict[str, Any]], dict[str, Any]] = dict
    check: Callable[[Any], None] = lambda row: None
    after_save: Callable[[Any], None] = lambda row: None
    path: str = ""
    basename: str = ""
    schema_name: str = ""
    title: str = ""
    part_of: tuple[str, str] | None = None
    extra_output: Sequence[str] = ()
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    search: Sequence[str] = ("code", "name")
    sortable: Sequence[str] = ("code", "name")
    columns: Sequence[str] = ("code", "name")
    ordering: Sequence[str] = ("code",)
    create: Service = field(init=False)
    update: Service = field(init=False)

    def __post_init__(self) -> None:
        self.fields = tuple(self.fields) or writable_fields(self.model)
        self.basename = self.basename or self.noun.replace("_", "-")
        self.create, self.update = self._create(), self._update()
        _lists.append(self)

    @property
    def status(self) -> Any:
        """The model's column of that name, or None."""
        return next((column for column in self.model._meta.fields if column.name == "status"), None)

    def _create(self) -> Service:
        def create(*, actor: Actor, **values: Any) -> Any:
            row = self.model(**self.prepare(values))
            self._save(row)
            emit(event_of(self.created, row, self.noun))
            return row

        draft = " as a draft" if "DRAFT" in self._statuses else ""
        doc, columns = f"Add {self._title}{draft}.", self._columns(self.fields)
        introduce(create, self._name("create"), self.model, doc, columns, None, optional=self.optional)
        whole = next((path for path in self.model.granted_through if path in self.fields), "")
        raises = (*self.raises, *self.create_raises)
        return service(requires=self.requires, emits=[self.created], raises=raises, within=whole)(create)

    def _update(self) -> Service:
        replaced = [name for name in self.fields if name not in self.fixed]
        has_changes = "changes" in self.updated.model_fields

        def update(row: Any, *, actor: Actor, **values: Any) -> Any:
            replace_columns(row, replaced, values)
            if self.status is not None:
                row.status = values.get("status") or row.status
            changes = self._save(row)
            if row.saved_fields:
                emit(event_of(self.updated, row, self.noun, **({"changes": changes} if has_changes else {})))
            return row

        doc = f"Update {self._title}."
        if self._statuses == ["ACTIVE", "ARCHIVED"]:
            doc += " Its status archives or reactivates it."
        elif self.fixed:
            doc += f" The {' and '.join(self.fixed)} can't change."
        also = {"status": str} if self.status is not None else None
        name, columns = self._name("update"), self._columns(replaced)
        introduce(update, name, self.model, doc, columns, self.noun, also, self.optional)
        requires, raises = self.update_requires or self.requires, (*self.raises, *self.update_raises)
        return service(requires=requires, emits=[self.updated], raises=raises)(update)

    def _save(self, row: Any) -> dict[str, FieldChange]:
        self.check(row)
        changes = changes_of(row, unreported_fields=self.unreported_fields)
        row.save()
        self.after_save(row)
        return changes

    def _name(self, verb: str) -> str:
        return verb if self.noun == self.model._meta.app_label else f"{verb}_{self.noun}"

    def _columns(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self.model._meta.get_field(name) for name in names}

    @property
    def _title(self) -> str:
        title = str(self.model._meta.verbose_name)
        return title if title.endswith("s") else with_article(title)

    @property
    def _statuses(self) -> list[str]:
        return [value for value, _ in self.status.choices] if self.status is not None else []


_lists: list[ReferenceList] = []


def lists_of(label: str) -> list[ReferenceList]:
    """The lists with a path that an app declares in its services."""
    services = import_module(f"{apps.get_app_config(label).name}.services")
    for topic in iter_modules(getattr(services, "__path__", ())):
        import_module(f"{services.__name__}.{topic.name}")
    return [declared for declared in _lists if declared.path and declared.model._meta.app_label == label]


def forget(declared: ReferenceList) -> None:
    """Undeclare a list, for tests that declare one of their own."""
    _lists.remove(declared)


def writable_fields(model: type[models.Model]) -> tuple[str, ...]:
    """Columns that callers write, in the model's order: all that are editable, but for ``status``."""
    columns = model._meta.concrete_fields
    return tuple(column.name for column in columns if column.editable and column.name != "status")


def changes_of(row: Model, *, unreported_fields: Sequence[str] = ()) -> dict[str, FieldChange]:
    """What differs from the row as it was read, as its ``….updated`` event tells it."""
    return {
        name: FieldChange(old=_plain(old), new=_plain(new))
        for name, (old, new) in row.changed_fields().items()
        if name not in unreported_fields
    }


def event_of(event: type[Event], row: Model, noun: str, **given: Any) -> Event:
    """An event filled from the row: ``<noun>_id`` is its id, every other member that isn't given its attribute."""
    members = event.model_fields.keys() - given.keys()
    payload = {name: row.pk if name == f"{noun}_id" else row.serializable_value(name) for name in members}
    return event(**payload, **given)


def _plain(value: Any) -> Any:
    """A value in plain text, as the API shows it."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID | date | datetime):
        return str(value)
    return value


def default_of(column: Any) -> Any:
    """What a column holds where nothing is said of it."""
    if column.has_default():
        return column.get_default()
    return None if column.null else ""


def replace_columns(row: models.Model, fields: Iterable[str], values: Mapping[str, Any]) -> None:
    """Set the fields of a row: what ``values`` leave out falls back to the column's default."""
    for name in fields:
        setattr(row, name, values[name] if name in values else default_of(row._meta.get_field(name)))


def takes_columns(model: type[models.Model], fields: Iterable[str]) -> Callable[[_Function], _Function]:
    """Give a function with ``**values`` the keywords that services are known by: the columns that ``fields`` name."""

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        columns = {name: model._meta.get_field(name) for name in fields}
        function.__signature__ = inspect.Signature([*own, *_keywords(columns)])  # type: ignore[attr-defined]
        return function

    return decorate


def introduce(
    function: Any,
    name: str,
    model: type[models.Model],
    doc: str,
    columns: Mapping[str, Any],
    target: str | None,
    also: Mapping[str, Any] | None = None,
    optional: Collection[str] = (),
) -> None:
    """Give a generated function the name, docstring and signature of a service of the model's module.

    It takes ``target`` (None: no row), ``columns``, which may be left out where the model has a default, and
    ``also``, by type; those that ``optional`` names may be left out in any case.
    """
    function.__name__ = function.__qualname__ = name
    function.__module__, function.__doc__ = model.__module__, doc
    parameters = [inspect.Parameter("actor", inspect.Parameter.KEYWORD_ONLY), *_keywords(columns, optional)]
    function.__annotations__ = dict(also or {})
    parameters += [_keyword(key, None, key in optional) for key in also or ()]
    if target is not None:
        parameters.insert(0, inspect.Parameter(target, inspect.Parameter.POSITIONAL_OR_KEYWORD))
        function.__annotations__[target] = model
    function.__signature__ = inspect.Signature(parameters)


def _keywords(columns: Mapping[str, Any], optional: Collection[str] = ()) -> list[inspect.Parameter]:
    """A keyword for every column, with its default where it may be left out."""
    return [
        _keyword(
            name,
            default_of(column),
            name in optional or bool(column.has_default() or column.null or column.blank),
        )
        for name, column in columns.items()
    ]


def _keyword(name: str, default: Any, may_be_left_out: bool) -> inspect.Parameter:
    shown = default if may_be_left_out else inspect.Parameter.empty
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=shown)
