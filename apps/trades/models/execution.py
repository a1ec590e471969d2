"""What happens to the goods: quality, weighings, dispatches, deliveries; deadlines and disputes."""

from datetime import date
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from apps.commodities.models.parameters import QualityParameter
from apps.locations.models import Location
from apps.organization.models.identity import Organization
from apps.partners.models import Vehicle
from apps.trades.engine.facts import Movement, Stage
from apps.trades.engine.terms import Side, TareMethod
from apps.trades.models.base import (
    Changing,
    OfTradeQuerySet,
    Recorded,
    chosen,
    kilograms,
    money,
    partner,
    person,
    rate,
    upload,
)
from apps.trades.models.trade import Lot, Trade
from erp.models import Guarded

_RECORDER = "created_by__partner_id"


class QualityResult(Recorded):
    """A set of test results of a lot, with the decision by the contract's schedule."""

    own_records = (_RECORDER,)

    class Source(models.TextChoices):
        SELLER = "SELLER"
        BUYER = "BUYER"
        LAB = "LAB", "Laboratory"
        CONTROLLER = "CONTROLLER"
        AWARD = "AWARD"

    class Decision(models.TextChoices):
        PASS = "PASS"  # noqa: S105 - a decision
        PASS_WITH_ALLOWANCE = "PASS_WITH_ALLOWANCE", "Pass with allowance"  # noqa: S105
        REJECT = "REJECT"

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="quality_results")
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="+")
    source = models.CharField(max_length=10, choices=Source, help_text="Who tested, or awarded.")
    laboratory = partner(null=True, help_text="The laboratory, if it is a partner.")
    sampled_at = models.DateTimeField()
    tested_at = models.DateTimeField()
    sample_refs = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        size=50,
        help_text="References of the samples.",
    )
    decision = models.CharField(max_length=19, choices=Decision)
    supersedes = models.OneToOneField("self", models.PROTECT, null=True, related_name="superseded_by")
    report = upload("Report of the test.")
    award_price = rate(null=True, help_text="Price that an award sets for a lot beyond a reject limit.")
    award_allowance_percent = models.DecimalField(
        max_digits=9, decimal_places=4, null=True, help_text="Allowance that an award sets instead."
    )

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="quality_times", condition=Q(sampled_at__lte=F("tested_at")))
        ]

    def __str__(self) -> str:
        return f"{self.get_source_display()}, {self.get_decision_display()}"


class QualityValue(Guarded):
    """A value of a quality result. Never changed."""

    id = models.BigAutoField(primary_key=True)
    result = models.ForeignKey(QualityResult, models.PROTECT, related_name="values")
    parameter = models.ForeignKey(QualityParameter, models.PROTECT, related_name="+")
    value = models.DecimalField(max_digits=12, decimal_places=4)
    unit = models.CharField(max_length=16, default="", blank=True)
    method = models.CharField(max_length=32, default="", blank=True)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["result", "parameter"], name="quality_parameter_once")
        ]

    def __str__(self) -> str:
        return f"{self.parameter_id} {self.value}"


class Governing(Changing):
    """The quality result that decides about a lot: at most one."""

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="governing")
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="+")
    result = models.ForeignKey(QualityResult, models.PROTECT, related_name="+")

    class Meta(Changing.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "lot"], name="governing_one_per_lot")
        ]

    def __str__(self) -> str:
        return str(self.result)


class Dispatch(Changing):
    """Goods that left for the buyer, or back for the seller, with their e-way bill."""

    own_records = ("transporter",)

    class Eway(models.TextChoices):
        NOT_NEEDED = "NOT_NEEDED", "Not needed"
        PENDING = "PENDING"
        RECORDED = "RECORDED"
        FAILED = "FAILED"

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="dispatches")
    direction = chosen(Movement, default=Movement.OUTWARD.value)
    returns = models.ForeignKey("self", models.PROTECT, null=True, related_name="returned_by")
    dispatched_at = models.DateTimeField()
    transporter = partner(null=True)
    vehicle = models.ForeignKey(Vehicle, models.PROTECT, null=True, related_name="+")
    vehicle_number = models.CharField(max_length=16, help_text="As on the plate.")
    lr_number = models.CharField(
        "lorry receipt", max_length=40, default="", blank=True, help_text="Number of the lorry receipt."
    )
    distance_km = models.PositiveSmallIntegerField("distance (km)", help_text="1 to 5,000 km.")
    from_location = models.ForeignKey(Location, models.PROTECT, null=True, related_name="+")
    to_location = models.ForeignKey(Location, models.PROTECT, null=True, related_name="+")
    consignor = partner(help_text="Who sends the goods: the seller, for a return the buyer.")
    invoice_number = models.CharField(max_length=16, default="", blank=True)
    invoice_date = models.DateField(null=True)
    challan_number = models.CharField(
        "delivery challan", max_length=16, default="", blank=True, help_text="Number of the delivery challan."
    )
    consignment_value = money(help_text="Value of the goods with tax.")
    eway_number = models.CharField(
        "e-way bill", max_length=12, default="", blank=True, help_text="Number of the e-way bill, 12 digits."
    )
    eway_document = models.CharField(
        max_length=16,
        default="",
        editable=False,
        help_text="Number of the document that the e-way bill names.",
    )
    eway_valid_until = models.DateTimeField("e-way bill valid until", null=True)
    eway_status = models.CharField("e-way bill status", max_length=10, choices=Eway)
    voided_at = models.DateTimeField(null=True)
    voided_by = person()
    void_reason = models.CharField(max_length=500, default="", blank=True)

    class Meta(Changing.Meta):
        verbose_name_plural = "dispatches"
        constraints: ClassVar = [
            models.CheckConstraint(name="dispatch_distance", condition=Q(distance_km__range=(1, 5000))),
            models.CheckConstraint(
                name="dispatch_return_named",
                condition=Q(direction="OUTWARD", returns=None) | Q(direction="RETURN", returns__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["consignor", "eway_document"],
                condition=Q(eway_status__in=("PENDING", "RECORDED"), voided_at=None) & ~Q(eway_document=""),
                name="dispatch_eway_document_once",
            ),
            models.UniqueConstraint(
                fields=["eway_number"],
                condition=Q(voided_at=None) & ~Q(eway_number=""),
                name="dispatch_eway_number_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_direction_display()} of {self.dispatched_at:%d %b %Y}"

    def open_verbs(self) -> frozenset[str]:
        if self.voided_at:
            return frozenset()
        waits = self.eway_status in (self.Eway.PENDING, self.Eway.FAILED)
        return frozenset({"void_dispatch", "extend_eway", *(["enter_eway"] if waits else [])})


class EwayRequest(Guarded):
    """When the portal is asked for the e-way bill of a dispatch, and how often it was."""

    trail_exempt = "attempts to ask a remote; the answer is in the dispatch"
    machinery = True

    dispatch = models.OneToOneField(Dispatch, models.PROTECT, primary_key=True, related_name="eway_request")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()

    class Meta(Guarded.Meta):
        indexes: ClassVar = [models.Index(fields=["next_at"], name="eway_request_due")]

    def __str__(self) -> str:
        return f"{self.attempts} attempts"


class DispatchLine(Guarded):
    """Goods of a lot in a dispatch. Never changed."""

    id = models.BigAutoField(primary_key=True)
    dispatch = models.ForeignKey(Dispatch, models.PROTECT, related_name="lines")
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="+")
    count = models.PositiveIntegerField(null=True)
    weight_kg = kilograms()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dispatch", "lot"], name="dispatch_lot_once"),
            models.CheckConstraint(name="dispatch_line_positive", condition=Q(weight_kg__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.lot_id}: {self.weight_kg} kg"


class EwayExtension(Recorded):
    """A change of vehicle, or a longer validity, of an e-way bill."""

    own_records = ("dispatch__transporter",)

    class Kind(models.TextChoices):
        VEHICLE = "VEHICLE", "Change of vehicle"
        VALIDITY = "VALIDITY", "Longer validity"

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="+")
    dispatch = models.ForeignKey(Dispatch, models.PROTECT, related_name="extensions")
    kind = models.CharField(max_length=8, choices=Kind)
    vehicle_number = models.CharField(max_length=16, default="", blank=True)
    valid_until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500)

    def __str__(self) -> str:
        return str(self.get_kind_display())


class Weighment(Recorded):
    """A weighing of a lot, or of what one dispatch carries of it."""

    own_records = (_RECORDER,)

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="weighments")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="+")
    dispatch = models.ForeignKey(Dispatch, models.PROTECT, null=True, related_name="weighments")
    stage = chosen(Stage, help_text="Where it was weighed. CHECK doesn't count.")
    weighed_at = models.DateTimeField()
    count = models.PositiveIntegerField(null=True, help_text="Packages that were weighed.")
    gross_kg = kilograms()
    tare_kg = kilograms()
    net_kg = kilograms(help_text="Gross less tare.")
    tare_method = chosen(TareMethod, default=TareMethod.ACTUAL.value)
    weighbridge = models.CharField(max_length=120)
    slip_number = models.CharField(max_length=40)
    slip = upload("The slip of the weighbridge.")
    corrects = models.OneToOneField("self", models.PROTECT, null=True, related_name="corrected_by")

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="weighment_net",
                condition=Q(
                    gross_kg__gt=0, tare_kg__gte=0, net_kg__gt=0, net_kg=F("gross_kg") - F("tare_kg")
                ),
            ),
            # A correction may name the slip of the weighing that it corrects.
            models.UniqueConstraint(
                fields=["organization", "stage", "weighbridge", "slip_number"],
                condition=Q(corrects=None),
                name="weighment_slip_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_stage_display()} {self.slip_number}"


class Delivery(Recorded):
    """What arrived of a dispatch."""

    own_records = ("dispatch__transporter",)

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="deliveries")
    dispatch = models.OneToOneField(Dispatch, models.PROTECT, related_name="delivery")
    delivered_at = models.DateTimeField()
    final = models.BooleanField(default=False, help_text="Whether nothing more will come.")
    condition_note = models.CharField(
        max_length=500, default="", blank=True, help_text="State in which the goods arrived."
    )

    class Meta(Recorded.Meta):
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.delivered_at:%d %b %Y}"


class DeliveryLine(Guarded):
    """Goods of a lot that arrived. Never changed."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="lines")
    lot = models.ForeignKey(Lot, models.PROTECT, related_name="+")
    count = models.PositiveIntegerField(null=True)
    weight_kg = kilograms()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["delivery", "lot"], name="delivery_lot_once"),
            models.CheckConstraint(name="delivery_line_not_negative", condition=Q(weight_kg__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.lot_id}: {self.weight_kg} kg"


class Dispute(Changing):
    """A difference between the sides. An open one blocks the settlement and nothing else."""

    class Kind(models.TextChoices):
        QUALITY = "QUALITY"
        WEIGHT = "WEIGHT"
        SHORTAGE = "SHORTAGE"
        DELAY = "DELAY"
        PAYMENT = "PAYMENT"
        OTHER = "OTHER"

    class Status(models.TextChoices):
        OPEN = "OPEN"
        RESOLVED = "RESOLVED"

    class Outcome(models.TextChoices):
        UPHELD = "UPHELD"
        PART_UPHELD = "PART_UPHELD", "Partly upheld"
        REJECTED = "REJECTED"
        WITHDRAWN = "WITHDRAWN"
        RESETTLE = "RESETTLE", "Settle again"

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="disputes")
    lot = models.ForeignKey(Lot, models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind)
    side = chosen(Side, help_text="The side that raises it.")
    claimed_amount = money(null=True, help_text="Amount that is claimed.")
    statement = models.CharField(max_length=4000)
    evidence_ids = ArrayField(
        models.UUIDField(),
        default=list,
        size=21,
        help_text="Uploaded files: up to 20 of the claim, and the decision's.",
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    outcome = models.CharField(max_length=11, choices=Outcome, default="", blank=True)
    award_amount = money(null=True)
    award_to = chosen(Side, default="", blank=True)
    resolution = models.CharField(
        max_length=4000, default="", blank=True, help_text="Why it was resolved so."
    )
    resolved_by = person()
    resolved_at = models.DateTimeField(null=True)

    class Meta(Changing.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="dispute_award",
                condition=Q(award_amount=None, award_to="") | (Q(award_amount__gt=0) & ~Q(award_to="")),
            )
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"resolve_dispute"} if self.status == self.Status.OPEN else ())


class DeadlineQuerySet(OfTradeQuerySet):
    def missed_on(self, day: date) -> Self:
        """Open deadlines that ended before the day."""
        return self.filter(status=Deadline.Status.OPEN, due_date__lt=day)


class Deadline(Changing):
    """By when something of a trade is due."""

    class Kind(models.TextChoices):
        ACKNOWLEDGE = "ACKNOWLEDGE", "Acknowledgement"
        ADVANCE = "ADVANCE"
        LIFTING = "LIFTING"
        DELIVERY = "DELIVERY"
        WEIGHT_CLAIM = "WEIGHT_CLAIM", "Weight claim"
        QUALITY_CLAIM = "QUALITY_CLAIM", "Quality claim"
        BALANCE = "BALANCE"

    class Status(models.TextChoices):
        OPEN = "OPEN"
        MET = "MET"
        MISSED = "MISSED"
        VOID = "VOID"

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="deadlines")
    kind = models.CharField(max_length=13, choices=Kind)
    due_date = models.DateField(help_text="Last day.")
    status = models.CharField(max_length=6, choices=Status, default=Status.OPEN)

    objects: ClassVar[Any] = DeadlineQuerySet.as_manager()

    class Meta(Changing.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "kind", "due_date"], name="deadline_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_date"], condition=Q(status="OPEN"), name="deadline_open")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.due_date:%d %b %Y}"
