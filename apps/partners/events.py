"""Events of partners: they carry ids and status, never names or documents."""

from uuid import UUID

from apps.partners import capabilities
from erp.events import ALL, Event, event, rows_of

rows_of("partner", model="partner.Partner", reads=capabilities.VIEW)


@event("partner.registered", version=1, aggregate=("partner", "partner_id"), readers={"partner_id": ALL})
class PartnerRegistered(Event):
    partner_id: UUID
    legal_form: str
    country: str
    status: str
