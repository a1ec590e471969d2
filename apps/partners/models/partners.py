"""Partners, the roles that they hold, and what they may trade."""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Upper

from erp import clock
from erp.access import Actor
from erp.columns import within
from erp.encryption import Encrypted, keyed_hash
from erp.identifiers import GSTIN, PAN
from erp.models import Model, QuerySet
from erp.periods import dates_in_order, no_overlap
from erp.services import next_value

GRACE_DAYS = 30  # after the KYC expiry date
# How long data of applications that led to nothing is stored (partners, Privacy).
DRAFT_KEPT = timedelta(days=90)  # after the last change of a draft that was never submitted
DRAFT_LIFE = timedelta(days=30)  # after which a draft expires
APPLICATION_KEPT = timedelta(days=365)  # after its end
RECOGNISED = timedelta(days=8 * 365 + 2)  # the PAN's hash after forged papers or sanctions
KYC_STATES = ("none", "valid", "grace", "lapsed")


def optional_text(length: int, help_text: str = "", **kwargs: Any) -> Any:
    """A column for text that may be absent."""
    return models.CharField(max_length=length, null=True, blank=True, help_text=help_text, **kwargs)


def reason_text(length: int = 2000) -> Any:
    """A column for the reason of a decision."""
    return optional_text(length, "Why, in words for the file.")


def newest_first(name: str, *filters: str) -> models.Index:
    """An index in the default order of lists, below the columns that a list is filtered by."""
    return models.Index(fields=[*filters, "-created_at", "-id"], name=name)


class AddressFields(models.Model):
    """An address in any country. ``state_code`` is the GST code of an Indian state."""

    line1 = models.CharField("address line 1", max_length=200, help_text="Building and street.")
    line2 = optional_text(200, "Area or landmark.", verbose_name="address line 2")
    city = models.CharField(max_length=100, help_text="Town or city.")
    district = optional_text(100, "District within the state.")
    state_code = optional_text(
        2, "GST code of the state, such as 24. Required in India.", verbose_name="state"
    )
    postal_code = models.CharField(
        max_length=20, help_text="PIN code in India: six digits that belong to the state."
    )
    country = models.CharField(
        max_length=2, default="IN", help_text="Two-letter ISO 3166-1 code, such as IN. Default IN."
    )

    class Meta:
        abstract = True


ADDRESS = ("line1", "line2", "city", "district", "state_code", "postal_code", "country")


class PartnerQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Partners on which staff hold the capability; else the user's own firm and single grants."""
        if user.partner_id is None:
            return self.permitted(user, "partner.view")
        return self.filter(pk=user.partner_id) | self.granted(user, "partner.view")

    def with_role(self, **held: str) -> Self:
        """Partners that hold a role, or a kind of service."""
        return self.filter(Exists(PartnerRole.objects.filter(partner=OuterRef("pk"), **held)))

    def with_kyc(self, state: str, day: date | None = None) -> Self:
        """Partners whose KYC is in a state (``Partner.kyc_on``) on a day."""
        day = day or clock.today()
        graced = day - timedelta(days=GRACE_DAYS)
        conditions = {
            "none": Q(kyc_expiry_date=None),
            "valid": Q(kyc_expiry_date__gte=day),
            "grace": Q(kyc_expiry_date__lt=day, kyc_expiry_date__gte=graced),
            "lapsed": Q(kyc_expiry_date__lt=graced),
        }
        return self.filter(conditions[state])

    def in_category(self, category: str) -> Self:
        """Partners of the risk category."""
        return self.filter(risk_category=category)

    def on_route(self, route: str) -> Self:
        """Partners whose open file takes the route."""
        return self.filter(Exists(self._open_rounds().filter(route=route)))

    def with_open_renewal(self) -> Self:
        """Partners with ``renewal_open``: whether a renewal of KYC is being decided."""
        return self.annotate(renewal_open=Exists(self._open_rounds()))

    def kyc_expiring(self, days: int) -> Self:
        """Active and suspended partners whose KYC ends today or within the days."""
        today = clock.today()
        return self.filter(
            status__in=["active", "suspended"], kyc_expiry_date__range=(today, today + timedelta(days=days))
        )

    def abandoned(self, now: datetime) -> Self:
        """Applications that were never submitted and whose time is over."""
        rounds = self._rounds()
        expired = Q(status="expired", updated_at__gt=now - DRAFT_KEPT + DRAFT_LIFE)
        withdrawn = ~Q(status="expired") & Q(updated_at__gt=now - DRAFT_KEPT)
        return self._ended().exclude(
            Exists(rounds.filter(Q(submitted_at__isnull=False) | expired | withdrawn))
        )

    def refused(self, now: datetime) -> Self:
        """Submitted applications that were rejected, withdrawn or expired, and whose time is over."""
        rounds = self._rounds()
        return self._ended().filter(
            Exists(rounds.filter(submitted_at__isnull=False)),
            ~Exists(rounds.filter(updated_at__gt=now - APPLICATION_KEPT)),
        )

    def erasable(self, now: datetime) -> Self:
        """Applications whose data is due to be erased."""
        return self.abandoned(now) | self.refused(now)

    def forgettable(self, now: datetime) -> Self:
        """Erased firms whose PAN need not be recognised any more."""
        final = self._rounds().filter(decided_at__gt=now - RECOGNISED)
        return self.filter(erased_at__isnull=False, pan_hash__isnull=False).exclude(Exists(final))

    def _ended(self) -> Self:
        """Firms that never became partners, and can't any more by this application."""
        ended = [Partner.Status.REJECTED, Partner.Status.CLOSED]
        return self.filter(status__in=ended, code=None, erased_at=None)

    @classmethod
    def _open_rounds(cls) -> Any:
        return cls._rounds().open()

    @staticmethod
    def _rounds() -> Any:
        from apps.partners.models.rounds import OnboardingRound

        return OnboardingRound.objects.filter(partner=OuterRef("pk"))

    def identified(self, text: str) -> Self:
        """Partners with this PAN or GSTIN, found by its hash; a part of one finds nothing."""
        if GSTIN.is_valid(text):
            return self.filter(
                tax_registrations__gstin_hash=keyed_hash(GSTIN.normalise(text), context="identifier.gstin")
            )
        if not PAN.is_valid(text):
            return self.none()
        return self.filter(pan_hash=keyed_hash(PAN.normalise(text), context="identifier.pan"))


class OfPartnerQuerySet(QuerySet):
    """Rows of a partner."""

    def visible_to(self, user: Actor) -> Self:
        """Rows of the partners that the user may see."""
        if user.partner_id is None:
            return self.permitted(user, "partner.view")
        return self.of_partner(user, "partner") | self.granted(user, "partner.view")


class OfPartner(Model):
    """A row that belongs to a partner."""

    owner_partner = "partner_id"
    granted_through = ("partner",)

    partner = models.ForeignKey("partner.Partner", models.PROTECT, related_name="+")

    objects: ClassVar[Any] = OfPartnerQuerySet.as_manager()

    class Meta(Model.Meta):
        abstract = True


class Partner(AddressFields, Model):
    """A firm, shared by all organizations of the company."""

    trail_personal = (
        "legal_name", "trade_name", "contact_name", "contact_email", "contact_phone", "line1", "line2",
        "city", "district", "postal_code", "state_code", "pan_encrypted", "pan_hash", "iec_encrypted", "iec_hash",
        "foreign_tax_id_encrypted", "foreign_tax_id_hash", "cin", "llpin", "tan", "udyam", "transporter_id",
    )  # fmt: skip
    owner_partner = "id"

    class Status(models.TextChoices):
        DRAFT = "draft"
        PENDING = "pending"
        ACTIVE = "active"
        REJECTED = "rejected"
        SUSPENDED = "suspended"
        CLOSED = "closed"

    class LegalForm(models.TextChoices):
        PROPRIETORSHIP = "proprietorship"
        HUF = "huf", "HUF"
        PARTNERSHIP = "partnership"
        LLP = "llp", "LLP"
        PRIVATE_LIMITED = "private_limited", "Private limited"
        PUBLIC_LIMITED = "public_limited", "Public limited"
        TRUST = "trust"
        SOCIETY = "society"
        COOPERATIVE_SOCIETY = "cooperative_society", "Cooperative society"
        GOVERNMENT = "government"
        FOREIGN_ENTITY = "foreign_entity", "Foreign entity"

    class NoGstReason(models.TextChoices):
        COMMISSION_AGENT = "commission_agent", "Commission agent"
        TURNOVER = "turnover_below_threshold", "Turnover below the threshold"
        EXEMPTED = "exempted_category", "Exempted category"

    class TaxIdType(models.TextChoices):
        EIN = "EIN", "EIN (United States)"
        VAT = "VAT", "VAT number"
        TRN = "TRN", "TRN (United Arab Emirates)"
        ABN = "ABN", "ABN (Australia)"
        NTN = "NTN", "NTN (Pakistan)"
        OTHER = "OTHER", "Other"

    class Category(models.TextChoices):
        LOW = "low"
        MEDIUM = "medium"
        HIGH = "high"
        CRITICAL = "critical"

    class Suspension(models.TextChoices):
        NON_PAYMENT = "non_payment", "Non-payment"
        KYC_LAPSED = "kyc_lapsed", "KYC lapsed"
        DOCUMENT_EXPIRED = "document_expired", "Document expired"
        FRAUD = "fraud_suspected", "Fraud suspected"
        SANCTIONS = "sanctions_match", "Sanctions match"
        QUALITY = "quality_disputes", "Quality disputes"
        REGULATORY = "regulatory"
        ON_REQUEST = "on_request", "On request"
        OTHER = "other"

    # Suspensions that only another person than who decided them may end.
    GRAVE: ClassVar = frozenset({Suspension.FRAUD, Suspension.SANCTIONS})

    code = optional_text(
        12, "Number of the partner, such as BP-IN-000123. Given at approval.", unique=True, editable=False
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT)
    applicant = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    legal_name = models.CharField(
        max_length=500,
        help_text="As on the PAN card or the certificate of incorporation, without a web address.",
    )
    trade_name = models.CharField(
        max_length=500,
        default="",
        blank=True,
        help_text="Name in daily business, where it differs from the legal name.",
    )
    legal_form = models.CharField(
        max_length=20, choices=LegalForm, help_text="Legal form of the firm, such as private limited."
    )
    incorporation_date = models.DateField(
        null=True, blank=True, help_text="Day on which the firm was founded, not in the future."
    )
    pan = Encrypted("identifier.pan", "PAN")
    pan_hash: str | None
    iec = Encrypted("identifier.iec", "IEC")
    foreign_tax_id = Encrypted("identifier.foreign_tax_id", "foreign tax number")
    foreign_tax_id_type = optional_text(
        5, "Kind of the foreign tax number.", choices=TaxIdType, verbose_name="kind of tax number"
    )
    cin = optional_text(21, "Corporate identification number, 21 characters.", verbose_name="CIN")
    llpin = optional_text(8, "LLP identification number, such as AAB-1234.", verbose_name="LLPIN")
    tan = optional_text(10, "Tax deduction and collection account number.", verbose_name="TAN")
    udyam = optional_text(
        19, "Registration as a micro, small or medium enterprise, such as UDYAM-GJ-01-0000001.",
        verbose_name="Udyam number",
    )  # fmt: skip
    transporter_id = optional_text(
        15, "Transporter number of the e-way bill portal.", verbose_name="transporter ID"
    )
    no_gst_reason = optional_text(
        24, "Why the firm has no GST registration.", choices=NoGstReason, verbose_name="reason for no GST"
    )
    contact_name = models.CharField(max_length=200, default="", blank=True, help_text="Person to talk to.")
    contact_email = models.CharField("contact e-mail", max_length=254, default="", blank=True)
    contact_phone = models.CharField(
        max_length=16, default="", blank=True, help_text="With the country code, such as +91 98765 43210."
    )
    preferred_currency = models.CharField(
        max_length=3, default="INR", help_text="Currency of quotes, ISO 4217 code. Default INR."
    )
    declared_turnover = models.DecimalField(
        max_digits=20, decimal_places=2, null=True, blank=True,
        help_text="Turnover of the last financial year as the firm says, in the preferred currency.",
    )  # fmt: skip
    can_arrange_transport = models.BooleanField(
        default=False, help_text="The firm can arrange transport itself."
    )
    has_quality_lab = models.BooleanField(
        "has a quality laboratory", default=False, help_text="The firm has a laboratory of its own."
    )
    commodities = ArrayField(
        models.UUIDField(), default=list, blank=True, size=50, help_text="Commodities that the firm deals in."
    )
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        related_name="+",
        editable=False,
        help_text="Broker of a sub-broker.",
    )
    kyc_verified_date = models.DateField("KYC verified on", null=True, editable=False)
    kyc_expiry_date = models.DateField("KYC valid until", null=True, editable=False)
    freight_cap_month = models.DecimalField(
        "freight per month, at most", max_digits=20, decimal_places=2, null=True, editable=False
    )
    trust_score = models.PositiveSmallIntegerField(null=True, editable=False)
    risk_category = optional_text(8, choices=Category, editable=False)
    suspension_code = optional_text(18, choices=Suspension, editable=False)
    suspension_reason = optional_text(2000, editable=False)
    suspended_at = models.DateTimeField(null=True, editable=False)
    suspended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    review_date = models.DateField(null=True, editable=False)
    reapply_date = models.DateField(null=True, editable=False)
    erased_at = models.DateTimeField(
        null=True, editable=False, help_text="When the data of an application that led to nothing was erased."
    )

    objects: ClassVar[Any] = PartnerQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="partner_country_iso", condition=Q(country__regex=r"^[A-Z]{2}$")),
            models.CheckConstraint(name="partner_legal_name_given", condition=~Q(legal_name="")),
            models.CheckConstraint(
                name="partner_trading_is_complete",
                condition=~Q(status__in=["active", "suspended"])
                | Q(code__isnull=False, kyc_expiry_date__isnull=False),
            ),
            models.CheckConstraint(
                name="partner_indian_has_pan",
                condition=~Q(country="IN")
                | ~Q(status__in=["pending", "active", "suspended"])
                | Q(pan_hash__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["applicant"],
                condition=Q(status__in=["draft", "pending"]),
                name="partner_one_application",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["pan_hash"], name="partner_pan_hash"),
            # In the order of lists, so that a page reads its own rows alone.
            newest_first("partner_newest"),
            newest_first("partner_status_newest", "status"),
            newest_first("partner_state_newest", "state_code"),
            models.Index(fields=["updated_at", "id"], name="partner_updated"),
            models.Index(fields=["legal_name", "id"], name="partner_by_name"),
            models.Index(fields=["kyc_expiry_date", "id"], name="partner_kyc_expiry"),
            GinIndex(
                *(OpClass(Upper(name), name="gin_trgm_ops") for name in ("legal_name", "trade_name", "code")),
                name="partner_search",
            ),
        ]

    def __str__(self) -> str:
        return self.trade_name or self.legal_name

    @staticmethod
    def next_code(country: str) -> str:
        """The next partner number, such as BP-IN-000123."""
        return f"BP-{country}-{next_value('partner_number'):06}"

    @property
    def is_indian(self) -> bool:
        """Whether Indian papers and registrations apply."""
        return self.country == "IN"

    def kyc_on(self, day: date) -> str:
        """KYC by its dates: none, valid (up to and with the expiry day), grace (30 days), lapsed."""
        expiry = self.kyc_expiry_date
        if expiry is None:
            return "none"
        if day <= expiry:
            return "valid"
        return "grace" if day <= expiry + timedelta(days=GRACE_DAYS) else "lapsed"

    @property
    def kyc(self) -> str:
        """KYC today."""
        return self.kyc_on(clock.today())

    def reasons_against_business(self, action: str = "", day: date | None = None) -> list[str]:
        """Return why the partner isn't open for new business on a day; empty when it is.

        ``action`` (buy, sell, import, export; empty: any) also asks for a usable role and a trade permission. It reads
        dates, so it is right though no nightly task ran.
        """
        day = day or clock.today()
        reasons = [] if self.status == self.Status.ACTIVE else ["not_active"]
        if self.kyc_on(day) != "valid":
            reasons.append("kyc_expired")
        if action:
            role = PartnerRole.objects.usable(day).filter(partner=self, role__in=ROLES_OF[action])
            held = TradePermission.objects.on(day).filter(partner=self, name__in=PERMISSIONS_OF[action])
            usable, permitted = (
                Partner.objects.filter(pk=self.pk).values_list(Exists(role), Exists(held)).get()
            )
            reasons += [] if usable else ["role_not_usable"]
            reasons += [] if permitted else ["permission_missing"]
        return reasons

    @property
    def group_id(self) -> UUID | None:
        """The group of related parties, under which exposure and dealings belong together."""
        member = getattr(self, "membership", None)
        return None if member is None else member.group_id

    def open_verbs(self) -> frozenset[str]:
        """Verbs that the status allows."""
        return VERBS[self.Status(self.status)]


_PARTS = {"add_location", "add_vehicle", "add_bank_account", "invite_employee"}
_TRADING = {
    "upload_document", "set_credit_limit", "renew", "renew_kyc", "complete", "complete_renewal", "override_permission",
}  # fmt: skip
VERBS: dict[str, frozenset[str]] = {
    Partner.Status.DRAFT: frozenset(_PARTS),
    Partner.Status.PENDING: frozenset({"approve", "reject", *_PARTS}),
    Partner.Status.ACTIVE: frozenset({"suspend", "request_amendment", *_TRADING, *_PARTS}),
    Partner.Status.SUSPENDED: frozenset({"reactivate", *_TRADING}),
    Partner.Status.REJECTED: frozenset(),
    Partner.Status.CLOSED: frozenset(),
}


class PartnerRoleQuerySet(OfPartnerQuerySet):
    def usable(self, day: date) -> Self:
        """Roles whose mandatory papers are verified and valid on the day."""
        return self.filter(live=True, usable_from__lte=day).filter(Q(usable_to=None) | Q(usable_to__gte=day))


class PartnerRole(OfPartner):
    """A role of a partner in business, and in service of which kind."""

    class Role(models.TextChoices):
        SELLER = "seller"
        BUYER = "buyer"
        TRADER = "trader"
        BROKER = "broker"
        SERVICE_PROVIDER = "service_provider", "Service provider"

    class ServiceKind(models.TextChoices):
        SUB_BROKER = "sub_broker", "Sub-broker"
        TRANSPORTER = "transporter"
        CONTROLLER = "controller", "Controller (quality inspector)"
        FINANCER = "financer"
        SHIPPING_AGENT = "shipping_agent", "Shipping agent"

    class TransporterKind(models.TextChoices):
        LORRY_OWNER = "lorry_owner", "Lorry owner"
        COMMISSION_AGENT = "commission_agent", "Commission agent"

    TRADING: ClassVar = frozenset({Role.SELLER, Role.BUYER, Role.TRADER})

    role = models.CharField(max_length=16, choices=Role)
    service_kind = optional_text(14, choices=ServiceKind)
    transporter_kind = optional_text(16, choices=TransporterKind)
    live = models.BooleanField(default=False, help_text="Whether the role was approved.")
    usable_from = models.DateField(null=True, editable=False)
    usable_to = models.DateField(null=True, editable=False)

    objects: ClassVar[Any] = PartnerRoleQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "role", "service_kind"], nulls_distinct=False, name="partner_role_once"
            ),
            models.CheckConstraint(
                name="partner_role_kind_of_service",
                condition=Q(role="service_provider", service_kind__isnull=False)
                | (~Q(role="service_provider") & Q(service_kind=None)),
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["role", "partner"], name="partner_role_holders")]

    def __str__(self) -> str:
        kind = f" ({self.get_service_kind_display()})" if self.service_kind else ""
        return f"{self.get_role_display()}{kind}"


class TradePermissionQuerySet(OfPartnerQuerySet):
    def on(self, day: date) -> Self:
        """Permissions that hold on the day."""
        return self.filter(valid_from__lte=day).filter(Q(valid_to=None) | Q(valid_to__gte=day))


class TradePermission(OfPartner):
    """What a partner may trade, from its verified and unexpired papers (partners §5.5)."""

    class Name(models.TextChoices):
        BUY_INDIA = "domestic_buy_india", "Buy in India"
        SELL_INDIA = "domestic_sell_india", "Sell in India"
        BUY_HOME = "domestic_buy_home_country", "Buy in the home country"
        SELL_HOME = "domestic_sell_home_country", "Sell in the home country"
        IMPORT = "import_allowed", "Import"
        EXPORT = "export_allowed", "Export"

    class Source(models.TextChoices):
        DETECTED = "detected", "Papers"
        OVERRIDE = "override"

    name = models.CharField(max_length=26, choices=Name)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True)
    source = models.CharField(
        max_length=8,
        choices=Source,
        default=Source.DETECTED,
        help_text="From papers, or given by two people.",
    )

    objects: ClassVar[Any] = TradePermissionQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        constraints: ClassVar = [
            no_overlap("trade_permission_apart", "partner", "name"),
            dates_in_order("trade_permission_period"),
        ]

    def __str__(self) -> str:
        return self.get_name_display()


class Scorecard(OfPartner):
    """How a partner has kept its word over 24 months: a copy of what risk computes. Others see only the band."""

    machinery = True  # only a new band is told

    class Band(models.TextChoices):
        A = "A"
        B = "B"
        C = "C"
        D = "D"

    partner = models.OneToOneField(Partner, models.PROTECT, related_name="scorecard")
    trades = models.PositiveIntegerField(default=0, help_text="Settled, cancelled or disputed.")
    paid_in_time = models.PositiveIntegerField(default=0)
    delivered_in_time = models.PositiveIntegerField(default=0)
    quality_accepted = models.PositiveIntegerField(default=0)
    disputed = models.PositiveIntegerField(default=0)
    rating = models.DecimalField(
        max_digits=3, decimal_places=2, null=True, validators=within(0, 5), help_text="0.00 to 5.00."
    )
    band = optional_text(1, "From the rating; none under three trades.", choices=Band)

    class Meta(OfPartner.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="scorecard_rating_range", condition=Q(rating=None) | Q(rating__range=(0, 5))
            )
        ]

    def __str__(self) -> str:
        return f"Scorecard of {self.partner}"


ROLES_OF: dict[str, tuple[str, ...]] = {
    "buy": ("buyer", "trader"),
    "sell": ("seller", "trader"),
    "import": ("buyer", "trader"),
    "export": ("seller", "trader"),
}
PERMISSIONS_OF: dict[str, tuple[str, ...]] = {
    "buy": ("domestic_buy_india", "domestic_buy_home_country"),
    "sell": ("domestic_sell_india", "domestic_sell_home_country"),
    "import": ("import_allowed",),
    "export": ("export_allowed",),
}


def editors_of(partner_id: UUID) -> frozenset[UUID]:
    """People who wrote to the partner's open round: they can't decide on it."""
    from apps.partners.models.rounds import OnboardingRound, RoundEditor

    rounds = OnboardingRound.objects.open().filter(partner=partner_id)
    return frozenset(RoundEditor.objects.filter(round__in=rounds).values_list("user_id", flat=True))
