"""Refusals and checks that several kinds of rows share."""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Model

from apps.organization.models import FinancialYear, Organization
from erp.access import Actor
from erp.errors import Conflict, Fault, Invalid, RuleBroken
from erp.identifiers import pin_fits


class InvalidState(Conflict):
    """The status doesn't allow this step."""


class Inactive(Conflict):
    """The organization is inactive."""


class PinStateMismatch(RuleBroken):
    """The PIN code doesn't lie in the state."""


class FinancialYearMissing(Conflict):
    """No financial year holds the date."""


class FinancialYearSoftClosed(Conflict):
    """The financial year is closed but for those who keep it."""


class FinancialYearLocked(Conflict):
    """The financial year is locked."""


def require_active(organization: Organization) -> None:
    """Raise Inactive for an organization that is no longer used."""
    if organization.status != Organization.Status.ACTIVE:
        raise Inactive


def require_writable(year: FinancialYear | None, actor: Actor, day: date) -> FinancialYear:
    """The year, where ``actor`` may book on ``day``. Raises FinancialYear{Missing,SoftClosed,Locked}."""
    if year is None:
        raise FinancialYearMissing(f"No financial year holds {day}.")
    if year.status == FinancialYear.Status.LOCKED:
        raise FinancialYearLocked
    if not year.writable_by(actor, day):
        raise FinancialYearSoftClosed
    return year


def lock_organization_of(model: type[Model]) -> Callable[[UUID], None]:
    """What a decision on a row of ``model`` locks before it: the row's organization, as edits of it do."""

    def lock(row_id: UUID) -> None:
        owner = model._default_manager.filter(pk=row_id).values("organization_id")
        Organization.objects.locked().filter(pk__in=owner).first()

    return lock


def note_editor(row: Any, actor: Actor) -> None:
    """Keep who changed the row since somebody last decided on it: none of them decides next time."""
    if row.changed_fields() and actor.pk is not None and actor.pk not in row.editors:
        row.editors = [*row.editors, actor.pk]


def require_same(organization: Organization, row: Any, pointer: str) -> None:
    """A row of another organization is, in a body, one that doesn't exist."""
    if row is not None and row.organization_id != organization.pk:
        words = "This row does not exist, or you may not see it."
        raise Invalid(errors=[Fault(pointer, "does_not_exist", words)])


def check_step(row: Any, status: str) -> None:
    """Raise InvalidState, with what is allowed, where the table of states has no such step."""
    allowed = row.TRANSITIONS[type(row).Status(row.status)]
    if status not in allowed:
        raise invalid_state(row, allowed, f"{row.status} doesn't become {status}.")


def invalid_state(row: Any, allowed: Iterable[str], detail: str) -> InvalidState:
    """The refusal, with the row's status and what it may become."""
    return InvalidState(detail, status_now=row.status, allowed=sorted(str(status) for status in allowed))


def check_pin(row: Any) -> None:
    """PIN code and state fit by prefix. Raises PinStateMismatch."""
    if not pin_fits(row.pin_code, row.state_code):
        raise PinStateMismatch(
            errors=[Fault("/pin_code", "state", "No office of this state has such a PIN code.")]
        )
