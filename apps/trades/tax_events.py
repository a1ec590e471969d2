"""Events of tax rules, approval bands and openings of TDS positions: for staff alone."""

from typing import Any
from uuid import UUID

from apps.approvals.events import DraftEvents, draft_events
from apps.trades import capabilities
from erp.events import DecimalText


def _drafted(model: str, **members: Any) -> DraftEvents:
    return draft_events(model, reads=capabilities.CONFIGURE, readers={}, pinned="settled", **members)


TAX_RULE = _drafted("trade.TaxRule", code=str, rule_version=int, kind=str)
APPROVAL_BAND = _drafted("trade.ApprovalBand", organization_id=UUID, above_value=DecimalText, approvals=int)
POSITION_OPENING = _drafted(
    "trade.PositionOpening", kind=str, deductor_id=UUID, deductee_id=UUID, financial_year=str
)
