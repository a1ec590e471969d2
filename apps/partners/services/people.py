"""People of a partner who use the product: planned, invited, active, deactivated (partners §4.2)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from apps.accounts.models import RoleMembership, User
from apps.accounts.services import common, joining, users
from apps.accounts.services import roles as roles_services
from apps.partners import capabilities, events
from apps.partners.models import Partner, PartnerEmployee
from apps.partners.services.rules import (
    InvalidState,
    lock_partner_of,
    require_additions,
    roles_of,
    touch,
)
from erp import clock
from erp.access import SYSTEM, Actor
from erp.errors import Conflict, FieldError, RuleBroken
from erp.services import attempt, emit, service

PLANNED_AT_MOST: Final = 5
INVITATION_DAYS: Final = 7
ADMIN: Final = "PARTNER_ADMIN"
_Status = PartnerEmployee.Status


class RolesNotHeld(RuleBroken):
    """The partner doesn't hold these roles."""


class EmailDomainRefused(RuleBroken):
    """Addresses of this domain aren't accepted."""


class EmployeeDuplicate(Conflict):
    """This e-mail address is an employee of the partner already."""

    constraints = ("employee_once",)


class EmployeeUnavailable(Conflict):
    """This person can't be invited."""


class EmployeeLimit(Conflict):
    """No more people can be added now."""


class LastAdmin(Conflict):
    """The partner needs an administrator: make another one first."""


INVITATION_ERRORS: Final = (
    EmployeeUnavailable, roles_services.RoleNotAllowed,
    roles_services.RoleRequired,
    roles_services.RolesIncompatible, common.TooManyMails,
)  # fmt: skip


@service(
    requires=capabilities.MANAGE_EMPLOYEES,
    emits=[events.EmployeeInvited],
    raises=[
        InvalidState,
        RolesNotHeld,
        EmailDomainRefused,
        EmployeeDuplicate,
        EmployeeLimit,
        *INVITATION_ERRORS,
    ],
    label="Add employee",
)
def invite_employee(
    partner: Partner,
    *,
    actor: Actor,
    name: str,
    email: str,
    phone: str,
    roles: Sequence[str],
    designation: str | None = None,
) -> PartnerEmployee:
    """Invite a person. Before the partner is approved the person is only planned: no user, no mail."""
    require_additions(partner)
    allowed = {ADMIN, *(role.role.upper() for role in roles_of(partner))}
    if beyond := sorted(set(roles) - allowed):
        raise RolesNotHeld(
            errors=[FieldError("/roles", "not_held", f"The partner doesn't hold {', '.join(beyond)}.")]
        )
    if email.rpartition("@")[2] in settings.PARTNER_REFUSED_EMAIL_DOMAINS:
        raise EmailDomainRefused(errors=[FieldError("/email", "domain", EmailDomainRefused.title)])
    held = PartnerEmployee.objects.filter(partner=partner, status__in=PartnerEmployee.LIVE)
    if held.filter(email=email).exists():
        raise EmployeeDuplicate
    active = partner.status == Partner.Status.ACTIVE
    most = settings.PARTNER_MAX_EMPLOYEES if active else PLANNED_AT_MOST
    if most is not None and held.count() >= most:
        raise EmployeeLimit(f"At most {most} people.")
    employee = PartnerEmployee(
        partner=partner, name=name, email=email, phone=phone, roles=sorted(roles), designation=designation
    )
    employee.save()
    if active:
        invite(employee, actor)
    else:
        touch(partner, actor)
        _emit_invited(employee, held=True)
    return employee


def invite(employee: PartnerEmployee, actor: Actor) -> None:
    """Create the person's user with an invitation. Raises EmployeeUnavailable, which says no more."""
    try:
        user = joining.invite(
            actor=SYSTEM if actor.pk is None else actor,
            email=employee.email,
            full_name=employee.name,
            user_type=User.Type.EXTERNAL,
            roles=employee.roles,
            partner_id=employee.partner_id,
        )
    except joining.IdentifierUnavailable:
        raise EmployeeUnavailable from None
    employee.user, employee.status, employee.invited_at = user, _Status.INVITED, clock.now()
    employee.save()
    _emit_invited(employee, held=False)


def invite_planned(employee: PartnerEmployee, actor: Actor) -> None:
    """Invite a planned person at the approval; who can't be invited lapses and holds nothing up."""
    try:
        with attempt():
            invite(employee, actor)
    except (EmployeeUnavailable, common.TooManyMails):
        employee.user, employee.status, employee.invited_at = None, _Status.LAPSED, None
        employee.save()
        emit(events.EmployeeLapsed(partner_id=employee.partner_id, employee_id=employee.pk))


def _emit_invited(employee: PartnerEmployee, *, held: bool) -> None:
    emit(
        events.EmployeeInvited(
            partner_id=employee.partner_id, employee_id=employee.pk, roles=employee.roles, held=held
        )
    )


@service(
    requires=capabilities.MANAGE_EMPLOYEES,
    emits=[events.EmployeeDeactivated],
    raises=[InvalidState, LastAdmin, users.OwnAccount, joining.InvalidState, roles_services.RoleNotAllowed],
    lock_via=lock_partner_of,
    label="Deactivate",
)
def deactivate_employee(employee: PartnerEmployee, *, actor: Actor) -> PartnerEmployee:
    """Deactivate a person. All sessions end in the same transaction. The last administrator stays."""
    if employee.status not in PartnerEmployee.LIVE:
        raise InvalidState.of_status(employee)
    user = employee.user
    if user is not None:
        if ADMIN in user.role_names:
            require_other_admin(employee.partner_id, user)
        if user.status in (User.Status.ACTIVE, User.Status.INVITED):
            users.deactivate(user, actor=actor, reason_code="left")
    employee.status, employee.deactivated_at, employee.deactivated_by_id = (
        _Status.DEACTIVATED, clock.now(), actor.pk,
    )  # fmt: skip
    employee.save()
    touch(Partner.objects.get(pk=employee.partner_id), actor)
    emit(events.EmployeeDeactivated(partner_id=employee.partner_id, employee_id=employee.pk))
    return employee


def administrators(partner_id: UUID) -> Any:
    """Active administrators of a partner, and whoever applies for it."""
    held = RoleMembership.objects.filter(role__name__in=[ADMIN, "APPLICANT"])
    return User.objects.filter(
        partner_id=partner_id, status=User.Status.ACTIVE, pk__in=held.values("user_id")
    )


def require_other_admin(partner_id: UUID, user: User) -> None:
    """Raise LastAdmin unless somebody else administers the partner."""
    admins = RoleMembership.objects.filter(role__name=ADMIN, user__partner_id=partner_id)
    if not admins.filter(user__status=User.Status.ACTIVE).exclude(user=user).exists():
        raise LastAdmin


@service(requires=capabilities.OPERATE, emits=[events.EmployeeActivated], lock_via=lock_partner_of)
def activate_employee(employee: PartnerEmployee, *, actor: Actor) -> PartnerEmployee:
    """Note that an invited person accepted."""
    if employee.status == _Status.INVITED:
        employee.status, employee.activated_at = _Status.ACTIVE, clock.now()
        employee.save()
        emit(events.EmployeeActivated(partner_id=employee.partner_id, employee_id=employee.pk))
    return employee


@service(requires=capabilities.OPERATE, emits=[events.EmployeeLapsed], lock_via=lock_partner_of)
def lapse_employee(employee: PartnerEmployee, *, actor: Actor) -> PartnerEmployee:
    """Note that an invitation ran out."""
    last = clock.now() - timedelta(days=INVITATION_DAYS)
    if employee.status == _Status.INVITED and employee.invited_at is not None and employee.invited_at < last:
        employee.status = _Status.LAPSED
        employee.save()
        emit(events.EmployeeLapsed(partner_id=employee.partner_id, employee_id=employee.pk))
    return employee
