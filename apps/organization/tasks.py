"""What runs without a caller: what a second person decided, and the doctor's look at the coming year."""

from typing import Any

from apps.approvals import events as approvals
from apps.organization import services
from apps.organization.models import BankAccount, FinancialYear, Organization, business_date, uncovered
from erp import doctor
from erp.access import SYSTEM
from erp.outbox.subscriber import handles


@handles(approvals.ApprovalGranted)
def carry_out(event: approvals.ApprovalGranted, *, meta: Any) -> None:
    """Put the account to use, or reopen the year."""
    if event.kind == services.BANK_ACCOUNT.name:
        account = BankAccount.objects.get(pk=event.subject_id)
        services.activate_bank_account(account, actor=SYSTEM, approval_id=event.approval_id)
    elif event.kind == services.REOPEN_YEAR.name:
        year = FinancialYear.objects.get(pk=event.subject_id)
        services.settle_reopening(year, actor=SYSTEM, approval_id=event.approval_id)


@handles(
    approvals.ApprovalRefused,
    approvals.ApprovalWithdrawn,
    approvals.ApprovalExpired,
    approvals.ApprovalStaled,
)
def drop(event: approvals.Head, *, meta: Any) -> None:
    """Nothing comes of it: the account is refused, the year stays locked."""
    if event.kind == services.BANK_ACCOUNT.name:
        account = BankAccount.objects.get(pk=event.subject_id)
        services.refuse_bank_account(account, actor=SYSTEM, approval_id=event.approval_id)
    elif event.kind == services.REOPEN_YEAR.name:
        year = FinancialYear.objects.get(pk=event.subject_id)
        services.settle_reopening(year, actor=SYSTEM, approval_id=event.approval_id)


def _coming_year() -> str:
    """From 1 March on, whether each organization has its next year with its series."""
    lacking = list(Organization.objects.filter(uncovered(business_date())).order_by("name"))
    if lacking:
        raise doctor.Wrong(
            f"{len(lacking)} organizations without: {', '.join(str(each.pk) for each in lacking[:3])}",
            "open the financial year, and copy its series, in the admin",
        )
    return "covered"


doctor.of_modules.append(doctor.Look("financial years", _coming_year, "look at the log", after="migrations"))
