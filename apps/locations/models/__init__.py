"""Places: states of India, their PIN prefixes, the registry of locations, and distances between them."""

from apps.locations.models.places import (
    LEVELS,
    LONGEST_ALIAS,
    MOST_ALIASES,
    Distance,
    Location,
    Merged,
    ProviderRef,
    km_from,
    latitudes_within,
)
from apps.locations.models.states import PinPrefix, State, code_of

__all__ = [
    "LEVELS",
    "LONGEST_ALIAS",
    "MOST_ALIASES",
    "Distance",
    "Location",
    "Merged",
    "PinPrefix",
    "ProviderRef",
    "State",
    "code_of",
    "km_from",
    "latitudes_within",
]
