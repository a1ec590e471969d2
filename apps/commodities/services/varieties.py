"""How varieties change."""

from apps.commodities import capabilities, events
from apps.commodities.models import Variety
from apps.commodities.services.limits import LIMIT_ERRORS, take_limits
from apps.commodities.services.rules import Duplicate, keep_names, require_active
from erp.errors import Conflict
from erp.reference import ReferenceList


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


VARIETIES = ReferenceList(
    Variety,
    noun="variety",
    path="varieties",
    part_of=("commodity", "commodities"),
    title="Varieties of commodities.",
    views=capabilities.VIEW,
    requires=capabilities.CREATE,
    update_requires=capabilities.UPDATE,
    created=events.VarietyAdded,
    updated=events.VarietyUpdated,
    fixed=("commodity", "code"),
    check=check,
    after_save=_keep_names,
    raises=[Duplicate, SecondStandard, *LIMIT_ERRORS],
    columns=("code", "name", "commodity", "is_standard"),
)
create_variety, update_variety = VARIETIES.create, VARIETIES.update
