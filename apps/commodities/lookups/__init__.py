"""Questions about commodities that a user waits for."""

from apps.commodities.lookups.conversion import calculate_conversion
from apps.commodities.lookups.imports import bulk_validate, exported
from apps.commodities.lookups.suggestions import detect_category, suggest_hsn, suggest_parameters, tax_of

__all__ = [
    "bulk_validate",
    "calculate_conversion",
    "detect_category",
    "exported",
    "suggest_hsn",
    "suggest_parameters",
    "tax_of",
]
