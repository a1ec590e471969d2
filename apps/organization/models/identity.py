"""Our own firms: identity, GST registrations, bank accounts."""

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


def optional_text(length: int) -> Any:
    """A column for text that may be absent."""
    return models.CharField(max_length=length, null=True, blank=True)


class Kept(Model):
    """A row of this module, with who made it (nobody: SYSTEM)."""

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )

    class Meta(Model.Meta):
        abstract = True


class Addressed(models.Model):
    """An address in India. ``state_code`` is the GST code of the state."""

    line1 = models.CharField(max_length=255)
    line2 = optional_text(255)
    city = models.CharField(max_length=100)
    state_code = models.CharField(max_length=2)
    pin_code = models.CharField(max_length=6)

    class Meta:
        abstract = True


class OrganizationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The user's own organization and single grants; all for auditors and holders of organization.create."""
        if holds_everywhere(user, "organization.create"):
            return self
        auditor = RoleMembership.objects.filter(user_id=user.pk, role__name="AUDITOR")
        own = self.filter(Q(pk=user.organization_id) | Q(Exists(auditor)))
        return own | self.granted(user, "organization.view")


class PartQuerySet(QuerySet):
    """Rows of an organization."""

    def visible_to(self, user: Actor) -> Self:
        """Those of the organizations that the user may see."""
        if holds_everywhere(user, "organization.create"):
            return self
        return self.filter(organization__in=Organization.objects.visible_to(user))


class Organization(Kept, Addressed):
    """A firm in whose name we trade and bill."""

    trail_personal = ("pan", "email", "phone")

    class LegalForm(models.TextChoices):
        PROPRIETORSHIP = "proprietorship"
        HUF = "huf"
        PARTNERSHIP = "partnership"
        LLP = "llp"
        PRIVATE_LIMITED = "private_limited"
        PUBLIC_LIMITED = "public_limited"
        ONE_PERSON_COMPANY = "one_person_company"
        TRUST = "trust"
        SOCIETY = "society"
        COOPERATIVE_SOCIETY = "cooperative_society"

    class Status(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"

    TRANSITIONS: ClassVar = {Status.ACTIVE: (Status.INACTIVE,), Status.INACTIVE: (Status.ACTIVE,)}
    COMPANIES: ClassVar = frozenset(
        {LegalForm.PRIVATE_LIMITED, LegalForm.PUBLIC_LIMITED, LegalForm.ONE_PERSON_COMPANY}
    )

    name = models.CharField(max_length=255)
    name_key = models.CharField(max_length=KEY_LENGTH, editable=False)
    legal_name = models.CharField(max_length=255)
    legal_form = models.CharField(max_length=20, choices=LegalForm)
    pan = models.CharField("PAN", max_length=10)
    cin = optional_text(21)
    llpin = optional_text(8)
    tan = optional_text(10)
    iec = optional_text(10)
    base_currency = models.CharField(max_length=3, default="INR")
    email = optional_text(254)
    phone = optional_text(16)
    e_invoice_from = models.DateField(null=True, blank=True)
    lut_number = optional_text(32)
    lut_valid_until = models.DateField(null=True, blank=True)
    invoice_footer = optional_text(1024)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)

    objects: ClassVar[Any] = OrganizationQuerySet.as_manager()

    class Meta(Kept.Meta):
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
        """What may be done now: nothing is added to a firm that is inactive."""
        added = {
            "add_gst_registration",
            "add_bank_account",
            "add_financial_year",
            "add_document_series",
            "next_document_number",
        }
        return frozenset({"update"} | (added if self.status == self.Status.ACTIVE else set()))


class GstRegistration(Kept, Addressed):
    """A registration under GST. Several of one state are normal; one of the organization's is primary."""

    trail_personal = ("gstin",)

    granted_through = ("organization",)

    class Kind(models.TextChoices):
        REGULAR = "regular"
        SEZ_UNIT = "sez_unit", "SEZ unit"
        INPUT_SERVICE_DISTRIBUTOR = "input_service_distributor"

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
    gstin = models.CharField("GSTIN", max_length=15)
    kind = models.CharField(max_length=25, choices=Kind, default=Kind.REGULAR)
    trade_name = optional_text(255)
    branch_code = models.CharField(max_length=6)
    is_primary = models.BooleanField("primary", default=False)
    valid_from = models.DateField()
    status = models.CharField(max_length=9, choices=Status, default=Status.ACTIVE)

    objects: ClassVar[Any] = PartQuerySet.as_manager()

    class Meta(Kept.Meta):
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


class BankAccount(Kept):
    """An account of ours. Its number is encrypted; two people stand behind one that is in use."""

    trail_personal = ("holder", "number_encrypted", "number_hash")

    granted_through = ("organization",)

    class AccountType(models.TextChoices):
        CURRENT = "current"
        CASH_CREDIT = "cash_credit"
        OVERDRAFT = "overdraft"
        EEFC = "eefc", "EEFC"
        ESCROW = "escrow"

    class Purpose(models.TextChoices):
        COLLECTIONS = "collections"
        PAYMENTS = "payments"
        BOTH = "both"

    class Status(models.TextChoices):
        PENDING_APPROVAL = "pending_approval"
        ACTIVE = "active"
        INACTIVE = "inactive"
        REFUSED = "refused"

    TRANSITIONS: ClassVar = {
        Status.PENDING_APPROVAL: (),  # by its approval only
        Status.ACTIVE: (Status.INACTIVE,),
        Status.INACTIVE: (Status.ACTIVE,),  # through another approval
        Status.REFUSED: (),
    }

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="bank_accounts")
    holder = models.CharField(max_length=200)
    bank_name = models.CharField(max_length=200)
    branch_name = optional_text(200)
    number_encrypted = models.TextField(editable=False)
    number_hash = models.CharField(max_length=64, editable=False)
    last4 = models.CharField("number's last four", max_length=4, editable=False)
    ifsc = models.CharField("IFSC", max_length=11, null=True, blank=True)  # noqa: DJ001 - rupees only
    swift = models.CharField("SWIFT", max_length=11, null=True, blank=True)  # noqa: DJ001 - other currencies
    account_type = models.CharField(max_length=11, choices=AccountType)
    currency = models.CharField(max_length=3, default="INR")
    purpose = models.CharField(max_length=11, choices=Purpose, default=Purpose.BOTH)
    wants_default = models.BooleanField(default=False, editable=False)  # takes effect with the approval
    is_default = models.BooleanField("default", default=False)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING_APPROVAL)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    approval_id = models.UUIDField(null=True, editable=False)
    editors = ArrayField(models.UUIDField(), default=list, editable=False)  # since somebody last decided

    objects: ClassVar[Any] = PartQuerySet.as_manager()

    class Meta(Kept.Meta):
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

    def hide(self, number: str) -> None:
        """Keep a canonical number: encrypted, its hash for equality, its last four for people."""
        self.number_encrypted = encryption.encrypt(number, context=self._context)
        self.number_hash = encryption.keyed_hash(number, context="organization.bank_account.number")
        self.last4 = number[-4:]

    def reveal(self) -> str:
        """The whole number, for documents that print it and for those who may see it."""
        return encryption.decrypt(self.number_encrypted, context=self._context)

    @property
    def _context(self) -> str:
        return f"organization.bank_account.number:{self.pk}"
