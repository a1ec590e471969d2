"""Suspension of a partner and its end (partners §4.4, §5.7)."""

from datetime import date

from apps.partners import capabilities, events
from apps.partners.models import Partner
from apps.partners.services import exposure
from apps.partners.services.rules import InvalidState, require_another_person
from erp import clock
from erp.access import Actor
from erp.errors import Conflict
from erp.services import emit, service


class KycExpired(Conflict):
    """KYC must be renewed first."""


@service(
    requires=capabilities.SUSPEND,
    emits=[events.PartnerSuspended, events.ExposureReleased, events.ThresholdCrossed],
    raises=[InvalidState],
    label="Suspend",
)
def suspend(
    partner: Partner, *, actor: Actor, reason_code: str, reason: str, review_date: date | None = None
) -> Partner:
    """Suspend a partner: no new business, no credit, and every hold of its credit is released at once.

    Trades go on; its users still sign in, read, deliver, pay and renew. ``review_date`` reminds, nothing more.
    """
    if partner.status != Partner.Status.ACTIVE:
        raise InvalidState.of_status(partner)
    partner.status = Partner.Status.SUSPENDED
    partner.suspension_code, partner.suspension_reason = reason_code, reason
    partner.suspended_at, partner.suspended_by_id = clock.now(), actor.pk
    partner.review_date = review_date
    partner.save()
    released = exposure.release_all_holds(partner, actor)
    emit(
        events.PartnerSuspended(
            partner_id=partner.pk, reason_code=reason_code, review_date=review_date, holds_released=released
        )
    )
    return partner


@service(
    requires=capabilities.SUSPEND,
    emits=[events.PartnerReactivated],
    raises=[InvalidState, KycExpired],
    label="Reactivate",
)
def reactivate(partner: Partner, *, actor: Actor, reason: str) -> Partner:
    """Reactivate a suspended partner whose KYC is valid.

    Who suspended it for suspected fraud or a sanctions match can't reactivate it.
    """
    if partner.status != Partner.Status.SUSPENDED:
        raise InvalidState.of_status(partner)
    if partner.suspension_code in Partner.GRAVE:
        require_another_person(actor, partner.suspended_by_id)
    if partner.kyc != "valid":
        raise KycExpired
    code = partner.suspension_code or ""
    partner.status = Partner.Status.ACTIVE
    partner.suspension_code = partner.suspension_reason = None
    partner.suspended_at = partner.suspended_by_id = partner.review_date = None
    partner.save()
    emit(events.PartnerReactivated(partner_id=partner.pk, reason_code=code))
    return partner
