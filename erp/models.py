"""The base of every business row: guarded, versioned, and aware of what really changed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.utils import timezone

from erp import access
from erp.ids import uuid7

if TYPE_CHECKING:
    from erp.access import Actor, Capability
    from erp.errors import Gone


class UnguardedWrite(RuntimeError):
    """A row was about to change outside a service of its own app."""


class Writer:
    """Who may write just now: the innermost running service, or nobody."""

    def __init__(self, label: str | None, changed: Callable[[type[models.Model], int], None]) -> None:
        """``label`` is the app whose rows may change (None: any); ``changed`` counts rows."""
        self.label, self.changed = label, changed


_writer: ContextVar[Writer | None] = ContextVar("erp_writer", default=None)


@contextmanager
def writing(writer: Writer) -> Iterator[None]:
    """Let ``writer`` change rows while the block runs. For ``erp.services`` alone."""
    token = _writer.set(writer)
    try:
        yield
    finally:
        _writer.reset(token)


@contextmanager
def unguarded_writes() -> Iterator[None]:
    """Lift the guard: for migrations, fixtures and test factories. The compliance audit finds other uses."""
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
        """Rows that ``user`` may see. Every model behind a viewset says its own."""
        raise NotImplementedError(f"{self.model.__name__} doesn't say who may see its rows")

    def of_partner(self, actor: "Actor", partner: str) -> Self:
        """Rows whose relation ``partner`` leads to the actor's own partner; none for people of no partner."""
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
    """A row that only services of its own app change. Unchanged rows aren't written at all.

    ``owner_partner`` and ``owner_user`` name the column with the id of the partner or user whose own the row is;
    ``granted_through`` the relations to rows whose single grants cover this one too (paths joined by ``__``).
    ``saved_fields`` are the columns that the last save wrote; all of them where it added the row.
    """

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

    @property
    def is_new(self) -> bool:
        """Whether the row isn't in the database yet."""
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
            if not changed:
                return
            kwargs["update_fields"] = [*changed, *self._stamp()]
            super().save(*args, **kwargs)
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
        """The problem that whoever asks for the row meets, whatever version they read: it has a successor."""
        return None

    def open_verbs(self) -> frozenset[str]:
        """Verbs that the row's status allows now; capability is asked beside it."""
        return frozenset()


class Model(Guarded):
    """A business row: UUIDv7, and a version that rises with every real change (its ETag)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(Guarded.Meta):
        abstract = True

    def _stamp(self) -> list[str]:
        self.version += 1
        self.updated_at = timezone.now()
        return ["version", "updated_at"]
