"""The terms of a new trade: what match or negotiation fix, what staff add, and what parties and goods bring."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from apps.availability.models import Availability, Reservation
from apps.availability.models import Lot as OfferLot
from apps.commodities.services import schedules
from apps.commodities.services.factors import factors
from apps.commodities.tax import NoTaxRate, tax_on
from apps.locations.models import Location
from apps.matching.models import Match
from apps.partners.models import Partner, TaxRegistration
from apps.requirement.models import Requirement
from apps.trades import engine
from apps.trades.engine import errors as engine_errors
from apps.trades.engine import terms as t
from apps.trades.engine.terms import Role
from apps.trades.services import rules
from erp.uploads.models import StoredFile

MISSING: Final = object()
QUALITY: Final = {"final_source": MISSING, "bales_per_sample": 20, "claim_days": 7}
WEIGHT: Final = {
    "final": MISSING, "franchise_kind": "NONE", "franchise_percent": Decimal(0),
    "tolerance_percent": Decimal(5), "claim_days": 3,
}  # fmt: skip
PAYMENT: Final = {
    "advance_percent": Decimal(0), "advance_days": 0, "balance_days": 0, "balance_from": "INVOICE",
    "day_kind": "CALENDAR", "carrying_slabs": (), "carrying_tax": "AS_GOODS",
}  # fmt: skip
DELIVERY: Final = {"free_days": 0, "late_slabs": ()}
_REGISTERED = {TaxRegistration.Type.COMPOSITION.value: t.TaxStatus.COMPOSITION}


@dataclass(frozen=True)
class Source:
    """What a trade is made from. Terms that are None are for staff to choose; the others are fixed."""

    match: Match
    negotiation: Any
    requirement: Requirement
    offer: Availability
    reservation: Reservation
    price: Decimal
    payment_term: Any
    delivery_term: Any
    passing_term: Any
    weighment_term: Any
    window: tuple[date, date] | None


@dataclass(frozen=True)
class PartyRow:
    """A party as it is stored beside the terms."""

    role: Role
    partner: Partner
    registration: TaxRegistration | None
    frozen: t.Party
    external_ref: str
    declaration: StoredFile | None


@dataclass(frozen=True)
class Draft:
    """The terms of a new trade with the rows that they were taken from."""

    terms: t.Terms
    parties: list[PartyRow]
    lots: list[tuple[OfferLot | None, t.Lot]]


class _Values:
    """Values of one group of terms: from the input, a row of terms, or the default."""

    def __init__(self, group: str, given: Mapping[str, Any], row: Any, *, is_fixed: bool) -> None:
        self.group, self.given, self.row, self.is_fixed = group, given, row, is_fixed

    def take(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Raises TermFixed for another value than the source's, TermsIncomplete where there is none."""
        return {name: self._value(name, default) for name, default in defaults.items()}

    def _value(self, name: str, default: Any) -> Any:
        pointer = f"/{self.group}/{name}"
        known = getattr(self.row, name, None)
        if known is not None:
            known = _slabs(known) if name.endswith("_slabs") else known
        given = self.given.get(name)
        if given is not None:
            given = _slabs(given) if name.endswith("_slabs") else given
            if known is not None and self.is_fixed and given != known:
                raise rules.TermFixed.at(pointer, "fixed", "Leave it out, or send what was agreed.")
            return given
        if known is not None:
            return known
        if default is MISSING:
            raise rules.TermsIncomplete.at(pointer, "required", "Neither the input nor the source has it.")
        return default


def _slabs(rows: Any) -> tuple[t.Slab, ...]:
    return tuple(t.Slab(days=row["days"], annual_percent=Decimal(row["annual_percent"])) for row in rows)


def _row(group: str, name: str, given: Mapping[str, Any], fixed: Any) -> tuple[Any, bool]:
    """The row of terms, and whether the source fixes it."""
    chosen = given.get(name)
    if fixed is None:
        return chosen, False
    if chosen is not None and chosen.pk != fixed.pk:
        raise rules.TermFixed.at(f"/{group}/{name}_id", "fixed", "Leave it out, or send what was agreed.")
    return fixed, True


def draft(
    source: Source, *, trade_date: date, quantity: Decimal, weight_kg: Decimal, content: Mapping[str, Any]
) -> Draft:
    """Build the terms of a trade. Raises the problems of terms."""
    offer, reservation = source.offer, source.reservation
    groups = {name: content.get(name) or {} for name in ("quality", "weight", "delivery", "payment")}
    passing, passing_fixed = _row("quality", "passing_term", groups["quality"], source.passing_term)
    weighing, weighing_fixed = _row("weight", "weighment_term", groups["weight"], source.weighment_term)
    delivery, delivery_fixed = _row("delivery", "delivery_term", groups["delivery"], source.delivery_term)
    paying, paying_fixed = _row("payment", "payment_term", groups["payment"], source.payment_term)
    weight = _Values("weight", groups["weight"], weighing, is_fixed=weighing_fixed).take(WEIGHT)
    unit = _unit(source, content)
    price = source.price
    tree = t.Flat(price=price)
    place = _places(source, groups["delivery"])
    parties = _parties(source, content, trade_date)
    lots = _lots(source, content, quantity, weight_kg)
    counted = offer.commodity.is_counted_in(offer.unit)
    schedule = _schedule(source, content, trade_date)
    if reservation.currency != "INR":
        raise engine_errors.TermsUnsupported(
            "Only contracts in rupees are made yet: there is no rate of exchange."
        )
    direction = _direction(place)
    _require_rate(offer, trade_date, direction)
    terms = t.Terms(
        trade_date=trade_date,
        currency=reservation.currency,
        unit=unit,
        goods=t.Goods(
            commodity=offer.commodity.code,
            hsn=offer.commodity.hsn_code or "",
            variety=offer.variety.name if offer.variety is not None else "",
        ),
        count=int(quantity) if counted else None,
        count_unit=offer.unit if counted else "",
        weight_kg=weight_kg,
        lots=tuple(lot for _, lot in lots),
        price=tree,
        schedule=schedule,
        quality=t.Quality(
            **_Values("quality", groups["quality"], passing, is_fixed=passing_fixed).take(QUALITY)
        ),
        weight=t.Weight(
            final=t.WeightFinal(weight.pop("final")),
            franchise_kind=t.Franchise(weight.pop("franchise_kind")),
            tare_method=t.TareMethod(getattr(weighing, "tare_method", t.TareMethod.ACTUAL)),
            weight=t.WeightKind(getattr(weighing, "weight", t.WeightKind.NET)),
            deduction_percent=Decimal(getattr(weighing, "deduction_percent", 0)),
            **weight,
        ),
        delivery=_delivery(source, groups["delivery"], delivery, place, is_fixed=delivery_fixed),
        payment=_payment(_Values("payment", groups["payment"], paying, is_fixed=paying_fixed).take(PAYMENT)),
        parties=tuple(row.frozen for row in parties),
        round_off=t.RoundOff.WHOLE if reservation.currency == "INR" else t.RoundOff.NONE,
        premium_cap_percent=content.get("premium_cap_percent"),
        brokerage=tuple(
            t.Brokerage(side=t.Side(row["side"]), basis=t.Basis(row["basis"]), rate=row["rate"])
            for row in content.get("brokerage") or ()
        ),
        charges=tuple(
            t.Charge(
                kind=t.ChargeKind(row["kind"]),
                basis=t.Basis(row["basis"]),
                rate=row["rate"],
                taxable=row.get("taxable", True),
                from_quantity=row.get("from_quantity"),
            )
            for row in content.get("charges") or ()
        ),
        direction=direction,
        tax_basis=t.TaxBasis(reservation.tax_basis or t.TaxBasis.EXCLUSIVE),
        rule_book=_rule_book(content),
        rounding=engine.version(engine.CURRENT).rounding(reservation.currency),
        references={
            name: str(value)
            for name, value in {
                "availability_id": offer.pk,
                "passing_term_id": getattr(passing, "pk", None),
                "weighment_term_id": getattr(weighing, "pk", None),
                "delivery_term_id": getattr(delivery, "pk", None),
                "payment_term_id": getattr(paying, "pk", None),
                "from_location_id": place["from_id"],
                "to_location_id": place["to_id"],
                "goods_country": place["from_country"],
                "tax_condition": offer.tax_condition,
                "destination_country": place["to_country"],
            }.items()
            if value is not None
        },
    )
    return Draft(terms, parties, lots)


def _unit(source: Source, content: Mapping[str, Any]) -> t.Unit:
    """The pricing unit with the definition that the reservation pinned; per package it has no weight."""
    quoted, version = source.offer.pricing_unit, source.reservation.pricing_unit_version
    if quoted is None or version is None:
        raise engine_errors.UnitMismatch("The price is not quoted by weight.")
    chosen = content.get("unit_definition")
    if chosen is not None and (chosen.unit_id, chosen.unit_version) != (quoted.unit_id, version):
        raise rules.TermFixed.at(
            "/unit_definition_id", "fixed", f"The reservation stands on version {version}."
        )
    factor = factors(
        [quoted.unit_id], on=source.reservation.created_at.date(), versions={quoted.unit_id: version}
    )[quoted.unit_id]
    return t.Unit(
        code=quoted.code,
        unit=quoted.unit_id,
        definition_version=version,
        source=factor.source,
        numerator=factor.numerator,
        denominator=factor.denominator,
        currency=quoted.currency,
        divisor=quoted.divisor,
        dimension=factor.dimension,
    )


def _schedule(source: Source, content: Mapping[str, Any], day: date) -> t.Schedule | None:
    fixed, chosen = source.offer.quality_schedule, content.get("schedule")
    if fixed is not None and chosen is not None and chosen.pk != fixed.pk:
        raise rules.TermFixed.at("/schedule_id", "fixed", "The offer names another schedule.")
    row = fixed or chosen
    if row is None:
        return None
    if row.commodity_id != source.offer.commodity_id:
        raise rules.SourceMismatch.at("/schedule_id", "mismatch", "The schedule is about other goods.")
    return t.Schedule(code=row.code, version=row.schedule_version, rules=schedules.terms_of(row, day=day))


def _rule_book(content: Mapping[str, Any]) -> str:
    book = content.get("rule_book")
    return f"{book['code']} {book['version']}" if book else ""


def _places(source: Source, given: Mapping[str, Any]) -> dict[str, Any]:
    """Where the goods are and where they go; the offer's own place is fixed."""
    offer = source.offer
    wanted: Any = source.requirement.places.order_by("position").first()
    start: Location | None = given.get("from_location")
    if offer.location is not None:
        if start is not None and start.pk != offer.location_id:
            raise rules.TermFixed.at("/delivery/from_location_id", "fixed", "The offer names another place.")
        start = offer.location
    end: Location | None = given.get("to_location") or (wanted.location if wanted is not None else None)
    if end is None and (wanted is None or not wanted.state_code):
        raise rules.TermsIncomplete.at("/delivery/to_location_id", "required", "Name the place of delivery.")
    return {
        "from_id": start and start.pk,
        "from_state": offer.state_code if start is None else start.state_id or "",
        "from_country": offer.country if start is None else start.country,
        "to_id": end and end.pk,
        "to_state": (end.state_id or "") if end is not None else wanted.state_code,
        "to_country": source.requirement.country if end is None else end.country,
    }


def _direction(place: Mapping[str, Any]) -> t.Direction:
    if place["from_country"] == place["to_country"]:
        return t.Direction.DOMESTIC
    return t.Direction.EXPORT if place["from_country"] == "IN" else t.Direction.IMPORT


def _require_rate(offer: Availability, day: date, direction: t.Direction) -> None:
    """Raise TaxRuleMissing where the goods have no GST rate on the trade date."""
    if direction is not t.Direction.DOMESTIC or not offer.commodity.hsn_code:
        return
    try:
        tax_on(offer.commodity.hsn_code, day, offer.tax_condition)
    except NoTaxRate as missing:
        raise engine_errors.TaxRuleMissing(str(missing.detail)) from missing


def _delivery(
    source: Source, given: Mapping[str, Any], row: Any, place: Mapping[str, Any], *, is_fixed: bool
) -> t.Delivery:
    values = _Values("delivery", given, row, is_fixed=is_fixed).take(DELIVERY)
    start, end = source.window or (given.get("window_start"), given.get("window_end"))
    if source.window is not None and (
        (given.get("window_start") or start) != start or (given.get("window_end") or end) != end
    ):
        raise rules.TermFixed.at("/delivery/window_start", "fixed", "The negotiation agreed another window.")
    if start is None or end is None:
        raise rules.TermsIncomplete.at("/delivery/window_start", "required", "Name the delivery window.")
    basis = row.basis if row is not None else source.reservation.price_basis
    if not basis:
        raise rules.TermsIncomplete.at("/delivery/delivery_term_id", "required", "Name the delivery terms.")
    return t.Delivery(
        basis=basis,
        from_state=place["from_state"],
        to_state=place["to_state"],
        window_start=start,
        window_end=end,
        **values,
    )


def _payment(values: dict[str, Any]) -> t.PaymentTerms:
    return t.PaymentTerms(
        balance_from=t.BalanceFrom(values.pop("balance_from")),
        day_kind=t.DayKind(values.pop("day_kind")),
        carrying_tax=t.NoteTax(values.pop("carrying_tax")),
        **values,
    )


def _lots(
    source: Source, content: Mapping[str, Any], quantity: Decimal, weight_kg: Decimal
) -> list[tuple[OfferLot | None, t.Lot]]:
    """The lots as named; none named: the offer's only lot, or one that stands for the parcel."""
    offer = source.offer
    own = {lot.pk: lot for lot in offer.lots.order_by("position")}
    named = content.get("lots") or ()
    if not named:
        only = next(iter(own.values())) if len(own) == 1 else None
        count = int(quantity) if offer.commodity.is_counted_in(offer.unit) else None
        return [
            (only, t.Lot(lot_no=only.lot_no if only else offer.number, count=count, estimated_kg=weight_kg))
        ]
    rows = []
    for number, entry in enumerate(named):
        lot = own.get(entry.get("lot_id"))
        if entry.get("lot_id") is not None and lot is None:
            words = "The offer has no such lot."
            raise engine_errors.LotsMismatch.at(f"/lots/{number}/lot_id", "does_not_exist", words)
        name = entry.get("lot_no") or (lot.lot_no if lot is not None else "")
        if not name:
            raise engine_errors.LotsMismatch.at(
                f"/lots/{number}/lot_no", "required", "Enter the lot's number."
            )
        rows.append((lot, t.Lot(lot_no=name, count=entry.get("count"), estimated_kg=entry["estimated_kg"])))
    return rows


# Parties


def _parties(source: Source, content: Mapping[str, Any], day: date) -> list[PartyRow]:
    """Seller and buyer of the source, and whom the input adds."""
    sides = {Role.SELLER: source.offer.seller_partner, Role.BUYER: source.reservation.holder_partner}
    given = [(number, entry) for number, entry in enumerate(content.get("parties") or ())]
    rows: list[PartyRow] = []
    named: tuple[Any, Mapping[str, Any]]
    seen: set[tuple[str, UUID]] = set()
    for role, partner in sides.items():
        named = next(((n, e) for n, e in given if e["role"] == role), (None, {}))
        chosen = named[1].get("partner")
        if chosen is not None and chosen.pk != partner.pk:
            raise rules.TermFixed.at(
                f"/parties/{named[0]}/partner_id", "fixed", "The source names the sides."
            )
        rows.append(party_of(role, partner, named[1], day, f"/parties/{named[0]}"))
    for number, entry in given:
        role = Role(entry["role"])
        if role in sides:
            continue
        if (role, entry["partner"].pk) in seen:
            raise rules.PartyInvalid.at(f"/parties/{number}", "duplicate", "The party occurs twice.")
        seen.add((role, entry["partner"].pk))
        if role is Role.CONTROLLER and _is_near(entry["partner"], sides.values()):
            words = "A controller belongs to neither side."
            raise rules.PartyInvalid.at(f"/parties/{number}/partner_id", "not_independent", words)
        rows.append(party_of(role, entry["partner"], entry, day, f"/parties/{number}"))
    singles = [
        row.role for row in rows if row.role not in (Role.BROKER_SELLER, Role.BROKER_BUYER, Role.CONTROLLER)
    ]
    if len(singles) != len(set(singles)):
        raise rules.PartyInvalid.at("/parties", "duplicate", "Two partners have one role.")
    return rows


def _is_near(partner: Partner, sides: Iterable[Partner]) -> bool:
    """Whether the partner is one of the sides, or of the group of one."""
    groups = {side.group_id for side in sides} - {None}
    return partner.pk in {side.pk for side in sides} or partner.group_id in groups


def party_of(role: Role, partner: Partner, entry: Mapping[str, Any], day: date, pointer: str) -> PartyRow:
    """A party with its registration and tax status on the day. Raises RegistrationNotOfParty, PartyInvalid."""
    registration: TaxRegistration | None = entry.get("registration")
    usable = TaxRegistration.objects.filter(
        Q(cancelled_date=None) | Q(cancelled_date__gt=day),
        Q(registration_date=None) | Q(registration_date__lte=day),
        partner=partner,
        registry_status__in=("active", "unknown"),
    )
    if registration is None:
        registration = usable.order_by("-is_main", "created_at").first()
    elif not usable.filter(pk=registration.pk).exists():
        raise rules.RegistrationNotOfParty.at(f"{pointer}/registration_id", "not_usable", "Choose another.")
    declaration: StoredFile | None = entry.get("declaration")
    if declaration is not None and partner.legal_form not in (
        Partner.LegalForm.PROPRIETORSHIP,
        Partner.LegalForm.HUF,
    ):
        words = "Only an individual or a Hindu undivided family is an agriculturist."  # CGST Act s. 2(7)
        raise rules.PartyInvalid.at(f"{pointer}/declaration_upload_id", "legal_form", words)
    if partner.country != "IN":
        status = t.TaxStatus.FOREIGN
    elif registration is not None:
        status = _REGISTERED.get(str(registration.type), t.TaxStatus.REGISTERED)
    else:
        status = t.TaxStatus.AGRICULTURIST if declaration is not None else t.TaxStatus.UNREGISTERED
    state = registration.state_code if registration is not None else partner.state_code or ""
    return PartyRow(
        role,
        partner,
        registration,
        t.Party(
            role=role,
            partner_id=str(partner.pk),
            state_code=state,
            tax_status=status,
            has_pan=partner.pan_hash is not None,
            share=entry.get("share"),
            is_sez=registration is not None and registration.type == TaxRegistration.Type.SEZ,
            is_individual=partner.legal_form in (Partner.LegalForm.PROPRIETORSHIP, Partner.LegalForm.HUF),
        ),
        entry.get("external_ref") or "",
        declaration,
    )
