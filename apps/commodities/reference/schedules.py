"""Schedules of premiums and discounts: one of the company, and those of the Karachi Cotton Association."""

from datetime import date
from decimal import Decimal
from typing import Any, Final

SINCE: Final = date(2025, 4, 1)
KCA: Final = "Karachi Cotton Association: premiums and discounts of the current season"


def _bands(*rows: tuple[str, str | None, str]) -> list[dict[str, Decimal | None]]:
    return [
        {"from": Decimal(start), "to": None if end is None else Decimal(end), "effect": Decimal(effect)}
        for start, end, effect in rows
    ]


def _steps(*rows: tuple[str, str]) -> list[dict[str, Decimal]]:
    return [{"up_to": Decimal(up_to), "effect": Decimal(effect)} for up_to, effect in rows]


def _cells(columns: tuple[str, ...], rows: dict[str, tuple[str | None, ...]]) -> list[dict[str, Any]]:
    """Cells of a table; None: the schedule has no cell."""
    return [
        {"first": first, "second": second, "effect": Decimal(effect)}
        for first, effects in rows.items()
        for second, effect in zip(columns, effects, strict=True)
        if effect is not None
    ]


DEMO_29: Final = [
    {
        "order": 1,
        "parameter": "moisture",
        "method": "OVEN",
        "form": "WEIGHT",
        "weight_rule": "ONE_FOR_ONE",
        "base_low": Decimal("8.5"),
        "base_high": Decimal("8.5"),
        "side": "ABOVE",
    },
    {
        "order": 2,
        "parameter": "rd",
        "method": "HVI",
        "form": "BAND",
        "effect": "PERCENT",
        "bands": _bands(
            ("73.0", "74.0", "-3.5"),
            ("74.0", "75.5", "-1.5"),
            ("75.5", "77.1", "0"),
            ("77.1", None, "1.0"),
        ),
        "reject_below": Decimal("73.0"),
    },
    {
        "order": 3,
        "parameter": "trash",
        "method": "GRAVIMETRIC",
        "form": "LINEAR",
        "effect": "PERCENT",
        "base_low": Decimal("3.0"),
        "base_high": Decimal("3.0"),
        "side": "ABOVE",
        "rate": Decimal(1),
        "reject_above": Decimal("4.5"),
    },
    {
        "order": 4,
        "parameter": "staple_length",
        "method": "UHML_HVI",
        "form": "NO_LIMIT",
        "reject_below": Decimal("28.0"),
        "reject_above": Decimal("31.0"),
    },
    {
        "order": 5,
        "parameter": "micronaire",
        "method": "HVI",
        "form": "NO_LIMIT",
        "reject_below": Decimal("3.5"),
        "reject_above": Decimal("4.9"),
    },
]
KCA_MIC: Final = [
    {
        "order": 1,
        "parameter": "micronaire",
        "method": "HVI",
        "form": "LADDER",
        "effect": "PERCENT",
        "base_low": Decimal("3.8"),
        "base_high": Decimal("4.9"),
        "side": "BOTH",
        "steps": _steps(("0.1", "-0.5"), ("0.2", "-1.0"), ("0.3", "-2.0"), ("0.4", "-3.0"), ("0.5", "-4.0")),
        "reject_below": Decimal("3.3"),
        "reject_above": Decimal("5.4"),
    }
]
KCA_STAPLE: Final = [
    {
        "order": 1,
        "parameter": "kca_grade",
        "second_parameter": "staple_32",
        "method": "CLASSER",
        "form": "MATRIX",
        "effect": "MONEY",
        "cells": _cells(
            ("33", "34", "35", "36"),
            {
                "g1": (None, "200", "300", "350"),
                "g2": ("0", "100", "200", "250"),
                "g3": ("-100", "0", "100", "150"),
                "g4": (None, "-100", "0", None),
            },
        ),
    }
]
# As their service takes them, but commodity and pricing unit: their codes.
SCHEDULES: Final[tuple[dict[str, Any], ...]] = (
    {
        "code": "DEMO-29",
        "schedule_version": 3,
        "commodity": "COTTON",
        "contract_form": "OWN",
        "title": "Cotton of 29 mm",
        "mode": "ADDITIVE",
        "pricing_unit": None,
        "source": "Contract form of the company",
        "lines": DEMO_29,
    },
    {
        "code": "KCA-MIC",
        "schedule_version": 1,
        "commodity": "COTTON",
        "contract_form": "KCA",
        "title": "Micronaire",
        "mode": "ADDITIVE",
        "pricing_unit": None,
        "source": KCA,
        "lines": KCA_MIC,
    },
    {
        "code": "KCA-STAPLE",
        "schedule_version": 1,
        "commodity": "COTTON",
        "contract_form": "KCA",
        "title": "Grade and staple",
        "mode": "ADDITIVE",
        "pricing_unit": "PKR/MAUND",
        "source": KCA,
        "lines": KCA_STAPLE,
    },
)
