"""Corrections of a file before it is decided: what was added by mistake is taken out again."""

from typing import Any, Final
from uuid import UUID

from apps.partners import capabilities, events
from apps.partners.models import (
    OnboardingRound,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartnerLocation,
    Vehicle,
)
from apps.partners.services.onboarding import require_editable
from apps.partners.services.rules import InvalidState, lock_partner_of, touch
from erp import access
from erp.access import Actor
from erp.errors import FieldError, Invalid
from erp.services import emit, service

_PARTS: Final[dict[str, tuple[Any, access.Capability]]] = {
    "location": (PartnerLocation, capabilities.CREATE),
    "vehicle": (Vehicle, capabilities.CREATE),
    "bank_account": (PartnerBankAccount, capabilities.MANAGE_BANK_ACCOUNTS),
    "employee": (PartnerEmployee, capabilities.MANAGE_EMPLOYEES),
}


@service(
    requires=capabilities.CREATE,
    emits=[events.PartRemoved],
    raises=[InvalidState],
    lock_via=lock_partner_of,
    label="Remove part",
)
def remove_part(round: OnboardingRound, *, actor: Actor, target: str, target_id: UUID) -> OnboardingRound:
    """Take a place, vehicle, bank account or planned person out of an application, with the papers about it."""
    require_editable(round)
    if round.kind != OnboardingRound.Kind.ONBOARDING:
        raise InvalidState.of_status(round, "Parts of an approved partner change by an amendment.")
    model, capability = _PARTS[target]
    access.authorize(actor, capability, round.partner)
    row = model.objects.filter(partner=round.partner_id, pk=target_id).first()
    if row is None:
        raise Invalid(errors=[FieldError("/target_id", "does_not_exist", "The partner has no such row.")])
    if getattr(row, "verified_at", None) is not None:
        raise InvalidState.of_status(round, "This bank account is verified.")
    for paper in PartnerDocument.objects.filter(
        partner=round.partner_id, target_id=row.pk, status__in=["uploaded", "verified"]
    ):
        paper.status = PartnerDocument.Status.SUPERSEDED
        paper.save()
    row.delete()
    registration = getattr(row, "tax_registration", None)
    if registration is not None and not registration.is_main and not registration.locations.exists():
        registration.delete()
    touch(round.partner, actor, round)
    emit(
        events.PartRemoved(partner_id=round.partner_id, round_id=round.pk, target=target, target_id=target_id)
    )
    return round
