"""Organizations of the company: identity, GST registrations, bank accounts."""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, Q
from django.db.models.functions import Substr

from apps.accounts.models import RoleMembership
from erp import encryption
from erp.access import Actor, holds_everywhere
from erp.identifiers.tax import PAN_SHAPE
from erp.models import Model, QuerySet
from erp.text import KEY_LENGTH


def optional_text(length: int, help_text: str = "", **kwargs: Any) -> Any:
    """A column for text that may be absent."""
    return models.CharField(max_length=length, null=True, blank=True, help_text=help_text, **kwargs)


class CreatedByModel(Model):
    """A row of this module, with the user who created it (null: SYSTEM)."""

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )

    class Meta(Model.Meta):
        abstract = True


class AddressModel(models.Model):
    """An address in India. ``state_code`` is the GST code of the state."""

    line1 = models.CharField(
        "address line 1", max_length=255, help_text="Building and street, up to 255 characters."
    )
    line2 = optional_text(255, "Area or landmark, up to 255 characters.", verbose_name="address line 2")
    city = models.CharField(max_length=100, help_text="Town or city.")
    state_code = models.CharField("state", max_length=2, help_text="GST code of the state, such as 27.")
    pin_code = models.CharField("PIN code", max_length=6, help_text="Six digits that belong to the state.")

    class Meta:
        abstract = True


class OrganizationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Return the user's own organization and single grants; all for auditors and with organization.create."""
        if holds_everywhere(user, "organization.create"):
            return self
        auditor = RoleMembership.objects.filter(user_id=user.pk, role__name="AUDITOR")
        own = self.filter(Q(pk=user.organization_id) | Q(Exists(auditor)))
        return own | self.granted(user, "organization.view")


class OrganizationPartQuerySet(QuerySet):
    """Rows of an organization."""

    def visible_to(self, user: Actor) -> Self:
        """Return rows of the organizations that the user may see."""
        if holds_everywhere(user, "organization.create"):
            return self
        return self.filter(organization__in=Organization.objects.visible_to(user))


class Organization(CreatedByModel, AddressModel):
    """A firm of the company, in whose name it trades and issues invoices."""

    trail_personal = ("pan", "email", "phone")

    class LegalForm(models.TextChoices):
        PROPRIETORSHIP = "proprietorship"
        HUF = "huf", "HUF"
        PARTNERSHIP = "partnership"
        LLP = "llp", "LLP"
        PRIVATE_LIMITED = "private_limited", "Private limited"
        PUBLIC_LIMITED = "public_limited", "Public limited"
        ONE_PERSON_COMPANY = "one_person_company", "One-person company"
        TRUST = "trust"
        SOCIETY = "society"
        COOPERATIVE_SOCIETY = "cooperative_society", "Cooperative society"

    class Status(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"

    TRANSITIONS: ClassVar = {Status.ACTIVE: (Status.INACTIVE,), Status.INACTIVE: (Status.ACTIVE,)}
    COMPANIES: ClassVar = frozenset(
        {LegalForm.PRIVATE_LIMITED, LegalForm.PUBLIC_LIMITED, LegalForm.ONE_PERSON_COMPANY}
    )

    name = models.CharField(max_length=255, help_text="Short name in daily use, 2 to 255 characters. Unique.")
    name_key = models.CharField(max_length=KEY_LENGTH, editable=False)
    legal_name = models.CharField(
        max_length=255, help_text="As on the PAN card or the certificate of incorporation."
    )
    legal_form = models.CharField(
        max_length=20, choices=LegalForm, help_text="Legal form, which must fit the PAN and the CIN."
    )
    pan = models.CharField("PAN", max_length=10, help_text="Ten characters, as printed on the PAN card.")
    cin = optional_text(21, "Corporate identification number, 21 characters. Required for companies.")
    llpin = optional_text(8, "LLP identification number, such as AAB-1234. Required for LLPs.")
    tan = optional_text(10, "Tax deduction and collection account number, ten characters.")
    iec = optional_text(10, "Importer exporter code, ten characters. Usually the PAN.")
    base_currency = models.CharField(
        max_length=3, default="INR", help_text="Currency of the books, ISO 4217 code. Default INR."
    )
    email = optional_text(254, "Address for correspondence, printed on documents.")
    phone = optional_text(16, "With country code, such as +91 22 2765 4321.")
    e_invoice_from = models.DateField(
        null=True, blank=True, help_text="First day on which e-invoices are mandatory. Empty: not yet."
    )
    lut_number = optional_text(32, "Number of the letter of undertaking for exports without IGST.")
    lut_valid_until = models.DateField(
        "LUT effective to", null=True, blank=True, help_text="Last day of the letter of undertaking."
    )
    invoice_footer = optional_text(1024, "Text at the foot of invoices, up to 1,024 characters.")
    status = models.CharField(
        max_length=8,
        choices=Status,
        default=Status.ACTIVE,
        help_text="Inactive: nothing can be added. Requires that no financial year is open.",
    )

    objects: ClassVar[Any] = OrganizationQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name_key"], name="organization_name_once"),
            models.UniqueConstraint(fields=["pan"], name="organization_pan_once"),
            models.CheckConstraint(name="organization_pan_format", condition=Q(pan__regex=f"^{PAN_SHAPE}$")),
            models.CheckConstraint(
                name="organization_currency_iso", condition=Q(base_currency__regex=r"^[A-Z]{3}$")
            ),
            models.CheckConstraint(
                name="organization_lut_complete",
                condition=Q(lut_number=None, lut_valid_until=None)
                | Q(lut_number__isnull=False, lut_valid_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def open_verbs(self) -> frozenset[str]:
        """Return the actions open now: nothing can be added to an inactive organization."""
        added = {
            "add_gst_registration",
            "add_bank_account",
            "add_financial_year",
            "add_document_series",
            "next_document_number",
        }
        return frozenset({"update"} | (added if self.status == self.Status.ACTIVE else set()))


class GstRegistration(CreatedByModel, AddressModel):
    """A GST registration. An organization can have several in one state; one of all is primary."""

    trail_personal = ("gstin",)

    granted_through = ("organization",)

    class Kind(models.TextChoices):
        REGULAR = "regular"
        SEZ_UNIT = "sez_unit", "SEZ unit"
        INPUT_SERVICE_DISTRIBUTOR = "input_service_distributor", "Input service distributor"

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        CANCELLED = "cancelled"

    TRANSITIONS: ClassVar = {
        Status.ACTIVE: (Status.SUSPENDED, Status.CANCELLED),
        Status.SUSPENDED: (Status.ACTIVE, Status.CANCELLED),
        Status.CANCELLED: (),
    }

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="gst_registrations")
    gstin = models.CharField(
        "GSTIN",
        max_length=15,
        help_text="15 characters. Positions 3 to 12 are the PAN, the first two the state.",
    )
    kind = models.CharField(
        max_length=25, choices=Kind, default=Kind.REGULAR, help_text="Type of registration. Default: regular."
    )
    trade_name = optional_text(
        255, "As on the registration certificate, where it differs from the legal name."
    )
    branch_code = models.CharField(
        max_length=6, help_text="2 to 6 capital letters and digits, such as MUM. Printed in document numbers."
    )
    is_primary = models.BooleanField(
        "primary",
        default=False,
        help_text="The first registration becomes primary automatically. Choosing a new primary replaces it.",
    )
    valid_from = models.DateField("effective from", help_text="First day of the registration.")
    status = models.CharField(
        max_length=9,
        choices=Status,
        default=Status.ACTIVE,
        help_text="Cancelled is final and closes the document series of the registration.",
    )

    objects: ClassVar[Any] = OrganizationPartQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        verbose_name = "GST registration"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["gstin"], name="gst_gstin_once"),
            models.UniqueConstraint(fields=["organization", "branch_code"], name="gst_branch_code_once"),
            models.UniqueConstraint(
                fields=["organization"], condition=Q(is_primary=True), name="gst_one_primary"
            ),
            models.CheckConstraint(name="gst_state_of_gstin", condition=Q(state_code=Substr("gstin", 1, 2))),
            models.CheckConstraint(
                name="gst_primary_is_active", condition=Q(is_primary=False) | Q(status="active")
            ),
            models.CheckConstraint(
                name="gst_branch_code_format", condition=Q(branch_code__regex=r"^[A-Z0-9]{2,6}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.branch_code} ({self.gstin})"

    def open_verbs(self) -> frozenset[str]:
        return frozenset() if self.status == self.Status.CANCELLED else frozenset({"update"})


class BankAccount(CreatedByModel):
    """A bank account of the company. Its number is encrypted, and a second person approves its use."""

    trail_personal = ("holder", "number_encrypted", "number_hash")

    granted_through = ("organization",)

    class AccountType(models.TextChoices):
        CURRENT = "current"
        CASH_CREDIT = "cash_credit", "Cash credit"
        OVERDRAFT = "overdraft"
        EEFC = "eefc", "EEFC"
        ESCROW = "escrow"

    class Purpose(models.TextChoices):
        COLLECTIONS = "collections"
        PAYMENTS = "payments"
        BOTH = "both"

    class Status(models.TextChoices):
        PENDING_APPROVAL = "pending_approval", "Pending approval"
        ACTIVE = "active"
        INACTIVE = "inactive"
        REFUSED = "refused"

    TRANSITIONS: ClassVar = {
        Status.PENDING_APPROVAL: (),  # only by its approval
        Status.ACTIVE: (Status.INACTIVE,),
        Status.INACTIVE: (Status.ACTIVE,),  # through another approval
        Status.REFUSED: (),
    }

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="bank_accounts")
    holder = models.CharField("account holder", max_length=200, help_text="Name as in the bank's records.")
    bank_name = models.CharField("bank", max_length=200, help_text="Name of the bank.")
    branch_name = optional_text(200, "Name of the branch.", verbose_name="branch")
    number_encrypted = models.TextField(editable=False)
    number_hash = models.CharField(max_length=64, editable=False)
    last4 = models.CharField(
        "last four characters",
        max_length=4,
        editable=False,
        help_text="Last four characters of the account number.",
    )
    ifsc = optional_text(11, "Eleven characters, such as SBIN0000300. Required for accounts in rupees.")
    swift = optional_text(
        11,
        "SWIFT code (BIC) of 8 or 11 characters. Required for other currencies.",
        verbose_name="SWIFT code",
    )
    account_type = models.CharField(max_length=11, choices=AccountType, help_text="Type of account.")
    currency = models.CharField(
        max_length=3, default="INR", help_text="Currency of the account, ISO 4217 code. Default INR."
    )
    purpose = models.CharField(
        max_length=11,
        choices=Purpose,
        default=Purpose.BOTH,
        help_text="Whether it receives collections, makes payments, or both. Default: both.",
    )
    wants_default = models.BooleanField(
        "default after approval",
        default=False,
        editable=False,
        help_text="Whether it becomes the default account when it is approved.",
    )
    is_default = models.BooleanField(
        "default",
        default=False,
        help_text="Default account of its currency. Choosing a new default replaces it.",
    )
    status = models.CharField(
        max_length=16,
        choices=Status,
        default=Status.PENDING_APPROVAL,
        help_text="Making an inactive account active again needs another approval.",
    )
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    approval_id = models.UUIDField(null=True, editable=False, help_text="The latest request for approval.")
    editors = ArrayField(models.UUIDField(), default=list, editable=False)  # since the last decision

    objects: ClassVar[Any] = OrganizationPartQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "number_hash", "ifsc", "swift"],
                condition=Q(status__in=["pending_approval", "active"]),
                nulls_distinct=False,
                name="bank_account_once",
            ),
            models.UniqueConstraint(
                fields=["organization", "currency"],
                condition=Q(is_default=True),
                name="bank_account_one_default",
            ),
            models.CheckConstraint(
                name="bank_account_default_is_active", condition=Q(is_default=False) | Q(status="active")
            ),
            models.CheckConstraint(
                name="bank_account_two_people",
                condition=~Q(status="active")
                | (Q(approved_by__isnull=False) & ~Q(approved_by=F("proposed_by"))),
            ),
            models.CheckConstraint(
                name="bank_account_code_of_currency",
                condition=Q(currency="INR", ifsc__isnull=False, swift=None)
                | (~Q(currency="INR") & Q(ifsc=None, swift__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bank_name} …{self.last4} ({self.currency})"

    def open_verbs(self) -> frozenset[str]:
        usable = self.status in (self.Status.ACTIVE, self.Status.INACTIVE)
        return frozenset({"update", "show_number"} if usable else {"show_number"})

    def set_number(self, number: str) -> None:
        """Store a canonical number: encrypted, with a hash for equality and the last four characters to show."""
        self.number_encrypted = encryption.encrypt(number, context=self._context)
        self.number_hash = encryption.keyed_hash(number, context="organization.bank_account.number")
        self.last4 = number[-4:]

    def decrypt_number(self) -> str:
        """Return the full number, for documents that print it and users who may see it."""
        return encryption.decrypt(self.number_encrypted, context=self._context)

    @property
    def _context(self) -> str:
        return f"organization.bank_account.number:{self.pk}"
