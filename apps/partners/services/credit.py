"""Credit limits: dated, cut at once, and above a band approved by a second person (partners §5.8)."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from apps.approvals import services as approvals
from apps.partners import capabilities, events
from apps.partners.models import CreditAccount, CreditLimit, Partner
from erp import clock
from erp.access import Actor
from erp.approvals import ApprovalBand, ApprovalKind, Base
from erp.errors import Conflict, FieldError, RuleBroken
from erp.services import emit, service

DAYS_AHEAD: Final = 90
LONGEST_DAYS: Final = 366
BAND_CURRENCY: Final = "INR"
BAND: Final = Decimal("2500000.00")
DIRECTORS_BAND: Final = Decimal("10000000.00")
_Status = CreditLimit.Status


class CurrencyMismatch(RuleBroken):
    """The limit is in the currency of the partner's account."""


class RangeInvalid(RuleBroken):
    """The days of the limit are invalid."""


class CreditProposalOpen(Conflict):
    """A proposal for this partner waits for its second person."""

    constraints = ("credit_limit_one_proposal",)


class LimitsOverlap(Conflict):
    """A later limit of the partner overlaps these days."""

    constraints = ("credit_limit_apart",)


class CreditNotActive(Conflict):
    """A limit can be raised for an active partner only."""

    code = "partner.not_active"


@service(
    requires=capabilities.MANAGE_CREDIT,
    emits=[events.CreditLimitChanged, events.CreditLimitProposed],
    raises=[CurrencyMismatch, RangeInvalid, CreditProposalOpen, LimitsOverlap, CreditNotActive],
    label="Set credit limit",
)
def set_credit_limit(
    account: CreditAccount,
    *,
    actor: Actor,
    amount: Decimal,
    currency: str,
    valid_from: date,
    reason: str,
    valid_to: date | None = None,
    payment_terms_days: int = 0,
    collateral: dict[str, Any] | None = None,
    on_hold: bool = False,
) -> CreditLimit:
    """Set a credit limit for a range of days. A cut and a stop act at once, whatever the amount.

    Up to 25 lakh, collateral included, one person decides. Above, a second holder approves; above 1 crore that is a
    director. A new range ends the running one on the day before.
    """
    _check_range(account, currency, valid_from, valid_to)
    secured = collateral or {}
    limit = CreditLimit(
        partner_id=account.partner_id,
        account=account,
        amount=amount,
        valid_from=valid_from,
        valid_to=valid_to,
        payment_terms_days=payment_terms_days,
        collateral_kind=secured.get("kind"),
        collateral_value=secured.get("value", Decimal(0)),
        collateral_rate=secured.get("rate", Decimal(0)),
        on_hold=on_hold,
        status=_Status.APPROVED,
        proposed_by_id=actor.pk,
        base_version=account.version,
        reason=reason,
    )
    if not _gives_nothing_more(limit, account):
        if Partner.objects.get(pk=account.partner_id).status != Partner.Status.ACTIVE:
            raise CreditNotActive
        most = _most_given(limit, account)
        if most > BAND or account.currency != BAND_CURRENCY:
            return _propose(limit, account, actor, most)
    limit.approved_by_id = actor.pk
    _put_in_force(limit, account)
    return limit


def _most_given(limit: CreditLimit, account: CreditAccount) -> Decimal:
    """The highest limit that the change gives: the new range's, and where it lifts a stop, any that it frees."""
    if not account.on_hold or limit.on_hold:
        return limit.total
    freed = CreditLimit.objects.filter(account=account, status=_Status.APPROVED).filter(
        Q(valid_to=None) | Q(valid_to__gte=clock.today())
    )
    amounts: list[Decimal] = [limit.total, *(row.total for row in freed)]
    return max(amounts)


def _gives_nothing_more(limit: CreditLimit, account: CreditAccount) -> bool:
    """Whether the new range gives no more than the running one: in amount, days and terms, and lifts no stop."""
    running = account.limit_row(limit.valid_from)
    if account.on_hold and not limit.on_hold:
        return False
    if running is None:
        return not limit.total
    longer = running.valid_to is not None and (limit.valid_to is None or limit.valid_to > running.valid_to)
    later = limit.payment_terms_days > running.payment_terms_days
    return not limit.total or (limit.total <= running.total and not longer and not later)


def _check_range(account: CreditAccount, currency: str, valid_from: date, valid_to: date | None) -> None:
    today = clock.today()
    if currency != account.currency:
        raise CurrencyMismatch(
            errors=[FieldError("/currency", "currency", f"The account is in {account.currency}.")]
        )
    if not today <= valid_from <= today + timedelta(days=DAYS_AHEAD):
        raise RangeInvalid(errors=[FieldError("/valid_from", "range", f"Today to {DAYS_AHEAD} days ahead.")])
    if valid_to is not None and not valid_from <= valid_to <= valid_from + timedelta(days=LONGEST_DAYS):
        raise RangeInvalid(
            errors=[FieldError("/valid_to", "range", f"At most {LONGEST_DAYS} days after the first day.")]
        )


def _propose(limit: CreditLimit, account: CreditAccount, actor: Actor, most: Decimal) -> CreditLimit:
    """Open the request for a second person; in a currency without bands a director decides."""
    if CreditLimit.objects.filter(account=account, status=_Status.PROPOSED).exists():
        raise CreditProposalOpen
    limit.status = _Status.PROPOSED
    request = approvals.request(
        actor=actor,
        kind=CREDIT_LIMIT,
        subject_id=limit.pk,
        subject_name=str(account.partner),
        subject_version=limit.version,
        base=Base("credit_account", account.pk, account.version),
        amount=most,
        currency=account.currency,
        decider_role=None if account.currency == BAND_CURRENCY else "INTERNAL_DIRECTOR",
        reason=limit.reason,
        diff=[
            ("partner", None, str(account.partner)),
            ("amount", None, str(limit.amount)),
            ("collateral", None, str(limit.collateral_value)),
            ("collateral_rate", None, str(limit.collateral_rate)),
            ("on_hold", str(account.on_hold), str(limit.on_hold)),
            ("valid_from", None, str(limit.valid_from)),
            ("valid_to", None, str(limit.valid_to or "")),
            ("payment_terms_days", None, str(limit.payment_terms_days)),
        ],
    )
    limit.approval_id = request.pk
    limit.save()
    emit(
        events.CreditLimitProposed(
            partner_id=account.partner_id,
            credit_limit_id=limit.pk,
            approval_id=request.pk,
            new_amount=limit.total,
            currency=account.currency,
        )
    )
    return limit


def _put_in_force(limit: CreditLimit, account: CreditAccount) -> None:
    """Make a limit count from its first day: the running one ends the day before; the account's version rises."""
    overlapping = CreditLimit.objects.filter(account=account, status=_Status.APPROVED).order_by("valid_from")
    last = limit.valid_to
    old = Decimal("0.00")
    for row in overlapping.locked():
        ends = row.valid_to
        if (ends is not None and ends < limit.valid_from) or (last is not None and row.valid_from > last):
            continue
        if row.valid_from < limit.valid_from:
            old = row.total
            row.valid_to = limit.valid_from - timedelta(days=1)
        elif row.valid_from == limit.valid_from:
            old = row.total
            row.status = _Status.STALE  # replaced before it counted, or on its first day
        else:
            raise LimitsOverlap(valid_from_of_other=str(row.valid_from))
        row.save()
    limit.status = _Status.APPROVED
    limit.save()
    account.on_hold = limit.on_hold
    account.raise_version()
    account.save()
    emit(
        events.CreditLimitChanged(
            partner_id=account.partner_id,
            credit_limit_id=limit.pk,
            old_amount=old,
            new_amount=limit.total,
            currency=account.currency,
            valid_from=limit.valid_from,
            valid_to=limit.valid_to,
            payment_terms_days=limit.payment_terms_days,
            on_hold=limit.on_hold,
            approved_by=limit.approved_by_id,
        )
    )


@service(
    requires=capabilities.MANAGE_CREDIT,
    emits=[events.CreditLimitChanged],
    raises=[LimitsOverlap, CreditNotActive, RangeInvalid],
    lock_via="account",
)
def apply_credit_limit(limit: CreditLimit, *, actor: Actor, request: Any) -> CreditLimit:
    """Put a proposed limit in force, in the transaction of its approval."""
    account = CreditAccount.objects.locked().get(pk=limit.account_id)
    if account.partner.status != Partner.Status.ACTIVE:
        raise CreditNotActive
    limit.valid_from = max(limit.valid_from, clock.today())
    if limit.valid_to is not None and limit.valid_to < limit.valid_from:
        raise RangeInvalid("The last day of the limit has passed.")
    limit.approved_by_id = actor.pk
    _put_in_force(limit, account)
    return limit


@service(requires=capabilities.MANAGE_CREDIT, emits=[events.CreditLimitRefused], lock_via="account")
def end_credit_limit(limit: CreditLimit, *, actor: Actor, request: Any) -> CreditLimit:
    """End a proposal whose request was refused, withdrawn, expired or went stale."""
    if limit.status == _Status.PROPOSED:
        limit.status = _Status.STALE if request.status == "stale" else _Status.REFUSED
        limit.save()
        emit(
            events.CreditLimitRefused(
                partner_id=limit.partner_id, credit_limit_id=limit.pk, approval_id=request.pk
            )
        )
    return limit


def _lock_account(limit_id: UUID) -> None:
    """Lock the account before its proposal, as changes of the limit do."""
    account = CreditLimit.objects.filter(pk=limit_id).values("account_id")
    CreditAccount.objects.locked().filter(pk__in=account).first()


CREDIT_LIMIT = ApprovalKind(
    name="partner.credit_limit",
    title="Credit limit",
    subject="credit_limit",
    model="partner.CreditLimit",
    capability=capabilities.MANAGE_CREDIT,
    bands=(ApprovalBand(), ApprovalBand(above=DIRECTORS_BAND, role="INTERNAL_DIRECTOR")),
    locks=_lock_account,
    base_of=lambda limit: Base("credit_account", limit.account_id, limit.account.version),
    apply=apply_credit_limit,
    ended=end_credit_limit,
)
