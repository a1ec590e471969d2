"""Shapes of commissions."""

from decimal import Decimal
from typing import Any

from apps.commodities.models import Commission, Commodity, PricingUnit, TradeType
from apps.commodities.serializers.base import rows
from erp.api import fields
from erp.api.serializers import Answer, Input, Output
from erp.api.validators import matches

CURRENCY = matches("[A-Z]{3}", "Send an ISO 4217 currency code, such as INR.")


def share(**kwargs: Any) -> fields.DecimalField:
    """A percentage, or none."""
    options: dict[str, Any] = {"allow_null": True, **(kwargs or {"required": False})}
    return fields.DecimalField(9, 4, min_value=Decimal(0), max_value=Decimal(100), **options)


def money(**kwargs: Any) -> fields.DecimalField:
    """An amount that isn't negative, or none."""
    options: dict[str, Any] = {"allow_null": True, **(kwargs or {"required": False})}
    return fields.DecimalField(18, 2, min_value=Decimal(0), **options)


def bound(**kwargs: Any) -> fields.DecimalField:
    """Where a slab begins or ends: value in the currency, or kg."""
    return fields.DecimalField(18, 3, min_value=Decimal(0), **kwargs)


class CommissionSlabInput(Input):
    """From one value or quantity to another: a percentage of the value, or an amount."""

    vars()["from"] = bound()
    to = bound(allow_null=True, default=None)
    percent = share(default=None)
    amount = money(default=None)


class CommissionSlab(Answer):
    """From one value or quantity to another: a percentage of the value, or an amount."""

    vars()["from"] = fields.DecimalField(18, 3)
    to = fields.DecimalField(18, 3, allow_null=True)
    percent = fields.DecimalField(9, 4, allow_null=True)
    amount = fields.DecimalField(18, 2, allow_null=True)


class UpdateCommissionInput(Input):
    """What PUT takes."""

    name = fields.CharField(min_length=2, max_length=200)
    trade_type_id = fields.RowField(TradeType, source="trade_type", required=False, allow_null=True)
    partner_id = fields.UUIDField(required=False, allow_null=True)
    side = fields.ChoiceField(choices=Commission.Side.choices)
    basis = fields.ChoiceField(choices=Commission.Basis.choices)
    percent = share()
    amount = money()
    currency = fields.CharField(required=False, validators=[CURRENCY])
    pricing_unit_id = fields.RowField(PricingUnit, source="pricing_unit", required=False, allow_null=True)
    slab_by = fields.ChoiceField(choices=Commission.SlabBy.choices, required=False, allow_null=True)
    slab_mode = fields.ChoiceField(choices=Commission.SlabMode.choices, required=False, allow_null=True)
    slabs = rows(CommissionSlabInput)
    min_amount = money()
    max_amount = money()
    valid_from = fields.DateField()
    valid_to = fields.DateField(required=False, allow_null=True)


class CreateCommissionInput(UpdateCommissionInput):
    """POST takes the commodity too, which then stays."""

    commodity_id = fields.RowField(Commodity, source="commodity", required=False, allow_null=True)


class CommissionOutput(Output):
    slabs = CommissionSlab(many=True)

    class Meta:
        model = Commission
        fields = (
            "name",
            "commodity_id",
            "trade_type_id",
            "partner_id",
            "side",
            "basis",
            "percent",
            "amount",
            "currency",
            "pricing_unit_id",
            "slab_by",
            "slab_mode",
            "min_amount",
            "max_amount",
            "valid_from",
            "valid_to",
        )
