"""The journeys on the engine alone: every printed figure, to the last digit."""

from dataclasses import replace
from fractions import Fraction

import pytest

from apps.commodities.differences import Mode
from apps.commodities.exact import Price, requoted, rounded
from apps.trades import engine
from apps.trades.engine import errors
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.tests.cases import (
    ADVANCE,
    ARRIVED,
    DEMO_29,
    DISPATCHED,
    EXPORT,
    FIXINGS,
    KOVAI,
    ROWS,
    SETTLED,
    SHIPPED,
    SOMNATH,
    TERMS,
    D,
    day,
    party,
    pay,
    position,
)
from erp import figures


def preview(terms=TERMS, facts=DISPATCHED):
    return engine.preview(1, terms, facts)


def settle(terms=TERMS, facts=SETTLED):
    return engine.settle(1, terms, facts)


def amounts(settlement, *names):
    return [str(settlement.line(name).amount) for name in names]


def test_contract_value_and_advance():
    assert amounts(preview(), "contract_value", "advance_due") == ["2557505.20", "383625.78"]


def test_a20_the_preview_on_the_day_of_dispatch():
    done = preview()
    invoice = done.documents[0]
    names = ["net_kg", "accounted_kg", "unit_price", "line_amount", "tax", "round_off", "invoice_total"]
    assert amounts(done, *names) == [
        "16938.500",
        "16870.746",
        "52269.500000",
        "2479684.66",
        "123984.23",
        "0.11",
        "2603669.00",
    ]
    exact = done.line("line_amount").unrounded
    assert str(rounded(exact, 7)) == "2479684.6579129"
    tds = done.line("tds", SOMNATH)
    assert (str(tds.amount), tds.inputs["base"], invoice.tds) == ("680", "679684.66", 680)
    assert str(rounded(tds.unrounded, 2)) == "679.68"
    assert amounts(done, "balance_due", "balance") == ["2219363.22", "2219363.22"]
    balance = next(owed for owed in done.obligations if owed.kind == "BALANCE")
    assert (str(balance.open), balance.due_date) == ("2219363.22", day("2026-01-31"))
    assert not done.is_provisional


def test_a21_a_claim_and_an_open_balance():
    done = preview(facts=replace(ARRIVED, as_of=day("2026-01-22")))
    assert amounts(done, "franchise_kg", "claim_kg", "claim") == ["42.346", "39.154", "5754.91"]
    assert done.line("claim_kg").inputs["short"] == "81.5"
    assert done.blocking == ("balance_open",)
    with pytest.raises(errors.BalanceOpen):
        settle(facts=ARRIVED)


def test_a22_and_a23_the_settlement():
    done = settle()
    assert amounts(done, "carrying", "brokerage", "brokerage_tax") == ["19153.41", "6199.21", "1115.86"]
    slabs = [str(line.amount) for line in done.lines if line.name == "carrying_slab"]
    assert slabs == ["13681.01", "5472.40"]
    invoice, credit, debit, brokerage = done.documents
    assert [str(x) for x in (credit.taxable, credit.tax, credit.round_off, credit.total)] == [
        "5754.91",
        "287.75",
        "0.34",
        "6043.00",
    ]
    assert [str(x) for x in (debit.taxable, debit.tax, debit.round_off, debit.total)] == [
        "19153.41",
        "957.67",
        "-0.08",
        "20111.00",
    ]
    assert (str(brokerage.total), brokerage.debtor, str(brokerage.tds)) == ("7315.07", SOMNATH, "0")
    assert (str(done.totals.net_due), done.totals.net_debtor) == ("14068.00", "BUYER")
    assert figures.amount_in_words(invoice.total, "INR") == (
        "Rupees Twenty-Six Lakh Three Thousand Six Hundred Sixty-Nine Only"
    )


def test_after_the_last_payment_nothing_is_owed():
    rest = pay(3, "CARRYING", "14068.00", "2026-02-25")
    done = settle(facts=replace(SETTLED, as_of=day("2026-02-25"), payments=(*SETTLED.payments, rest)))
    assert (str(done.totals.net_due), done.totals.net_debtor) == ("0.00", "")


def test_compound_is_worth_304_57_more():
    schedule = replace(DEMO_29, rules=replace(DEMO_29.rules, mode=Mode.COMPOUND))
    done = preview(replace(TERMS, schedule=schedule))
    assert amounts(done, "unit_price", "taxable") == ["52275.920000", "2479989.23"]
    assert done.totals.taxable - preview().totals.taxable == D("304.57")


def test_dry_matter():
    moisture = replace(DEMO_29.rules.lines[0], weight_rule="DRY_MATTER")
    rules = replace(DEMO_29.rules, lines=(moisture, *DEMO_29.rules.lines[1:]))
    assert amounts(preview(replace(TERMS, schedule=replace(DEMO_29, rules=rules))), "accounted_kg") == [
        "16864.452"
    ]


def test_a_buyer_in_the_sellers_state():
    parties = (TERMS.parties[0], party("BUYER", KOVAI, "24"), *TERMS.parties[2:])
    done = preview(replace(TERMS, parties=parties, delivery=replace(TERMS.delivery, to_state="24")))
    heads = {line.subject: str(line.amount) for line in done.lines if line.name == "tax"}
    assert heads == {"SSG-27 CGST": "61992.12", "SSG-27 SGST": "61992.12"}
    assert amounts(done, "round_off", "invoice_total") == ["0.10", "2603669.00"]


def test_a_seller_without_pan():
    seller = replace(TERMS.parties[0], has_pan=False)
    done = preview(replace(TERMS, parties=(seller, *TERMS.parties[1:])))
    assert str(done.line("tds", SOMNATH).amount) == "33984"


def test_threshold_franchise_claims_the_whole_loss():
    terms = replace(TERMS, weight=replace(TERMS.weight, franchise_kind=t.Franchise.THRESHOLD))
    assert amounts(settle(terms), "claim_kg", "claim") == ["81.500", "11978.98"]


def test_wrong_figures_never_occur():
    for facts in (DISPATCHED, ARRIVED):
        found = {str(line.amount) for line in preview(facts=facts).lines}
        assert not found & {"2479665.08", "2479662.25"}


@pytest.mark.parametrize(
    ("market", "amount", "debtor"), [("54100", "28578.54", SOMNATH), ("53000", "23815.45", KOVAI)]
)
def test_b8_washout_of_a_trade_that_was_weighed(market, amount, debtor):
    facts = replace(
        DISPATCHED,
        as_of=day("2026-01-19"),
        dispatches=(),
        payments=(),
        washout=f.Washout(market_price=D(market), source="CAI spot rate", source_date=day("2026-01-19")),
    )
    (document,) = engine.cancel(1, TERMS, facts).documents
    assert (str(document.total), document.debtor, document.tax, document.round_off) == (amount, debtor, 0, 0)


def test_c_on_call_by_slices():
    done = settle(EXPORT, SHIPPED)
    assert amounts(done, "quantity", "taxable", "base_total") == ["187392.923", "137284.06", "12183960.33"]
    assert [str(line.amount) for line in done.lines if line.name == "line_amount"] == ["68323.46", "68960.60"]
    assert [str(line.amount) for line in done.lines if line.name == "unit_price"] == [
        "72.920000",
        "73.600000",
    ]
    assert [d.kind for d in done.documents] == ["INVOICE"]
    assert not [line for line in done.lines if line.name in ("tax", "round_off", "tds")]
    average = (D("63.42") + D("64.10")) / 2 + D("9.50")
    assert str(average) == "73.26"
    assert rounded(Fraction(D("187392.923")) * Fraction(average) / 100, 2) == done.totals.invoice_total


def test_c5_the_same_in_rupees_per_candy():
    cents = EXPORT.unit.price
    pound = EXPORT.unit.kg
    for kg, rupees in ((784 * pound, "50974.31"), (Fraction(17781, 50), "50974.82")):
        exact = requoted(D("73.26"), cents, Price("INR", 1, "MASS", kg), D("88.75"))
        assert str(rounded(exact, 2)) == rupees


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"fixed_date": day("2026-02-16")}, errors.FixationDeadlinePassed),
        ({"quantity": D("93696.463")}, errors.FixationTooLarge),
        ({"quantity": D(0)}, errors.FixationTooLarge),
    ],
)
def test_c6_refused_fixations(change, refusal):
    with pytest.raises(refusal):
        settle(EXPORT, replace(SHIPPED, fixations=(FIXINGS[0], replace(FIXINGS[1], **change))))


def test_c6_the_deadline_day_itself_is_in_time():
    on_the_day = replace(FIXINGS[1], fixed_date=EXPORT.price.deadline)
    assert settle(EXPORT, replace(SHIPPED, fixations=(FIXINGS[0], on_the_day)))
    version = engine.version(1)
    version.require_fixable(EXPORT, FIXINGS[:1], on_the_day)
    with pytest.raises(errors.FixationTooLarge):
        version.require_fixable(EXPORT, FIXINGS, on_the_day)
    with pytest.raises(errors.TermsUnsupported):
        version.require_fixable(TERMS, (), on_the_day)


def test_c6_a_price_before_all_is_fixed_is_provisional():
    facts = replace(SHIPPED, fixations=FIXINGS[:1])
    done = engine.preview(1, EXPORT, facts)
    assert [fact.code for fact in done.missing] == ["fixation"]
    assert "93696.462 LB of 187392.923 are not fixed" in done.missing[0].detail
    assert str(done.totals.taxable) == "68323.46"
    with pytest.raises(errors.FactsMissing):
        settle(EXPORT, facts)
    stand_in = replace(EXPORT, price=replace(EXPORT.price, provisional_price=D("73.60")))
    assert str(engine.preview(1, stand_in, facts).totals.taxable) == "137284.06"


def test_a16_an_advance_below_the_threshold_bears_no_tds():
    from apps.trades.engine.v1 import taxes

    row = taxes.row_for(ROWS, f.RowKind.TDS_GOODS, ADVANCE.paid_date)
    done = taxes.deduct(row, position("0.00"), ADVANCE.amount, TERMS.seller, ADVANCE.paid_date)
    assert (done.tds, done.position.counted) == (0, D("383625.78"))
