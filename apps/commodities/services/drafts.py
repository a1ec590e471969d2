"""How what two people answer for is drafted, submitted, published and withdrawn.

A kind of row says what it is called and what it tells, once::

    TAX_RATE = Procedure(TaxRate, kind=Kind(name="commodity.tax_rate", …), requires=capabilities.MANAGE_TAX,
                         drafted=events.TaxRateDrafted, …)
    submit_tax_rate, withdraw_tax_rate = TAX_RATE.submit, TAX_RATE.withdraw
    settle_tax_rate = TAX_RATE.settle

and writes its own ``draft_…`` and ``edit_…``, which end in ``begin`` and ``revise``. Its table carries the trigger
``commodity_published_stays``. What the second person decides comes back as an event: ``apps/commodities/tasks.py``
has every kind of ``procedures`` settled.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.approvals import events as approval_events
from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.commodities.models import Drafted
from apps.commodities.services.rules import IllegalTransition, predecessor, require_dates_in_order
from erp.access import Capability
from erp.approvals import Kind
from erp.errors import CapabilityMissing, DomainError
from erp.events import Event
from erp.reference import event_of
from erp.services import Service, emit, service

DAY = timedelta(days=1)
Status = Drafted.Status


class Procedure:
    """The way of one kind of row from its draft to its publication and withdrawal."""

    def __init__(
        self,
        model: type[Drafted],
        *,
        kind: Kind,
        requires: Capability,
        drafted: type[Event],
        edited: type[Event],
        submitted: type[Event],
        returned: type[Event],
        published: type[Event],
        withdrawn: type[Event],
        ready: Callable[[Any], None] = lambda row: None,
        news: Callable[[Any, Any], Mapping[str, Any]] = lambda row, former: {},
        kept: Callable[[Any], None] = lambda row: None,
    ) -> None:
        """``kind`` is what a second person is asked for, its subject the model's noun.

        The events are filled from the row. ``ready`` raises what keeps a row from being published; ``news`` gives
        the members of ``published`` that the row itself doesn't hold, from it and the row that ends for it (None:
        none does); ``kept`` runs once a row was published or withdrawn.
        """
        self.model, self.kind, self.requires, self.noun = model, kind, requires, model.noun()
        self.drafted, self.edited, self.submitted = drafted, edited, submitted
        self.returned, self.published, self.withdrawn = returned, published, withdrawn
        self.ready, self.news, self.kept = ready, news, kept
        self.submit, self.withdraw, self.settle = self._services()
        procedures[kind.name] = self

    @property
    def lock(self) -> str:
        """The named lock under which rows of the kind are published: one after the other."""
        return f"commodity.{self.noun}"

    # --- What draft_… and edit_… end in ---

    def begin(self, row: Any, actor: Any) -> None:
        """Keep a new draft. Raises LimitsInverted."""
        require_dates_in_order(row)
        row.editors = [] if actor.pk is None else [actor.pk]
        row.save()
        self._tell(self.drafted, row)

    def revise(self, row: Any, actor: Any, *, parts_changed: bool = False) -> None:
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
        row.updated_at = timezone.now()  # so that the version rises where only parts changed
        row.save()
        if was_submitted:
            self._tell(self.returned, row)
        self._tell(self.edited, row)

    # --- What the product brings along ---

    def release(self, row: Any, actor: Any) -> None:
        """Publish a new row of reference data: it comes with the product, so no second person is asked.

        Raises CapabilityMissing for anybody but SYSTEM, Overlap.
        """
        if actor.pk is not None:
            raise CapabilityMissing(str(self.requires))
        self._put_out(row, predecessor(self._published(row), row), actor)

    # --- The services that every kind has ---

    def _services(self) -> tuple[Service, Service, Service]:
        """``submit_<noun>``, ``withdraw_<noun>`` and ``settle_<noun>``."""

        def submit(row: Any, *, actor: Any, reason: str) -> Any:
            """Put a draft to a second person, who publishes it by agreeing."""
            self._require(row, Status.DRAFT)
            self.ready(row)
            former = predecessor(self._published(row), row)
            row.status = Status.SUBMITTED
            row.save()
            was = {} if former is None else former.shown()
            diff = [(name, was.get(name), value) for name, value in row.shown().items()]
            self._ask(row, actor, reason, diff, former)
            self._tell(self.submitted, row)
            return row

        def withdraw(row: Any, *, actor: Any, reason: str) -> Any:
            """Ask a second person to withdraw what was published: it isn't chosen any more, but kept."""
            self._require(row, Status.PUBLISHED)
            diff = [("status", row.status, Status.WITHDRAWN.value)]
            diff += [(name, value, value) for name, value in row.shown().items()]
            self._ask(row, actor, reason, diff, None)
            return row

        def settle(row: Any, *, actor: Any, approval_id: UUID) -> Any:
            """Publish, withdraw or return a row as was decided on it; a repeat changes nothing."""
            request = ApprovalRequest.objects.get(pk=approval_id)
            if request.status == ApprovalRequest.Status.PENDING or request.outcome is not None:
                return row
            as_seen = row.version == request.subject_version
            if request.status == ApprovalRequest.Status.GRANTED:
                applied = as_seen and self._apply(row, request, actor)
                outcome = ApprovalRequest.Outcome.APPLIED if applied else ApprovalRequest.Outcome.STALE
                approvals.report(request, actor=actor, outcome=outcome)
            if as_seen and row.status == Status.SUBMITTED:
                row.status = Status.DRAFT
                row.save()
                self._tell(self.returned, row)
            return row

        return (
            self._made(submit, [self.submitted]),
            self._made(withdraw, [approval_events.ApprovalRequested]),
            self._made(settle, [self.published, self.withdrawn, self.returned], under=self.lock),
        )

    def _made(self, function: Any, emits: list[type[Event]], *, under: str = "") -> Service:
        function.__name__ = function.__qualname__ = f"{function.__name__}_{self.noun}"
        function.__annotations__["row"] = self.model
        return service(requires=self.requires, emits=emits, under=under)(function)

    # --- Steps ---

    def _require(self, row: Any, status: str) -> None:
        if row.status != status:
            raise IllegalTransition(f"It is {row.status}, not {status}.", status_now=row.status)

    def _published(self, row: Any) -> Any:
        return row.same_key().filter(status=Status.PUBLISHED)

    def _ask(self, row: Any, actor: Any, reason: str, diff: list[Any], former: Any) -> None:
        base = former and {"base_type": self.noun, "base_id": former.pk, "base_version": former.version}
        approvals.request(
            actor=actor,
            kind=self.kind,
            subject_id=row.pk,
            subject_version=row.version,
            reason=reason,
            diff=[(name, _text(old), _text(new)) for name, old, new in diff],
            excluded=row.editors,
            **(base or {}),
        )

    def _apply(self, row: Any, request: ApprovalRequest, actor: Any) -> bool:
        """Make the change that was granted; False where what stood around the row has moved meanwhile."""
        if row.status == Status.PUBLISHED:
            row.status = Status.WITHDRAWN
            row.save()
            self.kept(row)
            self._tell(self.withdrawn, row)
            return True
        try:
            self.ready(row)
            former = predecessor(self._published(row), row)
        except DomainError:
            return False
        if (former and (former.pk, former.version)) != (
            request.base_id and (request.base_id, request.base_version)
        ):
            return False
        self._put_out(row, former, actor)
        return True

    def _put_out(self, row: Any, former: Any, actor: Any) -> None:
        if former is not None:
            approvals.mark_stale(actor=actor, row_type=self.noun, row_id=former.pk)
            former.valid_to = row.valid_from - DAY
            former.save()
        row.status = Status.PUBLISHED
        row.save()
        self.kept(row)
        self._tell(self.published, row, **self.news(row, former))

    def _tell(self, event: type[Event], row: Any, **more: Any) -> None:
        emit(event_of(event, row, self.noun, **more))


procedures: dict[str, Procedure] = {}  # by the name of what a second person is asked for


def _text(value: Any) -> str | None:
    """A value in words that a decider reads."""
    return None if value is None else value.isoformat() if isinstance(value, date) else str(value)
