"""Terms, facts and exports as JSON: the canonical form, the hash, and recomputing a file without a database."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings

from apps.commodities.differences import DifferenceSchedule, Form, Mode, Result
from apps.trades import engine
from apps.trades.engine import __main__ as program
from apps.trades.engine import errors, records
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.tests.cases import (
    BY_ALL,
    DISPATCHED,
    EXPORT,
    SETTLED,
    SHIPPED,
    TERMS,
    D,
    line,
    settle,
)
from erp import figures

JOURNEY_A = Path(__file__).parent / "journey_a.json"


def exported(operation="settle", terms=TERMS, facts=SETTLED):
    body, contract_hash = t.freeze(terms)
    done = getattr(engine, operation)(1, t.thaw(body, contract_hash), facts)
    return engine.export(operation, body, contract_hash, facts, done)


def run(path, capsys):
    code = program.main([str(path)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def file(tmp_path):
    def write(value):
        path = tmp_path / "export.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write


# The canonical form


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        # RFC 8785 §3.2.3: by UTF-16 code units, so 😀 (d83d) stands before ﬀ (fb00) and דּ (fb33)
        ({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\u0080": 6, "ö": 7},
         '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}'),
        ('\u20ac$\u000f\nA\'B"\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\"/"'),
    ],
)  # fmt: skip
def test_the_canonical_form_of_rfc_8785(value, text):
    assert records.canonical(value).decode() == text


@pytest.mark.parametrize("value", [1.5, D(1), "\ud800", 2**53, {"a": [float("nan")]}])
def test_what_has_no_canonical_form(value):
    with pytest.raises(errors.BadInput):
        records.canonical(value)


def test_equal_terms_have_one_hash():
    body, contract_hash = t.freeze(TERMS)
    same = replace(TERMS, weight_kg=D("17000"), price=t.Flat(price=D("53500.000000")))
    assert t.freeze(same) == (body, contract_hash)
    assert t.freeze(replace(TERMS, price=t.Flat(price=D("53500.01"))))[1] != contract_hash
    assert t.thaw(body, contract_hash) == same


def test_terms_that_do_not_match_their_hash_are_damaged():
    body, contract_hash = t.freeze(TERMS)
    body["price"]["price"] = "53501"
    with pytest.raises(errors.SnapshotDamaged):
        t.thaw(body, contract_hash)


@pytest.mark.parametrize("terms", BY_ALL)
def test_every_form_of_terms_survives_json(terms):
    assert records.from_json(t.Terms, json.loads(json.dumps(records.to_json(terms)))) == terms


@pytest.mark.parametrize("facts", [DISPATCHED, SETTLED, SHIPPED])
def test_facts_survive_json(facts):
    assert records.from_json(f.Facts, json.loads(json.dumps(records.to_json(facts)))) == facts


def test_a_matrix_and_a_choice_survive_json():
    cells = {("31-3", "35"): D("0.5"), ("31-3", "36"): D("1")}
    matrix = line(1, "colour_grade", "HVI", Form.MATRIX, second_parameter="staple_32", cells=cells)
    rules = DifferenceSchedule(mode=Mode.ADDITIVE, lines=(matrix,), price=TERMS.unit.price)
    assert records.from_json(DifferenceSchedule, json.loads(json.dumps(records.to_json(rules)))) == rules
    for value in ("31-3", D("35.50")):
        result = Result("colour_grade", "HVI", value)
        assert records.from_json(Result, records.to_json(result)) == result


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"weight_kg": 17000.5}, "/weight_kg"),
        ({"weight_kg": "1e30"}, "/weight_kg"),
        ({"weight_kg": "0"}, "/weight_kg"),
        ({"weight_kg": "NaN"}, "/weight_kg"),
        ({"weight_kg": "١٧"}, "/weight_kg"),
        ({"count": "100"}, "/count"),
        ({"count": True}, "/count"),
        ({"count": 0}, "/count"),
        ({"trade_date": "2026-02-30"}, "/trade_date"),
        ({"trade_date": "20260112"}, "/trade_date"),
        ({"trade_date": "9999-12-31"}, "/trade_date"),
        ({"currency": "IN\0R"}, "/currency"),
        ({"direction": "ABROAD"}, "/direction"),
        ({"price": {"form": "FREE"}}, "/price/form"),
        ({"price": {"form": "FLAT"}}, "/price/price"),
        ({"lots": {}}, "/lots"),
        ({"lots": ["x"]}, "/lots/0"),
        ({"premium_cap_percent": "100.1"}, "/premium_cap_percent"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
def test_bad_terms_are_refused_with_a_pointer(change, pointer):
    with pytest.raises(errors.BadInput) as refused:
        records.from_json(t.Terms, records.to_json(TERMS) | change)
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_amounts_in_words():
    """Indian steps, paise, and crores above a hundred of them."""
    spelled = figures.amount_in_words(D("2479684.66"), "INR")
    assert spelled == (
        "Rupees Twenty-Four Lakh Seventy-Nine Thousand Six Hundred Eighty-Four and Sixty-Six Paise Only"
    )
    assert figures.amount_in_words(D("12345678900"), "INR").startswith(
        "Rupees One Thousand Two Hundred Thirty-Four Crore"
    )


# Exports


@pytest.mark.parametrize(
    ("operation", "terms", "facts"),
    [
        ("settle", TERMS, SETTLED),
        ("preview", TERMS, replace(DISPATCHED, quality=())),
        ("cancel", TERMS, replace(DISPATCHED, dispatches=())),
        ("settle", EXPORT, SHIPPED),
    ],
)
def test_an_export_recomputes_to_itself(operation, terms, facts):
    assert engine.recompute(json.loads(json.dumps(exported(operation, terms, facts)))).differences == []


def test_version_1_still_gives_the_figures_of_journey_a():
    """The stored file is never written anew: a difference means that version 1 changed."""
    done = engine.recompute(records.load(JOURNEY_A.read_bytes()))
    assert done.differences == []
    assert done.settlement == settle(done.terms, done.facts)


def test_the_program_needs_neither_django_nor_a_database():
    """Without site-packages there is the standard library only."""
    command = [sys.executable, "-S", "-W", "error", "-m", "apps.trades.engine", str(JOURNEY_A)]
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env={"LANG": "C.UTF-8"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    for figure in (
        "₹24,79,684.66",
        "₹1,23,984.23",
        "₹0.11",
        "₹26,03,669.00",
        "₹680.00",
        "₹5,754.91",
        "₹14,068.00",
    ):
        assert figure in text
    assert "exact 24,79,684.6579129408, kg 16,870.746, price 52,269.5, k 355.62" in text
    assert "Rupees Twenty-Six Lakh Three Thousand Six Hundred Sixty-Nine Only" in text
    assert "The recomputed figures agree with the file." in text


@pytest.mark.parametrize("operation", ["preview", "cancel"])
def test_the_program_prints_what_is_missing_and_refunds(operation, file, capsys):
    facts = replace(
        DISPATCHED, quality=(), dispatches=DISPATCHED.dispatches if operation == "preview" else ()
    )
    code, out, _ = run(file(exported(operation, facts=facts)), capsys)
    assert code == 0
    assert ("Provisional: Lot SSG-27 has no governing" in out) == (operation == "preview")
    assert ("refund" in out) == (operation == "cancel")


def test_the_program_prints_other_currencies(file, capsys):
    code, out, _ = run(file(exported(terms=EXPORT, facts=SHIPPED)), capsys)
    assert code == 0
    assert "$1,37,284.06" in out
    assert "₹1,21,83,960.33" in out


def test_a_changed_figure_is_named(file, capsys):
    export = exported()
    export["settlement"]["totals"]["tax"] = "123984.24"
    export["settlement"]["lines"].pop()
    code, out, err = run(file(export), capsys)
    assert code == 1
    assert "/settlement/totals/tax: 123984.24 in the file, 123984.23 computed" in err
    assert "/settlement/lines: [" in err
    assert "agree" not in out


def test_a_changed_fact_gives_other_figures(file, capsys):
    export = exported()
    export["facts"]["weighments"][0]["gross_kg"] = "17023.501"
    code, _, err = run(file(export), capsys)
    assert code == 1
    assert "/settlement/totals/taxable" in err


def test_changed_terms_are_damaged(file, capsys):
    export = exported()
    export["terms"]["price"]["price"] = "53499"
    code, _, err = run(file(export), capsys)
    assert (code, err) == (1, "trade.snapshot_damaged: The terms do not match the contract hash.\n")


def test_refused_facts_are_named(file, capsys):
    export = exported()
    export["facts"]["payments"] = []
    code, _, err = run(file(export), capsys)
    assert code == 1
    assert err.startswith("trade.balance_open: ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"operation": "guess"}, "/operation"),
        ({"format": "x"}, "/: An export has the members"),
        ({"facts": {"as_of": "2026-02-23", "weighments": [{"id": 1}]}}, "/facts/weighments/0/id"),
        ({"terms": {}}, "/terms/trade_date: Is missing."),
        ({"facts": None}, "/facts: Must be an object."),
        ({"settlement": {"lines": [{"amount": 1.5}]}}, "/settlement/lines/0/amount: A float"),
        ({"settlement": json.loads("[" * 200 + "]" * 200)}, "/settlement/0/0/0"),
    ],
)
def test_bad_files_are_refused_with_a_pointer(file, change, words, capsys):
    code, _, err = run(file(exported() | change), capsys)
    assert code == 2
    assert words in err


@pytest.mark.parametrize("text", ["", "{", '{"a": 1, "a": 2}', "[" * 100_000, "[1]", "\x00"])
def test_what_is_no_export_is_refused(file, text, capsys):
    assert run(file(text), capsys)[0] == 2


def test_a_missing_file_and_an_unknown_version(tmp_path, file, capsys):
    code, _, err = run(tmp_path / "none.json", capsys)
    assert (code, "No such file" in err) == (2, True)
    code, _, err = run(file(exported() | {"engine_version": 99}), capsys)
    assert (code, err) == (1, "trade.engine_version_unknown: There is no engine version 99.\n")
