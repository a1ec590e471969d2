"""Figures as people in India read them."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp import figures

amounts = st.decimals(min_value=0, max_value=D("999999999999.99"), places=2)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1,000"), (100000, "1,00,000"), (D("2479684.66"), "24,79,684.66"),
     (D("-1234567.5"), "-12,34,567.5"), (10**9, "1,00,00,00,000")],
)  # fmt: skip
def test_numbers_are_grouped_by_lakh_and_crore(number, text):
    assert figures.group(number) == text


@given(amounts)
def test_grouping_changes_no_digit(amount):
    assert D(figures.group(amount).replace(",", "")) == amount


def test_useless_zeros_are_left_out():
    assert figures.percent(D("5.0000")) == "5 %"
    assert figures.percent(D("5.2500")) == "5.25 %"
    assert figures.quantity(D("16938.500"), "kg") == "16,938.5 kg"
    assert figures.quantity(D("100.000"), "bales") == "100 bales"
    assert figures.trim(100) == "100"


def test_money_has_its_symbol_and_two_decimals():
    assert figures.money(D("2479684.66")) == "₹24,79,684.66"
    assert figures.money(D("-28578.54")) == "-₹28,578.54"
    assert figures.money(D(50000)) == "₹50,000.00"
    assert figures.money(D("1500.5"), "AED") == "AED 1,500.50"


def test_money_with_a_fraction_of_a_paisa_is_refused():
    with pytest.raises(ValueError, match="more than two decimals"):
        figures.money(D("1.005"))


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "Rupees Zero Only"),
        ("1.01", "Rupees One and One Paisa Only"),
        ("2603669", "Rupees Twenty-Six Lakh Three Thousand Six Hundred Sixty-Nine Only"),
        ("479684.66", "Rupees Four Lakh Seventy-Nine Thousand Six Hundred Eighty-Four and Sixty-Six Paise Only"),
        ("10000000", "Rupees One Crore Only"),
        ("1050000000.10", "Rupees One Hundred Five Crore and Ten Paise Only"),
    ],
)  # fmt: skip
def test_amounts_are_spelt_out(amount, words):
    assert figures.amount_in_words(D(amount)) == words


@pytest.mark.parametrize(("amount", "currency"), [("-1", "INR"), ("0.005", "INR"), ("1", "XAU")])
def test_what_has_no_words_is_refused(amount, currency):
    with pytest.raises(ValueError, match="words"):
        figures.amount_in_words(D(amount), currency)


def _read(words: str) -> int:
    """The number that words stand for, by the plain rules of reading aloud."""
    total, current = 0, 0
    names = {**{name: i for i, name in enumerate(figures._UNITS)},
             **{name: 20 + 10 * i for i, name in enumerate(figures._TENS)}}  # fmt: skip
    for word in words.replace("-", " ").split():
        if word in names:
            current += names[word]
        elif word == "hundred":
            current *= 100
        elif word == "crore":
            total, current = (total + current) * 10_000_000, 0
        else:
            total, current = total + current * {"lakh": 100_000, "thousand": 1_000}[word], 0
    return total + current


@given(st.integers(min_value=0, max_value=10**12))
def test_words_read_back_as_the_number(number):
    assert _read(figures.number_in_words(number)) == number
