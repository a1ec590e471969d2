"""Rules 12, 15 and 21: due days, allocation of payments, interest by slabs of days, statutory interest."""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.trades.engine.facts import Payment, PaymentKind, RowKind, TaxRow
from apps.trades.engine.terms import DayKind, Slab
from apps.trades.engine.v1 import taxes

YEAR: Final = 365
SUNDAY: Final = 6
# The obligations that a payment of a kind pays; other kinds: their own.
PAYS: Final[dict[str, tuple[str, ...]]] = {
    PaymentKind.ADVANCE: ("ADVANCE", "BALANCE"),
    PaymentKind.BALANCE: ("ADVANCE", "BALANCE"),
    PaymentKind.CARRYING: ("CARRYING", "TRUE_UP", "AWARD"),
    PaymentKind.CLAIM: ("CLAIM", "TRUE_UP", "AWARD", "RETURN"),
}


@dataclass
class Owed:
    """An obligation while payments are allocated to it. ``parts``: amount and day of each."""

    kind: str
    document: str
    debtor: str
    creditor: str
    amount: Decimal
    due: date
    parts: list[tuple[PaymentKind, Decimal, date]] = field(default_factory=list)

    @property
    def paid(self) -> Decimal:
        return sum((amount for _, amount, _ in self.parts), Decimal("0.00"))

    @property
    def open(self) -> Decimal:
        return self.amount - self.paid


def due_date(start: date, days: int, kind: DayKind, holidays: Iterable[date]) -> date:
    """Count days from the day after ``start``. WORKING skips Sundays and holidays; Saturday is a working day."""
    if kind is DayKind.CALENDAR:
        return start + timedelta(days=days)
    day, free = start, set(holidays)
    while days:
        day += timedelta(days=1)
        days -= day.weekday() != SUNDAY and day not in free
    return day


def effective(payments: Iterable[Payment], as_of: date) -> list[Payment]:
    """The payments up to a day, without reversals and what they reverse, by day and then as recorded."""
    known = [row for row in payments if row.paid_date <= as_of]
    reversed_ids = {row.reverses for row in known}
    kept = [row for row in known if row.kind is not PaymentKind.REVERSAL and row.id not in reversed_ids]
    return sorted(kept, key=lambda row: (row.paid_date, row.number))


def allocate(obligations: Sequence[Owed], payments: Iterable[Payment]) -> Decimal:
    """Allocate payments as they say, else to what is due first; returns what stays on account."""
    on_account = Decimal("0.00")
    ordered = sorted(obligations, key=lambda owed: (owed.due, owed.kind, owed.document))
    for payment in payments:
        mine = [owed for owed in ordered if (owed.debtor, owed.creditor) == (payment.payer, payment.payee)]
        left = payment.amount
        for allocation in payment.allocations:
            own = [owed for owed in mine if owed.kind == allocation.obligation]
            left -= allocation.amount - _pay(own, payment, allocation.amount)
        if not payment.allocations:
            kinds = PAYS.get(payment.kind, (payment.kind,))
            left = _pay([owed for owed in mine if owed.kind in kinds], payment, left)
        on_account += left
    return on_account


def _pay(obligations: Iterable[Owed], payment: Payment, amount: Decimal) -> Decimal:
    """Pay obligations in their order; returns what is left over."""
    for owed in obligations:
        part = min(owed.open, amount)
        if part > 0:
            owed.parts.append((payment.kind, part, payment.paid_date))
            amount -= part
    return amount


def late_parts(obligations: Iterable[Owed], covered: Decimal, as_of: date) -> list[tuple[Owed, Decimal, int]]:
    """What is or was late, and by how many days. ``covered``: credit notes, set off against open parts."""
    found = []
    for owed in sorted(obligations, key=lambda owed: (owed.due, owed.kind, owed.document)):
        set_off = min(covered, owed.open)
        covered -= set_off
        parts = [(amount, paid) for _, amount, paid in owed.parts] + [(owed.open - set_off, as_of)]
        late = [(amount, (day - owed.due).days) for amount, day in parts]
        found += [(owed, amount, days) for amount, days in late if amount > 0 and days > 0]
    return found


def interest(amount: Fraction, days: int, slabs: Sequence[Slab]) -> list[Fraction]:
    """Interest of an amount by slab: days are filled into the slabs one after another, actual/365."""
    found = []
    for slab in slabs:
        within = days if slab.days is None else min(days, slab.days)
        days -= within
        found.append(amount * within * Fraction(slab.annual_percent) / 100 / YEAR)
    return found


def statutory_interest(principal: Fraction, start: date, end: date, rows: Sequence[TaxRow]) -> Fraction:
    """Interest of MSMED Act s. 16 from the day after ``start``: a multiple of the bank rate, with monthly rests.

    Raises TaxRuleMissing.
    """
    balance, month = principal, 0
    day = start
    while day < end:
        month += 1
        rest = min(_months_later(start, month), end)
        percent = Fraction(0)
        while day < rest:
            day += timedelta(days=1)
            multiple = taxes.row_for(rows, RowKind.MSME, day).multiple or Decimal(0)
            percent += Fraction(multiple) * taxes.rate(taxes.row_for(rows, RowKind.BANK_RATE, day))
        balance += balance * percent / 100 / YEAR
    return balance - principal


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
