"""Commissions owed by buyers and sellers."""

from collections.abc import Iterable
from datetime import date
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from apps.commodities.models.base import is_staff, name_field, valid_from_field, valid_to_field
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import TradeType
from erp.access import Actor
from erp.columns import CURRENCY, Row, RowsField, within
from erp.models import Model
from erp.periods import DatedQuerySet, dates_in_order, no_overlap


def _or_none(column: str) -> Coalesce:
    """Return a column in which two nulls count as equal."""
    return Coalesce(F(column), Value(UUID(int=0)), output_field=models.UUIDField())


def _optional(help_text: str, max_digits: int, decimal_places: int, *bounds: int) -> Any:
    return models.DecimalField(
        help_text=help_text,
        max_digits=max_digits,
        decimal_places=decimal_places,
        null=True,
        blank=True,
        validators=within(*bounds),
    )


class CommissionSlab(Row):
    """A range of value or quantity with a percentage of the value or an amount."""

    vars()["from"] = models.DecimalField(
        max_digits=18,
        decimal_places=3,
        validators=within(0),
        help_text="Start of the slab, included: value before GST or kilograms. The first slab starts at 0.",
    )
    to = _optional("End of the slab, where the next one starts. Empty in the last slab.", 18, 3, 0)
    percent = _optional("Percent of the value before GST, 0 to 100. Either percent or amount.", 9, 4, 0, 100)
    amount = _optional("Amount for the slab, two decimals. Either percent or amount.", 18, 2, 0)


class CommissionQuerySet(DatedQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Only staff see commissions."""
        return self if is_staff(user) else self.none()

    def for_deal(
        self,
        *,
        side: str,
        on_date: date,
        commodity_id: UUID,
        trade_type_id: UUID | None = None,
        partner_id: UUID | None = None,
    ) -> Self:
        """Commissions that apply to a deal of the side on that date, general ones included."""
        return self.on(on_date).filter(
            Q(commodity=None) | Q(commodity_id=commodity_id),
            Q(trade_type=None) | Q(trade_type_id=trade_type_id),
            Q(partner_id=None) | Q(partner_id=partner_id),
            side=side,
        )


class Commission(Model):
    """The commission of one side, for all deals or those of a commodity, trade type or partner."""

    granted_through = ("commodity",)

    class Side(models.TextChoices):
        BUYER = "BUYER"
        SELLER = "SELLER"

    class Basis(models.TextChoices):
        PERCENT = "PERCENT", "Percent of the value before GST"
        PER_PRICE_UNIT = "PER_PRICE_UNIT", "Amount per pricing unit"
        FIXED = "FIXED", "Fixed amount"
        SLABS = "SLABS"

    class SlabBy(models.TextChoices):
        VALUE = "VALUE", "Value before GST"
        QUANTITY = "QUANTITY", "Quantity in kg"

    class SlabMode(models.TextChoices):
        WHOLE = "WHOLE", "One slab for the whole deal"
        MARGINAL = "MARGINAL", "Each part at its own slab"

    name = name_field()
    commodity = models.ForeignKey(
        Commodity,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="commissions",
        help_text="Commodity to which the commission applies. Empty: all commodities.",
    )
    trade_type = models.ForeignKey(
        TradeType,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Trade type to which the commission applies. Empty: all trade types.",
    )
    # No foreign key: the module of partners depends on this one.
    partner_id = models.UUIDField(
        null=True, blank=True, help_text="Partner to which the commission applies. Empty: all partners."
    )
    side = models.CharField(max_length=6, choices=Side, help_text="Who owes the commission.")
    basis = models.CharField(max_length=14, choices=Basis, help_text="How the commission is calculated.")
    percent = _optional("Percent of the value before GST, 0 to 100. Only for a percentage.", 9, 4)
    amount = _optional("Amount, two decimals. Only for a fixed amount or one per pricing unit.", 18, 2)
    currency = models.CharField(
        max_length=3,
        default="INR",
        validators=[CURRENCY],
        help_text="Currency of the amounts, ISO 4217 code of three letters, such as INR.",
    )
    pricing_unit = models.ForeignKey(
        PricingUnit,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Unit for which the amount is due, such as a candy. Only for an amount per pricing unit.",
    )
    slab_by = models.CharField(  # noqa: DJ001 - no slabs
        "slabs by",
        max_length=8,
        choices=SlabBy,
        null=True,
        blank=True,
        help_text="What the limits of the slabs refer to. Only with slabs.",
    )
    slab_mode = models.CharField(  # noqa: DJ001 - likewise
        "slab method",
        max_length=8,
        choices=SlabMode,
        null=True,
        blank=True,
        help_text="Whether one slab applies to the whole deal, or each part has its own. Only with slabs.",
    )
    slabs = RowsField(
        CommissionSlab, help_text="Commission by value or quantity, without gaps. Only with slabs."
    )
    min_amount = _optional("Minimum amount due per deal, two decimals. Empty: no minimum.", 18, 2)
    max_amount = _optional("Maximum amount due per deal, two decimals. Empty: no maximum.", 18, 2)
    valid_from = valid_from_field()
    valid_to = valid_to_field()

    # Fields that each basis requires; fields of other bases must be empty.
    NEEDS: ClassVar = {
        Basis.PERCENT: ("percent",),
        Basis.PER_PRICE_UNIT: ("amount", "pricing_unit"),
        Basis.FIXED: ("amount",),
        Basis.SLABS: ("slab_by", "slab_mode", "slabs"),
    }

    objects: ClassVar[Any] = CommissionQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="commission_basis",
                condition=Q(
                    basis="PERCENT",
                    percent__isnull=False,
                    amount=None,
                    pricing_unit=None,
                    slab_by=None,
                    slab_mode=None,
                    slabs=[],
                )
                | Q(
                    basis="PER_PRICE_UNIT",
                    percent=None,
                    amount__isnull=False,
                    pricing_unit__isnull=False,
                    slab_by=None,
                    slab_mode=None,
                    slabs=[],
                )
                | Q(
                    basis="FIXED",
                    percent=None,
                    amount__isnull=False,
                    pricing_unit=None,
                    slab_by=None,
                    slab_mode=None,
                    slabs=[],
                )
                | (
                    Q(
                        basis="SLABS",
                        percent=None,
                        amount=None,
                        pricing_unit=None,
                        slab_by__isnull=False,
                        slab_mode__isnull=False,
                    )
                    & ~Q(slabs=[])
                ),
            ),
            models.CheckConstraint(
                name="commission_limits",
                condition=(Q(percent=None) | Q(percent__range=(0, 100)))
                & (Q(amount=None) | Q(amount__gte=0))
                & (Q(min_amount=None) | Q(min_amount__gte=0))
                & (Q(max_amount=None) | Q(max_amount__gte=0))
                & (Q(min_amount=None) | Q(max_amount=None) | Q(min_amount__lte=F("max_amount"))),
            ),
            models.CheckConstraint(name="commission_currency_iso", condition=Q(currency__regex="^[A-Z]{3}$")),
            dates_in_order("commission_dates"),
            no_overlap(
                "commission_no_overlap",
                _or_none("commodity"),
                _or_none("trade_type"),
                _or_none("partner_id"),
                "side",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def change(self) -> str:
        """The change that its last event reports: created or updated."""
        return "created" if self.version == 1 else "updated"

    @property
    def specificity(self) -> int:
        """The weight of its scope: a partner counts 4, a commodity 2, a trade type 1."""
        scope = ((self.partner_id, 4), (self.commodity_id, 2), (self.trade_type_id, 1))
        return sum(weight for part, weight in scope if part is not None)

    @staticmethod
    def most_specific(rows: "Iterable[Commission]") -> "Commission | None":
        """Return the most specific of ``rows``, or None. No two of one scope are effective on one date."""
        return max(rows, key=lambda row: row.specificity, default=None)

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"update"})
