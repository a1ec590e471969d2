"""How TDS positions move, and their openings."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from apps.approvals.models import PublishedByApproval
from apps.trades.models.base import Recorded, StaffQuerySet, money, partner
from apps.trades.models.money import Payment, Settlement
from apps.trades.models.tax import TDS, StaffPublishedQuerySet, TaxPosition, TaxRule
from apps.trades.models.trade import Trade
from erp.periods import dates_in_order, no_overlap


class PositionEntry(Recorded):
    """What a payment or a document added to a TDS position. Never changed; a reversal names it."""

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="position_entries")
    position = models.ForeignKey(TaxPosition, models.PROTECT, related_name="entries")
    settlement = models.ForeignKey(Settlement, models.PROTECT, null=True, related_name="position_entries")
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="position_entries")
    document = models.CharField(max_length=200, default="", blank=True, help_text="Key of the document.")
    counted = money(help_text="What counts towards the threshold.")
    taxed = money(help_text="On what tax was deducted.")
    certificates = models.JSONField(default=dict, help_text="Used of each certificate, by its number.")
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    class Meta(Recorded.Meta):
        verbose_name_plural = "position entries"
        indexes: ClassVar = [models.Index(fields=["position", "id"], name="position_entry_of")]

    def __str__(self) -> str:
        return f"{self.position}: {self.counted}"


class PositionOpening(PublishedByApproval):
    """What a TDS position starts from: counted before the first trade here, liability, certificates."""

    KEY: ClassVar = ("kind", "deductor_id", "deductee_id", "financial_year")
    CONTENT: ClassVar = (
        "kind", "deductor", "deductee", "financial_year", "opening_amount", "opening_taxed", "liable",
        "certificates",
    )  # fmt: skip

    kind = models.CharField(max_length=13, choices=[(kind, TaxRule.Kind(kind).label) for kind in TDS])
    deductor = partner(help_text="Who deducts: the buyer, or who pays the broker.")
    deductee = partner(help_text="From whom it is deducted: the seller or the broker.")
    financial_year = models.CharField(max_length=7, help_text="Such as 2025-26.")
    opening_amount = money(default=0, help_text="Counted before the first trade here.")
    opening_taxed = money(null=True, blank=True, help_text="Taxed of it. Empty: what is above the threshold.")
    liable = models.BooleanField(
        default=False, help_text="Whether the deductor's turnover of the year before was above the limit."
    )
    certificates = models.JSONField(
        default=list,
        blank=True,
        help_text="Certificates for a lower rate: number, rate_percent, valid_from, valid_to, limit, section.",
    )

    objects: ClassVar[Any] = StaffPublishedQuerySet.as_manager()

    class Meta(PublishedByApproval.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="position_opening_amounts",
                condition=Q(opening_amount__gte=0) & (Q(opening_taxed=None) | Q(opening_taxed__gte=0)),
            ),
            models.CheckConstraint(name="position_opening_two_partners", condition=~Q(deductor=F("deductee"))),
            models.CheckConstraint(
                name="position_opening_year", condition=Q(financial_year__regex=r"^20\d\d-\d\d$")
            ),
            dates_in_order("position_opening_dates"),
            no_overlap(
                "position_opening_no_overlap", "kind", "deductor", "deductee", "financial_year",
                condition=Q(status="PUBLISHED"),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.financial_year}"
