"""What an offer needs to be complete: terms of the trade, a price quoted per candy, and credit of its buyer."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.commodities.models.units import Unit, UnitDefinition
from apps.partners.models import CreditAccount, CreditLimit, Partner
from erp import clock
from erp.models import unguarded_writes

_DEFINED = {"KG": (1, 1), "QTL": (100, 1), "CANDY": (17781, 50)}


def _row(model: Any, code: str, **values: Any) -> Any:
    return model.objects.get_or_create(
        code=code, defaults={"name": code, "name_key": code.lower(), **values}
    )[0]


def unit(code: str) -> Unit:
    """A unit of weight with its definition."""
    found, _ = Unit.objects.get_or_create(
        code=code, defaults={"dimension": "MASS", "symbol": code.lower(), "name": code}
    )
    if not UnitDefinition.objects.filter(unit=found).exists():
        numerator, denominator = _DEFINED[code]
        UnitDefinition(
            unit=found, unit_version=1, numerator=numerator, denominator=denominator, source="Trade convention",
            valid_from=date(1900, 1, 1), status="PUBLISHED",
        ).save()  # fmt: skip
    return found


def per_candy() -> PricingUnit:
    """Rupees per candy of 355.62 kg."""
    with unguarded_writes():
        unit("KG")
        found, _ = PricingUnit.objects.get_or_create(
            code="INR/CANDY", defaults={"currency": "INR", "unit": unit("CANDY"), "places": 2}
        )
    return found


def terms(advance: int = 100) -> dict[str, Any]:
    """Terms of an offer, ex gin; with the whole price in advance a reservation needs no credit."""
    with unguarded_writes():
        return {
            "delivery_term": _row(
                DeliveryTerms, "EX_GIN", basis="EX_GIN", price_group="EX", risk_passes_at="GIN"
            ),
            "payment_term": _row(
                PaymentTerms, f"ADVANCE_{advance}", advance_percent=advance, balance_days=0, balance_from="INVOICE",
                day_kind="CALENDAR", instrument="TRANSFER", bank_charges_by="BUYER",
            ),
            "passing_term": _row(
                PassingTerms, "SELLER_PASS", place="SELLER_STATION", basis="SAMPLE", final_source="SELLER",
                claim_days=0,
            ),
            "weighment_term": _row(
                WeighmentTerms, "ORIGIN_FINAL", final="ORIGIN", weighbridge="OWN", weight="NET", tare_method="ACTUAL"
            ),
        }  # fmt: skip


def content(quantity: int | Decimal = 100, *, advance: int = 100, **fields: Any) -> dict[str, Any]:
    """What a complete offer says: bales of 170 kg at 53,500 rupees per candy, for a month."""
    today = clock.today()
    return {
        "total_quantity": Decimal(quantity),
        "total_weight_kg": Decimal(quantity) * 170,
        "place": {"address": "Gondal", "country": "IN", "state_code": "GJ"},
        "unit_price": Decimal(53500),
        "pricing_unit": per_candy(),
        "available_from_date": today,
        "available_until_date": today + timedelta(days=30),
        **terms(advance),
        **fields,
    }


def with_credit(partner: Partner, amount: int) -> Partner:
    """The partner with a credit limit from today on."""
    with unguarded_writes():
        account = CreditAccount.objects.get(partner=partner)
        CreditLimit(
            account=account, partner=partner, amount=amount, valid_from=clock.today(), status="approved",
            base_version=1, reason="Payment record.",
        ).save()  # fmt: skip
    return partner
