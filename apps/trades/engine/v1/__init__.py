"""Engine version 1. Its results never change: a change of any result is version 2, beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from apps.commodities.differences import Outcome
from apps.trades.engine import errors, records
from apps.trades.engine import facts as fact_checks
from apps.trades.engine import terms as term_checks
from apps.trades.engine.facts import Facts, Fixation, Governing, Position, TaxRow
from apps.trades.engine.settlement import DocumentKind, Settlement, Totals
from apps.trades.engine.terms import OnCall, Side, Terms
from apps.trades.engine.v1 import brokerage, closing, invoices, notes, obligations, payments, prices, taxes
from apps.trades.engine.v1.books import ZERO, Books
from apps.trades.engine.v1.trace import RULES, Trace

VERSION: Final = 1


def settle(terms: Terms, facts: Facts) -> Settlement:
    """Settle a trade. Raises FactsMissing with every missing fact, BalanceOpen, and what the terms are refused for."""
    settlement = _settle(terms, facts, provisional=False)
    if settlement.missing:
        raise errors.FactsMissing(settlement.missing)
    if settlement.blocking:
        unpaid, limit = settlement.totals.open_after_notes, facts.open_limit
        raise errors.BalanceOpen(f"{unpaid} of the invoice is unpaid; at most {limit} may stay open.")
    return settlement


def preview(terms: Terms, facts: Facts) -> Settlement:
    """The same with estimates in place of missing facts, which it names, as it names what would block settling."""
    return _settle(terms, facts, provisional=True)


def cancel(terms: Terms, facts: Facts) -> Settlement:
    """Close what was not delivered: washout at the market's difference, and advances of a trade without delivery."""
    books = _open(terms, facts, provisional=False)
    documents = closing.wash_out(books, facts.washout) if facts.washout else []
    if not facts.deliveries:
        closing.give_back_advances(books)
    obligations.owe_rest(books, documents)
    if books.trace.missing:
        raise errors.FactsMissing(books.trace.missing)
    return _result(books)


def _open(terms: Terms, facts: Facts, *, provisional: bool) -> Books:
    term_checks.check(terms)
    fact_checks.check(terms, facts)
    if terms.rounding and terms.rounding != rounding(terms.currency):
        raise errors.TermsUnsupported("The terms round other amounts, or to other places, than this version.")
    books = Books(terms, facts, Trace(terms.currency), provisional=provisional)
    books.weights.weigh()
    return books


def _settle(terms: Terms, facts: Facts, *, provisional: bool) -> Settlement:
    books = _open(terms, facts, provisional=provisional)
    invoices.draw(books)
    if not books.billed:
        books.trace.miss("delivery", "trade", "Nothing was delivered.")
    notes.draw(books)
    obligations.owe(books)
    obligations.owe_rest(books, [*obligations.carry(books), *brokerage.draw(books)])
    obligations.show_balances(books)
    return _result(books)


def _result(books: Books) -> Settlement:
    lines, net = tuple(books.trace.lines), _net(books)
    drawn = [document for document in books.documents if document.kind is DocumentKind.INVOICE]
    unpaid = sum((owed.open for owed in books.owed if owed.kind in obligations.GOODS), ZERO)
    open_after_notes = max(unpaid - obligations.withheld(books), ZERO)

    def total(name: str) -> Decimal:
        return sum((line.amount for line in lines if line.name == name), ZERO)

    return Settlement(
        engine_version=VERSION,
        lines=lines,
        documents=tuple(books.documents),
        postings=tuple(books.postings),
        obligations=obligations.as_result(books),
        position_moves=tuple(books.moves),
        totals=Totals(
            currency=books.terms.currency,
            taxable=sum((document.taxable for document in drawn), ZERO),
            tax=sum((document.tax for document in drawn), ZERO),
            round_off=sum((document.round_off for document in drawn), ZERO),
            invoice_total=sum((document.total for document in drawn), ZERO),
            tds=sum((document.tds for document in drawn), ZERO),
            claim=total("claim"),
            carrying=total("carrying"),
            brokerage=total("brokerage"),
            washout=total("washout"),
            net_due=abs(net),
            net_debtor="" if not net else Side.BUYER if net > 0 else Side.SELLER,
            open_after_notes=open_after_notes,
            on_account=books.on_account,
        ),
        lines_hash=records.digest(records.to_json(lines)),
        missing=tuple(books.trace.missing),
        blocking=("balance_open",) if open_after_notes > books.facts.open_limit else (),
    )


def _net(books: Books) -> Decimal:
    """What the buyer owes the seller by postings and payments; below zero: what the seller owes the buyer."""
    pairs = [(row.debtor, row.creditor, row.amount) for row in books.postings]
    pairs += [(row.debtor, row.creditor, row.amount) for row in books.facts.posted]
    pairs += [(row.payee, row.payer, row.amount) for row in books.payments]
    sides = {(books.buyer, books.seller): 1, (books.seller, books.buyer): -1}
    return sum((sides.get((debtor, creditor), 0) * amount for debtor, creditor, amount in pairs), ZERO)


# What services ask before a settlement


@dataclass(frozen=True)
class Contract:
    """What the terms come to when they are made."""

    contract_value: Decimal
    base_value: Decimal
    advance_due: Decimal
    advance_due_date: date


class Decision(StrEnum):
    """What quality results mean for a lot."""

    PASS = "PASS"
    PASS_WITH_ALLOWANCE = "PASS_WITH_ALLOWANCE"
    REJECT = "REJECT"


def rounding(currency: str) -> dict[str, int]:
    """Places of each named amount, to freeze with the terms."""
    trace = Trace(currency)
    return {name: trace.places_of(name) for name in RULES}


def value(terms: Terms, holidays: tuple[date, ...] = ()) -> Contract:
    """Value of a contract, also in rupees, and its advance."""
    trace, payment = Trace(terms.currency), terms.payment
    amount = obligations.contract_value(terms, trace)
    return Contract(
        amount,
        trace.add("base_total", Fraction(amount) * Fraction(terms.fx_rate)),
        obligations.advance_due(terms, trace),
        payments.due_date(terms.trade_date, payment.advance_days, payment.day_kind, holidays),
    )


def band(terms: Terms) -> tuple[Fraction, Fraction]:
    """The least and the most kilograms that fulfil the contract, both included."""
    tolerance, kg = Fraction(terms.weight.tolerance_percent) / 100, Fraction(terms.weight_kg)
    return kg * (1 - tolerance), kg * (1 + tolerance)


def decide(terms: Terms, governing: Governing) -> Decision:
    """Judge results by the schedule: an effect on the price is an allowance, one on the weight is not.

    Raises FactsMissing where a parameter of the schedule is missing, ScheduleGap.
    """
    books = Books(terms, Facts(as_of=terms.trade_date), Trace(terms.currency), provisional=True)
    outcome, has_effect = books.prices.judge(governing)
    if books.trace.missing:
        raise errors.FactsMissing(books.trace.missing)
    if outcome is not Outcome.ACCEPTED:
        return Decision.REJECT
    return Decision.PASS_WITH_ALLOWANCE if has_effect else Decision.PASS


def deduct(
    terms: Terms, rows: Sequence[TaxRow], position: Position, amount: Decimal, day: date
) -> tuple[Decimal, taxes.Deduction]:
    """TDS on an advance when it is paid, in whole rupees; with base, rate and the position after it."""
    done = taxes.deduct(taxes.row_for(rows, position.kind, day), position, amount, terms.seller, day)
    return Trace(terms.currency).add("tds", done.tds), done


def require_fixable(terms: Terms, fixed: Sequence[Fixation], new: Fixation) -> None:
    """Refuse a fixation that is late, of nothing, or of more than is open."""
    if not isinstance(terms.price, OnCall):
        raise errors.TermsUnsupported("The price is not fixed on call.")
    before = sum((row.quantity for row in fixed), Decimal(0))
    prices.require_fixable(terms.price, prices.contract_quantity(terms), before, new)


__all__ = [
    "VERSION",
    "band",
    "cancel",
    "decide",
    "deduct",
    "preview",
    "require_fixable",
    "rounding",
    "settle",
    "value",
]
