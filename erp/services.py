"""Services: the one way rows change (core §5).

A service needs an actor, opens the transaction, locks its target, compares If-Match with the locked row, checks
its capability and runs; its events are written in one statement when the unit of work ends. A service that
changes business rows without emitting an event fails.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args, get_type_hints

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, models, transaction

from erp import access, clock, errors, locks, logs
from erp.access import Actor, Capability
from erp.errors import DomainError, NotFound, PreconditionFailed
from erp.errors import label_of as app_label_of
from erp.events import MAX_BYTES, Event
from erp.labels import label_of
from erp.models import Guarded, Writer, writing
from erp.outbox.flush import Buffered, flush
from erp.outbox.flush import flush_with_statement as flush_with_statement  # for the idempotency record
from erp.trail import context as trail


class EmitOutsideService(RuntimeError):
    """An event was emitted outside a service."""


class SilentChange(RuntimeError):
    """A service changed business rows without emitting an event."""


class TransactionReused(RuntimeError):
    """A second unit of work was started in a transaction whose events are already written."""


class TransactionMissing(RuntimeError):
    """A service that requires its caller's transaction was called outside one."""


# Called with the name of an outermost service and an error that leaves it undeclared. Tests set it (erp.testing).
on_undeclared: Callable[[str, DomainError], None] | None = None


class Refusal:
    """A refusal whose own writes and events commit: it is returned, not raised (core §5)."""

    def __init__(self, problem: DomainError) -> None:
        self.problem = problem


def refuse(problem: DomainError) -> Refusal:
    """Refuse and commit what was written. Only the outermost service may; the refusal of an inner one is raised."""
    return Refusal(problem)


class _Pending(NamedTuple):
    event: Buffered
    marker: Callable[[], None]


@dataclass
class UnitOfWork:
    """The events buffered between the start of the outermost service and the flush."""

    actor: Actor
    causation_id: str
    pending: list[_Pending] = field(default_factory=list)
    changed: Counter[type[models.Model]] = field(default_factory=Counter)
    running: list["Service"] = field(default_factory=list)
    context: str = ""  # what was set last for the audit trail

    def count(self, model: type[models.Model], rows: int) -> None:
        """Count ``rows`` changed rows of ``model``."""
        if rows and not getattr(model, "machinery", False):
            self.changed[model] += rows

    def describe(self, service: "Service", actor: Actor, reason: str) -> None:
        """Set for the audit trail who runs which service and why, where it differs from before."""
        context = service.trail_context(actor, self.causation_id, reason)
        if context != self.context:
            clock.set_transaction_time(trail.apply(context))
            self.context = context

    def live(self, since: tuple[int, int] = (0, 0)) -> list[_Pending]:
        """Return the buffered events whose savepoint was not rolled back; ``since``: after a ``mark`` of an open block.

        Django drops a savepoint's on_commit hooks when it rolls back; each event is attached to its own hook.
        """
        buffered, hooked = since
        hooks = {id(entry[1]) for entry in connection.run_on_commit[hooked:]}
        return [pending for pending in self.pending[buffered:] if id(pending.marker) in hooks]

    def mark(self) -> tuple[int, int]:
        """Return how many events and hooks there are now, for ``live``."""
        return len(self.pending), len(connection.run_on_commit)


_unit: ContextVar[UnitOfWork | None] = ContextVar("erp_unit", default=None)
_cause: ContextVar[str] = ContextVar("erp_cause", default="")
# In a dry run: how many values were taken of each sequence.
_dry_run: ContextVar[Counter[str] | None] = ContextVar("erp_dry_run", default=None)


@contextmanager
def caused_by(causation_id: str, *, dry_run: bool = False) -> Iterator[None]:
    """Set the cause of the events in the block: an idempotency record, or a consumed event.

    ``dry_run``: roll back everything in the block at its end.
    """
    cause, dry = _cause.set(causation_id), _dry_run.set(Counter() if dry_run else None)
    try:
        yield
    finally:
        _cause.reset(cause)
        _dry_run.reset(dry)


def next_value(sequence: str) -> int:
    """Take the next value of a database sequence; a dry run only reads it, because it could not return the value."""
    taken = _dry_run.get()
    looking = f'SELECT last_value + is_called::int FROM "{sequence}"'  # noqa: S608 - a name of our own
    with connection.cursor() as cursor:
        cursor.execute(*(("SELECT nextval(%s)", [sequence]) if taken is None else (looking,)))
        value = int(cursor.fetchone()[0])
    if taken is not None:
        value += taken[sequence]
        taken[sequence] += 1
    return value


class _Written:
    """An on_commit hook that marks a transaction whose events are written; dropped with it, or with its savepoint."""

    def __init__(self, block: Any) -> None:
        self.block = block

    def __call__(self) -> None:
        """Do nothing: the hook only marks the transaction."""


def _enclosing() -> Any:
    """The outermost atomic block that isn't a test case's own, if any."""
    return next(
        (block for block in connection.atomic_blocks if not getattr(block, "_from_testcase", False)), None
    )


@contextmanager
def unit_of_work(actor: Actor, *, causation_id: str = "") -> Iterator[UnitOfWork]:
    """Open one transaction around one or several services; write buffered events once, at its end.

    Services open it themselves; callers that run several services as one use it: a consumer's transaction, a job's
    chunk. Raises TransactionReused if the enclosing transaction has already written its events.
    """
    if _unit.get() is not None:
        raise TransactionReused("a unit of work is already open")
    enclosing = _enclosing()
    if any(
        isinstance(entry[1], _Written) and entry[1].block is enclosing for entry in connection.run_on_commit
    ):
        raise TransactionReused("this transaction has already written its events")
    unit = UnitOfWork(actor, causation_id or _cause.get(), context=trail.current())
    with transaction.atomic(savepoint=enclosing is None), clock.transaction_time():
        token = _unit.set(unit)
        try:
            yield unit
            if enclosing is not None:
                transaction.on_commit(_Written(enclosing))
            if _dry_run.get() is None:
                flush(
                    [pending.event for pending in unit.live()],
                    correlation_id=logs.current_request_id(),
                    causation_id=unit.causation_id,
                    traceparent=logs.current_traceparent(),
                    actor_id=actor.pk,
                )
        finally:
            _unit.reset(token)


@contextmanager
def dry_run(actor: Actor, *, timeout: str = "0") -> Iterator[None]:
    """A unit of work that is rolled back: services do all that they do, and nothing of it stays.

    No event is written and no value of a sequence used up. A wait for a lock ends after ``LOCK_TIMEOUT``, the whole
    after ``timeout`` (``"0"``: never), both with OperationalError.
    """
    with transaction.atomic(), caused_by("", dry_run=True):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true), set_config('transaction_timeout', %s, true)",
                [settings.LOCK_TIMEOUT, timeout],
            )
        with unit_of_work(actor):
            yield
        connection.check_constraints()  # those that would be checked at the commit
        transaction.set_rollback(True)


@contextmanager
def attempt() -> Iterator[None]:
    """Open a savepoint: on failure the changes inside and their events are rolled back. For partial bulk work."""
    unit = _unit.get()
    if unit is None:
        raise EmitOutsideService("attempt() belongs inside a service")
    changed, running = unit.changed.copy(), list(unit.running)
    try:
        with transaction.atomic():
            yield
    except BaseException:
        unit.changed, unit.running, unit.context = changed, running, ""
        raise


def emit(event: Event) -> None:
    """Buffer an event of the running service; it is written when the unit of work ends.

    Raises EmitOutsideService outside a service, ValueError if the event is over 1 MB or not declared.
    """
    unit = _unit.get()
    if unit is None or not unit.running:
        raise EmitOutsideService(f"{type(event).__name__} is emitted outside a service")
    service = unit.running[-1]
    if type(event) not in service.emits:
        raise ValueError(f"{service.name} doesn't declare that it emits {event.__event__.name}")
    payload = type(event).model_validate(event.model_dump()).model_dump(mode="json")
    meta = event.__event__
    if len(event.model_dump_json()) > MAX_BYTES:
        raise ValueError(f"{meta.name} is larger than {MAX_BYTES} bytes")

    def marker() -> None:
        """Attach to the transaction: see Unit.live."""

    transaction.on_commit(marker)
    unit.pending.append(
        _Pending(Buffered(meta.name, meta.version, payload, meta.aggregate_type, event.aggregate_id), marker)
    )


class Service:
    """A callable that changes rows; created by ``@service``."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        requires: Capability | None,
        emits: Iterable[type[Event]],
        raises: Iterable[type[DomainError]],
        forwards: Callable[[], Iterable["Service"]],
        public: str,
        lock_via: str | Callable[[Any], None] | None,
        writes_on_refusal: Iterable[type[models.Model]],
        machinery: str,
        requires_transaction: bool,
        advisory_lock: str,
        within: str,
        reauthenticate: "bool | Callable[[Any], bool]",
        jobs: Iterable["Service"],
        label: str,
        description: str,
    ) -> None:
        self.function, self.jobs = function, tuple(jobs)
        self.requires_transaction, self.advisory_lock = requires_transaction, advisory_lock
        self.within, self.reauthenticate = within, reauthenticate
        self.requires, self.public, self.lock_via, self.machinery = requires, public, lock_via, machinery
        self.emits = frozenset(emits)
        self._raises, self._forwards = tuple(dict.fromkeys(raises)), forwards
        self.writes_on_refusal = frozenset(writes_on_refusal)
        self.app_label = app_label_of(function.__module__)
        self.name = f"{self.app_label}.{function.__name__}"
        # The words for people: on buttons and above forms.
        self.label = label or label_of(function.__name__)
        self.description = description or (function.__doc__ or "").strip().partition("\n")[0]
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        parameters = inspect.signature(function).parameters.values()
        positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        if (requires is None) == (not public):
            raise ImproperlyConfigured(f"{self.name} needs either a capability or a reason to be public")
        if not self.emits and not machinery:
            raise ImproperlyConfigured(f"{self.name} must emit at least one event")
        if not all(isinstance(kind, type) and issubclass(kind, DomainError) for kind in self._raises):
            raise ImproperlyConfigured(f"{self.name}: raises= names domain errors")
        if len(positional) > 1 or any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in positional):
            raise ImproperlyConfigured(f"{self.name} takes at most one positional parameter, its target")
        self.target = positional[0].name if positional else None
        keywords = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
        if keywords.pop("actor", None) is None or "if_version" in keywords:
            raise ImproperlyConfigured(f"{self.name} takes actor by keyword; if_version is reserved")
        self.keywords = frozenset(keywords)
        self.required = frozenset(n for n, p in keywords.items() if p.default is p.empty)
        if within and (positional or within not in keywords):
            raise ImproperlyConfigured(f"{self.name}: within= names a keyword of a service without a target")
        if self.name in registry:
            raise ImproperlyConfigured(f"{self.name} is declared twice")
        registry[self.name] = self

    @property
    def raises(self) -> tuple[type[DomainError], ...]:
        """The domain errors that it may raise, with those of the services that it forwards to."""
        forwarded = (kind for service in self._forwards() for kind in service.raises)
        return tuple(dict.fromkeys((*self._raises, *forwarded)))

    @property
    def target_model(self) -> type[models.Model] | None:
        """Model of the target, from the annotation."""
        return get_type_hints(self.function).get(self.target) if self.target else None

    @property
    def commits_refusals(self) -> bool:
        """Whether it can refuse and still commit a trace, by its annotation or by ``writes_on_refusal``."""
        answer = get_type_hints(self.function).get("return")
        return bool(self.writes_on_refusal) or answer is Refusal or Refusal in get_args(answer)

    def trail_context(self, actor: Actor, record_id: str, reason: str = "") -> str:
        """The context of a call for the audit trail; ``record_id`` is the idempotency record or event behind it."""
        return trail.describe(
            actor, service=self.name, capability=str(self.requires or ""), reason=reason, record_id=record_id
        )

    def asks_reauthentication(self, row: Any) -> bool:
        """Whether a person must have proved their identity lately to run it on ``row``."""
        return self.reauthenticate(row) if callable(self.reauthenticate) else self.reauthenticate

    def __repr__(self) -> str:
        return f"<service {self.name}>"

    def __call__(
        self, target: Any = None, /, *, actor: Actor, if_version: int | None = None, **keywords: Any
    ) -> Any:
        """Run the service.

        ``if_version`` is compared with the locked row (PreconditionFailed). Raises CapabilityMissing, NotFound
        and whatever the service raises; returns its result, or a Refusal from the outermost service.
        """
        if actor is None:
            raise TypeError(f"{self.name} needs an actor")
        unit = _unit.get()
        outermost = unit is None or not unit.running
        if self.requires_transaction and outermost and _enclosing() is None:
            raise TransactionMissing(f"{self.name} joins the transaction of its caller: open one")
        with (
            declared_errors(self.name, self.raises) if outermost else nullcontext(),
            nullcontext(unit) if unit is not None else unit_of_work(actor) as current,
        ):
            assert current is not None
            outer_context = current.context
            if outermost or trail.is_on_behalf():
                current.describe(self, actor, _reason_of(keywords))
            changed, start = current.changed.copy(), current.mark()
            current.running.append(self)
            try:
                row = self._lock(target)
                if outermost and self.requires is not None:
                    access.authorize(actor, self.requires, row or keywords.get(self.within))
                # Later: a version tells how often a row changed, also to who sees it masked and may not change it.
                if if_version is not None:
                    _require_version(row, if_version)
                with writing(Writer(self.app_label, current.count)), _breaches_as_problems():
                    arguments = () if self.target is None else (row,)
                    result = self.function(*arguments, actor=actor, **keywords)
                # Last, so that users confirm their identity only for operations that they may do and that are possible.
                if self.asks_reauthentication(row) and not isinstance(result, Refusal):
                    access.require_reauthentication(actor)
            finally:
                current.running.pop()
            if not outermost and current.context != outer_context:
                trail.apply(outer_context)
                current.context = outer_context
            touched = {model for model, rows in current.changed.items() if rows > changed[model]}
            if isinstance(result, Refusal):
                if not outermost:
                    raise result.problem
                if not touched <= self.writes_on_refusal:
                    raise SilentChange(f"{self.name} refused and changed {touched - self.writes_on_refusal}")
                _report_undeclared(self.name, self.raises, result.problem)
            if outermost and touched and not current.live(start):
                raise SilentChange(
                    f"{self.name} changed {', '.join(m.__name__ for m in touched)} and emitted nothing"
                )
            return result

    def _lock(self, target: Any) -> Any:
        if self.advisory_lock:
            locks.hold(self.advisory_lock)
        if self.target is None:
            return None
        if not isinstance(target, models.Model):
            raise TypeError(f"{self.name} needs its target")
        if callable(self.lock_via):
            self.lock_via(target)
        locks_target = self.lock_via == "self" or callable(self.lock_via)
        if not locks_target or target._state.adding:
            if isinstance(self.lock_via, str) and self.lock_via != "self":
                other = getattr(target, self.lock_via)
                type(other)._default_manager.select_for_update(no_key=True, of=("self",)).get(pk=other.pk)
            row: Any = target
            if not target._state.adding:
                row = type(target)._default_manager.filter(pk=target.pk).first()
        else:
            rows = type(target)._default_manager.select_for_update(no_key=True, of=("self",))
            row = rows.select_related(*getattr(target, "locked_with", ())).filter(pk=target.pk).first()
        if row is None:
            raise NotFound
        if isinstance(row, Guarded) and (gone := row.gone()) is not None:
            raise gone
        return row


def _reason_of(keywords: dict[str, Any]) -> str:
    """Why a service runs: its own reason, that of the request that it applies, or the decision's note."""
    request = keywords.get("request")
    return str(keywords.get("reason") or getattr(request, "reason", "") or keywords.get("note") or "")


def _require_version(row: Any, version: int) -> None:
    if row.version != version:
        raise PreconditionFailed(
            f"You sent version {version}; the current version is {row.version}.",
            headers={"ETag": f'"{row.version}"'},
        )


@contextmanager
def declared_errors(name: str, raises: Collection[type[DomainError]]) -> Iterator[None]:
    """Report to ``on_undeclared`` an error that the block raises and that is neither in ``raises`` nor shared."""
    try:
        yield
    except DomainError as error:
        _report_undeclared(name, raises, error)
        raise


def _report_undeclared(name: str, raises: Collection[type[DomainError]], error: DomainError) -> None:
    if on_undeclared is None or error.code in errors.SHARED or type(error) in raises:
        return
    on_undeclared(name, error)


@contextmanager
def _breaches_as_problems() -> Iterator[None]:
    """Convert a violated database constraint into its domain error, so that every channel reports the same."""
    try:
        yield
    except IntegrityError as breach:
        diagnosis = getattr(breach.__cause__, "diag", None)
        known = errors.by_constraint.get(str(getattr(diagnosis, "constraint_name", "")))
        if known is None:
            raise
        raise known() from breach


registry: dict[str, Service] = {}


def service(
    *,
    requires: Capability | None = None,
    emits: Iterable[type[Event]] = (),
    raises: Iterable[type[DomainError]] = (),
    forwards: Callable[[], Iterable[Service]] = tuple,
    public: str = "",
    lock_via: str | Callable[[Any], None] | None = "self",
    writes_on_refusal: Iterable[type[models.Model]] = (),
    machinery: str = "",
    requires_transaction: bool = False,
    advisory_lock: str = "",
    within: str = "",
    reauthenticate: bool | Callable[[Any], bool] = False,
    jobs: Iterable[Service] = (),
    label: str = "",
    description: str = "",
) -> Callable[[Callable[..., Any]], Service]:
    """Make a function a service.

    ``requires``: the capability; or ``public``: the reason why no sign-in is needed. ``emits``: the events
    it may emit; none only with ``machinery``, the reason why its rows are not business rows. ``raises``: the domain
    errors that it may raise or refuse with, those of services that it calls and of constraints among them; shared
    ones (``erp.errors``) only if they should be documented. ``forwards`` returns the services that it selects from
    at run time and whose errors it passes on. ``lock_via``: name of the target's relation that is locked instead of
    the target, or None; or a function of the target that locks what comes before it. ``writes_on_refusal``: models
    that a committed refusal may have changed. ``requires_transaction``: it never opens a transaction, because its
    effect must commit or roll back with its caller's work. ``advisory_lock``: the named lock (erp.locks) that is taken
    before the target's, if several rows change together. ``within``: the keyword whose row a single grant must
    cover, for a service that creates a part of that row. ``reauthenticate``: a person must have confirmed their
    identity recently (401 otherwise); a function of the target if only some rows require it. ``jobs``: the
    services that execute the accepted job. ``label`` and ``description``: texts for staff, if the name in words and the
    docstring's first line are not sufficient.
    """

    def make(function: Callable[..., Any]) -> Service:
        return Service(
            function,
            requires=requires,
            emits=emits,
            raises=raises,
            forwards=forwards,
            public=public,
            lock_via=lock_via,
            writes_on_refusal=writes_on_refusal,
            machinery=machinery,
            requires_transaction=requires_transaction,
            advisory_lock=advisory_lock,
            within=within,
            reauthenticate=reauthenticate,
            jobs=jobs,
            label=label,
            description=description,
        )

    return make
