"""What holds for every trade: a second implementation agrees, splits add up, order does not matter."""

import os
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.commodities.differences import Mode
from apps.trades import engine
from apps.trades.engine import facts as f
from apps.trades.engine import records
from apps.trades.engine import terms as t
from apps.trades.engine.settlement import Rounding
from apps.trades.engine.v1 import payments as p
from apps.trades.engine.v1 import taxes
from apps.trades.engine.v1.trace import shares
from apps.trades.tests.cases import (
    BROKER_POSITION,
    DEMO_29,
    ROWS,
    SLABS,
    SOMNATH,
    TERMS,
    D,
    day,
    dispatch,
    goods,
    party,
    pay,
    position,
    results,
    weighing,
)

EXAMPLES = settings(max_examples=60, deadline=None)
# TRADE_EXAMPLES=100000 compares so many generated trades with the second implementation (trades §8.2).
COMPARED = settings(
    max_examples=int(os.environ.get("TRADE_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
cents = st.integers(0, 10**12).map(lambda n: D(n).scaleb(-2))
grams = st.integers(10**6, 30 * 10**6).map(lambda n: D(n).scaleb(-3))


@given(cents, st.lists(st.integers(0, 10**9), min_size=1, max_size=12), st.booleans())
def test_a_split_adds_up_and_no_part_is_a_unit_off(whole, weights, negative):
    whole = -whole if negative else whole
    parts = shares(whole, weights, 2)
    assert sum(parts) == whole
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        share = Fraction(weight, total) if total else Fraction(1, len(weights))
        assert abs(Fraction(part) - Fraction(whole) * share) < Fraction(1, 100)


def test_equal_parts_give_the_unit_left_to_the_earlier():
    assert [str(x) for x in shares(D("100.00"), [1, 1, 1], 2)] == ["33.34", "33.33", "33.33"]
    assert [str(x) for x in shares(D("-100.00"), [1, 1, 1], 2)] == ["-33.34", "-33.33", "-33.33"]


def quote(number):
    return D(number).scaleb(-2)


@st.composite
def prices(draw, kg):
    """A price of any form, and the facts that fix it."""
    number = st.integers(2 * 10**6, 9 * 10**6).map(quote)
    form, stand_in = draw(st.sampled_from(["FLAT", "FORMULA", "ON_CALL"])), draw(number)
    if form == "FLAT":
        return t.Flat(price=stand_in), {}
    if form == "FORMULA":
        quotations = [
            f.Quotation(day=date(2026, 1, n + 1), price=price)
            for n, price in enumerate(draw(st.lists(number, min_size=1, max_size=7)))
        ]
        price = t.Formula(
            source="spot",
            average_from=day("2026-01-01"),
            average_to=day("2026-01-10"),
            difference=quote(draw(st.integers(-(10**5), 10**5))),
            provisional_price=stand_in,
        )
        return price, {"quotations": tuple(quotations)}
    price = t.OnCall(
        futures="CT",
        basis_points=D(draw(st.integers(-1000, 1000))),
        call=t.Side.BUYER,
        deadline=day("2026-03-01"),
        provisional_price=stand_in,
    )
    whole = half_up(Fraction(kg) * 100 / 35562, 3)
    cuts = sorted(
        {
            D(0),
            whole,
            *(half_up(Fraction(whole) * n / 9, 3) for n in draw(st.sets(st.integers(1, 8), max_size=3))),
        }
    )
    slices = [
        f.Fixation(
            number=n + 1, fixed_date=day("2026-02-01"), quantity=high - low, futures_price=draw(number)
        )
        for n, (low, high) in enumerate(pairwise(cuts))
    ]
    return price, {"fixations": tuple(slices)}


@st.composite
def trades(draw):
    """Terms and facts of one to three lots, in one or two invoices, paid in parts, with claims."""
    lots, weighments, quality, arrivals = [], [], [], []
    sent = {"d1": [], "d2": []}
    for n in range(draw(st.integers(1, 3))):
        name, kg, count = f"L{n}", draw(grams), draw(st.integers(2, 300))
        lots.append(t.Lot(lot_no=name, estimated_kg=kg, count=count))
        weighments.append(weighing(f"o{n}", "ORIGIN", kg + 85, lot=name))
        values = {
            "rd": draw(st.integers(730, 850)),
            "trash": draw(st.integers(0, 45)),
            "moisture": draw(st.integers(30, 150)),
        }
        measured = {key: D(value).scaleb(-1) for key, value in values.items()}
        quality.append(f.Governing(lot_no=name, source="LAB", results=results(**measured)))
        cut = draw(st.integers(1, count - 1)) if draw(st.booleans()) else count
        first = (kg * cut / count).quantize(D("0.001"))
        sent["d1"].append(goods(first, cut, name))
        if cut < count:
            sent["d2"].append(goods(kg - first, count - cut, name))
        for key, line in [("d1", sent["d1"][-1])] + ([("d2", sent["d2"][-1])] if cut < count else []):
            lost = draw(st.integers(0, 10)) * line.weight_kg / 1000
            net = (line.weight_kg - lost).quantize(D("0.001"))
            arrivals.append(
                weighing(f"a{n}{key}", "DESTINATION", net + 1, "1", "2026-01-22", name, dispatch=key)
            )
    price, fixed = draw(prices(sum(lot.estimated_kg for lot in lots)))
    kept = {key: lines for key, lines in sent.items() if lines}
    parties = (
        TERMS.parties[0],
        replace(TERMS.parties[1], state_code=draw(st.sampled_from(["24", "33"]))),
        *TERMS.parties[2:],
    )
    rules = replace(
        DEMO_29.rules,
        mode=draw(st.sampled_from(Mode)),
        cap_percent=draw(st.none() | st.integers(0, 5).map(D)),
    )
    terms = replace(
        TERMS,
        lots=tuple(lots),
        weight_kg=sum(lot.estimated_kg for lot in lots),
        count=sum(lot.count for lot in lots),
        price=price,
        schedule=replace(DEMO_29, rules=rules),
        parties=parties,
        delivery=replace(TERMS.delivery, to_state=parties[1].state_code),
        weight=replace(TERMS.weight, franchise_kind=draw(st.sampled_from(t.Franchise))),
    )
    counted = draw(cents)
    taxed = max(3200000 + counted - 5000000, D(0))
    paid = [
        pay(
            n + 1,
            draw(st.sampled_from(["ADVANCE", "BALANCE"])),
            D(draw(st.integers(1, 10**8))).scaleb(-2),
            on,
        )
        for n, on in enumerate(
            draw(st.lists(st.sampled_from(["2026-01-14", "2026-02-05", "2026-03-20"]), max_size=4))
        )
    ]
    facts = f.Facts(
        as_of=day("2026-03-25"),
        weighments=(*weighments, *arrivals),
        dispatches=tuple(dispatch(key, *lines, invoice=f"I-{key}") for key, lines in kept.items()),
        deliveries=tuple(
            f.Delivered(dispatch=key, delivered_date=day("2026-01-22"), lines=tuple(lines), final=True)
            for key, lines in kept.items()
        ),
        quality=tuple(quality),
        payments=tuple(paid),
        tax_rows=ROWS,
        positions=(position(counted, taxed=taxed), BROKER_POSITION),
        **fixed,
    )
    return terms, facts


def half_up(exact, places):
    """A rounding of its own: decimal's, on as many digits as the fraction needs."""
    context = Context(prec=120)
    quotient = context.divide(D(exact.numerator), D(exact.denominator))
    return quotient.quantize(D(1).scaleb(-places), ROUND_HALF_UP, context=context)


def bases_again(terms, facts):
    """Weights and exact base prices."""
    price = terms.price
    if price.form == "FLAT":
        return [(1, Fraction(price.price))]
    if price.form == "FORMULA":
        quoted = [Fraction(row.price) for row in facts.quotations]
        return [(1, sum(quoted) / len(quoted) + Fraction(price.difference))]
    basis = Fraction(price.basis_points) / 100
    return [
        (int(row.quantity * 1000), Fraction(row.futures_price) + basis)
        for row in sorted(facts.fixations, key=lambda row: row.number)
    ]


def cut_up(units, weights):
    """Whole units by weights: the largest remainders get what is left, the earlier first."""
    parts = [divmod(units * weight, sum(weights)) for weight in weights]
    left = units - sum(part for part, _ in parts)
    most = sorted(range(len(parts)), key=lambda n: -parts[n][1])[:left]
    return [part + (n in most) for n, (part, _) in enumerate(parts)]


def values_again(facts, lot):
    (governing,) = [q for q in facts.quality if q.lot_no == lot.lot_no]
    return {result.parameter: Fraction(result.value) for result in governing.results}


def unit_prices_again(terms, facts, lot):
    """Weights of the slices and their prices after premiums and discounts (§5.7)."""
    value = values_again(facts, lot)
    rd = next(
        e for low, e in ((77.1, 1), (75.5, 0), (74, -1.5), (73, -3.5)) if value["rd"] >= Fraction(str(low))
    )
    effects = [Fraction(str(rd)), -max(value["trash"] - 3, Fraction(0))]
    change = sum(effects) / 100
    if terms.schedule.rules.mode is Mode.COMPOUND:
        change = (1 + effects[0] / 100) * (1 + effects[1] / 100) - 1
    if (cap := terms.schedule.rules.cap_percent) is not None:
        change = max(-Fraction(cap) / 100, min(Fraction(cap) / 100, change))
    return [(weight, Fraction(half_up(base * (1 + change), 6))) for weight, base in bases_again(terms, facts)]


def carried_again(facts, lot):
    """Grams of a lot by invoice."""
    return sorted(
        (row.invoice_number, int(line.weight_kg * 1000))
        for row in facts.dispatches
        for line in row.lines
        if line.lot_no == lot.lot_no
    )


def invoices_again(terms, facts):
    """Invoices by number: taxable, tax, round-off, total and TDS, worked out from practice §9 alone."""
    k, found = Fraction(35562, 100), {}
    heads = rates_again(terms)
    for lot in sorted(terms.lots, key=lambda lot: lot.lot_no):
        (slip,) = [w for w in facts.weighments if w.lot_no == lot.lot_no and w.stage == "ORIGIN"]
        wet = max(values_again(facts, lot)["moisture"] - Fraction(17, 2), Fraction(0))
        accounted = half_up(Fraction(slip.gross_kg - slip.tare_kg) * (1 - wet / 100), 3)
        weights, unit_prices = zip(*unit_prices_again(terms, facts, lot), strict=True)
        carried = carried_again(facts, lot)
        parts = cut_up(int(accounted * 1000), [units for _, units in carried])
        for (number, _), units in zip(carried, parts, strict=True):
            kg = Fraction(units, 1000)
            amounts = [half_up(kg * unit_prices[0] / k, 2)]
            if terms.price.form == "ON_CALL":
                slices = cut_up(int(half_up(kg / k, 3) * 1000), weights)
                amounts = [
                    half_up(Fraction(part, 1000) * price, 2)
                    for part, price in zip(slices, unit_prices, strict=True)
                ]
            tax = sum(half_up(Fraction(amount) * rate / 100, 2) for amount in amounts for rate in heads)
            before = found.get(number, (D(0), D(0)))
            found[number] = (before[0] + sum(amounts), before[1] + tax)
    return found


def tds_again(terms, facts, found):
    """TDS by number: what lies above 50 lakh, less what was taxed, of the invoices less the advances."""
    (state,) = [row for row in facts.positions if row.kind == "TDS_GOODS"]
    counted = state.opening_amount + state.counted
    taxed = state.taxed
    advances = sum(row.amount for row in facts.payments if row.kind == "ADVANCE")
    withheld = {}
    for number, (taxable, _) in sorted(found.items()):
        used = min(advances, taxable)
        advances -= used
        counted += taxable - used
        base = max(D(0), max(D(0), counted - 5000000) - taxed)
        taxed += base
        withheld[number] = half_up(Fraction(base) / 1000, 0)
    return withheld


def rates_again(terms):
    return [Fraction(5)] if terms.buyer.state_code == "33" else [Fraction(5, 2)] * 2


def noted_again(terms, amounts):
    """Tax, round-off and total of a note on amounts."""
    tax = sum((half_up(Fraction(a) * rate / 100, 2) for a in amounts for rate in rates_again(terms)), D(0))
    exact = sum(amounts, D(0)) + tax
    return sum(amounts, D(0)), tax, half_up(Fraction(exact), 0)


def claims_again(terms, facts):
    """Credit notes for what was lost on the way, by invoice: taxable, tax, total (§5.9, rule 14)."""
    k, by_invoice = Fraction(35562, 100), {}
    for lot in sorted(terms.lots, key=lambda lot: lot.lot_no):
        weighed = [w for w in facts.weighments if w.lot_no == lot.lot_no]
        origin = sum((w.gross_kg - w.tare_kg for w in weighed if w.stage == "ORIGIN"), D(0))
        arrived = sum((w.gross_kg - w.tare_kg for w in weighed if w.stage == "DESTINATION"), D(0))
        short, franchise = origin - arrived, half_up(Fraction(origin) * Fraction(1, 400), 3)
        claimed = {
            "NONE": D(0),
            "DEDUCTIBLE": max(D(0), short - franchise),
            "THRESHOLD": short if short > franchise else D(0),
        }[terms.weight.franchise_kind]
        if not claimed:
            continue
        weights, prices = zip(*unit_prices_again(terms, facts, lot), strict=True)
        price = sum(w * Fraction(p) for w, p in zip(weights, prices, strict=True)) / sum(weights)
        amount = half_up(Fraction(claimed) * price / k, 2)
        carried = carried_again(facts, lot)
        for (number, _), cents_ in zip(
            carried, cut_up(int(amount * 100), [units for _, units in carried]), strict=True
        ):
            by_invoice.setdefault(number, []).append(D(cents_).scaleb(-2))
    return {number: noted_again(terms, amounts) for number, amounts in by_invoice.items() if any(amounts)}


def carrying_again(terms, facts, found, withheld, notes):
    """The charge on what was paid late: 15 days at 15 %, 15 at 18 %, then 24 %, of 365 (§5.10)."""
    stated = terms.price.price if terms.price.form == "FLAT" else terms.price.provisional_price
    value = half_up(Fraction(terms.weight_kg) * Fraction(stated) * 100 / 35562, 2)
    left, owed = half_up(Fraction(value) * 15 / 100, 2), []
    for number, (taxable, tax) in sorted(found.items()):
        net = half_up(Fraction(taxable + tax), 0) - withheld[number]
        advance = min(left, net)
        left -= advance
        owed += [(day("2026-01-14"), 0, number, advance), (day("2026-01-31"), 1, number, net - advance)]
    parts = []
    paid = [
        [row.paid_date, row.amount] for row in sorted(facts.payments, key=lambda r: (r.paid_date, r.number))
    ]
    cover = sum((total for _, _, total in notes.values()), D(0))
    for due, _, _, amount in sorted(owed):
        for payment in paid:
            part = min(amount, payment[1])
            amount, payment[1] = amount - part, payment[1] - part
            parts.append((part, (payment[0] - due).days))
        set_off = min(cover, amount)
        cover -= set_off
        parts.append((amount - set_off, (facts.as_of - due).days))
    percents = [15] * 15 + [18] * 15
    exact = sum(
        (
            Fraction(amount) * sum((percents[n] if n < 30 else 24 for n in range(days)), 0) / 36500
            for amount, days in parts
            if days > 0
        ),
        Fraction(0),
    )
    return half_up(exact, 2)


@COMPARED
@given(trades())
def test_a_second_implementation_agrees(trade):
    terms, facts = trade
    done = engine.preview(1, terms, facts)
    found = invoices_again(terms, facts)
    withheld = tds_again(terms, facts, found)
    invoices = {d.number: d for d in done.documents if d.kind == "INVOICE"}
    assert invoices.keys() == found.keys()
    for number, (taxable, tax) in found.items():
        total = half_up(Fraction(taxable + tax), 0)
        invoice = invoices[number]
        assert (invoice.taxable, invoice.tax, invoice.tds) == (taxable, tax, withheld[number])
        assert (invoice.round_off, invoice.total) == (total - taxable - tax, total)
    notes = claims_again(terms, facts)
    drawn = {
        next(i.number for i in invoices.values() if i.key == d.invoice): (d.taxable, d.tax, d.total)
        for d in done.documents
        if d.kind == "CREDIT_NOTE"
    }
    assert drawn == notes
    charge = carrying_again(terms, facts, found, withheld, notes)
    assert done.totals.carrying == charge
    debit = [(d.taxable, d.tax, d.total) for d in done.documents if d.kind == "DEBIT_NOTE"]
    assert debit == ([noted_again(terms, [charge])] if charge else [])
    fee = half_up(Fraction(sum(taxable for taxable, _ in found.values())) / 400, 2)
    (brokerage,) = [d for d in done.documents if d.kind == "BROKERAGE"]
    assert (brokerage.taxable, brokerage.tax) == (fee, half_up(Fraction(fee) * 18 / 100, 2))


@EXAMPLES
@given(trades())
def test_each_amount_is_rounded_once(trade):
    done = engine.preview(1, *trade)
    for line in done.lines:
        assert line.amount.as_tuple().exponent == -line.places
        if line.rounding is Rounding.LARGEST_REMAINDER:
            assert abs(Fraction(line.amount) - line.unrounded) < Fraction(1, 10**line.places)
        else:
            assert line.amount == half_up(line.unrounded, line.places), line
        assert (line.rounding is Rounding.EXACT) <= (Fraction(line.amount) == line.unrounded)


@EXAMPLES
@given(trades(), st.randoms(use_true_random=False))
def test_the_order_of_facts_and_lots_changes_nothing(trade, random):
    terms, facts = trade

    def mixed(rows):
        return tuple(random.sample(rows, len(rows)))

    lists = {name: mixed(rows) for name, rows in vars(facts).items() if isinstance(rows, tuple)}
    shuffled = replace(facts, **lists)
    assert engine.preview(1, replace(terms, lots=mixed(terms.lots)), shuffled) == engine.preview(
        1, terms, facts
    )


@EXAMPLES
@given(trades())
def test_documents_postings_and_payments_agree(trade):
    terms, facts = trade
    done = engine.preview(1, terms, facts)
    for document in done.documents:
        rows = [row for row in done.postings if row.document == document.key]
        owed = sum(row.amount if row.debtor == document.debtor else -row.amount for row in rows)
        assert owed == document.total - document.tds
        assert document.taxable + document.untaxed + document.tax + document.round_off == document.total
        assert abs(document.round_off) <= D("0.50")
    assert all(row.amount > 0 for row in done.postings)
    sides = {True: 1, False: -1}
    documents = [d for d in done.documents if d.kind != "BROKERAGE"]
    net = sum(sides[d.debtor == "kovai"] * (d.total - d.tds) for d in documents)
    net -= sum(row.amount for row in facts.payments)
    assert done.totals.net_due == abs(net)
    goods_owed = [owed for owed in done.obligations if owed.kind != "BROKERAGE"]
    open_amounts = sum(sides[owed.debtor == "kovai"] * owed.open for owed in goods_owed)
    assert open_amounts - done.totals.on_account == net
    for owed in done.obligations:
        assert owed.paid + owed.open == owed.amount
        assert owed.open >= 0


@EXAMPLES
@given(trades())
def test_settling_is_the_preview_where_no_fact_is_missing(trade):
    terms, facts = trade
    facts = replace(facts, open_limit=D(10**14))
    done = engine.settle(1, terms, facts)
    assert done == engine.preview(1, terms, facts)
    body, contract_hash = t.freeze(terms)
    export = engine.export("settle", body, contract_hash, facts, done)
    assert engine.recompute(records.load(records.canonical(export))).differences == []


@given(st.lists(cents, min_size=1, max_size=8), cents, st.booleans())
def test_tds_events_add_up_to_what_lies_above_the_threshold(events, counted, whole):
    mode = f.ThresholdMode.WHOLE if whole else f.ThresholdMode.EXCESS
    row = replace(next(x for x in ROWS if x.kind is f.RowKind.TDS_GOODS), threshold_mode=mode)
    state = position("0", opening_amount=D(0))
    bases = Fraction(0)
    for event in [counted, *events]:
        done = taxes.deduct(row, state, event, party("SELLER", SOMNATH, "24"), day("2026-01-16"))
        bases, state = bases + done.base, done.position
    total = Fraction(counted + sum(events))
    over = max(total - 5000000, 0) if not whole else total if total > 5000000 else 0
    assert bases == over == Fraction(state.taxed)


@given(st.integers(1, 10**11), st.integers(0, 400), st.integers(0, 400))
def test_interest_of_more_days_is_never_less(amount, days, more):
    one, two = (sum(p.interest(Fraction(amount), n, SLABS), Fraction(0)) for n in (days, days + more))
    assert one <= two
    daily = [Fraction(amount * percent, 36500) for percent in ([15] * 15 + [18] * 15 + [24] * 370)[:days]]
    assert one == sum(daily)


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**9), st.integers(0, 6))
def test_both_roundings_agree(numerator, denominator, places):
    from apps.commodities.exact import rounded

    exact = Fraction(numerator, denominator)
    assert rounded(exact, places) == half_up(exact, places)
    assert isinstance(rounded(exact, places), Decimal)
