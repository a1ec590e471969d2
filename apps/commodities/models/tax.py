"""HSN codes, HSN mappings of names, and GST rates."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from apps.approvals.models import PublishedByApproval, PublishedByApprovalQuerySet
from apps.commodities.models.base import Simple, SimpleQuerySet, is_staff
from erp.access import Actor
from erp.models import Model, QuerySet
from erp.periods import dates_in_order, no_overlap

HSN_PREFIX = "[0-9]{2,8}"


def prefixes_of(hsn: str) -> list[str]:
    """Return the code and its prefixes of two digits or more, longest first."""
    return [hsn[:digits] for digits in range(len(hsn), 1, -1)]


class HsnCode(Simple):
    """A tariff code: HSN of goods or SAC of services."""

    code = models.CharField(max_length=8, help_text="HSN code of goods or SAC of services, 2 to 8 digits.")
    description = models.CharField(
        max_length=500, help_text="Description in the tariff, 2 to 500 characters."
    )

    objects: ClassVar[Any] = SimpleQuerySet.as_manager()

    class Meta(Simple.Meta):
        verbose_name = "HSN code"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="hsn_code_once"),
            models.CheckConstraint(name="hsn_code_digits", condition=Q(code__regex=f"^{HSN_PREFIX}$")),
        ]

    def __str__(self) -> str:
        return self.code


class HsnMappingQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Only staff see mappings."""
        return self if is_staff(user) else self.none()


class HsnMapping(Model):
    """The HSN code of goods of a name, confirmed by staff."""

    name = models.CharField(max_length=200, help_text="Name of the goods, 2 to 200 characters.")
    name_key = models.CharField(max_length=400, editable=False)
    hsn_code = models.CharField(max_length=8, help_text="HSN code of these goods, 4, 6 or 8 digits.")
    confirmed_by = models.UUIDField(null=True, editable=False)  # null: the product itself
    confirmed_at = models.DateTimeField(editable=False)

    objects: ClassVar[Any] = HsnMappingQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name = "HSN mapping"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name_key"], name="hsn_mapping_name_once"),
            models.CheckConstraint(
                name="hsn_mapping_digits", condition=Q(hsn_code__regex=r"^(\d{4}|\d{6}|\d{8})$")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def mapping_id(self) -> Any:
        """The id, under the name in its event."""
        return self.pk


class TaxRateQuerySet(PublishedByApprovalQuerySet):
    def for_codes(self, codes: Iterable[str]) -> Self:
        """Published rates of these codes or of their prefixes."""
        return self.active().filter(hsn__in={prefix for code in codes for prefix in prefixes_of(code)})


class TaxRate(PublishedByApproval):
    """A GST rate of all goods whose code starts with ``hsn``, under a condition, between two dates."""

    class Condition(models.TextChoices):
        ANY = "ANY", "Any"
        SEED_QUALITY = "SEED_QUALITY", "Seed quality, for sowing"
        NOT_SEED_QUALITY = "NOT_SEED_QUALITY", "Not of seed quality"
        # For retail, at most 25 kg, with the declarations of the Legal Metrology Act 2009.
        PREPACKED = "PREPACKED", "Pre-packaged and labelled"
        NOT_PREPACKED = "NOT_PREPACKED", "Not pre-packaged and labelled"

    KEY: ClassVar = ("hsn", "condition")
    CONTENT: ClassVar = ("hsn", "condition", "rate_percent")

    hsn = models.CharField(
        "HSN or SAC",
        max_length=8,
        help_text="First 2 to 8 digits of the HSN or SAC to which the rate applies.",
    )
    condition = models.CharField(
        max_length=16,
        choices=Condition,
        default=Condition.ANY,
        help_text="Condition on which the rate depends. Default: any.",
    )
    rate_percent = models.DecimalField(
        "GST rate (%)",
        max_digits=9,
        decimal_places=4,
        help_text="GST in percent, 0 to 100, such as 5 for 5 %.",
    )

    objects: ClassVar[Any] = TaxRateQuerySet.as_manager()

    class Meta(PublishedByApproval.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="tax_rate_hsn", condition=Q(hsn__regex=f"^{HSN_PREFIX}$")),
            models.CheckConstraint(name="tax_rate_range", condition=Q(rate_percent__range=(0, 100))),
            dates_in_order("tax_rate_dates"),
            no_overlap("tax_rate_no_overlap", "hsn", "condition", condition=Q(status="PUBLISHED")),
        ]

    def __str__(self) -> str:
        return f"{self.hsn} {self.condition} {self.rate_percent.normalize():f} %"
