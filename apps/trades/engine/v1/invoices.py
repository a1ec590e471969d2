"""The invoices: goods by invoice and lot, charges, TDS. Rules 3 to 6."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from apps.commodities.exact import Number
from apps.trades.engine.facts import PaymentKind, RowKind
from apps.trades.engine.settlement import DocumentKind
from apps.trades.engine.terms import Basis, ChargeKind, Direction, Lot
from apps.trades.engine.v1 import payments
from apps.trades.engine.v1.books import RUPEE, ZERO, Billed, Books, Row


def draw(books: Books) -> None:
    """Draw up the invoices."""
    books.billed = [Billed(invoice) for invoice in books.weights.invoices()]
    _price_lots(books)
    for billed in books.billed:
        for lot in books.weights.lots:
            if lot.lot_no in billed.kg:
                _bill(books, billed, lot)
    _charge(books)
    for billed in books.billed:
        goods = billed.goods
        remark = books.regime(goods.day).remark
        billed.drawn = books.close(
            DocumentKind.INVOICE, "GOODS", goods.key, billed.rows, invoice=goods, remark=remark
        )
    if books.terms.direction is Direction.DOMESTIC and books.terms.currency == RUPEE:
        _deduct(books)


def _price_lots(books: Books) -> None:
    weights, prices, trace = books.weights, books.prices, books.trace
    parts, final = prices.contract_parts(), prices.final_parts()
    for lot in weights.lots:
        invoices = [row for row in books.billed if lot.lot_no in row.goods.weights]
        if not invoices:
            continue
        dispatches = weights.dispatches_of(lot)
        kg = weights.lot_kg(lot, dispatches)
        _, exact, _ = prices.evaluate(lot, Fraction(1), kg, dispatches)
        factor = exact / Fraction(kg) if kg else Fraction(1)
        carried = [(row.goods.key, lot.lot_no, row.goods.weights[lot.lot_no]) for row in invoices]
        accounted = trace.add("accounted_kg", exact, "", lot.lot_no, lot_kg=kg, factor=factor)
        shares = trace.split("accounted_part_kg", accounted, carried) if len(carried) > 1 else [accounted]
        books.accounted[lot.lot_no] = accounted
        books.lot_prices[lot.lot_no] = prices.of_lot(lot, parts, dispatches)
        if final is not None:
            books.final_prices[lot.lot_no] = prices.of_lot(lot, final, dispatches, "final")
        for row, share in zip(invoices, shares, strict=True):
            row.kg[lot.lot_no] = share


def _bill(books: Books, billed: Billed, lot: Lot) -> None:
    key, kg = billed.goods.key, billed.kg[lot.lot_no]
    rows = [
        books.row("GOODS", "line_amount", exact, key, subject, **inputs)
        for subject, exact, inputs in books.prices.amount(key, lot, kg, books.lot_prices[lot.lot_no])
    ]
    billed.rows += rows
    billed.amounts[lot.lot_no] = sum((row.amount for row in rows), ZERO)


def _charge(books: Books) -> None:
    unit = books.terms.unit
    totals = [sum(row.amounts.values(), ZERO) for row in books.billed]
    goods, units = sum(totals, ZERO), Fraction(sum(books.accounted.values(), ZERO)) / unit.kg
    for charge in books.terms.charges:
        above = max(units - Fraction(charge.from_quantity or 0), Fraction(0))
        if not above:
            continue
        rate = Fraction(charge.rate)
        exact = {
            Basis.PERCENT: Fraction(goods) * rate / 100 * above / units,
            Basis.PER_PRICE_UNIT: rate * above / unit.divisor,
            Basis.FIXED: rate,
        }[charge.basis]
        sign = -1 if charge.kind is ChargeKind.BULK_DISCOUNT else 1
        inputs = {"basis": charge.basis, "rate": charge.rate, "goods": goods, "units_above": above}
        _spread(books, charge.kind.lower(), sign * exact, totals, charge.taxable, inputs)
    late = [_late_lifting(books, row) for row in books.billed]
    if any(late):
        _spread(books, "late_lifting", sum(late, Fraction(0)), late, True, {})


def _late_lifting(books: Books, billed: Billed) -> Fraction:
    """Interest by slabs on what each dispatch of an invoice carried, from the end of the free days."""
    delivery, total = books.terms.delivery, Fraction(0)
    free_until = delivery.window_start + timedelta(days=delivery.free_days)
    for row in books.weights.dispatches if delivery.late_slabs else ():
        days = (row.dispatched_date - free_until).days
        if row.id not in billed.goods.dispatches or days <= 0:
            continue
        for line in row.lines:
            if line.lot_no in billed.amounts:
                share = Fraction(line.weight_kg) / Fraction(billed.goods.weights[line.lot_no])
                amount = Fraction(billed.amounts[line.lot_no]) * share
                total += sum(payments.interest(amount, days, delivery.late_slabs))
    return total


def _spread(
    books: Books,
    name: str,
    exact: Fraction,
    weights: Sequence[Number],
    is_taxed: bool,
    inputs: dict[str, object],
) -> None:
    """Put a charge on the invoices, by their goods."""
    parts = [(row.goods.key, name, weight) for row, weight in zip(books.billed, weights, strict=True)]
    spread = books.trace.spread(name, "charge_part", exact, parts, name, **inputs)
    for billed, (amount, line_no) in zip(books.billed, spread, strict=True):
        billed.rows.append(Row("CHARGE", name, amount, line_no, is_taxed))


def _deduct(books: Books) -> None:
    """TDS of each invoice in order; advances already counted are not counted again, each rupee once."""
    advances = sum((row.amount for row in books.payments if row.kind is PaymentKind.ADVANCE), ZERO)
    for billed in books.billed:
        used: Decimal = min(advances, billed.document.taxable)
        advances -= used
        added = billed.document.taxable - used
        billed.drawn = books.deduct(RowKind.TDS_GOODS, billed.document, added, books.terms.seller)
