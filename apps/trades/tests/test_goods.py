"""Rules 1 to 10 of the engine, each with a vector of its own: weights, prices, charges, GST, round-off."""

from dataclasses import replace
from fractions import Fraction

import pytest

from apps.commodities.differences import Effect, Form, Mode
from apps.commodities.differences import Side as Off
from apps.trades import engine
from apps.trades.engine import errors
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.tests.cases import (
    ARRIVAL,
    ARRIVED,
    DELIVERY,
    DEMO_29,
    DISPATCH,
    DISPATCHED,
    KOVAI,
    LOTS,
    ORIGIN,
    ROWS,
    SETTLED,
    SOMNATH,
    TERMS,
    TWO_INVOICES,
    UNTAXED,
    D,
    K,
    amount,
    bands,
    charge,
    charged,
    codes,
    day,
    dispatch,
    goods,
    governed,
    half_up,
    line,
    named,
    party,
    preview,
    results,
    row,
    settle,
    two_lots,
    weighing,
)


def with_lines(*lines, **schedule):
    """Terms with a schedule of these lines."""
    return replace(TERMS, schedule=replace(DEMO_29, rules=replace(DEMO_29.rules, lines=lines, **schedule)))


# 1 and 2: weights


def test_1_tare_must_be_below_gross():
    with pytest.raises(errors.NetNotPositive):
        preview(facts=replace(DISPATCHED, weighments=(replace(ORIGIN, tare_kg=D("17023.500")),)))


@pytest.mark.parametrize(
    ("final", "kg"),
    [("ORIGIN", "16938.500"), ("DESTINATION", "16857.001"), ("AVERAGE", "16897.751")],  # …750.5 half up
)
def test_2_whose_weight_is_final(final, kg):
    terms = replace(TERMS, weight=t.Weight(final=t.WeightFinal(final)))
    facts = replace(ARRIVED, weighments=(ORIGIN, replace(ARRIVAL, gross_kg=D("16942.001"))))
    assert amount(preview(terms, facts), "lot_kg") == kg


def test_2_weighings_add_up_unless_corrected_and_check_never_counts():
    weighments = (
        weighing("1", "ORIGIN", "8085.000"),
        weighing("2", "ORIGIN", "9999.000"),
        weighing("3", "ORIGIN", "9085.000", corrects="2"),
        weighing("4", "CHECK", "5000.000"),
    )
    done = preview(facts=replace(DISPATCHED, weighments=weighments))
    assert (named(done, "net_kg"), amount(done, "lot_kg")) == (["8000.000", "9000.000"], "17000.000")


def test_2_without_a_weighing_a_preview_estimates_and_settling_names_what_is_missing():
    facts = replace(SETTLED, weighments=(ARRIVAL,))
    done = preview(facts=facts)
    assert (amount(done, "lot_kg"), codes(done)) == ("17000.000", ["weighing"])
    with pytest.raises(errors.FactsMissing, match="SSG-27 is not weighed"):
        settle(facts=facts)
    by_destination = replace(TERMS, weight=t.Weight(final=t.WeightFinal.DESTINATION))
    assert amount(preview(by_destination), "lot_kg") == "16938.500"  # the origin net stands in


def test_2_a_weighing_of_the_whole_lot_says_nothing_about_a_part():
    half = (goods("8500.000", 50),)
    facts = replace(
        SETTLED, dispatches=(replace(DISPATCH, lines=half),), deliveries=(replace(DELIVERY, lines=half),)
    )
    with pytest.raises(errors.FactsMissing, match="not weighed as the terms need"):
        settle(facts=facts)
    apart = weighing("WB-2", "ORIGIN", "8510.000", "42.500", dispatch="d1")
    assert amount(preview(facts=replace(facts, weighments=(ORIGIN, apart))), "lot_kg") == "8467.500"


def test_2_weighings_of_the_whole_lot_and_of_one_dispatch_do_not_add_up():
    halves = [goods("8500.000", 50)] * 2
    facts = replace(
        ARRIVED,
        dispatches=(dispatch("d1", halves[0], invoice="I-1"), dispatch("d2", halves[1], invoice="I-1")),
        deliveries=(
            f.Delivered(dispatch="d1", delivered_date=day("2026-01-22"), lines=(halves[0],)),
            f.Delivered(dispatch="d2", delivered_date=day("2026-01-22"), lines=(halves[1],), final=True),
        ),
        weighments=(ORIGIN, weighing("2", "ORIGIN", "8500.000", "0", dispatch="d1")),
    )
    assert "weighing" in codes(preview(facts=facts))
    whole = replace(facts, weighments=(ORIGIN,))
    assert (amount(preview(facts=whole), "lot_kg"), codes(preview(facts=whole))) == ("16938.500", [])


def test_2_before_the_rest_is_dispatched_a_preview_takes_the_whole_lot():
    half = (goods("8500.000", 50),)
    apart = weighing("WB-2", "ORIGIN", "8510.000", "42.500", dispatch="d1")
    facts = replace(DISPATCHED, dispatches=(replace(DISPATCH, lines=half),), weighments=(apart,))
    done = preview(facts=facts)
    assert (amount(done, "lot_kg"), codes(done)) == ("17000.000", ["dispatch", "weighing"])
    assert [d.number for d in done.documents if d.kind == "INVOICE"] == ["", "SSG/25-26/0412"]


def test_2_a_lot_of_which_nothing_arrived_has_no_line():
    facts = replace(SETTLED, deliveries=(replace(DELIVERY, lines=(goods("0.000", 0),)),))
    with pytest.raises(errors.FactsMissing, match="Nothing was delivered"):
        settle(facts=facts)
    with pytest.raises(errors.FactsMissing, match="d1 has not arrived"):
        settle(facts=replace(SETTLED, deliveries=()))


def test_2_goods_without_counts_are_whole_within_the_tolerance():
    terms = replace(TERMS, count=None, lots=(replace(TERMS.lots[0], count=None),))
    for kg, whole in (("16150.000", True), ("16149.999", False)):
        lines = (goods(kg, None),)
        facts = replace(
            ARRIVED,
            dispatches=(replace(DISPATCH, lines=lines),),
            deliveries=(replace(DELIVERY, lines=lines),),
        )
        assert ("weighing" not in codes(preview(terms, facts))) == whole


# 3: moisture and other weight lines

MOISTURE = DEMO_29.rules.lines[0]
SECOND = line(2, "trash", "GRAVIMETRIC", Form.WEIGHT, base_low=D(3), base_high=D(3), side=Off.ABOVE)
RECIPROCAL = replace(MOISTURE, reciprocal=True, line_cap=D("0.3"))


@pytest.mark.parametrize(
    ("lines", "moisture", "factors"),
    [
        ((MOISTURE,), "8.5", ["1"]),
        ((MOISTURE,), "8.0", ["1"]),  # the good side pays only where it is reciprocal
        ((RECIPROCAL,), "8.0", ["1.003"]),  # 0.5 capped at 0.3
        ((replace(MOISTURE, tolerance=D("0.1")),), "8.9", ["0.997"]),
        ((MOISTURE, SECOND), "8.9", ["0.996", "0.992"]),  # trash 3.8
    ],
)
def test_3_accounted_kg(lines, moisture, factors):
    exact = Fraction(D("16938.5"))
    for factor in factors:
        exact *= Fraction(factor)
    done = preview(with_lines(*lines), governed(moisture=moisture))
    assert amount(done, "accounted_kg") == half_up(exact, 3)


# 4: unit price


def test_4_of_two_caps_the_contracts_wins():
    terms = with_lines(*DEMO_29.rules.lines, cap_percent=D("0.5"))
    assert amount(preview(terms), "unit_price") == "53232.500000"
    assert amount(preview(replace(terms, premium_cap_percent=D(2))), "unit_price") == "52430.000000"


def test_4_compound_past_the_cap_is_the_capped_price_and_all_money():
    bonus = line(1, "micronaire", "HVI", Form.BAND, effect=Effect.MONEY, bands=bands((None, None, "100")))
    terms = with_lines(bonus, DEMO_29.rules.lines[1], mode=Mode.COMPOUND, price=TERMS.unit.price)
    assert amount(preview(terms), "unit_price") == "52796.000000"  # (53,500 + 100) × 0.985
    capped = replace(terms, premium_cap_percent=D(1))
    assert amount(preview(capped), "unit_price") == "53065.000000"  # 53,500 × 0.99 + 100


def test_4_a_value_without_a_band_is_a_gap():
    rd = replace(DEMO_29.rules.lines[1], bands=bands(("76", None, "0")), reject_below=None)
    with pytest.raises(errors.ScheduleGap, match="SSG-27"):
        preview(with_lines(rd))


def test_4_missing_quality_has_no_effect_in_a_preview():
    done = preview(facts=replace(DISPATCHED, quality=()))
    assert (amount(done, "unit_price"), codes(done)) == ("53500.000000", ["quality"])
    with pytest.raises(errors.FactsMissing, match="no governing quality result"):
        settle(facts=replace(SETTLED, quality=()))
    partly = f.Governing(lot_no="SSG-27", source="LAB", results=results()[:3])
    with pytest.raises(errors.FactsMissing, match="micronaire by HVI is needed"):
        settle(facts=replace(SETTLED, quality=(partly,)))


def test_4_a_rejected_lot_is_settled_under_an_award_only():
    with pytest.raises(errors.FactsMissing, match="an award or a return"):
        settle(facts=governed(SETTLED, trash="4.6"))
    with pytest.raises(errors.ScheduleGap, match="neither a price nor an allowance"):
        preview(facts=governed(source="AWARD", trash="4.6"))
    priced = preview(facts=governed(source="AWARD", award_price=D("50000"), trash="4.6"))
    assert amount(priced, "unit_price") == "50000.000000"
    assert amount(priced, "accounted_kg") == "16870.746"  # weight lines still count
    allowed = preview(facts=governed(source="AWARD", allowance=D(4), trash="4.6"))
    assert amount(allowed, "unit_price") == "51360.000000"


def test_4_a_price_of_nothing_is_refused():
    with pytest.raises(errors.PriceNotPositive):
        preview(facts=governed(source="AWARD", award_price=D(0), trash="4.6"))


@pytest.mark.parametrize(
    ("values", "decision"),
    [
        ({}, "PASS_WITH_ALLOWANCE"),
        ({"rd": "76.0", "trash": "3.0"}, "PASS"),  # moisture alone changes the weight, not the price
        ({"rd": "77.1", "trash": "3.0"}, "PASS_WITH_ALLOWANCE"),
        ({"trash": "4.6"}, "REJECT"),
    ],
)
def test_4_decisions(values, decision):
    assert engine.version(1).decide(TERMS, governed(**values).quality[0]) == decision


def test_4_results_that_do_not_fit_the_schedule():
    twice = replace(DISPATCHED.quality[0], results=(*results(), *results(rd="75.2")))
    with pytest.raises(errors.BadInput, match="Two results govern rd"):
        preview(facts=replace(DISPATCHED, quality=(twice,)))
    money = replace(DEMO_29.rules.lines[1], effect=Effect.MONEY)
    with pytest.raises(errors.UnitMismatch, match="pricing units"):
        preview(with_lines(money))
    foreign = replace(TERMS.unit.price, currency="USD")
    with pytest.raises(errors.UnitMismatch, match="not in the contract's currency"):
        preview(with_lines(money, price=foreign))
    version = engine.version(1)
    partly = f.Governing(lot_no="SSG-27", source="LAB", results=results()[:1])
    assert version.decide(replace(TERMS, schedule=None), partly) == "PASS"
    with pytest.raises(errors.FactsMissing):
        version.decide(TERMS, partly)


# 5 and 18: forms of price

FORMULA = t.Formula(
    source="CAI spot", average_from=day("2026-01-12"), average_to=day("2026-01-14"), difference=D("-250")
)
QUOTED = tuple(
    f.Quotation(day=day(on), price=D(price))
    for on, price in (("2026-01-12", "53500"), ("2026-01-13", "53501"), ("2026-01-14", "53501"))
)
BY_FORMULA = replace(TERMS, price=FORMULA, schedule=None, payment=t.PaymentTerms(balance_days=15))
PROVISIONAL = replace(TERMS, price=t.Provisional(price=D(53000)), schedule=None)


def test_5_an_average_is_not_rounded():
    early = f.Quotation(day=day("2026-01-11"), price=D(1))
    done = preview(BY_FORMULA, replace(UNTAXED, quotations=(early, *QUOTED)))
    average = Fraction(53500 + 53501 + 53501, 3) - 250
    assert amount(done, "unit_price") == half_up(average, 6) == "53250.666667"
    assert amount(done, "line_amount") == half_up(Fraction(D("16938.5")) * Fraction("53250.666667") / K)


def test_5_an_average_waits_for_its_quotations():
    more = replace(BY_FORMULA, price=replace(FORMULA, least_quotations=4))
    assert codes(preview(more, replace(UNTAXED, quotations=QUOTED))) == ["quotations"]
    before_the_end = replace(UNTAXED, quotations=QUOTED, as_of=day("2026-01-13"), payments=())
    assert codes(preview(BY_FORMULA, before_the_end)) == ["quotations"]
    assert not preview(BY_FORMULA, UNTAXED).documents[0].total  # nothing quoted, no provisional price
    stand_in = replace(BY_FORMULA, price=replace(FORMULA, provisional_price=D(53000)))
    assert amount(preview(stand_in, UNTAXED), "unit_price") == "53000.000000"


@pytest.mark.parametrize(("final", "kind"), [("53500", "DEBIT_NOTE"), ("52000", "CREDIT_NOTE")])
def test_18_a_provisional_price_is_trued_up_by_a_note(final, kind):
    price = f.FinalPrice(price=D(final), day=day("2026-02-01"), source="agreed")
    done = preview(PROVISIONAL, replace(UNTAXED, final_price=price, as_of=day("2026-02-01")))
    invoice, note = done.documents[:2]
    kg = Fraction(D("16938.5"))
    assert str(invoice.taxable) == half_up(kg * 53000 / K)
    assert (note.kind, note.reason) == (kind, "TRUE_UP")
    assert str(note.taxable) == half_up(abs(Fraction(final) - 53000) * kg / K)
    assert str(note.tax) == half_up(Fraction(note.taxable) / 20)
    assert note.total == note.taxable + note.tax + note.round_off
    assert not note.tds
    moves = [move.counted for move in done.position_moves if move.document == note.key]
    assert moves == ([-note.taxable] if kind == "CREDIT_NOTE" else [])


def test_18_without_a_final_price_settling_waits():
    assert codes(preview(PROVISIONAL, UNTAXED)) == ["final_price"]
    by_formula = replace(PROVISIONAL, price=t.Provisional(price=D(53000), final=FORMULA))
    done = preview(by_formula, replace(UNTAXED, quotations=QUOTED))
    assert amount(done, "unit_price", "SSG-27 final") == "53250.666667"


def test_18_what_went_back_is_not_trued_up():
    back = dispatch("r1", goods("8500.000", 50), direction=f.Movement.RETURN, returns="d1")
    price = f.FinalPrice(price=D(53500), day=day("2026-02-01"), source="agreed")
    facts = replace(UNTAXED, final_price=price, dispatches=(DISPATCH, back))
    assert amount(preview(PROVISIONAL, facts), "true_up") == half_up(500 * Fraction(D("16938.5")) / 2 / K)


def test_5_a_lot_in_two_invoices_is_divided_in_grams_by_what_was_dispatched():
    dispatches = (
        dispatch("d1", goods("3333.000", 20, "A"), goods("7000.000", 40, "B"), invoice="I-1"),
        dispatch("d2", goods("6667.000", 40, "A"), invoice="I-2", on="2026-01-17"),
    )
    weighments = (
        weighing("1", "ORIGIN", "10000.001", "0", lot="A"),
        weighing("2", "ORIGIN", "7000.000", "0", lot="B"),
    )
    done = preview(two_lots(), replace(LOTS, dispatches=dispatches, weighments=weighments))
    parts = [(part.document, str(part.amount)) for part in done.lines if part.name == "accounted_part_kg"]
    assert parts == [("INVOICE/I-1", "3333.000"), ("INVOICE/I-2", "6667.001")]
    assert [d.number for d in done.documents if d.kind == "INVOICE"] == ["I-1", "I-2"]
    assert named(done, "line_amount") == [
        half_up(Fraction(kg) * 53500 / K) for kg in ("3333", "7000", "6667.001")
    ]


def test_5_a_dispatch_without_a_number_joins_the_number_given_at_settle():
    bare = replace(DISPATCH, invoice_number="", invoice_date=None)
    with pytest.raises(errors.FactsMissing, match="no invoice number"):
        settle(facts=replace(SETTLED, dispatches=(bare,)))
    facts = replace(SETTLED, dispatches=(bare,), invoice_number="X-1", invoice_date=day("2026-01-16"))
    assert settle(facts=facts).documents[0].number == "X-1"


def test_5_an_invoice_has_one_date():
    other = replace(DISPATCH, id="d2", invoice_date=day("2026-01-17"))
    with pytest.raises(errors.BadInput, match="two dates"):
        preview(facts=replace(DISPATCHED, dispatches=(DISPATCH, other)))


# 6 and 7: charges


@pytest.mark.parametrize(
    ("made", "exact"),
    [
        (charge("FREIGHT", "PERCENT", "1.5"), Fraction(D("2479684.66")) * 3 / 200),
        (charge("INSURANCE", "FIXED", "1234.56"), D("1234.56")),
        (charge("FREIGHT", "PER_PRICE_UNIT", "300"), 300 * Fraction(D("16870.746")) / K),
        (charge("BULK_DISCOUNT", "PER_PRICE_UNIT", "50"), -50 * Fraction(D("16870.746")) / K),
        (
            charge("BULK_DISCOUNT", "PER_PRICE_UNIT", "50", from_quantity=D(40)),
            -50 * (Fraction(D("16870.746")) / K - 40),
        ),
    ],
)
def test_6_charges(made, exact):
    done = charged(made)
    name, posted = made.kind.lower(), half_up(exact)
    assert amount(done, name) == posted
    assert done.documents[0].taxable == D("2479684.66") + D(posted)
    assert amount(done, "tax", f"{name} IGST") == half_up(Fraction(posted) / 20)
    sides = [(x.debtor, x.creditor, x.amount) for x in done.postings if x.kind == "CHARGE"]
    owes = (SOMNATH, KOVAI) if exact < 0 else (KOVAI, SOMNATH)
    assert sides == [(*owes, abs(D(posted)))]


def test_6_an_untaxed_charge_is_rounded_with_the_document_but_not_taxed():
    invoice = charged(charge("INSURANCE", "FIXED", "100.40", taxable=False)).documents[0]
    assert (str(invoice.taxable), str(invoice.untaxed)) == ("2479684.66", "100.40")
    assert (str(invoice.round_off), str(invoice.total)) == ("-0.29", "2603769.00")


def test_6_a_discount_from_a_quantity_that_is_not_reached():
    assert not named(charged(charge("BULK_DISCOUNT", "FIXED", "5000", from_quantity=D(100))), "bulk_discount")


def test_6_a_charge_is_rounded_once_and_split_over_invoices():
    done = charged(charge("FREIGHT", "FIXED", "100.00"), terms=two_lots(), facts=TWO_INVOICES)
    assert named(done, "charge_part") == ["58.82", "41.18"]


def test_6_late_lifting_by_slabs_from_the_end_of_the_free_days():
    slabs = (t.Slab(days=2, annual_percent=D(12)), t.Slab(days=None, annual_percent=D(24)))
    delivery = replace(TERMS.delivery, free_days=1, late_slabs=slabs)  # free until 2026-01-13
    late = preview(replace(TERMS, delivery=delivery))  # dispatched 2026-01-16: 2 days at 12, 1 at 24
    assert amount(late, "late_lifting") == half_up(Fraction(D("2479684.66")) * 48 / 36500)
    in_time = replace(delivery, free_days=4)
    assert not named(preview(replace(TERMS, delivery=in_time)), "late_lifting")


# 8: GST


def taxed(seller="REGISTERED", buyer="REGISTERED", to="33", states=("24", "33"), parties=(), **fields):
    """The heads of an invoice between these, and the invoice."""
    switch, is_sez = fields.pop("switch", False), fields.pop("is_sez", False)
    people = (
        party("SELLER", SOMNATH, states[0], tax_status=t.TaxStatus(seller)),
        party("BUYER", KOVAI, states[1], tax_status=t.TaxStatus(buyer), is_sez=is_sez),
        *parties,
    )
    delivery = replace(TERMS.delivery, to_state=to)
    terms = replace(TERMS, parties=people, brokerage=(), delivery=delivery, **fields)
    done = preview(terms, replace(DISPATCHED, reverse_charge_unregistered=switch))
    heads = sorted({x.subject.split()[-1] for x in done.lines if x.name in ("tax", "reverse_tax")})
    return "+".join(heads), done.documents[0]


@pytest.mark.parametrize(
    ("case", "heads"),
    [
        ({}, "IGST"),
        ({"to": "24"}, "CGST+SGST"),
        ({"states": ("04", "33"), "to": "04"}, "CGST+UTGST"),
        ({"states": ("07", "33"), "to": "07"}, "CGST+SGST"),
        # ship-to the buyer's own in another state; ship-to somebody else's: the bill-to state
        ({"parties": (party("SHIP_TO", KOVAI, "24"),)}, "CGST+SGST"),
        ({"to": "24", "parties": (party("SHIP_TO", "other", "24"),)}, "IGST"),
        ({"parties": (party("SHIP_TO", "other", "33"), party("BILL_TO", "b", "24"))}, "CGST+SGST"),
        ({"to": "", "states": ("24", "24")}, "CGST+SGST"),
        # a buyer who isn't registered: the address on the invoice, else the supplier's state
        ({"buyer": "UNREGISTERED", "to": "33"}, "IGST"),
        ({"buyer": "UNREGISTERED", "to": ""}, "CGST+SGST"),
        ({"is_sez": True, "to": "24"}, ""),
        ({"direction": t.Direction.EXPORT}, ""),
        ({"direction": t.Direction.IMPORT, "seller": "FOREIGN"}, ""),
        ({"seller": "COMPOSITION"}, ""),
        ({"seller": "UNREGISTERED"}, ""),
        ({"seller": "UNREGISTERED", "switch": True}, "IGST"),
        ({"seller": "AGRICULTURIST"}, "IGST"),
        ({"seller": "AGRICULTURIST", "to": "24"}, "CGST+SGST"),
        ({"seller": "AGRICULTURIST", "buyer": "UNREGISTERED"}, ""),
    ],
)
def test_8_heads(case, heads):
    assert taxed(**case)[0] == heads


def test_8_reverse_charge_is_payable_by_the_buyer_outside_the_invoice():
    _, invoice = taxed(seller="AGRICULTURIST")
    assert (str(invoice.tax), str(invoice.reverse_tax)) == ("0.00", "123984.23")
    assert str(invoice.total) == "2479685.00"
    assert invoice.remarks == ("Tax is payable on reverse charge",)


def test_8_the_rate_of_the_day_and_of_the_longest_prefix():
    newer = row("GST", "NEW", "2026-01-16", hsn="520100", rate_percent=D(12))
    terms = replace(TERMS, goods=replace(TERMS.goods, hsn="52010014"))
    at_twelve = preview(terms, replace(DISPATCHED, tax_rows=(*ROWS, newer)))
    assert amount(at_twelve, "tax") == half_up(Fraction(D("2479684.66")) * 12 / 100)
    later = replace(newer, valid_from=day("2026-01-17"))
    assert amount(preview(terms, replace(DISPATCHED, tax_rows=(*ROWS, later))), "tax") == "123984.23"


def test_8_no_row_or_two_rows_are_refused():
    rows = tuple(x for x in ROWS if x.kind is not f.RowKind.GST)
    with pytest.raises(errors.TaxRuleMissing):
        preview(facts=replace(DISPATCHED, tax_rows=rows))
    twice = row("GST", "AGAIN", "2025-01-01", hsn="5201", rate_percent=D(12))
    with pytest.raises(errors.TaxRuleMissing, match="2 rows"):
        preview(facts=replace(DISPATCHED, tax_rows=(*ROWS, twice)))


# 9 and 10: round-off and total


@pytest.mark.parametrize(
    ("fixed", "round_off"),
    [("0.61", "0.50"), ("0.60", "-0.49"), ("0.11", "0.00")],  # 2,603,668.89 and this
)
def test_9_half_a_rupee_is_rounded_up(fixed, round_off):
    done = charged(charge("INSURANCE", "FIXED", fixed, taxable=False))
    assert amount(done, "round_off") == round_off
    assert amount(done, "invoice_total").endswith(".00")
    assert [row.kind for row in done.postings].count("ROUND_OFF") == (D(round_off) != 0)


def test_9_no_round_off_where_the_terms_have_none():
    done = preview(replace(TERMS, round_off=t.RoundOff.NONE))
    assert amount(done, "invoice_total") == "2603668.89"
    assert not named(done, "round_off")
