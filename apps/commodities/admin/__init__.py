"""Commodities and their reference data in the staff portal."""

from apps.commodities.admin import commodities, schedules, tax, units
from erp.admin import lists

__all__ = ["commodities", "schedules", "tax", "units"]

lists.register("commodity")
