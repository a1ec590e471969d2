"""Errors and checks that several kinds of rows share."""

from functools import partial
from typing import Any

from apps.approvals.services.drafts import DraftErrors
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.terms import TERMS
from erp import periods
from erp.errors import Conflict, FieldError, RuleBroken
from erp.text import name_key


class Duplicate(Conflict):
    """Another row has this code, name, alias or rank."""

    constraints = (
        "commodity_code_once",
        "commodity_name_once",
        "grade_code_once",
        "grade_rank_once",
        "hsn_code_once",
        "hsn_mapping_name_once",
        "parameter_template_code_once",
        "pricing_unit_code_once",
        "pricing_unit_once",
        "quality_parameter_code_once",
        "quality_parameter_name_once",
        "unit_code_once",
        "unit_definition_version_once",
        "variety_code_once",
        "variety_name_once",
        *(f"{model._meta.model_name}_{what}_once" for model in TERMS for what in ("code", "name")),
    )


class Overlap(Conflict):
    """Another row is effective on some of these days."""

    constraints = (
        "commission_no_overlap",
        "pack_weight_no_overlap",
        "quality_schedule_no_overlap",
        "tax_rate_no_overlap",
        "unit_definition_no_overlap",
    )


class IllegalTransition(Conflict):
    """This change of status is not possible."""


class InForce(Conflict):
    """The field is fixed once the row is in use."""


class FieldsContradict(RuleBroken):
    """Two fields contradict or require each other."""


class BandsNotContiguous(RuleBroken):
    """There is a gap or an overlap between two bands, or an end is missing."""


class LimitsInverted(RuleBroken):
    """A lower limit is above the upper limit."""


class OutsidePossible(RuleBroken):
    """A value is outside the possible range of the parameter."""


class NotActive(RuleBroken):
    """The row is archived and cannot be chosen for anything new."""


class OtherCommodity(RuleBroken):
    """The row belongs to another commodity."""


def require_active(row: Any, pointer: str) -> None:
    """Raise NotActive if the row (or None) is archived."""
    if row is not None and row.status == Commodity.Status.ARCHIVED:
        raise NotActive(errors=[FieldError(pointer, "not_active", "It is archived and cannot be chosen.")])


def require_own(commodity: Commodity, row: Any, pointer: str) -> None:
    """Raise OtherCommodity if the row (or None) belongs to another commodity."""
    if row is not None and row.commodity_id != commodity.pk:
        raise OtherCommodity(
            errors=[FieldError(pointer, "other_commodity", "It belongs to another commodity.")]
        )


def require_unchanged(row: Any, *names: str, because: str) -> None:
    """Raise InForce, with the reason, if one of the fixed fields has changed."""
    changed = row.changed_fields()
    faults = [
        FieldError(f"/{name}", "fixed", because)
        for name in names
        if row._meta.get_field(name).attname in changed
    ]
    if faults:
        raise InForce(because, errors=faults)


require_dates_in_order = partial(periods.require_dates_in_order, error=LimitsInverted)
end_predecessor = partial(periods.end_predecessor, error=Overlap)
DRAFT_ERRORS = DraftErrors(IllegalTransition, Overlap, LimitsInverted)


def save_names(row: Any, **scope: Any) -> None:
    """Update the keys of a saved row's ``names`` from its name and aliases; a breach is Duplicate.

    ``scope`` names the columns within which a key is unique.
    """
    if row.saved_fields.isdisjoint(("name", "aliases")):
        return
    wanted = {name_key(name) for name in (row.name, *row.aliases)}
    there = set() if "id" in row.saved_fields else set(row.names.values_list("key", flat=True))
    if gone := there - wanted:
        row.names.filter(key__in=gone).delete()
    owner = {row.names.field.name: row, **scope}
    row.names.bulk_create([row.names.model(**owner, key=key) for key in sorted(wanted - there)])
