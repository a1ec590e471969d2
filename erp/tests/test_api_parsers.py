"""JSON bodies: what is taken, what is refused and where, and the one form that equal bodies share."""

import io
import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from erp.api.parsers import StrictJSONParser, canonical_json, parse_json
from erp.errors import Malformed, TooLarge, UnsupportedMediaType


def refusal(raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse_json(raw)
    return caught.value


def faults(raw: bytes) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in refusal(raw).errors]


def parse(raw: bytes, media_type: str = "application/json", **meta: str) -> Any:
    context = {"request": SimpleNamespace(META=meta)}
    return StrictJSONParser().parse(io.BytesIO(raw), media_type, context)


@pytest.mark.parametrize("raw", [b"", b"  \r\n\t "])
def test_an_empty_body_is_an_empty_object(raw):
    assert parse_json(raw) == {}


def test_json_is_taken_as_it_is():
    assert parse_json('{"a": [1, -2, true, null, "जीरा \\ud83c\\udf3e"]}'.encode()) == {
        "a": [1, -2, True, None, "जीरा 🌾"]
    }


def test_numbers_with_a_fraction_or_exponent_stay_exact():
    assert parse_json(b"[0.10, 1e2, 12345678901234567890.123456789]") == [
        Decimal("0.10"),
        Decimal("1E+2"),
        Decimal("12345678901234567890.123456789"),
    ]
    assert all(isinstance(number, Decimal) for number in parse_json(b"[0.10, 1e2]"))


@pytest.mark.parametrize(
    "raw",
    [b"{", b"nul", b"[1,]", b"{'a': 1}", b'{"a": 01}', b'"a\nb"', b"{} {}", b"[" * 3000, b'{"a":' * 3000],
)
def test_what_is_not_json_is_malformed(raw):
    assert refusal(raw).code == "request.malformed"


@pytest.mark.parametrize(
    "raw", [b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16")]
)
def test_what_is_not_plain_utf8_is_malformed(raw):
    assert refusal(raw).status == 400


def test_a_doubled_member_is_named_where_it_is():
    assert faults(b'{"lots": [{"a": 1, "b/c": 2, "b/c": 2}], "x": 1, "x": 1}') == [
        ("/x", "doubled"),
        ("/lots/0/b~1c", "doubled"),
    ]


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_words_that_python_takes_for_numbers_are_refused(word):
    assert faults(b'{"a": [' + word + b"]}") == [("/a/0", "invalid")]


def test_nul_and_half_surrogates_are_named_where_they_are():
    raw = b'{"a": "x\\u0000", "b": ["\\ud800"], "c\\udc00": 1, "d": "\\ud83c\\udf3e"}'
    assert faults(raw) == [("/c?", "lone_surrogate"), ("/a", "null_character"), ("/b/0", "lone_surrogate")]


def test_twenty_levels_are_taken_and_one_more_is_not():
    assert parse_json(b"[" * 20 + b"]" * 20)
    assert faults(b"[" * 21 + b"]" * 21) == [("/0" * 20, "too_deep")]


def test_numbers_without_end_are_refused_before_they_cost_anything():
    assert faults(b'{"a": 1' + b"0" * 100_000 + b"}") == [("/a", "out_of_range")]
    assert faults(b'{"a": 0.' + b"1" * 100_000 + b"}") == [("/a", "out_of_range")]
    assert faults(b'{"a": 1e' + b"9" * 60 + b"}") == [("/a", "out_of_range")]
    assert faults(b'{"a": 1e401}') == [("/a", "out_of_range")]
    assert parse_json(b"1" * 100) == int("1" * 100)


def test_a_small_body_can_not_ask_for_a_large_answer():
    assert len(refusal(b"[" + b",".join([b'"\\u0000"'] * 10_000) + b"]").errors) == 100


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-16", 'application/json; charset="latin-1"']
)
def test_another_charset_is_refused(media_type):
    with pytest.raises(UnsupportedMediaType):
        parse(b"{}", media_type)


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_utf8_may_be_named(media_type):
    assert parse(b'{"a": 1}', media_type) == {"a": 1}


def test_a_compressed_body_is_refused():
    with pytest.raises(UnsupportedMediaType):
        parse(b"{}", HTTP_CONTENT_ENCODING="gzip")


@override_settings(API_JSON_LIMIT=10)
def test_a_body_over_the_limit_is_too_large():
    assert parse(b'{"a": 123}') == {"a": 123}
    with pytest.raises(TooLarge):
        parse(b'{"a": 1234}')


def test_equal_bodies_share_one_canonical_form():
    one = parse_json(b'{"b": [1, 2.50], "a": {"y": null, "x": "\\u0906"}, "n": 100}')
    other = parse_json('{ "n":1e2,"a":{"x":"आ","y":null},"b":[1.0,2.5]}'.encode())
    assert canonical_json(one) == canonical_json(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": null}', "{}"),
        ("[1, 2]", "[2, 1]"),
        ("[[1], 2]", "[1, 2]"),
        ('{"a": ""}', '{"a": null}'),
        ('{"a": "x\\",\\"b\\":\\"y"}', '{"a": "x", "b": "y"}'),
        ("0.1", "0.10000000000000000000000000000000000001"),
        ("1e30", "1000000000000000000000000000001"),
    ],
)
def test_bodies_that_differ_have_different_forms(one, other):
    assert canonical_json(parse_json(one.encode())) != canonical_json(parse_json(other.encode()))


def test_a_body_of_the_maximum_depth_fits_into_its_envelope():
    assert canonical_json([[], "application/json", parse_json(b"[" * 20 + b"]" * 20)])


@pytest.mark.parametrize("value", [{"a": "\ud800"}, float("nan"), Decimal("NaN"), {"a": object()}])
def test_what_has_no_canonical_form_is_malformed(value):
    with pytest.raises(Malformed):
        canonical_json(value)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc/~\u0915", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_the_canonical_form_is_json_that_means_the_same(value):
    form = canonical_json(parse_json(json.dumps(value).encode()))
    assert json.loads(form, parse_float=Decimal) == value
    assert form == canonical_json(parse_json(form))
