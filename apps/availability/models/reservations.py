"""Reservations: parts of an offer that are held for one buyer until a deadline, and what became of them."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.availability.models.base import Opaque, part, price_field, quantity_field, text
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import PaymentTerms
from apps.partners.models import Partner
from erp.access import Actor
from erp.models import QuerySet


class ReservationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every reservation; a partner its own."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        return self.of_partner(user, "holder_partner")

    def or_on_offers_of(self, user: Actor) -> Self:
        """With those on the user's own offers, which a seller sees under pseudonyms."""
        return self | Reservation.objects.of_partner(user, "availability__seller_partner")

    def live(self, now: datetime) -> Self:
        """Reservations that still bind stock or back a trade; only with these does the holder see more of the offer."""
        running = Q(status=Reservation.Status.HELD, expires_at__gt=now)
        return self.filter(running | Q(status__in=Reservation.TRADED))

    def overdue(self, now: datetime) -> Self:
        """Reservations past their deadline."""
        return self.filter(status=Reservation.Status.HELD, expires_at__lte=now)

    def unprotected(self) -> Self:
        """Those that back no deal: neither bound to a negotiation nor of a match that both sides approved."""
        return self.filter(bound_negotiation_id=None, match_id=None)

    def of_suspended(self) -> Self:
        """Held reservations whose buyer or seller is suspended."""
        suspended = Partner.Status.SUSPENDED
        either = Q(holder_partner__status=suspended) | Q(availability__seller_partner__status=suspended)
        return self.filter(either, status=Reservation.Status.HELD)

    def holding_lots(self) -> Self:
        """Those that keep the lots of their offer from being offered again."""
        return self.filter(Q(status__in=("HELD", "IN_TRADE")) | Q(status="SOLD", closed_at=None))


class Reservation(Opaque):
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

    TRADED: ClassVar = (Status.IN_TRADE, Status.SOLD)

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="reservations")
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
    bound_negotiation_id = models.UUIDField(
        null=True, editable=False, help_text="The accepted negotiation whose trade alone can use it."
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
    reserved_weight_kg = quantity_field(
        editable=False, help_text="Weight of the whole quantity when it was reserved, in kilograms."
    )
    terms_version = models.PositiveIntegerField(help_text="Version of the offer's terms that was reserved.")
    unit_price = price_field(null=True, help_text="Price at which it was reserved, in the pricing unit.")
    currency = models.CharField(max_length=3, default="INR", help_text="Currency of the price.")
    pricing_unit = models.ForeignKey(
        PricingUnit, models.PROTECT, null=True, related_name="+", editable=False,
        help_text="How the price is quoted, as it was when it was reserved.",
    )  # fmt: skip
    pricing_unit_version = models.PositiveIntegerField(null=True, editable=False)
    price_basis = text(12, editable=False)
    price_steps = models.JSONField(
        default=list, editable=False,
        help_text="The offer's prices by quantity when it was reserved, from 0 on. None where a price was agreed.",
    )  # fmt: skip
    payment_term = models.ForeignKey(
        PaymentTerms, models.PROTECT, null=True, related_name="+", editable=False,
        help_text="The offer's payment terms when it was reserved.",
    )  # fmt: skip
    tax_basis = text(9, "Whether GST was part of the price when it was reserved.", editable=False)
    credit_amount = models.DecimalField(
        max_digits=20, decimal_places=2, default=0, editable=False,
        help_text="Credit held for the whole quantity when it was reserved or last priced.",
    )  # fmt: skip
    status = models.CharField(max_length=8, choices=Status, default=Status.HELD)
    expires_at = models.DateTimeField(
        null=True, help_text="When the reservation ends unless it backs a trade."
    )
    reserved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    by_holder = models.BooleanField(default=False, editable=False)  # the buyer's own call
    release_reason = models.CharField(
        max_length=500,
        default="",
        blank=True,
        help_text="Why staff release it, 3 to 500 characters. Buyers need none.",
    )
    ended_at = models.DateTimeField(null=True, editable=False)
    agreed_price = price_field(null=True, editable=False, help_text="Price of the trade.")
    sold_at = models.DateTimeField(null=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False, help_text="When the trade was settled.")

    objects: ClassVar[Any] = ReservationQuerySet.as_manager()

    class Meta(Opaque.Meta):
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
            models.Index(
                fields=["requirement_id"], name="idx_reservation_requirement", condition=Q(status="HELD")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.availability_id}"

    @property
    def still_open(self) -> Decimal:
        """Quantity not yet released, also before the row is read back."""
        return Decimal(self.quantity) - Decimal(self.released_quantity)

    def weigh(self) -> None:
        """Compute the weight of what is open from that of the whole when it was reserved."""
        self.weight_kg = part(self.reserved_weight_kg, self.still_open, self.quantity)

    @property
    def is_protected(self) -> bool:
        """Whether it backs a deal: only staff, SYSTEM or the trade may end it."""
        return self.bound_negotiation_id is not None or self.match_id is not None
