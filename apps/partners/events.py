"""What others may learn of partners: ids and status, never names or papers."""

from uuid import UUID

from erp.events import Event, event


@event("partner.registered", version=1, aggregate=("partner", "partner_id"))
class PartnerRegistered(Event):
    partner_id: UUID
    legal_form: str
    country: str
    status: str
