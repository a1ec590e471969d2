"""One successful request per endpoint of commissions, suggestions and tax."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

from apps.commodities.models.tax import TaxRate
from apps.commodities.services import commissions, tax
from erp.access import SYSTEM
from erp.api.examples import Example
from erp.models import unguarded_writes

SLABS = {
    "name": "Brokerage",
    "side": "SELLER",
    "basis": "SLABS",
    "slab_by": "VALUE",
    "slab_mode": "MARGINAL",
    "slabs": [
        {"from": "0", "to": "1000000", "percent": "0.5", "amount": None},
        {"from": "1000000", "to": None, "percent": "0.25", "amount": None},
    ],
    "currency": "INR",
    "min_amount": "100.00",
    "max_amount": "150000.00",
    "valid_from": "2100-04-01",
    "valid_to": "2101-03-31",
}
DAYS = {"valid_from": date(2100, 4, 1), "valid_to": date(2101, 3, 31)}


def finance(world, target):
    return world.user("INTERNAL_FINANCE")


def keeper(world, target):
    return world.user("INTERNAL_MASTERDATA")


def commodity_of(world, target):
    return str(world.commodity().pk)


def commission(world, viewer=None):
    """Brokerage on a commodity of its own."""
    return commissions.create_commission(actor=SYSTEM, commodity=world.commodity(), **{**SLABS, **DAYS})


def hsn_code(world=None, viewer=None):
    code = str(uuid4().int)[:8]
    return tax.create_hsn_code(actor=SYSTEM, code=code, description="Some goods")


def mapping(world=None, viewer=None):
    return tax.confirm_hsn_mapping(actor=SYSTEM, name=f"Goods {uuid4().hex[:8]}", hsn_code="5201")


def rate(world=None, viewer=None, **fields):
    """Publish a rate, by default of a new code."""
    row = TaxRate(
        **{
            "hsn": str(uuid4().int)[:8],
            "rate_percent": Decimal(5),
            "source": "Notification 1/2017-Central Tax (Rate)",
            "valid_from": date(2017, 7, 1),
            "status": TaxRate.Status.PUBLISHED,
            **fields,
        }
    )
    with unguarded_writes():
        row.save()
    return row


EXAMPLES = {
    "create_commission": Example(
        finance,
        {**SLABS, "commodity_id": commodity_of, "partner_id": lambda world, target: str(world.partner().pk)},
    ),
    "update_commission": Example(finance, {**SLABS, "name": "Brokerage of the season"}, commission),
    "detect_category": Example(keeper, {"name": "Cotton yarn 30s", "description": "Combed, for hosiery."}),
    "suggest_hsn": Example(
        keeper,
        {"name": "Raw cotton", "category": "FIBRE", "origin_country": "IN", "staple_mm": "28.5"},
    ),
    "suggest_parameters": Example(keeper, {"limit": 10}, lambda world: world.commodity()),
}
LISTS = {
    "/api/v1/commissions": ("INTERNAL_FINANCE", commission),
    "/api/v1/hsn-codes": ("BUYER", hsn_code),
    "/api/v1/hsn-mappings": ("INTERNAL_MASTERDATA", mapping),
    "/api/v1/tax-rates": ("BUYER", rate),
}
