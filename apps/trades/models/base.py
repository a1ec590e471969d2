"""Columns and bases that the models of this module share."""

from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.trades.engine.terms import Role
from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.labels import label_of
from erp.models import Guarded, Model, QuerySet

SIDES: Final = (Role.SELLER.value, Role.BUYER.value)
BROKERS: Final = (Role.BROKER_SELLER.value, Role.BROKER_BUYER.value)


def choices_of(names: type[StrEnum]) -> list[tuple[str, str]]:
    """The choices of a column whose values are those of the engine."""
    return [(each.value, label_of(each.value.lower())) for each in names]


def chosen(names: type[StrEnum], **kwargs: Any) -> Any:
    """A column with a value of the engine."""
    longest = max(len(each.value) for each in names)
    return models.CharField(max_length=longest, choices=choices_of(names), **kwargs)


def kilograms(**kwargs: Any) -> Any:
    """A weight: numeric(18,3)."""
    return models.DecimalField(max_digits=18, decimal_places=3, **kwargs)


def money(**kwargs: Any) -> Any:
    """An amount of money: numeric(18,2)."""
    return models.DecimalField(max_digits=18, decimal_places=2, **kwargs)


def rate(**kwargs: Any) -> Any:
    """A price or rate: numeric(18,6)."""
    return models.DecimalField(max_digits=18, decimal_places=6, **kwargs)


def person(**kwargs: Any) -> Any:
    """A reference to a user; null: SYSTEM."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False, **kwargs
    )


def upload(help_text: str, **kwargs: Any) -> Any:
    """A reference to an uploaded file."""
    return models.ForeignKey(
        "upload.StoredFile",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=help_text,
        **kwargs,
    )


def partner(**kwargs: Any) -> Any:
    """A reference to a partner."""
    return models.ForeignKey("partner.Partner", models.PROTECT, related_name="+", **kwargs)


class OfTradeQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see all rows, the two sides those of their trades, others what the model says."""
        if user.is_system or user.is_superuser or user.is_staff:
            return self
        granted, own = self.granted(user, "trade.view"), user.partner_id
        if own is None:
            return granted
        from apps.trades.models.trade import Party

        roles = Party.objects.filter(partner_id=own)
        seen = Q(trade__in=roles.filter(role__in=(*SIDES, *self.model.shown_to)).values("trade"))
        for path in self.model.own_records:
            seen |= Q(**{path: own})
        return granted | self.filter(seen)


class StaffQuerySet(OfTradeQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff only."""
        return self if user.is_system or user.is_superuser or user.is_staff else self.none()


class OfTrade(Guarded):
    """A row of a trade. ``shown_to``: roles beside the two sides that see all rows of the trade.

    ``own_records``: paths to the partner that sees a row as its own, whatever its role.
    """

    granted_through = ("trade",)
    shown_to: ClassVar[tuple[str, ...]] = ()
    own_records: ClassVar[tuple[str, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    trade = models.ForeignKey("trade.Trade", models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = person()

    objects: ClassVar[Any] = OfTradeQuerySet.as_manager()

    class Meta(Guarded.Meta):
        abstract = True

    @classmethod
    def owned_by(cls, actor: Actor) -> Q:
        """Rows of trades in which the actor's partner has a role; which of them it sees ``visible_to`` says."""
        from apps.trades.models.trade import Trade

        return Q(trade__in=Trade.objects.filter(Trade.owned_by(actor)).values("pk"))

    def belongs_to(self, user: Actor) -> bool:
        """Whether the user's partner has a role in the trade."""
        return bool(self.trade.belongs_to(user))


class Recorded(OfTrade):
    """A row of a trade that is never changed: a trigger refuses UPDATE, DELETE and TRUNCATE."""

    class Meta(OfTrade.Meta):
        abstract = True


class Changing(OfTrade, Model):
    """A row of a trade that changes, with a version."""

    objects: ClassVar[Any] = OfTradeQuerySet.as_manager()

    class Meta(OfTrade.Meta):
        abstract = True
