"""Refusals and checks that several kinds of rows share."""

from typing import Any

from apps.commodities.models import Commodity, name_key
from erp.errors import Conflict, Fault, RuleBroken


class Duplicate(Conflict):
    """Another row has this code, name, alias or rank."""

    constraints = (
        "commodity_code_once",
        "commodity_name_once",
        "parameter_template_code_once",
        "quality_parameter_code_once",
        "quality_parameter_name_once",
        "variety_code_once",
        "variety_name_once",
    )


class IllegalTransition(Conflict):
    """The status can't change like that."""


class InForce(Conflict):
    """The field is fixed once the row is in use."""


class FieldsContradict(RuleBroken):
    """Two fields exclude or need each other."""


class LimitsInverted(RuleBroken):
    """A lower limit lies above the upper one."""


class OutsidePossible(RuleBroken):
    """A figure lies outside what the parameter can be."""


class NotActive(RuleBroken):
    """It was archived: nothing new may name it."""


class OtherCommodity(RuleBroken):
    """It belongs to another commodity."""


def require_active(row: Any, pointer: str) -> None:
    """Raise NotActive where a row that something new names (or None: none is named) was archived."""
    if row is not None and row.status == Commodity.Status.ARCHIVED:
        raise NotActive(errors=[Fault(pointer, "not_active", "It was archived.")])


def require_own(commodity: Commodity, row: Any, pointer: str) -> None:
    """Raise OtherCommodity where a named row (or None) is another commodity's."""
    if row is not None and row.commodity_id != commodity.pk:
        raise OtherCommodity(errors=[Fault(pointer, "other_commodity", "It belongs to another commodity.")])


def keep_names(row: Any, **scope: Any) -> None:
    """Bring the keys of a row's ``names`` in line with its name and aliases; a breach is Duplicate.

    ``scope`` names the columns within which a key is unique.
    """
    wanted = {name_key(name) for name in (row.name, *row.aliases)}
    there = set(row.names.values_list("key", flat=True))
    if gone := there - wanted:
        row.names.filter(key__in=gone).delete()
    owner = {row.names.field.name: row, **scope}
    row.names.bulk_create([row.names.model(**owner, key=key) for key in sorted(wanted - there)])
