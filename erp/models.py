"""The base of every business row: guarded, versioned, and tracking its changes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models.signals import class_prepared
from django.dispatch import receiver

from erp import access, clock
from erp.errors import snake
from erp.ids import uuid7
from erp.labels import plural_of, words_of

if TYPE_CHECKING:
    from erp.access import Actor, Capability
    from erp.errors import Gone


class UnguardedWrite(RuntimeError):
    """A row was about to change outside a service of its own app."""


class Writer:
    """The current writer: the innermost running service, if any."""

    def __init__(self, label: str | None, changed: Callable[[type[models.Model], int], None]) -> None:
        """``label`` is the app whose rows may change (None: any); ``changed`` counts rows."""
        self.label, self.changed = label, changed


@receiver(class_prepared)
def _label(sender: type[models.Model], **kwargs: Any) -> None:
    """Set the verbose names of a model and its fields that have none."""
    if sender.__module__.partition(".")[0] not in ("erp", "apps"):
        return
    options = sender._meta
    if "verbose_name" not in options.original_attrs:
        options.verbose_name = words_of(snake(sender.__name__))
    if "verbose_name_plural" not in options.original_attrs:
        options.verbose_name_plural = plural_of(str(options.verbose_name))
    for field in options.local_fields:
        if getattr(field, "_verbose_name", None) is None:  # what the declaration says
            field.verbose_name = words_of(field.name)


_writer: ContextVar[Writer | None] = ContextVar("erp_writer", default=None)


@contextmanager
def writing(writer: Writer) -> Iterator[None]:
    """Allow ``writer`` to change rows inside the block. Only for ``erp.services``."""
    token = _writer.set(writer)
    try:
        yield
    finally:
        _writer.reset(token)


@contextmanager
def unguarded_writes() -> Iterator[None]:
    """Disable the guard: for migrations, fixtures and test factories. The compliance audit reports other uses."""
    with writing(Writer(None, lambda model, rows: None)):
        yield


def _guard(model: type[models.Model]) -> Writer:
    writer = _writer.get()
    if writer is None or writer.label not in (None, model._meta.app_label):
        raise UnguardedWrite(f"{model._meta.label} changes only inside a service of {model._meta.app_label}")
    return writer


class QuerySet(models.QuerySet[Any]):
    """Reads as usual; writes only inside a service of the model's own app."""

    def visible_to(self, user: "Actor") -> Self:
        """Rows that ``user`` may see. Every model behind a viewset defines its own."""
        raise NotImplementedError(f"{self.model.__name__} does not declare who may see its rows")

    def of_partner(self, actor: "Actor", partner: str) -> Self:
        """Rows whose relation ``partner`` leads to the actor's own partner; none for users without a partner."""
        own = actor.partner_id
        return self.none() if own is None else self.filter(**{f"{partner}_id": own})

    def granted(self, actor: "Actor", capability: "Capability | str") -> Self:
        """Rows on which ``actor`` holds a single grant of the capability."""
        held = models.Q(pk__in=access.granted_keys(actor, capability, self.model))
        for path in self.model.granted_through:
            keys = access.granted_keys(actor, capability, _related_model(self.model, path))
            held |= models.Q(**{f"{path}__in": keys})
        return self.filter(held)

    def permitted(self, actor: "Actor", capability: "Capability | str") -> Self:
        """Rows on which ``actor`` holds the capability: every row, those of its own, and those granted to it."""
        if access.holds_everywhere(actor, capability):
            return self
        own = self.model.owned_by(actor) if access.holds_own(actor, capability) else models.Q(pk__in=())
        return self.filter(own) | self.granted(actor, capability)

    def locked(self) -> Self:
        """Rows locked ``FOR NO KEY UPDATE`` until the transaction ends."""
        return self.select_for_update(no_key=True, of=("self",))

    def update(self, **kwargs: Any) -> int:
        writer = _guard(self.model)
        rows = super().update(**kwargs)
        writer.changed(self.model, rows)
        return rows

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        writer = _guard(self.model)
        made = super().bulk_create(objs, *args, **kwargs)
        writer.changed(self.model, len(made))
        return made

    def bulk_update(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> int:
        _guard(self.model)
        return super().bulk_update(objs, *args, **kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        writer = _guard(self.model)
        rows, per_model = super().delete()
        writer.changed(self.model, rows)
        return rows, per_model

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def _related_model(model: type[models.Model], path: str) -> Any:
    for name in path.split("__"):
        model = model._meta.get_field(name).related_model  # type: ignore[assignment]
    return model


def _follow(row: Any, path: str, *, key: bool = False) -> Any:
    """The value at the end of a path of forward relations; with ``key`` the primary key of its last row."""
    *relations, last = path.split("__")
    for name in relations:
        row = row and getattr(row, name)
    return row and getattr(row, row._meta.get_field(last).attname if key else last)


class Guarded(models.Model):
    """A row that only services of its own app change. Unchanged rows are not written.

    ``owner_partner`` and ``owner_user`` name the column with the id of the partner or user that owns the row;
    ``granted_through`` the relations to rows whose single grants cover this one too (paths joined by ``__``).
    ``saved_fields`` are the columns that the last save wrote; all of them where it added the row.
    """

    # Of the audit trail: why the table isn't in it; columns stored as mask and digest; columns whose changes alone
    # write no entry.
    trail_exempt: ClassVar[str] = ""
    trail_personal: ClassVar[tuple[str, ...]] = ()
    # Relations that services read with the row they lock: to rows that nobody changes at the same time.
    locked_with: ClassVar[tuple[str, ...]] = ()
    trail_ignored: ClassVar[tuple[str, ...]] = ()
    machinery: ClassVar[bool] = False  # True: its changes need no event (last use, cursors, jobs)
    owner_partner: ClassVar[str] = ""
    owner_user: ClassVar[str] = ""
    granted_through: ClassVar[tuple[str, ...]] = ()
    saved_fields: frozenset[str] = frozenset()

    objects: ClassVar[Any] = QuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ()

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **kwargs: Any) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        row._remember()
        return row

    _version_rises = False

    @property
    def is_new(self) -> bool:
        """Whether the row is not stored yet."""
        return self._state.adding

    def _remember(self) -> None:
        state = self.__dict__
        self._loaded = {
            f.attname: deepcopy(state[f.attname])
            if isinstance(state[f.attname], dict | list)
            else state[f.attname]
            for f in self._meta.concrete_fields
            if f.attname in state
        }

    def changed_fields(self) -> dict[str, tuple[Any, Any]]:
        """Fields that differ from the row as it was read: name → (old, new)."""
        loaded = getattr(self, "_loaded", {})
        return {
            f.attname: (loaded[f.attname], value)
            for f in self._meta.concrete_fields
            if f.attname in loaded
            and (value := self.__dict__.get(f.attname, loaded[f.attname])) is not loaded[f.attname]
            and f.to_python(value) != loaded[f.attname]
        }

    def _stamp(self) -> list[str]:
        """Move version and times along with a change; returns the fields touched."""
        return []

    def save(self, *args: Any, **kwargs: Any) -> None:
        writer = _guard(type(self))
        if self.is_new:
            self.saved_fields = frozenset(field.attname for field in self._meta.concrete_fields)
            super().save(*args, **{**kwargs, "force_insert": True})
        else:
            changed = self.changed_fields()
            self.saved_fields = frozenset(changed)
            if not (changed or self._version_rises):
                return
            kwargs["update_fields"] = [*changed, *self._stamp()]
            super().save(*args, **kwargs)
        self._version_rises = False
        self._remember()
        writer.changed(type(self), 1)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        writer = _guard(type(self))
        rows, per_model = super().delete(*args, **kwargs)
        writer.changed(type(self), rows)
        return rows, per_model

    @classmethod
    def owned_by(cls, actor: "Actor") -> models.Q:
        """The condition for rows that are the actor's own: its partner's, or the user's itself."""
        owned = models.Q(pk__in=())
        for path, key in cls._owners(actor):
            owned |= models.Q(**{path: key})
        return owned

    @classmethod
    def _owners(cls, actor: "Actor") -> list[tuple[str, Any]]:
        owners = ((cls.owner_partner, actor.partner_id), (cls.owner_user, actor.pk))
        return [(path, key) for path, key in owners if path and key is not None]

    def belongs_to(self, user: "Actor") -> bool:
        """Whether the row is the user's own (its partner's, or the user's itself)."""
        return any(_follow(self, path) == key for path, key in self._owners(user))

    def scopes(self) -> "tuple[models.Model, ...]":
        """Rows on which a single grant covers this one: itself, and those that scope it."""
        scoping = ((path, _follow(self, path, key=True)) for path in self.granted_through)
        return (self, *(_related_model(type(self), path)(pk=key) for path, key in scoping if key is not None))

    @classmethod
    def scope_models(cls) -> "tuple[type[models.Model], ...]":
        """Models of the rows that scope this one's."""
        return tuple(_related_model(cls, path) for path in cls.granted_through)

    def gone(self) -> "Gone | None":
        """Return the problem for requests to a row that has a successor, regardless of the version sent."""
        return None

    def open_verbs(self) -> frozenset[str]:
        """Return the verbs that the row's status allows; the capability is checked separately."""
        return frozenset()


class Model(Guarded):
    """A business row: UUIDv7, and a version that rises with every real change (its ETag)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta(Guarded.Meta):
        abstract = True

    def raise_version(self) -> None:
        """Let the version rise with the next save, also where no field differs: a part of the row has changed."""
        self._version_rises = True

    def _stamp(self) -> list[str]:
        self.version += 1
        self.updated_at = clock.now()
        return ["version", "updated_at"]
