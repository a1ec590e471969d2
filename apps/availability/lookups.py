"""Questions about offers: the search of staff, and what an upload would do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from apps.availability.models import Availability
from apps.availability.services import market
from apps.availability.services.bulk import KIND
from apps.commodities.exact import Price, requoted, rounded
from apps.commodities.market import PriceQuestion
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.services.factors import factors, price_of
from erp import clock
from erp.access import Actor
from erp.ai import asking
from erp.api.pagination import binding_of, paginate
from erp.errors import FieldError, Invalid, RuleBroken
from erp.files import Upload
from erp.jobs import tables

SORTS: Final = {"listed_at": "-listed_at", "price": "price_per_kg", "distance": "distance_km"}


class SearchInvalid(RuleBroken):
    """The search contradicts itself."""


def search(
    *,
    actor: Actor,
    commodity: Commodity,
    variety_ids: Sequence[UUID] = (),
    crop_years: Sequence[str] = (),
    statuses: Sequence[str] = (),
    visibilities: Sequence[str] = (),
    seller_partner_ids: Sequence[UUID] = (),
    state_codes: Sequence[str] = (),
    quality: Sequence[Mapping[str, Any]] = (),
    price: Mapping[str, Any] | None = None,
    open_quantity_min: Decimal | None = None,
    unit: str | None = None,
    available_on_date: date | None = None,
    near: Mapping[str, Any] | None = None,
    sort: str = "listed_at",
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Search all offers of a commodity by quality, price, quantity and place. Everything is decided in the database."""
    asked = {name: value for name, value in locals().items() if name not in ("actor", "cursor", "limit")}
    rows = Availability.objects.visible_to(actor).with_row().with_stage(actor).filter(commodity=commodity)
    lists = {
        "variety_id": variety_ids, "crop_year": crop_years, "status": statuses, "visibility": visibilities,
        "seller_partner_id": seller_partner_ids, "state_code": state_codes,
    }  # fmt: skip
    rows = rows.filter(**{f"{column}__in": list(values) for column, values in lists.items() if values})
    rows = _by_quality(rows, commodity, quality)
    if price is not None:
        rows = _by_price(rows, price)
    if open_quantity_min is not None:
        rows = rows.filter(available_quantity__gte=open_quantity_min, unit=unit or commodity.trade_unit)
    if available_on_date is not None:
        rows = rows.available_on(available_on_date)
    if near is not None:
        rows = rows.near(near["latitude"], near["longitude"], near["radius_km"])
    elif sort == "distance":
        raise _invalid("/sort", "near_missing", "The order by distance needs a point to measure from.")
    if sort == "price":
        rows = rows.filter(price_per_kg__isnull=False)
    page = paginate(
        rows.order_by(SORTS[sort]), limit=limit, cursor=cursor, binding=binding_of("search", _bound(asked)),
        pointer="/cursor",
    )  # fmt: skip
    return {"results": page.rows, "next": page.next, "previous": page.previous}


def _bound(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(getattr(value, "pk", value))) for name, value in asked.items() if value]


def _invalid(pointer: str, code: str, words: str) -> SearchInvalid:
    return SearchInvalid(errors=[FieldError(pointer, code, words)])


def _by_quality(rows: Any, commodity: Commodity, quality: Sequence[Mapping[str, Any]]) -> Any:
    parameters = {row.code: row for row in commodity.quality_parameters.all()}
    for place, asked in enumerate(quality):
        low, high = asked.get("min"), asked.get("max")
        parameter = parameters.get(asked["parameter"])
        if parameter is None or not parameter.is_number:
            words = "The commodity has no such parameter with numbers."
            raise _invalid(f"/quality/{place}/parameter", "foreign", words)
        if low is not None and high is not None and low > high:
            raise _invalid(f"/quality/{place}/max", "below_min", "The largest value is below the smallest.")
        rows = rows.with_quality(parameter, low, high)
    return rows


def _by_price(rows: Any, price: Mapping[str, Any]) -> Any:
    """Compare per kilogram without GST, in the currency of the pricing unit that was asked with."""
    low, high, quoted = price.get("min"), price.get("max"), price["pricing_unit"]
    if low is not None and high is not None and low > high:
        raise _invalid("/price/max", "below_min", "The highest price is below the lowest.")
    rows = rows.filter(currency=quoted.currency)
    if low is not None:
        rows = rows.filter(price_per_kg__gte=_per_kg(low, quoted))
    if high is not None:
        rows = rows.filter(price_per_kg__lte=_per_kg(high, quoted))
    return rows


def _per_kg(rate: Decimal, quoted: PricingUnit) -> Decimal:
    per = factors([quoted.unit_id], on=clock.today())[quoted.unit_id]
    kilogram = Price(quoted.currency, 1, "MASS", factors(["KG"], on=clock.today())["KG"].value)
    return rounded(requoted(rate, price_of(quoted, per), kilogram), 8)


def price_suggestion(
    *,
    actor: Actor,
    commodity: Commodity,
    pricing_unit: PricingUnit,
    price_basis: str,
    variety_id: UUID | None = None,
    crop_year: str | None = None,
    state_code: str | None = None,
) -> dict[str, Any]:
    """Suggest a price from sales and open offers of others. Raises Invalid for a price that isn't by weight."""
    if pricing_unit.unit.dimension != "MASS":
        words = "Choose a pricing unit by weight."
        raise Invalid(errors=[FieldError("/query/pricing_unit_id", "not_by_weight", words)])
    per = factors([pricing_unit.unit_id], on=clock.today())[pricing_unit.unit_id]
    question = PriceQuestion(
        commodity_id=commodity.pk,
        category=commodity.category,
        variety_id=variety_id,
        crop_year=crop_year,
        state_code=state_code,
        currency=pricing_unit.currency,
        price_group="DELIVERED" if price_basis in market.DELIVERED else "EX",
        pricing_unit=pricing_unit.code,
        kg=str(per.value * pricing_unit.divisor),
        tick=pricing_unit.tick,
        places=pricing_unit.places,
    )
    found = asking.ask(market.PRICE, question, actor=actor)
    evidence = {**found.evidence, "as_of": clock.now().isoformat()}
    return {**vars(found), "evidence": evidence, "pricing_unit_id": pricing_unit.pk, "is_suggestion": True}


def bulk_validate(*, actor: Actor, file: Upload) -> dict[str, Any]:
    """Preview an upload of offers: what each row would do, and every error. Nothing is stored.

    A preview takes at most 1 MB and 2,000 rows. Upload a larger file in mode `check`: a job then checks it.
    """
    rows = tables.preview(KIND, actor=actor, file=file)
    words = Counter(row.foreseen for row in rows)
    return {
        "file_sha256": file.sha256,
        "total": len(rows),
        "create": words["create"],
        "refused": words["refused"],
        "rows": rows,
    }
