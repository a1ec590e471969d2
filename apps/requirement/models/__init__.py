"""Requirements, their parts and ledger, and the statistics of demand."""

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
    "Suggestion",
]
