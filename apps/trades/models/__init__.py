"""Trades with their terms and parties, their execution, their money, and the tax rules that apply."""

from apps.trades.models.execution import (
    Deadline,
    Delivery,
    DeliveryLine,
    Dispatch,
    DispatchLine,
    Dispute,
    EwayExtension,
    Governing,
    QualityResult,
    QualityValue,
    Weighment,
)
from apps.trades.models.money import (
    LedgerEntry,
    Line,
    Payment,
    PaymentAllocation,
    Settlement,
    TradeDocument,
)
from apps.trades.models.positions import PositionEntry, PositionOpening
from apps.trades.models.tax import ApprovalBand, TaxPosition, TaxRule
from apps.trades.models.trade import (
    Acknowledgement,
    Amendment,
    Approval,
    Lot,
    Party,
    Refusal,
    Terms,
    Trade,
)

__all__ = [
    "Acknowledgement",
    "Amendment",
    "Approval",
    "ApprovalBand",
    "Deadline",
    "Delivery",
    "DeliveryLine",
    "Dispatch",
    "DispatchLine",
    "Dispute",
    "EwayExtension",
    "Governing",
    "LedgerEntry",
    "Line",
    "Lot",
    "Party",
    "Payment",
    "PaymentAllocation",
    "PositionEntry",
    "PositionOpening",
    "QualityResult",
    "QualityValue",
    "Refusal",
    "Settlement",
    "TaxPosition",
    "TaxRule",
    "Terms",
    "Trade",
    "TradeDocument",
    "Weighment",
]
