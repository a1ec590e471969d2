"""Rows that are published by approval: drafted, edited and submitted by one person, published by another.

A model (``apps.approvals.models.PublishedByApproval``) declares its events (``apps.approvals.events.draft_events``)
and its procedure, which has its services::

    TAX_RATE = DraftProcedure(
        TaxRate,
        title="Rate of tax",
        requires=capabilities.MANAGE_TAX,
        events=events.TAX_RATE,
        errors=DRAFT_ERRORS,
    )
    draft_tax_rate, edit_tax_rate = TAX_RATE.draft, TAX_RATE.edit
    submit_tax_rate, withdraw_tax_rate = TAX_RATE.submit, TAX_RATE.withdraw

The services belong to the module of the model. What loads reference data calls ``release`` inside a service.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any, NamedTuple

from django.db.models import Max

from apps.approvals import services as approvals
from apps.approvals.events import ApprovalRequested, DraftEvents
from apps.approvals.models import PublishedByApproval
from erp import locks, periods
from erp.access import Actor, Capability
from erp.approvals import ApprovalKind, Base
from erp.errors import CapabilityMissing, DomainError
from erp.events import Event
from erp.reference import default_of, event_of, introduce
from erp.services import Service, emit, service

Status = PublishedByApproval.Status


class DraftErrors(NamedTuple):
    """What a module raises about its drafts: classes of its own, since they give the codes."""

    illegal_transition: type[DomainError]
    overlap: type[DomainError]
    dates_inverted: type[DomainError]


class DraftProcedure:
    """The services of a model that is published by approval, and its kind of approval."""

    def __init__(
        self,
        model: type[PublishedByApproval],
        *,
        title: str,
        requires: Capability,
        events: DraftEvents,
        errors: DraftErrors,
        fixed: Collection[str] = (),
        prepare: Callable[[Any], None] = lambda row: None,
        parts: Mapping[str, Callable[[Any, Any], bool]] | None = None,
        draft_raises: Collection[type[DomainError]] = (),
        check: Callable[[Any], None] = lambda row: None,
        publish_raises: Collection[type[DomainError]] = (),
        published_members: Callable[[Any, Any], Mapping[str, Any]] = lambda row, previous: {},
        after_save: Callable[[Any], None] = lambda row: None,
    ) -> None:
        """``title`` says in words what is approved.

        A draft takes every editable column of the model, an edit all but ``fixed`` and the key of numbered rows, and
        replaces: what is left out falls back to the model's default. ``prepare`` sees the row before it is saved: it
        fills in what follows from other fields, and raises what speaks against it. ``parts`` are further inputs, each
        with the function that stores it once the row is saved, and returns whether that changed anything.
        ``draft_raises`` is what these raise.

        ``check`` raises what keeps a row from being published, one of ``publish_raises``. The events are filled from
        the row; ``published_members`` gives what ``published`` has beside, from it and the row that ends for it
        (None: none does). ``after_save`` runs once a row was published or withdrawn.
        """
        self.model, self.noun, self.requires = model, model.noun(), requires
        # The named lock under which rows of the model are numbered and published, one after the other.
        self.lock = f"{model._meta.app_label}.{self.noun}"
        self.events, self.errors, self.prepare, self.parts = events, errors, prepare, parts or {}
        self.check, self.published_members, self.after_save = check, published_members, after_save
        self.columns = {
            column.name: column
            for column in model._meta.concrete_fields
            if column.editable and column.name != "status"
        }
        fixed = {*fixed, *(model.KEY if model.NUMBER else ())}
        self.later = {name: column for name, column in self.columns.items() if name not in fixed}
        draft_errors = (errors.dates_inverted, *draft_raises)
        request_errors = (errors.illegal_transition, approvals.PendingExists, approvals.ReasonMissing)
        publish_errors = (errors.overlap, *publish_raises)
        self.draft = self._service(
            self._draft,
            f"Draft a new {model._meta.verbose_name}.",
            self.columns,
            is_new=True,
            also=dict.fromkeys(self.parts, Any),
            emits=[events.drafted],
            raises=draft_errors,
            advisory_lock=self.lock if model.NUMBER else "",
            within=next((path for path in model.granted_through if path in self.columns), ""),
        )
        self.edit = self._service(
            self._edit,
            "Replace the content of this draft. A submitted one is a draft again, and its request for approval void.",
            self.later,
            also=dict.fromkeys(self.parts, Any),
            emits=[events.edited, events.returned],
            raises=[errors.illegal_transition, *draft_errors],
        )
        self.submit = self._service(
            self._submit,
            "Submit this draft for approval. It is published when approved.",
            also={"reason": str},
            emits=[events.submitted],
            raises=[*request_errors, *publish_errors],
        )
        self.withdraw = self._service(
            self._withdraw,
            "Request approval to withdraw this row: it can't be chosen any more, but stays where it was used.",
            also={"reason": str},
            emits=[ApprovalRequested],
            raises=request_errors,
        )
        self.kind = ApprovalKind(
            name=self.lock,
            title=title,
            subject=self.noun,
            model=model._meta.label,
            capability=requires,
            locks=lambda row_id: locks.hold(self.lock),
            base_of=self._base_of,
            apply=self._service(
                self._publish_or_withdraw,
                "Publish a submitted row, or withdraw a published one.",
                also={"request": Any},
                emits=[events.published, events.withdrawn],
                raises=publish_errors,
            ),
            ended=self._service(
                self._end_submission,
                "Return a submitted row to its author.",
                also={"request": Any},
                emits=[events.returned],
            ),
        )

    def release(self, row: Any, actor: Actor) -> None:
        """Publish a new row of reference data: it comes with the product, so no approval is asked for.

        Raises CapabilityMissing for anybody but SYSTEM, and the module's error for an overlap.
        """
        if actor.pk is not None:
            raise CapabilityMissing(str(self.requires))
        self._publish(row)

    def _service(
        self,
        method: Callable[..., Any],
        doc: str,
        columns: Mapping[str, Any] | None = None,
        *,
        is_new: bool = False,
        also: Mapping[str, Any],
        **options: Any,
    ) -> Service:
        def run(*target: Any, **keywords: Any) -> Any:
            return method(*target, **keywords)

        name = f"{method.__name__.strip('_')}_{self.noun}"
        introduce(run, name, self.model, doc, columns or {}, None if is_new else self.noun, also)
        return service(requires=self.requires, **options)(run)

    def _draft(self, *, actor: Actor, **values: Any) -> Any:
        row = self.model()
        self._fill(row, self.columns, values)
        if row.NUMBER:
            last = row.same_key().aggregate(last=Max(row.NUMBER))["last"]
            setattr(row, row.NUMBER, (last or 0) + 1)
        row.editors = [] if actor.pk is None else [actor.pk]
        row.save()
        self._store_parts(row, values)
        self._emit(self.events.drafted, row)
        return row

    def _edit(self, row: Any, *, actor: Actor, **values: Any) -> Any:
        if row.status not in (Status.DRAFT, Status.SUBMITTED):
            raise self.errors.illegal_transition("What was published stays as it is.", status_now=row.status)
        self._fill(row, self.later, values)
        if not (self._store_parts(row, values) or row.changed_fields()):
            return row
        if actor.pk is not None and actor.pk not in row.editors:
            row.editors = [*row.editors, actor.pk]
        was_submitted = row.status == Status.SUBMITTED
        if was_submitted:
            approvals.mark_stale(actor=actor, row_type=self.noun, row_id=row.pk)
            row.status = Status.DRAFT
        row.raise_version()  # also where only parts changed
        row.save()
        if was_submitted:
            self._emit(self.events.returned, row)
        self._emit(self.events.edited, row)
        return row

    def _submit(self, row: Any, *, actor: Actor, reason: str) -> Any:
        self._require_status(row, Status.DRAFT)
        self.check(row)
        previous = self._predecessor(row)
        row.status = Status.SUBMITTED
        row.save()
        old = {} if previous is None else previous.content()
        self._request(row, actor, reason, [(name, old.get(name), new) for name, new in row.content().items()])
        self._emit(self.events.submitted, row)
        return row

    def _withdraw(self, row: Any, *, actor: Actor, reason: str) -> Any:
        self._require_status(row, Status.PUBLISHED)
        content = [(name, value, value) for name, value in row.content().items()]
        self._request(row, actor, reason, [("status", row.status, Status.WITHDRAWN.value), *content])
        return row

    def _publish_or_withdraw(self, row: Any, *, actor: Actor, request: Any) -> Any:
        if row.status == Status.SUBMITTED:
            self.check(row)
            self._publish(row)
            return row
        row.status = Status.WITHDRAWN
        row.save()
        self.after_save(row)
        self._emit(self.events.withdrawn, row)
        return row

    def _end_submission(self, row: Any, *, actor: Actor, request: Any) -> Any:
        if row.status == Status.SUBMITTED:
            row.status = Status.DRAFT
            row.save()
            self._emit(self.events.returned, row)
        return row

    def _fill(self, row: Any, columns: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        for name, column in columns.items():
            setattr(row, name, values[name] if name in values else default_of(column))
        self.prepare(row)
        periods.require_dates_in_order(row, error=self.errors.dates_inverted)

    def _store_parts(self, row: Any, values: Mapping[str, Any]) -> bool:
        """Store what the row has beside its columns; whether that changed anything."""
        changes = [store(row, values[name]) for name, store in self.parts.items()]
        return any(changes)

    def _require_status(self, row: Any, status: str) -> None:
        if row.status != status:
            raise self.errors.illegal_transition(f"It is {row.status}, not {status}.", status_now=row.status)

    def _published(self, row: Any) -> Any:
        return row.same_key().filter(status=Status.PUBLISHED)

    def _predecessor(self, row: Any) -> Any:
        return periods.predecessor(self._published(row), row, error=self.errors.overlap)

    def _base_of(self, row: Any) -> Base | None:
        """The row that ends where this one begins, None without one. Raises the module's error for an overlap."""
        previous = self._predecessor(row) if row.status == Status.SUBMITTED else None
        return previous and Base(self.noun, previous.pk, previous.version)

    def _request(self, row: Any, actor: Actor, reason: str, diff: list[Any]) -> None:
        approvals.request(
            actor=actor,
            kind=self.kind,
            subject_id=row.pk,
            subject_version=row.version,
            reason=reason,
            diff=[(name, _text(old), _text(new)) for name, old, new in diff],
            excluded=row.editors,
            base=self._base_of(row),
        )

    def _publish(self, row: Any) -> None:
        previous = periods.end_predecessor(self._published(row), row, error=self.errors.overlap)
        row.status = Status.PUBLISHED
        row.save()
        self.after_save(row)
        self._emit(self.events.published, row, **self.published_members(row, previous))

    def _emit(self, event: type[Event], row: Any, **members: Any) -> None:
        emit(event_of(event, row, self.noun, **members))


def _text(value: Any) -> str | None:
    """A value in words that the approver reads."""
    return None if value is None else value.isoformat() if isinstance(value, date) else str(value)
