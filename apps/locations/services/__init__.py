"""Services of places and distances."""

from apps.locations.services.distances import SamePlace, set_distance
from apps.locations.services.imports import IMPORT, FileHeader, TooManyRows, bulk_import, report_import
from apps.locations.services.places import Archived, confirm, create, update
from apps.locations.services.reference import load_places, load_states
from apps.locations.services.rules import (
    CoordinatesIncomplete,
    Cycle,
    Duplicate,
    FieldNotApplicable,
    NotActive,
    OutsideCountry,
    ParentType,
    PinStateMismatch,
    Protected,
    StateMismatch,
    StateNeeded,
    TooDeep,
)
from apps.locations.services.tree import OtherCountry, OtherType, SameRow, merge, reparent

__all__ = [
    "IMPORT",
    "Archived",
    "CoordinatesIncomplete",
    "Cycle",
    "Duplicate",
    "FieldNotApplicable",
    "FileHeader",
    "NotActive",
    "OtherCountry",
    "OtherType",
    "OutsideCountry",
    "ParentType",
    "PinStateMismatch",
    "Protected",
    "SamePlace",
    "SameRow",
    "StateMismatch",
    "StateNeeded",
    "TooDeep",
    "TooManyRows",
    "bulk_import",
    "confirm",
    "create",
    "load_places",
    "load_states",
    "merge",
    "reparent",
    "report_import",
    "set_distance",
    "update",
]
