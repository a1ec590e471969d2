"""Questions about commodities that a user waits for."""

from apps.commodities.lookups.imports import bulk_validate, exported

__all__ = ["bulk_validate", "exported"]
