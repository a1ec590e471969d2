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
    Overlap,
)
from apps.commodities.services.units import (
    create_unit,
    draft_unit_definition,
    edit_unit_definition,
    settle_unit_definition,
    submit_unit_definition,
    withdraw_unit_definition,
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
    "Overlap",
    "SecondStandard",
    "create",
    "create_parameter",
    "create_template",
    "create_unit",
    "create_variety",
    "draft_unit_definition",
    "edit_unit_definition",
    "settle_unit_definition",
    "submit_unit_definition",
    "update",
    "update_parameter",
    "update_template",
    "update_variety",
    "withdraw_unit_definition",
]
