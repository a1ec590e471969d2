"""Shapes of the six lists of terms."""

from decimal import Decimal
from typing import Any, NamedTuple

from apps.commodities.models import (
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    Terms,
    TradeType,
    WeighmentTerms,
)
from apps.commodities.serializers.base import CODE, SimpleStatus, rows
from erp.api import fields
from erp.api.serializers import Answer, Input, Output


def choice(choices: Any, **kwargs: Any) -> fields.ChoiceField:
    """One of the values of an enumeration."""
    return fields.ChoiceField(choices=choices.choices, **kwargs)


def optional_flag() -> fields.BooleanField:
    """Yes or no; no when left out."""
    return fields.BooleanField(required=False)


def whole(low: int, high: int, **kwargs: Any) -> fields.IntegerField:
    """A whole number within bounds."""
    return fields.IntegerField(min_value=low, max_value=high, **{"required": False, **kwargs})


def percent(low: int, high: int, **kwargs: Any) -> fields.DecimalField:
    """A percentage within bounds."""
    return fields.DecimalField(
        9, 4, min_value=Decimal(low), max_value=Decimal(high), **{"required": False, **kwargs}
    )


class SlabInput(Input):
    """So many days at so many percent a year."""

    days = whole(1, 365, required=True, allow_null=True)
    annual_percent = percent(0, 60, required=True)


class Slab(Answer):
    """So many days at so many percent a year; without days: all that follow."""

    days = fields.IntegerField(allow_null=True)
    annual_percent = fields.DecimalField(9, 4)


class TermsFields(Input):
    """What POST and PUT of all lists share."""

    name = fields.CharField(min_length=2, max_length=200)
    description = fields.CharField(max_length=500, required=False, allow_blank=True)
    sort_order = whole(0, 9999)


class TermsCode(Input):
    """What POST alone takes."""

    code = fields.CharField(validators=[CODE])


class TradeTypeFields(TermsFields):
    nature = choice(TradeType.Nature)
    market = choice(TradeType.Market)
    needs_delivery_window = optional_flag()


class BargainTypeFields(TermsFields):
    price_method = choice(BargainType.PriceMethod)
    firmness = choice(BargainType.Firmness)
    requires_approval = optional_flag()


class PassingTermsFields(TermsFields):
    place = choice(PassingTerms.Place)
    basis = choice(PassingTerms.Basis)
    final_source = choice(PassingTerms.FinalSource)
    requires_quality_test = optional_flag()
    bales_per_sample = whole(1, 100)
    claim_days = whole(0, 60)


class WeighmentTermsFields(TermsFields):
    final = choice(WeighmentTerms.Final)
    weighbridge = choice(WeighmentTerms.Weighbridge)
    weight = choice(WeighmentTerms.Weight)
    tare_method = choice(WeighmentTerms.TareMethod)
    tare_value = fields.DecimalField(18, 6, min_value=Decimal(0), required=False, allow_null=True)
    deduction_percent = percent(0, 100)
    franchise_kind = choice(WeighmentTerms.FranchiseKind, required=False)
    franchise_percent = percent(0, 5, allow_null=True)
    claim_days = whole(0, 60)


class DeliveryTermsFields(TermsFields):
    basis = choice(DeliveryTerms.Basis)
    price_group = choice(DeliveryTerms.PriceGroup)
    includes_freight = optional_flag()
    includes_insurance = optional_flag()
    insurance_percent = percent(100, 150)
    risk_passes_at = choice(DeliveryTerms.RiskPassesAt)
    free_days = whole(0, 120)
    late_slabs = rows(SlabInput)
    needs_place = optional_flag()


class PaymentTermsFields(TermsFields):
    advance_percent = percent(0, 100)
    advance_days = whole(0, 90)
    balance_days = whole(0, 365, required=True)
    balance_from = choice(PaymentTerms.BalanceFrom)
    day_kind = choice(PaymentTerms.DayKind)
    instrument = choice(PaymentTerms.Instrument)
    lc_kind = choice(PaymentTerms.LcKind, required=False, allow_null=True)
    usance_days = whole(1, 360, allow_null=True)
    bank_charges_by = choice(PaymentTerms.BankChargesBy)
    security_percent = percent(0, 100)
    carrying_slabs = rows(SlabInput)
    carrying_tax = choice(PaymentTerms.CarryingTax, required=False)


class Shapes(NamedTuple):
    """The shapes of one list."""

    create: type[Input]
    update: type[Input]
    output: type[Output]


def _shapes(model: type[Terms], fields: type[TermsFields], **computed: Any) -> Shapes:
    """POST takes the fields and the code, PUT the fields and the status; an answer shows them all."""
    name, said = model.__name__, model.said()
    meta = type("Meta", (), {"model": model, "fields": said})
    lists = {field: Slab(many=True) for field in said if field.endswith("_slabs")}
    return Shapes(
        type(f"Create{name}Input", (TermsCode, fields), {}),
        type(f"Update{name}Input", (fields, SimpleStatus), {}),
        type(f"{name}Output", (Output,), {"Meta": meta, **lists, **computed}),
    )


TRADE_TYPE = _shapes(TradeType, TradeTypeFields)
BARGAIN_TYPE = _shapes(BargainType, BargainTypeFields)
PASSING_TERMS = _shapes(PassingTerms, PassingTermsFields)
WEIGHMENT_TERMS = _shapes(WeighmentTerms, WeighmentTermsFields)
DELIVERY_TERMS = _shapes(DeliveryTerms, DeliveryTermsFields)
PAYMENT_TERMS = _shapes(PaymentTerms, PaymentTermsFields, over_msme_limit=fields.BooleanField(read_only=True))
