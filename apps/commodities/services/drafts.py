"""How what two people answer for is drafted, submitted, published and withdrawn.

A kind of row says what it is called and what it tells, once::

    TAX_RATE = Procedure(TaxRate, title="Rate of tax", requires=capabilities.MANAGE_TAX,
                         drafted=events.TaxRateDrafted, …)
    submit_tax_rate, withdraw_tax_rate = TAX_RATE.submit, TAX_RATE.withdraw

and writes its own ``draft_…`` and ``edit_…``, which end in ``begin`` and ``revise``. Its table carries the trigger
``commodity_published_stays``.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from typing import Any

from apps.approvals import events as approval_events
from apps.approvals import services as approvals
from apps.commodities.models import Drafted
from apps.commodities.services.rules import IllegalTransition, Overlap, predecessor, require_dates_in_order
from erp import locks
from erp.access import Actor, Capability
from erp.approvals import Base, Kind
from erp.errors import CapabilityMissing, DomainError
from erp.events import Event
from erp.reference import event_of
from erp.services import Service, emit, service

DAY = timedelta(days=1)
Status = Drafted.Status
ASKING_ERRORS = (IllegalTransition, approvals.PendingExists, approvals.ReasonMissing)


class Procedure:
    """The way of one kind of row from its draft to its publication and withdrawal."""

    def __init__(
        self,
        model: type[Drafted],
        *,
        title: str,
        requires: Capability,
        drafted: type[Event],
        edited: type[Event],
        submitted: type[Event],
        returned: type[Event],
        published: type[Event],
        withdrawn: type[Event],
        ready: Callable[[Any], None] = lambda row: None,
        raises: Collection[type[DomainError]] = (),
        news: Callable[[Any, Any], Mapping[str, Any]] = lambda row, former: {},
        after_save: Callable[[Any], None] = lambda row: None,
    ) -> None:
        """``title`` is what a second person is asked for, in words.

        The events are filled from the row. ``ready`` raises what keeps a row from being published, one of ``raises``;
        ``news`` gives the members of ``published`` that the row itself doesn't hold, from it and the row that ends
        for it (None: none does); ``after_save`` runs once a row was published or withdrawn.
        """
        self.model, self.requires, self.noun = model, requires, model.noun()
        self.drafted, self.edited, self.submitted = drafted, edited, submitted
        self.returned, self.published, self.withdrawn = returned, published, withdrawn
        self.ready, self.raises, self.news, self.after_save = ready, tuple(raises), news, after_save
        self.submit, self.withdraw, apply, ended = self._services()
        self.kind = Kind(
            name=f"{model._meta.app_label}.{self.noun}",
            title=title,
            subject=self.noun,
            model=model._meta.label,
            capability=requires,
            locks=lambda row_id: locks.hold(self.lock),
            base_of=self._base_of,
            apply=apply,
            ended=ended,
        )

    @property
    def lock(self) -> str:
        """The named lock under which rows of the kind are published: one after the other."""
        return f"commodity.{self.noun}"

    def begin(self, row: Any, actor: Actor) -> None:
        """Keep a new draft. Raises LimitsInverted."""
        require_dates_in_order(row)
        row.editors = [] if actor.pk is None else [actor.pk]
        row.save()
        self._tell(self.drafted, row)

    def revise(self, row: Any, actor: Actor, *, parts_changed: bool = False) -> None:
        """Keep what was changed of a row, or of its parts; equal values change nothing.

        What was submitted is a draft again, and the approval stale: a second person decides on what they saw only.
        Raises IllegalTransition for what was published, LimitsInverted.
        """
        if row.status not in (Status.DRAFT, Status.SUBMITTED):
            raise IllegalTransition("What was published stays as it is.", status_now=row.status)
        require_dates_in_order(row)
        if not (row.changed_fields() or parts_changed):
            return
        if actor.pk is not None and actor.pk not in row.editors:
            row.editors = [*row.editors, actor.pk]
        was_submitted = row.status == Status.SUBMITTED
        if was_submitted:
            approvals.mark_stale(actor=actor, row_type=self.noun, row_id=row.pk)
            row.status = Status.DRAFT
        row.raise_version()  # also where only parts changed
        row.save()
        if was_submitted:
            self._tell(self.returned, row)
        self._tell(self.edited, row)

    def release(self, row: Any, actor: Actor) -> None:
        """Publish a new row of reference data: it comes with the product, so no second person is asked.

        Raises CapabilityMissing for anybody but SYSTEM, Overlap.
        """
        if actor.pk is not None:
            raise CapabilityMissing(str(self.requires))
        self._put_out(row, predecessor(self._published(row), row))

    def _services(self) -> tuple[Service, Service, Service, Service]:
        """``submit_<noun>`` and ``withdraw_<noun>``, and what approvals run: to publish or withdraw, to return."""

        def submit(row: Any, *, actor: Actor, reason: str) -> Any:
            """Submit this draft for approval. It is published when approved."""
            self._require(row, Status.DRAFT)
            self.ready(row)
            former = predecessor(self._published(row), row)
            row.status = Status.SUBMITTED
            row.save()
            was = {} if former is None else former.shown()
            diff = [(name, was.get(name), value) for name, value in row.shown().items()]
            self._ask(row, actor, reason, diff)
            self._tell(self.submitted, row)
            return row

        def withdraw(row: Any, *, actor: Actor, reason: str) -> Any:
            """Ask a second person to withdraw what was published: it isn't chosen any more, but kept."""
            self._require(row, Status.PUBLISHED)
            diff = [("status", row.status, Status.WITHDRAWN.value)]
            diff += [(name, value, value) for name, value in row.shown().items()]
            self._ask(row, actor, reason, diff)
            return row

        def publish_or_withdraw(row: Any, *, actor: Actor, request: Any) -> Any:
            """Publish a submitted row, or withdraw a published one."""
            if row.status == Status.SUBMITTED:
                self.ready(row)
                self._put_out(row, predecessor(self._published(row), row))
                return row
            row.status = Status.WITHDRAWN
            row.save()
            self.after_save(row)
            self._tell(self.withdrawn, row)
            return row

        def end_submission(row: Any, *, actor: Actor, request: Any) -> Any:
            """Return a submitted row to its author."""
            if row.status == Status.SUBMITTED:
                row.status = Status.DRAFT
                row.save()
                self._tell(self.returned, row)
            return row

        return (
            self._made(submit, [self.submitted], [*ASKING_ERRORS, Overlap, *self.raises]),
            self._made(withdraw, [approval_events.ApprovalRequested], ASKING_ERRORS),
            self._made(publish_or_withdraw, [self.published, self.withdrawn], [Overlap, *self.raises]),
            self._made(end_submission, [self.returned], []),
        )

    def _made(
        self, function: Any, emits: list[type[Event]], raises: Collection[type[DomainError]]
    ) -> Service:
        function.__name__ = function.__qualname__ = f"{function.__name__}_{self.noun}"
        function.__annotations__["row"] = self.model
        return service(requires=self.requires, emits=emits, raises=raises)(function)

    def _require(self, row: Any, status: str) -> None:
        if row.status != status:
            raise IllegalTransition(f"It is {row.status}, not {status}.", status_now=row.status)

    def _published(self, row: Any) -> Any:
        return row.same_key().filter(status=Status.PUBLISHED)

    def _base_of(self, row: Any) -> Base | None:
        """The row that ends where this one begins, None without one. Raises Overlap."""
        if row.status != Status.SUBMITTED:
            return None
        former = predecessor(self._published(row), row)
        return former and Base(self.noun, former.pk, former.version)

    def _ask(self, row: Any, actor: Actor, reason: str, diff: list[Any]) -> None:
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

    def _put_out(self, row: Any, former: Any) -> None:
        if former is not None:
            former.valid_to = row.valid_from - DAY
            former.save()
        row.status = Status.PUBLISHED
        row.save()
        self.after_save(row)
        self._tell(self.published, row, **self.news(row, former))

    def _tell(self, event: type[Event], row: Any, **more: Any) -> None:
        emit(event_of(event, row, self.noun, **more))


def _text(value: Any) -> str | None:
    """A value in words that a decider reads."""
    return None if value is None else value.isoformat() if isinstance(value, date) else str(value)
