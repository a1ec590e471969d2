"""Services of partners."""

from apps.partners import capabilities, events
from apps.partners.models import Partner
from erp.access import Actor
from erp.errors import Forbidden
from erp.services import emit, service


class StaffOnly(Forbidden):
    """Only staff may do this."""


@service(requires=capabilities.CREATE, emits=[events.PartnerRegistered], raises=[StaffOnly])
def register(
    *, actor: Actor, legal_name: str, legal_form: str, trade_name: str = "", country: str = "IN"
) -> Partner:
    """Register a firm that the company already trades with, as an active partner."""
    if not (actor.is_staff or actor.is_system):
        raise StaffOnly("Only staff can register a partner. A new firm applies through onboarding.")
    partner = Partner(
        legal_name=legal_name,
        trade_name=trade_name,
        legal_form=legal_form,
        country=country,
        status=Partner.Status.ACTIVE,
    )
    partner.save()
    emit(
        events.PartnerRegistered(
            partner_id=partner.pk, legal_form=legal_form, country=country, status=partner.status
        )
    )
    return partner
