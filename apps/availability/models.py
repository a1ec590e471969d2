"""Stock that can't be oversold: offers, the ledger of each, and the reservations on it."""

import hashlib
import hmac
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner
from erp import clock
from erp.access import Actor, holds_everywhere
from erp.models import Model, QuerySet
from erp.services import next_value

KG = Decimal("0.001")


def quantity_field(**kwargs: Any) -> Any:
    """A quantity: numeric(18,3)."""
    return models.DecimalField(max_digits=18, decimal_places=3, **kwargs)


class Stage(models.IntegerChoices):
    """How much of an offer a caller may see; the highest stage that applies counts."""

    BROWSE = 1
    NEGOTIATING = 3
    OWNER = 9


class AvailabilityQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see all; a partner its own, public ones by role, and those with a live reservation or single grant."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        granted, partner_id = self.granted(user, "availability.view"), user.partner_id
        if partner_id is None:
            return granted
        visible = Q(seller_partner_id=partner_id)
        live = Reservation.objects.live(clock.now()).of_partner(user, "holder_partner")
        visible |= Q(pk__in=live.values("availability_id"))
        browse = Q(status=Availability.Status.ACTIVE, visibility=Availability.Visibility.PUBLIC)
        if holds_everywhere(user, "availability.view"):
            visible |= browse
        return self.filter(visible) | granted


class Availability(Model):
    """A parcel of goods for sale. At any time: total = available + reserved + sold + withdrawn."""

    owner_partner = "seller_partner_id"

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
        INTERNAL = "INTERNAL"

    class WeightBasis(models.TextChoices):
        ESTIMATED = "ESTIMATED"
        DECLARED = "DECLARED"
        WEIGHED = "WEIGHED"

    # Verbs that each status allows.
    VERBS: ClassVar = {
        Status.DRAFT: {"submit"},
        Status.PENDING_APPROVAL: {"approve"},
        Status.ACTIVE: {"reserve", "release"},
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
    commodity = models.ForeignKey(
        Commodity, models.PROTECT, related_name="availabilities", help_text="The goods offered."
    )
    crop_year = models.CharField(
        max_length=7,
        null=True,  # noqa: DJ001 - not seasonal
        blank=True,
        help_text="Season of the crop, such as 2025-26. Required for seasonal commodities.",
    )
    address = models.CharField(
        max_length=300, help_text="Street or plot, and town where the goods are stored."
    )
    country = models.CharField(max_length=2, help_text="Two-letter ISO 3166-1 code, such as IN.")
    state_code = models.CharField(
        "state", max_length=3, default="", blank=True, help_text="Code of the state, such as GJ."
    )
    district = models.CharField(max_length=80, default="", blank=True, help_text="District within the state.")
    time_zone = models.CharField(
        max_length=64,
        help_text="IANA time zone of the place, such as Asia/Kolkata. Required outside India.",
    )
    unit = models.CharField(
        max_length=16,
        help_text="Unit of all quantities of the offer, such as BALE. Empty: the commodity's trade unit.",
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
        help_text="Weight of the whole quantity in kilograms, up to three decimals. Not needed where the unit is KG."
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
        default=5,
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
    available_from_date = models.DateField(
        "available from", help_text="First day on which the goods can be collected."
    )
    available_until_date = models.DateField(
        "available until", help_text="Last day of the offer, in the time zone of the place."
    )
    expires_at = models.DateTimeField(null=True, editable=False, help_text="When the offer ends.")
    visibility = models.CharField(
        max_length=8,
        choices=Visibility,
        default=Visibility.PUBLIC,
        help_text="Public: buyers can find the offer. Internal: only its seller and staff see it.",
    )
    internal_reference = models.CharField(
        max_length=64, default="", blank=True, help_text="The seller's own reference. Buyers don't see it."
    )
    notes = models.CharField(
        max_length=2000,
        default="",
        blank=True,
        help_text="Remarks for the seller and staff. Buyers don't see them.",
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.DRAFT)
    terms_version = models.PositiveIntegerField(
        default=1, editable=False, help_text="Rises whenever the terms of the offer change."
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    listed_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = AvailabilityQuerySet.as_manager()

    class Meta(Model.Meta):
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
                condition=Q(available_until_date__gte=F("available_from_date")),
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
            models.Index(fields=["status", "visibility", "-created_at"], name="idx_availability_market"),
        ]

    def __str__(self) -> str:
        return self.number

    def open_verbs(self) -> frozenset[str]:
        return frozenset(self.VERBS.get(self.Status(self.status), ()))

    def window_end(self) -> datetime:
        """Return when the window closes: midnight after its last day, in the offer's time zone."""
        after = datetime.combine(
            self.available_until_date + timedelta(days=1), time(), ZoneInfo(self.time_zone)
        )
        return after.astimezone(UTC)

    def weight_of(self, quantity: Decimal) -> Decimal:
        """Return the weight in kg of a part by its share of the total, three decimals, half up."""
        total_kg, total = Decimal(self.total_weight_kg), Decimal(self.total_quantity)
        return (total_kg * quantity / total).quantize(KG, ROUND_HALF_UP)

    def stage_for(self, user: Actor, has_reservation: bool | None = None) -> Stage:
        """Return how much ``user`` may see; without ``has_reservation`` (a live one) the database is asked."""
        if user.is_staff or user.is_system or self.belongs_to(user):
            return Stage.OWNER
        if has_reservation is None:
            has_reservation = self.reservations.live(clock.now()).of_partner(user, "holder_partner").exists()
        return Stage.NEGOTIATING if has_reservation else Stage.BROWSE

    def seller_ref_for(self, user: Actor) -> str:
        """Return a pseudonym of the seller: 128 bits, different for each offer and each viewer."""
        text = f"{user.partner_id}:{self.seller_partner_id}:{self.pk}"
        key = hashlib.sha256(b"seller-ref" + settings.SECRET_KEY.encode()).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]

    @staticmethod
    def next_number(now: datetime) -> str:
        """Return a new number: ``AVL-2627-000123``, financial year and a sequence that may have gaps."""
        local = timezone.localtime(now, clock.KOLKATA)
        start = local.year if local.month >= 4 else local.year - 1
        return f"AVL-{start % 100:02d}{(start + 1) % 100:02d}-{next_value('availability_number'):06d}"


def band(quantity: Decimal) -> str:
    """Return the quantity as a band of the 1–2–5 series: ``100–200`` for 100 ≤ x < 200; below one ``0–1``."""
    if quantity < 1:
        return "0–1"
    power = Decimal(10) ** (len(str(int(quantity))) - 1)
    low = max(step for step in (1, 2, 5) if step * power <= quantity)
    high = {1: 2, 2: 5, 5: 10}[low]
    return f"{int(low * power)}–{int(high * power)}"


class ReservationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every reservation; a partner its own."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        return self.of_partner(user, "holder_partner")

    def live(self, now: datetime) -> Self:
        """Reservations that still bind stock or back a trade; only with these does the holder see more of the offer."""
        running = Q(status=Reservation.Status.HELD, expires_at__gt=now)
        return self.filter(running | Q(status__in=[Reservation.Status.IN_TRADE, Reservation.Status.SOLD]))

    def overdue(self, now: datetime) -> Self:
        """Reservations past their deadline."""
        return self.filter(status=Reservation.Status.HELD, expires_at__lte=now)


class Reservation(Model):
    """A part of an offer reserved for one buyer until a deadline."""

    owner_partner = "holder_partner_id"
    granted_through = ("availability",)

    class Status(models.TextChoices):
        HELD = "HELD"
        IN_TRADE = "IN_TRADE", "In trade"
        SOLD = "SOLD"
        RELEASED = "RELEASED"
        EXPIRED = "EXPIRED"
        RETURNED = "RETURNED"

    availability = models.ForeignKey(Availability, models.PROTECT, related_name="reservations")
    holder_partner = models.ForeignKey(
        Partner,
        models.PROTECT,
        verbose_name="buyer",
        related_name="reservations",
        help_text="The partner that the quantity is reserved for. Buyers can leave it empty: it is then their own.",
    )
    requirement_id = models.UUIDField(
        null=True, help_text="The requirement that the reservation serves, if any."
    )
    match_id = models.UUIDField(null=True, help_text="The match that led to the reservation, if any.")
    negotiation_id = models.UUIDField(
        null=True, help_text="The negotiation that the reservation belongs to, if any."
    )
    trade_id = models.UUIDField(null=True, help_text="The trade that the reservation backs, if any.")
    quantity = quantity_field(
        help_text="Quantity in the offer's unit: up to three decimals, whole numbers for packages."
    )
    released_quantity = quantity_field(default=0, help_text="Quantity released, in the offer's unit.")
    open_quantity = models.GeneratedField(
        expression=F("quantity") - F("released_quantity"),
        output_field=models.DecimalField(max_digits=18, decimal_places=3),
        db_persist=True,
    )
    weight_kg = quantity_field(help_text="Weight of the open quantity in kilograms.")
    terms_version = models.PositiveIntegerField(help_text="Version of the offer's terms that was reserved.")
    status = models.CharField(max_length=8, choices=Status, default=Status.HELD)
    expires_at = models.DateTimeField(
        null=True, help_text="When the reservation ends unless it backs a trade."
    )
    reserved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    release_reason = models.CharField(
        max_length=500,
        default="",
        blank=True,
        help_text="Why staff release it, 3 to 500 characters. Buyers need none.",
    )

    objects: ClassVar[Any] = ReservationQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="reservation_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(
                name="reservation_released_within_quantity",
                condition=Q(released_quantity__gte=0, released_quantity__lte=F("quantity")),
            ),
            models.CheckConstraint(
                name="reservation_held_has_deadline",
                condition=~Q(status="HELD") | Q(expires_at__isnull=False),
            ),
            models.CheckConstraint(
                name="reservation_trade_named",
                condition=~Q(status__in=["IN_TRADE", "SOLD"]) | Q(trade_id__isnull=False),
            ),
            models.UniqueConstraint(
                name="reservation_one_per_trade",
                fields=["trade_id"],
                condition=Q(status__in=["HELD", "IN_TRADE", "SOLD"]),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="idx_reservation_due", condition=Q(status="HELD")),
            models.Index(fields=["holder_partner", "availability"], name="idx_reservation_holder"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.availability_id}"

    @property
    def still_open(self) -> Decimal:
        """Quantity not yet released, also before the row is read back."""
        return Decimal(self.quantity) - Decimal(self.released_quantity)
