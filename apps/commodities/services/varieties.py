"""How varieties change."""

from apps.commodities import capabilities, events
from apps.commodities.models import Variety
from apps.commodities.services.limits import LIMIT_ERRORS, take_limits
from apps.commodities.services.rules import Duplicate, keep_names, require_active
from erp.errors import Conflict
from erp.reference import reference


class SecondStandard(Conflict):
    """Another variety of the commodity is the standard."""

    constraints = ("variety_one_standard",)


def check(variety: Variety) -> None:
    """Raise what speaks against a variety as it is to be saved."""
    if variety.is_new:
        require_active(variety.commodity, "/commodity_id")
    take_limits(variety, "presets")


def _keep_names(variety: Variety) -> None:
    keep_names(variety, commodity=variety.commodity)


create_variety, update_variety = reference(
    Variety,
    noun="variety",
    creates=capabilities.CREATE,
    updates=capabilities.UPDATE,
    created=events.VarietyAdded,
    updated=events.VarietyUpdated,
    fields=("commodity", "code", "name", "aliases", "is_standard", "presets"),
    fixed=("commodity", "code"),
    check=check,
    after_save=_keep_names,
    create_raises=[Duplicate, SecondStandard, *LIMIT_ERRORS],
    update_raises=[Duplicate, SecondStandard, *LIMIT_ERRORS],
)
