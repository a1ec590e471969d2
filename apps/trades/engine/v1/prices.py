"""Rules 3 to 5: base prices, premiums and discounts, and the amount of a lot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.commodities import differences
from apps.commodities.exact import Number
from apps.trades.engine import errors, records
from apps.trades.engine.facts import Facts, Fixation, Governing
from apps.trades.engine.terms import Flat, Formula, Lot, OnCall, Provisional, Terms
from apps.trades.engine.v1.trace import Trace, text
from apps.trades.engine.v1.weights import Weights

POINT: Final = Fraction(1, 100)
ZERO: Final = Fraction(0)


@dataclass(frozen=True)
class Part:
    """A share of the goods at one base price; None: not priced yet."""

    subject: str
    share: Fraction
    base: Fraction | None
    words: str


@dataclass(frozen=True)
class Priced:
    """A part with its unit price."""

    subject: str
    share: Fraction
    price: Decimal | None


class Prices:
    """Prices of the lots by the terms and their quality."""

    def __init__(self, terms: Terms, facts: Facts, trace: Trace, weights: Weights) -> None:
        self.terms, self.facts, self.trace, self.weights = terms, facts, trace, weights

    def evaluate(
        self, lot: Lot, base: Fraction, kg: Number, dispatches: list[str]
    ) -> tuple[Fraction, Fraction, str]:
        """Exact unit price and accounted kilograms of a lot by the schedule, and the effects in words."""
        if self.terms.schedule is None:
            return base, Fraction(kg), ""
        governing = next((row for row in self.facts.quality if row.lot_no == lot.lot_no), None)
        if governing is None:
            self.trace.miss("quality", lot.lot_no, f"Lot {lot.lot_no} has no governing quality result.")
            return base, Fraction(kg), ""
        done = self._by_schedule(governing, base, kg)
        if done is None:
            return base, Fraction(kg), ""
        if done.outcome is differences.Outcome.REJECTED:
            return self._rejected(lot, governing, base, kg, dispatches)
        effects = "; ".join(
            f"{row.parameter} {row.value}: {text(row.effect)} {row.kind}" for row in done.trace if row.effect
        )
        if not done.trace:
            return base, Fraction(kg), ""
        return done.trace[-1].rate, done.trace[-1].weight, effects

    def _by_schedule(self, governing: Governing, base: Number, kg: Number) -> differences.Evaluation | None:
        """Evaluate the results of a lot; None: some are missing. Refusals get the codes of trades."""
        try:
            return differences.evaluate(
                self.rules, governing.results, rate=base, net_weight=kg, price=self.terms.unit.price
            )
        except differences.ResultMissing as refusal:
            self.trace.miss("quality", governing.lot_no, f"Lot {governing.lot_no}: {refusal.detail}")
            return None
        except differences.ScheduleGap as refusal:
            raise errors.ScheduleGap(f"Lot {governing.lot_no}: {refusal.detail}") from None
        except differences.CurrencyMismatch as refusal:
            raise errors.UnitMismatch(refusal.detail) from None
        except differences.ResultUnfit as refusal:
            raise records.reject("/quality", refusal.detail) from None

    def judge(self, governing: Governing) -> tuple[differences.Outcome, bool]:
        """The outcome of a lot's results, and whether they change its price."""
        if self.terms.schedule is None:
            return differences.Outcome.ACCEPTED, False
        done = self._by_schedule(governing, 1, 1)
        if done is None:
            return differences.Outcome.ACCEPTED, False
        on_price = [row for row in done.trace if row.kind is not differences.Form.WEIGHT and row.effect]
        return done.outcome, bool(on_price)

    @property
    def rules(self) -> differences.DifferenceSchedule:
        """The schedule; the contract's cap wins over its own."""
        assert self.terms.schedule is not None
        rules, cap = self.terms.schedule.rules, self.terms.premium_cap_percent
        return rules if cap is None else replace(rules, cap_percent=cap)

    def _rejected(
        self, lot: Lot, governing: Governing, base: Fraction, kg: Number, dispatches: list[str]
    ) -> tuple[Fraction, Fraction, str]:
        """A lot beyond a reject limit: priced by an award, or returned at the contract price."""
        weight = self._weight_only(governing, kg)
        if governing.source == "AWARD":
            if governing.award_price is not None:
                return Fraction(governing.award_price), weight, "price of the award"
            if governing.award_allowance_percent is None:
                raise errors.ScheduleGap(
                    f"The award on lot {lot.lot_no} has neither a price nor an allowance."
                )
            allowance = Fraction(governing.award_allowance_percent)
            return base * (1 - allowance / 100), weight, f"allowance of the award {text(allowance)} %"
        returned = sum((self.weights.returned[row, lot.lot_no] for row in dispatches), Decimal(0))
        if not dispatches or returned < self.weights.dispatched_kg(lot, dispatches):
            self.trace.miss(
                "award", lot.lot_no, f"Lot {lot.lot_no} is rejected: an award or a return is needed."
            )
        return base, Fraction(kg), "rejected"

    def _weight_only(self, governing: Governing, kg: Number) -> Fraction:
        lines = [
            replace(line, reject_below=None, reject_above=None)
            for line in self.rules.lines
            if line.form is differences.Form.WEIGHT
        ]
        done = differences.evaluate(
            replace(self.rules, lines=lines), governing.results, rate=1, net_weight=kg
        )
        return done.trace[-1].weight if done.trace else Fraction(kg)

    def of_lot(self, lot: Lot, parts: list[Part], dispatches: list[str], label: str = "") -> list[Priced]:
        """Rule 4: the unit price of each part of a lot. Raises PriceNotPositive."""
        priced = []
        for part in parts:
            if part.base is None:
                priced.append(Priced(part.subject, part.share, None))
                continue
            exact, _, effects = self.evaluate(lot, part.base, 1, dispatches)
            subject = " ".join(filter(None, (lot.lot_no, part.subject, label)))
            unit = f"{self.terms.unit.code}"
            price = self.trace.add(
                "unit_price", exact, "", subject, unit, base=part.base, how=part.words, effects=effects
            )
            if price <= 0:
                raise errors.PriceNotPositive(
                    f"Lot {lot.lot_no} comes to {price} per {self.terms.unit.unit}."
                )
            priced.append(Priced(part.subject, part.share, price))
        return priced

    def contract_parts(self) -> list[Part]:
        """The price that is invoiced."""
        price = self.terms.price
        if isinstance(price, Provisional):
            return [Part("", Fraction(1), Fraction(price.price), "provisional price")]
        return self._parts(price)

    def final_parts(self) -> list[Part] | None:
        """The final price of a PROVISIONAL contract; None where there is nothing to true up."""
        price = self.terms.price
        if not isinstance(price, Provisional):
            return None
        if price.final is not None:
            parts = self._parts(price.final)
            return parts if all(part.base is not None for part in parts) else None
        if self.facts.final_price is None:
            self.trace.miss("final_price", "price", "The final price is not agreed.")
            return None
        final = self.facts.final_price
        return [Part("", Fraction(1), Fraction(final.price), f"final price, {final.source}, {final.day}")]

    def _parts(self, price: Flat | OnCall | Formula) -> list[Part]:
        if isinstance(price, Flat):
            return [Part("", Fraction(1), Fraction(price.price), "flat price")]
        return self._formula(price) if isinstance(price, Formula) else self._on_call(price)

    def _formula(self, price: Formula) -> list[Part]:
        quoted = [q for q in self.facts.quotations if price.average_from <= q.day <= price.average_to]
        if len(quoted) < price.least_quotations or self.facts.as_of < price.average_to:
            detail = f"{len(quoted)} quotations of {price.source} up to {self.facts.as_of}."
            self.trace.miss("quotations", "price", detail)
            if not quoted:
                stand_in = price.provisional_price
                return [Part("", Fraction(1), Fraction(stand_in) if stand_in else None, "provisional price")]
        average = sum((Fraction(q.price) for q in quoted), ZERO) / len(quoted)
        words = f"average of {len(quoted)} quotations + {text(price.difference)}"
        return [Part("", Fraction(1), average + Fraction(price.difference), words)]

    def _on_call(self, price: OnCall) -> list[Part]:
        parts, fixed = [], Decimal(0)
        contract = contract_quantity(self.terms)
        for row in sorted(self.facts.fixations, key=lambda row: row.number):
            require_fixable(price, contract, fixed, row)
            fixed += row.quantity
            base = Fraction(row.futures_price) + Fraction(price.basis_points) * POINT
            words = f"futures {text(row.futures_price)} + {text(price.basis_points)} points"
            parts.append(Part(f"slice {row.number}", Fraction(row.quantity), base, words))
        if open_quantity := contract - fixed:
            detail = f"{open_quantity} {self.terms.unit.unit} of {contract} are not fixed."
            self.trace.miss("fixation", "price", detail)
            stand_in = price.provisional_price
            parts.append(
                Part(
                    "open",
                    Fraction(open_quantity),
                    Fraction(stand_in) if stand_in else None,
                    "provisional price",
                )
            )
        return parts

    def amount(
        self, key: str, lot: Lot, kg: Decimal, prices: list[Priced]
    ) -> list[tuple[str, Fraction, dict[str, object]]]:
        """The exact amount of a lot's kilograms at each of its prices: subject, amount, inputs."""
        unit = self.terms.unit
        if not any(part.subject for part in prices):
            return [
                (
                    lot.lot_no,
                    Fraction(kg) * Fraction(part.price) / unit.k,
                    {"kg": kg, "price": part.price, "k": unit.k},
                )
                for part in prices
                if part.price is not None
            ]
        whole = self.trace.add("quantity", Fraction(kg) / unit.kg, key, lot.lot_no, unit.unit, kg=kg)
        quantities = self.trace.split(
            "slice_quantity",
            whole,
            [(key, f"{lot.lot_no} {part.subject}", part.share) for part in prices],
            unit.unit,
        )
        return [
            (
                f"{lot.lot_no} {part.subject}",
                Fraction(quantity) * Fraction(part.price) / unit.divisor,
                {"quantity": quantity, "price": part.price, "divisor": unit.divisor},
            )
            for part, quantity in zip(prices, quantities, strict=True)
            if part.price is not None
        ]


def contract_quantity(terms: Terms) -> Decimal:
    """The contract's quantity in price units, 3 places."""
    return Trace(terms.currency).add("quantity", Fraction(terms.weight_kg) / terms.unit.kg)


def require_fixable(price: OnCall, contract: Decimal, fixed: Decimal, fixation: Fixation) -> None:
    """Require a fixation in time, of more than nothing and no more than is open."""
    if fixation.fixed_date > price.deadline:
        raise errors.FixationDeadlinePassed(f"The deadline was {price.deadline}.")
    if fixation.quantity <= 0 or fixed + fixation.quantity > contract:
        raise errors.FixationTooLarge(f"{contract - fixed} are open, {fixation.quantity} would be fixed.")


def weighted(parts: list[Priced]) -> Fraction | None:
    """The price of a lot whose parts have prices of their own."""
    return average([(part.share, part.price) for part in parts])


def average(parts: Sequence[tuple[Fraction, Number | None]]) -> Fraction | None:
    """The average of prices by their shares, without those that are open."""
    known = [(share, Fraction(price)) for share, price in parts if price is not None]
    total = sum((share for share, _ in known), ZERO)
    return sum((share * price for share, price in known), ZERO) / total if total else None
