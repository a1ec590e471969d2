"""Errors and checks that several services share."""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Model

from apps.organization.models import FinancialYear, Organization
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid, RuleBroken
from erp.identifiers import pin_fits


class InvalidState(Conflict):
    """The status doesn't allow this change."""


class Inactive(Conflict):
    """The organization is inactive."""


class PinStateMismatch(RuleBroken):
    """The PIN code doesn't belong to the state."""


class FinancialYearMissing(Conflict):
    """No financial year includes the date."""


class FinancialYearSoftClosed(Conflict):
    """The financial year is soft-closed: only users who manage financial years can post to it."""


class FinancialYearLocked(Conflict):
    """The financial year is locked."""


def require_active(organization: Organization) -> None:
    """Raise Inactive unless the organization is active."""
    if organization.status != Organization.Status.ACTIVE:
        raise Inactive


def require_writable(year: FinancialYear | None, actor: Actor, day: date) -> FinancialYear:
    """Return the year if ``actor`` may post on ``day``. Raises FinancialYear{Missing,SoftClosed,Locked}."""
    if year is None:
        raise FinancialYearMissing(f"No financial year includes {day}. Add the year first.")
    if year.status == FinancialYear.Status.LOCKED:
        raise FinancialYearLocked
    if not year.writable_by(actor, day):
        raise FinancialYearSoftClosed
    return year


def lock_organization_of(model: type[Model]) -> Callable[[UUID], None]:
    """Return a function that locks the organization of a row of ``model`` by the row's id, as edits of it do."""

    def lock(row_id: UUID) -> None:
        owner = model._default_manager.filter(pk=row_id).values("organization_id")
        Organization.objects.locked().filter(pk__in=owner).first()

    return lock


def record_editor(row: Any, actor: Actor) -> None:
    """Record who changed the row since its last decision, so that they can't approve the next one."""
    if row.changed_fields() and actor.pk is not None and actor.pk not in row.editors:
        row.editors = [*row.editors, actor.pk]


def require_same(organization: Organization, row: Any, pointer: str) -> None:
    """Raise Invalid for a row of another organization, as for one that doesn't exist."""
    if row is not None and row.organization_id != organization.pk:
        words = "This row does not exist, or you may not see it."
        raise Invalid(errors=[FieldError(pointer, "does_not_exist", words)])


def check_transition(row: Any, status: str) -> None:
    """Raise InvalidState, with the allowed statuses, unless the transition is allowed."""
    allowed = row.TRANSITIONS[type(row).Status(row.status)]
    if status not in allowed:
        raise invalid_state(row, allowed, f"The status can't change from {row.status} to {status}.")


def invalid_state(row: Any, allowed: Iterable[str], detail: str) -> InvalidState:
    """Return the error, with the row's status and the statuses allowed next."""
    return InvalidState(detail, status_now=row.status, allowed=sorted(str(status) for status in allowed))


def check_pin(row: Any) -> None:
    """Raise PinStateMismatch unless the PIN code has a prefix of the state."""
    if not pin_fits(row.pin_code, row.state_code):
        raise PinStateMismatch(
            errors=[
                FieldError(
                    "/pin_code", "state", "The PIN code doesn't belong to the state. Correct one of them."
                )
            ]
        )
