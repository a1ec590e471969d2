"""What a requirement says: how the submitted content becomes columns and parts, and what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypedDict

from apps.commodities.exact import rounded
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.commodities.models.units import Unit
from apps.commodities.models.varieties import Variety
from apps.commodities.seasons import days_of
from apps.commodities.services.factors import NoDefinition, WeightNeeded, factors, package_weight
from apps.locations.models import Location, code_of
from apps.partners.models import Partner
from apps.requirement.models import Band, DeliveryPlace, Invitation, Requirement
from apps.requirement.services import rules
from erp import clock
from erp.errors import FieldError
from erp.reference import default_of

VALID_DAYS: Final = 90
_Policy = Requirement.EndOfDay
# Columns that are taken as they are; what isn't submitted has its default.
PLAIN: Final = (
    "grade", "variety_ids", "substitute_ids", "crop_years", "max_quantity", "kg_per_count", "tolerance_percent",
    "single_lot", "ceiling_price", "target_price", "price_basis", "tax_basis", "total_budget", "origin_country",
    "origin_state_codes", "time_zone", "delivery_term_ids", "payment_term_ids", "passing_term_ids",
    "weighment_term_ids", "delivery_from_date", "delivery_until_date", "flexibility_days", "eod_policy",
    "valid_until_date", "carry_forward_days", "intent", "urgency", "visibility", "internal_reference", "notes", "tags",
    "buyer_location",
)  # fmt: skip
# Columns by what they are about, for ``changed`` of the event.
GROUPS: Final = {
    "quantity": ("min_quantity", "preferred_quantity", "max_quantity", "kg_per_count", "tolerance_percent",
                 "single_lot"),
    "price": ("ceiling_price", "target_price", "currency", "pricing_unit_id", "price_basis", "tax_basis",
              "total_budget"),
    "places": ("origin_country", "origin_state_codes", "country", "state_code", "district", "latitude", "longitude",
               "time_zone", "buyer_location_id"),
    "terms": ("grade_id", "variety_ids", "substitute_ids", "crop_years", "delivery_term_ids", "payment_term_ids",
              "passing_term_ids", "weighment_term_ids"),
    "window": ("delivery_from_date", "delivery_until_date", "flexibility_days", "eod_policy", "valid_until_date",
               "carry_forward_days"),
    "market": ("intent", "urgency"),
    "visibility": ("visibility",),
    "other": ("internal_reference", "notes", "tags"),
}  # fmt: skip
# What is wanted: these changes raise ``terms_version``.
TERMS: Final = frozenset({"quantity", "bands", "price", "places", "terms", "window", "market"})


class Content(TypedDict, total=False):
    """What a requirement says, as its author submits it; what is left out has its default."""

    max_quantity: Decimal
    min_quantity: Decimal | None
    preferred_quantity: Decimal | None
    ceiling_price: Decimal | None
    target_price: Decimal | None
    pricing_unit: Any
    delivery_from_date: date
    delivery_until_date: date
    grade: Any
    variety_ids: Sequence[Any]
    substitute_ids: Sequence[Any]
    crop_years: list[str]
    kg_per_count: Decimal | None
    tolerance_percent: Decimal
    single_lot: bool
    price_basis: str | None
    tax_basis: str
    total_budget: Decimal | None
    origin_country: str | None
    origin_state_codes: list[str]
    time_zone: str
    delivery_term_ids: Sequence[Any]
    payment_term_ids: Sequence[Any]
    passing_term_ids: Sequence[Any]
    weighment_term_ids: Sequence[Any]
    flexibility_days: int
    eod_policy: str
    valid_until_date: date | None
    carry_forward_days: int
    intent: str
    urgency: str
    visibility: str
    internal_reference: str
    notes: str
    tags: list[str]
    buyer_location: Any
    bands: Sequence[Mapping[str, Any]]
    places: Sequence[Mapping[str, Any]]
    invited_partners: Sequence[Partner]


def apply(requirement: Requirement, content: Content) -> None:
    """Set the columns of the requirement from its content. Raises the problems of the content."""
    values: Any = content
    for name in PLAIN:
        column = Requirement._meta.get_field(name)
        value = values.get(name)
        if name.endswith("_ids"):
            value = [row.pk for row in value or ()]
        setattr(requirement, name, default_of(column) if value is None and not column.null else value)
    _check_goods(requirement, values)
    _apply_quantity(requirement, values)
    _apply_destination(requirement, values.get("places") or (), values.get("time_zone"))
    _apply_price(requirement, values["pricing_unit"])
    _apply_dates(requirement)


_ROWS: Final[dict[str, type[Any]]] = {
    "variety_ids": Variety,
    "substitute_ids": Commodity,
    "delivery_term_ids": DeliveryTerms,
    "payment_term_ids": PaymentTerms,
    "passing_term_ids": PassingTerms,
    "weighment_term_ids": WeighmentTerms,
}


def rows_of_ids(requirement: Requirement) -> dict[str, list[Any]]:
    """The rows that columns of ids name, in their order, by column."""
    found = {}
    for name, model in _ROWS.items():
        wanted = getattr(requirement, name)
        rows = model._default_manager.in_bulk(wanted) if wanted else {}
        found[name] = [rows[key] for key in wanted]
    return found


def changed_groups(requirement: Requirement) -> list[str]:
    """What differs from the stored row, by group."""
    changed = requirement.changed_fields()
    return [group for group, columns in GROUPS.items() if not changed.keys().isdisjoint(columns)]


def set_unit(requirement: Requirement, commodity: Commodity, unit: str | None) -> None:
    """Set the unit of the quantities and pin its definition. Raises UnitNotAllowed."""
    requirement.unit = unit or commodity.trade_unit
    if commodity.is_counted_in(requirement.unit):
        return
    is_weight = Unit.objects.active().filter(code=requirement.unit, dimension=Unit.Dimension.MASS).exists()
    if not is_weight:
        words = f"{commodity.code} isn't traded in {requirement.unit}. Choose one of its units."
        raise rules.UnitNotAllowed.at("/unit", "not_allowed", words)
    try:
        found = factors([requirement.unit], on=clock.today())[requirement.unit]
    except NoDefinition:
        raise rules.UnitNotAllowed.at("/unit", "not_defined", "The unit isn't defined.") from None
    requirement.unit_version, requirement.kg_per_unit = found.unit_version, _decimal(found.value)


def _decimal(value: Any) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.00000001"))


def _check_goods(requirement: Requirement, values: Mapping[str, Any]) -> None:
    commodity = requirement.commodity
    for name in ("grade", "pricing_unit"):
        row = values.get(name)
        if row is not None and row.status != "ACTIVE" and _is_changed(requirement, f"{name}_id"):
            raise rules.GoodsInvalid.at(f"/{name}_id", "not_active", "This can't be chosen any more.")
    for name in ("variety_ids", "grade"):
        rows = values.get(name) or ()
        for row in rows if name == "variety_ids" else [rows] if rows else []:
            if row.commodity_id != commodity.pk:
                pointer = f"/{name}" if name == "variety_ids" else f"/{name}_id"
                raise rules.GoodsInvalid.at(pointer, "foreign", "This is of another commodity.")
    for place, other in enumerate(values.get("substitute_ids") or ()):
        if other.pk == commodity.pk or other.category != commodity.category:
            words = "A substitute is another commodity of the same category."
            raise rules.SubstituteInvalid.at(f"/substitute_ids/{place}", "not_substitute", words)
        if other.package_unit != commodity.package_unit:
            words = "A substitute is counted in the same packages."
            raise rules.SubstituteInvalid.at(f"/substitute_ids/{place}", "other_unit", words)
    location = values.get("buyer_location")
    if location is not None and location.partner_id != requirement.buyer_partner_id:
        raise rules.PlaceInvalid.at("/buyer_location_id", "foreign", "This is a place of another partner.")
    for place, label in enumerate(requirement.crop_years):
        try:
            days_of(label, commodity.season_start_month or 10)
        except ValueError:
            words = "This isn't a season of the commodity."
            raise rules.GoodsInvalid.at(f"/crop_years/{place}", "no_season", words) from None
    requirement.origin_state_codes = [
        _state(text, f"/origin_state_codes/{place}")
        for place, text in enumerate(requirement.origin_state_codes)
    ]


def _state(text: str, pointer: str) -> str:
    code = code_of(text)
    if code is None:
        raise rules.PlaceInvalid.at(pointer, "unknown_state", "This is no state of India.")
    return code


def _is_changed(requirement: Requirement, column: str) -> bool:
    return requirement.is_new or column in requirement.changed_fields()


def _apply_quantity(requirement: Requirement, values: Mapping[str, Any]) -> None:
    most = requirement.max_quantity
    requirement.min_quantity = values.get("min_quantity") or most
    requirement.preferred_quantity = values.get("preferred_quantity") or most
    for name in ("min_quantity", "preferred_quantity", "max_quantity"):
        rules.require_whole(requirement, getattr(requirement, name), f"/{name}")
    if not requirement.min_quantity <= requirement.preferred_quantity <= most:
        pointer = (
            "/min_quantity"
            if requirement.min_quantity > requirement.preferred_quantity
            else "/preferred_quantity"
        )
        words = "Minimum, preferred and maximum must rise in this order."
        raise rules.QuantitiesOutOfOrder.at(pointer, "out_of_order", words)
    if not requirement.commodity.is_counted_in(requirement.unit):
        requirement.kg_per_count = None
        return
    if requirement.kg_per_count is None:
        country = requirement.origin_country or requirement.commodity.origin_country
        try:
            weight = package_weight(
                requirement.commodity, requirement.unit, origin_country=country, on=clock.today()
            )
        except WeightNeeded:
            words = "Enter the weight of a package in kilograms: the commodity has no usual one."
            raise rules.Incomplete.at("/kg_per_count", "required", words) from None
        per = factors([weight.unit_id], on=clock.today())[weight.unit_id]
        requirement.kg_per_count = _decimal(per.value * Fraction(weight.value or 0)).quantize(
            Decimal("0.001")
        )
    requirement.kg_per_unit = Decimal(requirement.kg_per_count)


def _apply_destination(
    requirement: Requirement, places: Sequence[Mapping[str, Any]], time_zone: str | None
) -> None:
    """Check the places, and note where the first one is. Raises PlaceInvalid."""
    for position, place in enumerate(places):
        at = f"/places/{position}"
        registered, latitude = place.get("location"), place.get("latitude")
        if (registered is None) == (latitude is None) or (latitude is None) != (
            place.get("longitude") is None
        ):
            words = "Enter either a registered place or latitude and longitude."
            raise rules.PlaceInvalid.at(at, "required", words)
        if registered is None and not place.get("state_code"):
            raise rules.PlaceInvalid.at(f"{at}/state_code", "required", "Enter the state.")
    first = places[0] if places else {}
    location: Location | None = first.get("location")
    if location is not None:
        copy_destination(requirement, location)
        requirement.time_zone = time_zone or location.timezone
        return
    state = first.get("state_code")
    requirement.country, requirement.district = "IN", ""
    requirement.state_code = _state(state, "/places/0/state_code") if state else ""
    requirement.latitude, requirement.longitude = first.get("latitude"), first.get("longitude")


def copy_destination(requirement: Requirement, location: Location) -> None:
    """Note where the first place is."""
    requirement.country, requirement.state_code = location.country, location.state_id or ""
    requirement.district = (location.district or "")[:80]
    requirement.latitude, requirement.longitude = location.latitude, location.longitude


def _apply_price(requirement: Requirement, unit: Any) -> None:
    """Pin the pricing unit, check ceiling, target and budget, and value the requirement."""
    discovery = requirement.intent == Requirement.Intent.PRICE_DISCOVERY_ONLY
    if requirement.ceiling_price is None and not discovery:
        raise rules.PriceInvalid.at("/ceiling_price", "required", "Enter the highest price.")
    ceiling, target = requirement.ceiling_price, requirement.target_price
    if ceiling is not None and target is not None and target > ceiling:
        raise rules.PriceInvalid.at("/target_price", "above_ceiling", "The target is above the ceiling.")
    if unit.pk != requirement.pricing_unit_id or requirement.pricing_unit_version is None:
        try:
            per = factors([unit.unit_id], on=clock.today())[unit.unit_id]
        except NoDefinition:
            words = f"{unit.unit_id} isn't defined today."
            raise rules.PriceInvalid.at("/pricing_unit_id", "not_defined", words) from None
        if per.dimension not in ("MASS", "COUNT") or (
            per.dimension == "COUNT" and unit.unit_id != requirement.unit
        ):
            words = f"The goods aren't priced per {unit.unit_id}."
            raise rules.PriceInvalid.at("/pricing_unit_id", "not_allowed", words)
        requirement.pricing_unit, requirement.pricing_unit_version = unit, per.unit_version
    requirement.currency = unit.currency
    quote, rate = rules.Quote(requirement), ceiling if ceiling is not None else target
    requirement.ceiling_per_kg = None if ceiling is None else rounded(Fraction(ceiling) / quote.kg, 8)
    requirement.estimated_value = None if rate is None else quote.value(requirement.preferred_quantity, rate)
    budget = requirement.total_budget
    if budget is not None and rate is not None and budget < quote.value(requirement.min_quantity, rate):
        words = "The budget doesn't pay for the minimum quantity at the ceiling."
        raise rules.BudgetTooSmall.at("/total_budget", "too_small", words)


def _apply_dates(requirement: Requirement) -> None:
    """Check the window and the end-of-day policy, and set what they leave open."""
    start, end, policy = (
        requirement.delivery_from_date,
        requirement.delivery_until_date,
        requirement.eod_policy,
    )
    if end < start:
        words = "The last day is before the first day."
        raise rules.WindowInvalid.at("/delivery_until_date", "before_from", words)
    if policy == _Policy.GOOD_TILL_DATE:
        today = clock.now().astimezone(requirement.zone).date()
        latest = max(today, start) + timedelta(days=VALID_DAYS)
        requirement.valid_until_date = requirement.valid_until_date or min(end, latest)
        if requirement.valid_until_date > latest and _is_changed(requirement, "valid_until_date"):
            words = f"At most {VALID_DAYS} days ahead."
            raise rules.WindowInvalid.at("/valid_until_date", "too_far", words)
    elif requirement.valid_until_date is not None:
        words = "Only a requirement that is good till a date has one."
        raise rules.WindowInvalid.at("/valid_until_date", "not_allowed", words)
    if requirement.carry_forward_days and policy != _Policy.DAY:
        words = "Only a requirement for the day is carried forward."
        raise rules.WindowInvalid.at("/carry_forward_days", "not_allowed", words)


# Parts


_MEMBERS: Final = {"minimum": "min", "maximum": "max"}  # as a band is submitted


def write_bands(requirement: Requirement, submitted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Let the bands be these; return the codes of parameters whose band changed. Raises BandsInvalid."""
    stored = {band.parameter.code: band for band in requirement.bands.select_related("parameter")}
    parameters = {row.code: row for row in requirement.commodity.quality_parameters.active()}
    faults: list[FieldError] = []
    rows: dict[str, Band] = {}
    for place, values in enumerate(submitted):
        code = values["parameter"]
        found = [(member, kind, words) for member, kind, words in _band_faults(parameters.get(code), values)]
        if code in rows:
            found.append(("parameter", "duplicate", "This parameter is already in the list."))
        faults += [
            FieldError(f"/bands/{place}/{_MEMBERS.get(member, member)}", kind, words)
            for member, kind, words in found
        ]
        if found:
            continue
        band = stored.get(code) or Band(requirement=requirement, parameter=parameters[code])
        for name in ("minimum", "maximum", "preferred"):
            setattr(band, name, values.get(name))
        band.accepted_codes, band.method = (
            list(values.get("accepted_codes") or ()),
            values.get("method") or "",
        )
        band.required = bool(values.get("required"))
        rows[code] = band
    if faults:
        raise rules.BandsInvalid(errors=faults)
    gone = [code for code in stored if code not in rows]
    changed = [code for code, band in rows.items() if band.is_new or band.changed_fields()]
    for code in gone:
        stored[code].delete()
    _save_all(rows.values())
    return sorted([*changed, *gone])


def _save_all(rows: Iterable[Any]) -> None:
    """Save rows of one kind: the new ones in one statement, the others as far as they changed."""
    new = [row for row in rows if row.is_new]
    for row in rows:
        if not row.is_new:
            row.save()
    if new:
        type(new[0]).objects.bulk_create(new)


def _band_faults(parameter: QualityParameter | None, values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong with a band: member, code and words of each fault."""
    if parameter is None:
        return [("parameter", "unknown_parameter", "The commodity has no such parameter.")]
    found = []
    method, codes = values.get("method"), values.get("accepted_codes") or ()
    if method and method not in parameter.methods:
        found.append(("method", "method_not_allowed", f"Choose one of {', '.join(parameter.methods)}."))
    figures = {name: values.get(name) for name in ("minimum", "maximum", "preferred")}
    present = {name: value for name, value in figures.items() if value is not None}
    if not parameter.is_number:
        if present or not codes:
            found.append(("accepted_codes", "codes_expected", "Enter the accepted codes of this parameter."))
        known = {choice["code"] for choice in parameter.choices} or set(codes)
        if unknown := [code for code in codes if code not in known]:
            found.append(("accepted_codes", "codes_expected", f"{unknown[0]} isn't a code of the list."))
        return found
    if codes:
        found.append(("accepted_codes", "codes_expected", "This parameter has figures, not codes."))
    if not present:
        found.append(("minimum", "empty", "Enter a bound or a preferred value."))
    places = 0 if parameter.data_type == parameter.DataType.INTEGER else min(parameter.precision or 0, 4)
    low, high = parameter.possible_min, parameter.possible_max
    for name, value in present.items():
        exponent = value.normalize().as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            found.append((name, "too_precise", f"At most {places} decimals."))
        elif (low is not None and value < low) or (high is not None and value > high):
            ends = " to ".join(format(end.normalize(), "f") for end in (low, high) if end is not None)
            found.append((name, "out_of_limits", f"The value must be within {ends}."))
    order = [
        value for value in (figures["minimum"], figures["preferred"], figures["maximum"]) if value is not None
    ]
    if order != sorted(order):
        found.append(("minimum", "out_of_order", "Minimum, preferred and maximum must rise in this order."))
    return found


def write_places(requirement: Requirement, submitted: Sequence[Mapping[str, Any]]) -> bool:
    """Let the places be these; return whether anything changed."""
    stored = {place.position: place for place in requirement.places.all()}
    changed, rows = len(stored) != len(submitted), []
    for position, values in enumerate(submitted):
        place = stored.pop(position, None) or DeliveryPlace(requirement=requirement, position=position)
        place.location = values.get("location")
        place.latitude, place.longitude = values.get("latitude"), values.get("longitude")
        state = values.get("state_code")
        place.state_code = _state(state, f"/places/{position}/state_code") if state else ""
        place.max_distance_km = values.get("max_distance_km")
        changed = changed or place.is_new or bool(place.changed_fields())
        rows.append(place)
    _save_all(rows)
    for place in stored.values():
        place.delete()
    return changed


def write_invitations(requirement: Requirement, partners: Sequence[Partner]) -> bool:
    """Let these partners be invited, exactly where the visibility is restricted. Raises VisibilityInvalid."""
    is_restricted = requirement.visibility == Requirement.Visibility.RESTRICTED
    if bool(partners) != is_restricted:
        words = "Name the invited partners exactly where only they see the requirement."
        raise rules.VisibilityInvalid.at("/invited_partner_ids", "unfit", words)
    stored = {invitation.partner_id: invitation for invitation in requirement.invitations.all()}
    wanted = {partner.pk for partner in partners}
    for partner_id, invitation in stored.items():
        if partner_id not in wanted:
            invitation.delete()
    new = [partner for partner in partners if partner.pk not in stored]
    _save_all([Invitation(requirement=requirement, partner=partner) for partner in new])
    return stored.keys() != wanted


def require_complete(requirement: Requirement) -> None:
    """Raise Incomplete with a pointer per gap of a requirement that is to be published, or WindowInvalid."""
    gaps = []
    if not requirement.bands.exists():
        gaps.append(FieldError("/bands", "required", "Enter at least one quality band."))
    if not requirement.places.exists():
        gaps.append(FieldError("/places", "required", "Enter the destination."))
    if gaps:
        raise rules.Incomplete(errors=gaps)
    today = clock.now().astimezone(requirement.zone).date()
    if requirement.delivery_until_date < today:
        words = "The last day of delivery has passed."
        raise rules.WindowInvalid.at("/delivery_until_date", "past", words)
