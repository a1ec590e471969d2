"""Credit of a partner: its limits by date, and the append-only ledger of its exposure (partners §5.8)."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Greatest, Round

from apps.partners.models.partners import (
    OfPartner,
    OfPartnerQuerySet,
    Partner,
    newest_first,
    optional_text,
)
from erp import clock
from erp.access import Actor
from erp.columns import within
from erp.models import Guarded, QuerySet
from erp.periods import dates_in_order, no_overlap

PAISA = Decimal("0.01")


def money(**kwargs: Any) -> Any:
    """An amount of money: numeric(20,2)."""
    return models.DecimalField(max_digits=20, decimal_places=2, **kwargs)


class Bucket(models.TextChoices):
    """Where exposure stands between the reservation and the payment."""

    HOLD = "hold"
    CONTRACTED = "contracted"
    MARK = "mark"
    DELIVERED_UNPAID = "delivered_unpaid", "Delivered and unpaid"
    ADVANCE = "advance"
    MARGIN = "margin"


# The account's column of each bucket.
SUMS: dict[str, str] = {
    Bucket.HOLD: "holds",
    Bucket.CONTRACTED: "contracted",
    Bucket.MARK: "mark",
    Bucket.DELIVERED_UNPAID: "delivered_unpaid",
    Bucket.ADVANCE: "advances",
    Bucket.MARGIN: "margin",
}


class Level(models.TextChoices):
    """How much of the limit is used."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


_LEVELS = ((100, Level.CRITICAL), (90, Level.HIGH), (75, Level.MEDIUM), (50, Level.LOW))
WARN_PERCENT = 75


class CreditAccountQuerySet(OfPartnerQuerySet):
    def with_limit(self, day: date) -> Self:
        """Accounts with the sum of their limit on the day, so that a list needs no query for each."""
        secured = Round(F("collateral_value") * F("collateral_rate"), 2)
        limits = CreditLimit.objects.in_force(day).filter(account=OuterRef("pk"))
        return self.annotate(
            granted=Subquery(limits.annotate(total=F("amount") + secured).values("total")[:1])
        )

    def with_level(self, day: date) -> Self:
        """Accounts with ``used``, how much of their limit on the day is used, as ``level`` says of one."""
        blocked = Q(on_hold=True) | ~Q(partner__status=Partner.Status.ACTIVE)
        granted = Coalesce(F("granted"), Value(Decimal(0), output_field=money()))
        contracted = Round(F("contracted") * Value(settings.CREDIT_EXPOSURE_FACTOR), 2)
        total = F("holds") + contracted + F("mark") + F("delivered_unpaid") + F("advances") - F("margin")
        at_risk = Greatest(total, Value(Decimal(0)), output_field=money())
        accounts = self.with_limit(day).alias(
            counted=Case(When(blocked, then=Value(Decimal(0))), default=granted, output_field=money()),
            at_risk=at_risk,
        )
        levels = [
            When(at_risk__gte=F("counted") * Value(percent) / 100, then=Value(level.value))
            for percent, level in _LEVELS
        ]
        return accounts.annotate(
            used=Case(
                When(counted=0, at_risk=0, then=Value(Level.NONE.value)),
                *levels,
                default=Value(Level.NONE.value),
                output_field=models.CharField(),
            )
        )


class CreditAccount(OfPartner):
    """The credit of one partner. Its version counts changes of limit and hold only, not of the sums."""

    partner = models.OneToOneField(Partner, models.PROTECT, related_name="credit")
    currency = models.CharField(max_length=3, default="INR")
    on_hold = models.BooleanField(default=False, help_text="No new credit while on.")
    holds = money(default=0, help_text="Reserved, no contract yet.")
    contracted = money(default=0, help_text="Under contract and not delivered.")
    mark = money(default=0, help_text="Rise of undelivered contracts over their price.")
    delivered_unpaid = money(default=0, help_text="Delivered and not paid.")
    advances = money(default=0, help_text="Advances paid to the partner as a seller.")
    margin = money(default=0, help_text="Margin received, which lowers the exposure.")

    objects: ClassVar[Any] = CreditAccountQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="credit_sums_not_negative",
                condition=Q(**{f"{column}__gte": 0 for column in SUMS.values()}),
            )
        ]

    def __str__(self) -> str:
        return f"Credit of {self.partner}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"set_credit_limit"})

    @property
    def exposure(self) -> Decimal:
        """Everything at risk today, at least 0."""
        contracted = (self.contracted * settings.CREDIT_EXPOSURE_FACTOR).quantize(PAISA, ROUND_HALF_UP)
        total: Decimal = (
            self.holds + contracted + self.mark + self.delivered_unpaid + self.advances - self.margin
        )
        return max(total, Decimal("0.00"))

    def limit_row(self, day: date) -> "CreditLimit | None":
        """The approved limit of the day."""
        return CreditLimit.objects.in_force(day).filter(account=self).first()

    def limit_on(self, day: date) -> Decimal:
        """The limit of the day with collateral; 0 without one, on hold, or while the partner isn't active."""
        row = self.limit_row(day)
        return self._counted(None if row is None else row.total)

    def _counted(self, granted: Decimal | None) -> Decimal:
        blocked = self.on_hold or self.partner.status != Partner.Status.ACTIVE
        return Decimal("0.00") if blocked or granted is None else granted

    @property
    def limit(self) -> Decimal:
        """The limit today."""
        if "granted" in self.__dict__:  # read with the row: see with_limit
            return self._counted(self.__dict__["granted"])
        return self.limit_on(clock.today())

    @property
    def headroom(self) -> Decimal:
        """How much more credit can be given today; negative where the exposure is above the limit."""
        return self.limit - self.exposure

    def utilisation(self, limit: Decimal) -> Decimal | None:
        """Exposure as a percentage of the limit, two decimals; None where the limit is 0."""
        return (self.exposure * 100 / limit).quantize(PAISA, ROUND_HALF_UP) if limit else None

    def level(self, limit: Decimal) -> Level:
        """How much of the limit is used; without a limit any exposure is critical."""
        if not limit:
            return Level.CRITICAL if self.exposure else Level.NONE
        used = self.exposure * 100
        return next((level for percent, level in _LEVELS if used >= limit * percent), Level.NONE)


class LimitQuerySet(OfPartnerQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """As other rows of partners; the partner's side sees approved limits only."""
        rows = super().visible_to(user)
        staff = user.is_staff or user.is_system
        return rows if staff else rows.filter(status=CreditLimit.Status.APPROVED)

    def in_force(self, day: date) -> Self:
        """Approved limits whose dates include the day."""
        return self.filter(status=CreditLimit.Status.APPROVED, valid_from__lte=day).filter(
            Q(valid_to=None) | Q(valid_to__gte=day)
        )


class CreditLimit(OfPartner):
    """A limit for a range of days, proposed or approved."""

    class Status(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REFUSED = "refused"
        STALE = "stale"

    account = models.ForeignKey(CreditAccount, models.PROTECT, related_name="limits")
    amount = money(validators=within(0), help_text="Credit without collateral, in the account's currency.")
    valid_from = models.DateField(help_text="First day of the limit, today to 90 days ahead.")
    valid_to = models.DateField(
        null=True, blank=True, help_text="Last day, at most 366 days after the first."
    )
    payment_terms_days = models.PositiveSmallIntegerField(
        default=0, validators=within(0, 180), help_text="Days until payment is due, 0 to 180. Default 0."
    )
    collateral_kind = optional_text(60, "What secures further credit, such as a bank guarantee.")
    collateral_value = money(default=0, validators=within(0), help_text="Value of the collateral.")
    collateral_rate = models.DecimalField(
        max_digits=5, decimal_places=4, default=0, validators=within(0, 1),
        help_text="Share of the collateral's value that counts, 0 to 1.",
    )  # fmt: skip
    on_hold = models.BooleanField(default=False, help_text="Gives no new credit, at once.")
    status = models.CharField(max_length=8, choices=Status)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    approval_id = models.UUIDField(null=True, editable=False, help_text="The request for the second person.")
    base_version = models.PositiveIntegerField(editable=False)
    reason = models.CharField(max_length=1000, help_text="Why, 10 to 1,000 characters.")

    objects: ClassVar[Any] = LimitQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        constraints: ClassVar = [
            dates_in_order("credit_limit_range"),
            models.UniqueConstraint(
                fields=["account"], condition=Q(status="proposed"), name="credit_limit_one_proposal"
            ),
            no_overlap("credit_limit_apart", "account", condition=Q(status="approved")),
        ]

    def __str__(self) -> str:
        return f"{self.amount} from {self.valid_from}"

    @property
    def total(self) -> Decimal:
        """The limit with the part of the collateral that counts."""
        secured: Decimal = (self.collateral_value * self.collateral_rate).quantize(PAISA, ROUND_HALF_UP)
        total: Decimal = secured + self.amount
        return total


class Operation(models.TextChoices):
    """What a module above did."""

    TAKE = "take_hold", "Hold taken"
    MOVE = "move_hold", "Hold moved"
    RELEASE = "release_hold", "Hold released"
    CONTRACT = "contract", "Contracted"
    RECONTRACT = "contract_again", "Contract changed"
    DELIVER = "deliver", "Delivered"
    PAY = "pay", "Paid"
    REVERSE = "reverse_payment", "Payment reversed"
    ADVANCE = "advance", "Advance"
    MARK = "mark", "Marked to market"
    MARGIN = "set_margin", "Margin"
    CANCEL = "cancel_source", "Cancelled"
    SUSPEND = "suspend", "Suspension"


class ExposureEntry(Guarded):
    """One line of the ledger; nobody changes or deletes it."""

    owner_partner = "partner_id"
    granted_through = ("partner",)

    id = models.BigAutoField(primary_key=True)
    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    account = models.ForeignKey(CreditAccount, models.PROTECT, related_name="entries")
    side = models.CharField(max_length=4, choices=[("buy", "Buy"), ("sell", "Sell")])
    bucket = models.CharField(max_length=16, choices=Bucket)
    kind = models.CharField(max_length=16, choices=Operation)
    amount = money(help_text="Signed; lowers the bucket where it is negative.")
    asked_amount = money(help_text="What the caller asked for, by which a repetition is recognised.")
    source_type = models.CharField(max_length=40, help_text="What it is about: reservation or trade.")
    source_id = models.UUIDField()
    entry_key = models.CharField(max_length=120, help_text="The caller's key: the same key adds nothing.")
    line = models.PositiveSmallIntegerField(default=0, help_text="Of the entries of one key.")
    rate = models.DecimalField(
        max_digits=20, decimal_places=10, null=True, help_text="Rate of exchange used."
    )
    rate_date = models.DateField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="When a hold ends.")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = OfPartnerQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="exposure_not_zero", condition=~Q(amount=0)),
            models.UniqueConstraint(fields=["account", "entry_key", "line"], name="exposure_key_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "source_type", "source_id"], name="exposure_source"),
            newest_first("exposure_newest", "partner"),
        ]

    def __str__(self) -> str:
        return f"{self.get_bucket_display()} {self.amount}"


class EmptyOperation(Guarded):
    """An operation of the ledger that had nothing to book: its key is used all the same."""

    trail_exempt = "keys of operations that changed nothing"
    machinery = True

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(CreditAccount, models.PROTECT, related_name="+")
    entry_key = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Operation)
    asked_amount = money()
    source_type = models.CharField(max_length=40)
    source_id = models.UUIDField()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "entry_key"], name="empty_operation_key_once")
        ]

    def __str__(self) -> str:
        return self.entry_key


class OpenExposure(Guarded):
    """What each source holds of each bucket now; kept from the entries, under the account's lock."""

    trail_exempt = "recomputed from the entries, which are in the trail"
    machinery = True

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(CreditAccount, models.PROTECT, related_name="open_exposure")
    source_type = models.CharField(max_length=40)
    source_id = models.UUIDField()
    side = models.CharField(max_length=4)
    bucket = models.CharField(max_length=16, choices=Bucket)
    amount = money()
    expires_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = QuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "source_type", "source_id", "bucket"], name="open_exposure_once"
            ),
            models.CheckConstraint(name="open_exposure_not_negative", condition=Q(amount__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.source_type} {self.source_id}: {self.amount}"
