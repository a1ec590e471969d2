"""Change commodities."""

from typing import Final

from apps.commodities import capabilities
from apps.commodities.events import commodities as events
from apps.commodities.exact import UnitDimension
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnMapping
from apps.commodities.models.units import Unit
from apps.commodities.reference.goods import HSN_CODES
from apps.commodities.reference.units import DIMENSIONS
from apps.commodities.services.rules import (
    Duplicate,
    FieldsContradict,
    IllegalTransition,
    InForce,
    NotActive,
    require_active,
    require_unchanged,
    save_names,
)
from apps.commodities.services.tax import HsnUnknown, require_hsn
from erp.errors import FieldError, Invalid, RuleBroken
from erp.reference import ReferenceList
from erp.text import name_key

UNITS: Final = {"base_unit", "quantity_mode", "package_unit", "trade_unit", "pricing_unit_id"}


class NotReady(RuleBroken):
    """The commodity cannot be traded yet, since something is missing."""


def check(commodity: Commodity) -> None:
    """Fill in derived fields, then check the row before it is saved."""
    commodity.trade_unit = commodity.trade_unit or commodity.base_unit
    changes = commodity.changed_fields()
    before = changes["status"][0] if "status" in changes else commodity.status
    if changes and before == Commodity.Status.ARCHIVED:
        raise IllegalTransition("An archived commodity cannot be changed.", status_now=before)
    if before != Commodity.Status.DRAFT:
        fixed = ("base_unit", "quantity_mode", "package_unit")
        require_unchanged(
            commodity, *fixed, because="It cannot be changed once the commodity is no longer a draft."
        )
    _check_fields(commodity)
    if commodity.is_new or "hsn_code" in changes:
        require_hsn(commodity.hsn_code)
    if commodity.is_new or changes.keys() & UNITS:
        _check_units(commodity)
    if commodity.status != before:
        if commodity.status not in Commodity.TRANSITIONS[Commodity.Status(before)]:
            raise IllegalTransition(
                f"The status cannot change from {_label(before)} to {_label(commodity.status)}.",
                status_now=before,
            )
        if before == Commodity.Status.DRAFT and commodity.status == Commodity.Status.ACTIVE:
            _require_ready(commodity)


def _label(status: str) -> str:
    return str(Commodity.Status(status).label).lower()


def _require_ready(commodity: Commodity) -> None:
    """Check that the commodity has a pricing unit, a confirmed HSN code and a mandatory quality parameter."""
    names = [name_key(name) for name in (commodity.name, *commodity.aliases)]
    # The product's own code for these goods needs no confirmation.
    confirmed = (
        HSN_CODES.get(commodity.code) == commodity.hsn_code
        or HsnMapping.objects.filter(name_key__in=names, hsn_code=commodity.hsn_code).exists()
    )
    mandatory = commodity.quality_parameters.active().filter(is_mandatory=True)
    lacks = []
    if commodity.pricing_unit is None:
        lacks.append(FieldError("/pricing_unit_id", "required", "Enter the pricing unit."))
    if not commodity.hsn_code:
        lacks.append(FieldError("/hsn_code", "required", "Enter the HSN code."))
    elif not confirmed:
        words = "Confirm this HSN code for the name first, under HSN mappings."
        lacks.append(FieldError("/hsn_code", "unconfirmed", words))
    if not mandatory.exists():
        lacks.append(FieldError("/status", "no_parameter", "Add a mandatory quality parameter first."))
    if lacks:
        raise NotReady(errors=lacks)


def _check_fields(commodity: Commodity) -> None:
    """Check rules across fields; each error names its field."""
    faults = []
    counted = commodity.quantity_mode == Commodity.QuantityMode.COUNT_AND_WEIGHT
    if counted != (commodity.package_unit is not None):
        faults.append(
            FieldError("/package_unit", "contradicts", "Required if packages are counted, and only then.")
        )
    elif counted and commodity.trade_unit not in (commodity.base_unit, commodity.package_unit):
        faults.append(
            FieldError(
                "/trade_unit", "contradicts", "The trade unit must be the base unit or the package unit."
            )
        )
    if faults:
        raise FieldsContradict(errors=faults)


def _check_units(commodity: Commodity) -> None:
    """Check that units exist and have the right dimension, and that the pricing unit isn't archived."""
    price = commodity.pricing_unit
    require_active(price, "/pricing_unit_id")
    named = {
        "base_unit": commodity.base_unit,
        "package_unit": commodity.package_unit,
        "trade_unit": commodity.trade_unit,
        "pricing_unit_id": price and price.unit_id,
    }
    kinds = dict(DIMENSIONS)  # the product's own units, even before they are loaded
    if others := {code for code in named.values() if code is not None} - kinds.keys():
        kinds |= dict(Unit.objects.filter(code__in=others).values_list("code", "dimension"))
    unknown = [
        FieldError(f"/{name}", "does_not_exist", "This unit does not exist.")
        for name, code in named.items()
        if code is not None and code not in kinds
    ]
    if unknown:
        raise Invalid(errors=unknown)
    base, counted = kinds[commodity.base_unit], Unit.Dimension.COUNT
    packed = commodity.package_unit
    # Counted goods have a base unit of mass; trade and pricing units are packages or have its dimension.
    fits = {
        "base_unit": packed is None or base == Unit.Dimension.MASS,
        "package_unit": packed is None or kinds[packed] == counted,
        "trade_unit": commodity.trade_unit == packed or kinds[commodity.trade_unit] == base,
        "pricing_unit_id": price is None or price.unit_id == packed or kinds[price.unit_id] == base,
    }
    if faults := [
        FieldError(
            f"/{name}",
            "dimension",
            f"{named[name]} is a unit of {Unit.Dimension(kinds[str(named[name])]).label.lower()}.",
        )
        for name, fit in fits.items()
        if not fit
    ]:
        raise UnitDimension(errors=faults)


def _check(commodity: Commodity) -> None:
    check(commodity)
    if commodity.is_new and Commodity.objects.filter(code=commodity.code).exists():
        taken = FieldError("/code", "taken", "Another commodity has this code.")
        raise Duplicate("This code is already in use.", errors=[taken])


COMMODITIES = ReferenceList(
    Commodity,
    noun="commodity",
    views=capabilities.VIEW,
    requires=capabilities.CREATE,
    update_requires=capabilities.UPDATE,
    created=events.CommodityCreated,
    updated=events.CommodityUpdated,
    optional=("trade_unit", "status"),
    check=_check,
    after_save=save_names,
    raises=[Duplicate, FieldsContradict, HsnUnknown, NotActive, UnitDimension],
    update_raises=[IllegalTransition, InForce, NotReady],
)
create, update = COMMODITIES.create, COMMODITIES.update
