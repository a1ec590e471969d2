"""Gates and score as pure functions: worked figures, order, and that worse input never helps (§8.1, §8.7, §8.8)."""

import random
from copy import deepcopy
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.risk import engine, names
from apps.risk import rings as search
from apps.risk.policy import PolicyBody
from apps.risk.rings import Edge, rings

POLICY = PolicyBody()
NO_FACTS = {
    "trades": 0, "disputed": 0, "due_amount": "0", "paid_in_time_amount": "0", "due_kg": "0", "in_window_kg": "0",
    "lots": 0, "lots_passed": 0,
}  # fmt: skip
GOOD = {
    "trades": 60, "disputed": 0, "due_amount": "100", "paid_in_time_amount": "100", "due_kg": "100",
    "in_window_kg": "100", "lots": 10, "lots_passed": 10,
}  # fmt: skip
CREDIT = {
    "currency": "INR", "limit": "1000", "exposure": "0", "exposure_inr": "0", "overdue_review": "0",
    "overdue_fail": "0", "version": 1,
}  # fmt: skip


def party(side="BUYER", **figures):
    return {
        "side": side, "partner_id": None, "reasons": [], "embargoed": [],
        "screening": {"exact": 0, "possible": 0, "stale": False, "newest": None}, "credit": dict(CREDIT),
        "bureau": None, "facts": dict(GOOD), **figures,
    }  # fmt: skip


def deal(value="100", whole=None, **figures):
    return {
        "needs_credit": True, "value_unknown": False, "value": value, "whole": whole or value, "value_inr": value,
        "unknown": None, **figures,
    }  # fmt: skip


def pair(**figures):
    return {"blocking": [], "warning": [], "blocks": [], "facts": dict(NO_FACTS), **figures}


def judged(*parties, body=POLICY, **inputs):
    return engine.judge({"parties": list(parties), "deal": None, "pair": None, **inputs}, body)


def codes(result):
    return [gate["code"] for gate in result.gates]


def test_the_worked_figures_of_the_score():
    """No facts: 74, PASS. Utilisation 80 %, rating 3.5, performance 70, disputes 6 %, 40 trades: 56, WARN."""
    unknown = judged(party(facts=NO_FACTS))
    assert (unknown.score, unknown.status) == (74, "PASS")
    facts = {**NO_FACTS, "trades": 50, "disputed": 3, "due_amount": "100", "paid_in_time_amount": "70",
             "lots": 10_000, "lots_passed": 6_040}  # fmt: skip
    conduct = engine.conduct_of(facts)
    assert (conduct.paid, conduct.disputed, conduct.rating(3)) == (Decimal(70), Decimal(6), Decimal("3.50"))
    facts |= {"trades": 33, "disputed": 2}  # fewer than 50, and still more than 5 % disputed
    worked = judged(party(credit={**CREDIT, "exposure": "800"}, facts=facts))
    points = {factor["code"]: factor["points"] for factor in worked.factors}
    assert points == {"utilisation": 15, "rating": 8, "performance": 8, "disputes": 8, "experience": 5}
    assert (worked.score, worked.status) == (56, "WARN")
    assert codes(worked) == ["credit.thin", "score.low"]


@pytest.mark.parametrize(
    ("limit", "exposure", "needs", "expected"),
    [
        ("1000", "0", True, []),
        ("0", "0", True, ["credit.no_limit"]),
        ("0", "1", True, ["credit.no_limit"]),
        ("1000", "950", True, ["credit.exceeded"]),
        ("1000", "750", True, ["credit.thin"]),
        ("0", "0", False, []),
        ("1000", "649.99", True, []),
        ("1000", "650", True, ["credit.thin"]),
    ],
)
def test_a_credit_breach_alone_fails_with_every_other_figure_perfect(limit, exposure, needs, expected):
    """§8.1: no limit fails on credit terms and passes on full advance."""
    credit = {**CREDIT, "limit": limit, "exposure": exposure, "exposure_inr": exposure}
    result = judged(party(credit=credit), deal=deal(needs_credit=needs))
    assert codes(result) == expected
    fails = {"credit.no_limit", "credit.exceeded"} & set(expected)
    assert result.status == ("FAIL" if fails else "WARN" if expected else "PASS")


def test_a_limit_of_nothing_with_exposure_is_never_green():
    """§8.1, also where no deal is proposed."""
    result = judged(party(credit={**CREDIT, "limit": "0", "exposure": "1", "exposure_inr": "1"}))
    assert (result.status, codes(result)) == ("FAIL", ["credit.no_limit"])
    assert judged(party(side="SELLER", credit={**CREDIT, "limit": "0", "exposure": "1"})).score == 75


def test_a_listing_is_partial_where_its_smallest_deal_fits_and_thin_is_judged_on_what_fits():
    credit = {**CREDIT, "exposure": "500"}
    result = judged(party(credit=credit), deal=deal("100", "600"))
    assert (result.status, codes(result)) == ("WARN", ["credit.partial"])
    result = judged(party(credit=credit), deal=deal("100", "400"))
    assert codes(result) == ["credit.thin"]
    assert judged(party(credit=credit), deal=deal("100", value_unknown=True)).status == "PASS"
    unknown = judged(party(credit=credit), deal=deal(None, unknown="currency_rate"))
    assert (unknown.status, codes(unknown)) == ("REVIEW", ["credit.unknown"])


def test_every_threshold_counts_on_the_right_side():
    spent = {**CREDIT, "exposure": "500"}
    assert codes(judged(party(), deal=deal("1000"))) == ["credit.thin"]  # all of it fits
    assert codes(judged(party(credit=spent), deal=deal("100", "500"))) == ["credit.thin"]
    lax = PolicyBody(thin_utilisation_percent=95)
    assert codes(judged(party(credit={**CREDIT, "exposure": "700"}), deal=deal("100"), body=lax)) == []
    assert codes(judged(party(credit={**CREDIT, "exposure": "700"}), deal=deal("100.01"), body=lax)) == [
        "credit.thin"
    ]
    weak = {**GOOD, "trades": 3, "paid_in_time_amount": "50"}
    assert codes(judged(party(), pair=pair(facts=weak))) == ["pair.weak"]
    assert codes(judged(party(), pair=pair(facts={**weak, "paid_in_time_amount": "50.01"}))) == []
    assert codes(judged(party(), pair=pair(facts={**weak, "trades": 2}))) == []
    three = engine.conduct_of({**GOOD, "trades": 3})
    assert (three.rating(3), three.rating(4)) == (Decimal("5.00"), None)
    owed = {**CREDIT, "overdue_review": "10000", "overdue_fail": "10000"}
    assert codes(judged(party(credit=owed))) == []
    assert codes(judged(party(credit={**CREDIT, "exposure_inr": None}))) == ["provider.missing"]
    assert codes(judged(party(credit={**CREDIT, "exposure_inr": "5000000"}))) == []
    assert codes(judged(party(facts=NO_FACTS), body=PolicyBody(warn_below=74))) == []
    assert codes(judged(party(facts=NO_FACTS), body=PolicyBody(warn_below=75))) == ["score.low"]


def test_gates_are_listed_in_order_and_the_worst_decides():
    facts = {**GOOD, "trades": 3, "due_amount": "100", "paid_in_time_amount": "40"}
    result = judged(
        party(reasons=["kyc"], embargoed=["KP"], bureau={"grade": "C"}, facts=NO_FACTS,
              screening={"exact": 1, "possible": 1, "stale": True, "newest": None},
              credit={**CREDIT, "limit": "0", "overdue_review": "10001", "exposure_inr": "6000000"}),
        party("SELLER", credit={**CREDIT, "exposure_inr": "6000000"}),
        deal=deal(unknown="currency_rate"),
        pair=pair(blocking=["pan"], warning=["phone"], blocks=["WASH"], facts=facts),
    )  # fmt: skip
    assert codes(result) == [
        "partner.not_ready", "country.embargoed", "screening.match", "screening.possible", "screening.stale",
        "party.block", "party.warn", "pair.blocked", "pair.weak", "credit.no_limit", "credit.unknown",
        "credit.overdue", "provider.missing", "bureau.weak",
    ]  # fmt: skip
    assert result.status == "FAIL"
    assert {gate["outcome"] for gate in result.gates} == {"FAIL", "REVIEW", "WARN"}


def test_overrides_cover_only_what_may_be_overridden():
    every = [[code, side] for code in engine.GATES for side in ("BUYER", None)]
    overrides = [{"id": "o", "gates": every}]
    credit = {**CREDIT, "limit": "0", "overdue_fail": "20000"}
    kept = judged(party(credit=credit, screening={"exact": 0, "possible": 1, "stale": False, "newest": None}),
                  deal=deal(), pair=pair(blocking=["pan"]), overrides=overrides)  # fmt: skip
    assert kept.status == "FAIL"
    assert not any(gate["override_id"] for gate in kept.gates)
    late = judged(party(credit={**CREDIT, "overdue_review": "20000"}), deal=deal(), overrides=overrides)
    assert (late.status, late.gates[0]["override_id"]) == ("PASS", "o")
    freed = judged(party(), pair=pair(blocks=["WASH"], warning=["phone"]), overrides=overrides)
    assert (freed.status, codes(freed)) == ("PASS", ["party.warn", "pair.blocked"])  # they stay listed
    other = judged(
        party(), party("SELLER", facts=dict(NO_FACTS)), body=PolicyBody(warn_below=80), overrides=overrides
    )
    assert (other.status, other.gates[0]["override_id"]) == ("WARN", None)  # two people saw the buyer's gates


WORSE = {
    "reasons": lambda p, d: p.update(reasons=[*p["reasons"], "kyc_lapsed"]),
    "embargoed": lambda p, d: p.update(embargoed=["KP"]),
    "exact": lambda p, d: p["screening"].update(exact=p["screening"]["exact"] + 1),
    "possible": lambda p, d: p["screening"].update(possible=p["screening"]["possible"] + 1),
    "stale": lambda p, d: p["screening"].update(stale=True),
    "limit": lambda p, d: p["credit"].update(limit=str(Decimal(p["credit"]["limit"]) / 2)),
    "exposure": lambda p, d: p["credit"].update(exposure=str(Decimal(p["credit"]["exposure"]) + 137)),
    "exposure_inr": lambda p, d: p["credit"].update(
        exposure_inr=str(Decimal(p["credit"]["exposure_inr"]) * 2)
    ),
    "overdue": lambda p, d: p["credit"].update(overdue_review="10001"),
    "older": lambda p, d: p["credit"].update(overdue_fail="10001"),
    "bureau": lambda p, d: p.update(bureau={"grade": "D"}),
    "paid": lambda p, d: p["facts"].update(
        paid_in_time_amount=str(Decimal(p["facts"]["paid_in_time_amount"]) / 2)
    ),
    "delivered": lambda p, d: p["facts"].update(in_window_kg=str(Decimal(p["facts"]["in_window_kg"]) / 2)),
    "passed": lambda p, d: p["facts"].update(lots_passed=p["facts"]["lots_passed"] // 2),
    "disputed": lambda p, d: p["facts"].update(disputed=min(p["facts"]["trades"], p["facts"]["disputed"] + 5)),
    "value": lambda p, d: d.update(value=str(Decimal(d["value"]) * 2), whole=str(Decimal(d["whole"]) * 2)),
    "unknown": lambda p, d: d.update(unknown="tax_rate"),
    "needs_credit": lambda p, d: d.update(needs_credit=True),
}  # fmt: skip


@given(seed=st.integers(0, 10**9), name=st.sampled_from(sorted(WORSE)))
def test_making_one_figure_worse_never_improves_status_or_score(seed, name):
    """§8.8, for each figure (rulings R2)."""
    pick = random.Random(seed)
    trades, due = pick.choice([0, 2, 3, 12, 60]), pick.choice([0, 100])
    facts = {
        "trades": trades, "disputed": pick.randint(0, trades), "due_amount": str(due),
        "paid_in_time_amount": str(pick.randint(0, due)), "due_kg": str(due),
        "in_window_kg": str(pick.randint(0, due)), "lots": 8, "lots_passed": pick.randint(0, 8),
    }  # fmt: skip
    exposure = str(pick.randint(0, 1200))
    mine = party(
        pick.choice(["BUYER", "SELLER"]), facts=facts,
        credit={**CREDIT, "limit": str(pick.choice([0, 500, 1000])), "exposure": exposure,
                "exposure_inr": str(pick.choice([0, 4_000_000, 6_000_000]))},
        bureau=pick.choice([None, {"grade": "A"}, {"grade": "C"}]),
    )  # fmt: skip
    before = {"parties": [mine], "deal": deal(str(pick.randint(1, 900)), needs_credit=pick.random() < 0.8)}
    after = deepcopy(before)
    WORSE[name](after["parties"][0], after["deal"])
    good, bad = (engine.judge(inputs, POLICY) for inputs in (before, after))
    assert engine.ORDER.index(bad.status) >= engine.ORDER.index(good.status)
    assert bad.score <= good.score


@pytest.mark.parametrize("figure", ["rating", "performance", "no trades"])
def test_what_is_unknown_is_never_better_than_what_is_good(figure):
    """§8.8."""
    known = judged(party()).score
    facts = {"rating": {**GOOD, "trades": 2}, "performance": {**GOOD, "due_amount": "0",
             "paid_in_time_amount": "0"}, "no trades": NO_FACTS}[figure]  # fmt: skip
    assert judged(party(facts=facts)).score < known


def test_bands_and_the_suggested_limit():
    bands = {"4.50": "A", "4.49": "B", "4.00": "B", "3.00": "C", "2.99": "D"}
    assert {text: engine.band_of(Decimal(text)) for text in bands} == bands
    assert engine.band_of(None) is None
    limit = Decimal(1000)
    cases = [("4.5", "90", "1200.00"), ("4.5", "89", "1100.00"), ("4.0", "80", "1100.00"), ("3.5", "79", "1000.00"),
             ("2.9", "99", "750.00"), ("4.9", "59", "750.00")]  # fmt: skip
    for rating, performance, expected in cases:
        found = engine.suggested_limit(limit, Decimal(rating), Decimal(performance))
        assert str(found) == expected
    assert engine.suggested_limit(limit, None, None) == limit


@pytest.mark.parametrize(
    "body",
    [
        {"surprise": 1},
        {"warn_below": 101},
        {"similarity": "0.59"},
        {"warn_below": "NaN"},
        {"pair_block_below": 60},
        {"rating_points": {"worst": 1, "bad": 2, "weak": 0}},
    ],
)
def test_a_policy_refuses_unknown_keys_and_figures_out_of_range(body):
    with pytest.raises(ValidationError):
        PolicyBody.model_validate(body)


# Names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Mohammad", "Muhammad", True),
        ("mohd", "Mohammed", True),
        ("Xavier", "Ksavier", True),
        ("Phillips", "Filips", True),
        ("Qadir", "Kadir", True),
        ("Zahra", "Sara", False),
        ("Rakesh", "Rajesh", False),
    ],
)
def test_words_of_the_same_sound_share_a_key(one, other, same):
    assert (names.sound_key(one) == names.sound_key(other)) is same


def test_only_two_words_or_one_long_one_are_compared_by_sound():
    assert names.comparable_keys("kali") == []
    assert names.comparable_keys("zharkov") == ["srkv"]
    assert len(names.comparable_keys("ivan zharkov")) == 2
    assert names.is_latin("Sómnath Trading Pvt. Ltd.")
    assert not names.is_latin("श्री गणेश")


# Rings


def _edges(*pairs):
    return [
        Edge((date(2026, 1, 1 + day), day), UUID(int=seller), UUID(int=buyer), UUID(int=1000 + day))
        for day, (seller, buyer) in enumerate(pairs)
    ]


def _circle(size):
    return [(place, (place + 1) % size) for place in range(size)]


@pytest.mark.parametrize(("size", "found"), [(2, 0), (3, 1), (4, 1), (5, 1), (6, 0)])
def test_rings_of_three_to_five_are_found_once_and_shuffled_edges_alter_nothing(size, found):
    """§8.4."""
    edges = _edges(*_circle(size), (0, 9), (8, 1), *_circle(size))
    whole = rings(edges, 5)
    assert len(whole) == found
    for seed in range(5):
        mixed = list(edges)
        random.Random(seed).shuffle(mixed)
        assert rings(mixed, 5) == whole


def test_partners_that_trade_without_end_use_up_no_search_of_others(monkeypatch):
    monkeypatch.setattr(search, "MOST_STEPS", 0)
    monkeypatch.setattr(search, "LEAST_STEPS", 20)
    crowd = [(one, other) for _ in range(6) for one in range(4) for other in range(4) if one != other]
    skipped = set()
    found = rings(_edges(*crowd[:24], (10, 11), (11, 12), (12, 10)), 5, skipped)
    assert (UUID(int=10), UUID(int=11), UUID(int=12)) in {ring.partners for ring in found}
    assert skipped
    assert skipped <= {UUID(int=place) for place in range(4)}


def test_a_ring_is_walked_in_time_order_and_has_a_direction():
    assert rings(_edges((2, 0), (1, 2), (0, 1)), 5) == []  # against the clock
    both = rings(_edges(*_circle(3), (1, 0), (0, 2), (2, 1)), 5)
    assert {ring.partners for ring in both} == {
        (UUID(int=0), UUID(int=1), UUID(int=2)),
        (UUID(int=0), UUID(int=2), UUID(int=1)),
    }


def test_the_same_inputs_have_the_same_digest_whatever_their_order():
    inputs = {"b": 1, "a": {"d": "2", "c": None}}
    assert engine.digest(inputs) == engine.digest({"a": {"c": None, "d": "2"}, "b": 1})
    assert engine.conduct_of(GOOD).conduct == Fraction(100)
