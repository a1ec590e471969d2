"""Negotiations and their offers. The two sides take turns: constraints and triggers hold that in the database too."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Mod
from django.db.models.lookups import Exact

from apps.availability.models import Availability
from apps.availability.models.base import Opaque, price_field, quantity_field, text
from apps.availability.models.reservations import Reservation
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.matching.models import Match, protecting
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from erp.access import Actor
from erp.models import QuerySet

MAX_ROUNDS: Final = 10  # of every negotiation: another number would tell how urgent the requirement is
MESSAGE_LENGTH, NOTE_LENGTH = 500, 500
MESSAGES_KEPT: Final = timedelta(days=400)


class Side(models.TextChoices):
    """The two sides of a negotiation."""

    BUYER = "BUYER"
    SELLER = "SELLER"

    @property
    def other(self) -> "Side":
        """The side across the table."""
        return Side.SELLER if self == Side.BUYER else Side.BUYER


class NegotiationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see all; a partner those in which it is a side."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        return self.filter(Negotiation.owned_by(user)) | self.granted(user, "negotiation.view")

    def on_side(self, user: Actor, side: str) -> Self:
        """Rows in which the user's partner is the side."""
        return self.of_partner(user, "buyer_partner" if side == Side.BUYER else "seller_partner")

    def open(self) -> Self:
        """Negotiations that go on."""
        return self.filter(status=Negotiation.Status.OPEN)

    def protecting_match(self) -> Self:
        """Negotiations whose match doesn't end by itself."""
        return self.filter(status__in=(Negotiation.Status.OPEN, Negotiation.Status.ACCEPTED))

    def due(self, now: datetime) -> Self:
        """Open ones past their time, the first due first."""
        return self.open().filter(expires_at__lte=now).order_by("expires_at", "pk")

    def with_lapsed_offer(self, now: datetime) -> Self:
        """Open ones whose current offer is past its time, the first due first."""
        rows = self.open().filter(standing_offer__valid_until__lte=now)
        return rows.order_by("standing_offer__valid_until", "pk")

    def without_hold(self, now: datetime) -> Self:
        """Open ones that name a reservation which no longer holds anything."""
        held = Reservation.objects.filter(status=Reservation.Status.HELD, expires_at__gt=now)
        named = self.open().filter(reservation_id__isnull=False)
        return named.exclude(reservation_id__in=held.values("pk")).order_by("pk")

    def to_close(self, now: datetime) -> Self:
        """Open ones that can't go on: a listing ended, a partner was suspended, or the match is over.

        A reservation that is still held outlasts the end of the day: its standing offer can be accepted.
        """
        held = Reservation.objects.filter(status=Reservation.Status.HELD, expires_at__gt=now)
        offer, requirement = Availability.Status, Requirement.Status
        ended = Q(availability__status__in=(offer.CANCELLED, offer.REJECTED, offer.SOLD_OUT)) | Q(
            requirement__status__in=(requirement.CANCELLED, requirement.REJECTED, requirement.FULFILLED)
        )
        expired = Q(availability__status=offer.EXPIRED) | Q(requirement__status=requirement.EXPIRED)
        run_out = expired & (Q(reservation_id=None) | ~Q(reservation_id__in=held.values("pk")))
        suspended = Q(buyer_partner__status=Partner.Status.SUSPENDED) | Q(
            seller_partner__status=Partner.Status.SUSPENDED
        )
        over = ~Q(match__status__in=Match.LIVE)
        return self.open().filter(ended | run_out | suspended | over).order_by("pk")

    def with_old_messages(self, now: datetime) -> Self:
        """Ended ones whose messages and notes nobody needs any more."""
        ended = self.exclude(status=Negotiation.Status.OPEN).filter(updated_at__lt=now - MESSAGES_KEPT)
        written = Q(pk__in=Offer.objects.exclude(message="").values("negotiation_id"))
        return ended.filter(written | ~Q(close_note="")).order_by("pk")

    def with_row(self) -> Self:
        """With what the answer about a row names."""
        return self.select_related(
            "match", "availability__commodity", "availability__pricing_unit", "buyer_partner", "seller_partner",
            "standing_offer__negotiation__availability",
        )  # fmt: skip


class Negotiation(Opaque):
    """Firm offers that buyer and seller of a match make in turn, under pseudonyms."""

    granted_through = ("availability", "requirement")
    trail_personal = ("close_note",)

    class Status(models.TextChoices):
        OPEN = "OPEN"
        ACCEPTED = "ACCEPTED"
        REJECTED = "REJECTED"
        WITHDRAWN = "WITHDRAWN"
        EXPIRED = "EXPIRED"

    class Reason(models.TextChoices):
        PRICE = "PRICE"
        QUANTITY = "QUANTITY"
        QUALITY = "QUALITY"
        PLACE = "PLACE"
        TERMS = "TERMS"
        TIMING = "TIMING"
        COUNTERPARTY = "COUNTERPARTY"
        OTHER = "OTHER"
        LISTING_ENDED = "LISTING_ENDED", "A listing ended"
        PARTNER_SUSPENDED = "PARTNER_SUSPENDED", "A partner was suspended"
        MATCH_ENDED = "MATCH_ENDED", "The match ended"

    OF_PARTNERS: ClassVar = (
        Reason.PRICE, Reason.QUANTITY, Reason.QUALITY, Reason.PLACE, Reason.TERMS, Reason.TIMING,
        Reason.COUNTERPARTY, Reason.OTHER,
    )  # fmt: skip
    SYSTEM: ClassVar = "SYSTEM"
    CLOSERS: ClassVar = [*Side.choices, (SYSTEM, "System")]

    match = models.OneToOneField(
        Match, models.PROTECT, related_name="negotiation", help_text="The match that is negotiated."
    )
    requirement = models.ForeignKey(Requirement, models.PROTECT, related_name="+")
    availability = models.ForeignKey(
        Availability, models.PROTECT, related_name="+", verbose_name="offered goods"
    )
    buyer_partner = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="buyer")
    seller_partner = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="seller")
    status = models.CharField(max_length=9, choices=Status, default=Status.OPEN)
    opened_by = models.CharField(max_length=6, choices=Side, help_text="Side that opened the negotiation.")
    turn = models.CharField(max_length=6, choices=Side, help_text="Side that can make the next offer.")
    round = models.PositiveSmallIntegerField(default=0, help_text="Number of offers made so far.")
    max_rounds = models.PositiveSmallIntegerField(
        "most rounds", default=MAX_ROUNDS, help_text="Most offers that both sides together can make."
    )
    standing_offer = models.ForeignKey(
        "negotiation.Offer", models.PROTECT, null=True, related_name="+", verbose_name="current offer"
    )
    expires_at = models.DateTimeField(
        help_text="When the negotiation ends unless an offer is made that is valid longer."
    )
    hard_expires_at = models.DateTimeField("ends at the latest", help_text="When it ends at the latest.")
    reservation_id = models.UUIDField(null=True, help_text="The reservation of the goods, if there is one.")
    own_hold = models.BooleanField(default=False, editable=False)  # reserved here, not by the match
    accepted_offer = models.ForeignKey("negotiation.Offer", models.PROTECT, null=True, related_name="+")
    accepted_at = models.DateTimeField(null=True, help_text="When it was accepted.")
    closed_by = models.CharField(
        max_length=6, choices=CLOSERS, null=True, help_text="Who ended it: a side, or the system."
    )
    close_reason = models.CharField(max_length=17, choices=Reason, null=True, help_text="Why it ended.")
    close_note = text(NOTE_LENGTH, "Remark of the side that ended it. The other side doesn't see it.")
    trade_id = models.UUIDField(null=True, help_text="The trade that was made of it, if any.")
    pseudonym_key = models.PositiveSmallIntegerField(editable=False)
    badges = models.JSONField(default=dict, editable=False)  # rating band and badge of each side at the end

    objects: ClassVar[Any] = NegotiationQuerySet.as_manager()

    class Meta(Opaque.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="negotiation_two_partners", condition=~Q(buyer_partner=F("seller_partner"))
            ),
            models.CheckConstraint(
                name="negotiation_sides", condition=Q(opened_by__in=Side.values, turn__in=Side.values)
            ),
            models.CheckConstraint(
                name="negotiation_rounds_within_limit", condition=Q(round__lte=F("max_rounds"))
            ),
            models.CheckConstraint(
                name="negotiation_ends_in_time", condition=Q(expires_at__lte=F("hard_expires_at"))
            ),
            models.CheckConstraint(
                name="negotiation_accepted_is_complete",
                condition=~Q(status="ACCEPTED")
                | Q(accepted_offer__isnull=False, accepted_at__isnull=False, reservation_id__isnull=False),
            ),
            models.CheckConstraint(
                name="negotiation_trade_of_accepted", condition=Q(trade_id=None) | Q(status="ACCEPTED")
            ),
            models.CheckConstraint(
                name="negotiation_ended_by_somebody",
                condition=Q(status="OPEN", closed_by=None) | (~Q(status="OPEN") & Q(closed_by__isnull=False)),
            ),
            models.UniqueConstraint(fields=["trade_id"], name="negotiation_one_per_trade"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["expires_at", "id"], name="idx_negotiation_due", condition=Q(status="OPEN")),
            models.Index(
                fields=["reservation_id"], name="idx_negotiation_reservation", condition=Q(status="OPEN")
            ),
            models.Index(fields=["buyer_partner", "-created_at"], name="idx_negotiation_buyer"),
            models.Index(fields=["seller_partner", "-created_at"], name="idx_negotiation_seller"),
            models.Index(fields=["-created_at", "id"], name="idx_negotiation_newest"),
        ]

    def __str__(self) -> str:
        return f"Negotiation {str(self.pk)[:8]}"

    @classmethod
    def owned_by(cls, actor: Actor) -> Q:
        """Negotiations in which the actor's partner is a side."""
        if actor.partner_id is None:
            return Q(pk__in=())
        return Q(buyer_partner_id=actor.partner_id) | Q(seller_partner_id=actor.partner_id)

    def belongs_to(self, user: Actor) -> bool:
        """Whether the user's partner is a side."""
        return self.side_of(user) is not None

    def open_verbs(self) -> frozenset[str]:
        """Verbs of an open negotiation; whose turn it is narrows them further."""
        is_open = self.status == self.Status.OPEN
        return frozenset({"offer", "accept", "reject", "withdraw"} if is_open else ())

    def verbs_of(self, side: Side, now: datetime) -> frozenset[str]:
        """What a side can do now: the two never move at once."""
        if self.status != self.Status.OPEN or self.has_run_out(now):
            return frozenset()
        verbs, standing = {"withdraw"}, self.standing_offer
        if self.turn == side and self.round < self.max_rounds:
            verbs.add("offer")
        if standing is not None and standing.side != side and not standing.has_lapsed(now):
            verbs |= {"accept", "reject"}
        return frozenset(verbs)

    def side_of(self, user: Actor) -> Side | None:
        """The side that the user acts for; None for staff and everybody else."""
        return self.side_of_partner(user.partner_id)

    def side_of_partner(self, partner_id: UUID | None) -> Side | None:
        """The side of a partner, if it has one."""
        if partner_id is None:
            return None
        sides = {self.buyer_partner_id: Side.BUYER, self.seller_partner_id: Side.SELLER}
        return sides.get(partner_id)

    def partner_on(self, side: str) -> Partner:
        """The partner on a side."""
        partner: Partner = self.buyer_partner if side == Side.BUYER else self.seller_partner
        return partner

    def badge_of(self, side: str) -> dict[str, Any]:
        """Rating band of a side, and whether it is verified; once the negotiation has ended as at its end."""
        if side in self.badges:
            return dict(self.badges[side])
        partner = self.partner_on(side)
        # At the end a suspension doesn't count: the other side would read of it (rulings X10).
        states = [Partner.Status.ACTIVE] + [Partner.Status.SUSPENDED] * (self.status != self.Status.OPEN)
        verified = partner.status in states and partner.kyc == "valid"
        return {"risk_category": partner.risk_category, "verified": verified}

    @property
    def shown_reason(self) -> str | None:
        """Why it ended, as the sides read it: not that the other one was suspended (rulings X10)."""
        is_hidden = self.close_reason == self.Reason.PARTNER_SUSPENDED
        return str(self.Reason.MATCH_ENDED) if is_hidden else self.close_reason

    def has_run_out(self, now: datetime) -> bool:
        """Whether it is past its time, though no sweep has ended it yet."""
        return self.status == self.Status.OPEN and self.expires_at <= now


class OfferQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Offers of the negotiations that the user sees."""
        return self.filter(negotiation__in=Negotiation.objects.visible_to(user).values("pk"))

    def with_row(self) -> Self:
        """With what the answer about a row names."""
        return self.select_related("negotiation__availability__pricing_unit")


class Offer(Opaque):
    """A firm offer. Only its status ever changes."""

    granted_through = ("negotiation",)
    trail_personal = ("message",)

    class Status(models.TextChoices):
        STANDING = "STANDING", "Current"
        COUNTERED = "COUNTERED"
        ACCEPTED = "ACCEPTED"
        REJECTED = "REJECTED"
        WITHDRAWN = "WITHDRAWN"
        LAPSED = "LAPSED"

    negotiation = models.ForeignKey(Negotiation, models.PROTECT, related_name="offers")
    round = models.PositiveSmallIntegerField(help_text="Number of the offer within the negotiation.")
    opened_by = models.CharField(
        max_length=6, choices=Side, editable=False
    )  # the negotiation's, for the constraint
    side = models.CharField(max_length=6, choices=Side, help_text="Side that made the offer.")
    price = price_field(help_text="Price in the pricing unit of the offered goods, as a decimal string.")
    quantity = quantity_field(help_text="Quantity in the unit of the offered goods.")
    weight_kg = quantity_field(help_text="Weight of the quantity in kilograms.")
    delivery_term = models.ForeignKey(DeliveryTerms, models.PROTECT, null=True, related_name="+")
    payment_term = models.ForeignKey(PaymentTerms, models.PROTECT, null=True, related_name="+")
    passing_term = models.ForeignKey(PassingTerms, models.PROTECT, null=True, related_name="+")
    weighment_term = models.ForeignKey(WeighmentTerms, models.PROTECT, null=True, related_name="+")
    window_from_date = models.DateField("delivery from", help_text="First day of delivery.")
    window_until_date = models.DateField("delivery until", help_text="Last day of delivery.")
    availability_terms_version = models.PositiveIntegerField(editable=False)
    requirement_terms_version = models.PositiveIntegerField(editable=False)
    message = text(MESSAGE_LENGTH, "Message to the other side, without names and contact data.")
    valid_until = models.DateTimeField(help_text="Until when the other side can accept the offer.")
    status = models.CharField(max_length=9, choices=Status, default=Status.STANDING)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    objects: ClassVar[Any] = OfferQuerySet.as_manager()

    class Meta(Opaque.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["negotiation", "round"], name="negotiation_offer_one_a_round"),
            models.UniqueConstraint(
                fields=["negotiation"], name="negotiation_offer_one_standing", condition=Q(status="STANDING")
            ),
            models.UniqueConstraint(
                fields=["negotiation"], name="negotiation_offer_one_accepted", condition=Q(status="ACCEPTED")
            ),
            models.CheckConstraint(
                name="negotiation_offer_sides_take_turns",
                condition=Q(Exact(Mod("round", 2), 1), side=F("opened_by"))
                | Q(~Q(side=F("opened_by")), Exact(Mod("round", 2), 0)),
            ),
            models.CheckConstraint(
                name="negotiation_offer_figures_positive",
                condition=Q(round__gte=1, price__gt=0, quantity__gt=0, weight_kg__gt=0),
            ),
            models.CheckConstraint(
                name="negotiation_offer_window_in_order",
                condition=Q(window_until_date__gte=F("window_from_date")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["valid_until", "id"], name="idx_negotiation_offer_due", condition=Q(status="STANDING")
            )
        ]

    def __str__(self) -> str:
        return f"Offer {self.round} of {self.negotiation_id}"

    def has_lapsed(self, now: datetime) -> bool:
        """Whether it is past its time, though no sweep has lapsed it yet."""
        return self.valid_until <= now

    @property
    def content(self) -> tuple[Any, ...]:
        """What the other side would accept, to compare."""
        return (
            Decimal(self.price), Decimal(self.quantity), self.delivery_term_id, self.payment_term_id,
            self.passing_term_id, self.weighment_term_id, self.window_from_date, self.window_until_date,
        )  # fmt: skip


# Matching doesn't end a match that is negotiated or was agreed (rulings X1).
protecting.append(lambda: Negotiation.objects.protecting_match().values("match_id"))
