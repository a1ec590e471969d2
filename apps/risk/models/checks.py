"""Questions to outside providers about partners, and currency rates."""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from apps.partners.models import Partner
from apps.risk.models.base import Appended, StaffModel, StaffQuerySet, person
from erp import clock
from erp.columns import CURRENCY


class ProviderCheckQuerySet(StaffQuerySet):
    def of(self, *partners: Any) -> Self:
        """Checks of partners."""
        return self.filter(partner__in=partners)

    def waiting(self) -> Self:
        """Checks without an answer."""
        return self.filter(status=ProviderCheck.Status.REQUESTED)

    def due(self, now: datetime) -> Self:
        """Checks whose next attempt is due."""
        return self.waiting().filter(next_attempt_at__lte=now)

    def late(self, now: datetime) -> Self:
        """Checks that a person should answer: they have waited a quarter of an hour."""
        return self.waiting().filter(requested_at__lte=now - ProviderCheck.LATE)

    def valid(self, now: datetime) -> Self:
        """Answers that can be used now."""
        answered = (ProviderCheck.Status.ANSWERED, ProviderCheck.Status.BY_HAND)
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=now), status__in=answered)

    def over(self, now: datetime) -> Self:
        """Answers that have lapsed by age."""
        answered = (ProviderCheck.Status.ANSWERED, ProviderCheck.Status.BY_HAND)
        return self.filter(status__in=answered, valid_until__lte=now)


class ProviderCheck(StaffModel):
    """A question about a partner, and what the provider or a person answered."""

    class Kind(models.TextChoices):
        CREDIT_BUREAU = "CREDIT_BUREAU", "Credit bureau"
        SCREENING = "SCREENING"

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED"
        ANSWERED = "ANSWERED"
        BY_HAND = "BY_HAND", "Answered by hand"
        LAPSED = "LAPSED"

    class Grade(models.TextChoices):
        A = "A"
        B = "B"
        C = "C"
        D = "D"

    LATE: ClassVar = timedelta(minutes=15)

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=13, choices=Kind)
    status = models.CharField(max_length=9, choices=Status, default=Status.REQUESTED)
    grade = models.CharField(max_length=1, choices=Grade, null=True)  # noqa: DJ001 - no answer yet
    requested_at = models.DateTimeField(default=clock.now)
    as_of = models.DateField(null=True, help_text="Day of the provider's data.")
    valid_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    reference = models.CharField(max_length=100, default="", blank=True)
    reason = models.CharField(
        max_length=1000, default="", blank=True, help_text="Why, for an answer by hand."
    )
    evidence_upload_id = models.UUIDField("evidence", null=True)
    answered_by = person("Who answered by hand.")

    objects: ClassVar[Any] = ProviderCheckQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "kind"], condition=Q(status="REQUESTED"), name="provider_check_one_open"
            ),
            models.UniqueConstraint(
                fields=["partner"], condition=Q(kind="SCREENING"), name="provider_check_one_screening"
            ),
            models.CheckConstraint(
                name="provider_check_bureau_has_grade",
                condition=~Q(kind="CREDIT_BUREAU", status__in=["ANSWERED", "BY_HAND"])
                | Q(grade__isnull=False),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["partner", "kind", "-created_at"], name="provider_check_newest"),
            models.Index(
                fields=["next_attempt_at"], condition=Q(status="REQUESTED"), name="provider_check_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.partner}"

    def open_verbs(self) -> frozenset[str]:
        is_open = self.status == self.Status.REQUESTED and self.kind == self.Kind.CREDIT_BUREAU
        return frozenset({"answer_by_hand"}) if is_open else frozenset()


class CurrencyRateQuerySet(StaffQuerySet):
    def newest_on(self, currency: str, day: date) -> Self:
        """The rate of a currency that counts on a day: of the newest date, the row entered last."""
        return self.filter(currency=currency, date__lte=day).order_by("-date", "-id")


class CurrencyRate(Appended):
    """INR per unit of a currency on a day. A correction is a newer row."""

    currency = models.CharField(max_length=3, validators=[CURRENCY], help_text="ISO 4217 code, such as USD.")
    date = models.DateField()
    rate = models.DecimalField("INR per unit", max_digits=18, decimal_places=8)
    source = models.CharField(max_length=60, help_text="Where the rate is from, such as RBI.")
    entered_by = person("Who entered it.")

    objects: ClassVar[Any] = CurrencyRateQuerySet.as_manager()

    class Meta(Appended.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="currency_rate_positive", condition=Q(rate__gt=0)),
        ]
        indexes: ClassVar = [models.Index(fields=["currency", "-date", "-id"], name="currency_rate_newest")]

    def __str__(self) -> str:
        return f"{self.currency} {self.date:%d %b %Y}"
