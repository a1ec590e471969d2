"""Crop seasons: twelve months from a commodity's first month, labelled with their years."""

import re
from datetime import date, timedelta
from typing import Final

_LABEL: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")


def season_of(day: date, start_month: int) -> str:
    """Return the label of the season of a day: ``2025-26``, or ``2025`` where it begins in January."""
    first = day.year - (day.month < start_month)
    return f"{first}" if start_month == 1 else f"{first}-{(first + 1) % 100:02}"


def days_of(label: str, start_month: int) -> tuple[date, date]:
    """Return the first and last day of a season. Raises ValueError for an invalid label."""
    found = _LABEL.fullmatch(label)
    first = date(int(found[1]), start_month, 1) if found else None
    if first is None or label != season_of(first, start_month):
        raise ValueError(f"{label} is not a season that starts in month {start_month}")
    return first, first.replace(year=first.year + 1) - timedelta(days=1)
