"""What the engine returns: traced lines, documents, what is owed, and what moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction


class DocumentKind(StrEnum):
    INVOICE = "INVOICE"
    CREDIT_NOTE = "CREDIT_NOTE"
    DEBIT_NOTE = "DEBIT_NOTE"
    BROKERAGE = "BROKERAGE"
    WASHOUT = "WASHOUT"


class Rounding(StrEnum):
    """How a line's amount follows from its exact value. EXACT: it is that value."""

    HALF_UP = "HALF_UP"
    LARGEST_REMAINDER = "LARGEST_REMAINDER"
    EXACT = "EXACT"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A named amount with its trace. ``document``: key of its document; empty: an amount beside the documents."""

    line_no: int
    document: str
    name: str
    subject: str
    rule: str
    rule_version: int
    inputs: Mapping[str, str]
    unrounded: Fraction
    amount: Decimal
    places: int
    unit: str
    rounding: Rounding = Rounding.HALF_UP


@dataclass(frozen=True, kw_only=True)
class Document:
    """An invoice, note, brokerage or washout: ``debtor`` owes ``total`` to ``creditor``, less ``tds``.

    ``tax`` is payable to the supplier; ``reverse_tax`` by the buyer to the state. ``invoice``: key of a note's invoice.
    """

    key: str
    kind: DocumentKind
    reason: str
    number: str
    day: date
    debtor: str
    creditor: str
    taxable: Decimal
    untaxed: Decimal
    tax: Decimal
    reverse_tax: Decimal
    round_off: Decimal
    total: Decimal
    tds: Decimal = Decimal(0)
    base_total: Decimal | None = None
    invoice: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A ledger entry to store: ``debtor`` owes ``creditor`` this much, by one line of a document."""

    kind: str
    debtor: str
    creditor: str
    amount: Decimal
    document: str
    line_no: int


@dataclass(frozen=True, kw_only=True)
class Obligation:
    """What is to be paid, and what of it is paid. Kinds: ADVANCE, BALANCE, and the reason of each other document."""

    kind: str
    document: str
    debtor: str
    creditor: str
    amount: Decimal
    due_date: date
    paid: Decimal
    open: Decimal


@dataclass(frozen=True, kw_only=True)
class PositionMove:
    """How a document moves a TDS position."""

    kind: str
    deductor: str
    deductee: str
    financial_year: str
    document: str
    counted: Decimal
    taxed: Decimal
    certificates: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A fact that settling needs; in a preview an estimate stands in for it."""

    code: str
    subject: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The figures of the settlement; ``net_due`` is what ``net_debtor`` owes the other side after all payments."""

    currency: str
    taxable: Decimal
    tax: Decimal
    round_off: Decimal
    invoice_total: Decimal
    tds: Decimal
    claim: Decimal
    carrying: Decimal
    brokerage: Decimal
    washout: Decimal
    net_due: Decimal
    net_debtor: str
    open_after_notes: Decimal
    on_account: Decimal


@dataclass(frozen=True, kw_only=True)
class Settlement:
    engine_version: int
    lines: tuple[Line, ...]
    documents: tuple[Document, ...]
    postings: tuple[Posting, ...]
    obligations: tuple[Obligation, ...]
    position_moves: tuple[PositionMove, ...]
    totals: Totals
    lines_hash: str
    missing: tuple[Missing, ...] = ()
    blocking: tuple[str, ...] = ()

    @property
    def is_provisional(self) -> bool:
        """Whether estimates stand in for missing facts."""
        return bool(self.missing)

    def line(self, name: str, subject: str = "", document: str = "") -> Line:
        """Return the one line of a name; subject and document narrow it down. Raises LookupError."""
        found = [
            line
            for line in self.lines
            if line.name == name and subject in ("", line.subject) and document in ("", line.document)
        ]
        if len(found) != 1:
            raise LookupError(f"{len(found)} lines are called {name}")
        return found[0]
