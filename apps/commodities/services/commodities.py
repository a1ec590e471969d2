"""How the list of commodities changes."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from apps.commodities import capabilities, events
from apps.commodities.models import Commodity
from apps.commodities.services.rules import (
    Duplicate,
    FieldsContradict,
    IllegalTransition,
    InForce,
    keep_names,
)
from apps.commodities.services.tax import require_hsn
from erp.errors import Fault, RuleBroken
from erp.reference import changes_of
from erp.services import emit, service


class NotReady(RuleBroken):
    """Something is missing before it can be traded."""


@service(requires=capabilities.CREATE, emits=[events.CommodityCreated])
def create(
    *,
    actor: Any,
    code: str,
    name: str,
    category: str,
    aliases: Sequence[str] = (),
    description: str = "",
    base_unit: str = "KG",
    quantity_mode: str = Commodity.QuantityMode.WEIGHT,
    package_unit: str | None = None,
    trade_unit: str | None = None,
    hsn_code: str | None = None,
    origin_country: str = "IN",
    season_start_month: int | None = None,
    quantity_tolerance_percent: Decimal = Decimal(5),
) -> Commodity:
    """Add a commodity as a draft. Nothing is filled in by guess."""
    commodity = Commodity(
        code=code,
        name=name,
        category=category,
        aliases=list(aliases),
        description=description,
        base_unit=base_unit,
        quantity_mode=quantity_mode,
        package_unit=package_unit,
        trade_unit=trade_unit or "",
        hsn_code=hsn_code,
        origin_country=origin_country,
        season_start_month=season_start_month,
        quantity_tolerance_percent=quantity_tolerance_percent,
    )
    check(commodity)
    taken = Commodity.objects.filter(code=code)
    if taken.exists():
        raise Duplicate(
            "The code is taken.", errors=[Fault("/code", "taken", "Another commodity has this code.")]
        )
    commodity.save()
    keep_names(commodity)
    emit(
        events.CommodityCreated(
            commodity_id=commodity.pk,
            code=code,
            name=name,
            category=category,
            base_unit=base_unit,
            quantity_mode=quantity_mode,
            hsn_code=hsn_code,
        )
    )
    return commodity


@service(requires=capabilities.UPDATE, emits=[events.CommodityUpdated])
def update(
    commodity: Commodity,
    *,
    actor: Any,
    name: str,
    category: str,
    aliases: Sequence[str] = (),
    description: str = "",
    base_unit: str = "KG",
    quantity_mode: str = Commodity.QuantityMode.WEIGHT,
    package_unit: str | None = None,
    trade_unit: str | None = None,
    hsn_code: str | None = None,
    origin_country: str = "IN",
    season_start_month: int | None = None,
    quantity_tolerance_percent: Decimal = Decimal(5),
    status: str | None = None,
) -> Commodity:
    """Replace a commodity's editable fields, and move its status. The code stays for ever."""
    commodity.name = name
    commodity.category, commodity.aliases = category, list(aliases)
    commodity.description = description
    commodity.base_unit = base_unit
    commodity.quantity_mode = quantity_mode
    commodity.package_unit = package_unit
    commodity.trade_unit = trade_unit or ""
    commodity.hsn_code = hsn_code
    commodity.origin_country = origin_country
    commodity.season_start_month = season_start_month
    commodity.quantity_tolerance_percent = quantity_tolerance_percent
    commodity.status = status or commodity.status
    check(commodity)
    told = changes_of(commodity)
    commodity.save()
    keep_names(commodity)
    if told:
        emit(events.CommodityUpdated(commodity_id=commodity.pk, version=commodity.version, changes=told))
    return commodity


def check(commodity: Commodity) -> None:
    """Fill in what follows from other fields, then raise what speaks against the row as it is to be saved."""
    commodity.trade_unit = commodity.trade_unit or commodity.base_unit
    changes = commodity.changed_fields()
    before = changes["status"][0] if "status" in changes else commodity.status
    if changes and before == Commodity.Status.ARCHIVED:
        raise IllegalTransition("An archived commodity stays as it is.", status_now=before)
    fixed = [field for field in ("base_unit", "quantity_mode", "package_unit") if field in changes]
    if fixed and before != Commodity.Status.DRAFT:
        raise InForce(
            "Offers and contracts rely on it.",
            errors=[
                Fault(f"/{field}", "fixed", "Fixed once the commodity has left DRAFT.") for field in fixed
            ],
        )
    _check_fields(commodity)
    if commodity._state.adding or "hsn_code" in changes:
        require_hsn(commodity.hsn_code)
    if commodity.status != before:
        if commodity.status not in Commodity.TRANSITIONS[Commodity.Status(before)]:
            raise IllegalTransition(f"{before} doesn't become {commodity.status}.", status_now=before)
        if commodity.status == Commodity.Status.ACTIVE and not commodity.hsn_code:
            raise NotReady(
                "Give its HSN code first.", errors=[Fault("/hsn_code", "required", "Needed to trade it.")]
            )


def _check_fields(commodity: Commodity) -> None:
    """Rules across fields; each fault names its field."""
    faults = []
    counted = commodity.quantity_mode == Commodity.QuantityMode.COUNT_AND_WEIGHT
    if counted != (commodity.package_unit is not None):
        faults.append(Fault("/package_unit", "contradicts", "Needed exactly when packages are counted too."))
    elif counted and commodity.trade_unit not in (commodity.base_unit, commodity.package_unit):
        faults.append(Fault("/trade_unit", "contradicts", "Trade in the base unit or in packages."))
    if faults:
        raise FieldsContradict(errors=faults)
