"""Dated rules of tax law, the TDS positions of two partners, and the bands of approval."""

from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q

from apps.approvals.models import PublishedByApproval, PublishedByApprovalQuerySet
from apps.organization.models.identity import Organization
from apps.trades.engine.facts import RowKind
from apps.trades.models.base import StaffQuerySet, money, partner, person
from erp.access import Actor
from erp.models import Model
from erp.periods import dates_in_order, no_overlap

TDS: Final = (RowKind.TDS_GOODS.value, RowKind.TDS_BROKERAGE.value)


class TaxRule(PublishedByApproval):
    """A row of tax law between two dates; a correction is a new row."""

    class Kind(models.TextChoices):
        REVERSE_CHARGE = "REVERSE_CHARGE", "Reverse charge"
        TDS_GOODS = "TDS_GOODS", "TDS on goods"
        TDS_BROKERAGE = "TDS_BROKERAGE", "TDS on brokerage"
        TCS = "TCS", "TCS"
        DUTY = "DUTY"
        NOTE_LIMIT = "NOTE_LIMIT", "Last day for credit notes"
        MSME = "MSME", "Payment to small enterprises"
        BANK_RATE = "BANK_RATE", "Bank rate"
        EWAY = "EWAY", "E-way bill limit"

    KEY: ClassVar = ("code",)
    NUMBER: ClassVar = "rule_version"
    CONTENT: ClassVar = ("code", "kind", "applies", "figures")

    code = models.CharField(max_length=40)
    rule_version = models.PositiveIntegerField(editable=False)
    kind = models.CharField(max_length=14, choices=Kind)
    applies = models.JSONField(
        default=dict, blank=True, help_text="To what: HSN prefix, supplier status, direction."
    )
    figures = models.JSONField(help_text="Rates, thresholds and dates.")
    supersedes = models.OneToOneField(
        "self", models.PROTECT, null=True, editable=False, related_name="superseded_by"
    )
    created_by = person()

    class Meta(PublishedByApproval.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code", "rule_version"], name="tax_rule_version_once"),
            dates_in_order("tax_rule_dates"),
            no_overlap("tax_rule_no_overlap", "code", condition=Q(status="PUBLISHED")),
        ]

    def __str__(self) -> str:
        return f"{self.code} version {self.rule_version}"


class TaxPosition(Model):
    """What counts towards a TDS threshold between two partners in a financial year."""

    kind = models.CharField(max_length=13, choices=[(kind, TaxRule.Kind(kind).label) for kind in TDS])
    deductor = partner()
    deductee = partner()
    financial_year = models.CharField(max_length=7, help_text="Such as 2025-26.")
    opening_amount = money(default=0, help_text="Counted before the first trade here.")
    opening_taxed = money(null=True, help_text="Taxed of it. Empty: what is above the threshold.")
    counted = money(default=0, help_text="Counted by trades.")
    taxed = money(default=0, help_text="Amount on which tax was deducted.")
    liable = models.BooleanField(help_text="Whether the turnover of the year before was above the limit.")
    certificates = models.JSONField(
        default=list, help_text="Certificates for a lower rate, with what is used."
    )
    evidence = models.CharField(max_length=200, default="", blank=True)

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "deductor", "deductee", "financial_year"], name="tax_position_once"
            ),
            models.CheckConstraint(name="tax_position_not_negative", condition=Q(opening_amount__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.financial_year}"


class StaffPublishedQuerySet(PublishedByApprovalQuerySet):
    def visible_to(self, user: Actor) -> Any:
        """Staff only."""
        return self if user.is_system or user.is_superuser or user.is_staff else self.none()


class ApprovalBand(PublishedByApproval):
    """How many people approve trades above a value."""

    KEY: ClassVar = ("organization_id", "above_value")
    CONTENT: ClassVar = ("above_value", "approvals")

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    above_value = money(help_text="In rupees.")
    approvals = models.PositiveSmallIntegerField(help_text="1 or 2.")

    objects: ClassVar[Any] = StaffPublishedQuerySet.as_manager()

    class Meta(PublishedByApproval.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="approval_band_approvals", condition=Q(approvals__in=(1, 2))),
            models.CheckConstraint(name="approval_band_not_negative", condition=Q(above_value__gte=0)),
            dates_in_order("approval_band_dates"),
            no_overlap(
                "approval_band_no_overlap", "organization", "above_value", condition=Q(status="PUBLISHED")
            ),
        ]

    def __str__(self) -> str:
        return f"Above {self.above_value}: {self.approvals}"
