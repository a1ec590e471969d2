"""Kinds of change that two people decide, declared by the module that owns the subject; no tables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from erp.access import Actor, Capability

DAYS = 14


@dataclass(frozen=True)
class Band:
    """What amounts above ``above`` ask for: so many people, perhaps of a role. Without ``above``: any amount."""

    above: Decimal | None = None
    needed: int = 1
    role: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What can be asked for, declared once by the module that owns the subject.

    ``capability`` is what an approver holds on the subject beside ``approval.decide``; ``subject`` the subject's type
    in events and filters, ``model`` its model (``label.Model``): who sees a row of it and holds the capability on it
    sees and decides the request. ``bands`` say how many approvals an amount needs, the highest that applies counts.
    ``days``: until it expires, None is never. ``door``: ``generic`` is decided at ``/approvals``, ``own`` at the
    module's endpoint, which then calls ``decide``; ``own_reject`` says whether that module has a reject of its own.
    ``reauthenticate``: approving it needs a recent proof of identity. ``excludes`` names further people who can't
    decide, asked when the request is made and again at each decision. ``base`` tells the version at which the base
    stands now, where the module doesn't mark requests stale as it edits the base: one that moved is found at deciding.
    """

    name: str
    title: str
    capability: Capability
    subject: str
    model: str
    bands: tuple[Band, ...] = (Band(),)
    days: int | None = DAYS
    door: Literal["generic", "own"] = "generic"
    own_reject: bool = True
    reauthenticate: bool = False
    excludes: Callable[[Any], Iterable[UUID]] = lambda request: ()
    base: Callable[[Any], int] | None = None

    def __post_init__(self) -> None:
        """Register the kind. Raises ImproperlyConfigured for a second one of the same name, or bad bands."""
        if self.name in kinds:
            raise ImproperlyConfigured(f"{self.name} is declared twice")
        if not self.bands or any(not 1 <= band.needed <= 3 for band in self.bands):
            raise ImproperlyConfigured(f"{self.name}: 1 to 3 people decide")
        kinds[self.name] = self

    def band(self, amount: Decimal | None) -> Band:
        """The band of an amount; without one, that of the smallest."""
        found = [b for b in self.bands if b.above is None or (amount is not None and amount > b.above)]
        return max(found, key=lambda b: b.above if b.above is not None else Decimal("-Infinity"))

    def subjects_of(self, actor: Actor) -> Any:
        """Rows that ``actor`` sees and holds the capability on."""
        return apps.get_model(self.model)._default_manager.visible_to(actor).permitted(actor, self.capability)


kinds: dict[str, Kind] = {}
