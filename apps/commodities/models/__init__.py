"""Commodities and their reference data, a module for each topic; Django finds the models here."""

from apps.commodities.models import (
    base,
    commissions,
    commodities,
    grades,
    parameters,
    pricing,
    schedules,
    tax,
    terms,
    units,
    varieties,
)

__all__ = [
    "base",
    "commissions",
    "commodities",
    "grades",
    "parameters",
    "pricing",
    "schedules",
    "tax",
    "terms",
    "units",
    "varieties",
]
