"""What may be wrong with an offer: shown, never refused (availability §5.3)."""

from datetime import time, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Exists, OuterRef

from apps.availability.models import Availability, Lot, TestReport
from apps.commodities.models.units import PackWeight
from erp import clock

STAFF_ONLY: Final = frozenset({"lot_offered_elsewhere", "report_seen_elsewhere"})


def warnings_of(offer: Availability) -> list[str]:
    """Codes of the warnings about the offer as it stands."""
    checks = {
        "look_alike": _looks_alike,
        "bale_weight_unusual": _has_unusual_packages,
        "lot_offered_elsewhere": _is_offered_elsewhere,
        "report_seen_elsewhere": _is_reported_elsewhere,
    }
    return [code for code, check in checks.items() if check(offer)]


def _looks_alike(offer: Availability) -> bool:
    """Whether the seller offered the same quantity of the goods at the same place on the same local day."""
    day = offer.created_at.astimezone(offer.zone).date()
    start = clock.instant(day, time.min, offer.zone)
    others = Availability.objects.filter(
        seller_partner_id=offer.seller_partner_id, commodity_id=offer.commodity_id, unit=offer.unit,
        total_quantity=offer.total_quantity, location=offer.location, address=offer.address,
        created_at__gte=start, created_at__lt=start + timedelta(days=1),
    )  # fmt: skip
    return bool(others.exclude(pk=offer.pk).exists())


def _has_unusual_packages(offer: Availability) -> bool:
    """Whether the mean weight of a package is outside the usual range of the commodity and country."""
    if not offer.commodity.is_counted_in(offer.unit):
        return False
    mean = Decimal(offer.total_weight_kg) / Decimal(offer.total_quantity)
    known = PackWeight.objects.on(clock.today()).filter(
        commodity_id=offer.commodity_id, package_unit=offer.unit, origin_country=offer.country, unit="KG"
    )
    ranges = list(known.values_list("low", "high"))
    return bool(ranges) and not any(low <= mean <= high for low, high in ranges)


def _is_offered_elsewhere(offer: Availability) -> bool:
    """Whether another seller has lots of the same mark, crop year and press-running numbers on offer."""
    same = Lot.objects.filter(
        press_mark=OuterRef("press_mark"), crop_year=OuterRef("crop_year"), is_live=True,
        pr_from__lte=OuterRef("pr_to"), pr_to__gte=OuterRef("pr_from"),
    ).exclude(seller_partner_id=offer.seller_partner_id)  # fmt: skip
    return bool(offer.lots.filter(Exists(same)).exists())


def _is_reported_elsewhere(offer: Availability) -> bool:
    """Whether another offer's report is the same file."""
    hashes = offer.test_reports.values("sha256")
    return bool(TestReport.objects.filter(sha256__in=hashes).exclude(availability=offer).exists())


def readiness(offer: Availability, parameters: int) -> Decimal:
    """How complete the offer is, 0 to 1: quality, price, delivery terms, quantity."""
    share: Decimal = (
        Decimal("0.4") * min(Decimal(1), Decimal(parameters) / 5)
        + Decimal("0.3") * (offer.unit_price is not None)
        + Decimal("0.2") * (offer.delivery_term_id is not None)
        + Decimal("0.1") * (offer.total_quantity > 0)
    )
    return share
