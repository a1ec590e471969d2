"""What services of requirements share: problems, checks, figures of a requirement, and the head of its events."""

from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Final
from uuid import UUID

from apps.availability.services import listing, stock
from apps.commodities.exact import Factor, Price, amount, rounded
from apps.commodities.services.factors import factors, price_of
from apps.partners.services.gate import permission_for, reasons_against
from apps.requirement.models import Requirement
from erp import clock
from erp.errors import Conflict, Forbidden, RuleBroken

CROSSING_BASES: Final = frozenset({"CFR", "CIF", "FOB", "FCA"})
KG: Final = Factor(unit="KG", unit_version=1, dimension="MASS", numerator=1, denominator=1, source="")


class InvalidState(Conflict):
    """The requirement's status doesn't allow this action."""


class BuyerNotEligible(Conflict):
    """The buyer isn't open for new business at present."""


class OverPurchase(Conflict):
    """More would be bought than is wanted."""

    constraints = ("requirement_not_overbought",)


class BelowZero(Conflict):
    """Less than nothing would have been bought."""

    constraints = ("requirement_ledger_not_negative",)


class BelowCommitted(Conflict):
    """The quantity is below what was committed or bought."""


class IntentFixed(Conflict):
    """Something was committed or bought, so this can't become price discovery."""


class EntryReused(Conflict):
    """This entry of the ledger exists with other figures."""


class DealPending(Conflict):
    """An accepted negotiation waits for its trade."""


class WindowOver(Conflict):
    """The delivery window has closed."""


class SuggestionStale(Conflict):
    """The requirement has changed since the suggestion was made."""


class SuggestionClosed(Conflict):
    """The suggestion was applied or dismissed already."""


class SuggestionExpired(Conflict):
    """The suggestion is too old."""


class SuggestionNotFound(RuleBroken):
    """The requirement has no such suggestion."""


class OptionUnknown(RuleBroken):
    """The suggestion has no such option."""


class OwnerOnly(Forbidden):
    """Only users of the buyer can apply or dismiss a suggestion."""


class StaffOnly(Forbidden):
    """Only staff can do this."""


class PartnerInvalid(RuleBroken):
    """The partner is missing or isn't your own."""


class CommodityNotActive(RuleBroken):
    """The commodity isn't open for new requirements."""


class UnitNotAllowed(RuleBroken):
    """The commodity isn't traded in this unit."""


class QuantityNotWhole(RuleBroken):
    """Quantity must be a whole number of packages."""


class QuantitiesOutOfOrder(RuleBroken):
    """Minimum, preferred and maximum quantity must rise in this order."""


class BandsInvalid(RuleBroken):
    """One or more quality bands are invalid."""


class PriceInvalid(RuleBroken):
    """The prices are invalid."""


class BudgetTooSmall(RuleBroken):
    """The budget doesn't pay for the minimum quantity at the ceiling."""


class WindowInvalid(RuleBroken):
    """The dates of the requirement are invalid."""


class PlaceInvalid(RuleBroken):
    """A place is incomplete or unknown."""


class SubstituteInvalid(RuleBroken):
    """A substitute isn't another commodity of the same kind."""


class GoodsInvalid(RuleBroken):
    """The goods can't be wanted like this."""


class VisibilityInvalid(RuleBroken):
    """The invited partners don't fit the visibility."""


class Incomplete(RuleBroken):
    """Required information is missing."""


class ReasonRequired(RuleBroken):
    """A reason is required."""


class NotTradable(RuleBroken):
    """A requirement for price discovery buys nothing."""


class CurrencyMismatch(RuleBroken):
    """The amount isn't in the requirement's currency."""


class SearchInvalid(RuleBroken):
    """The search contradicts itself."""


require_status = partial(listing.require_status, InvalidState)
acting_partner = partial(listing.acting_partner, PartnerInvalid)


def head(requirement: Requirement) -> dict[str, Any]:
    """Fields of the requirement that every event carries."""
    return {
        "requirement_id": requirement.pk,
        "buyer_partner_id": requirement.buyer_partner_id,
        "commodity_id": requirement.commodity_id,
        "status": requirement.status,
        "terms_version": requirement.terms_version,
    }


def require_buyer(requirement: Requirement) -> None:
    """Raise BuyerNotEligible unless the buyer may buy these goods now."""
    origin = requirement.origin_country or requirement.country
    if requirement.price_basis in CROSSING_BASES:
        origin = ""  # somewhere abroad
    needed = permission_for(origin, requirement.country, requirement.price_basis).buyer
    if reasons := reasons_against(requirement.buyer_partner, "buy", (needed,)):
        raise BuyerNotEligible(reasons=reasons)


def require_whole(requirement: Requirement, quantity: Decimal, pointer: str) -> None:
    """Raise QuantityNotWhole for a part of a package."""
    if requirement.commodity.is_counted_in(requirement.unit) and quantity != quantity.to_integral_value():
        raise QuantityNotWhole.at(pointer, "not_whole", f"Enter a whole number of {requirement.unit}.")


class Quote:
    """The pricing unit of a requirement with its pinned definition; values and prices per kg are exact."""

    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement
        quoted, pinned = requirement.pricing_unit, requirement.pricing_unit_version
        units = {quoted.unit_id: pinned} if pinned else {}
        if requirement.unit_version is not None:
            units[requirement.unit] = requirement.unit_version
        wanted = {quoted.unit_id} | ({requirement.unit} if requirement.unit_version is not None else set())
        found = factors(wanted, on=clock.today(), versions=units)
        self.factor: Factor = found[quoted.unit_id]
        self.price: Price = price_of(quoted, self.factor)
        self.unit: Factor | None = (
            found.get(requirement.unit) if requirement.unit_version is not None else None
        )

    def value(self, quantity: Decimal, rate: Decimal) -> Decimal:
        """What a quantity costs at a price: one rounding to two decimals, half up."""
        if self.factor.dimension == "COUNT":
            return rounded(amount(quantity, self.factor, rate, self.price), 2)
        if self.unit is not None:
            return rounded(amount(quantity, self.unit, rate, self.price), 2)
        kilograms = Fraction(quantity) * Fraction(self.requirement.kg_per_unit)
        return rounded(amount(Decimal(1), KG, rate, self.price) * kilograms, 2)

    @property
    def kg(self) -> Fraction:
        """Kilograms that one price is for, divisor included (cents: 100)."""
        per = (
            Fraction(self.requirement.kg_per_unit) if self.factor.dimension == "COUNT" else self.factor.value
        )
        return per * self.price.divisor


def may_reserve(requirement_id: UUID, partner_id: UUID, deal: bool) -> bool:
    """Whether the partner can reserve goods for this requirement: its own, and live unless for a deal."""
    rows = Requirement.objects.may_reserve(deal=deal).filter(pk=requirement_id, buyer_partner_id=partner_id)
    return bool(rows.exists())


stock.requirement_checks.append(may_reserve)
