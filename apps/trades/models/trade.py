"""The contract: trades, their frozen terms, parties and lots, and who agreed and approved."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

from django.db import models
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    UUIDField,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from apps.availability.models.reservations import Reservation
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.varieties import Variety
from apps.locations.models import Location
from apps.matching.models import Match
from apps.negotiations.models import Negotiation
from apps.organization.models.identity import Organization
from apps.partners.models import TaxRegistration
from apps.trades.engine.terms import Role, Side, TaxStatus
from apps.trades.models.base import (
    BROKERS,
    SIDES,
    Changing,
    OfTrade,
    OfTradeQuerySet,
    Recorded,
    StaffQuerySet,
    chosen,
    kilograms,
    money,
    partner,
    person,
    rate,
    upload,
)
from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.models import Guarded, Model, QuerySet

SINGLE: Final = tuple(
    role.value for role in Role if role not in (Role.BROKER_SELLER, Role.BROKER_BUYER, Role.CONTROLLER)
)


_SUSPENDED: Final = Q(seller__status="suspended") | Q(buyer__status="suspended")


class Part(models.IntegerChoices):
    """How much of a trade a caller sees."""

    SERVICE = 1, "Goods, places and its own records"
    BROKER = 2, "Goods, price, value and its own brokerage"
    SIDE = 3, "Everything"


class TradeQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see all; a partner those in which it has a role or carries goods."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        return self.filter(Trade.owned_by(user)) | self.granted(user, "trade.view")

    def with_part(self, user: Actor) -> Self:
        """With ``part``: how much of each trade the user sees (``Part``), and ``is_own``: as ``belongs_to`` says."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self.annotate(part=Value(Part.SIDE, IntegerField()))
        own = Party.objects.of_partner(user, "partner").filter(trade=OuterRef("pk"))
        part = Case(
            When(Exists(own.filter(role__in=SIDES)), then=Value(Part.SIDE)),
            When(Exists(own.filter(role__in=BROKERS)), then=Value(Part.BROKER)),
            default=Value(Part.SERVICE),
            output_field=IntegerField(),
        )
        return self.annotate(
            part=part,
            is_own=Exists(own) | Exists(Trade.carried_by(user, trade=OuterRef("pk"))),
            own_of=Value(user.partner_id, UUIDField()),
        )

    def with_approvals(self) -> Self:
        """With ``approvals_given``: how many people approved the terms in force."""
        given = Approval.objects.filter(trade=OuterRef("pk"), terms_version=OuterRef("terms_version"))
        number = given.order_by().values("trade").annotate(n=Count("pk")).values("n")
        return self.annotate(approvals_given=Coalesce(Subquery(number), 0))

    def of_side(self, user: Actor) -> Self:
        """Trades of which the user sees every figure: all for staff, those of its own side for a partner."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        return self.filter(
            pk__in=Party.objects.of_partner(user, "partner").filter(role__in=SIDES).values("trade")
        )

    def not_acknowledged(self, now: datetime) -> Self:
        """Trades whose time to acknowledge has passed."""
        return self.filter(status=Trade.Status.PENDING_ACKNOWLEDGEMENT, acknowledge_until__lte=now)

    def to_hold(self) -> Self:
        """Live trades with a suspended side that aren't on hold."""
        return self.filter(_SUSPENDED, status__in=Trade.LIVE, hold_code=None)

    def to_free(self) -> Self:
        """Live trades on hold of which no side is suspended any more."""
        return self.filter(~_SUSPENDED, status__in=Trade.LIVE, hold_code__isnull=False)

    def deadline_due(self, day: date) -> Self:
        """Trades with an open deadline on or before the day."""
        from apps.trades.models.execution import Deadline

        due = Deadline.objects.filter(trade=OuterRef("pk"), status=Deadline.Status.OPEN, due_date__lte=day)
        return self.filter(Exists(due))


class Trade(Model):
    """The contract made from an approved match or an accepted negotiation, and the stock reserved for it."""

    class Status(models.TextChoices):
        PENDING_ACKNOWLEDGEMENT = "PENDING_ACKNOWLEDGEMENT", "Waiting for acknowledgement"
        PENDING_APPROVAL = "PENDING_APPROVAL", "Waiting for approval"
        APPROVED = "APPROVED"
        IN_EXECUTION = "IN_EXECUTION", "In execution"
        DELIVERED = "DELIVERED"
        SETTLED = "SETTLED"
        CANCELLED = "CANCELLED"

    class Hold(models.TextChoices):
        PARTNER_SUSPENDED = "PARTNER_SUSPENDED", "A partner is suspended"

    class WeightBasis(models.TextChoices):
        ESTIMATED = "ESTIMATED"
        DECLARED = "DECLARED"
        WEIGHED = "WEIGHED"
        AGREED = "AGREED"

    OPEN: ClassVar = (
        Status.PENDING_ACKNOWLEDGEMENT,
        Status.PENDING_APPROVAL,
        Status.APPROVED,
        Status.IN_EXECUTION,
    )
    LIVE: ClassVar = (*OPEN, Status.DELIVERED)
    _RUNNING: ClassVar = {"create_dispute", "record_quality", "record_weight", "record_payment"}
    VERBS: ClassVar[dict[Any, set[str]]] = {
        Status.PENDING_ACKNOWLEDGEMENT: {"acknowledge", "cancel", "propose_amendment"},
        Status.PENDING_APPROVAL: {"approve", "cancel", "propose_amendment"},
        Status.APPROVED: {*_RUNNING, "dispatch", "cancel", "propose_amendment"},
        Status.IN_EXECUTION: {*_RUNNING, "dispatch", "deliver", "cancel", "propose_amendment"},
        Status.DELIVERED: {*_RUNNING, "settle", "propose_amendment"},
        Status.SETTLED: {"create_dispute", "record_payment"},
        Status.CANCELLED: {"record_payment"},
    }

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    number = models.CharField(max_length=20, editable=False, help_text="Number of the organization's series.")
    match = models.ForeignKey(
        Match, models.PROTECT, null=True, related_name="+", help_text="The match that it comes from."
    )
    negotiation = models.ForeignKey(
        Negotiation,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="The negotiation that it comes from.",
    )
    reservation = models.ForeignKey("availability.Reservation", models.PROTECT, related_name="+")
    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="+")
    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="+")
    commodity = models.ForeignKey(Commodity, models.PROTECT, related_name="+")
    variety = models.ForeignKey(Variety, models.PROTECT, null=True, related_name="+")
    seller = partner(help_text="The partner that sells.")
    buyer = partner(help_text="The partner that buys.")
    status = models.CharField(max_length=23, choices=Status, default=Status.PENDING_ACKNOWLEDGEMENT)
    trade_date = models.DateField(help_text="Day of the contract.")
    quantity = kilograms(help_text="Quantity in the offer's unit.")
    count = models.PositiveIntegerField(null=True, help_text="Number of packages.")
    count_unit = models.CharField(
        max_length=16, default="", blank=True, help_text="Kind of package, such as BALE."
    )
    weight_kg = kilograms(verbose_name="weight (kg)", help_text="Weight in kilograms.")
    weight_basis = models.CharField(max_length=9, choices=WeightBasis)
    from_location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Place from which the goods are delivered.",
    )
    to_location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Place to which the goods are delivered.",
    )
    window_start_date = models.DateField("delivery from", null=True, help_text="First day of delivery.")
    window_end_date = models.DateField("delivery until", null=True, help_text="Last day of delivery.")
    price = rate(help_text="Agreed price, in the pricing unit.")
    currency = models.CharField(max_length=3, help_text="ISO 4217 code.")
    pricing_unit = models.ForeignKey(PricingUnit, models.PROTECT, related_name="+")
    unit_definition_version = models.PositiveIntegerField(help_text="Definition of the pricing unit's unit.")
    contract_value = money(help_text="Value at the agreed price, before tax.")
    fx_rate = models.DecimalField(max_digits=18, decimal_places=8, default=Decimal(1))
    base_value = money(help_text="Value in rupees.")
    terms_version = models.PositiveIntegerField(default=1, help_text="Version of the terms in force.")
    contract_hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical terms.")
    approvals_required = models.PositiveSmallIntegerField(help_text="How many people approve it.")
    acknowledge_until = models.DateTimeField(help_text="When it is cancelled unless both sides acknowledged.")
    hold_code = models.CharField(max_length=20, choices=Hold, null=True)  # noqa: DJ001 - the API says null
    cancelled_count = models.PositiveIntegerField(default=0, help_text="Packages that were cancelled.")
    cancelled_kg = kilograms(default=0, help_text="Kilograms that were cancelled.")
    cancel_reason = models.CharField(max_length=16, default="", blank=True, help_text="Why it was cancelled.")
    cancel_note = models.CharField(max_length=1000, default="", blank=True, help_text="Why, in words.")
    cancel_evidence = upload("What proves the default.")
    cancel_facts = models.JSONField(
        null=True, editable=False, help_text="What the washout was computed from."
    )
    approved_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    created_by = person()

    objects: ClassVar[Any] = TradeQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "number"], name="trade_number_once"),
            # One trade per source, ever: a cancelled one frees neither (rulings X35).
            models.UniqueConstraint(fields=["match"], name="trade_match_once"),
            models.UniqueConstraint(fields=["negotiation"], name="trade_negotiation_once"),
            models.UniqueConstraint(
                fields=["reservation"], condition=~Q(status="CANCELLED"), name="trade_reservation_once"
            ),
            models.CheckConstraint(
                name="trade_one_source",
                condition=Q(match=None, negotiation__isnull=False) | Q(match__isnull=False, negotiation=None),
            ),
            models.CheckConstraint(name="trade_two_partners", condition=~Q(seller=F("buyer"))),
            models.CheckConstraint(
                name="trade_positive",
                condition=Q(quantity__gt=0, weight_kg__gt=0, price__gt=0, contract_value__gt=0)
                & (Q(count=None) | Q(count__gt=0)),
            ),
            models.CheckConstraint(name="trade_approvals", condition=Q(approvals_required__in=(1, 2))),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="trade_newest"),
            models.Index(fields=["seller", "status"], name="trade_seller"),
            models.Index(fields=["buyer", "status"], name="trade_buyer"),
            models.Index(fields=["status", "-created_at"], name="trade_status"),
        ]

    def __str__(self) -> str:
        return self.number

    @classmethod
    def owned_by(cls, actor: Actor) -> Q:
        """Trades in which the actor's partner has a role, or carries goods."""
        if actor.partner_id is None:
            return Q(pk__in=())
        roles = Party.objects.filter(partner_id=actor.partner_id).order_by().values("trade")
        return Q(pk__in=roles.union(cls.carried_by(actor).order_by().values("trade")))

    @staticmethod
    def carried_by(actor: Actor, **conditions: Any) -> Any:
        """Dispatches that the actor's partner carries."""
        from apps.trades.models.execution import Dispatch

        return Dispatch.objects.of_partner(actor, "transporter").filter(**conditions)

    def belongs_to(self, user: Actor) -> bool:
        """Whether the user's partner has a role in it, or carries its goods; asks nothing of a row ``with_part``."""
        if "is_own" in self.__dict__ and self.__dict__["own_of"] == user.partner_id:
            return bool(self.__dict__["is_own"])
        return user.partner_id is not None and Trade.objects.filter(Trade.owned_by(user), pk=self.pk).exists()

    def open_verbs(self) -> frozenset[str]:
        return frozenset(self.VERBS[self.Status(self.status)])

    def part_for(self, user: Actor) -> "Part":
        """How much the user sees; asks the database unless the row was read ``with_part``."""
        known = self.__dict__.get("part")
        if known is None:
            known = Trade.objects.with_part(user).values_list("part", flat=True).get(pk=self.pk)
        return Part(known)

    def side_of(self, user: Actor) -> Side | None:
        """The side that the user is of; none for staff and other roles."""
        sides = {self.seller_id: Side.SELLER, self.buyer_id: Side.BUYER}
        return sides.get(user.partner_id)

    @property
    def source_match_id(self) -> Any:
        """The match behind it, also behind its negotiation."""
        return self.match_id if self.negotiation is None else self.negotiation.match_id

    @property
    def open_kg(self) -> Decimal:
        """The contract weight less what was cancelled."""
        return Decimal(self.weight_kg) - Decimal(self.cancelled_kg)


class Terms(Recorded):
    """A version of the terms as both sides agreed them, by value (``apps.trades.engine.terms``)."""

    terms_version = models.PositiveIntegerField()
    schema_version = models.PositiveSmallIntegerField()
    body = models.JSONField(help_text="The terms, as canonical JSON.")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical JSON.")
    amendment = models.ForeignKey("trade.Amendment", models.PROTECT, null=True, related_name="+")

    class Meta(Recorded.Meta):
        verbose_name = "terms"
        verbose_name_plural = "terms"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "terms_version"], name="terms_version_once")
        ]

    def __str__(self) -> str:
        return f"Version {self.terms_version}"


class PartyQuerySet(OfTradeQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff and the two sides see all parties of their trades, others themselves."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        own = Party.objects.of_partner(user, "partner")
        sides = own.filter(role__in=SIDES).values("trade")
        return self.filter(Q(trade__in=sides) | Q(pk__in=own.values("pk"))) | self.granted(user, "trade.view")


class Party(OfTrade):
    """A partner in a role of the trade, with its registration and tax status on the trade date."""

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="parties")
    role = chosen(Role)
    partner = partner()
    registration = models.ForeignKey(TaxRegistration, models.PROTECT, null=True, related_name="+")
    state_code = models.CharField("state", max_length=2)
    tax_status = chosen(TaxStatus, help_text="How it stands to GST on the trade date.")
    has_pan = models.BooleanField("has a PAN")
    share = models.DecimalField(
        "share (%)", max_digits=9, decimal_places=4, null=True, help_text="Share of the side's brokerage."
    )
    external_ref = models.CharField(
        "own reference", max_length=64, default="", blank=True, help_text="The partner's own reference."
    )
    declaration = upload("Declaration of an agriculturist.")

    objects: ClassVar[Any] = PartyQuerySet.as_manager()

    class Meta(OfTrade.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "role", "partner"], name="party_once"),
            models.UniqueConstraint(
                fields=["trade", "role"], condition=Q(role__in=SINGLE), name="party_one_per_role"
            ),
            models.CheckConstraint(
                name="party_share", condition=Q(share=None) | Q(share__gt=0, share__lte=100)
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["partner", "role"], name="party_partner")]

    def __str__(self) -> str:
        return f"{self.get_role_display()} {self.partner_id}"


class Lot(OfTrade):
    """A lot of the trade; one stands for the whole parcel where none were named."""

    shown_to = (*BROKERS, "TRANSPORTER", "CONTROLLER")
    own_records = ("trade__dispatches__transporter",)

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="lots")
    offer_lot = models.ForeignKey("availability.Lot", models.PROTECT, null=True, related_name="+")
    lot_no = models.CharField("lot number", max_length=32)
    press_mark = models.CharField(max_length=32, default="", blank=True)
    crop_year = models.CharField(max_length=7, default="", blank=True)
    pr_from = models.PositiveIntegerField("press running number from", null=True)
    pr_to = models.PositiveIntegerField("press running number to", null=True)
    count = models.PositiveIntegerField(null=True, help_text="Number of packages.")
    estimated_kg = kilograms(help_text="Contract weight in kilograms.")

    class Meta(OfTrade.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "lot_no"], name="trade_lot_number_once"),
            models.CheckConstraint(name="trade_lot_positive", condition=Q(estimated_kg__gt=0)),
        ]

    def __str__(self) -> str:
        return self.lot_no


class Acknowledgement(Recorded):
    """A side's agreement with a version of the terms."""

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="acknowledgements")
    terms_version = models.PositiveIntegerField()
    role = chosen(Side)
    contract_hash = models.CharField(max_length=64)
    on_behalf = models.BooleanField(default=False, help_text="Whether staff recorded it for the side.")
    evidence = upload("What proves the side's agreement.")
    amendment = models.ForeignKey(
        "trade.Amendment",
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Proposed or accepted with it.",
    )

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "terms_version", "role"], name="acknowledgement_once"),
            models.CheckConstraint(
                name="acknowledgement_evidence",
                condition=Q(on_behalf=False) | Q(evidence__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()}, version {self.terms_version}"


class Approval(Recorded):
    """One person's approval of a version of the terms."""

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="approvals")
    terms_version = models.PositiveIntegerField()
    request_id = models.UUIDField("request")
    contract_hash = models.CharField(max_length=64)
    comment = models.CharField(max_length=500, default="", blank=True)

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["trade", "terms_version", "created_by"], name="trade_approval_once"
            )
        ]

    def __str__(self) -> str:
        return f"Version {self.terms_version} by {self.created_by_id}"


class Amendment(Changing):
    """A change of the terms that one side proposes and the other accepts."""

    class Status(models.TextChoices):
        PROPOSED = "PROPOSED"
        ACCEPTED = "ACCEPTED"
        APPLIED = "APPLIED"
        REJECTED = "REJECTED"
        REFUSED = "REFUSED"
        STALE = "STALE"

    OPEN: ClassVar = (Status.PROPOSED, Status.ACCEPTED)

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="amendments")
    status = models.CharField(max_length=8, choices=Status, default=Status.PROPOSED)
    side = chosen(Side, help_text="The side that proposes it.")
    changes = models.JSONField(help_text="What changes: pointer, old and new value.")
    commercial = models.BooleanField(help_text="Whether it touches value, tax or payment.")
    reason = models.CharField(max_length=1000)
    base_terms_version = models.PositiveIntegerField()
    proposed_body = models.JSONField(editable=False, help_text="The terms as they would be.")
    proposed_hash = models.CharField(max_length=64, help_text="Hash of the terms as they would be.")
    on_behalf = models.BooleanField(default=False)
    proposal_evidence = upload("What proves that the side proposes it.")
    evidence = upload("What proves the other side's agreement.")
    decided_by = person()
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.CharField(
        max_length=1000, default="", blank=True, help_text="Why the other side agreed or refused."
    )

    class Meta(Changing.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["trade"], condition=Q(status__in=("PROPOSED", "ACCEPTED")), name="amendment_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"Amendment of version {self.base_terms_version}"

    def open_verbs(self) -> frozenset[str]:
        verbs = {"accept_amendment", "reject_amendment"}
        return frozenset(verbs if self.status == self.Status.PROPOSED else ())


class Refusal(Guarded):
    """An accepted negotiation of which no trade could be created. Never changed.

    Staff create it once the cause is mended, or close the refusal after the reservation has ended.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    negotiation = models.OneToOneField(Negotiation, models.PROTECT, related_name="+")
    code = models.CharField(max_length=64, help_text="Code of the refusal.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    class Meta(Guarded.Meta):
        verbose_name = "negotiation without trade"
        verbose_name_plural = "negotiations without trade"

    def __str__(self) -> str:
        return f"Negotiation without trade of {clock.local(self.created_at)}"

    def open_verbs(self) -> frozenset[str]:
        if self.negotiation.trade_id is not None or hasattr(self, "closing"):
            return frozenset()
        return frozenset({"create_refused" if self.holds_goods() else "close_refused"})

    def holds_goods(self) -> bool:
        """Whether the reservation of the negotiation is live; one that has ended never becomes so again."""
        held = Reservation.objects.live(clock.now()).filter(pk=self.negotiation.reservation_id)
        return bool(held.exists())


class RefusalClosing(Guarded):
    """That a refusal was closed without a trade, and why. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    refusal = models.OneToOneField(Refusal, models.PROTECT, related_name="closing")
    reason = models.CharField(max_length=500, help_text="Why there is no trade.")
    created_at = models.DateTimeField("closed at", default=clock.now, editable=False)
    created_by = person(verbose_name="closed by")

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Closed {clock.local(self.created_at)}"
