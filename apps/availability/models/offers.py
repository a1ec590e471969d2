"""Offers, and the ledger of each: at any time total = available + reserved + sold + withdrawn."""

from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar, Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import (
    Aggregate,
    Avg,
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest, Lower
from django.utils import timezone

from apps.availability.models.base import (
    EndOfDay,
    ListingQuerySet,
    Opaque,
    PriceFlag,
    Risk,
    Stage,
    TaxBasis,
    day_field,
    part,
    price_field,
    quantity_field,
    step_price,
    text,
)
from apps.availability.models.parts import Disclosure, Invitation, Lot, QualityValue
from apps.availability.models.reservations import Reservation
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.grades import Grade
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.models.tax import TaxRate
from apps.commodities.models.terms import (
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    TradeType,
    WeighmentTerms,
)
from apps.commodities.models.varieties import Variety
from apps.locations.models import Location
from apps.partners.models import Partner, PartnerLocation
from apps.partners.pseudonyms import pseudonym
from erp import clock
from erp.access import Actor, holds_everywhere
from erp.columns import CURRENCY, Row, RowsField, within
from erp.services import next_value

COMMON_DISTRICT: Final = 3  # active sellers with a place in a district, before others see it


class Median(Aggregate):
    """The middle value, one of those that there are."""

    function = "PERCENTILE_DISC"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    name = "Median"


class AvailabilityQuerySet(ListingQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see all; a partner its own rows, those on its market, those shown to it and those it has reserved."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        granted, partner_id = self.granted(user, "availability.view"), user.partner_id
        if partner_id is None:
            return granted
        shown = Q(pk__in=_disclosed_to(partner_id).values("availability_id"))
        held = Reservation.objects.live(clock.now()).filter(holder_partner_id=partner_id)
        visible = Q(seller_partner_id=partner_id) | shown | Q(pk__in=held.values("availability_id"))
        if holds_everywhere(user, "availability.view"):
            visible |= _market(partner_id)
        return self.filter(visible) | granted

    def on_market_of(self, user: Actor) -> Self:
        """Offers of others that are open to the user."""
        partner_id = user.partner_id
        rows = self.filter(status=Availability.Status.ACTIVE)
        return rows if partner_id is None else rows.exclude(seller_partner_id=partner_id)

    def with_stage(self, user: Actor) -> Self:
        """With the stage at which ``user`` sees each row, and whether its district may be named, in one query."""
        rows = self.annotate(names_district=_names_district())
        if user.is_staff or user.is_system or user.partner_id is None:
            return rows.annotate(stage=Value(int(Stage.OWNER), IntegerField()))
        partner_id = user.partner_id
        held = Reservation.objects.filter(availability=OuterRef("pk"), holder_partner_id=partner_id)
        in_trade = held.filter(status__in=Reservation.TRADED)
        disclosed = _disclosed_to(partner_id).filter(availability=OuterRef("pk")).order_by()
        highest = disclosed.values("availability").annotate(most=Max("stage")).values("most")
        browse = Value(int(Stage.BROWSE), IntegerField())

        def when(found: Any, stage: Stage) -> Case:
            return Case(When(found, then=Value(int(stage))), default=browse, output_field=IntegerField())

        own = Q(seller_partner_id=partner_id)
        invited = Exists(Invitation.objects.filter(availability=OuterRef("pk"), partner_id=partner_id))
        return rows.annotate(
            stage=Greatest(
                when(own, Stage.OWNER),
                when(Exists(in_trade), Stage.TRADE),
                when(Exists(held.live(clock.now())), Stage.NEGOTIATING),
                when(Q(invited, visibility=Availability.Visibility.RESTRICTED), Stage.MATCHED),
                Coalesce(Subquery(highest, output_field=IntegerField()), browse),
                output_field=IntegerField(),
            )
        )

    def due(self, now: datetime) -> Self:
        """Offers past their end."""
        return self.filter(status__in=Availability.LIVE, expires_at__lte=now)

    def to_suspend(self) -> Self:
        """Live offers of sellers that are suspended, which aren't suspended for that yet."""
        rows = self.filter(status__in=Availability.LIVE, seller_partner__status=Partner.Status.SUSPENDED)
        return rows.exclude(suspended_for__contains=[Availability.FOR_PARTNER])

    def at_merged_places(self) -> Self:
        """Offers that may still change of which the place, or a place of a lot, was merged into another."""
        merged, lots = Location.objects.merged(), Lot.objects.order_by().values("availability")
        keys = Availability.objects.filter(location__in=merged).order_by().values("pk").union(
            lots.filter(gin_location__in=merged), lots.filter(godown_location__in=merged)
        )  # fmt: skip
        return self.filter(pk__in=keys, status__in=Availability.EDITABLE)

    def to_reactivate(self) -> Self:
        """Offers that are suspended for their seller, who is active again."""
        return self.filter(
            status=Availability.Status.SUSPENDED,
            suspended_for__contains=[Availability.FOR_PARTNER],
            seller_partner__status=Partner.Status.ACTIVE,
        )

    def market_price(self, offer: "Availability") -> tuple[Decimal | None, int]:
        """The middle price per kilogram of other live offers of the same goods, and how many there are."""
        same = self.filter(
            status=Availability.Status.ACTIVE, commodity_id=offer.commodity_id, variety_id=offer.variety_id,
            currency=offer.currency, price_basis=offer.price_basis, price_per_kg__isnull=False,
        ).exclude(pk=offer.pk)  # fmt: skip
        found = same.aggregate(middle=Median("price_per_kg"), count=Count("pk"))
        return found["middle"], found["count"]

    def reference(self, offer: "Availability") -> tuple[Decimal | None, int, int]:
        """The middle price per kilogram that others ask of everybody for the same goods, of how many, and by how many.

        The seller's own offers and those that only some may see don't count.
        """
        rows = self.filter(
            status=Availability.Status.ACTIVE, commodity_id=offer.commodity_id, variety_id=offer.variety_id,
            currency=offer.currency, price_basis=offer.price_basis, price_per_kg__isnull=False,
            visibility__in=(Availability.Visibility.PUBLIC, Availability.Visibility.MATCHED_ONLY),
        ).exclude(seller_partner_id=offer.seller_partner_id)  # fmt: skip
        found = rows.aggregate(
            middle=Median("price_per_kg"), count=Count("pk"), sellers=Count("seller_partner", distinct=True)
        )
        return found["middle"], found["count"], found["sellers"]

    def available_on(self, day: date) -> Self:
        """Offers of goods that can be collected on a day."""
        return self.filter(
            Q(available_until_date=None) | Q(available_until_date__gte=day), available_from_date__lte=day
        )

    def with_quality(self, parameter: Any, low: Decimal | None, high: Decimal | None) -> Self:
        """Offers whose governing results for a parameter lie within a range, those of every lot."""
        values = QualityValue.objects.filter(
            availability=OuterRef("pk"), parameter=parameter, governing=True, value_number__isnull=False
        )
        beyond = Q(pk__in=())
        if low is not None:
            beyond |= Q(value_number__lt=low)
        if high is not None:
            beyond |= Q(value_number__gt=high)
        return self.filter(Exists(values), ~Exists(values.filter(beyond)))

    def figures(self, start: datetime, end: datetime, commodity: Commodity | None) -> dict[str, Any]:
        """Offers made in a period: by status and goods, how fast they were approved, what became of reservations."""
        made = self.filter(created_at__gte=start, created_at__lt=end)
        if commodity is not None:
            made = made.filter(commodity=commodity)
        quantities = ("total_quantity", "reserved_quantity", "sold_quantity", "withdrawn_quantity")
        goods = made.order_by("commodity_id", "unit", "currency").values("commodity_id", "unit", "currency")
        approved = made.filter(approved_at__isnull=False)
        waited = approved.aggregate(mean=Avg(F("approved_at") - F("created_at")))["mean"]
        held = Reservation.objects.filter(availability__in=made.values("pk"))
        count, traded = held.count(), held.filter(trade_id__isnull=False).count()
        return {
            "by_status": list(made.order_by("status").values("status").annotate(count=Count("pk"))),
            "by_goods": list(
                goods.annotate(
                    count=Count("pk"),
                    value=Sum("estimated_value"),
                    **{name: Sum(name) for name in quantities},
                )
            ),
            "hours_to_approve": None if waited is None else round(Decimal(waited.total_seconds()) / 3600, 1),
            "reservations": count,
            "traded_percent": None if not count else round(Decimal(traded * 100) / count, 1),
        }

    def with_row(self) -> Self:
        """With what the answer about a row names."""
        return self.select_related("seller_partner", "commodity", "pricing_unit")


def _disclosed_to(partner_id: UUID) -> Any:
    return Disclosure.objects.live(clock.now()).filter(partner_id=partner_id)


def _market(partner_id: UUID) -> Q:
    invited = Invitation.objects.filter(partner_id=partner_id).values("availability_id")
    visibility = Availability.Visibility
    open_to_all = Q(visibility=visibility.PUBLIC) | Q(visibility=visibility.RESTRICTED, pk__in=invited)
    return Q(open_to_all, status=Availability.Status.ACTIVE)


def _names_district() -> Any:
    """Whether at least three active sellers have a place in the offer's district, so that it names nobody."""
    places = PartnerLocation.objects.annotate(named=Lower("district")).filter(
        named=Lower(OuterRef("district")),
        state_code=OuterRef("state_code"),
        status="active",
        partner__status=Partner.Status.ACTIVE,
    )
    sellers = places.filter(Exists(_selling())).order_by()
    number = sellers.values("state_code").annotate(n=Count("partner", distinct=True)).values("n")
    return Coalesce(Subquery(number, output_field=IntegerField()), Value(0))


def _selling() -> Any:
    from apps.partners.models import PartnerRole

    return PartnerRole.objects.filter(partner=OuterRef("partner"), live=True, role__in=("seller", "trader"))


class PriceStep(Row):
    """A price for larger quantities."""

    names = ("PriceStepInput", "PriceStepOutput")

    min_quantity = models.DecimalField(
        "from quantity", max_digits=18, decimal_places=3, validators=within(Decimal("0.001")),
        help_text="Smallest quantity of the step, in the offer's unit.",
    )  # fmt: skip
    unit_price = models.DecimalField(
        "price", max_digits=18, decimal_places=6, validators=within(Decimal("0.000001")),
        help_text="Price of the step, in the offer's pricing unit.",
    )  # fmt: skip


class Availability(Opaque):
    """A parcel of goods for sale."""

    owner_partner = "seller_partner_id"
    locked_with = ("commodity", "pricing_unit", "payment_term")

    class Status(models.TextChoices):
        DRAFT = "DRAFT"
        PENDING_APPROVAL = "PENDING_APPROVAL", "Pending approval"
        ACTIVE = "ACTIVE"
        REJECTED = "REJECTED"
        SUSPENDED = "SUSPENDED"
        SOLD_OUT = "SOLD_OUT", "Sold out"
        EXPIRED = "EXPIRED"
        CANCELLED = "CANCELLED"

    class Visibility(models.TextChoices):
        PUBLIC = "PUBLIC"
        MATCHED_ONLY = "MATCHED_ONLY", "Matched buyers only"
        RESTRICTED = "RESTRICTED", "Invited buyers only"
        INTERNAL = "INTERNAL"

    class WeightBasis(models.TextChoices):
        ESTIMATED = "ESTIMATED"
        DECLARED = "DECLARED"
        WEIGHED = "WEIGHED"

    class PriceType(models.TextChoices):
        FLAT = "FLAT"
        NEGOTIABLE = "NEGOTIABLE"
        ON_CALL = "ON_CALL", "On call"
        FORMULA = "FORMULA"

    class PriceBasis(models.TextChoices):
        EX_GIN = "EX_GIN", "Ex gin"
        SPOT = "SPOT"
        EX_WAREHOUSE = "EX_WAREHOUSE", "Ex warehouse"
        FOR_STATION = "FOR_STATION", "FOR station"
        FOR_MILL = "FOR_MILL", "FOR mill"
        FOB = "FOB", "FOB"
        CFR = "CFR", "CFR"
        CIF = "CIF", "CIF"
        FCA = "FCA", "FCA"

    TaxBasis, EndOfDay, PriceFlag, Risk = TaxBasis, EndOfDay, PriceFlag, Risk  # as of requirements

    FOR_PARTNER: ClassVar = "partner"  # the cause of a suspension with the seller
    LIVE: ClassVar = (Status.PENDING_APPROVAL, Status.ACTIVE, Status.SUSPENDED)
    ENDED: ClassVar = (Status.EXPIRED, Status.CANCELLED)
    EDITABLE: ClassVar = (Status.DRAFT, Status.REJECTED, *LIVE)
    _EDITS: ClassVar = {"update", "cancel", "set_visibility", "add_test_report"}
    _LIVE_VERBS: ClassVar = {*_EDITS, "extend", "release", "mark_sold"}
    # Verbs that each status allows.
    VERBS: ClassVar = {
        Status.DRAFT: {*_EDITS, "submit"},
        Status.REJECTED: {*_EDITS},
        Status.PENDING_APPROVAL: {*_LIVE_VERBS, "approve", "reject", "suspend"},
        Status.ACTIVE: {*_LIVE_VERBS, "reserve", "suspend"},
        Status.SUSPENDED: {*_LIVE_VERBS, "reactivate"},
        Status.SOLD_OUT: {"mark_sold"},
        Status.EXPIRED: {"release", "mark_sold"},
        Status.CANCELLED: {"release", "mark_sold"},
    }

    number = models.CharField(max_length=20, unique=True, editable=False)
    seller_partner = models.ForeignKey(
        Partner,
        models.PROTECT,
        verbose_name="seller",
        related_name="availabilities",
        help_text="The partner that sells. Sellers can leave it empty: the offer is then their own.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    editors = ArrayField(models.UUIDField(), default=list, editable=False)  # since the last decision
    copy_of = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Your own ended offer that this one repeats.",
    )  # fmt: skip
    parcel_id = models.UUIDField(editable=False, help_text="Same for an offer and its copies.")
    commodity = models.ForeignKey(
        Commodity, models.PROTECT, related_name="availabilities", help_text="The goods offered."
    )
    variety = models.ForeignKey(
        Variety,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Variety of the commodity.",
    )
    grade = models.ForeignKey(
        Grade, models.PROTECT, null=True, blank=True, related_name="+", help_text="Grade of the commodity."
    )
    crop_year = models.CharField(
        max_length=7,
        null=True,
        blank=True,
        help_text="Season of the crop, such as 2025-26. Required for seasonal commodities.",
    )
    location = models.ForeignKey(
        Location, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Registered place where the goods are stored. Enter it, or an address.",
    )  # fmt: skip
    address = text(300, "Street or plot, and town where the goods are stored.")
    country = models.CharField(max_length=2, help_text="Two-letter ISO 3166-1 code, such as IN.")
    state_code = text(
        3, "State in India: GST code, letters or name, such as 24, GJ or Gujarat.", verbose_name="state"
    )
    district = text(80, "District within the state.")
    latitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    time_zone = models.CharField(
        max_length=64,
        help_text="IANA time zone of the place, such as Asia/Kolkata. Required outside India.",
    )
    unit = models.CharField(
        max_length=16,
        help_text="Unit of all quantities of the offer, such as BALE. Empty: the commodity's trade unit.",
    )
    unit_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Definition of the unit; empty for packages."
    )
    total_quantity = quantity_field(
        help_text="Quantity offered, in the offer's unit: up to three decimals, whole numbers for packages."
    )
    available_quantity = quantity_field(help_text="Quantity that can still be reserved, in the offer's unit.")
    reserved_quantity = quantity_field(
        default=0, help_text="Quantity reserved for buyers, in the offer's unit."
    )
    sold_quantity = quantity_field(default=0, help_text="Quantity sold, in the offer's unit.")
    withdrawn_quantity = quantity_field(
        default=0, help_text="Quantity that the seller no longer offers, in the offer's unit."
    )
    total_weight_kg = quantity_field(
        verbose_name="total weight (kg)",
        help_text="Weight of the whole quantity in kilograms. Required for packages.",
    )
    weight_basis = models.CharField(
        max_length=9,
        choices=WeightBasis,
        default=WeightBasis.ESTIMATED,
        help_text="How the weight is known: estimated, declared by the seller, or weighed.",
    )
    quantity_tolerance_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        default=Decimal(5),
        help_text="By how much the delivered quantity may differ, 0 to 10 percent. Default 5.",
    )
    allow_partial = models.BooleanField(
        "partial sale", default=True, help_text="Whether buyers may reserve a part of the quantity."
    )
    min_order_quantity = quantity_field(
        verbose_name="minimum order quantity",
        null=True,
        blank=True,
        help_text="Smallest quantity that a buyer may reserve, in the offer's unit. The last part may be smaller.",
    )
    max_hold_hours = models.PositiveSmallIntegerField(
        "longest reservation (hours)",
        default=24,
        help_text="How long a buyer may reserve, 1 to 168 hours. Default 24.",
    )
    price_type = models.CharField(
        max_length=10, choices=PriceType, default=PriceType.FLAT,
        help_text="Fixed price, negotiable, on call of a futures month, or by a formula. Default: fixed.",
    )  # fmt: skip
    unit_price = price_field(
        verbose_name="price", null=True, blank=True, validators=within(Decimal("0.000001")),
        help_text="Price in the pricing unit, without useless decimals. Can be left empty if negotiable.",
    )  # fmt: skip
    currency = models.CharField(
        max_length=3, default="INR", validators=[CURRENCY],
        help_text="Currency of the price, that of the pricing unit. Default INR.",
    )  # fmt: skip
    pricing_unit = models.ForeignKey(
        PricingUnit, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="How the price is quoted, such as INR/CANDY. Empty: as the commodity usually is.",
    )  # fmt: skip
    pricing_unit_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Definition of the pricing unit's unit that the price stands on."
    )
    price_basis = models.CharField(
        max_length=12, choices=PriceBasis, null=True, blank=True,
        help_text="Place that the price is for. Empty: that of the delivery terms.",
    )  # fmt: skip
    tax_basis = models.CharField(
        "GST", max_length=9, choices=TaxBasis, default=TaxBasis.EXCLUSIVE,
        help_text="Whether GST is added to the price or included. Default: added.",
    )  # fmt: skip
    tax_condition = models.CharField(
        "GST condition", max_length=16, choices=TaxRate.Condition, null=True, blank=True,
        help_text="Condition on which the GST rate depends. Only where the rate has conditions.",
    )  # fmt: skip
    price_terms = models.JSONField(
        null=True, blank=True, help_text="Details of a price on call or by a formula."
    )
    price_steps = RowsField(PriceStep, most=10, help_text="Prices for larger quantities, smallest first.")
    quality_schedule = models.ForeignKey(
        QualitySchedule, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Published schedule of premiums and discounts.",
    )  # fmt: skip
    price_public = models.BooleanField(
        "public price", default=False,
        help_text="Whether everybody sees the price. Otherwise buyers see it once they are matched.",
    )  # fmt: skip
    is_firm = models.BooleanField(
        "firm", default=False, help_text="Whether the offer can't be made worse or cancelled until a time."
    )
    firm_until_at = models.DateTimeField(
        "firm until", null=True, blank=True,
        help_text="At most seven days ahead. Empty: 17:00 local time on the day when the offer is listed.",
    )  # fmt: skip
    estimated_value = models.DecimalField(
        max_digits=18, decimal_places=2, null=True, editable=False, help_text="Quantity at the price."
    )
    price_per_kg = models.DecimalField(
        max_digits=20, decimal_places=8, null=True, editable=False,
        help_text="For order and comparison only, without GST.",
    )  # fmt: skip
    trade_type = models.ForeignKey(
        TradeType, models.PROTECT, null=True, blank=True, related_name="+", help_text="Kind of deal."
    )
    bargain_type = models.ForeignKey(
        BargainType, models.PROTECT, null=True, blank=True, related_name="+", help_text="Kind of bargain."
    )
    delivery_term = models.ForeignKey(
        DeliveryTerms, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Place of delivery, and what the price includes. Required at submission.",
    )  # fmt: skip
    payment_term = models.ForeignKey(
        PaymentTerms, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="When and how the buyer pays. Required at submission.",
    )  # fmt: skip
    passing_term = models.ForeignKey(
        PassingTerms, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="How quality is passed. Required at submission.",
    )  # fmt: skip
    weighment_term = models.ForeignKey(
        WeighmentTerms, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Which weight is final. Required at submission.",
    )  # fmt: skip
    available_from_date = models.DateField(
        "available from", help_text="First day on which the goods can be collected."
    )
    available_until_date = models.DateField(
        "available until", null=True, blank=True,
        help_text="Last day of the goods, in the time zone of the place. Empty only with good till cancelled.",
    )  # fmt: skip
    eod_policy = models.CharField(
        "end of day", max_length=19, choices=EndOfDay, default=EndOfDay.GOOD_TILL_DATE,
        help_text="Whether the offer ends with the trading day, on a date, or when it is cancelled.",
    )  # fmt: skip
    valid_until_date = models.DateField(
        "valid until", null=True, blank=True,
        help_text="Last day of an offer that is good till a date, at most 90 days ahead. Empty: available until.",
    )  # fmt: skip
    carry_forward_days = models.PositiveSmallIntegerField(
        default=0, validators=within(0, 30),
        help_text="Trading days by which an offer for the day is carried forward, 0 to 30.",
    )  # fmt: skip
    carried_days = models.PositiveSmallIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False, help_text="When the offer ends.")
    visibility = models.CharField(
        max_length=12,
        choices=Visibility,
        default=Visibility.PUBLIC,
        help_text="Public: buyers find the offer. Matched or invited buyers only. Internal: its seller and staff.",
    )
    internal_reference = text(64, "The seller's own reference. Buyers don't see it.")
    notes = text(2000, "Remarks for the seller and staff. Buyers don't see them.")
    tags = ArrayField(
        models.CharField(max_length=32), default=list, blank=True, size=20,
        help_text="The seller's own tags, at most 20.",
    )  # fmt: skip
    status = models.CharField(max_length=16, choices=Status, default=Status.DRAFT)
    status_reason = text(1000, "Why the offer has its status.", editable=False)
    suspended_for = ArrayField(models.CharField(max_length=20), default=list, editable=False)
    terms_version = models.PositiveIntegerField(
        default=1, editable=False, help_text="Rises whenever the terms of the offer change."
    )
    approved_terms = models.JSONField(null=True, editable=False)
    approved_terms_version = models.PositiveIntegerField(null=True, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    listed_at = models.DateTimeField(null=True, editable=False, help_text="Time priority of the offer.")
    listed_date = day_field("listed_at", "Day on which the offer was listed, in Indian time.")
    price_change_day = models.DateField(null=True, editable=False)
    price_changes = models.PositiveSmallIntegerField(default=0, editable=False)
    warnings = ArrayField(models.CharField(max_length=32), default=list, editable=False)
    risk_status = models.CharField(max_length=6, choices=Risk, null=True, editable=False)
    risk_assessed_at = models.DateTimeField(null=True, editable=False)
    reference_price = price_field(null=True, editable=False)
    reference_count = models.PositiveIntegerField(null=True, editable=False)
    price_flag = models.CharField(max_length=4, choices=PriceFlag, null=True, editable=False)

    objects: ClassVar[Any] = AvailabilityQuerySet.as_manager()

    class Meta(Opaque.Meta):
        verbose_name_plural = "availabilities"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="availability_ledger_adds_up",
                condition=Q(
                    total_quantity=F("available_quantity")
                    + F("reserved_quantity")
                    + F("sold_quantity")
                    + F("withdrawn_quantity")
                ),
            ),
            models.CheckConstraint(
                name="availability_ledger_not_negative",
                condition=Q(
                    available_quantity__gte=0,
                    reserved_quantity__gte=0,
                    sold_quantity__gte=0,
                    withdrawn_quantity__gte=0,
                ),
            ),
            models.CheckConstraint(name="availability_total_positive", condition=Q(total_quantity__gt=0)),
            models.CheckConstraint(name="availability_weight_positive", condition=Q(total_weight_kg__gt=0)),
            models.CheckConstraint(
                name="availability_minimum_within_total",
                condition=Q(min_order_quantity=None)
                | Q(min_order_quantity__gt=0, min_order_quantity__lte=F("total_quantity")),
            ),
            models.CheckConstraint(
                name="availability_window_in_order",
                condition=Q(available_until_date__gte=F("available_from_date"))
                | Q(available_until_date=None, eod_policy="GOOD_TILL_CANCELLED"),
            ),
            models.CheckConstraint(
                name="availability_policy_dates",
                condition=Q(eod_policy="GOOD_TILL_DATE", valid_until_date__isnull=False, carry_forward_days=0)
                | Q(eod_policy="DAY", valid_until_date=None)
                | Q(eod_policy="GOOD_TILL_CANCELLED", valid_until_date=None, carry_forward_days=0),
            ),
            models.CheckConstraint(
                name="availability_place_one",
                condition=Q(location=None) & ~Q(address="") | Q(location__isnull=False, address=""),
            ),
            models.CheckConstraint(
                name="availability_price_given",
                condition=Q(price_type="NEGOTIABLE")
                | Q(unit_price__isnull=False, pricing_unit__isnull=False, pricing_unit_version__isnull=False)
                | Q(status="DRAFT"),
            ),
            models.CheckConstraint(
                name="availability_hold_hours_range", condition=Q(max_hold_hours__range=(1, 168))
            ),
            models.CheckConstraint(
                name="availability_tolerance_range", condition=Q(quantity_tolerance_percent__range=(0, 10))
            ),
            models.CheckConstraint(
                name="availability_ended_has_nothing_free",
                condition=~Q(status__in=["EXPIRED", "CANCELLED"]) | Q(available_quantity=0),
            ),
            models.CheckConstraint(
                name="availability_sold_out_is_sold",
                condition=~Q(status="SOLD_OUT")
                | Q(available_quantity=0, reserved_quantity=0, sold_quantity__gt=0),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-listed_date", "-id"], name="idx_availability_market"),
            models.Index(fields=["-created_at", "-id"], name="idx_availability_newest"),
            models.Index(fields=["commodity", "-listed_at"], name="idx_availability_listed"),
            models.Index(fields=["commodity", "price_per_kg"], name="idx_availability_price"),
            models.Index(fields=["seller_partner", "-created_at"], name="idx_availability_seller"),
            models.Index(fields=["parcel_id"], name="idx_availability_parcel"),
            models.Index(
                fields=["expires_at", "id"], name="idx_availability_due",
                condition=Q(status__in=["PENDING_APPROVAL", "ACTIVE", "SUSPENDED"]),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.number

    def open_verbs(self) -> frozenset[str]:
        verbs = frozenset(self.VERBS.get(self.Status(self.status), ()))
        return verbs if self.reserved_quantity else verbs - {"release", "mark_sold"}

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of the place."""
        return ZoneInfo(self.time_zone)

    @property
    def is_live(self) -> bool:
        """Whether the offer is submitted and hasn't ended."""
        return self.status in self.LIVE

    @property
    def has_ended(self) -> bool:
        """Whether the offer never comes back."""
        return self.status in self.ENDED

    @property
    def is_fully_reserved(self) -> bool:
        """Whether nothing is free, and something is reserved."""
        return not self.available_quantity and bool(self.reserved_quantity)

    @property
    def content(self) -> SimpleNamespace:
        """What the offer says, as its form shows it for editing."""
        quality = [
            {
                "parameter": value.parameter.code, "value": value.shown, "method": value.method,
                "source": value.source, "lot_no": value.lot and value.lot.lot_no, "sample_no": value.sample_no,
                "tested_at": value.tested_at, "governing": value.chosen,
            }
            for value in self.quality.filter(test_report=None).select_related("parameter", "lot")
        ]  # fmt: skip
        return SimpleNamespace(
            **{field.name: getattr(self, field.name) for field in self._meta.concrete_fields},
            lots=list(self.lots.order_by("position")),
            quality=quality,
            invited_partners=[row.partner_id for row in self.invitations.all()],
        )

    def weight_of(self, quantity: Decimal) -> Decimal:
        """Return the weight in kg of a part by its share of the total, three decimals, half up."""
        return part(self.total_weight_kg, quantity, self.total_quantity)

    def price_for(self, quantity: Decimal) -> Decimal | None:
        """The price of the step that fits the quantity; below the first step the offer's price."""
        return step_price(self.price_steps, quantity, self.unit_price)

    def stage_for(self, user: Actor) -> Stage:
        """Return how much ``user`` may see; the database is asked where the row wasn't read ``with_stage``."""
        if user.is_staff or user.is_system or self.belongs_to(user):
            return Stage.OWNER
        if "stage" in self.__dict__:
            return Stage(self.__dict__["stage"])
        found = Availability.objects.filter(pk=self.pk).with_stage(user).values_list("stage", flat=True)
        return Stage(found.first() or Stage.BROWSE)

    def as_seen_by(self, user: Actor) -> "Availability":
        """The row read anew, with the stage at which ``user`` sees it."""
        row: Availability = Availability.objects.with_row().with_stage(user).get(pk=self.pk)
        return row

    def seller_ref_for(self, user: Actor) -> str:
        """Return a pseudonym of the seller: 128 bits, different for each offer and each viewer."""
        return pseudonym(user.partner_id, self.seller_partner_id, self.pk)

    @staticmethod
    def next_number(now: datetime) -> str:
        """Return a new number: ``AVL-2627-000123``, financial year and a sequence that may have gaps."""
        local = timezone.localtime(now, clock.KOLKATA)
        start = local.year if local.month >= 4 else local.year - 1
        return f"AVL-{start % 100:02d}{(start + 1) % 100:02d}-{next_value('availability_number'):06d}"


def band(quantity: Decimal) -> str:
    """Return the quantity as a band of the 1–2–5 series: ``100–200`` for 100 ≤ x < 200; of nothing ``0``."""
    if not quantity:
        return "0"
    if quantity < 1:
        return "0–1"
    power = Decimal(10) ** (len(str(int(quantity))) - 1)
    low = max(step for step in (1, 2, 5) if step * power <= quantity)
    high = {1: 2, 2: 5, 5: 10}[low]
    return f"{int(low * power)}–{int(high * power)}"
