"""Amendments of approved partners: requested, decided by tier, applied on their day (partners §5.7)."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Sum

from apps.accounts.services import roles, users
from apps.partners import capabilities, events
from apps.partners.models import (
    Amendment,
    AmendmentChange,
    CreditAccount,
    CreditLimit,
    KycCheck,
    OpenExposure,
    Partner,
    PartnerBankAccount,
    PartnerEmployee,
    PartnerLocation,
    TaxRegistration,
    Vehicle,
)
from apps.partners.models.partners import ADDRESS
from apps.partners.services import permissions
from apps.partners.services.checks import ask
from apps.partners.services.decisions import is_director
from apps.partners.services.people import ADMIN, LastAdmin, require_other_admin
from apps.partners.services.rules import (
    InvalidState,
    PanMismatch,
    PinStateMismatch,
    check_address,
    lock_partner_of,
    open_round,
    require_another_person,
    roles_of,
)
from apps.partners.services.submission import free_claims
from erp import access, clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Forbidden, Invalid, RuleBroken
from erp.identifiers import GSTIN, holder_fits
from erp.services import emit, service

DAYS_AHEAD: Final = 90
DAYS_TO_DECIDE: Final = 30
_LOW, _MEDIUM, _HIGH = Amendment.Tier.LOW, Amendment.Tier.MEDIUM, Amendment.Tier.HIGH
_Status = Amendment.Status
# What can be amended, and its tier. Status, KYC, score and credit never are.
TIERS: Final[dict[tuple[str, str], str]] = {
    ("partner", "legal_name"): _HIGH,
    ("partner", "legal_form"): _HIGH,
    ("partner", "pan"): _HIGH,
    ("partner", "foreign_tax_id"): _HIGH,
    ("partner", "address"): _HIGH,
    ("partner", "close_account"): _HIGH,
    ("partner", "contact_email"): _MEDIUM,
    ("partner", "contact_phone"): _MEDIUM,
    ("partner", "trade_name"): _LOW,
    ("partner", "contact_name"): _LOW,
    ("partner", "can_arrange_transport"): _LOW,
    ("partner", "has_quality_lab"): _LOW,
    ("location", "address"): _MEDIUM,
    ("location", "name"): _LOW,
    ("location", "contact_name"): _LOW,
    ("location", "contact_phone"): _LOW,
    ("location", "status"): _LOW,
    ("vehicle", "owner_name"): _MEDIUM,
    ("vehicle", "status"): _LOW,
    ("employee", "roles"): _MEDIUM,
    ("bank_account", "is_primary"): _HIGH,
    ("bank_account", "status"): _HIGH,
}
_MODELS: Final[dict[str, Any]] = {
    "location": PartnerLocation,
    "vehicle": Vehicle,
    "employee": PartnerEmployee,
    "bank_account": PartnerBankAccount,
}
_ORDER: Final = (_LOW, _MEDIUM, _HIGH)


class FieldNotAmendable(RuleBroken):
    """This field can't be changed by an amendment."""


class NoChange(RuleBroken):
    """The value is the present one."""


class AmendmentOpen(Conflict):
    """Another amendment of this field is open."""

    constraints = ("amendment_one_open_change",)


class AmendmentStale(Conflict):
    """The field has changed since the amendment was requested."""


class NotActive(Conflict):
    """The partner isn't active."""


class TierNotAllowed(Forbidden):
    """A director must decide on this amendment."""


class AccountInUse(Conflict):
    """The partner still has exposure or an open file."""


class HolderClassMismatch(RuleBroken):
    """The PAN's fourth letter denotes another legal form."""


APPLY_ERRORS: Final = (
    NotActive,
    LastAdmin,
    PanMismatch,
    InvalidState,
    PinStateMismatch, AmendmentStale, AccountInUse, HolderClassMismatch, roles.RoleNotAllowed, roles.RoleRequired,
    roles.RolesIncompatible,
)  # fmt: skip
APPLY_EVENTS: Final = (
    events.AmendmentApplied, events.AmendmentStaled, events.PermissionsChanged, events.PartnerBankAccountClosed,
    events.PrimaryAccountChanged, events.PartnerClosed,
)  # fmt: skip


@service(
    requires=capabilities.UPDATE,
    emits=[events.AmendmentRequested, events.AmendmentApproved, *APPLY_EVENTS],
    raises=[NotActive, FieldNotAmendable, NoChange, AmendmentOpen, *APPLY_ERRORS],
    label="Request amendment",
)
def request_amendment(
    partner: Partner,
    *,
    actor: Actor,
    changes: Sequence[dict[str, Any]],
    reason: str,
    effective_date: date | None = None,
) -> Amendment:
    """Request changes of an approved partner. The highest tier among them decides; low ones count at once.

    Old values stay with the amendment. One field has one open change.
    """
    closes = {(change["target"], change["field"]) for change in changes} == {("partner", "close_account")}
    _require_standing(partner, closes=closes)
    today = clock.today()
    day = effective_date or today
    if not today <= day <= today + timedelta(days=DAYS_AHEAD):
        raise Invalid(errors=[FieldError("/effective_date", "range", f"Today to {DAYS_AHEAD} days ahead.")])
    tier = max((_tier(change, number) for number, change in enumerate(changes)), key=_ORDER.index)
    amendment = Amendment(
        partner=partner,
        tier=tier,
        reason=reason,
        effective_date=day,
        impact=_impact(partner),
        requested_by_id=actor.pk,
        expires_at=clock.now() + timedelta(days=DAYS_TO_DECIDE),
    )
    amendment.save()
    rows = [_add(amendment, partner, change, number, actor) for number, change in enumerate(changes)]
    emit(
        events.AmendmentRequested(
            partner_id=partner.pk,
            amendment_id=amendment.pk,
            tier=tier,
            targets=sorted({row.target for row in rows}),
            fields=[f"{row.target}.{row.field}" for row in rows],
            effective_date=day,
        )
    )
    if tier == _LOW:
        _approve(amendment, actor, "")
    return amendment


def _require_standing(partner: Partner, *, closes: bool) -> None:
    """Raise NotActive unless the partner is active; a suspended one can only be closed."""
    if partner.status != Partner.Status.ACTIVE and not (
        closes and partner.status == Partner.Status.SUSPENDED
    ):
        raise NotActive


def _tier(change: dict[str, Any], number: int) -> str:
    tier = TIERS.get((change["target"], change["field"]))
    if tier is None:
        raise FieldNotAmendable(
            errors=[FieldError(f"/changes/{number}/field", "not_amendable", FieldNotAmendable.title)]
        )
    return tier


def _add(
    amendment: Amendment, partner: Partner, change: dict[str, Any], number: int, actor: Actor
) -> AmendmentChange:
    target, name, value = change["target"], change["field"], change["value"]
    if target == "employee":
        access.authorize(actor, capabilities.MANAGE_EMPLOYEES, partner)
    if target == "bank_account":
        access.authorize(actor, capabilities.MANAGE_BANK_ACCOUNTS, partner)
    row = _row(partner, target, change.get("target_id"), f"/changes/{number}/target_id")
    if name == "address":
        if value.setdefault("country", row.country) != row.country:
            words = "An amendment can't change the country."
            raise Invalid(errors=[FieldError(f"/changes/{number}/value/country", "country", words)])
        check_address(value, pointer=f"/changes/{number}/value")
    old = _present(row, name)
    if old == value:
        raise NoChange(errors=[FieldError(f"/changes/{number}/value", "no_change", NoChange.title)])
    made = AmendmentChange(partner=partner, amendment=amendment, target=target, target_id=row.pk, field=name)
    made.old, made.new = json.dumps(old), json.dumps(value)
    made.save()
    return made


def _row(partner: Partner, target: str, key: UUID | None, pointer: str) -> Any:
    if target == "partner":
        return partner
    row = _MODELS[target].objects.filter(partner=partner, pk=key).first()
    if row is None:
        raise Invalid(errors=[FieldError(pointer, "does_not_exist", "The partner has no such row.")])
    return row


def _present(row: Any, name: str) -> Any:
    """The present value as JSON has it."""
    if name == "address":
        return {part: getattr(row, part) for part in ADDRESS if getattr(row, part) is not None}
    if name == "close_account":
        return row.status == Partner.Status.CLOSED
    return getattr(row, name)


def _impact(partner: Partner) -> dict[str, Any]:
    """Open sources of the ledger by side: how many, and their value."""
    rows = OpenExposure.objects.filter(account=partner.pk, amount__gt=0).values("side").order_by("side")
    return {
        line["side"]: {"sources": line["sources"], "amount": str(line["amount"])}
        for line in rows.annotate(
            sources=Count("source_id", distinct=True), amount=Sum("amount", default=Decimal(0))
        )
    }


@service(
    requires=capabilities.APPROVE_AMENDMENT,
    emits=[events.AmendmentApproved, *APPLY_EVENTS],
    raises=[InvalidState, TierNotAllowed, *APPLY_ERRORS],
    lock_via=lock_partner_of,
    label="Approve amendment",
)
def approve_amendment(amendment: Amendment, *, actor: Actor, note: str = "") -> Amendment:
    """Approve an amendment. Whoever requested it can't. It is applied on its day, at the earliest now."""
    _require_pending(amendment, actor)
    _approve(amendment, actor, note)
    return amendment


def _require_pending(amendment: Amendment, actor: Actor) -> None:
    if amendment.status != _Status.PENDING:
        raise InvalidState.of_status(amendment)
    require_another_person(actor, amendment.requested_by_id)
    if amendment.tier == _HIGH and not is_director(actor):
        raise TierNotAllowed


def _approve(amendment: Amendment, actor: Actor, note: str) -> None:
    if any(_is_stale(change) for change in amendment.changes.all()):
        raise AmendmentStale
    amendment.status, amendment.decision_note = _Status.APPROVED, note or None
    amendment.decided_by_id, amendment.decided_at = actor.pk, clock.now()
    amendment.save()
    emit(
        events.AmendmentApproved(
            partner_id=amendment.partner_id,
            amendment_id=amendment.pk,
            tier=amendment.tier,
            effective_date=amendment.effective_date,
            approved_by=actor.pk,
        )
    )
    if amendment.effective_date <= clock.today():
        _apply(amendment, actor)


def _is_stale(change: AmendmentChange) -> bool:
    row = _row(change.partner, change.target, change.target_id, "/changes")
    return bool(_present(row, change.field) != change.old_value)


def _apply(amendment: Amendment, actor: Actor) -> None:
    """Set the new values; every other open change of these fields becomes stale."""
    changes = list(amendment.changes.order_by("id"))
    partner = Partner.objects.get(pk=amendment.partner_id)
    _require_standing(partner, closes=[change.field for change in changes] == ["close_account"])
    for change in changes:
        change.is_open = False
        change.save()
        row = (
            partner
            if change.target == "partner"
            else _row(partner, change.target, change.target_id, "/changes")
        )
        _set(partner, row, change, actor)
    amendment.status = _Status.APPLIED
    amendment.save()
    permissions.recompute(partner)
    emit(
        events.AmendmentApplied(
            partner_id=amendment.partner_id,
            amendment_id=amendment.pk,
            targets=sorted({change.target for change in changes}),
            fields=[f"{change.target}.{change.field}" for change in changes],
        )
    )


def _set(partner: Partner, row: Any, change: AmendmentChange, actor: Actor) -> None:
    name, value = change.field, change.new_value
    if name == "address":
        for part in ADDRESS:
            setattr(row, part, value.get(part, "IN" if part == "country" else None))
    elif name == "close_account":
        _close(partner)
    elif change.target == "bank_account":
        _set_account(row, name, value)
    elif change.target == "employee":
        allowed = ["PARTNER_ADMIN", *(role.role.upper() for role in roles_of(partner))]
        if ADMIN not in value and row.user is not None and ADMIN in row.user.role_names:
            require_other_admin(partner.pk, row.user)
        if row.user is not None:
            users.set_partner_roles(row.user, actor=actor, roles=value, within=allowed)
        row.roles = sorted(value)
    else:
        setattr(row, name, value)
        if change.target == "location" and name == "status":
            row.default_ship_from = row.default_ship_to = False
    judged = change.target == "partner" and name in ("pan", "legal_form") and partner.pan is not None
    if judged and not holder_fits(str(partner.pan), partner.legal_form):
        raise HolderClassMismatch
    if change.target == "partner" and name == "pan" and _is_of_another_pan(partner):
        raise PanMismatch
    row.save()
    if change.target == "partner" and name in ("pan", "legal_name"):
        asked_by = change.amendment.requested_by_id
        ask(partner, KycCheck.Kind.PAN, partner.pk, None, asked_by=asked_by)


def _is_of_another_pan(partner: Partner) -> bool:
    """Whether a claimed GST registration contains another PAN than the partner's."""
    inside = (
        GSTIN.parts(r.gstin).get("pan") for r in TaxRegistration.objects.filter(partner=partner, claimed=True)
    )
    return any(pan is not None and pan != partner.pan for pan in inside)


def _close(partner: Partner) -> None:
    """Close the partner under the lock of its credit, which ends; nobody can take a hold meanwhile."""
    CreditAccount.objects.locked().filter(pk=partner.pk).first()
    open_exposure = OpenExposure.objects.filter(account=partner.pk, amount__gt=0)
    if open_exposure.exists() or open_round(partner) is not None:
        raise AccountInUse
    partner.status = Partner.Status.CLOSED
    yesterday = clock.today() - timedelta(days=1)
    for limit in CreditLimit.objects.filter(account=partner.pk, status=CreditLimit.Status.APPROVED):
        if limit.valid_to is None or limit.valid_to > yesterday:
            if limit.valid_from > yesterday:
                limit.status = CreditLimit.Status.STALE
            else:
                limit.valid_to = yesterday
            limit.save()
    free_claims(partner)
    emit(events.PartnerClosed(partner_id=partner.pk, cause="amendment"))


def _set_account(account: PartnerBankAccount, name: str, value: Any) -> None:
    rows = PartnerBankAccount.objects.filter(
        partner=account.partner_id, currency=account.currency, is_primary=True
    )
    if name == "is_primary":
        if account.status != PartnerBankAccount.Status.VERIFIED:
            raise InvalidState.of_status(account, "Only a verified account can be the primary one.")
        former = rows.exclude(pk=account.pk).locked().first()
        if former is not None:
            former.is_primary = False
            former.save()
        account.is_primary = True
        emit(
            events.PrimaryAccountChanged(
                partner_id=account.partner_id, bank_account_id=account.pk, previous_id=former and former.pk
            )
        )
    else:
        account.status, account.is_primary = PartnerBankAccount.Status.CLOSED, False
        emit(events.PartnerBankAccountClosed(partner_id=account.partner_id, bank_account_id=account.pk))


@service(
    requires=capabilities.APPROVE_AMENDMENT,
    emits=[events.AmendmentRejected],
    raises=[InvalidState, TierNotAllowed],
    lock_via=lock_partner_of,
    label="Reject amendment",
)
def reject_amendment(amendment: Amendment, *, actor: Actor, reason_code: str, reason: str) -> Amendment:
    """Reject an amendment, with a reason that the partner reads."""
    _require_pending(amendment, actor)
    amendment.reason_code, amendment.decision_note = reason_code, reason
    amendment.decided_by_id, amendment.decided_at = actor.pk, clock.now()
    _end(amendment, _Status.REJECTED)
    emit(
        events.AmendmentRejected(
            partner_id=amendment.partner_id, amendment_id=amendment.pk, reason_code=reason_code
        )
    )
    return amendment


@service(
    requires=capabilities.UPDATE,
    emits=[events.AmendmentWithdrawn],
    raises=[InvalidState],
    lock_via=lock_partner_of,
    label="Withdraw amendment",
)
def withdraw_amendment(amendment: Amendment, *, actor: Actor) -> Amendment:
    """Withdraw an amendment that isn't applied yet."""
    if amendment.status not in Amendment.OPEN:
        raise InvalidState.of_status(amendment)
    _end(amendment, _Status.WITHDRAWN)
    emit(events.AmendmentWithdrawn(partner_id=amendment.partner_id, amendment_id=amendment.pk))
    return amendment


def _end(amendment: Amendment, status: str) -> None:
    for change in amendment.changes.filter(is_open=True):
        change.is_open = False
        change.save()
    amendment.status = status
    amendment.save()


@service(
    requires=capabilities.OPERATE,
    emits=[events.AmendmentLapsed, *APPLY_EVENTS],
    raises=APPLY_ERRORS,
    lock_via=lock_partner_of,
)
def keep_amendment(amendment: Amendment, *, actor: Actor) -> Amendment:
    """Apply an approved amendment on its day, mark it stale where its field changed, or let it lapse."""
    if amendment.status == _Status.PENDING and amendment.expires_at <= clock.now():
        _end(amendment, _Status.LAPSED)
        emit(events.AmendmentLapsed(partner_id=amendment.partner_id, amendment_id=amendment.pk))
    elif amendment.status == _Status.APPROVED and amendment.effective_date <= clock.today():
        if any(_is_stale(change) for change in amendment.changes.all()):
            _end(amendment, _Status.STALE)
            emit(events.AmendmentStaled(partner_id=amendment.partner_id, amendment_id=amendment.pk))
        else:
            _apply(amendment, actor)
    return amendment
