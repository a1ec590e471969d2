"""How figures look to people in India: grouping by lakh and crore, money, percents, quantities, amounts in words."""

from decimal import Decimal
from typing import Final

_SYMBOLS: Final = {"INR": "₹", "USD": "$", "EUR": "€", "GBP": "£"}
_UNITS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_STEPS: Final = ((10_000_000, "crore"), (100_000, "lakh"), (1_000, "thousand"), (100, "hundred"))
_COINS: Final = {"INR": ("rupees", "paisa", "paise"), "USD": ("dollars", "cent", "cents")}


def group(number: Decimal | int) -> str:
    """A number in Indian grouping, with the decimals it has: ``2479684.66`` → ``24,79,684.66``."""
    sign, digits = "-" if number < 0 else "", format(abs(Decimal(number)), "f")
    whole, point, decimals = digits.partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return sign + ",".join([*groups, tail]) + point + decimals


def trim(number: Decimal | int) -> str:
    """A number in Indian grouping without useless zeros: ``16938.500`` → ``16,938.5``."""
    text = group(number)
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(amount: Decimal, currency: str = "INR") -> str:
    """An amount with two decimals: ``₹24,79,684.66``; ``-₹28,578.54``; another currency by its symbol or code.

    Raises ValueError for an amount with a fraction of a paisa, which would have to be rounded here.
    """
    if amount != amount.quantize(Decimal("0.01")):
        raise ValueError(f"{amount} has more than two decimals")
    sign = "-" if amount < 0 else ""
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"{sign}{symbol}{group(abs(amount).quantize(Decimal('0.01')))}"


def percent(rate: Decimal) -> str:
    """A percent without useless zeros: ``5 %``, ``5.25 %``."""
    return f"{trim(rate)} %"


def quantity(value: Decimal, unit: str) -> str:
    """A quantity with its unit and without useless zeros: ``16,938.5 kg``, ``100 bales``."""
    return f"{trim(value)} {unit}"


def amount_in_words(amount: Decimal, currency: str = "INR") -> str:
    """An amount as documents spell it out: ``Rupees Twenty-Four Lakh … and Sixty-Six Paise Only``.

    Raises ValueError for negative amounts, more than two decimals, and currencies without names of their coins.
    """
    if currency not in _COINS:
        raise ValueError(f"amounts in {currency} cannot be written in words")
    if amount < 0 or amount != amount.quantize(Decimal("0.01")):
        raise ValueError(f"{amount} can't be written in words")
    coins, one_part, parts = _COINS[currency]
    whole, hundredths = divmod(int(amount * 100), 100)
    part = one_part if hundredths == 1 else parts
    ending = f" and {number_in_words(hundredths)} {part}" if hundredths else ""
    return f"{coins} {number_in_words(whole)}{ending} only".title().replace(" And ", " and ")


def number_in_words(number: int) -> str:
    """A whole number from 0 in the Indian way: ``1250000`` → ``twelve lakh fifty thousand``."""
    if number < 20:
        return _UNITS[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_UNITS[units]}" if units else "")
    size, name = next(step for step in _STEPS if number >= step[0])
    count, rest = divmod(number, size)
    words = f"{number_in_words(count)} {name}"
    return f"{words} {number_in_words(rest)}" if rest else words
