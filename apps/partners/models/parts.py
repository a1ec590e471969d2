"""What belongs to a partner: registrations, places, vehicles, people and bank accounts."""

from datetime import date, datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from apps.partners.models.papers import PartnerDocument
from apps.partners.models.partners import (
    AddressFields,
    OfPartner,
    OfPartnerQuerySet,
    Partner,
    newest_first,
    optional_text,
)
from erp.columns import within
from erp.encryption import Encrypted


class TaxRegistrationQuerySet(OfPartnerQuerySet):
    def in_use(self) -> Self:
        """Registrations with which active and suspended partners trade."""
        return self.filter(claimed=True, partner__status__in=["active", "suspended"])

    def checked_before(self, moment: datetime) -> Self:
        """Registrations about which the registry has not answered since."""
        return self.filter(Q(checked_at=None) | Q(checked_at__lt=moment))


class TaxRegistration(OfPartner):
    """A GST registration of a partner, as entered and as the registry answers."""

    trail_personal = ("gstin_encrypted", "gstin_hash", "legal_name")

    class RegistryStatus(models.TextChoices):
        UNKNOWN = "unknown"
        ACTIVE = "active"
        SUSPENDED = "suspended"
        CANCELLED = "cancelled"
        NOT_FOUND = "not_found", "Not found"

    class Type(models.TextChoices):
        REGULAR = "regular"
        COMPOSITION = "composition"
        SEZ = "sez", "SEZ"
        OTHER = "other"

    class Filing(models.TextChoices):
        EXCELLENT = "excellent"
        GOOD = "good"
        POOR = "poor"

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="tax_registrations")
    gstin = Encrypted("identifier.gstin", "GSTIN")
    gstin_hash: str | None
    state_code = models.CharField("state", max_length=2)
    form = models.CharField(max_length=11, help_text="Form of the GSTIN, such as REGULAR.")
    legal_name = models.CharField(max_length=500, default="", help_text="Name in the registry.")
    registry_status = models.CharField(max_length=9, choices=RegistryStatus, default=RegistryStatus.UNKNOWN)
    type = optional_text(11, choices=Type)
    registration_date = models.DateField(null=True)
    cancelled_date = models.DateField(null=True)
    filing_grade = optional_text(9, choices=Filing)
    turnover = models.DecimalField(max_digits=20, decimal_places=2, null=True, help_text="In rupees.")
    checked_at = models.DateTimeField(null=True)
    is_main = models.BooleanField(
        "main registration", default=False, help_text="Whether it is that of the profile."
    )
    claimed = models.BooleanField(default=False, help_text="Whether no other partner can register it.")

    objects: ClassVar[Any] = TaxRegistrationQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        verbose_name = "GST registration"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["partner", "gstin_hash"], name="tax_registration_once"),
            models.UniqueConstraint(
                fields=["partner"], condition=Q(is_main=True), name="tax_registration_one_main"
            ),
            models.UniqueConstraint(
                fields=["gstin_hash"], condition=Q(claimed=True), name="tax_registration_claimed_once"
            ),
        ]

    def __str__(self) -> str:
        return f"GST registration in state {self.state_code}"


class PartnerLocation(AddressFields, OfPartner):
    """A place of business of a partner."""

    trail_personal = ("name", "contact_name", "contact_phone", "line1", "line2")

    class Kind(models.TextChoices):
        PRINCIPAL = "principal", "Principal place of business"
        SAME_STATE = "additional_same_state", "Additional place in the same state"
        OTHER_STATE = "branch_different_state", "Branch in another state"
        WAREHOUSE = "warehouse"
        FACTORY = "factory"
        SHIP_TO = "ship_to", "Ship-to address"
        BILL_TO = "bill_to", "Bill-to address"
        PORT = "port"
        ICD = "icd", "Inland container depot"

    class Geo(models.TextChoices):
        PENDING = "pending"
        LOCATED = "located"
        APPROXIMATE = "approximate"
        UNLOCATED = "unlocated"

    class Status(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="locations")
    code = models.CharField(max_length=20, help_text="Short code, unique among the partner's places.")
    name = models.CharField(max_length=200, help_text="Name of the place in daily use.")
    kind = models.CharField(max_length=22, choices=Kind, help_text="What the place is for.")
    tax_registration = models.ForeignKey(TaxRegistration, models.PROTECT, null=True, related_name="locations")
    contact_name = optional_text(200, "Person at the place.")
    contact_phone = optional_text(16, "With the country code, such as +91 98765 43210.")
    latitude = models.DecimalField(max_digits=10, decimal_places=7, null=True, editable=False)
    longitude = models.DecimalField(max_digits=10, decimal_places=7, null=True, editable=False)
    geo_status = models.CharField(max_length=11, choices=Geo, default=Geo.PENDING, editable=False)
    can_ship_from = models.BooleanField(default=True, help_text="Goods can be collected here.")
    can_ship_to = models.BooleanField(default=True, help_text="Goods can be delivered here.")
    default_ship_from = models.BooleanField(default=False, help_text="Where goods are collected unless said.")
    default_ship_to = models.BooleanField(default=False, help_text="Where goods are delivered unless said.")
    capacity_quintals = models.DecimalField(
        max_digits=14, decimal_places=3, null=True, blank=True, validators=within(0),
        help_text="How much can be stored, in quintals.",
    )  # fmt: skip
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)

    class Meta(OfPartner.Meta):
        verbose_name = "location"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["partner", "code"], name="partner_location_code_once"),
            models.UniqueConstraint(
                fields=["partner"], condition=Q(kind="principal", status="active"),
                name="partner_location_one_principal",
            ),
            models.UniqueConstraint(
                fields=["partner"], condition=Q(default_ship_from=True), name="partner_location_one_ship_from"
            ),
            models.UniqueConstraint(
                fields=["partner"], condition=Q(default_ship_to=True), name="partner_location_one_ship_to"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class VehicleQuerySet(OfPartnerQuerySet):
    def roadworthy(self, day: date) -> Self:
        """Active vehicles whose four papers are verified and valid on the day."""
        vehicles = self.filter(status=Vehicle.Status.ACTIVE)
        for paper in sorted(PartnerDocument.VEHICLE_PAPERS):
            papers = PartnerDocument.objects.valid_on(day).filter(
                target_id=OuterRef("pk"), document_type=paper
            )
            vehicles = vehicles.filter(Exists(papers))
        return vehicles


class Vehicle(OfPartner):
    """A vehicle of a transporter that owns lorries."""

    trail_personal = ("owner_name",)

    class Category(models.TextChoices):
        TRUCK = "truck"
        TRAILER = "trailer"
        CONTAINER_CARRIER = "container_carrier", "Container carrier"
        LCV = "lcv", "Light commercial vehicle"
        TANKER = "tanker"
        OTHER = "other"

    class Status(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="vehicles")
    number = models.CharField(
        "registration number", max_length=16, help_text="As on the plate, such as GJ03BT4321."
    )
    category = models.CharField(max_length=17, choices=Category, help_text="Kind of vehicle.")
    owner_name = models.CharField(max_length=200, help_text="Owner as on the registration certificate.")
    make_model = optional_text(200, "Make and model.")
    capacity_tonnes = models.DecimalField(
        max_digits=10, decimal_places=2, validators=within("0.10", 100),
        help_text="Payload in tonnes, 0.10 to 100.",
    )  # fmt: skip
    registration_date = models.DateField(null=True, blank=True, help_text="Day of the registration.")
    permit_type = optional_text(50, "Type of permit, such as national.")
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)

    objects: ClassVar[Any] = VehicleQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["number"], condition=Q(status="active"), name="vehicle_number_once"
            )
        ]

    def __str__(self) -> str:
        return self.number


class PartnerEmployee(OfPartner):
    """A person who works for a partner and uses the product, or will once the partner is approved."""

    trail_personal = ("name", "email", "phone")

    class Status(models.TextChoices):
        PLANNED = "planned"
        INVITED = "invited"
        ACTIVE = "active"
        DEACTIVATED = "deactivated"
        LAPSED = "lapsed"

    LIVE: ClassVar = (Status.PLANNED, Status.INVITED, Status.ACTIVE)

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="employees")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=200, help_text="First and last name.")
    email = models.CharField("e-mail", max_length=254, help_text="The invitation goes to this address.")
    phone = models.CharField(max_length=16, help_text="With the country code, such as +91 98765 43210.")
    designation = optional_text(100, "What the person does in the firm.")
    roles = ArrayField(models.CharField(max_length=20), help_text="Roles in the product.")
    status = models.CharField(max_length=11, choices=Status, default=Status.PLANNED)
    invited_at = models.DateTimeField(null=True)
    activated_at = models.DateTimeField(null=True)
    deactivated_at = models.DateTimeField(null=True)
    deactivated_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta(OfPartner.Meta):
        verbose_name = "employee"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "email"],
                condition=Q(status__in=["planned", "invited", "active"]),
                name="employee_once",
            )
        ]
        indexes: ClassVar = [newest_first("employee_newest")]

    def __str__(self) -> str:
        return self.name

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"deactivate"} if self.status in self.LIVE else ())


class PartnerOwner(OfPartner):
    """A proprietor, partner, director or trustee of the firm."""

    trail_personal = ("name", "din_encrypted", "din_hash", "pan_encrypted", "pan_hash")

    class Kind(models.TextChoices):
        PROPRIETOR = "proprietor"
        PARTNER = "partner"
        DIRECTOR = "director"
        TRUSTEE = "trustee"
        SHAREHOLDER = "shareholder"
        OTHER = "other"

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="owners")
    name = models.CharField(max_length=200, help_text="First and last name.")
    kind = models.CharField(max_length=11, choices=Kind, help_text="What the person is in the firm.")
    din = Encrypted("identifier.din", "DIN")
    pan = Encrypted("identifier.pan", "PAN")
    share_percent = models.DecimalField(
        max_digits=5, decimal_places=2, null=True, blank=True, validators=within(0, 100),
        help_text="Share in the firm, in percent.",
    )  # fmt: skip

    class Meta(OfPartner.Meta):
        verbose_name = "owner"

    def __str__(self) -> str:
        return self.name


class PartnerBankAccount(OfPartner):
    """A bank account of a partner. Its number is encrypted, and another person verifies it."""

    trail_personal = (
        "holder", "number_encrypted", "number_hash", "iban_encrypted", "iban_hash", "call_back_phone",
        "call_back_note",
    )  # fmt: skip

    class AccountType(models.TextChoices):
        SAVINGS = "savings"
        CURRENT = "current"
        CASH_CREDIT = "cash_credit", "Cash credit"
        OVERDRAFT = "overdraft"

    class Purpose(models.TextChoices):
        PAYOUT = "payout"
        REFUND = "refund"
        BOTH = "both"

    class Status(models.TextChoices):
        PENDING = "pending_verification", "Pending verification"
        VERIFIED = "verified"
        CLOSED = "closed"
        LAPSED = "lapsed"

    class Method(models.TextChoices):
        PENNY_DROP = "penny_drop", "Penny drop"
        CHEQUE = "cheque"
        CALL_BACK = "call_back", "Call-back"

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="bank_accounts")
    holder = models.CharField("account holder", max_length=200, help_text="Name as in the bank's records.")
    bank_name = models.CharField("bank", max_length=200, help_text="Name of the bank.")
    number = Encrypted("identifier.bank_account", "account number")
    iban = Encrypted("identifier.iban", "IBAN")
    last4 = models.CharField(
        "last four characters",
        max_length=4,
        editable=False,
        help_text="Last four characters of the account number.",
    )
    ifsc = optional_text(
        11, "Eleven characters, such as SBIN0000300. Required for rupees in India.", verbose_name="IFSC"
    )
    swift = optional_text(11, "SWIFT code (BIC) of 8 or 11 characters.", verbose_name="SWIFT code")
    account_type = models.CharField(max_length=11, choices=AccountType, help_text="Type of account.")
    purpose = models.CharField(max_length=6, choices=Purpose, help_text="What is paid to it.")
    currency = models.CharField(max_length=3, default="INR", help_text="ISO 4217 code. Default INR.")
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    is_primary = models.BooleanField("primary", default=False, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    verified_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    verified_at = models.DateTimeField(null=True)
    method = optional_text(10, choices=Method)
    call_back_phone = optional_text(16, "The number that was called.")
    call_back_note = optional_text(1000)
    payable_from = models.DateTimeField(null=True, help_text="When payouts may use it.")

    class Meta(OfPartner.Meta):
        verbose_name = "bank account"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "number_hash", "ifsc", "swift"],
                condition=Q(status__in=["pending_verification", "verified"]),
                nulls_distinct=False,
                name="partner_bank_account_once",
            ),
            models.UniqueConstraint(
                fields=["partner", "currency"],
                condition=Q(is_primary=True),
                name="partner_bank_account_one_primary",
            ),
            models.CheckConstraint(
                name="partner_bank_account_primary_verified",
                condition=Q(is_primary=False) | Q(status="verified"),
            ),
            models.CheckConstraint(
                name="partner_bank_account_two_people",
                condition=~Q(status="verified")
                | Q(verified_by__isnull=False, payable_from__isnull=False) & ~Q(verified_by=F("created_by")),
            ),
        ]
        indexes: ClassVar = [newest_first("partner_bank_account_newest")]

    def __str__(self) -> str:
        return f"{self.bank_name} …{self.last4} ({self.currency})"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"verify"} if self.status == self.Status.PENDING else ())
