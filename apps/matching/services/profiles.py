"""Profiles of live listings: prices per kg, weights, places and quality, computed once per version."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import F, Prefetch, Q

from apps.availability.models import Availability, Lot, QualityValue
from apps.commodities import differences
from apps.commodities.exact import rounded
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.models.tax import TaxRate
from apps.commodities.models.terms import PaymentTerms
from apps.commodities.services import schedules
from apps.commodities.services.factors import NoDefinition, factors
from apps.commodities.tax import ANY, longest
from apps.locations.models import Location
from apps.matching.engine import pricing
from apps.matching.models import OfferProfile, WantProfile
from apps.matching.services.rule_reading import Rules, active_rules
from apps.partners.models import CreditAccount
from apps.partners.services.gate import EXPORT_BASES, permission_for
from apps.requirement.models import Band, DeliveryPlace, Requirement
from apps.risk.services import rates
from erp import clock

CHUNK: Final = 500
POINTS: Final = 10_000  # quality is kept in 10⁻⁴ of its unit
MOST_GRAMS: Final = Decimal(10) ** 15
ABROAD: Final = ""  # a country that is none
DELIVERED: Final = frozenset({"FOR_STATION", "FOR_MILL", "CFR", "CIF"})
PROVISIONAL: Final = (Availability.PriceType.ON_CALL, Availability.PriceType.FORMULA)


class _Figures:
    """Rates, units and schedules of a day, each read once."""

    def __init__(self, day: date) -> None:
        self.day = day
        self.fresh_until: date | None = None  # of the listing that is being computed
        self.factor = cache(self._factor)
        self.exchange = cache(self._exchange)
        self.tax = cache(self._tax)
        self.schedule = cache(self._schedule)

    def until(self, last: date | None) -> None:
        """Note that a rate was used that ends."""
        if last is not None:
            self.fresh_until = last if self.fresh_until is None else min(self.fresh_until, last)

    def _factor(self, code: str, version: int | None) -> Any:
        try:
            return factors([code], on=self.day, versions={code: version} if version else None)[code]
        except NoDefinition:
            return None

    def _exchange(self, currency: str) -> Fraction | None:
        return rates.exchange(currency, rates.HOME, self.day)

    def _tax(self, hsn: str) -> Mapping[str, TaxRate]:
        return longest(list(TaxRate.objects.for_codes([hsn]).on(self.day)), hsn)

    def _schedule(self, key: UUID) -> differences.DifferenceSchedule:
        row = QualitySchedule.objects.select_related("pricing_unit").get(pk=key)
        own = schedules.terms_of(row, day=self.day)
        price = own.price
        if price is None or price.currency == rates.HOME:
            return own
        # Money of another currency counts as so much less of a unit in rupees.
        exchange = self.inr(price.currency)
        in_rupees = differences.Price(rates.HOME, price.divisor, price.dimension, price.factor / exchange)
        return differences.DifferenceSchedule(
            mode=own.mode, lines=own.lines, price=in_rupees, cap_percent=own.cap_percent
        )

    def inr(self, currency: str) -> Fraction:
        """INR per unit of a currency. Raises NotComparable."""
        if currency == rates.HOME:
            return Fraction(1)
        self.until(self.day)
        exchange: Fraction | None = self.exchange(currency)
        if exchange is None:
            raise pricing.NotComparable("rate")
        return exchange

    def unit_kg(self, unit: PricingUnit, version: int | None, package_kg: Fraction) -> Fraction:
        """Kilograms that a price is for. Raises NotComparable."""
        factor = self.factor(unit.unit_id, version)
        if factor is None:
            raise pricing.NotComparable("unit")
        return package_kg if factor.dimension == "COUNT" else Fraction(factor.value)

    def gst(self, hsn: str | None, country: str, basis: str | None, condition: str | None) -> Fraction | None:
        """GST as a share; nothing on exports and goods abroad, None where the rate isn't known."""
        if hsn is None or country != "IN" or basis in EXPORT_BASES:
            return Fraction(0)
        found = self.tax(hsn)
        rate = found.get(condition or ANY) or found.get(ANY)
        if rate is None:
            return None
        self.until(rate.valid_to)
        return Fraction(rate.rate_percent) / 100


# Offers


def refresh_offers(rows: Any, rules: Mapping[UUID, Rules], *, day: date | None = None) -> int:
    """Compute the profiles of live offers among ``rows`` that are missing or of another version; return how many.

    ``rules``: those of every commodity among them.
    """
    day = day or clock.today()
    current = Q(match_profile__listing_version=F("version"))
    fresh = Q(match_profile__fresh_until=None) | Q(match_profile__fresh_until__gte=day)
    same_rules = Q(pk__in=())
    for commodity_id, each in rules.items():
        same_rules |= Q(commodity_id=commodity_id, match_profile__priced_by=each.pricing)
    stale = rows.filter(commodity__in=list(rules), status=Availability.Status.ACTIVE).exclude(
        current & fresh & same_rules
    )
    keys, figures = list(stale.order_by("pk").values_list("pk", flat=True)), _Figures(day)
    for start in range(0, len(keys), CHUNK):
        offers = _offers(keys[start : start + CHUNK])
        made = [offer_profile(offer, rules[offer.commodity_id], figures) for offer in offers]
        _write(OfferProfile, "availability", made)
    return len(keys)


def _offers(keys: Collection[UUID]) -> Any:
    # Many offers share few of these rows: each is read once, and not once for each offer or result.
    quality = QualityValue.objects.filter(governing=True).prefetch_related("parameter", "test_report")
    return (
        Availability.objects.filter(pk__in=keys)
        .prefetch_related(
            "commodity",
            "pricing_unit",
            "seller_partner",
            "location",
            Prefetch("quality", quality, to_attr="governing_values"),
            Prefetch("lots", Lot.objects.order_by("position"), to_attr="all_lots"),
        )
        .order_by("pk")
    )


def _write(model: Any, subject: str, made: Sequence[Any]) -> None:
    """Write profiles over those that are there, in the order of their subjects."""
    columns = [field.name for field in model._meta.concrete_fields if field.name not in ("id", subject)]
    model.objects.bulk_create(made, update_conflicts=True, unique_fields=[subject], update_fields=columns)


def offer_profile(offer: Any, rules: Rules, figures: _Figures) -> OfferProfile:
    """The profile of one offer; what can't be computed is named instead."""
    figures.fresh_until = None
    counted = offer.commodity.is_counted_in(offer.unit)
    home, abroad = (
        permission_for(offer.country, country, offer.price_basis, seller_country=offer.seller_partner.country)
        for country in (offer.country, ABROAD)
    )
    latitude, longitude = _coordinates(offer.latitude, offer.longitude, offer.location)
    heavy = offer.total_weight_kg * 1000 > MOST_GRAMS or offer.total_quantity * 1000 > MOST_GRAMS
    lots = offer.all_lots or [None]
    results = [_results(offer, lot) for lot in lots]
    row = OfferProfile(
        availability=offer,
        listing_version=offer.version,
        commodity_id=offer.commodity_id,
        state_code=offer.state_code,
        priced_by=rules.pricing,
        latitude=latitude,
        longitude=longitude,
        quantity_problem="range" if heavy else "",
        counted=counted,
        delivered=offer.price_basis in DELIVERED,
        quality=_quality(results),
        sell_home=home.seller,
        buy_home=home.buyer,
        sell_abroad=abroad.seller,
        buy_abroad=abroad.buyer,
        lots=_identity(offer.all_lots),
        flags=["provisional"] if offer.price_type in PROVISIONAL else [],
    )
    gst = figures.gst(offer.commodity.hsn_code, offer.country, offer.price_basis, offer.tax_condition)
    row.gst = None if gst is None else rounded(gst, 6)
    values = [{key: value for key, (value, _) in each.items()} for each in results]
    try:
        schedule = None if rules.body.schedule_id is None else figures.schedule(rules.body.schedule_id)
        row.beyond_limits = schedule is not None and any(pricing.is_beyond(schedule, each) for each in values)
        if offer.unit_price is not None:
            _price(row, offer, gst, schedule, values, rules, figures)
    except pricing.NotComparable as problem:
        row.price_problem, row.quoted, row.equalised = str(problem), [], []
    row.fresh_until = figures.fresh_until
    row.facts = {
        "terms_version": offer.terms_version,
        "schedule": None if rules.body.schedule_id is None else str(rules.body.schedule_id),
        "pricing_unit_version": offer.pricing_unit_version,
        "rate_date": str(figures.day) if offer.currency != rates.HOME else None,
    }
    return row


def _price(
    row: OfferProfile,
    offer: Any,
    gst: Fraction | None,
    schedule: differences.DifferenceSchedule | None,
    lots: list[dict[tuple[str, str], Decimal | str]],
    rules: Rules,
    figures: _Figures,
) -> None:
    """Quoted and equalised price of each step. Of several lots the dearest at base quality counts."""
    inclusive = offer.tax_basis == Availability.TaxBasis.INCLUSIVE
    if gst is None and (inclusive or rules.body.tax_view == "INCLUDE"):
        raise pricing.NotComparable("tax_rate")
    package = Fraction(offer.total_weight_kg) / Fraction(offer.total_quantity)
    unit_kg = figures.unit_kg(offer.pricing_unit, offer.pricing_unit_version, package)
    exchange = figures.inr(offer.currency)
    if offer.quality_schedule_id is not None:
        if offer.quality_schedule_id != rules.body.schedule_id and rules.body.schedule_id is not None:
            row.flags = [*row.flags, "other_schedule"]
        schedule = None  # it is quoted at base
    asks = [(Decimal(0), offer.unit_price)]
    asks += [(Decimal(step["min_quantity"]), Decimal(step["unit_price"])) for step in offer.price_steps]
    row.steps = [least for least, _ in asks[1:]]
    for _, ask in asks:
        price = pricing.net(ask, offer.pricing_unit.divisor, gst if inclusive else None) * exchange
        at_base = [price]
        if schedule is not None:
            at_base = [pricing.equalised(price, unit_kg, schedule, results) for results in lots]
        row.quoted = [*row.quoted, pricing.per_kg(price, unit_kg)]
        row.equalised = [*row.equalised, pricing.per_kg(max(at_base), unit_kg)]


def _results(offer: Any, lot: Any) -> dict[tuple[str, str], tuple[Decimal | str, bool]]:
    """The governing results of a lot, by parameter and method, and whether a report behind each is verified."""
    found = {}
    for value in sorted(
        offer.governing_values, key=lambda each: each.lot_id is not None
    ):  # the lot's own last
        if value.lot_id in (None, lot and lot.pk):
            result = value.value_text if value.value_number is None else value.value_number
            found[value.parameter.code, value.method] = (result, value.is_verified)
    return found


def _quality(lots: list[dict[tuple[str, str], tuple[Decimal | str, bool]]]) -> dict[str, Any]:
    """Results that every lot has: lowest and highest in 10⁻⁴, or the codes; verified where each is."""
    quality: dict[str, Any] = {}
    for key in sorted(set.intersection(*(set(each) for each in lots))):
        values = [each[key][0] for each in lots]
        entry: dict[str, Any] = {"v": all(each[key][1] for each in lots)}
        numbers = [int(value * POINTS) for value in values if isinstance(value, Decimal)]
        if numbers:
            entry |= {"lo": min(numbers), "hi": max(numbers)}
        else:
            entry["c"] = sorted({str(value) for value in values})
        quality["|".join(key)] = entry
    return quality


def _identity(lots: Iterable[Any]) -> str:
    known = sorted(
        (lot.press_mark, lot.crop_year, lot.pr_from or 0, lot.pr_to or 0) for lot in lots if lot.press_mark
    )
    return sha256(repr(known).encode()).hexdigest() if known else ""


def _coordinates(latitude: Any, longitude: Any, place: Location | None) -> tuple[Any, Any]:
    """Own coordinates, else those of the place or of its nearest ancestor."""
    while latitude is None and place is not None:
        latitude, longitude, place = place.latitude, place.longitude, place.parent
    return (latitude, longitude) if longitude is not None else (None, None)


# Requirements


def refresh_wants(rows: Any, *, day: date | None = None) -> int:
    """Compute the profiles of live requirements among ``rows`` that are missing or of another version."""
    day = day or clock.today()
    fresh = Q(match_profile__fresh_until=None) | Q(match_profile__fresh_until__gte=day)
    stale = rows.filter(status__in=Requirement.LIVE).exclude(
        Q(match_profile__listing_version=F("version")) & fresh
    )
    keys, figures = list(stale.order_by("pk").values_list("pk", flat=True)), _Figures(day)
    advances = dict(PaymentTerms.objects.values_list("pk", "advance_percent")) if keys else {}
    for start in range(0, len(keys), CHUNK):
        wanted = _wants(keys[start : start + CHUNK])
        accounts = CreditAccount.objects.filter(partner__in=[row.buyer_partner_id for row in wanted])
        currencies = dict(accounts.values_list("partner_id", "currency"))
        made = [
            want_profile(row, figures, advances, currencies.get(row.buyer_partner_id, rates.HOME))
            for row in wanted
        ]
        _write(WantProfile, "requirement", made)
    return len(keys)


def _wants(keys: Collection[UUID]) -> list[Any]:
    bands = Band.objects.select_related("parameter").order_by("parameter__code")
    places = DeliveryPlace.objects.select_related("location").order_by("position")
    rows = Requirement.objects.filter(pk__in=keys).select_related(
        "commodity", "pricing_unit", "buyer_location"
    )
    return list(
        rows.prefetch_related(
            Prefetch("bands", bands, to_attr="all_bands"), Prefetch("places", places, to_attr="all_places")
        ).order_by("pk")
    )


def want_profile(
    row: Any, figures: _Figures, advances: Mapping[UUID, Any], account_currency: str
) -> WantProfile:
    """The profile of one requirement; what can't be computed is named instead."""
    figures.fresh_until = None
    first = row.all_places[0] if row.all_places else None
    latitude, longitude = _coordinates(row.latitude, row.longitude, first and first.location)
    heavy = row.max_quantity * row.kg_per_unit * 1000 > MOST_GRAMS
    profile = WantProfile(
        requirement=row,
        listing_version=row.version,
        commodity_ids=[row.commodity_id, *row.substitute_ids],
        latitude=latitude,
        longitude=longitude,
        quantity_problem="range" if heavy else "",
        counted=row.commodity.is_counted_in(row.unit),
        gram_per_unit=row.kg_per_unit * 1000,
        bands=[_band(each) for each in row.all_bands],
        places=[place for place in map(_place, row.all_places) if place is not None],
        delivered=row.price_basis in DELIVERED,
    )
    gst = figures.gst(row.commodity.hsn_code, row.country, row.price_basis, None)
    inclusive = row.tax_basis == Requirement.TaxBasis.INCLUSIVE
    try:
        unit_kg = figures.unit_kg(row.pricing_unit, row.pricing_unit_version, Fraction(row.kg_per_unit))
        exchange = figures.inr(row.currency)
        if inclusive and gst is None:
            raise pricing.NotComparable("tax_rate")
        for name in ("target", "ceiling"):
            price = getattr(row, f"{name}_price")
            if price is not None:
                without_tax = pricing.net(price, row.pricing_unit.divisor, gst if inclusive else None)
                setattr(profile, name, pricing.per_kg(without_tax * exchange, unit_kg))
        profile.smallest_credit = _smallest_credit(
            row,
            Fraction(row.pricing_unit.divisor) * unit_kg,
            gst,
            inclusive,
            advances,
            account_currency,
            figures,
        )
    except pricing.NotComparable as problem:
        profile.price_problem = str(problem)
        profile.target = profile.ceiling = None
    profile.fresh_until = figures.fresh_until
    profile.facts = {
        "terms_version": row.terms_version,
        "rate_date": str(figures.day) if row.currency != rates.HOME else None,
    }
    return profile


def _smallest_credit(
    row: Any,
    kg_per_price: Fraction,
    gst: Fraction | None,
    inclusive: bool,
    advances: Mapping[UUID, Any],
    currency: str,
    figures: _Figures,
) -> Decimal | None:
    """The credit that the smallest deal needs, in the account's currency (risk §5.2); None where a rate is missing.

    Of several accepted terms the one that needs least counts; where any are accepted, one that needs none.
    """
    advance = max((advances[key] for key in row.payment_term_ids if key in advances), default=100)
    prices = (row.ceiling_price, row.target_price, row.reference_price)
    price = next((each for each in prices if each is not None), None)
    if advance >= 100 or price is None:
        return Decimal(0)
    if gst is None and not inclusive:
        return None
    exchange = rates.exchange(row.currency, currency, figures.day)
    if exchange is None:
        return None
    kilograms = Fraction(min(row.min_quantity, row.open_quantity)) * Fraction(row.kg_per_unit)
    value = kilograms * Fraction(price) / kg_per_price
    if not inclusive:
        value *= 1 + (gst or Fraction(0))
    return rounded(value * (100 - Fraction(advance)) / 100 * exchange, 2)


def _band(row: Band) -> dict[str, Any]:
    parameter = row.parameter

    def points(value: Decimal | None) -> int | None:
        return None if value is None else int(value * POINTS)

    method = row.method or parameter.default_method
    return {
        "code": parameter.code,
        "name": parameter.name,
        "unit": parameter.unit,
        "key": f"{parameter.code}|{method}",
        "direction": parameter.direction,
        "min": points(row.minimum),
        "max": points(row.maximum),
        "best": points(row.preferred),
        "codes": list(row.accepted_codes),
        "is_code": not parameter.is_number,
        "required": row.required,
        "tolerance": points(parameter.tolerance) or 0,
    }


def _place(row: DeliveryPlace) -> dict[str, Any] | None:
    if row.max_distance_km is None:
        return None
    latitude, longitude = _coordinates(row.latitude, row.longitude, row.location)
    at = {"lat": None, "lon": None} if latitude is None else {"lat": str(latitude), "lon": str(longitude)}
    return {**at, "m": row.max_distance_km * 1000}


def refresh_for(
    commodity_ids: Collection[UUID], *, offers: Any = None, wants: Any = None
) -> dict[UUID, Rules]:
    """Bring the profiles that a run will read up to date, and return the rules of the commodities."""
    rules = active_rules(commodity_ids)
    refresh_offers(Availability.objects.all() if offers is None else offers, rules)
    refresh_wants(Requirement.objects.all() if wants is None else wants)
    return rules


def work_on_copies(commodity_ids: Collection[UUID], want_ids: Collection[UUID]) -> None:
    """Until the transaction ends: read and compute profiles in tables of the session, which read-only ones may write.

    They hide the stored ones by their names, so the statements of a run read them as they are.
    """
    chosen = ((OfferProfile, "commodity_id", commodity_ids), (WantProfile, "requirement_id", want_ids))
    with connection.cursor() as cursor:
        for model, column, keys in chosen:
            table = model._meta.db_table
            columns = ", ".join(
                str(each.column) for each in model._meta.concrete_fields if not each.primary_key
            )
            cursor.execute(
                f"CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING ALL) ON COMMIT DROP;"
                f" INSERT INTO {table} ({columns}) SELECT {columns} FROM public.{table} WHERE {column} = ANY(%s);"  # noqa: S608
                f" ANALYZE {table}",
                [list(keys)],
            )


def forget(*, commodity_ids: Collection[UUID] = (), offer_ids: Collection[UUID] = ()) -> None:
    """Drop profiles whose rates, units or results have changed; the next run computes them again."""
    OfferProfile.objects.filter(Q(commodity__in=commodity_ids) | Q(availability__in=offer_ids)).delete()
    WantProfile.objects.filter(commodity_ids__overlap=list(commodity_ids)).delete()
