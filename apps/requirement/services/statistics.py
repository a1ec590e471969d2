"""The demand of all buyers, in cells that name nobody (§5.6). Target, ceiling and budget enter no figure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import Any, Final

from django.conf import settings
from django.db.models import Prefetch

from apps.requirement import capabilities
from apps.requirement.models import Band, DemandCell, Requirement
from erp import clock
from erp.access import Actor
from erp.services import service

Key = tuple[Any, ...]
_SIDES: Final = ("minimum", "maximum")


@service(
    requires=capabilities.APPROVE,
    machinery="cells are computed from requirements, and anew every day",
    label="Compute demand",
    advisory_lock="requirement.demand",
)
def compute_demand(*, actor: Actor) -> int:
    """Compute all cells anew from the live requirements; return how many there are.

    A requirement counts in one cell: that of its only variety and crop year, else that of any. There are no totals over
    cells, so none that is left out follows by subtraction.
    """
    groups: dict[Key, list[Requirement]] = defaultdict(list)
    bands = Prefetch("bands", Band.objects.select_related("parameter").order_by("parameter__code"))
    for requirement in Requirement.objects.live().prefetch_related(bands).order_by("pk"):
        if requirement.open_quantity:
            groups[_key(requirement)].append(requirement)
    now = clock.now()
    cells = [
        DemandCell(
            commodity_id=key[0], variety_id=key[1], crop_year=key[2], state_code=key[3], week=key[4],
            **figures, computed_at=now,
        )
        for key, rows in sorted(groups.items(), key=lambda item: str(item[0]))
        if (figures := figures_of(rows)) is not None
    ]  # fmt: skip
    DemandCell.objects.all().delete()
    DemandCell.objects.bulk_create(cells)
    return len(cells)


def _key(requirement: Requirement) -> Key:
    variety = requirement.variety_ids[0] if len(requirement.variety_ids) == 1 else None
    crop_year = requirement.crop_years[0] if len(requirement.crop_years) == 1 else ""
    day = requirement.delivery_from_date
    return (
        requirement.commodity_id,
        variety,
        crop_year,
        requirement.state_code,
        day - timedelta(days=day.weekday()),
    )


def figures_of(rows: Sequence[Requirement]) -> dict[str, Any] | None:
    """Figures of a cell; None where fewer than five buyers, or one with more than half of it, would show."""
    by_buyer: dict[Any, Decimal] = defaultdict(Decimal)
    for row in rows:
        by_buyer[row.buyer_partner_id] += row.kg(row.open_quantity)
    total = sum(by_buyer.values(), Decimal(0))
    if len(by_buyer) < settings.REQUIREMENT_STATISTICS_PARTNERS:
        return None
    if max(by_buyer.values()) * 100 > total * settings.REQUIREMENT_STATISTICS_SHARE_PERCENT:
        return None
    return {"buyers": len(by_buyer), "open_kg": total.quantize(Decimal("0.001")), "bands": _medians(rows)}


def _medians(rows: Sequence[Requirement]) -> Mapping[str, Mapping[str, str]]:
    """The median of each bound that enough buyers have set."""
    values: dict[tuple[str, str], dict[Any, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for band in row.bands.all():
            for side in _SIDES:
                if (bound := getattr(band, side)) is not None:
                    values[band.parameter.code, side][row.buyer_partner_id].append(bound)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for (parameter, side), bounds in sorted(values.items()):
        if len(bounds) >= settings.REQUIREMENT_STATISTICS_PARTNERS:
            middle = median(bound for own in bounds.values() for bound in own)
            found[parameter][side] = f"{Decimal(middle).normalize():f}"
    return found
