"""Requirements, their parts and ledger, and the statistics of demand."""

from apps.requirement.models.base import Stage, price_field, quantity_field
from apps.requirement.models.parts import (
    Band,
    DeliveryPlace,
    DemandCell,
    Disclosure,
    Fulfilment,
    Invitation,
    Suggestion,
)
from apps.requirement.models.requirements import Requirement

__all__ = [
    "Band",
    "DeliveryPlace",
    "DemandCell",
    "Disclosure",
    "Fulfilment",
    "Invitation",
    "Requirement",
    "Stage",
    "Suggestion",
    "price_field",
    "quantity_field",
]
