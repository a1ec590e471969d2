"""Document numbers, which the law requires to be gapless: series and their allocated numbers."""

import re
from datetime import date
from typing import Any, ClassVar, NamedTuple, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q

from apps.organization.models.identity import (
    CreatedByModel,
    GstRegistration,
    Organization,
    OrganizationPartQuerySet,
)
from apps.organization.models.years import FinancialYear
from erp.models import Model

TAX_LENGTH = 16  # characters: CGST Rules 2017, r.46(b), 49–53, 55
OTHER_LENGTH = 20


class DocumentType(models.TextChoices):
    """Types of document. The first nine are those of GST law and need a registration."""

    TAX_INVOICE = "tax_invoice"
    BILL_OF_SUPPLY = "bill_of_supply"
    SELF_INVOICE = "self_invoice"
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"
    RECEIPT_VOUCHER = "receipt_voucher"
    REFUND_VOUCHER = "refund_voucher"
    PAYMENT_VOUCHER = "payment_voucher"
    DELIVERY_CHALLAN = "delivery_challan"
    TRADE = "trade"
    CONTRACT_NOTE = "contract_note"
    PROFORMA_INVOICE = "proforma_invoice"
    SETTLEMENT_STATEMENT = "settlement_statement"
    CLAIM = "claim"


OTHER_TYPES = frozenset(
    {
        DocumentType.TRADE,
        DocumentType.CONTRACT_NOTE,
        DocumentType.PROFORMA_INVOICE,
        DocumentType.SETTLEMENT_STATEMENT,
        DocumentType.CLAIM,
    }
)
TAX_TYPES = frozenset(DocumentType) - OTHER_TYPES
_TAX_TYPES = sorted(kind.value for kind in TAX_TYPES)


class NumberFormat(NamedTuple):
    """The format of a series: a fixed head, then the number with at least ``width`` digits."""

    head: str
    width: int

    def text(self, number: int) -> str:
        """Return the document number of ``number``."""
        return f"{self.head}{number:0{self.width}d}"

    def overlaps(self, other: "NumberFormat") -> bool:
        """Return whether both formats can print the same text: heads that differ at most by digits."""
        shorter, longer = sorted((self.head, other.head), key=len)
        return longer.startswith(shorter) and re.fullmatch("[0-9]*", longer[len(shorter) :]) is not None


class DocumentSeriesQuerySet(OrganizationPartQuerySet):
    def active(self) -> Self:
        """Return series that still allocate numbers."""
        return self.filter(status=DocumentSeries.Status.ACTIVE)

    def with_gaps(self) -> Self:
        """Return series whose numbers have a gap: there should be none."""
        counted = self.annotate(
            allocated=Count("allocated_numbers"),
            lowest=Min("allocated_numbers__number"),
            highest=Max("allocated_numbers__number"),
        )
        whole = Q(allocated=0, last_number=0) | Q(
            lowest=F("start_number"),
            highest=F("last_number"),
            allocated=F("last_number") - F("start_number") + 1,
        )
        return counted.exclude(whole)


class DocumentSeries(CreatedByModel):
    """The number series of one document type, in one financial year and for one registration.

    ``version`` counts changes of the definition; allocating a number doesn't change it.
    """

    granted_through = ("organization",)

    class Status(models.TextChoices):
        ACTIVE = "active"
        CLOSED = "closed"

    TRANSITIONS: ClassVar = {Status.ACTIVE: (Status.CLOSED,), Status.CLOSED: ()}
    COUNTING: ClassVar = frozenset({"last_number", "last_document_date"})

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="document_series")
    gst_registration = models.ForeignKey(
        GstRegistration,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="document_series",
        help_text="Required for documents of GST law, not allowed for others.",
    )
    financial_year = models.ForeignKey(
        FinancialYear,
        models.PROTECT,
        related_name="document_series",
        help_text="Financial year of the documents.",
    )
    document_type = models.CharField(
        max_length=20, choices=DocumentType, help_text="Type of document that the series numbers."
    )
    prefix = models.CharField(
        max_length=8,
        default="",
        blank=True,
        help_text="Up to 8 capital letters, digits, / and -, for {PREFIX}.",
    )
    template = models.CharField(
        max_length=64,
        help_text="Such as {PREFIX}/{FY}/{N:5}: {FY} once, {N:3} to {N:9} once at the end; {PREFIX} and {BRANCH} "
        "are optional.",
    )
    start_number = models.PositiveIntegerField(
        default=1, help_text="First number of the series, 1 to 999,999,999. Default 1."
    )
    last_number = models.BigIntegerField(
        default=0, editable=False, help_text="Last number allocated; 0 before the first."
    )
    date_ordered = models.BooleanField(
        "in date order",
        help_text="Whether a number can't be dated before the last one. Default: yes for GST documents.",
    )
    last_document_date = models.DateField(
        null=True, editable=False, help_text="Latest date of a numbered document."
    )
    status = models.CharField(
        max_length=6,
        choices=Status,
        default=Status.ACTIVE,
        help_text="A closed series allocates no numbers. Closing is final.",
    )

    objects: ClassVar[Any] = DocumentSeriesQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        verbose_name_plural = "document series"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "gst_registration", "financial_year", "document_type"],
                condition=Q(status="active"),
                nulls_distinct=False,
                name="document_series_one_active",
            ),
            models.CheckConstraint(
                name="document_series_of_registration",
                condition=Q(document_type__in=_TAX_TYPES, gst_registration__isnull=False)
                | (~Q(document_type__in=_TAX_TYPES) & Q(gst_registration=None)),
            ),
            models.CheckConstraint(
                name="document_series_start_number", condition=Q(start_number__range=(1, 999_999_999))
            ),
            models.CheckConstraint(name="document_series_last_number", condition=Q(last_number__gte=0)),
            models.CheckConstraint(
                name="document_series_prefix_format", condition=Q(prefix__regex=r"^[A-Z0-9/-]{0,8}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_document_type_display()} {self.number_format.text(self.next_number)}"

    def _stamp(self) -> list[str]:
        touched = super()._stamp()
        if self.changed_fields().keys() <= {*self.COUNTING, *touched}:
            self.version -= 1
        return touched

    @property
    def next_number(self) -> int:
        """The number that is allocated next."""
        return max(self.last_number + 1, self.start_number)

    @property
    def number_format(self) -> NumberFormat:
        """The template with all but the number filled in."""
        branch = self.gst_registration.branch_code if self.gst_registration is not None else ""
        head, width = re.fullmatch(r"(.*)\{N:([3-9])\}", self.template).groups()  # type: ignore[union-attr]
        filled = {"{PREFIX}": self.prefix, "{FY}": self.financial_year.code, "{BRANCH}": branch}
        for token, text in filled.items():
            head = head.replace(token, text)
        return NumberFormat(head, int(width))

    @property
    def longest(self) -> int:
        """The maximum length of a document number."""
        return TAX_LENGTH if self.document_type in TAX_TYPES else OTHER_LENGTH

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"update"} if self.status == self.Status.ACTIVE else ())


def lacks_financial_year(today: date) -> Q:
    """Return the condition on organizations that need their next financial year.

    In March and April the day is 1 April: no year includes it, or a series that is active on 31 March has no copy
    there. In other months: no year includes today.
    """
    turns = today.month in (3, 4)
    day = date(today.year, 4, 1) if turns else today
    before = date(today.year, 3, 31) if turns else today
    covered = FinancialYear.objects.filter(organization=OuterRef("pk")).on(day)
    active = DocumentSeries.objects.active().filter(organization=OuterRef("pk"))
    running = active.filter(financial_year__in=FinancialYear.objects.on(before))
    copy = DocumentSeries.objects.active().filter(
        Q(gst_registration=OuterRef("gst_registration")) | Q(gst_registration=None),
        organization=OuterRef("organization"),
        document_type=OuterRef("document_type"),
        financial_year__in=FinancialYear.objects.on(day),
    )
    return Q(status=Organization.Status.ACTIVE) & (~Exists(covered) | Exists(running.filter(~Exists(copy))))


class AllocatedNumber(Model):
    """An allocated number. It is permanent: a trigger refuses UPDATE and DELETE."""

    series = models.ForeignKey(DocumentSeries, models.PROTECT, related_name="allocated_numbers")
    number = models.BigIntegerField()
    document_number = models.CharField(max_length=20)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="allocated_numbers")
    gst_registration = models.ForeignKey(
        GstRegistration,
        models.PROTECT,
        null=True,
        related_name="allocated_numbers",
        help_text="Required for documents of GST law, not allowed for others.",
    )
    financial_year = models.ForeignKey(FinancialYear, models.PROTECT, related_name="allocated_numbers")
    document_type = models.CharField(max_length=20, choices=DocumentType)
    document_date = models.DateField(help_text="Date of the document, not after today.")
    reference_type = models.CharField(
        max_length=50, help_text="Kind of record that gets the number, such as invoice."
    )
    reference_id = models.UUIDField(
        "reference ID", help_text="ID of that record. The same record always gets the same number."
    )
    allocated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    already_allocated = False  # not a column: whether the last call found it instead of allocating it

    objects: ClassVar[Any] = OrganizationPartQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "number"], name="allocated_number_once"),
            models.UniqueConstraint(
                fields=["organization", "document_type", "reference_type", "reference_id"],
                name="allocated_number_reference_once",
            ),
            models.UniqueConstraint(
                fields=["organization", "gst_registration", "financial_year", "document_number"],
                nulls_distinct=False,
                name="allocated_number_text_once",
            ),
            models.CheckConstraint(name="allocated_number_positive", condition=Q(number__gte=1)),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["reference_id", "organization", "document_type"], name="idx_allocated_reference"
            ),
            models.Index(fields=["organization", "number", "id"], name="idx_allocated_order"),
        ]

    def __str__(self) -> str:
        return self.document_number
