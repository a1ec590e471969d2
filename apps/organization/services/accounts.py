"""Services of the company's bank accounts, which are used only after a second person approved them."""

import re
from typing import Any
from uuid import UUID

from apps.approvals import services as approvals
from apps.organization import capabilities, events
from apps.organization.models import BankAccount, Organization
from apps.organization.services.rules import (
    Inactive,
    InvalidState,
    check_transition,
    invalid_state,
    lock_organization_of,
    record_editor,
    require_active,
)
from erp.access import Actor
from erp.approvals import ApprovalKind
from erp.errors import CapabilityMissing, Conflict, FieldError, RuleBroken
from erp.services import emit, service

RUPEES = "INR"
_SEPARATORS = re.compile("[ -]")


class BankAccountTaken(Conflict):
    """This bank account exists already."""

    constraints = ("bank_account_once",)


class DefaultRequired(Conflict):
    """This account is the default of its currency: make another one the default first."""


class NotActive(Conflict):
    """Only an active account can be the default."""


class NumbersDiffer(RuleBroken):
    """The two account numbers differ."""


class BankCodeMismatch(RuleBroken):
    """An account in rupees needs an IFSC, one in another currency a SWIFT code."""


def canonical_number(text: str) -> str:
    """Return an account number without spaces and hyphens, in capitals, with leading zeros."""
    return _SEPARATORS.sub("", text).upper()


@service(
    requires=capabilities.MANAGE_BANK_ACCOUNTS,
    emits=[events.BankAccountAdded],
    raises=[BankAccountTaken, Inactive, NumbersDiffer, BankCodeMismatch],
)
def add_bank_account(
    organization: Organization,
    *,
    actor: Actor,
    holder: str,
    bank_name: str,
    number: str,
    number_again: str,
    account_type: str,
    branch_name: str | None = None,
    ifsc: str | None = None,
    swift: str | None = None,
    currency: str = RUPEES,
    purpose: str = BankAccount.Purpose.BOTH,
    is_default: bool = False,
) -> BankAccount:
    """Add a bank account. It can't be used until it is approved.

    The number is entered twice and stored encrypted; only its last four characters are shown. A new default of its
    currency takes effect with the approval.
    """
    require_active(organization)
    if canonical_number(number) != canonical_number(number_again):
        raise NumbersDiffer(
            errors=[
                FieldError("/number_again", "differs", "The numbers differ. Enter the same number twice.")
            ]
        )
    if (currency == RUPEES) != (ifsc is not None) or (currency == RUPEES) == (swift is not None):
        wrong = "/ifsc" if (currency == RUPEES) != (ifsc is not None) else "/swift"
        raise BankCodeMismatch(
            errors=[
                FieldError(
                    wrong, "currency", "Enter the IFSC for rupees, the SWIFT code for other currencies."
                )
            ]
        )
    account = BankAccount(
        organization=organization,
        holder=holder,
        bank_name=bank_name,
        branch_name=branch_name,
        ifsc=ifsc,
        swift=swift,
        account_type=account_type,
        currency=currency,
        purpose=purpose,
        wants_default=is_default,
        proposed_by_id=_require_person(actor),
        created_by_id=actor.pk,
    )
    account.set_number(canonical_number(number))
    account.approval_id = _request_approval(
        account, actor, account.version, "New bank account of the company."
    )
    account.save()
    emit(
        events.BankAccountAdded(
            organization_id=organization.pk,
            bank_account_id=account.pk,
            last4=account.last4,
            currency=currency,
            account_type=account_type,
            approval_id=account.approval_id,
        )
    )
    return account


@service(
    requires=capabilities.MANAGE_BANK_ACCOUNTS,
    emits=[events.BankAccountUpdated],
    raises=[DefaultRequired, NotActive, InvalidState, BankAccountTaken],
    lock_via="organization",  # so that concurrent changes leave one default account
)
def update_bank_account(
    account: BankAccount,
    *,
    actor: Actor,
    purpose: str,
    is_default: bool,
    status: str,
    branch_name: str | None = None,
) -> BankAccount:
    """Update a bank account.

    Holder, number and codes can't change: add another account instead. Making one active again needs an approval.
    """
    before = account.status
    if before not in (BankAccount.Status.ACTIVE, BankAccount.Status.INACTIVE):
        raise invalid_state(account, (), "The account is pending approval or was refused.")
    if account.is_default and not (is_default and status == BankAccount.Status.ACTIVE):
        raise DefaultRequired
    if is_default and status != BankAccount.Status.ACTIVE:
        raise NotActive(
            errors=[FieldError("/is_default", "inactive", "Only an active account can be the default.")]
        )
    reactivates = status == BankAccount.Status.ACTIVE and status != before
    becomes_default = is_default and not account.is_default and not reactivates
    account.purpose = purpose
    account.branch_name = branch_name
    account.is_default = is_default and not reactivates
    if status != before:
        check_transition(account, status)
        account.status = BankAccount.Status.PENDING_APPROVAL if reactivates else status
    record_editor(account, actor)
    if reactivates:
        account.wants_default = is_default
        account.proposed_by_id, account.approved_by_id = _require_person(actor), None
        # Saving raises the version by one, so this is the version that the approver sees.
        account.approval_id = _request_approval(
            account, actor, account.version + 1, "Bank account of the company to be made active again."
        )
    changed = account.changed_fields().keys() & {"purpose", "branch_name", "is_default", "status"}
    if becomes_default:
        _unset_former_default(account)
    account.save()
    if changed:
        _emit_updated(account, sorted(changed))
    return account


@service(
    requires=capabilities.MANAGE_BANK_ACCOUNTS,
    emits=[events.BankAccountActivated, events.BankAccountUpdated],
    lock_via="organization",
)
def activate_bank_account(account: BankAccount, *, actor: Actor, request: Any) -> BankAccount:
    """Activate a bank account after its approval."""
    account.status, account.editors = BankAccount.Status.ACTIVE, []
    account.approved_by_id = actor.pk
    account.is_default, account.wants_default = account.wants_default, False
    if account.is_default:
        _unset_former_default(account)
    account.save()
    emit(
        events.BankAccountActivated(
            organization_id=account.organization_id, bank_account_id=account.pk, approval_id=request.pk
        )
    )
    return account


@service(
    requires=capabilities.MANAGE_BANK_ACCOUNTS, emits=[events.BankAccountRefused], lock_via="organization"
)
def refuse_bank_account(account: BankAccount, *, actor: Actor, request: Any) -> BankAccount:
    """Refuse a bank account whose request was rejected, withdrawn or expired."""
    if account.status == BankAccount.Status.PENDING_APPROVAL and account.approval_id == request.pk:
        account.status, account.editors = BankAccount.Status.REFUSED, []
        account.save()
        emit(
            events.BankAccountRefused(
                organization_id=account.organization_id, bank_account_id=account.pk, approval_id=request.pk
            )
        )
    return account


BANK_ACCOUNT = ApprovalKind(
    name="organization.bank_account",
    title="Company bank account",
    subject="bank_account",
    model="organization.BankAccount",
    capability=capabilities.MANAGE_BANK_ACCOUNTS,
    reauthenticate=True,
    locks=lock_organization_of(BankAccount),
    apply=activate_bank_account,
    ended=refuse_bank_account,
)


@service(
    label="Show account number",
    requires=capabilities.MANAGE_BANK_ACCOUNTS,
    emits=[events.BankAccountNumberShown],
)
def show_number(account: BankAccount, *, actor: Actor) -> str:
    """Show the full account number. The audit trail records who saw it."""
    shown_to = _require_person(actor)
    number = account.decrypt_number()
    emit(
        events.BankAccountNumberShown(
            organization_id=account.organization_id, bank_account_id=account.pk, shown_to=shown_to
        )
    )
    return number


def _require_person(actor: Actor) -> UUID:
    """Return the user's id. Raises CapabilityMissing for SYSTEM: an account needs two people."""
    if actor.pk is None:
        raise CapabilityMissing(str(capabilities.MANAGE_BANK_ACCOUNTS))
    person: UUID = actor.pk
    return person


def _request_approval(account: BankAccount, actor: Actor, version: int, reason: str) -> UUID:
    request = approvals.request(
        actor=actor,
        kind=BANK_ACCOUNT,
        subject_id=account.pk,
        subject_name=str(account),
        subject_version=version,
        reason=reason,
        excluded=account.editors,
        diff=[
            ("status", None, BankAccount.Status.ACTIVE.label),
            ("organization", None, account.organization.name),
            ("bank", None, account.bank_name),
            ("holder", None, account.holder),
            ("ends_in", None, account.last4),
            ("bank_code", None, account.ifsc or account.swift),
            ("currency", None, account.currency),
            ("default", None, account.wants_default),
        ],
    )
    approval_id: UUID = request.pk
    return approval_id


def _unset_former_default(account: BankAccount) -> None:
    """Make the former default account of the currency an ordinary one, if there is any."""
    rows = BankAccount.objects.filter(organization=account.organization_id, currency=account.currency)
    former = rows.filter(is_default=True).exclude(pk=account.pk).locked().first()
    if former is not None:
        former.is_default = False
        former.save()
        _emit_updated(former, ["is_default"])


def _emit_updated(account: BankAccount, changed: list[str]) -> None:
    emit(
        events.BankAccountUpdated(
            organization_id=account.organization_id,
            bank_account_id=account.pk,
            last4=account.last4,
            currency=account.currency,
            account_type=account.account_type,
            status=account.status,
            is_default=account.is_default,
            changed=changed,
        )
    )
