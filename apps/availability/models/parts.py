"""Parts of an offer: lots, quality, reports, pictures, who was invited and to whom more was disclosed."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import IntegerRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Lower

from apps.availability.models.base import OfOffer, OfOfferQuerySet, Stage, quantity_field, text
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import QualityParameter
from apps.locations.models import Location
from apps.organization.models import Calendar
from apps.partners.models import Partner
from erp.access import Actor
from erp.columns import within
from erp.models import Model, QuerySet
from erp.uploads.models import StoredFile


class LotQuerySet(OfOfferQuerySet):
    def at_merged_places(self) -> Self:
        """Lots whose gin or warehouse was merged into another place."""
        merged = Location.objects.merged()
        return self.filter(Q(gin_location__in=merged) | Q(godown_location__in=merged))


class Lot(OfOffer):
    """A lot of packages with its press mark and press-running (PR) numbers."""

    from_stage = Stage.NEGOTIATING

    class GinType(models.TextChoices):
        ROLLER = "ROLLER"
        SAW = "SAW"
        ROTOBAR = "ROTOBAR", "Rotobar"

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="lots")
    position = models.PositiveSmallIntegerField(editable=False)
    lot_no = models.CharField("lot number", max_length=32, help_text="Number of the lot, once in the offer.")
    press_mark = text(32, "Mark on the packages. Required with PR numbers.")
    gin_location = models.ForeignKey(
        Location, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="gin",
        help_text="Registered gin where the packages were pressed.",
    )  # fmt: skip
    gin_type = models.CharField(
        max_length=7, choices=GinType, null=True, blank=True, help_text="How the lot was ginned."
    )
    pr_from = models.PositiveIntegerField(
        "PR from", null=True, blank=True, validators=within(1, 99_999_999),
        help_text="First press-running number, 1 to 99,999,999.",
    )  # fmt: skip
    pr_to = models.PositiveIntegerField(
        "PR to", null=True, blank=True, validators=within(1, 99_999_999),
        help_text="Last press-running number.",
    )  # fmt: skip
    bales = models.PositiveIntegerField(
        "packages", validators=within(1), help_text="Number of packages in the lot, from 1."
    )
    gross_kg = quantity_field(
        verbose_name="gross weight", null=True, blank=True, help_text="Gross weight in kg."
    )
    tare_kg = quantity_field(verbose_name="tare", null=True, blank=True, help_text="Tare in kg.")
    net_kg = quantity_field(
        verbose_name="net weight", null=True, blank=True, help_text="Net weight in kg: gross less tare."
    )
    godown_location = models.ForeignKey(
        Location, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="warehouse",
        help_text="Registered warehouse where the lot is stored.",
    )  # fmt: skip
    godown = text(64, "Shed or stack where the lot is stored.")
    # What the constraint below compares, from the offer.
    seller_partner = models.ForeignKey(Partner, models.PROTECT, related_name="+", editable=False)
    crop_year = text(7, editable=False)
    is_live = models.BooleanField(default=False, editable=False, help_text="Whether the lot is on offer.")

    objects: ClassVar[Any] = LotQuerySet.as_manager()

    class Meta(OfOffer.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["availability", "lot_no"], name="lot_number_once"),
            models.CheckConstraint(
                name="lot_pr_range_whole",
                condition=Q(pr_from=None, pr_to=None)
                | (Q(pr_from__gt=0, pr_to__gte=F("pr_from")) & ~Q(press_mark="") & ~Q(crop_year="")),
            ),
            models.CheckConstraint(
                name="lot_bales_within_range",
                condition=Q(bales__gt=0) & (Q(pr_from=None) | Q(bales__lte=F("pr_to") - F("pr_from") + 1)),
            ),
            models.CheckConstraint(
                name="lot_net_is_gross_less_tare",
                condition=Q(gross_kg=None) | Q(tare_kg=None) | Q(net_kg=F("gross_kg") - F("tare_kg")),
            ),
            ExclusionConstraint(
                name="lot_offered_once",
                expressions=[
                    ("seller_partner", RangeOperators.EQUAL),
                    ("press_mark", RangeOperators.EQUAL),
                    ("crop_year", RangeOperators.EQUAL),
                    (
                        Func(
                            "pr_from", "pr_to", RangeBoundary(inclusive_lower=True, inclusive_upper=True),
                            function="int4range", output_field=IntegerRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(is_live=True, pr_from__isnull=False),
            ),
        ]  # fmt: skip
        indexes: ClassVar = [models.Index(fields=["press_mark", "crop_year"], name="idx_lot_mark")]

    def __str__(self) -> str:
        return self.lot_no


class TestReport(OfOffer):
    """A report of a laboratory. It is never changed; a corrected report is a new one."""

    from_stage = Stage.TRADE

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="test_reports")
    lab_name = models.CharField("laboratory", max_length=120, help_text="Name of the laboratory.")
    lab_accreditation = text(64, "Accreditation of the laboratory, such as NABL TC-1234.")
    report_no = models.CharField("report number", max_length=64, help_text="Number of the report.")
    sample_no = models.CharField("sample number", max_length=64, help_text="Number of the sample.")
    lot = models.ForeignKey(
        Lot, models.PROTECT, null=True, blank=True, related_name="+", help_text="Lot that was tested."
    )
    method = models.CharField(max_length=32, help_text="Code of the test method, such as HVI.")
    sampled_date = models.DateField("sampled on", null=True, blank=True, help_text="Day of sampling.")
    tested_date = models.DateField(
        "tested on", help_text="Day of the test, not in the future and at most two years ago."
    )
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+", editable=False)
    sha256 = models.CharField("SHA-256", max_length=64, editable=False)
    verified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    verified_at = models.DateTimeField(null=True, editable=False)

    class Meta(OfOffer.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                F("availability"), Lower("lab_name"), F("report_no"), name="test_report_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["sha256"], name="idx_test_report_file")]

    def __str__(self) -> str:
        return f"{self.lab_name} {self.report_no}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"verify_test_report"} if self.verified_at is None else ())


class MediaQuerySet(OfOfferQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Of offers of others the copies: those that staff cleared from a match on, in a trade all."""
        from apps.availability.models.offers import Availability

        offers = Availability.objects.visible_to(user).with_stage(user)

        def since(stage: Stage) -> Q:
            return Q(availability__in=offers.filter(stage__gte=stage).values("pk"))

        copies = (Q(cleared=True) & since(Stage.MATCHED)) | since(Stage.TRADE)
        return self.filter(since(Stage.OWNER) | (copies & Q(copy__isnull=False)))

    def unprepared(self) -> Self:
        """Pictures whose copy isn't made yet, though the scan has found nothing."""
        return self.filter(copy=None, is_refused=False, file__scan_status=StoredFile.Scan.CLEAN)


class Media(OfOffer):
    """A picture of the goods. Others never learn of the original more than its pixels."""

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="media")
    position = models.PositiveSmallIntegerField(editable=False)
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+", editable=False)
    copy = models.ForeignKey(StoredFile, models.PROTECT, null=True, related_name="+", editable=False)
    is_refused = models.BooleanField(
        "not readable", default=False, editable=False, help_text="Whether the file is no picture."
    )
    caption = text(120, "What the picture shows. Others read it: it names nobody.")
    cleared = models.BooleanField(
        default=False, editable=False, help_text="Whether staff found that the picture names nobody."
    )

    objects: ClassVar[Any] = MediaQuerySet.as_manager()

    class Meta(OfOffer.Meta):
        verbose_name = "picture"

    def __str__(self) -> str:
        return f"photo-{self.position}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset() if self.cleared or self.copy_id is None else frozenset({"clear_media"})


class QualityQuerySet(OfOfferQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Of offers of others only the values that govern."""
        rows = super().visible_to(user)
        if user.is_staff or user.is_system:
            return rows
        return rows.filter(Q(governing=True) | Q(availability__seller_partner_id=user.partner_id))


class QualityValue(OfOffer):
    """A result for one parameter, of a lot or of the whole offer. Of several exactly one governs."""

    class Source(models.TextChoices):
        DECLARED = "DECLARED"
        SELLER_TEST = "SELLER_TEST", "Test of the seller"
        LAB = "LAB", "Laboratory"
        CONTROLLER = "CONTROLLER"

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="quality")
    lot = models.ForeignKey(Lot, models.CASCADE, null=True, blank=True, related_name="quality")
    parameter = models.ForeignKey(QualityParameter, models.PROTECT, related_name="+")
    value_number = models.DecimalField(
        "value", max_digits=12, decimal_places=4, null=True, help_text="Result, if it is a number."
    )
    value_text = text(
        40, "Result, if it is no number: a code of the parameter's list, true or false, or text."
    )
    method = models.CharField(max_length=32, help_text="Code of the test method.")
    source = models.CharField(max_length=11, choices=Source, help_text="Where the result comes from.")
    sample_no = text(64, "Number of the sample.")
    tested_at = models.DateTimeField(null=True, blank=True, help_text="When it was tested.")
    test_report = models.ForeignKey(
        TestReport, models.PROTECT, null=True, blank=True, related_name="quality", editable=False
    )
    chosen = models.BooleanField(default=False, editable=False, help_text="Chosen to govern.")
    governing = models.BooleanField(
        default=False, editable=False, help_text="Whether this result counts among those of the parameter."
    )

    objects: ClassVar[Any] = QualityQuerySet.as_manager()

    class Meta(OfOffer.Meta):
        verbose_name_plural = "quality values"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["availability", "lot", "parameter"], condition=Q(governing=True),
                nulls_distinct=False, name="quality_value_one_governs",
            ),
            models.CheckConstraint(
                name="quality_value_number_or_text",
                condition=Q(value_number__isnull=False, value_text="") | (Q(value_number=None) & ~Q(value_text="")),
            ),
            models.CheckConstraint(
                name="quality_value_lab_has_report",
                condition=Q(source__in=["LAB", "CONTROLLER"], test_report__isnull=False)
                | Q(source__in=["DECLARED", "SELLER_TEST"], test_report=None),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.parameter.code} {self.shown}"

    @property
    def shown(self) -> str:
        """The result as text, without useless zeros."""
        number = self.value_number
        if number is None:
            return str(self.value_text)
        whole, _, decimals = format(number, "f").partition(".")
        decimals = decimals.rstrip("0")
        return f"{whole}.{decimals}" if decimals else whole

    @property
    def is_verified(self) -> bool:
        """Whether staff have verified the report behind it."""
        return self.test_report is not None and self.test_report.verified_at is not None


class Invitation(OfOffer):
    """A partner that is invited to a restricted offer."""

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="invitations")
    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")

    class Meta(OfOffer.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["availability", "partner"], name="invitation_once")
        ]

    def __str__(self) -> str:
        return str(self.partner_id)


class DisclosureQuerySet(OfOfferQuerySet):
    def live(self, now: datetime) -> Self:
        """Disclosures that haven't ended."""
        return self.filter(Q(until=None) | Q(until__gt=now))


class Disclosure(OfOffer):
    """More of an offer shown to a partner, because of a match, a negotiation or a trade."""

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="disclosures")
    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    stage = models.PositiveSmallIntegerField(choices=Stage, help_text="How much the partner sees.")
    source_type = models.CharField(max_length=40, help_text="What discloses it, such as match.")
    source_id = models.UUIDField(help_text="ID of what discloses it.")
    until = models.DateTimeField(null=True, help_text="When it ends.")

    objects: ClassVar[Any] = DisclosureQuerySet.as_manager()

    class Meta(OfOffer.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["availability", "partner", "source_type", "source_id"], name="disclosure_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["partner", "availability"], name="idx_disclosure_partner")]

    def __str__(self) -> str:
        return f"{self.source_type} {self.source_id}"


class MarketCalendarQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Everybody: trading days are no secret."""
        return self


class MarketCalendar(Model):
    """The calendar of business days by which offers of a commodity end."""

    commodity = models.OneToOneField(
        Commodity, models.PROTECT, related_name="market_calendar", help_text="Commodity that is traded."
    )
    calendar = models.ForeignKey(
        Calendar,
        models.PROTECT,
        related_name="+",
        help_text="Calendar with the market's days and closing times.",
    )

    objects: ClassVar[Any] = MarketCalendarQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.commodity}: {self.calendar}"
