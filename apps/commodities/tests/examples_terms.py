"""One successful request per endpoint of the six lists of terms."""

from erp.api import lists
from erp.reference import lists_of

BODIES = {
    "trade-types": {
        "name": "Forward",
        "description": "Delivery in a window that is agreed.",
        "nature": "FORWARD",
        "market": "DOMESTIC",
        "needs_delivery_window": True,
        "sort_order": 20,
    },
    "bargain-types": {"name": "Open", "price_method": "FLAT", "firmness": "OPEN", "requires_approval": True},
    "passing-terms": {
        "name": "Mill passing",
        "place": "BUYER_MILL",
        "basis": "SAMPLE",
        "final_source": "BUYER",
        "requires_quality_test": True,
        "bales_per_sample": 10,
        "claim_days": 5,
    },
    "weighment-terms": {
        "name": "Origin, franchise 0.25 %",
        "final": "ORIGIN",
        "weighbridge": "INDEPENDENT",
        "weight": "NET",
        "tare_method": "PER_PACKAGE",
        "tare_value": "1.25",
        "deduction_percent": "0.5",
        "franchise_kind": "DEDUCTIBLE",
        "franchise_percent": "0.25",
        "claim_days": 3,
    },
    "delivery-terms": {
        "name": "Cost, insurance and freight",
        "basis": "CIF",
        "price_group": "DELIVERED",
        "includes_freight": True,
        "includes_insurance": True,
        "insurance_percent": "110",
        "risk_passes_at": "PORT",
        "free_days": 10,
        "late_slabs": [{"days": None, "annual_percent": "18"}],
        "needs_place": True,
    },
    "payment-terms": {
        "name": "15 % in 2 days, balance in 15",
        "advance_percent": "15",
        "advance_days": 2,
        "balance_days": 15,
        "balance_from": "INVOICE",
        "day_kind": "CALENDAR",
        "instrument": "LC",
        "lc_kind": "USANCE",
        "usance_days": 90,
        "bank_charges_by": "SHARED",
        "security_percent": "20",
        "carrying_slabs": [
            {"days": 15, "annual_percent": "15"},
            {"days": None, "annual_percent": "24"},
        ],
        "carrying_tax": "AS_GOODS",
    },
}


DECLARED = {declared.path: declared for declared in lists_of("commodity")}


def row(kind):
    """A row of the list, with a code and a name of its own."""
    return lists.make_row(DECLARED[kind], BODIES[kind])


EXAMPLES, LISTS = lists.examples_of("commodity", BODIES)
