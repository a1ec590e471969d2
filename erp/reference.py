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
from erp.events import Change, Event
from erp.models import Model
from erp.services import Service, emit, service

_Function = TypeVar("_Function", bound=Callable[..., Any])
EQUAL: Final = ("exact", "in")  # lookups of a column whose values are compared as a whole


@dataclass(kw_only=True, eq=False)
class ReferenceList:
    """Declaration of a list: services, inputs, answer, routes, admin page and examples follow from it and the model.

    ``views`` is the capability of reads, ``requires`` that of both services, or of ``create`` where
    ``update_requires`` names another. Both raise ``raises``; ``create_raises`` and ``update_raises`` are one's own.
    ``fields`` default to every column that callers may write. ``path`` is the last part of the address. The other
    arguments are those of ``reference``. How the list is presented:

    ``basename`` begins the operation ids of the API's document, ``schema_name`` names its components there, ``title``
    says what the list is; they default to the noun, the module's name with the noun, and the words of the model.
    ``part_of``: the relation to the row that a row is part of, and the path of such rows, below which their parts
    are listed too. ``extra_output``: properties that answers hold beside the fields. ``filters`` (column → lookups,
    beside those of status and the whole), ``search`` and ``sortable``: what the API's list offers. ``columns`` and
    ``ordering``: those of the admin's list, which is filtered by the columns that have choices.
    """

    model: type[Model] = field(kw_only=False)
    noun: str
    path: str
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
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    check: Callable[[Any], None] | None = None
    after_save: Callable[[Any], None] | None = None
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
        self.create, self.update = reference(
            self.model,
            noun=self.noun,
            creates=self.requires,
            updates=self.update_requires or self.requires,
            created=self.created,
            updated=self.updated,
            fields=self.fields,
            fixed=self.fixed,
            create_raises=(*self.raises, *self.create_raises),
            update_raises=(*self.raises, *self.update_raises),
            unreported_fields=self.unreported_fields,
            optional=self.optional,
            prepare=self.prepare,
            check=self.check,
            after_save=self.after_save,
        )
        _lists.append(self)


_lists: list[ReferenceList] = []


def lists_of(label: str) -> list[ReferenceList]:
    """The lists that an app declares in its services."""
    services = import_module(f"{apps.get_app_config(label).name}.services")
    for topic in iter_modules(getattr(services, "__path__", ())):
        import_module(f"{services.__name__}.{topic.name}")
    return [declared for declared in _lists if declared.model._meta.app_label == label]


def forget(declared: ReferenceList) -> None:
    """Undeclare a list, for tests that declare one of their own."""
    _lists.remove(declared)


def writable_fields(model: type[models.Model]) -> tuple[str, ...]:
    """Columns that callers write, in the model's order: all that are editable, but for ``status``."""
    columns = model._meta.concrete_fields
    return tuple(column.name for column in columns if column.editable and column.name != "status")


def reference(
    model: type[Model],
    *,
    noun: str,
    creates: Capability,
    updates: Capability,
    created: type[Event],
    updated: type[Event],
    fields: Sequence[str],
    fixed: Sequence[str] = ("code",),
    create_raises: Collection[type[DomainError]] = (),
    update_raises: Collection[type[DomainError]] = (),
    unreported_fields: Sequence[str] = (),
    optional: Sequence[str] = (),
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    check: Callable[[Any], None] | None = None,
    after_save: Callable[[Any], None] | None = None,
) -> tuple[Service, Service]:
    """The services ``create_<noun>`` and ``update_<noun>`` of a model; bare verbs for a module's main noun.

    ``creates`` and ``updates`` are the capabilities that they ask for, ``create_raises`` and ``update_raises`` what
    they declare to raise.

    ``fields`` name what a caller says of a row, ``fixed`` those of them that an update doesn't take; an update
    takes ``status`` as well where the model has one, and replaces: what is left out falls back to the model's
    default. ``prepare`` adds to what is said of a new row what it takes over from another; ``optional`` names the
    fields that may be left out though the model needs them (a ``status`` then stays as it is). ``check`` sees the row
    before it is saved: it raises what speaks against it, and fills in what follows from other fields; ``after_save``
    runs once it is saved. ``unreported_fields`` are columns that ``changes`` leaves out.

    Both events are filled from the row (``event_of``); ``updated`` may have ``changes`` beside. Equal values change
    nothing and tell nothing.
    """
    later = [name for name in fields if name not in fixed]
    tells = "changes" in updated.model_fields
    status: Any = next((column for column in model._meta.fields if column.name == "status"), None)

    def create(*, actor: Actor, **given: Any) -> Any:
        row = model(**(given if prepare is None else prepare(given)))
        if check is not None:
            check(row)
        row.save()
        if after_save is not None:
            after_save(row)
        emit(event_of(created, row, noun))
        return row

    def update(row: Any, *, actor: Actor, **given: Any) -> Any:
        replace_columns(row, later, given)
        if status is not None:
            row.status = given.get("status") or row.status
        if check is not None:
            check(row)
        changes = changes_of(row, unreported_fields=unreported_fields)
        row.save()
        if after_save is not None:
            after_save(row)
        if changes:
            emit(event_of(updated, row, noun, **({"changes": changes} if tells else {})))
        return row

    whole = next((path for path in model.granted_through if path in fields), "")
    title = str(model._meta.verbose_name)
    title = title if title.endswith("s") else f"a {title}"
    statuses = [value for value, _ in status.choices] if status is not None else []
    draft = " as a draft" if "DRAFT" in statuses else ""
    words = f"Update {title}."
    if statuses == ["ACTIVE", "ARCHIVED"]:
        words += " Its status archives it or takes it back into use."
    elif fixed:
        words += f" The {' and '.join(fixed)} can't change."
    columns = {name: model._meta.get_field(name) for name in fields}
    replaced = {name: columns[name] for name in later}
    of_noun = "" if noun == model._meta.app_label else f"_{noun}"
    also = {"status": str} if status is not None else None
    introduce(create, f"create{of_noun}", model, f"Add {title}{draft}.", columns, None, optional=optional)
    introduce(update, f"update{of_noun}", model, words, replaced, noun, also, optional)
    return (
        service(requires=creates, emits=[created], raises=create_raises, within=whole)(create),
        service(requires=updates, emits=[updated], raises=update_raises)(update),
    )


def changes_of(row: Model, *, unreported_fields: Sequence[str] = ()) -> dict[str, Change]:
    """What differs from the row as it was read, as its ``….updated`` event tells it."""
    return {
        name: Change(old=_plain(old), new=_plain(new))
        for name, (old, new) in row.changed_fields().items()
        if name not in unreported_fields
    }


def event_of(event: type[Event], row: Model, noun: str, **given: Any) -> Event:
    """An event filled from the row: ``<noun>_id`` is its id, every other member that isn't given its attribute."""
    members = event.model_fields.keys() - given.keys()
    told = {name: row.pk if name == f"{noun}_id" else row.serializable_value(name) for name in members}
    return event(**told, **given)


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
