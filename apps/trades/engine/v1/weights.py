"""Rules 1, 2 and 13: the weight of each lot, what each invoice carries, and short weight."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from apps.trades.engine import records
from apps.trades.engine.facts import Facts, Movement, Stage
from apps.trades.engine.terms import Franchise, Lot, Terms, WeightFinal
from apps.trades.engine.v1.trace import Trace, text


@dataclass
class InvoiceGoods:
    """The goods under one invoice number. ``weights``: what each lot dispatched under it weighs."""

    key: str
    number: str
    day: date
    weights: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    dispatches: list[str] = field(default_factory=list)


class Weights:
    """Weights of the lots. ``provisional``: estimates stand in for missing facts."""

    def __init__(self, terms: Terms, facts: Facts, trace: Trace, *, provisional: bool) -> None:
        self.terms, self.facts, self.trace, self.provisional = terms, facts, trace, provisional
        self.lots = sorted(terms.lots, key=lambda lot: lot.lot_no)
        self.nets: dict[tuple[str, Stage, str | None], Decimal] = defaultdict(Decimal)
        self.weighed_on: dict[tuple[str, str], date] = {}
        outward = (row for row in facts.dispatches if row.direction is Movement.OUTWARD)
        self.dispatches = sorted(outward, key=lambda row: (row.dispatched_date, row.id))
        self.delivered = {row.dispatch: row for row in facts.deliveries}
        self.is_complete = not provisional or any(row.final for row in facts.deliveries)
        self.returned: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for row in facts.dispatches:
            for line in row.lines if row.returns else ():
                self.returned[str(row.returns), line.lot_no] += line.weight_kg

    def weigh(self) -> None:
        """Record the net weight of every weighing that counts: not CHECK, not corrected."""
        corrected = {row.corrects for row in self.facts.weighments}
        for row in sorted(self.facts.weighments, key=lambda row: (row.stage, row.lot_no, row.id)):
            if row.stage is Stage.CHECK or row.id in corrected:
                continue
            net = row.gross_kg - row.tare_kg
            self.trace.add(
                "net_kg", net, "", f"{row.lot_no} {row.stage}", gross=row.gross_kg, tare=row.tare_kg
            )
            self.nets[row.lot_no, row.stage, row.dispatch] += net
            if row.stage is Stage.DESTINATION and row.dispatch:
                place = row.lot_no, row.dispatch
                self.weighed_on[place] = max(row.weighed_date, self.weighed_on.get(place, date.min))

    def dispatches_of(self, lot: Lot) -> list[str]:
        """The dispatches that goods of the lot arrived with; in a preview, also those under way."""
        found = []
        for row in self.dispatches:
            if not any(line.lot_no == lot.lot_no for line in row.lines):
                continue
            delivery = self.delivered.get(row.id)
            if delivery is None and not self.provisional:
                self.trace.miss("delivery", row.id, f"Dispatch {row.id} has not arrived.")
            arrived = delivery and any(g.lot_no == lot.lot_no and g.weight_kg for g in delivery.lines)
            if arrived or delivery is None:
                found.append(row.id)
        return found

    def dispatched_kg(self, lot: Lot, dispatches: list[str]) -> Decimal:
        """What the lot weighed in these dispatches, by their papers."""
        rows = (row for row in self.dispatches if row.id in dispatches)
        return sum((g.weight_kg for row in rows for g in row.lines if g.lot_no == lot.lot_no), Decimal(0))

    def is_whole(self, lot: Lot, dispatches: list[str]) -> bool:
        """Whether these dispatches carry the whole lot: by count, else by weight within the tolerance."""
        rows = [row for row in self.dispatches if row.id in dispatches]
        counts = [g.count for row in rows for g in row.lines if g.lot_no == lot.lot_no]
        if lot.count is not None and None not in counts:
            return sum(count or 0 for count in counts) >= lot.count
        least = lot.estimated_kg * (100 - self.terms.weight.tolerance_percent)
        return 100 * self.dispatched_kg(lot, dispatches) >= least

    def net(self, lot: Lot, stage: Stage, dispatches: list[str]) -> Decimal | None:
        """The net weight of a lot at a stage: of each dispatch, else of the whole lot before any; None: not weighed.

        A weighing of the whole lot says nothing about a part of it.
        """
        apart = {row: self.nets.get((lot.lot_no, stage, row)) for row in dispatches}
        whole = self.nets.get((lot.lot_no, stage, None))
        if apart and None not in apart.values():
            return sum((kg for kg in apart.values() if kg), Decimal(0))
        if whole is None or any(apart.values()):
            return None
        return whole if not dispatches or self.is_whole(lot, dispatches) else None

    def lot_kg(self, lot: Lot, dispatches: list[str]) -> Decimal:
        """Rule 2, by the weight that the terms make final. In a preview the origin net stands in, else the estimate."""
        whole = self.is_complete or not dispatches or self.is_whole(lot, dispatches)
        origin = self.net(lot, Stage.ORIGIN, dispatches) if whole else None
        destination = self.net(lot, Stage.DESTINATION, dispatches) if whole else None
        final = self.terms.weight.final
        needed = {
            WeightFinal.ORIGIN: [origin],
            WeightFinal.DESTINATION: [destination],
            WeightFinal.AVERAGE: [origin, destination],
        }[final]
        nets = [kg for kg in needed if kg is not None]
        if len(nets) == len(needed):
            exact = Fraction(sum(nets, Decimal(0))) / len(nets)
            inputs = {"final": final, "nets": " + ".join(map(text, nets))}
        else:
            self.trace.miss("weighing", lot.lot_no, f"Lot {lot.lot_no} is not weighed as the terms need it.")
            estimate = lot.estimated_kg
            if self.is_complete and not self.is_whole(lot, dispatches):
                estimate = self.dispatched_kg(lot, dispatches)
            exact = Fraction(origin if origin is not None else estimate)
            inputs = {"final": final, "stand_in": "origin net" if origin is not None else "estimate"}
        return self.trace.add("lot_kg", exact, "", lot.lot_no, **inputs)

    def invoices(self) -> list[InvoiceGoods]:
        """One invoice per number of the dispatches, by date and number, with the lots under it."""
        found: dict[str, InvoiceGoods] = {}
        for row in self.dispatches:
            number = row.invoice_number or self.facts.invoice_number
            day = row.invoice_date if row.invoice_number else self.facts.invoice_date
            if not number or day is None:
                self.trace.miss("invoice", row.id, f"Dispatch {row.id} has no invoice number and date.")
            invoice = found.setdefault(number, self._invoice(number, day))
            if day is not None and day != invoice.day:
                detail = f"Invoice {number} has two dates."
                raise records.reject("/dispatches", detail)
            invoice.dispatches.append(row.id)
        for lot in self.lots:
            dispatches = self.dispatches_of(lot)
            for invoice in found.values():
                mine = [row for row in invoice.dispatches if row in dispatches]
                if mine:
                    invoice.weights[lot.lot_no] += self.dispatched_kg(lot, mine)
            rest = lot.estimated_kg - self.dispatched_kg(lot, dispatches)
            if not self.is_complete and rest > 0 and not self.is_whole(lot, dispatches):
                number = self.facts.invoice_number
                invoice = found.setdefault(number, self._invoice(number, self.facts.invoice_date))
                invoice.weights[lot.lot_no] += rest
                self.trace.miss("dispatch", lot.lot_no, f"Lot {lot.lot_no} is not dispatched.")
        return sorted((row for row in found.values() if row.weights), key=lambda row: (row.day, row.number))

    def _invoice(self, number: str, day: date | None) -> InvoiceGoods:
        return InvoiceGoods("/".join(filter(None, ("INVOICE", number))), number, day or self.facts.as_of)

    def claims(self) -> list[tuple[Lot, Decimal, list[str]]]:
        """Franchise and claim per lot, and the dispatches it is about."""
        weight = self.terms.weight
        if weight.final is not WeightFinal.ORIGIN or weight.franchise_kind is Franchise.NONE:
            return []
        found = []
        for lot in self.lots:
            everything = self.dispatches_of(lot)
            timely = [row for row in everything if self._in_window(lot, row)]
            origin = self.net(lot, Stage.ORIGIN, timely) if timely else None
            destination = self.net(lot, Stage.DESTINATION, timely) if timely else None
            if origin is None or destination is None:
                continue
            franchise = self.trace.add(
                "franchise_kg",
                Fraction(origin) * Fraction(weight.franchise_percent) / 100,
                "",
                lot.lot_no,
                origin=origin,
                percent=weight.franchise_percent,
            )
            short = origin - destination
            above = short - franchise if weight.franchise_kind is Franchise.DEDUCTIBLE else short
            claim = self.trace.add(
                "claim_kg",
                above if short > franchise else 0,
                "",
                lot.lot_no,
                short=short,
                franchise=franchise,
                kind=weight.franchise_kind,
            )
            if claim:
                found.append((lot, claim, timely))
        return found

    def _in_window(self, lot: Lot, dispatch: str) -> bool:
        delivery, weighed = self.delivered.get(dispatch), self.weighed_on.get((lot.lot_no, dispatch))
        if delivery is None or weighed is None or self.returned[dispatch, lot.lot_no]:
            return False
        return weighed <= delivery.delivered_date + timedelta(days=self.terms.weight.claim_days)
