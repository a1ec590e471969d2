"""Change commissions."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from apps.commodities import capabilities
from apps.commodities.events import commissions as events
from apps.commodities.figures import plain
from apps.commodities.models.commissions import Commission
from apps.commodities.services.rules import (
    BandsNotContiguous,
    FieldsContradict,
    InForce,
    LimitsInverted,
    NotActive,
    Overlap,
    require_active,
    require_dates_in_order,
)
from erp import clock
from erp.errors import FieldError
from erp.reference import ReferenceList

STAYS_EDITABLE = ("name", "valid_to")  # of a commission that has begun
SLAB = ("from", "to", "percent", "amount")

ERRORS = (Overlap, FieldsContradict, LimitsInverted, BandsNotContiguous, NotActive)


def _check(row: Commission) -> None:
    today = clock.today()
    if not row.is_new:
        _require_not_begun(row, today)
    for field in ("commodity", "trade_type", "pricing_unit"):
        if row.is_new or f"{field}_id" in row.changed_fields():
            require_active(getattr(row, field), f"/{field}_id")
    _require_basis(row)
    _require_contiguous(row)
    require_dates_in_order(row)
    if row.min_amount is not None and row.max_amount is not None and row.min_amount > row.max_amount:
        raise LimitsInverted(
            errors=[FieldError("/max_amount", "inverted", "The maximum is below the minimum.")]
        )


def _require_not_begun(row: Commission, today: Any) -> None:
    changes = row.changed_fields()
    began, _ = changes.get("valid_from", (row.valid_from, None))
    if began > today:
        return
    faults = [
        FieldError(f"/{field}", "fixed", "It cannot be changed once the commission is effective.")
        for field in changes
        if field not in STAYS_EDITABLE
    ]
    if "valid_to" in changes and row.valid_to is not None and row.valid_to < today:
        faults.append(
            FieldError(
                "/valid_to",
                "fixed",
                "The commission is effective until today at least: choose today or a later day.",
            )
        )
    if faults:
        raise InForce("The commission is effective: only its name and its end can be changed.", errors=faults)


def _require_basis(row: Commission) -> None:
    """Check that exactly the fields of the basis have values, and convert slabs to plain text."""
    needed = Commission.NEEDS[Commission.Basis(row.basis)]
    every = dict.fromkeys(name for names in Commission.NEEDS.values() for name in names)
    faults = [fault for name in every for fault in _presence(row, name, name in needed)]
    for place, slab in enumerate(row.slabs):
        if (slab["percent"] is None) == (slab["amount"] is None):
            faults.append(
                FieldError(
                    f"/slabs/{place}/percent", "contradicts", "Enter either a percentage or an amount."
                )
            )
    if faults:
        raise FieldsContradict(errors=faults)
    row.slabs = [
        {name: None if slab[name] is None else plain(Decimal(slab[name])) for name in SLAB}
        for slab in row.slabs
    ]


def _presence(row: Commission, name: str, needed: bool) -> Iterator[FieldError]:
    value = getattr(row, name)
    pointer = "/pricing_unit_id" if name == "pricing_unit" else f"/{name}"
    if needed and value in (None, []):
        yield FieldError(pointer, "required", f"Required with {row.get_basis_display()}.")
    elif not needed and value not in (None, []):
        yield FieldError(pointer, "contradicts", f"Not allowed with {row.get_basis_display()}.")


def _require_contiguous(row: Commission) -> None:
    faults = []
    start = Decimal(0)
    for place, slab in enumerate(row.slabs):
        last = place == len(row.slabs) - 1
        if Decimal(slab["from"]) != start:
            faults.append(
                FieldError(f"/slabs/{place}/from", "not_contiguous", f"The slab must start at {start:f}.")
            )
        if (slab["to"] is None) != last:
            faults.append(
                FieldError(f"/slabs/{place}/to", "not_contiguous", "Only the last slab has no end.")
            )
            break
        if slab["to"] is not None:
            start = Decimal(slab["to"])
            if start <= Decimal(slab["from"]):
                faults.append(
                    FieldError(f"/slabs/{place}/to", "not_contiguous", "The end must be above the start.")
                )
    if faults:
        raise BandsNotContiguous(errors=faults)


COMMISSIONS = ReferenceList(
    Commission,
    noun="commission",
    path="commissions",
    title="Commissions owed by buyers and sellers.",
    views=capabilities.VIEW_COMMISSIONS,
    requires=capabilities.MANAGE_COMMISSIONS,
    created=events.CommissionSet,
    updated=events.CommissionSet,
    fixed=("commodity",),
    check=_check,
    raises=ERRORS,
    update_raises=[InForce],
    filters={"commodity_id": ["exact", "isnull"], "side": ["exact"]},
    search=("name",),
    sortable=("name", "valid_from"),
    columns=("name", "side", "commodity", "trade_type", "basis", "valid_from", "valid_to"),
    ordering=("name",),
)
create_commission, update_commission = COMMISSIONS.create, COMMISSIONS.update
