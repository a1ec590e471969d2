"""The demand of all buyers, in cells that name nobody (§5.6). Target, ceiling and budget enter no figure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch

from apps.partners.services.gate import parties_of
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
    live = Requirement.objects.live().select_related("buyer_partner").prefetch_related(bands).order_by("pk")
    wanted = [requirement for requirement in live if requirement.open_quantity]
    for requirement in wanted:
        groups[_key(requirement)].append(requirement)
    parties = parties_of(requirement.buyer_partner for requirement in wanted)
    now = clock.now()
    cells = [
        DemandCell(
            commodity_id=key[0], variety_id=key[1], crop_year=key[2], state_code=key[3], week=key[4],
            **figures, computed_at=now,
        )
        for key, rows in sorted(groups.items(), key=lambda item: str(item[0]))
        if (figures := figures_of(rows, parties)) is not None
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


def figures_of(rows: Sequence[Requirement], parties: Mapping[UUID, Any]) -> dict[str, Any] | None:
    """Figures of a cell; None where they could name a buyer."""
    total = _total(rows, parties)
    if total is None:
        return None
    buyers = len({parties[row.buyer_partner_id] for row in rows})
    return {
        "buyers": buyers,
        "open_kg": total.quantize(Decimal("0.001")),
        "bands": _medians(rows, parties),
    }


def _total(rows: Iterable[Requirement], parties: Mapping[UUID, Any]) -> Decimal | None:
    """Open kilograms; None where fewer than five parties, or one with more than half of it, would show."""
    by_party: dict[Any, Decimal] = defaultdict(Decimal)
    for row in rows:
        by_party[parties[row.buyer_partner_id]] += row.kg(row.open_quantity)
    total = sum(by_party.values(), Decimal(0))
    if len(by_party) < settings.REQUIREMENT_STATISTICS_PARTNERS:
        return None
    if max(by_party.values()) * 100 > total * settings.REQUIREMENT_STATISTICS_SHARE_PERCENT:
        return None
    return total


def _medians(rows: Sequence[Requirement], parties: Mapping[UUID, Any]) -> Mapping[str, Mapping[str, str]]:
    """The median of each bound where those who have set it may show; a party counts once, however much it asks for."""
    values: dict[tuple[str, str], list[tuple[Requirement, Decimal]]] = defaultdict(list)
    for row in rows:
        for band in row.bands.all():
            for side in _SIDES:
                if (bound := getattr(band, side)) is not None:
                    values[band.parameter.code, side].append((row, bound))
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for (parameter, side), bounds in sorted(values.items()):
        if _total((row for row, _ in bounds), parties) is None:
            continue
        by_party: dict[Any, list[Decimal]] = defaultdict(list)
        for row, bound in bounds:
            by_party[parties[row.buyer_partner_id]].append(bound)
        middle = median(median(own) for own in by_party.values())
        found[parameter][side] = f"{Decimal(middle).normalize():f}"
    return found
