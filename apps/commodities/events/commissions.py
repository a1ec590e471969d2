"""Events of commissions (internal)."""

from datetime import date
from typing import Literal
from uuid import UUID

from apps.commodities import capabilities
from erp.events import Event, event, rows_of

rows_of("commission", model="commodity.Commission", reads=capabilities.VIEW_COMMISSIONS)


@event("commodity.commission.set", version=1, aggregate=("commission", "commission_id"), readers={})
class CommissionSet(Event):
    commission_id: UUID
    commodity_id: UUID | None
    trade_type_id: UUID | None
    partner_id: UUID | None
    side: str
    basis: str
    valid_from: date
    valid_to: date | None
    change: Literal["created", "updated"]
