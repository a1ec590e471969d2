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
    """A firm, known to every organization of the company alike."""

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
        HUF = "huf"
        PARTNERSHIP = "partnership"
        LLP = "llp"
        PRIVATE_LIMITED = "private_limited"
        PUBLIC_LIMITED = "public_limited"
        TRUST = "trust"
        SOCIETY = "society"
        COOPERATIVE_SOCIETY = "cooperative_society"
        GOVERNMENT = "government"
        FOREIGN_ENTITY = "foreign_entity"

    legal_name = models.CharField(max_length=500)
    trade_name = models.CharField(max_length=500, default="", blank=True)
    legal_form = models.CharField(max_length=20, choices=LegalForm)
    country = models.CharField(max_length=2, default="IN")
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
        """Why the partner may not enter new business now; empty when it may."""
        return [] if self.status == self.Status.ACTIVE else [f"partner_{self.status}"]
