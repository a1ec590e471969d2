"""The one place where engine version 1 rounds: each named amount once, with its rule, inputs and exact value."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final

from apps.commodities.exact import Number, exponent_of, rounded
from apps.commodities.figures import plain
from apps.trades.engine.settlement import Line, Missing, Rounding

MONEY: Final = -1  # as many places as the currency has
KG: Final = 3

# name: number of the rule, places. The formulas stand in docs/settlement.md.
RULES: Final[dict[str, tuple[str, int]]] = {
    "net_kg": ("1", KG),
    "lot_kg": ("2", KG),
    "accounted_kg": ("3", KG),
    "accounted_part_kg": ("3", KG),
    "unit_price": ("4", 6),
    "quantity": ("5", KG),
    "slice_quantity": ("5", KG),
    "line_amount": ("5", MONEY),
    "freight": ("6", MONEY),
    "insurance": ("6", MONEY),
    "bulk_discount": ("6", MONEY),
    "late_lifting": ("6", MONEY),
    "charge_part": ("6", MONEY),
    "taxable": ("7", MONEY),
    "tax": ("8", MONEY),
    "reverse_tax": ("8", MONEY),
    "round_off": ("9", MONEY),
    "invoice_total": ("10", MONEY),
    "note_total": ("10", MONEY),
    "base_total": ("10", 2),  # rupees
    "tds": ("11", 0),
    "balance_due": ("12", MONEY),
    "balance": ("12", MONEY),
    "franchise_kg": ("13", KG),
    "claim_kg": ("13", KG),
    "claim": ("14", MONEY),
    "claim_part": ("14", MONEY),
    "carrying": ("15", MONEY),
    "carrying_slab": ("15", MONEY),
    "brokerage": ("16", MONEY),
    "brokerage_share": ("16", MONEY),
    "brokerage_tax": ("16", MONEY),
    "undelivered_kg": ("17", KG),
    "washout": ("17", MONEY),
    "true_up": ("18", MONEY),
    "return": ("19", MONEY),
    "award": ("20", MONEY),
    "msme_interest": ("21", MONEY),
    "contract_value": ("22", MONEY),
    "advance_due": ("23", MONEY),
    "refund": ("24", MONEY),
}
RULE_VERSION: Final = 1


def shares(whole: Number, weights: Sequence[Number], places: int) -> list[Decimal]:
    """Split by largest remainder: cut each share down, give the units left to the largest fractions, ties earlier.

    The parts add up to ``whole``, which has no more than ``places`` decimals; weights of nothing share alike.
    """
    total = sum((Fraction(weight) for weight in weights), Fraction(0))
    parts = [Fraction(weight) / total if total else Fraction(1, len(weights)) for weight in weights]
    units = Fraction(whole) * 10**places
    sign = -1 if units < 0 else 1
    exact = [abs(units) * part for part in parts]
    cut = [floor(value) for value in exact]
    left = int(abs(units)) - sum(cut)
    for place in sorted(range(len(parts)), key=lambda n: cut[n] - exact[n])[:left]:
        cut[place] += 1
    return [rounded(Fraction(sign * value, 10**places), places) for value in cut]


class Trace:
    """Collects the lines of a settlement, and which facts are missing."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self.places = exponent_of(currency)
        self.lines: list[Line] = []
        self.missing: list[Missing] = []

    def add(
        self,
        name: str,
        exact: Number,
        document: str = "",
        subject: str = "",
        unit: str = "",
        /,
        **inputs: object,
    ) -> Decimal:
        """Round a named amount, record it and return it."""
        places = self.places_of(name)
        amount = rounded(Fraction(exact), places)
        rounding = Rounding.EXACT if Fraction(amount) == exact else Rounding.HALF_UP
        self._record(name, Fraction(exact), amount, places, document, subject, unit, rounding, inputs)
        return amount

    def split(
        self,
        name: str,
        whole: Decimal,
        weights: Sequence[tuple[str, str, Number]],
        unit: str = "",
        /,
        **inputs: object,
    ) -> list[Decimal]:
        """Split a rounded amount over (document, subject, weight), record the parts and return them."""
        places = self.places_of(name)
        parts = shares(whole, [weight for *_, weight in weights], places)
        total = sum((Fraction(weight) for *_, weight in weights), Fraction(0))
        for (document, subject, weight), part in zip(weights, parts, strict=True):
            share = Fraction(weight) / total if total else Fraction(1, len(weights))
            values = {"whole": whole, "share": share, **inputs}
            self._record(
                name,
                Fraction(whole) * share,
                part,
                places,
                document,
                subject,
                unit,
                Rounding.LARGEST_REMAINDER,
                values,
            )
        return parts

    def spread(
        self,
        name: str,
        part_name: str,
        exact: Number,
        weights: Sequence[tuple[str, str, Number]],
        subject: str,
        /,
        **inputs: object,
    ) -> list[tuple[Decimal, int]]:
        """Round an amount once for one document, or split it over several; returns amounts and line numbers."""
        if len(weights) == 1:
            return [(self.add(name, exact, weights[0][0], subject, **inputs), self.last)]
        if not weights:
            return []
        whole = self.add(name, exact, "", subject, **inputs)
        first = self.last + 1
        return [(part, first + n) for n, part in enumerate(self.split(part_name, whole, weights))]

    @property
    def last(self) -> int:
        """The number of the newest line."""
        return len(self.lines)

    def miss(self, code: str, subject: str, detail: str) -> None:
        """Note a missing fact once."""
        fact = Missing(code=code, subject=subject, detail=detail)
        if fact not in self.missing:
            self.missing.append(fact)

    def places_of(self, name: str) -> int:
        """Places that a named amount is rounded to."""
        places = RULES[name][1]
        return self.places if places == MONEY else places

    def _record(
        self,
        name: str,
        exact: Fraction,
        amount: Decimal,
        places: int,
        document: str,
        subject: str,
        unit: str,
        rounding: Rounding,
        inputs: dict[str, object],
    ) -> None:
        self.lines.append(
            Line(
                line_no=len(self.lines) + 1,
                document=document,
                name=name,
                subject=subject,
                rule=RULES[name][0],
                rule_version=RULE_VERSION,
                inputs={key: text(value) for key, value in inputs.items()},
                unrounded=exact,
                amount=amount,
                places=places,
                unit=unit or ("kg" if name.endswith("_kg") else self.currency),
                rounding=rounding,
            )
        )


def text(value: object) -> str:
    """An input as the trace shows it: a fraction as a decimal where it is one of at most 12 places."""
    if isinstance(value, Fraction):
        places = next((n for n in range(13) if 10**n % value.denominator == 0), None)
        return str(value) if places is None else plain(rounded(value, places))
    return plain(value) if isinstance(value, Decimal) else str(value)
