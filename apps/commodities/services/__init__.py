"""Every way the list of commodities and its reference data can change."""

from apps.commodities.services.commodities import NotReady, create, update
from apps.commodities.services.rules import (
    Duplicate,
    FieldsContradict,
    IllegalTransition,
    InForce,
    LimitsInverted,
    NotActive,
    OtherCommodity,
)
from apps.commodities.services.varieties import SecondStandard, create_variety, update_variety

__all__ = [
    "Duplicate",
    "FieldsContradict",
    "IllegalTransition",
    "InForce",
    "LimitsInverted",
    "NotActive",
    "NotReady",
    "OtherCommodity",
    "SecondStandard",
    "create",
    "create_variety",
    "update",
    "update_variety",
]
