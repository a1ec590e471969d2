"""Text: what may be stored, and which names are the same."""

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erp.text import (
    IGNORABLE,
    KEY_LENGTH,
    LOOKALIKES,
    UnstorableText,
    company_form,
    name_key,
    name_score,
    normalise,
)


def refusal(text: str, **options: bool) -> str:
    with pytest.raises(UnstorableText) as caught:
        normalise(text, **options)
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "Shree Ganesh Cotton & Co.",
        "શ્રી ગણેશ કોટન",
        "श्री गणेश कॉटन 24",
        "क्\u200dष",  # a joiner
        "ক\u09cd\u200dষ",
        "நூல்",
        "Guar seed ગવાર",
        "μg/inch",
        "Дружба",
        "綿花",
        "☘️",
        "👩\u200d🌾",
    ],
)
def test_text_of_any_script_is_stored(text):
    assert normalise(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text",
    [
        "\u200b",
        "\u200d\u200c",
        "\u00ad",
        "\ufeff",
        "\u2060 \u2060",
        "\u3164",
        "\uffa0",
        "\u115f\u1160",
        "\u2800",
        "\ufe0f",
        "\u0301",
        "\u0abe",  # a vowel sign without its letter
        "\u200e \u061c",
        "\U000e0041",
        "\ue000",
        "\ufff9",
        "\u180e",
    ],
)
@pytest.mark.parametrize("multiline", [False, True])
def test_text_of_which_nothing_can_be_seen_is_refused(text, multiline):
    assert refusal(text, multiline=multiline) == "invisible"
    assert normalise(f"a{text}", multiline=multiline)


@pytest.mark.parametrize("plane", range(17))
def test_noncharacters_of_every_plane_are_refused(plane):
    for code in (plane * 0x10000 + 0xFFFE, plane * 0x10000 + 0xFFFF):
        assert refusal(f"a{chr(code)}b") == "noncharacter"


@pytest.mark.parametrize("character", ["\ufdd0", "\ufddf", "\ufdef"])
def test_noncharacters_among_arabic_letters_are_refused(character):
    assert refusal(f"a{character}", multiline=True) == refusal(f"a{character}", trim=False) == "noncharacter"


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_halves_of_surrogate_pairs_are_refused(code):
    assert refusal(f"a{chr(code)}b") == "lone_surrogate"


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\x7f", "\x9f", "\u2028", "\u202d", "\u202e", "\u2067"]
)
def test_control_characters_are_refused_in_one_line_and_in_several(character):
    assert refusal(f"a{character}b") == refusal(f"a{character}b", multiline=True) == "control_character"


def test_line_feeds_and_tabs_are_for_text_of_several_lines():
    assert normalise("a\r\n\tb", multiline=True) == "a\n\tb"
    assert refusal("a\nb") == refusal("a\tb") == refusal("a\rb", multiline=True) == "control_character"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Shree Cotton", "  SHREE\u00a0\u2003 cotton "),
        ("Cafe\u0301", "CAF\u00c9"),
        ("Straße", "STRASSE"),
        ("\uff23otton №1", "cotton no1"),  # full width, compatibility form
        ("Cot\u00adton", "Cotton"),
        ("Cotton\u200b", "Cotton"),
        ("Cotton\ufe0f", "Cotton"),
        ("Cotton\U000e0061", "Cotton"),
        ("Cot\u034fton", "Cotton"),
        ("क्\u200dष", "क्ष"),
        ("ક\u200cપાસ", "કપાસ"),
        ("ﬁbre", "Fibre"),
        ("İ", "i\u0307"),
        ("Shree-Ganesh", "Shree\u2011Ganesh"),
        ("Shree-Ganesh", "Shree\u2013Ganesh"),
        ("O'Neil & Sons", "O\u2019Neil & Sons"),
        ('Om "A" Traders', "Om \u201cA\u201d Traders"),
    ],
)
def test_names_are_the_same_however_they_are_typed(one, other):
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("lookalike", "name"),
    [
        ("Сotton", "Cotton"),  # Cyrillic
        ("СОТТОN", "COTTON"),
        ("Cоttоn", "cotton"),
        ("Νagpur", "Nagpur"),  # Greek
        ("Rajkοt", "Rajkot"),
        ("Cօttօո", "Cotton"),  # Armenian
        ("ᎪᎡᎬᎪ", "AREA"),  # Cherokee
        ("ꓚOTTON", "Cotton"),  # Lisu
        ("Guɑr", "Guar"),
        ("\U0001d6a8rea", "Area"),  # a mathematical Greek letter
        ("Cafе\u0301", "Café"),
        ("рахо", "paxo"),  # a whole word
    ],
)
def test_a_letter_that_looks_like_a_latin_one_counts_as_that(lookalike, name):
    assert lookalike != name
    assert name_key(lookalike) == name_key(name)


def test_every_lookalike_counts_as_its_plain_character():
    assert {name_key(drawn) for alike in LOOKALIKES.values() for drawn in alike} == set(LOOKALIKES)
    assert all(name_key(drawn) == latin for latin, alike in LOOKALIKES.items() for drawn in alike)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dose μg", "Dose mg"),
        ("કપાસ", "कपास"),
        ("ખાતા", "ખાત"),
        ("लॉट १", "लॉट 1२"),
        ("Grade 1", "Grade I"),
        ("о", "0"),
    ],
)
def test_names_that_look_different_are_different(one, other):
    assert name_key(one) != name_key(other)


def test_what_unicode_ignores_by_default_is_ignored():
    assert (
        sum(last - first + 1 for first, last in IGNORABLE) == 4174
    )  # as the Unicode Character Database counts them
    assert all(name_key(f"a{chr(code)}b") == "ab" for ends in IGNORABLE for code in ends)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_a_key_is_its_own_key(name):
    assert name_key(name_key(name)) == name_key(name)


def test_a_key_fits_its_column_and_still_tells_names_apart():
    long = "\ufdfa" * 200  # one character that expands to eighteen
    keys = {name_key(long), name_key(long + "a"), name_key(long + "b")}
    assert len(keys) == 3
    assert max(map(len, keys)) == KEY_LENGTH


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Sómnath Trading Pvt. Ltd.", "TRADING SOMNATH LIMITED"),
        ("M/s Mahavir Cotton & Co.", "Mahavir Cotton"),
        ("M/S. Patel and Company", "Patel Co"),
        ("Shree-Ram Ginning (India) LLP", "shree ram GINNING india"),
        ("શ્રી કપાસ પ્રા. Ltd", "કપાસ શ્રી પ્રા"),
    ],
)
def test_spellings_of_a_firm_have_one_normal_form(first, second):
    assert company_form(first) == company_form(second)
    assert name_score(first, second) == Decimal("1.000")


def test_a_legal_word_inside_another_word_stays():
    assert company_form("Cotton Andhra Colimited") == "andhra colimited cotton"


def test_vowel_signs_tell_indic_names_apart():
    assert company_form("कपास") != company_form("कपूस")


def test_similarity_ignores_legal_words():
    trade = {"ginning", "factory"}
    names = "Mahalaxmi Ginning Factory", "Mahavir Ginning Factory"
    assert name_score(*names) >= Decimal("0.800")
    assert name_score(*names, without=trade) < Decimal("0.900")


def test_names_without_a_word_of_their_own_are_not_alike():
    assert name_score("Pvt. Ltd.", "Private Limited") == Decimal("0.000")


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_score_is_a_share_with_three_decimals(first, second):
    score = name_score(first, second)
    assert 0 <= score <= 1
    assert score == score.quantize(Decimal("0.001"))
