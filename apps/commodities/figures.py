"""Figures in plain text."""

from decimal import Decimal


def plain(value: Decimal) -> str:
    """A figure in plain notation without idle zeros, so that equal ones are equal: ``28.50`` → ``28.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
