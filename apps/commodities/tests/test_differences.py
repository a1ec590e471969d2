"""Premiums and discounts to the digit: real schedules, and properties of every lot."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.commodities.differences import (
    Band,
    CurrencyMismatch,
    DifferenceLine,
    DifferenceSchedule,
    Effect,
    Form,
    Mode,
    Outcome,
    Price,
    RejectMode,
    Result,
    ResultMissing,
    ResultUnfit,
    ScheduleGap,
    Side,
    Step,
    WeightRule,
    evaluate,
)

D = Decimal
CANDY = Fraction(17781, 50)
PER_CANDY = Price("INR", 1, "MASS", CANDY)
RATE, NET = D(53500), D("16938.500")


def band(start, end, effect):
    return Band(start and D(start), end and D(end), D(effect))


MOISTURE = DifferenceLine(
    order=1,
    parameter="moisture",
    method="OVEN",
    form=Form.WEIGHT,
    base_low=D("8.5"),
    base_high=D("8.5"),
    side=Side.ABOVE,
)
RD = DifferenceLine(
    order=2,
    parameter="rd",
    method="HVI",
    form=Form.BAND,
    bands=(
        band("73.0", "74.0", "-3.5"),
        band("74.0", "75.5", "-1.5"),
        band("75.5", "77.1", "0"),
        band("77.1", None, "1.0"),
    ),
    reject_below=D("73.0"),
)
TRASH = DifferenceLine(
    order=3,
    parameter="trash",
    method="GRAVIMETRIC",
    form=Form.LINEAR,
    base_low=D("3.0"),
    base_high=D("3.0"),
    side=Side.ABOVE,
    rate=D(1),
    reject_above=D("4.5"),
)
STAPLE = DifferenceLine(
    order=4,
    parameter="staple_length",
    method="UHML_HVI",
    form=Form.NO_LIMIT,
    reject_below=D("28.0"),
    reject_above=D("31.0"),
)
MICRONAIRE = DifferenceLine(
    order=5,
    parameter="micronaire",
    method="HVI",
    form=Form.NO_LIMIT,
    reject_below=D("3.5"),
    reject_above=D("4.9"),
)
DEMO = DifferenceSchedule(mode=Mode.ADDITIVE, lines=(MOISTURE, RD, TRASH, STAPLE, MICRONAIRE))
LOT = {"rd": "75.1", "trash": "3.8", "moisture": "8.9", "staple_length": "29.2", "micronaire": "3.9"}
METHODS = {line.parameter: line.method for line in DEMO.lines}


def results(**values):
    return [Result(name, METHODS[name], D(value)) for name, value in {**LOT, **values}.items()]


def demo(schedule=DEMO, **values):
    return evaluate(schedule, results(**values), rate=RATE, net_weight=NET)


def amount(done):
    """Return the price of the lot, per candy, in paise."""
    exact = Fraction(done.accounted_weight) / CANDY * Fraction(done.adjusted_rate)
    return (D(exact.numerator) / D(exact.denominator)).quantize(D("0.01"), ROUND_HALF_UP)


def figures(done):
    return done.outcome, done.adjusted_rate, done.accounted_weight


def test_a_lot_is_priced_and_weighed_to_the_digit():
    done = demo()
    assert figures(done) == (Outcome.ACCEPTED, D("52269.500000"), D("16870.746"))
    assert format(done.adjusted_rate, "f") == "52269.500000"
    assert amount(done) == D("2479684.66")


def test_compound_applies_percentages_one_after_the_other():
    done = demo(replace(DEMO, mode=Mode.COMPOUND))
    assert done.adjusted_rate == D("52275.920000")
    assert amount(done) == D("2479989.23")


def test_weight_comes_first_whatever_its_place():
    last = replace(MOISTURE, order=9)
    done = demo(replace(DEMO, lines=(RD, TRASH, STAPLE, MICRONAIRE, last)))
    assert [traced.order for traced in done.trace] == [9, 2, 3, 4, 5]
    assert figures(done) == figures(demo())


def test_dry_matter_reduces_to_the_same_dry_matter():
    dry = replace(MOISTURE, weight_rule=WeightRule.DRY_MATTER)
    assert demo(replace(DEMO, lines=(dry, *DEMO.lines[1:]))).accounted_weight == D("16864.452")


@pytest.mark.parametrize("mode", list(Mode))
def test_a_cap_bounds_the_percents_together(mode):
    assert demo(replace(DEMO, mode=mode, cap_percent=D(2))).adjusted_rate == D("52430.000000")


def test_past_the_cap_compound_is_the_capped_rate_and_all_money():
    """Money of a line before the percents isn't scaled by the cap."""
    bonus = DifferenceLine(
        order=1,
        parameter="trash",
        method="GRAVIMETRIC",
        form=Form.BAND,
        effect=Effect.MONEY,
        bands=(band(None, None, "100"),),
    )
    lines = (bonus, RD)
    schedule = DifferenceSchedule(mode=Mode.COMPOUND, lines=lines, price=PER_CANDY, cap_percent=D(1))
    done = evaluate(schedule, results(), rate=RATE, net_weight=NET, price=PER_CANDY)
    assert done.adjusted_rate == D("53065.000000")  # 53,500 × 0.99 + 100
    done = evaluate(
        replace(schedule, cap_percent=D(2)), results(), rate=RATE, net_weight=NET, price=PER_CANDY
    )
    assert done.adjusted_rate == D("52796.000000")  # (53,500 + 100) × 0.985


def test_better_quality_earns_a_premium_only_on_reciprocal_lines():
    done = demo(rd="77.4", trash="2.4", moisture="8.0")
    assert figures(done) == (Outcome.ACCEPTED, D("54035.000000"), NET)


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        ({"trash": "4.5"}, "51895.000000"),  # −1.5 of the band, −1.5 of the line
        ({"trash": "4.6"}, None),
        ({"rd": "73.0"}, "51199.500000"),  # −3.5 and −0.8
        ({"rd": "72.9"}, None),
        ({"rd": "73.9"}, "51199.500000"),
        ({"rd": "74.0"}, "52269.500000"),  # a band includes its first value, not its last
        ({"rd": "77.1"}, "53607.000000"),
        ({"staple_length": "27.9"}, None),
        ({"staple_length": "28.0"}, "52269.500000"),
        ({"staple_length": "31.1"}, None),
        ({"micronaire": "4.9"}, "52269.500000"),
        ({"micronaire": "5.0"}, None),
    ],
)
def test_limits_belong_to_what_is_accepted(values, rate):
    done = demo(**values)
    assert (done.outcome, done.adjusted_rate) == (
        (Outcome.REJECTED, None) if rate is None else (Outcome.ACCEPTED, D(rate))
    )


def test_a_rejection_lists_its_lines():
    assert demo(rd="72.9", micronaire="5.0").refused_by == (2, 5)


def test_a_result_of_another_method_is_missing():
    given = [r for r in results() if r.parameter != "staple_length"]
    with pytest.raises(ResultMissing, match="staple_length by UHML_HVI"):
        evaluate(DEMO, [*given, Result("staple_length", "CLASSER", D("27.9"))], rate=RATE, net_weight=NET)


def test_two_results_for_one_line_are_refused():
    with pytest.raises(ResultUnfit):
        evaluate(DEMO, [*results(), Result("trash", "GRAVIMETRIC", D("3.1"))], rate=RATE, net_weight=NET)


def test_where_the_buyer_may_refuse_the_lot_is_priced():
    option = replace(TRASH, reject_mode=RejectMode.BUYER_OPTION)
    schedule = replace(DEMO, lines=(MOISTURE, RD, option, STAPLE, MICRONAIRE))
    done = demo(schedule, trash="4.6")
    assert (done.outcome, done.adjusted_rate, done.refused_by) == (
        Outcome.BUYER_OPTION,
        D("51841.500000"),
        (3,),
    )
    assert demo(schedule, trash="4.6", rd="72.9").outcome is Outcome.REJECTED


def test_a_value_without_a_band_is_a_gap_and_never_no_effect():
    open_below = replace(RD, reject_below=None)
    with pytest.raises(ScheduleGap) as caught:
        demo(replace(DEMO, lines=(MOISTURE, open_below, TRASH, STAPLE, MICRONAIRE)), rd="72.9")
    assert caught.value.members == {"line": 2, "parameter": "rd"}


def test_tolerance_is_the_control_limit():
    wide = replace(TRASH, tolerance=D("0.3"))
    done = demo(replace(DEMO, lines=(MOISTURE, RD, wide, STAPLE, MICRONAIRE)))
    assert done.adjusted_rate == D("52430.000000")  # −1.5 and −0.5
    assert demo(
        replace(DEMO, lines=(MOISTURE, RD, wide, STAPLE, MICRONAIRE)), trash="3.3"
    ).adjusted_rate == D("52697.500000")


def test_a_reciprocal_line_pays_the_good_side_alike_up_to_its_cap():
    pays = replace(TRASH, reciprocal=True, line_cap=D("0.5"))
    lines = (MOISTURE, RD, pays, STAPLE, MICRONAIRE)
    assert demo(replace(DEMO, lines=lines), trash="2.7", rd="76").adjusted_rate == D("53660.500000")
    assert demo(replace(DEMO, lines=lines), trash="2.0", rd="76").adjusted_rate == D("53767.500000")
    drier = replace(MOISTURE, reciprocal=True)
    done = demo(replace(DEMO, lines=(drier, RD, TRASH, STAPLE, MICRONAIRE)), moisture="8.0")
    assert done.accounted_weight == D("17023.193")  # 16,938.5 × 1.005, half up


KCA_MIC = DifferenceSchedule(
    mode=Mode.ADDITIVE,
    lines=(
        DifferenceLine(
            order=1,
            parameter="micronaire",
            method="HVI",
            form=Form.LADDER,
            base_low=D("3.8"),
            base_high=D("4.9"),
            steps=tuple(
                Step(D(up_to), D(effect))
                for up_to, effect in (
                    ("0.1", "-0.5"),
                    ("0.2", "-1.0"),
                    ("0.3", "-2.0"),
                    ("0.4", "-3.0"),
                    ("0.5", "-4.0"),
                )
            ),
            reject_below=D("3.3"),
            reject_above=D("5.4"),
        ),
    ),
)
KCA_STAPLE = DifferenceSchedule(
    mode=Mode.ADDITIVE,
    price=Price("PKR", 1, "MASS", Fraction(186621, 5000)),
    lines=(
        DifferenceLine(
            order=1,
            parameter="kca_grade",
            second_parameter="staple_32",
            method="CLASSER",
            form=Form.MATRIX,
            effect=Effect.MONEY,
            cells={("g2", "36"): D(250), ("g3", "33"): D(-100), ("g4", "35"): D(0)},
        ),
    ),
)


@pytest.mark.parametrize(
    ("value", "percent"),
    [("3.4", "-3.0"), ("5.1", "-1.0"), ("3.75", "-0.5"), ("3.8", "0"), ("4.9", "0"), ("3.3", "-4.0")],
)
def test_a_ladder_takes_the_smallest_step_that_reaches(value, percent):
    done = evaluate(KCA_MIC, [Result("micronaire", "HVI", D(value))], rate=D(10000), net_weight=NET)
    assert done.adjusted_rate == 10000 + 100 * D(percent)


def test_beyond_the_ladder_is_rejected():
    done = evaluate(KCA_MIC, [Result("micronaire", "HVI", D("3.2"))], rate=D(10000), net_weight=NET)
    assert figures(done) == (Outcome.REJECTED, None, None)


def staple(grade, length, price, rate="20000"):
    found = [Result("kca_grade", "CLASSER", grade), Result("staple_32", "CLASSER", D(length))]
    return evaluate(KCA_STAPLE, found, rate=D(rate), net_weight=NET, price=price)


def test_money_is_converted_exactly_to_the_contracts_pricing_unit():
    per_maund = Price("PKR", 1, "MASS", Fraction(186621, 5000))
    assert staple("g2", "36", per_maund).adjusted_rate == D("20250.000000")
    done = staple("g2", "36", Price("PKR", 1, "MASS", CANDY))
    assert done.adjusted_rate.quantize(D("0.01"), ROUND_HALF_UP) == D("22381.97")
    assert done.trace[0].rate - 20000 == 250 * CANDY / Fraction(186621, 5000)


def test_a_cell_that_is_not_there_is_a_gap():
    with pytest.raises(ScheduleGap, match="g4 with 36"):
        staple("g4", "36.0", PER_CANDY)


@pytest.mark.parametrize("price", [PER_CANDY, None, Price("PKR", 1, "COUNT", Fraction(1))])
def test_money_of_another_currency_or_dimension_is_refused(price):
    with pytest.raises(CurrencyMismatch):
        staple("g2", "36", price)


def test_points_are_hundredths_of_the_quoted_cents():
    cents = Price("USD", 100, "MASS", Fraction(45359237, 100000000))
    line = DifferenceLine(
        order=1,
        parameter="leaf",
        method="CLASSER",
        form=Form.BAND,
        effect=Effect.POINTS,
        bands=(band(None, None, "-125"),),
    )
    schedule = DifferenceSchedule(mode=Mode.ADDITIVE, lines=(line,), price=cents)
    leaf = [Result("leaf", "CLASSER", D(4))]
    assert evaluate(schedule, leaf, rate=D("73.26"), net_weight=NET, price=cents).adjusted_rate == D(
        "72.010000"
    )
    dollars = Price("USD", 1, "MASS", Fraction(1000))
    done = evaluate(schedule, leaf, rate=D(1600), net_weight=NET, price=dollars)
    assert 1600 - done.trace[0].rate == Fraction(125, 10000) * 1000 / Fraction(45359237, 100000000)


TENTHS = st.integers
lots = st.fixed_dictionaries(
    {
        "rd": TENTHS(730, 850),
        "trash": TENTHS(0, 45),
        "moisture": TENTHS(30, 150),
        "staple_length": TENTHS(280, 310),
        "micronaire": TENTHS(35, 49),
    }
).map(lambda lot: {name: str(D(value) / 10) for name, value in lot.items()})
schedules = st.builds(
    lambda mode, cap, reciprocal, rule: replace(
        DEMO,
        mode=mode,
        cap_percent=cap,
        lines=(
            replace(MOISTURE, reciprocal=reciprocal, weight_rule=rule),
            RD,
            replace(TRASH, reciprocal=reciprocal),
            STAPLE,
            MICRONAIRE,
        ),
    ),
    st.sampled_from(Mode),
    st.none() | st.integers(0, 10).map(D),
    st.booleans(),
    st.sampled_from(WeightRule),
)


@given(schedules, lots, st.integers(0, 45))
def test_more_trash_never_raises_the_price(schedule, lot, trash):
    cleaner, dirtier = sorted((D(lot["trash"]), D(trash) / 10))
    better, worse = (demo(schedule, **{**lot, "trash": str(value)}) for value in (cleaner, dirtier))
    assert worse.adjusted_rate <= better.adjusted_rate
    assert worse.accounted_weight == better.accounted_weight


@given(schedules, lots, st.permutations(range(5)), st.permutations(range(5)))
def test_the_order_of_results_and_of_the_list_of_lines_never_matters(schedule, lot, first, second):
    given_results = results(**lot)
    shuffled = replace(schedule, lines=[schedule.lines[place] for place in second])
    again = evaluate(shuffled, [given_results[place] for place in first], rate=RATE, net_weight=NET)
    assert again == evaluate(schedule, given_results, rate=RATE, net_weight=NET)


@given(schedules, lots, st.integers(1, 10**9), st.integers(1, 10**9))
def test_the_trace_recomputes_to_the_result(schedule, lot, rate, weight):
    rate, weight = D(rate).scaleb(-2), D(weight).scaleb(-3)
    done = evaluate(schedule, results(**lot), rate=rate, net_weight=weight)
    percents = [traced.effect for traced in done.trace if traced.kind is Effect.PERCENT]
    factor = Fraction(1)
    for percent in percents:
        factor = factor + percent / 100 if schedule.mode is Mode.ADDITIVE else factor * (1 + percent / 100)
    if schedule.cap_percent is not None:
        cap = Fraction(schedule.cap_percent) / 100
        factor = max(1 - cap, min(1 + cap, factor))
    paid = Fraction(weight)
    for traced in done.trace:
        if traced.kind is Form.WEIGHT:
            paid *= traced.effect
    last = done.trace[-1]
    assert (last.rate, last.weight) == (Fraction(rate) * factor, paid)
    for shown, exact, places in (
        (done.adjusted_rate, last.rate, 6),
        (done.accounted_weight, last.weight, 3),
    ):
        assert abs(Fraction(shown) - exact) <= Fraction(1, 2 * 10**places)
        assert shown.as_tuple().exponent == -places
