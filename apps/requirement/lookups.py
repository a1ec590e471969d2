"""Questions of staff about all requirements, and figures of demand. Nothing is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import (
    Avg,
    Case,
    Count,
    DateField,
    DecimalField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Greatest

from apps.availability.models import quantity_field
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import Unit
from apps.commodities.services.factors import NoDefinition, factors
from apps.partners.models import Partner
from apps.requirement.models import Band, DemandCell, Fulfilment, Requirement
from apps.requirement.services import rules
from erp import access, clock
from erp.access import Actor
from erp.api.pagination import DEFAULT_LIMIT, paginate

_OPEN: Final = Greatest(
    F("max_quantity") - F("committed_quantity") - F("purchased_quantity"),
    Value(Decimal(0)),
    output_field=DecimalField(max_digits=18, decimal_places=3),
)


@dataclass(frozen=True)
class SearchPage:
    """Rows of a search, with cursors of the pages beside it, and totals where they are asked for."""

    results: Sequence[Requirement]
    next: str | None
    previous: str | None
    totals: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def search(
    *,
    actor: Actor,
    commodity: Commodity,
    variety_ids: Sequence[Any] = (),
    crop_years: Sequence[str] = (),
    statuses: Sequence[str] = (),
    intents: Sequence[str] = (),
    urgencies: Sequence[str] = (),
    buyer_partners: Sequence[Partner] = (),
    state_codes: Sequence[str] = (),
    quality: Sequence[Mapping[str, Any]] = (),
    ceiling: Mapping[str, Any] | None = None,
    open_quantity_min: Decimal | None = None,
    unit: str | None = None,
    delivery_on_date: date | None = None,
    near: Mapping[str, Any] | None = None,
    sort: str = "live_since",
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> SearchPage:
    """Find requirements of a commodity. Filters, distance and order are the database's, before the page is cut."""
    lists = {
        "status__in": statuses, "intent__in": intents, "urgency__in": urgencies,
        "buyer_partner__in": buyer_partners, "state_code__in": state_codes,
    }  # fmt: skip
    rows = _rows(actor).filter(commodity=commodity, **{name: given for name, given in lists.items() if given})
    if variety_ids:
        rows = rows.filter(
            Q(variety_ids=[]) | Q(variety_ids__overlap=[variety.pk for variety in variety_ids])
        )
    if crop_years:
        rows = rows.filter(Q(crop_years=[]) | Q(crop_years__overlap=list(crop_years)))
    rows = _by_quality(rows, commodity, quality)
    rows = _by_ceiling(rows, ceiling)
    rows = _by_quantity(rows, commodity, open_quantity_min, unit)
    if delivery_on_date is not None:
        flexible = ExpressionWrapper(F("flexibility_days") * Value(timedelta(days=1)), DurationField())
        rows = rows.alias(
            first=Cast(F("delivery_from_date") - flexible, DateField()),
            last=Cast(F("delivery_until_date") + flexible, DateField()),
        ).filter(first__lte=delivery_on_date, last__gte=delivery_on_date)
    if near is not None:
        rows = rows.near(near["latitude"], near["longitude"], Decimal(near["radius_km"]))
    elif sort == "distance":
        raise rules.SearchInvalid.at("/sort", "needs_near", "Enter the place from which to measure.")
    order = {"live_since": "-live_since", "ceiling": "-ceiling_per_kg", "distance": "distance_km"}[sort]
    binding = repr((actor.pk, commodity.pk, sort, sorted(lists.items(), key=str), str(near)))
    page = paginate(rows.order_by(order), limit=limit, cursor=cursor, binding=binding, pointer="/cursor")
    return SearchPage(page.rows, page.next, page.previous)


def search_by_intent(
    *,
    actor: Actor,
    intent: str,
    commodity: Commodity | None = None,
    urgency: str | None = None,
    state_codes: Sequence[str] = (),
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> SearchPage:
    """Find live requirements of an intent, urgent ones first, then by time priority, with totals of what is open."""
    given = {"commodity": commodity, "urgency": urgency, "state_code__in": list(state_codes) or None}
    rows = (
        _rows(actor).live().filter(intent=intent, **{name: value for name, value in given.items() if value})
    )
    ranks = [When(urgency=value, then=Value(rank)) for rank, value in enumerate(Requirement.Urgency.values)]
    ordered = rows.annotate(rank=Case(*ranks, output_field=IntegerField())).order_by("rank", "live_since")
    page = paginate(
        ordered, limit=limit, cursor=cursor, binding=repr((actor.pk, intent, given)), pointer="/cursor"
    )
    totals = (
        rows.order_by()
        .values("commodity_id", "unit", "urgency")
        .annotate(open_quantity=Sum(_OPEN), requirements=Count("pk"))
        .order_by("commodity_id", "unit", "urgency")
    )
    return SearchPage(page.rows, page.next, page.previous, list(totals))


def _rows(actor: Actor) -> Any:
    return Requirement.objects.visible_to(actor).with_row().with_stage(actor)


def _by_quality(rows: Any, commodity: Commodity, quality: Sequence[Mapping[str, Any]]) -> Any:
    """Rows whose bands take each of the results."""
    known = {row.code: row for row in commodity.quality_parameters.active()}
    for place, asked in enumerate(quality):
        parameter = known.get(asked["parameter"])
        if parameter is None:
            words = "The commodity has no such parameter."
            raise rules.SearchInvalid.at(f"/quality/{place}/parameter", "unknown_parameter", words)
        value = asked["value"]
        refusing = Band.objects.filter(
            Q(minimum__gt=value) | Q(maximum__lt=value), requirement=OuterRef("pk"), parameter=parameter
        )
        rows = rows.filter(~Exists(refusing))
    return rows


def _by_ceiling(rows: Any, ceiling: Mapping[str, Any] | None) -> Any:
    if ceiling is None:
        return rows
    low, high, quoted = ceiling.get("min"), ceiling.get("max"), ceiling["pricing_unit"]
    if low is not None and high is not None and low > high:
        raise rules.SearchInvalid.at("/ceiling/min", "above_max", "The lowest price is above the highest.")
    per = _kg_of_price(quoted)
    rows = rows.filter(currency=quoted.currency)
    if low is not None:
        rows = rows.filter(ceiling_per_kg__gte=low / per)
    return rows if high is None else rows.filter(ceiling_per_kg__lte=high / per)


def _kg_of_price(quoted: PricingUnit) -> Decimal:
    """Kilograms that a price is for."""
    try:
        per = factors([quoted.unit_id], on=clock.today())[quoted.unit_id]
    except NoDefinition:
        per = None
    if per is None or per.dimension != Unit.Dimension.MASS:
        words = "Choose a pricing unit by weight."
        raise rules.SearchInvalid.at("/ceiling/pricing_unit_id", "not_by_weight", words)
    return Decimal(per.numerator) / Decimal(per.denominator) * quoted.divisor


def _by_quantity(rows: Any, commodity: Commodity, least: Decimal | None, unit: str | None) -> Any:
    if least is None:
        if unit is not None:
            raise rules.SearchInvalid.at("/unit", "without_quantity", "Enter the quantity, too.")
        return rows
    unit = unit or commodity.trade_unit
    rows = rows.annotate(still_open=_OPEN)
    if commodity.is_counted_in(unit):
        return rows.filter(unit=unit, still_open__gte=least)
    try:
        per = factors([unit], on=clock.today())[unit]
    except NoDefinition:
        raise rules.SearchInvalid.at("/unit", "not_defined", "The unit isn't defined.") from None
    kilograms = least * Decimal(per.numerator) / Decimal(per.denominator)
    weight = ExpressionWrapper(
        F("still_open") * F("kg_per_unit"), DecimalField(max_digits=30, decimal_places=11)
    )
    return rows.annotate(open_kg=weight).filter(open_kg__gte=kilograms)


def demand(
    commodity: Commodity, *, days: int = 30, state_code: str | None = None, crop_year: str | None = None
) -> "QuerySet[DemandCell]":
    """The cells of demand for a commodity whose delivery begins within so many days."""
    today = clock.today()
    given = {"state_code": state_code, "crop_year": crop_year}
    cells: QuerySet[DemandCell] = DemandCell.objects.filter(
        commodity=commodity,
        week__gte=today - timedelta(days=today.weekday()),
        week__lte=today + timedelta(days=days),
        **{name: value for name, value in given.items() if value is not None},
    )
    return cells.order_by("week", "state_code", "variety_id", "crop_year")


def analytics(actor: Actor, capability: Any) -> dict[str, Any]:
    """Figures of one's own requirements, for staff of all: how many, how much was wanted and bought, how fast."""
    rows = Requirement.objects.visible_to(actor).permitted(actor, capability)
    if not access.holds_everywhere(actor, capability):
        rows = rows.filter(buyer_partner_id=actor.partner_id)
    filled = (
        Fulfilment.objects.filter(
            requirement__in=rows.filter(status="FULFILLED").values("pk"), purchased_delta__gt=0
        )
        .values("requirement")
        .annotate(hours=Min("created_at") - F("requirement__published_at"))
    )
    hours = filled.aggregate(average=Avg("hours"))["average"]
    quantities = rows.values("unit").annotate(
        wanted=Coalesce(Sum("max_quantity"), 0, output_field=quantity_field()),
        bought=Coalesce(Sum("purchased_quantity"), 0, output_field=quantity_field()),
    )
    return {
        "by_status": _counts(rows, "status"),
        "by_intent": _counts(rows, "intent"),
        "quantities": [
            {**line, "share_filled": (line["bought"] * 100 / line["wanted"]).quantize(Decimal("0.01"))}
            for line in quantities.order_by("unit")
        ],
        "hours_to_first_purchase": None if hours is None else int(hours.total_seconds() // 3600),
    }


def _counts(rows: Any, name: str) -> list[dict[str, Any]]:
    lines = rows.order_by().values(name).annotate(number=Count("pk")).order_by(name)
    return [{"value": line[name], "number": line["number"]} for line in lines]
