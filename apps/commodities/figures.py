"""Numbers as plain text."""

from decimal import Decimal


def plain(value: Decimal) -> str:
    """Format a number without trailing zeros, so that equal numbers have equal texts: ``28.50`` → ``28.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
