"""Every way the list of commodities and its reference data can change."""

from apps.commodities.services.commodities import NotReady, create, update
from apps.commodities.services.parameters import (
    create_parameter,
    create_template,
    update_parameter,
    update_template,
)
from apps.commodities.services.rules import (
    Duplicate,
    FieldsContradict,
    IllegalTransition,
    InForce,
    LimitsInverted,
    NotActive,
    OtherCommodity,
    OutsidePossible,
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
    "OutsidePossible",
    "SecondStandard",
    "create",
    "create_parameter",
    "create_template",
    "create_variety",
    "update",
    "update_parameter",
    "update_template",
    "update_variety",
]
