"""Payments of a trade: recorded with their TDS, allocated, reversed when they bounce (trades §4, §5.8)."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q

from apps.partners.models import Partner
from apps.partners.services import exposure
from apps.trades import capabilities, events
from apps.trades import engine as engines
from apps.trades.engine import errors
from apps.trades.engine import terms as t
from apps.trades.engine.facts import PaymentKind
from apps.trades.engine.settlement import Missing, Posting
from apps.trades.engine.v1 import closing
from apps.trades.engine.v1 import payments as allocation
from apps.trades.models import (
    Deadline,
    LedgerEntry,
    Payment,
    PaymentAllocation,
    PositionEntry,
    TaxPosition,
    Trade,
)
from apps.trades.services import credit, facts, gathering, ledger, positions, rules, settlement
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid, RuleBroken
from erp.services import emit, service

_Status = Trade.Status
RUNNING: Final = (_Status.APPROVED, _Status.IN_EXECUTION, _Status.DELIVERED)
AFTER_CANCEL: Final = (PaymentKind.WASHOUT.value, PaymentKind.REFUND.value, PaymentKind.REVERSAL.value)
GOODS: Final = (PaymentKind.ADVANCE.value, PaymentKind.BALANCE.value)
# What an allocation may name: the goods, and the reasons of notes and other documents.
OBLIGATIONS: Final = (
    "ADVANCE", "BALANCE", "CARRYING", "CLAIM", "TRUE_UP", "RETURN", "AWARD", "BROKERAGE", "WASHOUT", "REFUND",
)  # fmt: skip


class PaymentReferenceUsed(Conflict):
    """A payment with this reference was recorded before."""

    constraints = ("payment_reference_once",)


class AlreadyReversed(Conflict):
    """The payment was reversed before."""


class CurrencyMismatch(RuleBroken):
    """The payment isn't in the contract's currency."""


class NotAParty(RuleBroken):
    """Payer and payee are parties of the trade."""


@service(
    requires=capabilities.RECORD_PAYMENT,
    emits=[events.TradePaymentRecorded],
    raises=[
        rules.InvalidState, rules.DateInFuture, PaymentReferenceUsed, AlreadyReversed, CurrencyMismatch, NotAParty,
        errors.OverAllocated, errors.FactsMissing, errors.TaxRuleMissing, errors.SnapshotDamaged,
        *settlement.YEAR_ERRORS,
    ],
    label="Record payment",
    description="Record what one party paid another. TDS on an advance is computed.",
)  # fmt: skip
def record_payment(
    trade: Trade,
    *,
    actor: Actor,
    kind: str,
    payer: Partner,
    payee: Partner,
    amount: Decimal,
    currency: str,
    paid_date: date,
    method: str,
    reference: str,
    allocations: Iterable[Mapping[str, Any]] = (),
    reverses_payment: Payment | None = None,
) -> Payment:
    """Record a payment, or the reversal of one that bounced.

    Without allocations it goes to the oldest obligation due; the rest stays on account. Raises FactsMissing where the
    TDS position of an advance is missing.
    """
    _require_kind(trade, kind)
    settlement.require_open_date(trade, actor, paid_date, "/paid_date")
    if currency != trade.currency:
        raise CurrencyMismatch.at("/currency", "currency", f"The contract is in {trade.currency}.")
    original = _reversed(trade, kind, payer, payee, amount, paid_date, reverses_payment)
    _require_parties(trade, kind, payer, payee)
    parts = _parts(allocations, amount)
    exposure.lock_accounts([trade.seller_id, trade.buyer_id])
    tds, position, deduction = _tds_on_advance(trade, kind, amount, paid_date)
    payment = Payment(
        trade=trade,
        organization_id=trade.organization_id,
        number=Payment.objects.filter(trade=trade).count() + 1,
        kind=kind,
        payer=payer,
        payee=payee,
        amount=amount,
        tds=tds if original is None else original.tds,
        bank_amount=amount - (tds if original is None else original.tds),
        currency=currency,
        paid_date=paid_date,
        method=method,
        reference=reference,
        reverses=original,
        created_by_id=actor.pk,
    )
    payment.save()
    for obligation, part in sorted(parts.items()):
        PaymentAllocation(payment=payment, obligation=obligation, amount=part).save()
    if original is not None:
        _undo(trade, actor, payment, original)
    else:
        _post(trade, actor, payment)
        credit.record(trade, actor, payment)
        if position is not None and deduction is not None:
            positions.move(
                position, actor, trade=trade, payment=payment, **_moved(position, deduction.position)
            )  # fmt: skip
    if (kind if original is None else original.kind) in GOODS:
        _follow_deadlines(trade)
    rules.touch(trade)
    emit(
        events.TradePaymentRecorded(
            **rules.head(trade),
            payment_id=payment.pk,
            kind=kind,
            payer_id=payer.pk,
            payee_id=payee.pk,
            amount=amount,
            tds=payment.tds,
            paid_date=paid_date,
        )
    )
    return payment


def _require_kind(trade: Trade, kind: str) -> None:
    """From the approval on; an advance until it is settled; in a cancelled trade what closes it."""
    if trade.status == _Status.CANCELLED and kind in AFTER_CANCEL:
        return
    if trade.status == _Status.SETTLED and kind != PaymentKind.ADVANCE.value:
        return
    rules.require_status(trade, *RUNNING)


def _reversed(
    trade: Trade,
    kind: str,
    payer: Partner,
    payee: Partner,
    amount: Decimal,
    paid_date: date,
    original: Payment | None,
) -> Payment | None:
    """The payment that a reversal is of. Raises AlreadyReversed, and Invalid where the two don't agree."""
    is_reversal = kind == PaymentKind.REVERSAL.value
    if is_reversal != (original is not None):
        words = "Name the payment that bounced." if is_reversal else "Only a reversal names a payment."
        raise Invalid(
            errors=[FieldError("/reverses_payment_id", "required" if is_reversal else "not_allowed", words)]
        )
    if original is None:
        return None
    if original.trade_id != trade.pk or original.kind == PaymentKind.REVERSAL.value:
        raise Invalid(
            errors=[FieldError("/reverses_payment_id", "does_not_exist", "The trade has no such payment.")]
        )
    faults = {
        "/amount": (amount, original.amount),
        "/payer_id": (payer.pk, original.payer_id),
        "/payee_id": (payee.pk, original.payee_id),
    }
    wrong = [
        FieldError(pointer, "contradicts", "It is that of the payment that bounced.")
        for pointer, (given, expected) in faults.items()
        if given != expected
    ]
    if paid_date < original.paid_date:
        wrong.append(FieldError("/paid_date", "contradicts", f"It was paid on {original.paid_date}."))
    if wrong:
        raise Invalid(errors=wrong)
    if Payment.objects.filter(reverses=original).exists():
        raise AlreadyReversed
    return original


def _require_parties(trade: Trade, kind: str, payer: Partner, payee: Partner) -> None:
    known = set(trade.parties.values_list("partner_id", flat=True))
    wrong = [
        FieldError(pointer, "not_a_party", "This partner has no role in the trade.")
        for pointer, partner in (("/payer_id", payer), ("/payee_id", payee))
        if partner.pk not in known
    ]
    if payer.pk == payee.pk:
        wrong.append(FieldError("/payee_id", "not_a_party", "Nobody pays itself."))
    if not wrong and kind in GOODS and (payer.pk, payee.pk) != (trade.buyer_id, trade.seller_id):
        wrong.append(FieldError("/payer_id", "not_a_party", "The buyer pays for the goods, to the seller."))
    if wrong:
        raise NotAParty(errors=wrong)


def _parts(allocations: Iterable[Mapping[str, Any]], amount: Decimal) -> dict[str, Decimal]:
    parts: dict[str, Decimal] = {}
    for number, row in enumerate(allocations):
        if row["obligation"] in parts:
            raise Invalid(
                errors=[FieldError(f"/allocations/{number}/obligation", "duplicate", "It occurs twice.")]
            )
        parts[row["obligation"]] = row["amount"]
    total = sum(parts.values(), Decimal(0))
    if total > amount:
        raise errors.OverAllocated.at(
            "/allocations", "over_allocated", f"{total} is allocated, {amount} was paid."
        )
    return parts


def _tds_on_advance(
    trade: Trade, kind: str, amount: Decimal, day: date
) -> tuple[Decimal, TaxPosition | None, Any]:
    """TDS on an advance, which counts when it is paid; with the locked position and what it becomes."""
    terms = rules.terms_of(trade)
    if kind != PaymentKind.ADVANCE.value or not gathering.is_deducting(terms):
        return ledger.NOTHING, None, None
    key = gathering.goods_key(trade, day)
    position = positions.find([key], lock=True).get(key)
    if position is None:
        detail = (
            f"The TDS position of buyer and seller for {key.financial_year} is missing: enter its opening."
        )
        raise errors.FactsMissing([Missing(code="tds_position", subject=key.financial_year, detail=detail)])
    rows = gathering.tax_rows(trade, terms, day)
    version = engines.version(engines.CURRENT)
    tds, deduction = version.deduct(terms, rows, positions.as_fact(key, position), amount, day)
    return Decimal(tds), position, deduction


def _moved(before: TaxPosition, after: Any) -> dict[str, Any]:
    """How a position moves: what is counted, taxed and used of certificates."""
    used = {row["number"]: Decimal(row.get("used", "0")) for row in before.certificates}
    newly = {row.number: row.used - used[row.number] for row in after.certificates}
    return {
        "counted": after.counted - before.counted,
        "taxed": after.taxed - before.taxed,
        "certificates": {number: amount for number, amount in newly.items() if amount},
    }


def _post(trade: Trade, actor: Actor, payment: Payment) -> None:
    """The payee owes the payer what the bank moved; with the TDS it discharges the whole amount."""
    parts = (("PAYMENT", payment.bank_amount), ("TDS", payment.tds))
    postings = [
        Posting(
            kind=kind,
            debtor=str(payment.payee_id),
            creditor=str(payment.payer_id),
            amount=amount,
            document="",
            line_no=0,
        )
        for kind, amount in parts
        if amount
    ]
    ledger.post(trade, actor, postings, payment=payment)


def _undo(trade: Trade, actor: Actor, payment: Payment, original: Payment) -> None:
    """Reverse all that a bounced payment did, and what closing the trade did with it.

    Of an advance of a settled trade the invoice keeps what it did not count itself, with its TDS: tax is withheld on
    what is credited, whoever pays when. Only what the advances exceed the invoices by leaves the position.
    """
    row = settlement.current(trade)
    if (
        row is not None
        and original.kind == PaymentKind.ADVANCE.value
        and original.paid_date <= row.settled_date
    ):
        paid = allocation.effective(facts.goods_of(trade)["payments"], row.settled_date)
        rest = sum((each.amount for each in paid if each.kind is PaymentKind.ADVANCE), Decimal(0))
        surplus = max(rest + original.amount, row.taxable) - max(rest, row.taxable)
        for entry in PositionEntry.objects.filter(payment=original, reverses=None) if surplus else ():
            positions.lower(entry, actor, surplus)
        done = Q(payment=original, kind="PAYMENT")
    else:
        done = Q(payment=original) | Q(trade=trade, document=closing.refund_key(str(original.pk)))
        positions.reverse(PositionEntry.objects.filter(done), actor)
    ledger.reverse(ledger.standing(LedgerEntry.objects.filter(done).order_by("pk")), actor)
    credit.reverse(trade, actor, original)


def _follow_deadlines(trade: Trade) -> None:
    """Advance and balance are met while what is due by their day is paid, but for what may stay open."""
    rows = Deadline.objects.filter(
        trade=trade, kind__in=GOODS, status__in=(Deadline.Status.OPEN, Deadline.Status.MET)
    )
    if trade.status == _Status.CANCELLED or not rows:
        return
    terms = rules.terms_of(trade)
    gathered = gathering.gather(trade, as_of=clock.today(), lock=False)
    try:
        done = engines.preview(engines.CURRENT, gathered.terms, gathered.facts)
    except settlement.ENGINE_ERRORS:
        return  # settling names what is wrong; a payment is recorded all the same
    limit = gathered.facts.open_limit
    set_off = sum(
        (each.open for each in done.obligations if each.document.startswith("CREDIT_NOTE")), Decimal(0)
    )
    advances = sum(
        (each.amount for each in allocation.effective(gathered.facts.payments, clock.today())
         if each.kind is PaymentKind.ADVANCE), Decimal(0),
    )  # fmt: skip
    # The balance of these sellers may be due before the terms say so.
    is_early = terms.seller.msme in (t.Msme.MICRO, t.Msme.SMALL)
    last = max(row.due_date for row in rows)
    for row in rows.order_by("pk").locked():
        by = date.max if is_early and row.due_date == last else row.due_date
        unpaid = sum(
            (each.open for each in done.obligations
             if each.kind == row.kind and (row.kind == "ADVANCE" or each.due_date <= by)), Decimal(0),
        )  # fmt: skip
        if trade.status == _Status.SETTLED:
            is_met = settlement.net_of(trade) <= limit
        elif row.kind == "ADVANCE":
            due = engines.version(engines.CURRENT).value(terms).advance_due
            is_met = advances >= due or unpaid <= limit
        else:
            is_met = unpaid - set_off <= limit
        row.status = Deadline.Status.MET if is_met else Deadline.Status.OPEN
        row.save()
