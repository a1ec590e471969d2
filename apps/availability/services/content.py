"""What an offer says: how the submitted content becomes columns and parts, and what is wrong with it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypedDict
from zoneinfo import ZoneInfo

from apps.availability.models import Availability, Invitation, Lot, QualityValue
from apps.availability.services import rules
from apps.availability.services.quality import checked_values, choose_governing
from apps.commodities.exact import rounded
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.units import Unit
from apps.commodities.seasons import days_of
from apps.commodities.services.factors import NoDefinition, factors
from apps.commodities.tax import ConditionNeeded, NoTaxRate
from apps.locations.models import Location, code_of
from apps.partners.models import Partner
from erp import clock, locks
from erp.errors import FieldError
from erp.reference import default_of

FIRM_DAYS: Final = 7
VALID_DAYS, WINDOW_DAYS = 90, 180
_Policy = Availability.EndOfDay
_Price = Availability.PriceType
# Columns that are taken as they are; what isn't submitted has its default.
PLAIN: Final = (
    "variety", "grade", "crop_year", "total_quantity", "weight_basis", "quantity_tolerance_percent", "allow_partial",
    "min_order_quantity", "max_hold_hours", "price_type", "unit_price", "tax_basis", "tax_condition",
    "quality_schedule", "price_public", "is_firm", "firm_until_at", "trade_type", "bargain_type", "delivery_term",
    "payment_term", "passing_term", "weighment_term", "available_from_date", "available_until_date", "eod_policy",
    "valid_until_date", "carry_forward_days", "visibility", "internal_reference", "notes", "tags",
)  # fmt: skip
# Columns by what they are about, for ``changed`` of the event.
GROUPS: Final = {
    "price": ("price_type", "unit_price", "currency", "pricing_unit_id", "price_basis", "tax_basis", "tax_condition",
              "price_terms", "price_steps", "quality_schedule_id"),
    "quantity": ("total_quantity", "total_weight_kg", "weight_basis", "quantity_tolerance_percent", "allow_partial",
                 "min_order_quantity", "max_hold_hours"),
    "terms": ("variety_id", "grade_id", "crop_year", "location_id", "address", "country", "state_code", "district",
              "latitude", "longitude", "time_zone", "is_firm", "firm_until_at", "trade_type_id", "bargain_type_id",
              "delivery_term_id", "payment_term_id", "passing_term_id", "weighment_term_id"),
    "window": ("available_from_date", "available_until_date", "eod_policy", "valid_until_date", "carry_forward_days"),
    "visibility": ("visibility", "price_public"),
    "other": ("internal_reference", "notes", "tags"),
}  # fmt: skip
# What is offered: these changes raise ``terms_version``.
TERMS: Final = frozenset({"price", "quantity", "quality", "terms", "window", "lots"})
SUBMIT_FIXED: Final = ("variety", "crop_year", "location", "place")


class Content(TypedDict, total=False):
    """What an offer says, as its author submits it; what is left out has its default."""

    total_quantity: Decimal
    total_weight_kg: Decimal | None
    location: Location | None
    place: dict[str, Any] | None
    available_from_date: date
    available_until_date: date | None
    variety: Any
    grade: Any
    crop_year: str | None
    weight_basis: str
    quantity_tolerance_percent: Decimal
    allow_partial: bool
    min_order_quantity: Decimal | None
    max_hold_hours: int
    price_type: str
    unit_price: Decimal | None
    pricing_unit: Any
    price_basis: str | None
    tax_basis: str
    tax_condition: str | None
    price_terms: dict[str, Any] | None
    price_steps: Sequence[Mapping[str, Any]]
    quality_schedule: Any
    price_public: bool
    is_firm: bool
    firm_until_at: datetime | None
    trade_type: Any
    bargain_type: Any
    delivery_term: Any
    payment_term: Any
    passing_term: Any
    weighment_term: Any
    eod_policy: str
    valid_until_date: date | None
    carry_forward_days: int
    visibility: str
    invited_partners: Sequence[Partner]
    internal_reference: str
    notes: str
    tags: list[str]
    lots: Sequence[Mapping[str, Any]]
    quality: Sequence[Mapping[str, Any]]
    media: Sequence[Mapping[str, Any]]  # left out: unchanged


def apply(offer: Availability, content: Content) -> None:
    """Set the columns of the offer from its content. Raises the problems of the content."""
    values: Any = content
    for name in PLAIN:
        column = Availability._meta.get_field(name)
        value = values.get(name)
        setattr(offer, name, default_of(column) if value is None and not column.null else value)
    _apply_place(offer, values)
    _apply_quantity(offer, values.get("total_weight_kg"))
    _apply_price(offer, values)
    _apply_dates(offer)
    _check_goods(offer)
    rules.reprice(offer)


def changed_groups(offer: Availability) -> list[str]:
    """What differs from the stored row, by group."""
    changed = offer.changed_fields()
    return [group for group, columns in GROUPS.items() if not changed.keys().isdisjoint(columns)]


def _apply_place(offer: Availability, values: Mapping[str, Any]) -> None:
    location, place = values.get("location"), values.get("place")
    if place is None and location is not None:
        if location.pk != offer.location_id and location.status != Location.Status.ACTIVE:
            raise rules.PlaceInvalid.at("/location_id", "not_active", "This place can't be chosen any more.")
        copy_location(offer, location)
        return
    if place is None or location is not None:
        raise rules.PlaceInvalid.at("/place", "required", "Enter either a registered place or an address.")
    country, text = place["country"], place.get("state_code") or ""
    state = code_of(text) if text and country == "IN" else text
    if state is None:
        raise rules.PlaceInvalid.at("/place/state_code", "unknown_state", "This is no state of India.")
    zone = place.get("time_zone") or ("Asia/Kolkata" if country == "IN" else None)
    if zone is None:
        words = "Enter the time zone: it is required outside India."
        raise rules.PlaceInvalid.at("/place/time_zone", "required", words)
    latitude, longitude = place.get("latitude"), place.get("longitude")
    if (latitude is None) != (longitude is None):
        words = "Enter latitude and longitude together."
        raise rules.PlaceInvalid.at("/place/latitude", "incomplete", words)
    offer.location, offer.address = None, place["address"]
    offer.country, offer.state_code, offer.time_zone = country, state, zone
    offer.district = place.get("district") or ""
    offer.latitude, offer.longitude = latitude, longitude


def copy_location(offer: Availability, location: Location) -> None:
    """Set the place of an offer to a registered one."""
    offer.location, offer.address = location, ""
    offer.country, offer.state_code = location.country, location.state_id or ""
    offer.district, offer.time_zone = (location.district or "")[:80], location.timezone
    offer.latitude, offer.longitude = location.latitude, location.longitude


def set_unit(offer: Availability, commodity: Commodity, unit: str | None) -> None:
    """Set the unit of the quantities and pin its definition. Raises UnitNotAllowed."""
    offer.unit = unit or commodity.trade_unit
    if commodity.is_counted_in(offer.unit):
        return
    is_weight = Unit.objects.active().filter(code=offer.unit, dimension=Unit.Dimension.MASS).exists()
    if offer.unit != commodity.base_unit and not is_weight:
        words = f"{commodity.code} isn't traded in {offer.unit}. Choose one of its units."
        raise rules.UnitNotAllowed.at("/unit", "not_allowed", words)
    try:
        offer.unit_version = factors([offer.unit], on=clock.today())[offer.unit].unit_version
    except NoDefinition:
        if offer.unit != "KG":
            raise rules.UnitNotAllowed.at("/unit", "not_defined", "The unit isn't defined.") from None
        offer.unit_version = 1


def _apply_quantity(offer: Availability, weight: Decimal | None) -> None:
    rules.require_whole(offer, offer.total_quantity, "/total_quantity")
    minimum = offer.min_order_quantity
    if minimum is not None:
        rules.require_whole(offer, minimum, "/min_order_quantity")
        if minimum > offer.total_quantity:
            words = "The minimum order quantity exceeds the total quantity."
            raise rules.BelowMinimum.at("/min_order_quantity", "above_total", words)
    if offer.commodity.is_counted_in(offer.unit):
        if weight is None:
            words = "Enter the total weight in kilograms."
            raise rules.Incomplete.at("/total_weight_kg", "required", words)
        offer.total_weight_kg = weight
        return
    computed = offer.total_quantity
    if offer.unit != "KG":
        factor = factors([offer.unit], on=clock.today(), versions={offer.unit: offer.unit_version or 1})
        computed = rounded(factor[offer.unit].value * Fraction(offer.total_quantity), 3)
    if weight is not None and weight != computed:
        words = f"The weight must equal the quantity in kilograms, {computed:f}. Leave it empty."
        raise rules.UnitNotAllowed.at("/total_weight_kg", "contradicts", words)
    offer.total_weight_kg = computed


def _apply_price(offer: Availability, values: Mapping[str, Any]) -> None:
    term, basis = offer.delivery_term, values.get("price_basis")
    if term is not None and basis is None and term.basis in Availability.PriceBasis.values:
        basis = term.basis
    if term is not None and basis is not None and _group(basis) != term.price_group:
        words = f"The delivery terms {term.code} have a price of the group {term.price_group}."
        raise rules.PriceInvalid.at("/price_basis", "contradicts", words)
    offer.price_basis = basis
    unit = values.get("pricing_unit") or (
        offer.commodity.pricing_unit if offer.unit_price is not None else None
    )
    if offer.unit_price is not None and unit is None:
        raise rules.PriceInvalid.at("/pricing_unit_id", "required", "Choose how the price is quoted.")
    _pin_price(offer, unit)
    currency = values.get("currency")
    if currency is not None and unit is not None and currency != unit.currency:
        words = f"Prices in {unit.code} are in {unit.currency}."
        raise rules.PriceInvalid.at("/currency", "contradicts", words)
    offer.currency = unit.currency if unit is not None else currency or "INR"
    offer.price_terms = _price_terms(offer.price_type, values.get("price_terms"))
    offer.price_steps = _steps(offer, values.get("price_steps") or ())
    if offer.quality_schedule is not None and offer.quality_schedule.commodity_id != offer.commodity_id:
        words = "The schedule is of another commodity."
        raise rules.PriceInvalid.at("/quality_schedule_id", "foreign", words)


def _group(basis: str) -> str:
    return "DELIVERED" if basis in ("FOR_MILL", "CFR", "CIF") else "EX"


def _pin_price(offer: Availability, unit: Any) -> None:
    """Pin the definition of the pricing unit; an unchanged unit keeps the one that it has."""
    if unit is not None and unit.pk == offer.pricing_unit_id and offer.pricing_unit_version is not None:
        return
    offer.pricing_unit, offer.pricing_unit_version = unit, None
    if unit is None:
        return
    try:
        per = factors([unit.unit_id], on=clock.today())[unit.unit_id]
    except NoDefinition:
        words = f"{unit.unit_id} isn't defined today."
        raise rules.PriceInvalid.at("/pricing_unit_id", "not_defined", words) from None
    if per.dimension not in ("MASS", "COUNT") or (per.dimension == "COUNT" and unit.unit_id != offer.unit):
        words = f"The goods aren't priced per {unit.unit_id}."
        raise rules.PriceInvalid.at("/pricing_unit_id", "not_allowed", words)
    offer.pricing_unit_version = per.unit_version


_PRICE_TERMS: Final = {
    _Price.ON_CALL: ("exchange", "month", "points", "call_side", "fixation_deadline"),
    _Price.FORMULA: ("index", "days", "difference"),
}


def _price_terms(price_type: str, submitted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The details of a price on call or by formula: all of its type and no others, as JSON carries them."""
    names = _PRICE_TERMS.get(_Price(price_type), ())
    found = {name: value for name, value in (submitted or {}).items() if value is not None}
    faults = [
        FieldError(f"/price_terms/{name}", "required", "This is required for the price type.")
        for name in names
        if name not in found
    ] + [
        FieldError(f"/price_terms/{name}", "not_allowed", "This doesn't belong to the price type.")
        for name in found
        if name not in names
    ]
    if faults:
        raise rules.PriceInvalid(errors=faults)
    return {name: _text(found[name]) for name in names} or None


def _text(value: Any) -> Any:
    return (
        value
        if isinstance(value, int | str)
        else value.isoformat()
        if hasattr(value, "isoformat")
        else str(value)
    )


def _steps(offer: Availability, submitted: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Price steps as they are stored. Raises StepsInvalid."""
    faults, before = [], Decimal(0)
    if submitted and offer.unit_price is None:
        raise rules.StepsInvalid.at("/price_steps", "no_price", "Price steps need a price.")
    for place, step in enumerate(submitted):
        start = step["min_quantity"]
        if start <= before:
            faults.append(FieldError(f"/price_steps/{place}/min_quantity", "not_rising", "Steps must rise."))
        if start > offer.total_quantity:
            words = "The step begins above the total quantity."
            faults.append(FieldError(f"/price_steps/{place}/min_quantity", "above_total", words))
        before = start
    if faults:
        raise rules.StepsInvalid(errors=faults)
    return [
        {"min_quantity": f"{s['min_quantity']:f}", "unit_price": f"{s['unit_price']:f}"} for s in submitted
    ]


def _apply_dates(offer: Availability) -> None:
    """Check the window and the end-of-day policy, and set what they leave open."""
    start, end, policy = offer.available_from_date, offer.available_until_date, offer.eod_policy
    if end is None and policy != _Policy.GOOD_TILL_CANCELLED:
        words = "Enter the last day. Only offers that are good till cancelled have none."
        raise rules.WindowInvalid.at("/available_until_date", "required", words)
    if end is not None and end < start:
        raise rules.WindowInvalid.at(
            "/available_until_date",
            "before_from",
            "The last day is before the first day.",
        )
    if policy == _Policy.GOOD_TILL_DATE:
        today = clock.now().astimezone(ZoneInfo(offer.time_zone)).date()
        latest = max(today, start) + timedelta(days=VALID_DAYS)
        offer.valid_until_date = offer.valid_until_date or min(end or latest, latest)
        if offer.valid_until_date > latest and _is_changed(offer, "valid_until_date"):
            words = f"At most {VALID_DAYS} days ahead."
            raise rules.WindowInvalid.at("/valid_until_date", "too_far", words)
    elif offer.valid_until_date is not None:
        words = "Only an offer that is good till a date has one."
        raise rules.WindowInvalid.at("/valid_until_date", "not_allowed", words)
    if offer.carry_forward_days and policy != _Policy.DAY:
        words = "Only an offer for the day is carried forward."
        raise rules.WindowInvalid.at("/carry_forward_days", "not_allowed", words)
    if not offer.is_firm and offer.firm_until_at is not None:
        raise rules.WindowInvalid.at("/firm_until_at", "not_allowed", "The offer isn't firm.")
    if offer.firm_until_at is not None and offer.firm_until_at > clock.now() + timedelta(days=FIRM_DAYS):
        raise rules.WindowInvalid.at("/firm_until_at", "too_far", f"At most {FIRM_DAYS} days ahead.")


def _is_changed(offer: Availability, column: str) -> bool:
    return offer.is_new or column in offer.changed_fields()


def _check_goods(offer: Availability) -> None:
    for name in ("variety", "grade"):
        row = getattr(offer, name)
        if row is not None and row.commodity_id != offer.commodity_id:
            raise rules.GoodsInvalid.at(f"/{name}_id", "foreign", f"The {name} is of another commodity.")
    for name in (
        "variety", "grade", "pricing_unit", "trade_type", "bargain_type", "delivery_term", "payment_term",
        "passing_term", "weighment_term",
    ):  # fmt: skip
        row = getattr(offer, name)
        if row is not None and row.status != "ACTIVE" and _is_changed(offer, f"{name}_id"):
            raise rules.GoodsInvalid.at(f"/{name}_id", "not_active", "This can't be chosen any more.")
    if offer.crop_year is not None and offer.commodity.season_start_month is not None:
        try:
            days_of(offer.crop_year, offer.commodity.season_start_month)
        except ValueError:
            words = "This isn't a season of the commodity."
            raise rules.GoodsInvalid.at("/crop_year", "no_season", words) from None


# Parts


def take_turns_with_lots(offer: Availability) -> None:
    """Wait for others who change live lots of the seller: two checks of one constraint would wait for each other."""
    locks.hold(f"availability.lots:{offer.seller_partner_id}")


def write_lots(offer: Availability, submitted: Sequence[Mapping[str, Any]]) -> bool:
    """Let the offer have these lots, known by their numbers; return whether anything changed."""
    stored = {lot.lot_no: lot for lot in offer.lots.all()}
    faults: list[FieldError] = []
    rows = [_lot(offer, stored, place, values, faults) for place, values in enumerate(submitted)]
    numbers = [lot.lot_no for lot in rows]
    for place, number in enumerate(numbers):
        if number in numbers[:place]:
            faults.append(FieldError(f"/lots/{place}/lot_no", "doubled", "This lot is already in the list."))
    if faults:
        raise rules.LotsMismatch(errors=faults)
    gone = [lot for number, lot in stored.items() if number not in numbers]
    if reported := [lot for lot in gone if offer.test_reports.filter(lot=lot).exists()]:
        words = f"Lot {reported[0].lot_no} has a test report, so it can't be removed."
        raise rules.LotsMismatch.at("/lots", "has_report", words)
    changed = bool(gone)
    if any(lot.is_live for lot in rows):
        take_turns_with_lots(offer)
    for lot in gone:
        lot.delete()
    for lot in rows:
        changed = changed or lot.is_new or bool(lot.changed_fields().keys() - {"is_live"})
        lot.save()
    return changed


def _lot(
    offer: Availability,
    stored: dict[str, Lot],
    place: int,
    values: Mapping[str, Any],
    faults: list[FieldError],
) -> Lot:
    number = values["lot_no"]
    lot = stored.get(number) or Lot(availability=offer, lot_no=number)
    for name in ("gin_location", "gin_type", "pr_from", "pr_to", "bales", "gross_kg", "tare_kg", "net_kg",
                 "godown_location"):  # fmt: skip
        setattr(lot, name, values.get(name))
    lot.position, lot.godown = place, values.get("godown") or ""
    lot.press_mark = re.sub(r"\s+", " ", (values.get("press_mark") or "")).strip().upper()
    lot.seller_partner_id, lot.crop_year = offer.seller_partner_id, offer.crop_year or ""
    lot.is_live = offer.is_live or (lot.is_live and not lot.is_new)
    if lot.gross_kg is not None and lot.tare_kg is not None and lot.net_kg is None:
        lot.net_kg = lot.gross_kg - lot.tare_kg

    def wrong(name: str, code: str, words: str) -> None:
        faults.append(FieldError(f"/lots/{place}/{name}", code, words))

    if (lot.pr_from is None) != (lot.pr_to is None):
        wrong("pr_to", "incomplete", "Enter both press-running numbers, or none.")
    elif lot.pr_from is not None and lot.pr_to is not None:
        if lot.pr_to < lot.pr_from:
            wrong("pr_to", "before_from", "The last number is below the first.")
        elif lot.bales > lot.pr_to - lot.pr_from + 1:
            wrong("bales", "beyond_range", "There are more packages than press-running numbers.")
        if not lot.press_mark:
            wrong("press_mark", "required", "PR numbers need the press mark.")
        if not offer.crop_year:
            wrong("pr_from", "crop_year_missing", "PR numbers need the crop year of the offer.")
    weights = (lot.gross_kg, lot.tare_kg, lot.net_kg)
    if None not in weights and lot.net_kg != weights[0] - weights[1]:
        wrong("net_kg", "contradicts", "The net weight must be gross less tare.")
    return lot


def write_quality(offer: Availability, submitted: Sequence[Mapping[str, Any]]) -> bool:
    """Let the declared values be these; those of reports stay. Returns whether anything changed."""
    declared = offer.quality.filter(test_report=None).select_related("parameter", "lot")
    stored = {_key(value): value for value in declared}
    values = checked_values(offer, submitted)
    for value in values:
        if (same := stored.get(_key(value))) is not None:
            value.pk = same.pk
    keys = {_key(value) for value in values}
    gone = [value for key, value in stored.items() if key not in keys]
    new = [value for value in values if _key(value) not in stored]
    for value in gone:
        value.delete()
    for value in new:
        value.save()
    changed = bool(gone or new)
    return choose_governing(offer) or changed


def _key(value: QualityValue) -> tuple[Any, ...]:
    return (
        value.parameter_id, value.lot_id, value.shown, value.method, value.source, value.sample_no, value.tested_at,
        value.chosen,
    )  # fmt: skip


def write_invitations(offer: Availability, partners: Sequence[Partner]) -> bool:
    """Let these partners be invited. Raises VisibilityInvalid unless exactly a restricted offer invites."""
    restricted = offer.visibility == Availability.Visibility.RESTRICTED
    if restricted != bool(partners):
        words = "Invite partners to an offer for invited buyers only, and to no other."
        raise rules.VisibilityInvalid.at("/invited_partner_ids", "contradicts", words)
    invited = {row.partner_id: row for row in offer.invitations.all()}
    wanted = {partner.pk for partner in partners}
    for partner_id, row in invited.items():
        if partner_id not in wanted:
            row.delete()
    for partner in partners:
        if partner.pk not in invited:
            Invitation(availability=offer, partner=partner).save()
    return invited.keys() != wanted


# Completeness


def require_complete(offer: Availability) -> None:
    """Raise Incomplete with a pointer for each gap, LotsMismatch, or WindowInvalid, before an offer is submitted."""
    gaps: dict[str, str] = {}
    if offer.commodity.season_start_month is not None and not offer.crop_year:
        gaps["/crop_year"] = f"Enter the crop year: {offer.commodity.name} is seasonal."
    if offer.price_type != _Price.NEGOTIABLE and offer.unit_price is None:
        gaps["/unit_price"] = "Enter the price, or let it be negotiable."
    if offer.unit_price is not None and offer.price_basis is None:
        gaps["/price_basis"] = "Choose the place that the price is for."
    if offer.country == "IN" and not offer.state_code:
        gaps["/place/state_code"] = "Enter the state."
    for name in ("delivery_term", "payment_term", "passing_term", "weighment_term"):
        if getattr(offer, f"{name}_id") is None:
            gaps[f"/{name}_id"] = f"Choose the {name.replace('_term', ' terms')}."
    given = set(offer.quality.filter(governing=True).values_list("parameter_id", flat=True))
    for parameter in offer.commodity.quality_parameters.active().filter(is_mandatory=True):
        if parameter.pk not in given:
            gaps[f"/quality/{parameter.code}"] = f"Enter {parameter.name}: it is required."
    try:
        rules.gst_of(offer)
    except ConditionNeeded as problem:
        names = ", ".join(problem.members.get("conditions", ()))
        gaps["/tax_condition"] = f"Choose the condition on which GST depends: {names}."
    except NoTaxRate:
        pass  # no rate yet: whoever needs it later says so
    if gaps:
        raise rules.Incomplete(errors=[FieldError(place, "required", words) for place, words in gaps.items()])
    _require_lots_add_up(offer)
    until = offer.available_until_date
    today = clock.now().astimezone(offer.zone).date()
    if until is not None and until < today:
        raise rules.WindowInvalid.at("/available_until_date", "past", "The last day of the offer has passed.")
    if until is not None and until > today + timedelta(days=WINDOW_DAYS):
        raise rules.WindowInvalid.at("/available_until_date", "too_far", f"At most {WINDOW_DAYS} days ahead.")


def _require_lots_add_up(offer: Availability) -> None:
    lots = list(offer.lots.all())
    if not lots or not offer.commodity.is_counted_in(offer.unit):
        return
    bales = sum(lot.bales for lot in lots)
    if bales != offer.total_quantity:
        words = f"The lots have {bales} packages, the offer {offer.total_quantity:f}."
        raise rules.LotsMismatch.at("/lots", "count_differs", words)
    if offer.weight_basis == Availability.WeightBasis.WEIGHED:
        nets = [lot.net_kg for lot in lots]
        if None in nets or sum(nets) != offer.total_weight_kg:
            words = "The net weights of the lots must add up to the total weight."
            raise rules.LotsMismatch.at("/lots", "weight_differs", words)
