"""Rules 11 to 24 of the engine, each with a vector of its own: TDS, payments, notes, brokerage; and refusals."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest

from apps.trades import engine
from apps.trades.engine import errors
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.engine.v1 import payments as p
from apps.trades.engine.v1 import taxes
from apps.trades.tests.cases import (
    ADVANCE,
    ARRIVAL,
    ARRIVED,
    BALANCE,
    BROKER_POSITION,
    DELIVERY,
    DISPATCH,
    DISPATCHED,
    EXPORT,
    KOVAI,
    LOTS,
    MUMBADEVI,
    ORIGIN,
    ROWS,
    SETTLED,
    SLABS,
    SOMNATH,
    TERMS,
    TWO_INVOICES,
    UNTAXED,
    WEIGHED,
    D,
    K,
    amount,
    day,
    dispatch,
    goods,
    governed,
    half_up,
    named,
    party,
    pay,
    position,
    preview,
    row,
    settle,
    two_lots,
    weighing,
)

V1 = engine.version(1)
OWED = Fraction(D("2219363.22"))  # the balance of journey A


def with_seller(**fields):
    return replace(TERMS, parties=(replace(TERMS.parties[0], **fields), *TERMS.parties[1:]))


def with_payment(**fields):
    return replace(TERMS, payment=replace(TERMS.payment, **fields))


def paid(*payments, facts=SETTLED, **fields):
    return replace(facts, payments=payments, **fields)


# 11: TDS


def deduct(state, added):
    on = day("2026-01-16")
    row = taxes.row_for(ROWS, f.RowKind.TDS_GOODS, on)
    return taxes.deduct(row, state, D(added), TERMS.seller, on)


def test_11_what_a_note_took_off_is_set_off_later():
    """B 60 lakh taxed on 10, note 2 lakh, invoice 5 lakh: base 3 lakh, TDS 300."""
    state = position("6000000", opening_amount=D(0), taxed=D(1000000))
    done = deduct(taxes.lower(state, D(200000)), "500000")
    assert (done.base, done.tds) == (300000, 300)
    assert (done.position.counted, done.position.taxed) == (6300000, 1300000)


def test_11_a_note_never_lowers_a_position_below_nothing():
    lowered = taxes.lower(position("100", opening_amount=D(50)), D(1000))
    assert lowered.opening_amount + lowered.counted == 0


def test_11_an_opening_above_the_threshold_counts_as_taxed():
    assert deduct(position("0", opening_amount=D(6000000)), "100000").base == 100000
    assert deduct(position("0", opening_amount=D(6000000), opening_taxed=D(0)), "100000").base == 1100000


def test_11_a_lower_certificate_up_to_its_limit():
    certificate = f.Certificate(
        number="LDC-1",
        rate_percent=D("0.05"),
        valid_from=day("2026-01-01"),
        valid_to=day("2026-03-31"),
        limit=D(1000000),
        section="194Q",
        used=D(600000),
    )
    state = position("5000000", opening_amount=D(0), certificates=(certificate,))
    done = deduct(state, "1000000")
    assert done.tds == 400000 * Fraction(5, 10000) + 600000 * Fraction(1, 1000)
    assert done.position.certificates[0].used == 1000000
    for unfit in ({"valid_to": day("2026-01-15")}, {"section": "1031"}):
        others = (replace(certificate, **unfit),)
        assert deduct(replace(state, certificates=others), "1000000").tds == 1000


def test_11_each_event_rounds_alone_and_an_advance_is_used_once():
    advance = pay(1, "ADVANCE", "1800000.00", "2026-01-14")
    positions = (position("1800000.00", opening_amount=D(3000000)), BROKER_POSITION)
    done = preview(two_lots(), paid(advance, facts=TWO_INVOICES, positions=positions))
    first, second = (d for d in done.documents if d.kind == "INVOICE")
    one, two = (x for x in done.lines if x.name == "tds" and x.subject == SOMNATH)
    assert one.inputs["added"] == "0"  # 1,504,414.26 is below the advance
    added = second.taxable - (D(1800000) - first.taxable)
    assert D(two.inputs["added"]) == added
    assert D(two.inputs["base"]) == D(4800000) + added - D(5000000)
    assert str(two.amount) == half_up(Fraction(two.inputs["base"]) / 1000, 0)


def test_11_an_advance_of_the_year_before_is_not_counted_twice():
    april = day("2026-04-02")
    sent = replace(DISPATCH, dispatched_date=april, invoice_date=april)
    positions = (position("383625.78"), position("0", financial_year="2026-27", opening_amount=D(0)))
    facts = replace(DISPATCHED, dispatches=(sent,), as_of=april, positions=positions)
    tds = preview(facts=facts).line("tds", SOMNATH)
    assert (tds.inputs["added"], tds.inputs["counted_before"]) == ("2096058.88", "0")
    assert tds.inputs["tax_row"] == "TDS-GOODS version 2"


def test_11_a_balance_paid_before_the_invoice_is_no_advance():
    early = replace(ADVANCE, kind=f.PaymentKind.BALANCE)
    done = preview(facts=paid(early, facts=DISPATCHED))
    assert done.line("tds", SOMNATH).inputs["added"] == "2479684.66"


def test_11_a_bounced_advance_is_no_advance():
    reversal = pay(2, "REVERSAL", "383625.78", "2026-01-15", reverses="p1")
    done = preview(
        facts=paid(ADVANCE, reversal, facts=DISPATCHED, positions=(position("0"), BROKER_POSITION))
    )
    assert done.line("tds", SOMNATH).inputs["added"] == "2479684.66"
    assert amount(done, "balance") == "2602989.00"


def test_11_no_tds_where_the_buyer_is_not_liable_but_the_position_counts():
    done = preview(facts=UNTAXED)
    assert amount(done, "tds", SOMNATH) == "0"
    assert done.position_moves[0].counted == D("2096058.88")


def test_11_a_missing_position_is_a_missing_fact():
    with pytest.raises(errors.FactsMissing, match="TDS_GOODS position"):
        settle(facts=replace(SETTLED, positions=(BROKER_POSITION,)))


def test_11_the_advance_itself():
    state = position("0", opening_amount=D("4900000"))
    tds, done = V1.deduct(TERMS, ROWS, state, ADVANCE.amount, ADVANCE.paid_date)
    assert (str(tds), done.base) == ("284", Fraction(D("283625.78")))
    assert done.position.taxed == D("283625.78")


@pytest.mark.parametrize(
    ("kind", "figure"),
    [
        (f.RowKind.GST, "rate_percent"),
        (f.RowKind.TDS_GOODS, "threshold"),
        (f.RowKind.TDS_GOODS, "no_pan_percent"),
        (f.RowKind.NOTE_LIMIT, "month"),
    ],
)
def test_11_a_row_without_its_figure_is_no_row(kind, figure):
    rows = tuple(replace(x, **{figure: None}) if x.kind is kind else x for x in ROWS)
    with pytest.raises(errors.TaxRuleMissing):
        preview(with_seller(has_pan=False), replace(ARRIVED, tax_rows=rows))


@pytest.mark.parametrize(
    ("on", "year"), [("2026-03-31", "2025-26"), ("2026-04-01", "2026-27"), ("1999-12-31", "1999-00")]
)
def test_financial_years(on, year):
    assert taxes.financial_year(day(on)) == year


# 12: payments


def balances(settlement):
    return {owed.kind: (str(owed.paid), str(owed.open)) for owed in settlement.obligations}


def test_12_a_payment_goes_to_what_is_due_first_and_the_rest_stays_on_account():
    done = preview(facts=paid(pay(1, "BALANCE", "2700000.00", "2026-01-20")))
    assert balances(done)["ADVANCE"] == ("383625.78", "0.00")
    assert balances(done)["BALANCE"][1] == "0.00"
    assert done.totals.on_account == D(2700000) - D("2603669.00") + done.totals.tds


def test_12_the_advance_is_owed_once_for_all_invoices():
    done = preview(two_lots(), TWO_INVOICES)
    owed = [(row.kind, row.document, str(row.amount)) for row in done.obligations if row.kind == "ADVANCE"]
    assert owed == [("ADVANCE", "INVOICE/I-1", "383625.78")]
    small = two_lots(payment=replace(TERMS.payment, advance_percent=D(95)))
    first, second = (d for d in preview(small, TWO_INVOICES).documents if d.kind == "INVOICE")
    parts = [row.amount for row in preview(small, TWO_INVOICES).obligations if row.kind == "ADVANCE"]
    assert parts == [first.total, V1.value(small).advance_due - first.total]
    assert parts[1] < second.total


def test_12_allocations_are_followed():
    some = f.Allocation(obligation="BALANCE", amount=D(400000))
    chosen = replace(BALANCE, amount=D(500000), allocations=(some,))
    done = preview(facts=paid(chosen))
    assert (balances(done)["ADVANCE"][0], balances(done)["BALANCE"][0]) == ("0.00", "400000.00")
    assert done.totals.on_account == 100000
    over = replace(chosen, allocations=(replace(some, amount=D(500001)),))
    with pytest.raises(errors.OverAllocated):
        preview(facts=paid(over))


def test_12_a_payment_of_a_later_day_does_not_count():
    assert amount(preview(facts=replace(SETTLED, as_of=day("2026-02-19"))), "balance") == "2219363.22"


def test_12_a_bounced_balance_reopens_the_balance_and_its_days():
    bounced = pay(3, "REVERSAL", "2219363.22", "2026-02-22", reverses="p2")
    done = preview(facts=paid(ADVANCE, BALANCE, bounced))
    assert amount(done, "balance") == "2219363.22"
    late = OWED - Fraction(D("6043.00"))  # 23 days, less the claim's note
    assert amount(done, "carrying") == half_up(late * (15 * 15 + 8 * 18) / 36500)


@pytest.mark.parametrize(
    ("start", "days", "kind", "due"),
    [
        ("2026-01-16", 15, "CALENDAR", "2026-01-31"),
        ("2026-01-16", 0, "WORKING", "2026-01-16"),
        ("2026-01-16", 1, "WORKING", "2026-01-17"),  # Saturday is a working day
        ("2026-01-16", 2, "WORKING", "2026-01-19"),  # not Sunday
        ("2026-01-23", 2, "WORKING", "2026-01-27"),  # nor Republic Day
    ],
)
def test_12_due_days(start, days, kind, due):
    assert p.due_date(day(start), days, t.DayKind(kind), [day("2026-01-26")]) == day(due)


def test_12_a_balance_from_delivery():
    done = preview(with_payment(balance_from=t.BalanceFrom.DELIVERY), ARRIVED)
    assert {owed.kind: owed.due_date for owed in done.obligations}["BALANCE"] == date(2026, 2, 6)


# 13 and 14: claims on weight


def test_13_an_exact_franchise_is_no_claim_and_a_gain_pays_nothing():
    terms = replace(TERMS, weight=replace(TERMS.weight, franchise_kind=t.Franchise.THRESHOLD))
    for gross, claim in (("16981.154", "0.000"), ("16981.153", "42.347"), ("17100.000", "0.000")):
        arrival = replace(ARRIVAL, gross_kg=D(gross))  # short by 42.346, 42.347, a gain
        assert amount(preview(terms, replace(ARRIVED, weighments=(ORIGIN, arrival))), "claim_kg") == claim


def test_13_the_window_is_by_date():
    for on, claims in (("2026-01-25", 1), ("2026-01-26", 0)):
        done = preview(facts=replace(ARRIVED, weighments=(ORIGIN, replace(ARRIVAL, weighed_date=day(on)))))
        assert len(named(done, "claim")) == claims


@pytest.mark.parametrize(
    "weight", [{"final": t.WeightFinal.DESTINATION}, {"franchise_kind": t.Franchise.NONE}]
)
def test_13_other_terms_know_no_claim(weight):
    done = preview(replace(TERMS, weight=replace(TERMS.weight, **weight)), ARRIVED)
    assert not named(done, "claim") + named(done, "franchise_kg")


def test_13_a_gain_of_one_lot_does_not_offset_another():
    lines = (goods("10000", 60, "A"), goods("7000", 40, "B"))
    on = {"dispatch": "d1", "on": "2026-01-22"}
    weighments = (
        *WEIGHED,
        weighing("3", "DESTINATION", "9900", "0", lot="A", **on),
        weighing("4", "DESTINATION", "7100", "0", lot="B", **on),
    )
    facts = replace(
        LOTS,
        dispatches=(dispatch("d1", *lines, invoice="I-1"),),
        weighments=weighments,
        deliveries=(replace(DELIVERY, lines=lines),),
    )
    done = preview(two_lots(), facts)
    assert [amount(done, "claim_kg", lot) for lot in "AB"] == ["75.000", "0.000"]
    assert amount(done, "claim") == half_up(75 * Fraction(53500) / K)


def test_14_a_claim_on_a_lot_in_two_invoices_is_split_over_their_notes():
    halves = [goods("5000.000", 30, "A"), goods("5000.000", 30, "A"), goods("7000.000", 40, "B")]
    on = {"lot": "A", "on": "2026-01-22"}
    facts = replace(
        LOTS,
        dispatches=(
            dispatch("d1", halves[0], invoice="I-1"),
            dispatch("d2", halves[1], halves[2], invoice="I-2"),
        ),
        weighments=(
            *WEIGHED,
            weighing("3", "DESTINATION", "4950", "0", dispatch="d1", **on),
            weighing("4", "DESTINATION", "4950", "0", dispatch="d2", **on),
        ),
        deliveries=(
            f.Delivered(dispatch="d1", delivered_date=day("2026-01-22"), lines=(halves[0],)),
            f.Delivered(dispatch="d2", delivered_date=day("2026-01-22"), lines=tuple(halves[1:]), final=True),
        ),
    )
    done = preview(two_lots(), facts)
    whole = D(amount(done, "claim"))
    assert str(whole) == half_up(75 * Fraction(53500) / K)
    notes = [d for d in done.documents if d.reason == "CLAIM"]
    assert sum(note.taxable for note in notes) == whole
    assert abs(notes[0].taxable - notes[1].taxable) <= D("0.01")


def test_14_a_late_note_carries_no_tax_and_says_so():
    last, past = day("2026-11-30"), day("2026-12-01")
    for on, tax in ((last, "287.75"), (past, "0.00")):
        note = preview(facts=replace(ARRIVED, as_of=on)).documents[1]
        assert str(note.tax) == tax
        assert note.remarks == (
            () if on == last else ("No tax: past the last day for credit notes with tax",)
        )


@pytest.mark.parametrize(("invoiced", "last"), [("2026-03-31", 2026), ("2026-04-01", 2027)])
def test_14_the_last_day_follows_the_financial_year_of_the_invoice(invoiced, last):
    facts = f.Facts(as_of=day(invoiced), tax_rows=ROWS)
    assert taxes.note_is_taxed(facts, day(invoiced), date(last, 11, 30))
    assert not taxes.note_is_taxed(facts, day(invoiced), date(last, 12, 1))


def test_14_a_note_lowers_the_position_of_the_year_of_its_invoice():
    moves = {(m.kind, m.document.split("/")[0]): m.counted for m in settle().position_moves}
    assert moves[f.RowKind.TDS_GOODS, "CREDIT_NOTE"] == D("-5754.91")


# 15: carrying


def test_15_an_open_part_counts_to_the_settled_date():
    done = preview(
        facts=replace(DISPATCHED, as_of=day("2026-03-12"))
    )  # 40 days: 15 at 15, 15 at 18, 10 at 24
    assert amount(done, "carrying") == half_up(OWED * (15 * 15 + 15 * 18 + 10 * 24) / 36500)
    assert len(named(done, "carrying_slab")) == 3


def test_15_the_due_day_itself_is_not_late():
    assert not named(preview(facts=replace(DISPATCHED, as_of=day("2026-01-31"))), "carrying")
    late = preview(facts=replace(DISPATCHED, as_of=day("2026-02-01")))
    assert amount(late, "carrying") == half_up(OWED * 15 / 36500)


def test_15_what_a_claim_withholds_is_not_late():
    withheld = replace(BALANCE, amount=BALANCE.amount - D("6043.00"), paid_date=day("2026-01-31"))
    done = settle(facts=paid(ADVANCE, withheld))
    assert not named(done, "carrying")
    assert (str(done.totals.open_after_notes), str(done.totals.net_due)) == ("0.00", "0.00")
    assert settle(facts=paid(ADVANCE, replace(withheld, amount=withheld.amount - D("1.00"))))
    with pytest.raises(errors.BalanceOpen):
        settle(facts=paid(ADVANCE, replace(withheld, amount=withheld.amount - D("1.01"))))


def test_15_a_note_covers_what_was_due_first_and_once():
    done = preview(facts=paid())
    owed = {row.kind: Fraction(row.amount) for row in done.obligations}
    late = (owed["ADVANCE"] - Fraction(D("6043.00"))) * (15 * 15 + 15 * 18 + 10 * 24)  # 40 days
    late += owed["BALANCE"] * (15 * 15 + 8 * 18)  # 23 days
    assert amount(done, "carrying") == half_up(late / 36500)


def test_15_a_late_advance_bears_it_from_its_own_due_day():
    late = paid(replace(ADVANCE, paid_date=day("2026-01-16")), facts=DISPATCHED)
    assert amount(preview(facts=late), "carrying") == half_up(Fraction(D("383625.78")) * 2 * 15 / 36500)


def test_15_no_tax_where_the_terms_say_none():
    done = settle(with_payment(carrying_tax=t.NoteTax.NONE))
    note = next(d for d in done.documents if d.reason == "CARRYING")
    assert (note.tax, note.taxable, str(note.untaxed)) == (0, 0, "19153.41")
    assert not named(settle(with_payment(carrying_slabs=())), "carrying")


# 16: brokerage

BROKER = TERMS.parties[2]
NEAR = replace(BROKER_POSITION, opening_amount=D(15000))


def brokered(*brokers, basis="PERCENT", rate="0.25", positions=(BROKER_POSITION,), seller=TERMS.parties[0]):
    brokerage = t.Brokerage(side=t.Side.SELLER, basis=t.Basis(basis), rate=D(rate))
    terms = replace(TERMS, brokerage=(brokerage,), parties=(seller, TERMS.parties[1], *brokers))
    return preview(terms, replace(SETTLED, positions=(SETTLED.positions[0], *positions)))


def test_16_bases():
    per_unit = brokered(BROKER, basis="PER_PRICE_UNIT", rate="50")
    assert amount(per_unit, "brokerage") == half_up(50 * Fraction(D("16870.746")) / K)
    assert amount(brokered(BROKER, basis="FIXED", rate="5000"), "brokerage") == "5000.00"


@pytest.mark.parametrize(
    ("shares", "rate", "parts"),
    [
        ("33.3333 33.3333 33.3334", "100.00", ["33.33", "33.33", "33.34"]),
        ("50 50", "0.01", ["0.01", "0.00"]),  # ties to the earlier
    ],
)
def test_16_brokers_of_a_side_share_by_largest_remainder(shares, rate, parts):
    names = "xyz"[: len(parts)]
    positions = [replace(BROKER_POSITION, deductee=name) for name in names]
    people = [
        party("BROKER_SELLER", name, "27", share=D(share))
        for name, share in zip(names, shares.split(), strict=True)
    ]
    assert named(brokered(*people, basis="FIXED", rate=rate, positions=positions), "brokerage_share") == parts


def test_16_gst_by_the_states_of_broker_and_payer_and_none_of_the_unregistered():
    same = brokered(replace(BROKER, state_code="24"))
    assert [x.subject for x in same.lines if x.name == "brokerage_tax"] == ["CGST", "SGST"]
    document = brokered(replace(BROKER, tax_status=t.TaxStatus.UNREGISTERED)).documents[-1]
    assert (document.tax, document.remarks) == (0, ("The broker charges no tax",))


def test_16_tds_on_everything_once_the_threshold_is_passed():
    base = 15000 + Fraction(D("6199.21"))
    assert amount(brokered(BROKER, positions=(NEAR,)), "tds", MUMBADEVI) == half_up(base / 50, 0)
    at_the_limit = replace(BROKER_POSITION, opening_amount=D("13800.79"))  # 20,000.00 exactly
    assert amount(brokered(BROKER, positions=(at_the_limit,)), "tds", MUMBADEVI) == "0"
    no_pan = brokered(replace(BROKER, has_pan=False), positions=(NEAR,))
    assert amount(no_pan, "tds", MUMBADEVI) == half_up(base / 5, 0)


def test_16_only_an_individual_may_be_too_small_to_deduct():
    small = replace(NEAR, liable=False)
    assert amount(brokered(BROKER, positions=(small,)), "tds", MUMBADEVI) == "424"
    individual = replace(TERMS.parties[0], is_individual=True)
    assert amount(brokered(BROKER, positions=(small,), seller=individual), "tds", MUMBADEVI) == "0"


# 17 and 24: washout, advances given back


def cancelled(facts=DISPATCHED, market="54100", **fields):
    on = day("2026-01-19")
    washout = f.Washout(market_price=D(market), source="CAI spot rate", source_date=on, **fields)
    return V1.cancel(TERMS, replace(facts, washout=washout, as_of=on))


@pytest.mark.parametrize(
    ("market", "defaulter", "total"),
    [
        ("54100", "SELLER", "28578.54"),
        ("53000", "SELLER", None),  # would favour the seller, who is in default
        ("54100", "BUYER", None),
        ("53000", "BUYER", "23815.45"),
        ("53000", None, "23815.45"),  # by agreement: both ways
    ],
)
def test_17_the_defaulter_gains_nothing(market, defaulter, total):
    side = None if defaulter is None else t.Side(defaulter)
    facts = replace(DISPATCHED, dispatches=(), payments=())
    done = cancelled(facts, market, payable=f.Payable.DEFAULTER_ONLY, defaulter=side)
    assert [str(d.total) for d in done.documents] == ([] if total is None else [total])
    assert str(done.totals.washout) == (total or "0.00")


def test_17_of_a_rest_what_was_not_delivered_in_proportion_to_bales():
    part = (goods("6800.000", 40),)
    facts = replace(
        DISPATCHED, dispatches=(replace(DISPATCH, lines=part),), deliveries=(replace(DELIVERY, lines=part),)
    )
    assert amount(cancelled(facts), "undelivered_kg") == half_up(Fraction(D("16938.5")) * 60 / 100, 3)
    unweighed = cancelled(replace(facts, weighments=()))
    assert amount(unweighed, "undelivered_kg") == "10200.000"
    assert [owed.kind for owed in unweighed.obligations] == ["WASHOUT"]


def test_17_of_a_rest_without_counts_by_weight():
    terms = replace(TERMS, count=None, lots=(replace(TERMS.lots[0], count=None),))
    part = (goods("6800.000", None),)
    facts = replace(
        DISPATCHED, dispatches=(replace(DISPATCH, lines=part),), deliveries=(replace(DELIVERY, lines=part),)
    )
    on = day("2026-01-19")
    washout = f.Washout(market_price=D(54100), source="CAI", source_date=on)
    done = V1.cancel(terms, replace(facts, washout=washout, as_of=on))
    assert amount(done, "undelivered_kg") == "10138.500"


def test_17_no_washout_before_the_price_is_fixed():
    washout = f.Washout(market_price=D(70), source="ICE", source_date=day("2026-02-01"))
    with pytest.raises(errors.FactsMissing, match="are not fixed"):
        V1.cancel(EXPORT, f.Facts(as_of=day("2026-02-01"), washout=washout))


def test_24_advances_of_a_trade_without_delivery_are_owed_back():
    advance = replace(ADVANCE, tds=D("25.00"))
    facts = replace(DISPATCHED, dispatches=(), payments=(advance,))
    done = V1.cancel(TERMS, facts)
    assert amount(done, "refund") == "383600.78"
    (owed,) = done.obligations
    assert (owed.kind, owed.debtor, owed.creditor, str(owed.open)) == ("REFUND", SOMNATH, KOVAI, "383600.78")
    assert (str(done.totals.net_due), done.totals.net_debtor) == ("383600.78", "SELLER")
    assert [(m.counted, m.taxed) for m in done.position_moves] == [(D("-383625.78"), 0)]
    refund = pay(2, "REFUND", "383600.78", "2026-01-16", SOMNATH, KOVAI)
    done = V1.cancel(TERMS, replace(facts, payments=(advance, refund)))
    assert (str(done.obligations[0].open), str(done.totals.net_due)) == ("0.00", "0.00")


# 19 to 21: returns, awards, statutory interest

RETURN = f.Dispatch(
    id="r1", dispatched_date=day("2026-01-24"), lines=(goods(),), direction=f.Movement.RETURN, returns="d1"
)


def test_19_a_rejected_lot_that_goes_back_is_credited():
    facts = governed(replace(ARRIVED, dispatches=(DISPATCH, RETURN), as_of=day("2026-01-24")), trash="4.6")
    done = preview(facts=facts)
    invoice, note = done.documents[:2]
    assert not done.missing
    assert (note.reason, note.taxable, note.total) == ("RETURN", invoice.taxable, invoice.total)
    assert not named(done, "claim")
    half = replace(RETURN, lines=(goods("8500.000", 50),))
    done = preview(facts=replace(ARRIVED, dispatches=(DISPATCH, half)))
    assert amount(done, "return") == half_up(Fraction(D("2479684.66")) / 2)


@pytest.mark.parametrize(("to", "kind"), [("BUYER", "CREDIT_NOTE"), ("SELLER", "DEBIT_NOTE")])
def test_20_an_award_is_a_note_of_its_own_with_tax(to, kind):
    award = f.Award(id="D-1", amount=D("10000.00"), to=t.Side(to))
    done = preview(facts=replace(SETTLED, awards=(award,)))
    note = next(d for d in done.documents if d.reason == "AWARD")
    assert (note.kind, str(note.tax), str(note.total)) == (kind, "500.00", "10500.00")
    assert [d.reason for d in done.documents][:3] == ["GOODS", "CLAIM", "AWARD"]


def test_20_an_award_needs_an_invoice():
    award = f.Award(id="D-1", amount=D(1), to=t.Side.BUYER)
    with pytest.raises(errors.FactsMissing, match="D-1 has no invoice"):
        settle(facts=replace(SETTLED, awards=(award,), dispatches=(), deliveries=(), weighments=(ORIGIN,)))


def test_21_statutory_interest_stands_beside_the_carrying_charge():
    done = settle(with_seller(msme=t.Msme.SMALL))
    assert amount(done, "msme_interest") == half_up(OWED * 20 * 33 / 73000)  # 20 days at 3 × 5.5 %
    assert amount(done, "carrying") == "19153.41"
    assert done.totals.net_due == settle().totals.net_due
    for other in ({"msme": t.Msme.SMALL, "is_trader": True}, {"msme": t.Msme.MEDIUM}):
        assert not named(settle(with_seller(**other)), "msme_interest")


def test_21_forty_five_days_from_acceptance_are_the_most():
    terms = replace(with_seller(msme=t.Msme.MICRO), payment=replace(TERMS.payment, balance_days=90))
    on = day("2026-03-18")
    done = preview(terms, paid(ADVANCE, replace(BALANCE, paid_date=on), as_of=on))
    assert done.line("msme_interest").inputs["parts"] == "2219363.22 from 2026-03-08 to 2026-03-18"
    assert not named(done, "carrying")


def test_21_monthly_rests_and_the_rate_of_each_day():
    before = row("BANK_RATE", "B", "2025-12-05", "2026-02-28", rate_percent=D(5))
    rows = (*ROWS[:-1], before, row("BANK_RATE", "B", "2026-03-01", rate_percent=D(6)))
    done = p.statutory_interest(Fraction(1000), day("2026-01-31"), day("2026-03-31"), rows)
    february, march = Fraction(28 * 15, 36500), Fraction(31 * 18, 36500)
    assert done == 1000 * ((1 + february) * (1 + march) - 1)


# 22 and 23, and what terms and facts are refused for


def test_22_what_services_need_when_a_trade_is_made():
    made = V1.value(TERMS)
    assert (str(made.contract_value), str(made.advance_due)) == ("2557505.20", "383625.78")
    assert made.advance_due_date == day("2026-01-14")
    priced = V1.value(replace(EXPORT, price=replace(EXPORT.price, provisional_price=D("73.26"))))
    assert (str(priced.contract_value), str(priced.base_value)) == ("137284.06", "12183960.33")
    assert V1.band(TERMS) == (16150, 17850)
    with pytest.raises(errors.TermsUnsupported):
        V1.value(EXPORT)


def test_the_rounding_table_of_the_terms_is_that_of_the_version():
    table = V1.rounding("INR")
    assert {name: table[name] for name in ("accounted_kg", "unit_price", "line_amount", "tds")} == {
        "accounted_kg": 3,
        "unit_price": 6,
        "line_amount": 2,
        "tds": 0,
    }
    assert settle(replace(TERMS, rounding=table)) == settle()
    with pytest.raises(errors.TermsUnsupported, match="round"):
        settle(replace(TERMS, rounding={**table, "tax": 0}))


def weight(**fields):
    return {"weight": replace(TERMS.weight, **fields)}


def unit(**fields):
    return {"unit": replace(TERMS.unit, **fields)}


FORMULA = t.Formula(
    source="CAI", average_from=day("2026-01-12"), average_to=day("2026-01-14"), difference=D(0)
)
SLAB_BROKERAGE = (t.Brokerage(side=t.Side.SELLER, basis=t.Basis.SLABS, rate=D(1)),)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"tax_basis": t.TaxBasis.INCLUSIVE}, errors.TermFixed),
        (unit(dimension="COUNT"), errors.UnitMismatch),
        (unit(currency="USD"), errors.UnitMismatch),
        (unit(numerator=35562, denominator=100), errors.UnitMismatch),  # not in lowest terms
        ({"currency": "BHD", **unit(currency="BHD")}, errors.TermsUnsupported),  # three decimals
        (weight(tare_method=t.TareMethod.PERCENT), errors.TermsUnsupported),
        (weight(weight=t.WeightKind.GROSS_FOR_NET), errors.TermsUnsupported),
        (weight(deduction_percent=D(1)), errors.TermsUnsupported),
        ({"payment": t.PaymentTerms(balance_from=t.BalanceFrom.DOCUMENTS)}, errors.TermsUnsupported),
        ({"brokerage": SLAB_BROKERAGE}, errors.TermsUnsupported),
        ({"price": FORMULA}, errors.TermsUnsupported),  # an advance of what?
        ({"price": t.Flat(price=D(0))}, errors.PriceNotPositive),
        ({"weight_kg": D("17000.001")}, errors.LotsMismatch),
        ({"count": 101}, errors.LotsMismatch),
        ({"lots": TERMS.lots * 2}, errors.LotsMismatch),
        (
            {"parties": (*TERMS.parties, replace(BROKER, partner_id="x", share=D("99.99")))},
            errors.SharesNotWhole,
        ),
        ({"count": None}, errors.LotsMismatch),
        ({"lots": (replace(TERMS.lots[0], count=None),)}, errors.LotsMismatch),
        ({"goods": replace(TERMS.goods, hsn="")}, errors.TermsUnsupported),
        ({"parties": (*TERMS.parties, party("BUYER", "x", "33"))}, errors.BadInput),
        ({"parties": TERMS.parties[:1]}, errors.BadInput),
        ({"parties": (TERMS.parties[0], replace(TERMS.parties[1], partner_id=SOMNATH))}, errors.BadInput),
        ({"delivery": replace(TERMS.delivery, window_end=day("2026-01-11"))}, errors.WindowInvalid),
        ({"payment": t.PaymentTerms(carrying_slabs=SLABS[:1])}, errors.SlabsInvalid),
        ({"payment": t.PaymentTerms(carrying_slabs=SLABS[::-1])}, errors.SlabsInvalid),
    ],
)
def test_refused_terms(change, refusal):
    with pytest.raises(refusal):
        t.freeze(replace(TERMS, **change))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"weighments": (replace(ORIGIN, lot_no="X"),)}, "/weighments/0/lot_no"),
        ({"weighments": (ORIGIN, ORIGIN)}, "/weighments"),
        ({"deliveries": (replace(DELIVERY, dispatch="X"),)}, "/deliveries/0/dispatch"),
        ({"dispatches": (RETURN, DISPATCH, replace(RETURN, returns=None, id="r2"))}, "/dispatches/2/returns"),
        ({"payments": (ADVANCE, replace(BALANCE, number=1))}, "/payments"),
        ({"payments": (replace(ADVANCE, reverses="X"),)}, "/payments/0/reverses"),
        ({"quality": DISPATCHED.quality * 2}, "/quality"),
        ({"awards": (f.Award(id="1", amount=D(1), to=t.Side.BUYER, lot_no="X"),)}, "/awards/0/lot_no"),
    ],
)
def test_facts_that_do_not_fit_are_refused_with_a_pointer(change, pointer):
    with pytest.raises(errors.BadInput) as refused:
        preview(facts=replace(DISPATCHED, **change))
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_an_unknown_version_is_refused():
    for number in (0, 2, True, "1"):
        with pytest.raises(errors.VersionUnknown):
            engine.settle(number, TERMS, SETTLED)
