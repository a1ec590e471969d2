"""The ledger: entries that say who owes whom how much and why. They are only added (trades §5.13)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, Sum

from apps.trades.engine.settlement import Line, Posting
from apps.trades.models import LedgerEntry, Payment, Settlement, TaxRule, Trade
from erp.access import Actor

NOTHING = Decimal("0.00")


def post(
    trade: Trade,
    actor: Actor,
    postings: Iterable[Posting],
    *,
    lines: Iterable[Line] = (),
    settlement: Settlement | None = None,
    payment: Payment | None = None,
) -> None:
    """Add an entry for each posting. ``lines`` name the tax rules of TDS entries."""
    used = {line.line_no: line.inputs.get("tax_row", "") for line in lines if line.name == "tds"}
    rules = (
        {f"{rule.code} version {rule.rule_version}": rule for rule in TaxRule.objects.active()}
        if used
        else {}
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            trade=trade,
            settlement=settlement,
            payment=payment,
            document=row.document,
            kind=row.kind,
            debtor_id=UUID(row.debtor),
            creditor_id=UUID(row.creditor),
            amount=row.amount,
            currency=trade.currency,
            tax_rule=rules.get(used.get(row.line_no, "")),
            created_by_id=actor.pk,
        )
        for row in postings
    )


def reverse(entries: Iterable[LedgerEntry], actor: Actor) -> None:
    """Add the reversal of each entry: debtor and creditor exchanged, the entry named, once."""
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            trade_id=row.trade_id,
            settlement_id=row.settlement_id,
            payment_id=row.payment_id,
            document=row.document,
            kind=row.kind,
            debtor_id=row.creditor_id,
            creditor_id=row.debtor_id,
            amount=row.amount,
            currency=row.currency,
            tax_rule_id=row.tax_rule_id,
            reverses=row,
            created_by_id=actor.pk,
        )
        for row in entries
    )


def standing(entries: Iterable[LedgerEntry]) -> Iterable[LedgerEntry]:
    """Those of the entries that are no reversal and were not reversed."""
    reversed_ids = {row.reverses_id for row in entries if row.reverses_id}
    return [row for row in entries if row.reverses_id is None and row.pk not in reversed_ids]


def balance(debtor: UUID, creditor: UUID, currency: str, trade: Trade | None = None) -> Decimal:
    """What one partner owes another after all entries; below zero: what the other owes it."""
    rows = LedgerEntry.objects.filter(currency=currency, **({} if trade is None else {"trade": trade}))
    sums: Mapping[str, Decimal | None] = rows.aggregate(
        owed=Sum("amount", filter=Q(debtor=debtor, creditor=creditor)),
        owing=Sum("amount", filter=Q(debtor=creditor, creditor=debtor)),
    )
    return (sums["owed"] or NOTHING) - (sums["owing"] or NOTHING)
