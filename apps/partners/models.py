"""Firms that the company trades with."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from erp.access import Actor
from erp.models import Model, QuerySet


class PartnerQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Partners on which staff hold the capability; else the user's own firm and single grants."""
        if user.partner_id is None:
            return self.permitted(user, "partner.view")
        return self.filter(pk=user.partner_id) | self.granted(user, "partner.view")


class Partner(Model):
    """A firm, shared by all organizations of the company."""

    trail_personal = ("legal_name", "trade_name")  # of a proprietor: a person's name
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
    country = models.CharField(
        max_length=2, default="IN", help_text="Two-letter ISO 3166-1 code, such as IN. Default IN."
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT)

    objects: ClassVar[Any] = PartnerQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="partner_country_iso", condition=Q(country__regex=r"^[A-Z]{2}$")),
            models.CheckConstraint(name="partner_legal_name_given", condition=~Q(legal_name="")),
        ]

    def __str__(self) -> str:
        return self.trade_name or self.legal_name

    def reasons_against_business(self) -> list[str]:
        """Return why the partner isn't open for new business; empty when it is."""
        return [] if self.status == self.Status.ACTIVE else [f"partner_{self.status}"]
