"""Kinds of approval requests, declared by the module that owns the subject; no tables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from erp.access import Actor, Capability
from erp.events import Event

DAYS = 14
NAME_LENGTH = 200  # of a stored name of a subject


@dataclass(frozen=True)
class ApprovalBand:
    """The approvals that amounts above ``above`` (None: any amount) require: how many, and of which role."""

    above: Decimal | None = None
    needed: int = 1
    role: str | None = None


class Base(NamedTuple):
    """The row that a change is based on: its type in events, its id and its version."""

    type: str
    id: UUID
    version: int


@dataclass(frozen=True, kw_only=True)
class ApprovalKind:
    """A kind of approval request, declared once by the module that owns the subject.

    ``capability`` is what an approver holds on the subject beside ``approval.decide``; ``subject`` the subject's type
    in events and filters, ``model`` its model (``label.Model``): who sees a row of it and holds the capability on it
    sees and decides the request. ``bands`` define how many approvals an amount needs; the highest that applies counts.
    ``days``: until it expires, None is never. ``decided_at``: ``approvals`` is decided at ``/approvals``, ``module`` at
    the module's endpoint, which then calls ``decide``; ``own_reject``: whether that module has its own reject endpoint.
    ``reauthenticate``: approving requires a recent confirmation of identity. ``excludes`` names further people who
    cannot decide, evaluated when the request is created and at each decision.

    ``apply`` is the service that makes the change, in the transaction of the last approval, with the approver as
    actor: ``apply(subject, *, actor, request)``; what it raises the approver sees, and nothing has happened. ``ended``
    is called likewise when a request was refused, withdrawn, expired or went stale; it never raises. ``locks`` locks
    what the module locks before the subject (a named lock, the root row, the base), given the subject's id.
    ``version_of`` is the subject's version, ``base_of`` type, id and version of the row that the change builds on:
    a request is stale once either differs from what was stored when it was made.

    A module below the approvals cannot call them: ``opened_by`` is its event that opens a request, ``closed_by`` the
    one that withdraws it, and ``describe`` returns ``reason``, ``diff`` and ``maker`` of the request, or None to open
    none.
    """

    name: str
    title: str
    capability: Capability
    subject: str
    model: str
    bands: tuple[ApprovalBand, ...] = (ApprovalBand(),)
    days: int | None = DAYS
    decided_at: Literal["approvals", "module"] = "approvals"
    own_reject: bool = True
    reauthenticate: bool = False
    excludes: Callable[[Any], Iterable[UUID]] = lambda request: ()
    apply: Callable[..., Any] | None = None
    ended: Callable[..., Any] | None = None
    locks: Callable[[UUID], None] = lambda subject_id: None
    version_of: Callable[[Any], int] = lambda subject: int(subject.version)
    base_of: Callable[[Any], Base | None] = lambda subject: None
    opened_by: type[Event] | None = None
    closed_by: type[Event] | None = None
    describe: Callable[[Any], dict[str, Any] | None] | None = None

    def __post_init__(self) -> None:
        """Register the kind. Raises ImproperlyConfigured for a second one of the same name, or an incomplete one."""
        if self.name in kinds:
            raise ImproperlyConfigured(f"{self.name} is declared twice")
        if self.apply is None and self.decided_at == "approvals":
            raise ImproperlyConfigured(f"{self.name} needs `apply`, the service that makes the change")
        if not self.bands or any(not 1 <= band.needed <= 3 for band in self.bands):
            raise ImproperlyConfigured(f"{self.name}: 1 to 3 people decide")
        kinds[self.name] = self

    def band(self, amount: Decimal | None) -> ApprovalBand:
        """The band of an amount; without one, that of the smallest."""
        found = [b for b in self.bands if b.above is None or (amount is not None and amount > b.above)]
        return max(found, key=lambda b: b.above if b.above is not None else Decimal("-Infinity"))

    def subjects_of(self, actor: Actor) -> Any:
        """Rows that ``actor`` sees and holds the capability on."""
        return self._rows.visible_to(actor).permitted(actor, self.capability)

    def name_of(self, subject_id: UUID) -> str:
        """The subject as people name it; empty where it isn't there."""
        subject = self._rows.filter(pk=subject_id).first()
        return "" if subject is None else str(subject)[:NAME_LENGTH]

    def locked_subject(self, subject_id: UUID) -> Any:
        """The subject, locked after what its module locks before it; None where it isn't there."""
        self.locks(subject_id)
        return self._rows.all().locked().filter(pk=subject_id).first()

    @property
    def _rows(self) -> Any:
        return apps.get_model(self.model)._default_manager


kinds: dict[str, ApprovalKind] = {}
