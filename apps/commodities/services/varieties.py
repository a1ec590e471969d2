"""Change varieties."""

from apps.commodities import capabilities
from apps.commodities.events import varieties as events
from apps.commodities.models.varieties import Variety
from apps.commodities.services.limits import LIMIT_ERRORS, normalize_limits
from apps.commodities.services.rules import Duplicate, require_active, save_names
from erp.errors import Conflict
from erp.reference import ReferenceList


class SecondStandard(Conflict):
    """Another variety of the commodity is the standard."""

    constraints = ("variety_one_standard",)


def check(variety: Variety) -> None:
    """Check a variety before it is saved."""
    if variety.is_new:
        require_active(variety.commodity, "/commodity_id")
    normalize_limits(variety, "presets")


def _save_names(variety: Variety) -> None:
    save_names(variety, commodity=variety.commodity)


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
    after_save=_save_names,
    raises=[Duplicate, SecondStandard, *LIMIT_ERRORS],
    columns=("code", "name", "commodity", "is_standard"),
)
create_variety, update_variety = VARIETIES.create, VARIETIES.update
