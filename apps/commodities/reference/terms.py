"""Terms as the Indian cotton trade and its associations word them; the Incoterms are those of 2020."""

from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]


def _row(code: str, name: str, **figures: Any) -> Row:
    return {"code": code, "name": name, **figures}


def _trade(code: str, name: str, nature: str, market: str = "DOMESTIC", **figures: Any) -> Row:
    return _row(code, name, nature=nature, market=market, **figures)


TRADE_TYPES: Final = (
    _trade("SPOT", "Spot", "SPOT"),
    _trade("READY", "Ready", "SPOT", description="Delivery within 10 days."),
    _trade("FORWARD", "Forward", "FORWARD", needs_delivery_window=True),
    _trade("BASIS", "Basis", "BASIS", needs_delivery_window=True),
    _trade("CONSIGNMENT", "Consignment", "CONSIGNMENT"),
    _trade("JOB_WORK", "Job work", "JOB_WORK"),
    _trade("TRANSFER", "Stock transfer", "TRANSFER"),
    _trade("EXPORT", "Export", "FORWARD", "EXPORT", needs_delivery_window=True),
    _trade("IMPORT", "Import", "FORWARD", "IMPORT", needs_delivery_window=True),
    _trade("HIGH_SEA", "High sea sale", "SPOT", "HIGH_SEA"),
)


def _bargain(code: str, name: str, price_method: str = "FLAT", firmness: str = "FIRM", **figures: Any) -> Row:
    return _row(code, name, price_method=price_method, firmness=firmness, **figures)


BARGAIN_TYPES: Final = (
    _bargain("FIRM", "Firm"),
    _bargain("OPEN", "Open", firmness="OPEN", requires_approval=True),
    _bargain("CLOSED", "Closed (pucca sauda)"),
    _bargain("AUCTION", "Auction"),
    _bargain("REVERSE_AUCTION", "Reverse auction"),
    _bargain("ONCALL_BUYER", "On call, buyer fixes", "ON_CALL_BUYER"),
    _bargain("ONCALL_SELLER", "On call, seller fixes", "ON_CALL_SELLER"),
    _bargain("FORMULA", "By formula", "FORMULA"),
    _bargain("PROVISIONAL", "Provisional price", "PROVISIONAL"),
)


def _passing(code: str, name: str, place: str, basis: str, final_source: str, **figures: Any) -> Row:
    return _row(code, name, place=place, basis=basis, final_source=final_source, **figures)


PASSING_TERMS: Final = (
    _passing("AS_IS", "As is, where is", "SELLER_STATION", "AS_IS", "SELLER", claim_days=0),
    _passing("FAQ", "Fair average quality", "SELLER_STATION", "FAQ", "SELLER"),
    _passing(
        "SELLER_PASS",
        "Seller's station passing",
        "SELLER_STATION",
        "SAMPLE",
        "SELLER",
        claim_days=0,
        description="Passed at the seller's station, and final there.",
    ),
    _passing("MILL_PASS", "Mill passing", "BUYER_MILL", "SAMPLE", "BUYER"),
    _passing(
        "CONTROLLER",
        "Controller's passing",
        "WAREHOUSE",
        "SPECIFICATION",
        "CONTROLLER",
        requires_quality_test=True,
    ),
    _passing("JOINT_SAMPLE", "Joint sample", "WAREHOUSE", "SAMPLE", "LAB", requires_quality_test=True),
    _passing("SPEC", "Specification", "LAB", "SPECIFICATION", "LAB", requires_quality_test=True),
    _passing(
        "LANDED",
        "Landed",
        "PORT",
        "SPECIFICATION",
        "CONTROLLER",
        requires_quality_test=True,
        claim_days=42,
    ),
)


def _weighment(code: str, name: str, final: str, **figures: Any) -> Row:
    usual = {"weighbridge": "OWN", "weight": "NET", "tare_method": "ACTUAL"}
    return _row(code, name, final=final, **{**usual, **figures})


WEIGHMENT_TERMS: Final = (
    _weighment("ORIGIN_FINAL", "Origin final", "ORIGIN"),
    _weighment(
        "ORIGIN_FR025",
        "Origin, franchise 0.25 %",
        "ORIGIN",
        franchise_kind="DEDUCTIBLE",
        franchise_percent=Decimal("0.25"),
    ),
    _weighment(
        "ORIGIN_TH050",
        "Origin, threshold 0.50 %",
        "ORIGIN",
        franchise_kind="THRESHOLD",
        franchise_percent=Decimal("0.5"),
    ),
    _weighment("DEST_FINAL", "Destination final", "DESTINATION"),
    _weighment("AVERAGE", "Average of both", "AVERAGE"),
    _weighment("INDEPENDENT", "Independent weighbridge", "DESTINATION", weighbridge="INDEPENDENT"),
    _weighment("GROSS_FOR_NET", "Gross for net", "ORIGIN", weight="GROSS_FOR_NET"),
)


def _delivery(code: str, name: str, price_group: str, risk_passes_at: str, **figures: Any) -> Row:
    return _row(code, name, basis=code, price_group=price_group, risk_passes_at=risk_passes_at, **figures)


def _incoterm(code: str, name: str, risk_passes_at: str, **figures: Any) -> Row:
    group = "DELIVERED" if figures else "EX"
    return _delivery(code, name, group, risk_passes_at, needs_place=True, **figures)


FREIGHT: Final = {"includes_freight": True}
INSURED: Final = {**FREIGHT, "includes_insurance": True}

DELIVERY_TERMS: Final = (
    _delivery("EX_GIN", "Ex gin", "EX", "GIN"),
    _delivery("EX_WAREHOUSE", "Ex warehouse", "EX", "CARRIER"),
    _delivery("SPOT", "Spot", "EX", "CARRIER"),
    _delivery("FOR_STATION", "Free on rail, station", "EX", "CARRIER", needs_place=True),
    _delivery("FOR_MILL", "Free on road, mill", "DELIVERED", "DESTINATION", needs_place=True, **FREIGHT),
    _delivery("DELIVERED", "Delivered", "DELIVERED", "DESTINATION", needs_place=True, **FREIGHT),
    _incoterm("EXW", "Ex works", "GIN"),
    _incoterm("FCA", "Free carrier", "CARRIER"),
    _incoterm("CPT", "Carriage paid to", "CARRIER", **FREIGHT),
    _incoterm("CIP", "Carriage and insurance paid to", "CARRIER", **INSURED),
    _incoterm("DAP", "Delivered at place", "DESTINATION", **FREIGHT),
    _incoterm("DPU", "Delivered at place unloaded", "DESTINATION", **FREIGHT),
    _incoterm("DDP", "Delivered duty paid", "DESTINATION", **FREIGHT),
    _incoterm("FAS", "Free alongside ship", "PORT"),
    _incoterm("FOB", "Free on board", "PORT"),
    _incoterm("CFR", "Cost and freight", "PORT", **FREIGHT),
    _incoterm("CIF", "Cost, insurance and freight", "PORT", **INSURED),
)


def _payment(code: str, name: str, balance_days: int, **figures: Any) -> Row:
    usual = {
        "balance_from": "INVOICE",
        "day_kind": "CALENDAR",
        "instrument": "TRANSFER",
        "bank_charges_by": "BUYER",
    }
    return _row(code, name, balance_days=balance_days, **{**usual, **figures})


def _documents(code: str, name: str, instrument: str, balance_days: int = 0, **figures: Any) -> Row:
    """Paid through banks against documents; each side bears the charges of its own."""
    terms = {"balance_from": "DOCUMENTS", "instrument": instrument, "bank_charges_by": "SHARED"}
    return _payment(code, name, balance_days, **terms, **figures)


PAYMENT_TERMS: Final = (
    _payment("ADVANCE_100", "All in advance", 0, advance_percent=Decimal(100)),
    _payment("CASH", "Cash", 0, balance_from="DELIVERY"),
    _payment(
        "ADV15_D15",
        "15 % in 2 days, balance in 15",
        15,
        advance_percent=Decimal(15),
        advance_days=2,
        security_percent=Decimal(20),
        carrying_slabs=[
            {"days": 15, "annual_percent": Decimal(15)},
            {"days": 15, "annual_percent": Decimal(18)},
            {"days": None, "annual_percent": Decimal(24)},
        ],
    ),
    _payment("D7", "7 days", 7),
    _payment("D15", "15 days", 15),
    _payment("D30", "30 days", 30),
    _payment("D45", "45 days", 45),
    _documents("LC_SIGHT", "Letter of credit at sight", "LC", lc_kind="SIGHT"),
    _documents("LC_90", "Letter of credit, 90 days", "LC", lc_kind="USANCE", usance_days=90),
    _documents("TT_25_75", "25 % in advance, 75 % by wire", "TT", advance_percent=Decimal(25)),
    _documents("CAD", "Cash against documents", "CAD"),
    _documents("DP", "Documents against payment", "DP"),
    _documents("DA60", "Documents against acceptance, 60 days", "DA", 60),
)
