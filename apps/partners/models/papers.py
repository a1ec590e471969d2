"""Papers of a partner: what they prove, until when, and who said that they are right."""

from datetime import date
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.partners.models.partners import (
    OfPartner,
    OfPartnerQuerySet,
    newest_first,
    optional_text,
    reason_text,
)
from apps.partners.models.rounds import OnboardingRound
from erp.encryption import Encrypted
from erp.uploads.models import StoredFile


class DocumentQuerySet(OfPartnerQuerySet):
    def valid_on(self, day: date) -> Self:
        """Verified papers that are valid on the day, the expiry day included."""
        return self.filter(status=PartnerDocument.Status.VERIFIED).filter(
            Q(expiry_date=None) | Q(expiry_date__gte=day)
        )

    def of_firm(self) -> Self:
        """Papers that count for the firm: its own, and those of its accounts and vehicles."""
        target = PartnerDocument.Target
        return self.filter(target_type__in=[target.PARTNER, target.BANK_ACCOUNT, target.VEHICLE])


class PartnerDocument(OfPartner):
    """A paper that was uploaded for a partner, or for one of its places, vehicles, accounts or owners."""

    trail_personal = ("filename", "number_encrypted", "number_hash")

    class Type(models.TextChoices):
        PAN_CARD = "pan_card", "PAN card"
        GST_CERTIFICATE = "gst_certificate", "GST certificate"
        CANCELLED_CHEQUE = "cancelled_cheque", "Cancelled cheque"
        BANK_PROOF = "bank_proof", "Bank proof"
        TRADE_LICENSE = "trade_license", "Trade licence"
        IEC = "iec", "IEC certificate"
        VEHICLE_RC = "vehicle_rc", "Vehicle registration certificate"
        VEHICLE_INSURANCE = "vehicle_insurance", "Vehicle insurance"
        VEHICLE_FITNESS = "vehicle_fitness", "Vehicle fitness certificate"
        VEHICLE_PERMIT = "vehicle_permit", "Vehicle permit"
        NO_GST_DECLARATION = "no_gst_declaration", "Declaration of no GST registration"
        PARENT_AUTHORISATION = "parent_authorisation", "Authorisation by the broker"
        LAB_ACCREDITATION = "lab_accreditation", "Laboratory accreditation"
        EQUIPMENT_CALIBRATION = "equipment_calibration", "Calibration of equipment"
        INSPECTOR_QUALIFICATION = "inspector_qualification", "Qualification of inspectors"
        LIABILITY_INSURANCE = "liability_insurance", "Liability insurance"
        NBFC_LICENSE = "nbfc_license", "NBFC licence"
        FINANCIAL_STATEMENT = "financial_statement", "Financial statement"
        CREDIT_RATING = "credit_rating", "Credit rating"
        BOARD_RESOLUTION = "board_resolution", "Board resolution"
        CHA_LICENSE = "cha_license", "Customs broker licence"
        SHIPPING_LINE_AGREEMENT = "shipping_line_agreement", "Agreement with a shipping line"
        PORT_REGISTRATION = "port_registration", "Port registration"
        TAX_ID_CERTIFICATE = "tax_id_certificate", "Certificate of the tax number"
        BUSINESS_REGISTRATION = "business_registration", "Business registration"
        BANK_STATEMENT = "bank_statement", "Bank statement"
        ADDRESS_PROOF = "address_proof", "Proof of address"
        FOREIGN_IMPORT_LICENSE = "foreign_import_license", "Import licence"
        FOREIGN_EXPORT_LICENSE = "foreign_export_license", "Export licence"
        AUTHORISATION_LETTER = "authorisation_letter", "Letter of authority"
        INCORPORATION_CERT = "incorporation_cert", "Certificate of incorporation"
        ITR = "itr", "Income tax return"
        OTHER = "other"

    class Target(models.TextChoices):
        PARTNER = "partner"
        LOCATION = "location"
        VEHICLE = "vehicle"
        BANK_ACCOUNT = "bank_account", "Bank account"
        OWNER = "owner"

    class Status(models.TextChoices):
        UPLOADED = "uploaded"
        VERIFIED = "verified"
        REJECTED = "rejected"
        EXPIRED = "expired"
        SUPERSEDED = "superseded"

    class RejectCode(models.TextChoices):
        ILLEGIBLE = "illegible"
        WRONG_TYPE = "wrong_type", "Wrong type"
        EXPIRED = "expired"
        MISMATCH = "mismatch"
        FORGED = "forged"
        INFECTED = "infected"
        OTHER = "other"

    VEHICLE_PAPERS: ClassVar = frozenset(
        {Type.VEHICLE_RC, Type.VEHICLE_INSURANCE, Type.VEHICLE_FITNESS, Type.VEHICLE_PERMIT}
    )

    round = models.ForeignKey(OnboardingRound, models.PROTECT, related_name="documents")
    target_type = models.CharField(max_length=12, choices=Target, default=Target.PARTNER)
    target_id = models.UUIDField(help_text="The row that the paper is about.")
    document_type = models.CharField(max_length=24, choices=Type, help_text="What the paper is.")
    number = Encrypted("identifier.document_number", "number on the paper")
    issue_date = models.DateField(null=True, blank=True, help_text="Day on which it was issued.")
    expiry_date = models.DateField(null=True, blank=True, help_text="Last day on which it is valid.")
    revision = models.PositiveSmallIntegerField(default=1)
    replaces = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="replaced_by",
        help_text="The paper that this one corrects or renews.",
    )  # fmt: skip
    file = models.OneToOneField(StoredFile, models.PROTECT, related_name="+", editable=False)
    filename = models.CharField(max_length=255, help_text="Name of the uploaded file.")
    media_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField(help_text="Size in bytes.")
    sha256 = models.CharField("SHA-256", max_length=64, help_text="SHA-256 of the file in hexadecimal.")
    status = models.CharField(max_length=10, choices=Status, default=Status.UPLOADED)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reject_code = optional_text(10, choices=RejectCode)
    reject_reason = reason_text(1000)

    objects: ClassVar[Any] = DocumentQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        verbose_name = "document"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "document_type", "target_id", "sha256"],
                condition=Q(status__in=["uploaded", "verified"]),
                name="document_once",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["expiry_date"], condition=Q(status="verified", expiry_date__isnull=False),
                name="document_expiry",
            ),
            newest_first("document_newest"),
            newest_first("document_status_newest", "status"),
            newest_first("document_of_partner", "partner"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.get_document_type_display()} ({self.get_status_display().lower()})"

    @property
    def scan_status(self) -> str:
        """What the scan for malware said of the file."""
        return str(self.file.scan_status)

    def open_verbs(self) -> frozenset[str]:
        """Decisions are final: a correction is a new revision."""
        return frozenset({"verify", "reject"} if self.status == self.Status.UPLOADED else ())
