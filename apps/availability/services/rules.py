"""What services of offers share: problems, checks, figures of an offer, and the head of its events."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Final

from django.conf import settings

from apps.availability.models import Availability, Reservation
from apps.availability.services import listing
from apps.commodities.exact import Factor, amount, rounded
from apps.commodities.market import FEWEST_OBSERVATIONS, FEWEST_PARTNERS
from apps.commodities.services.factors import factors, price_of
from apps.commodities.tax import tax_on
from apps.partners.models import Partner
from apps.partners.services.gate import EXPORT_BASES, permission_for, reasons_against
from erp import clock
from erp.errors import Conflict, Forbidden, RuleBroken

HOURS_FOR_STAFF: Final = 168
_KG: Final = Factor(unit="KG", unit_version=1, dimension="MASS", numerator=1, denominator=1, source="")


class InvalidState(Conflict):
    """The offer's status doesn't allow this action."""


class SellerNotEligible(Conflict):
    """The seller isn't open for new business at present."""


class HolderNotEligible(Conflict):
    """The buyer isn't open for new business at present."""


class QuantityExceeded(Conflict):
    """The quantity exceeds what is available."""


class WindowOver(Conflict):
    """The offer's window has closed."""


class LotAlreadyOffered(Conflict):
    """Packages with these press-running numbers are already on offer."""

    constraints = ("lot_offered_once",)


class TestReportMissing(Conflict):
    """The passing terms require a test report, and there is none."""


class TestReportExists(Conflict):
    """The offer already has this report."""

    constraints = ("test_report_once",)


class BelowCommitted(Conflict):
    """The total is below what is reserved, sold or withdrawn."""


class OfferFirm(Conflict):
    """A firm offer can't be made worse or cancelled before its time."""


class HoldsOpen(Conflict):
    """There are reservations on the offer."""


class PriceChangesUsedUp(Conflict):
    """The price was changed as often as one trading day allows."""


class ThroughMatch(Conflict):
    """This offer is reserved through a match only."""


class ReservationLimit(Conflict):
    """Too many reservations of this offer ended without a trade. Try again in some days."""


class ReservationClosed(Conflict):
    """The reservation has ended."""


class ReservationInTrade(Conflict):
    """The reservation backs a trade."""


class ReservationNotInTrade(Conflict):
    """The reservation backs no trade."""


class ReservationBound(Conflict):
    """The reservation belongs to an accepted negotiation."""


class ReservationExpired(Conflict):
    """The reservation has run out."""


class TradeMismatch(Conflict):
    """The reservation backs another trade, or the trade another reservation."""

    constraints = ("reservation_one_per_trade",)


class ReservationNotFound(RuleBroken):
    """The offer has no such reservation that you can use."""


class RelatedParty(RuleBroken):
    """Buyer and seller are related parties."""


class BelowMinimum(RuleBroken):
    """The quantity is below the offer's minimum."""


class WholeLotOnly(RuleBroken):
    """The offer is sold only as a whole."""


class QuantityNotWhole(RuleBroken):
    """Quantity must be a whole number of packages."""


class HoldTooLong(RuleBroken):
    """The reservation is longer than the offer allows."""


class PriceUnknown(RuleBroken):
    """The offer has no price, so the credit that the reservation needs is unknown."""


class RateMissing(RuleBroken):
    """The offer's currency differs from that of the buyer's credit limit, and no rate is known."""


class UnitNotAllowed(RuleBroken):
    """The commodity isn't traded in this unit."""


class LotsMismatch(RuleBroken):
    """The lots don't fit the offer or each other."""


class QualityInvalid(RuleBroken):
    """One or more quality values are invalid."""


class PriceInvalid(RuleBroken):
    """The price is invalid."""


class StepsInvalid(RuleBroken):
    """The price steps are invalid."""


class WindowInvalid(RuleBroken):
    """The dates of the offer are invalid."""


class PlaceInvalid(RuleBroken):
    """The place is incomplete."""


class VisibilityInvalid(RuleBroken):
    """The invited partners don't fit the visibility."""


class MediaInvalid(RuleBroken):
    """A picture is unknown or can't be used."""


class PartnerInvalid(RuleBroken):
    """The partner is missing or isn't your own."""


class CommodityNotActive(RuleBroken):
    """The commodity isn't open for new offers."""


class GoodsInvalid(RuleBroken):
    """The goods can't be offered like this."""


class CopyInvalid(RuleBroken):
    """Only an own offer that has ended can be repeated."""


class DatesInvalid(RuleBroken):
    """The dates of the report are invalid."""


class FieldFixed(RuleBroken):
    """This field can't be changed once the offer was submitted."""


class Incomplete(RuleBroken):
    """Required information is missing."""


class NotLater(RuleBroken):
    """The new date must be later than the current one."""


class TooFar(RuleBroken):
    """The date is too far ahead."""


class StaffOnly(Forbidden):
    """Only staff can do this."""


require_status = partial(listing.require_status, InvalidState)
acting_partner = partial(listing.acting_partner, PartnerInvalid)


def head(offer: Availability) -> dict[str, Any]:
    """Fields of the offer that every event carries."""
    return {
        "availability_id": offer.pk,
        "seller_partner_id": offer.seller_partner_id,
        "commodity_id": offer.commodity_id,
        "status": offer.status,
        "terms_version": offer.terms_version,
    }


def require_seller(offer: Availability, *, destination: str | None = None, with_reasons: bool = True) -> None:
    """Raise SellerNotEligible unless the seller may sell these goods now."""
    seller = offer.seller_partner
    needed = permission_for(
        offer.country, destination or offer.country, offer.price_basis, seller_country=seller.country
    )
    reasons = reasons_against(seller, "sell", (needed.seller,))
    if reasons:
        members: dict[str, Any] = {"reasons": reasons} if with_reasons else {}
        raise SellerNotEligible(**members)


def require_holder(offer: Availability, holder: Partner) -> None:
    """Raise HolderNotEligible unless the partner may buy these goods now."""
    needed = permission_for(offer.country, holder.country, offer.price_basis)
    if reasons := reasons_against(holder, "buy", (needed.buyer,)):
        raise HolderNotEligible(reasons=reasons)


def require_whole(offer: Availability, quantity: Decimal, pointer: str) -> None:
    """Raise QuantityNotWhole for a part of a package."""
    if offer.commodity.is_counted_in(offer.unit) and quantity != quantity.to_integral_value():
        raise QuantityNotWhole.at(pointer, "not_whole", f"Enter a whole number of {offer.unit}.")


def value_of(
    row: Availability | Reservation, quantity: Decimal, weight_kg: Decimal, price: Decimal
) -> Fraction:
    """The exact value of a part at a price quoted in the pricing unit that the row pins, without rounding.

    The weight is priced; a price per package multiplies the count.
    """
    quoted, pinned = row.pricing_unit, row.pricing_unit_version
    assert quoted is not None, "a price has its unit"
    found = factors([quoted.unit_id], on=clock.today(), versions={quoted.unit_id: pinned} if pinned else None)
    per = found[quoted.unit_id]
    if per.dimension == "COUNT":
        return amount(quantity, per, price, price_of(quoted, per))
    return amount(weight_kg, _KG, price, price_of(quoted, per))


def reprice(offer: Availability) -> None:
    """Compute value and price per kilogram anew: exact fractions, each rounded once."""
    if offer.unit_price is None or offer.pricing_unit is None:
        offer.estimated_value = offer.price_per_kg = None
        return
    price = offer.price_for(offer.total_quantity) or offer.unit_price
    value = value_of(offer, offer.total_quantity, offer.total_weight_kg, price)
    offer.estimated_value = rounded(value, 2)
    base = value_of(offer, offer.total_quantity, offer.total_weight_kg, offer.unit_price)
    per_kg = base / Fraction(offer.total_weight_kg)
    if offer.tax_basis == Availability.TaxBasis.INCLUSIVE:
        per_kg /= 1 + gst_of(offer) / 100
    offer.price_per_kg = rounded(per_kg, 8)


def compare_price(offer: Availability) -> None:
    """Note what others ask for such goods, in the offer's pricing unit, and whether its price is far from that.

    Nothing with too few offers or sellers: the figure would tell a single price that buyers don't see.
    """
    offer.reference_price = offer.reference_count = offer.price_flag = None
    middle, count, sellers = Availability.objects.reference(offer)
    if middle is None or offer.pricing_unit is None:
        return
    if count < FEWEST_OBSERVATIONS or sellers < FEWEST_PARTNERS:
        return
    per_kg = value_of(offer, offer.total_quantity, offer.total_weight_kg, Decimal(1))
    reference = Fraction(middle) * Fraction(offer.total_weight_kg) / per_kg
    if offer.tax_basis == Availability.TaxBasis.INCLUSIVE:
        reference *= 1 + gst_of(offer) / 100
    offer.reference_price, offer.reference_count = rounded(reference, 6), count
    if offer.price_per_kg is None:
        return
    percent = offer.price_per_kg * 100 / middle - 100
    if abs(percent) > settings.AVAILABILITY_PRICE_FLAG:
        flag = Availability.PriceFlag
        offer.price_flag = flag.LOW if percent < 0 else flag.HIGH


def gst_of(offer: Availability, day: date | None = None) -> Fraction:
    """The GST rate in percent on the goods; nothing on exports and on goods abroad, or without an HSN code."""
    hsn = offer.commodity.hsn_code
    if offer.country != "IN" or offer.price_basis in EXPORT_BASES or hsn is None:
        return Fraction(0)
    return Fraction(tax_on(hsn, day or clock.today(), offer.tax_condition).rate_percent)


def credit_needed(offer: Availability, reservation: Reservation, price: Decimal | None) -> Decimal:
    """The credit that the whole of a reservation needs on the terms and at the weight that it pins.

    Its value with GST less the share paid in advance, two decimals, half up. Raises PriceUnknown where neither the
    offer, the caller nor the reference has a price.
    """
    term = reservation.payment_term
    share = Fraction(0) if term is None else Fraction(term.advance_percent) / 100
    if share >= 1:
        return Decimal("0.00")
    if price is None or reservation.pricing_unit is None:
        raise PriceUnknown
    value = value_of(reservation, reservation.quantity, reservation.reserved_weight_kg, price)
    if reservation.tax_basis == Availability.TaxBasis.EXCLUSIVE:
        value *= 1 + gst_of(offer) / 100
    return rounded(value * (1 - share), 2)
