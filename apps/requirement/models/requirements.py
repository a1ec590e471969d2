"""Requirements: what a buyer wants, and how much of it was bought."""

from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any, ClassVar, Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
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
    quantity_field,
    text,
)
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.grades import Grade
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import DeliveryTerms
from apps.locations.models import Location
from apps.partners.models import Partner, PartnerLocation, PartnerRole
from apps.requirement.models.base import ids_field, optional_price, value_field
from apps.requirement.models.parts import Band, DeliveryPlace, Disclosure, Invitation
from erp import clock
from erp.access import Actor, holds_everywhere
from erp.columns import COUNTRY, CURRENCY
from erp.services import next_value

COMMON_DISTRICT: Final = 3  # active buyers with a place in a district, before others see it
_Basis = DeliveryTerms.Basis
BASES: Final = [
    (basis.value, basis.label)
    for basis in (
        _Basis.EX_GIN, _Basis.SPOT, _Basis.EX_WAREHOUSE, _Basis.FOR_STATION, _Basis.FOR_MILL, _Basis.FOB, _Basis.CFR,
        _Basis.CIF, _Basis.FCA,
    )
]  # fmt: skip


class RequirementQuerySet(ListingQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see all; a partner its own rows, those on its market, and those shown to it."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        granted, partner_id = self.granted(user, "requirement.view"), user.partner_id
        if partner_id is None:
            return granted
        visible = Q(buyer_partner_id=partner_id) | Q(
            pk__in=_disclosed_to(partner_id).values("requirement_id")
        )
        if holds_everywhere(user, "requirement.view"):
            visible |= _market(partner_id)
        return self.filter(visible) | granted

    def live(self) -> Self:
        """Requirements that are matched."""
        return self.filter(status__in=Requirement.LIVE)

    def on_market_of(self, user: Actor) -> Self:
        """Live requirements of others."""
        return self.live().exclude(buyer_partner_id=user.partner_id)

    def with_stage(self, user: Actor) -> Self:
        """With the stage at which ``user`` sees each row, and whether its district names nobody, in one query."""
        rows = self.annotate(names_district=_buyers_in_district())
        if user.is_staff or user.is_system or user.partner_id is None:
            return rows.annotate(stage=Value(int(Stage.OWNER), IntegerField()))
        shown = _disclosed_to(user.partner_id).filter(requirement=OuterRef("pk")).order_by()
        highest = shown.values("requirement").annotate(most=Max("stage")).values("most")
        browse = Value(int(Stage.BROWSE), IntegerField())
        own = Case(
            When(buyer_partner_id=user.partner_id, then=Value(int(Stage.OWNER))),
            default=browse,
            output_field=IntegerField(),
        )
        disclosed = Coalesce(Subquery(highest, output_field=IntegerField()), browse)
        return rows.annotate(stage=Greatest(own, disclosed, output_field=IntegerField()))

    def due(self, now: datetime) -> Self:
        """Requirements past their end."""
        return self.filter(status__in=Requirement.OPEN, expires_at__lte=now)

    def to_suspend(self) -> Self:
        """Open requirements of buyers that are suspended, which aren't suspended for that yet."""
        rows = self.filter(status__in=Requirement.OPEN, buyer_partner__status=Partner.Status.SUSPENDED)
        return rows.exclude(suspended_for__contains=[Requirement.FOR_PARTNER])

    def at_merged_places(self) -> Self:
        """Requirements that may still change and want goods at a place that was merged into another."""
        places = DeliveryPlace.objects.filter(location__in=Location.objects.merged())
        return self.filter(pk__in=places.values("requirement"), status__in=Requirement.EDITABLE)

    def to_reactivate(self) -> Self:
        """Requirements that are suspended for their buyer, who is active again."""
        return self.filter(
            status=Requirement.Status.SUSPENDED,
            suspended_for__contains=[Requirement.FOR_PARTNER],
            buyer_partner__status=Partner.Status.ACTIVE,
        )

    def ended(self) -> Self:
        """Requirements for which nothing more is wanted, though not everything was bought."""
        return self.filter(status__in=(Requirement.Status.CANCELLED, Requirement.Status.EXPIRED))

    def may_reserve(self, *, deal: bool) -> Self:
        """Requirements for which goods can be reserved; a deal goes on after its requirement was suspended or ended."""
        rows = self.exclude(status=Requirement.Status.DRAFT) if deal else self.live()
        return rows.exclude(intent=Requirement.Intent.PRICE_DISCOVERY_ONLY)

    def with_row(self) -> Self:
        """With what the answer about a row names, bands and places too: as many queries for one row as for many."""
        bands = Band.objects.select_related("parameter").order_by("parameter__code")
        rows = self.select_related("buyer_partner", "commodity", "pricing_unit")
        return rows.prefetch_related(Prefetch("bands", bands), "places")


def _disclosed_to(partner_id: UUID) -> Any:
    return Disclosure.objects.live(clock.now()).filter(partner_id=partner_id)


def _market(partner_id: UUID) -> Q:
    invited = Invitation.objects.filter(partner_id=partner_id).values("requirement_id")
    visibility = Requirement.Visibility
    open_to_all = Q(visibility=visibility.PUBLIC) | Q(visibility=visibility.RESTRICTED, pk__in=invited)
    return Q(open_to_all, status__in=Requirement.LIVE)


def _buyers_in_district() -> Any:
    """How many active buyers have a place in the destination's district: few of them would name one."""
    buying = PartnerRole.objects.filter(partner=OuterRef("partner"), live=True, role__in=("buyer", "trader"))
    places = PartnerLocation.objects.annotate(named=Lower("district")).filter(
        Exists(buying),
        named=Lower(OuterRef("district")),
        state_code=OuterRef("state_code"),
        status="active",
        partner__status=Partner.Status.ACTIVE,
    )
    number = places.order_by().values("state_code").annotate(n=Count("partner", distinct=True)).values("n")
    return Coalesce(Subquery(number, output_field=IntegerField()), Value(0))


class Requirement(Opaque):
    """Goods that a buyer wants. What it would pay is its secret."""

    owner_partner = "buyer_partner_id"

    class Status(models.TextChoices):
        DRAFT = "DRAFT"
        PENDING_APPROVAL = "PENDING_APPROVAL", "Pending approval"
        ACTIVE = "ACTIVE"
        PARTIALLY_FULFILLED = "PARTIALLY_FULFILLED", "Partially fulfilled"
        FULFILLED = "FULFILLED"
        REJECTED = "REJECTED"
        SUSPENDED = "SUSPENDED"
        EXPIRED = "EXPIRED"
        CANCELLED = "CANCELLED"

    class Intent(models.TextChoices):
        DIRECT_BUY = "DIRECT_BUY", "Direct purchase"
        NEGOTIATION = "NEGOTIATION"
        AUCTION_REQUEST = "AUCTION_REQUEST", "Several sellers side by side"
        PRICE_DISCOVERY_ONLY = "PRICE_DISCOVERY_ONLY", "Price discovery only"

    class Urgency(models.TextChoices):
        URGENT = "URGENT"
        NORMAL = "NORMAL"
        PLANNING = "PLANNING"

    class Visibility(models.TextChoices):
        PUBLIC = "PUBLIC"
        MATCHED_ONLY = "MATCHED_ONLY", "Matched sellers only"
        RESTRICTED = "RESTRICTED", "Invited sellers only"
        INTERNAL = "INTERNAL"

    TaxBasis, EndOfDay, PriceFlag, Risk = TaxBasis, EndOfDay, PriceFlag, Risk  # as of offers

    FOR_PARTNER: ClassVar = "partner"  # the cause of a suspension with the buyer
    LIVE: ClassVar = (Status.ACTIVE, Status.PARTIALLY_FULFILLED)
    OPEN: ClassVar = (Status.PENDING_APPROVAL, *LIVE, Status.SUSPENDED)
    EDITABLE: ClassVar = (Status.DRAFT, Status.REJECTED, *OPEN)
    CANCELLABLE: ClassVar = EDITABLE
    # Verbs that each status allows.
    VERBS: ClassVar = {
        Status.DRAFT: {"update", "publish", "cancel", "ai_adjust"},
        Status.REJECTED: {"update", "cancel", "ai_adjust"},
        Status.PENDING_APPROVAL: {"update", "cancel", "approve", "reject", "suspend", "ai_adjust"},
        Status.ACTIVE: {"update", "cancel", "fulfill", "suspend", "ai_adjust"},
        Status.PARTIALLY_FULFILLED: {"update", "cancel", "fulfill", "suspend", "ai_adjust"},
        Status.SUSPENDED: {"update", "cancel", "reactivate", "ai_adjust"},
        Status.FULFILLED: {"fulfill"},
    }
    # What negotiations read: rounds, and the steps of price and quantity in percent.
    PACE: ClassVar = {
        Urgency.URGENT: (3, Decimal(5), Decimal(15)),
        Urgency.NORMAL: (5, Decimal(3), Decimal(10)),
        Urgency.PLANNING: (7, Decimal(2), Decimal(5)),
    }

    number = models.CharField(max_length=20, unique=True, editable=False)
    buyer_partner = models.ForeignKey(
        Partner, models.PROTECT, verbose_name="buyer", related_name="requirements",
        help_text="The partner that buys. Buyers can leave it empty: the requirement is then their own.",
    )  # fmt: skip
    buyer_location = models.ForeignKey(
        PartnerLocation, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="The buyer's place for which the goods are wanted.",
    )  # fmt: skip
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    editors = ArrayField(models.UUIDField(), default=list, editable=False)  # since the last decision
    commodity = models.ForeignKey(
        Commodity, models.PROTECT, related_name="requirements", help_text="The goods wanted."
    )
    grade = models.ForeignKey(
        Grade, models.PROTECT, null=True, blank=True, related_name="+", help_text="Grade of the commodity."
    )
    variety_ids = ids_field(20, "Accepted varieties. Empty: any.", verbose_name="varieties")
    substitute_ids = ids_field(10, "Other commodities that are accepted instead.", verbose_name="substitutes")
    crop_years = ArrayField(
        models.CharField(max_length=7), default=list, blank=True, size=5,
        help_text="Accepted seasons, such as 2025-26. Empty: any.",
    )  # fmt: skip
    unit = models.CharField(
        max_length=16, help_text="Unit of all quantities, such as BALE. Empty: the commodity's trade unit."
    )
    unit_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Definition of the unit; empty for packages."
    )
    min_quantity = quantity_field(
        verbose_name="minimum", help_text="Smallest quantity worth buying. Empty: the maximum."
    )
    preferred_quantity = quantity_field(
        verbose_name="preferred", help_text="Quantity that is preferred. Empty: the maximum."
    )
    max_quantity = quantity_field(
        verbose_name="maximum",
        help_text="Largest quantity, up to three decimals, whole numbers for packages.",
    )
    kg_per_count = models.DecimalField(
        "kilograms per package", max_digits=10, decimal_places=3, null=True, blank=True,
        help_text="Weight of a package for estimates. Empty: the usual one of the commodity.",
    )  # fmt: skip
    kg_per_unit = models.DecimalField(
        max_digits=20, decimal_places=8, editable=False
    )  # estimated, of any unit
    tolerance_percent = models.DecimalField(
        "tolerance (%)", max_digits=5, decimal_places=2, default=Decimal(5),
        help_text="By how much more or less may be bought, 0 to 10 percent. Default 5.",
    )  # fmt: skip
    single_lot = models.BooleanField(default=False, help_text="Whether everything comes from one offer.")
    committed_quantity = quantity_field(default=0, help_text="Quantity of trades that aren't approved yet.")
    purchased_quantity = quantity_field(default=0, help_text="Quantity of approved trades.")
    spent_amount = value_field(default=0, help_text="What approved trades cost, in the currency.")
    ceiling_price = optional_price(
        verbose_name="ceiling", help_text="Highest price, in the pricing unit. Sellers never see it."
    )
    target_price = optional_price(verbose_name="target", help_text="Price aimed at. Sellers never see it.")
    ceiling_per_kg = models.DecimalField(
        max_digits=20, decimal_places=8, null=True, editable=False
    )  # to compare
    currency = models.CharField(
        max_length=3, default="INR", validators=[CURRENCY], help_text="Currency, that of the pricing unit."
    )
    pricing_unit = models.ForeignKey(
        PricingUnit, models.PROTECT, related_name="+", help_text="How prices are quoted, such as INR/CANDY."
    )
    pricing_unit_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Definition of the pricing unit's unit."
    )
    price_basis = models.CharField(
        max_length=12, choices=BASES, null=True, blank=True,
        help_text="Place for which the price is. Empty: ex gin.",
    )  # fmt: skip
    tax_basis = models.CharField(
        max_length=9, choices=TaxBasis, default=TaxBasis.EXCLUSIVE, help_text="Whether prices include GST."
    )
    total_budget = value_field(
        verbose_name="budget",
        null=True,
        blank=True,
        help_text="Most that may be spent. Sellers never see it.",
    )
    estimated_value = value_field(
        null=True,
        editable=False,
        help_text="Value of the preferred quantity at the ceiling, else the target.",
    )
    origin_country = models.CharField(
        max_length=2,
        null=True,
        blank=True,
        validators=[COUNTRY],
        help_text="Country of origin. Empty: anywhere.",
    )
    origin_state_codes = ArrayField(
        models.CharField(max_length=3), default=list, blank=True, size=40,
        help_text="States of origin. Empty: anywhere.",
    )  # fmt: skip
    country = models.CharField(max_length=2, default="IN", editable=False)
    state_code = text(3, "State of the destination.", verbose_name="state", editable=False)
    district = text(80, "District of the destination.", editable=False)
    latitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, editable=False)
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, editable=False)
    time_zone = models.CharField(
        max_length=64,
        default="Asia/Kolkata",
        help_text="IANA time zone of the destination. Default Asia/Kolkata.",
    )
    delivery_term_ids = ids_field(
        10, "Delivery terms, best first. Empty: any.", verbose_name="delivery terms"
    )
    payment_term_ids = ids_field(10, "Payment terms, best first. Empty: any.", verbose_name="payment terms")
    passing_term_ids = ids_field(10, "Passing terms, best first. Empty: any.", verbose_name="passing terms")
    weighment_term_ids = ids_field(
        10, "Weighment terms, best first. Empty: any.", verbose_name="weighment terms"
    )
    delivery_from_date = models.DateField("delivery from", help_text="First day of delivery.")
    delivery_until_date = models.DateField("delivery until", help_text="Last day of delivery.")
    flexibility_days = models.PositiveSmallIntegerField(
        "flexibility (days)", default=7, help_text="Days by which delivery may differ, 0 to 60. Default 7."
    )
    eod_policy = models.CharField(
        "at the end of the day", max_length=19, choices=EndOfDay, default=EndOfDay.GOOD_TILL_DATE,
        help_text="Whether it ends with the trading day, on a date or when cancelled.",
    )  # fmt: skip
    valid_until_date = models.DateField(
        "valid until",
        null=True,
        blank=True,
        help_text="Last day of validity. Empty: the last day of delivery.",
    )
    carry_forward_days = models.PositiveSmallIntegerField(
        default=0, help_text="Trading days by which one for the day is carried forward, 0 to 30."
    )
    carried_days = models.PositiveSmallIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False, help_text="When it ends.")
    intent = models.CharField(
        max_length=20, choices=Intent, default=Intent.DIRECT_BUY, help_text="How the buyer wants to buy."
    )
    urgency = models.CharField(
        max_length=8, choices=Urgency, default=Urgency.NORMAL, help_text="How soon a deal is needed."
    )
    visibility = models.CharField(
        max_length=12,
        choices=Visibility,
        default=Visibility.MATCHED_ONLY,
        help_text="Which sellers can find it.",
    )
    internal_reference = text(64, "The buyer's own reference. Sellers don't see it.")
    notes = text(2000, "Remarks for the buyer and staff. Sellers don't see them.")
    tags = ArrayField(
        models.CharField(max_length=32),
        default=list,
        blank=True,
        size=20,
        help_text="The buyer's own labels.",
    )
    status = models.CharField(max_length=19, choices=Status, default=Status.DRAFT)
    status_reason = text(1000, "Why it was rejected, suspended or cancelled.", editable=False)
    suspended_for = ArrayField(models.CharField(max_length=20), default=list, editable=False)
    terms_version = models.PositiveIntegerField(
        default=1,
        editable=False,
        help_text="Rises when what is wanted changes, not when something is bought.",
    )
    approved_terms = models.JSONField(null=True, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_date = day_field("published_at", "Day on which it was published, in Indian time.")
    live_since = models.DateTimeField(null=True, editable=False, help_text="Time priority.")
    cancelled_at = models.DateTimeField(null=True, editable=False)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    risk_status = models.CharField(max_length=6, choices=Risk, null=True, editable=False)
    risk_assessed_at = models.DateTimeField(null=True, editable=False)
    reference_price = optional_price(editable=False, help_text="Suggested price when it was published.")
    reference_count = models.PositiveIntegerField(null=True, editable=False)
    price_flag = models.CharField(max_length=4, choices=PriceFlag, null=True, editable=False)

    objects: ClassVar[Any] = RequirementQuerySet.as_manager()

    class Meta(Opaque.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="requirement_quantities_in_order",
                condition=Q(
                    min_quantity__gt=0,
                    min_quantity__lte=F("preferred_quantity"),
                    preferred_quantity__lte=F("max_quantity"),
                ),
            ),
            models.CheckConstraint(
                name="requirement_target_within_ceiling",
                condition=Q(target_price=None)
                | Q(ceiling_price=None)
                | Q(target_price__lte=F("ceiling_price")),
            ),
            models.CheckConstraint(
                name="requirement_has_ceiling",
                condition=Q(ceiling_price__isnull=False) | Q(intent="PRICE_DISCOVERY_ONLY"),
            ),
            models.CheckConstraint(
                name="requirement_discovery_buys_nothing",
                condition=~Q(intent="PRICE_DISCOVERY_ONLY") | Q(committed_quantity=0, purchased_quantity=0),
            ),
            models.CheckConstraint(
                name="requirement_ledger_not_negative",
                condition=Q(committed_quantity__gte=0, purchased_quantity__gte=0, spent_amount__gte=0),
            ),
            models.CheckConstraint(
                name="requirement_not_overbought",
                condition=Q(
                    committed_quantity__lte=F("max_quantity")
                    + F("max_quantity") * F("tolerance_percent") / Decimal(100)
                    - F("purchased_quantity")
                ),
            ),
            models.CheckConstraint(
                name="requirement_dates_in_order",
                condition=Q(delivery_until_date__gte=F("delivery_from_date")),
            ),
            models.CheckConstraint(
                name="requirement_valid_until_with_policy",
                condition=Q(eod_policy="GOOD_TILL_DATE", valid_until_date__isnull=False)
                | (~Q(eod_policy="GOOD_TILL_DATE") & Q(valid_until_date=None)),
            ),
            models.CheckConstraint(
                name="requirement_tolerance_range", condition=Q(tolerance_percent__range=(0, 10))
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-published_date", "-id"], name="idx_requirement_market"),
            models.Index(fields=["commodity", "-live_since"], name="idx_requirement_live"),
            models.Index(fields=["commodity", "-ceiling_per_kg"], name="idx_requirement_ceiling"),
            models.Index(fields=["buyer_partner", "-created_at"], name="idx_requirement_buyer"),
            models.Index(fields=["-created_at", "-id"], name="idx_requirement_newest"),
            models.Index(
                fields=["expires_at"],
                name="idx_requirement_due",
                condition=Q(status__in=["PENDING_APPROVAL", "ACTIVE", "PARTIALLY_FULFILLED", "SUSPENDED"]),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    def open_verbs(self) -> frozenset[str]:
        return frozenset(self.VERBS.get(self.Status(self.status), ()))

    @property
    def is_live(self) -> bool:
        """Whether it is matched now."""
        return self.status in self.LIVE

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of the destination."""
        return ZoneInfo(self.time_zone)

    @property
    def cap(self) -> Decimal:
        """The most that may be committed and purchased: the maximum with its tolerance."""
        return Decimal(self.max_quantity) * (1 + Decimal(self.tolerance_percent) / 100)

    @property
    def open_quantity(self) -> Decimal:
        """What is still wanted of the maximum."""
        left: Decimal = Decimal(self.max_quantity) - self.committed_quantity - self.purchased_quantity
        return max(left, Decimal(0))

    @property
    def is_complete(self) -> bool:
        """Whether enough was bought: the maximum less its tolerance."""
        least = Decimal(self.max_quantity) * (1 - Decimal(self.tolerance_percent) / 100)
        return bool(self.purchased_quantity >= least)

    def kg(self, quantity: Decimal) -> Decimal:
        """Estimated kilograms of a quantity: by the weight of a package, or the unit's own."""
        return Decimal(quantity) * Decimal(self.kg_per_unit)

    def in_unit(self, kg: Decimal) -> Decimal:
        """Kilograms in the unit of the requirement, by the same estimate, three decimals, cut."""
        return (Decimal(kg) / Decimal(self.kg_per_unit)).quantize(Decimal("0.001"), ROUND_DOWN)

    def stage_for(self, user: Actor) -> Stage:
        """How much ``user`` may see; asks the database unless the row was read ``with_stage``."""
        known = self.__dict__.get("stage")
        if known is None:
            known = type(self).objects.with_stage(user).values_list("stage", flat=True).get(pk=self.pk)
        return Stage(known)

    @staticmethod
    def next_number(now: datetime) -> str:
        """Return a new number: ``REQ-2627-000123``, financial year and a sequence that may have gaps."""
        local = timezone.localtime(now, clock.KOLKATA)
        start = local.year if local.month >= 4 else local.year - 1
        return f"REQ-{start % 100:02d}{(start + 1) % 100:02d}-{next_value('requirement_number'):06d}"
