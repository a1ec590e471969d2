"""Erasure of applications that led to nothing: the firm, its people, papers and numbers."""

from typing import Final
from uuid import UUID

from apps.approvals import services as approvals
from apps.partners import capabilities, events
from apps.partners.models import (
    IdentifierKey,
    InformationItem,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartnerLocation,
    PartnerOwner,
    PartyLink,
    TaxRegistration,
    Vehicle,
)
from erp import clock, retention
from erp.access import Actor
from erp.services import emit, service
from erp.uploads import services as uploads

PARTS: Final = (  # what refers to others first
    InformationItem, KycCheck, PartnerBankAccount, PartnerLocation, Vehicle, PartnerEmployee, PartnerOwner,
    TaxRegistration, IdentifierKey,
)  # fmt: skip
_PAN: Final = ("pan_hash",)


@service(requires=capabilities.OPERATE, emits=[events.PartnerErased])
def erase_application(partner: Partner, *, actor: Actor) -> Partner:
    """Erase an application that ended long enough ago, with all that belongs to it.

    After forged papers or sanctions the hash of the PAN stays, so that the firm is recognised.
    """
    if not Partner.objects.erasable(clock.now()).filter(pk=partner.pk).exists():
        return partner
    approvals.erase(actor=actor, subject_ids=_subjects(partner))
    for paper in PartnerDocument.objects.filter(partner=partner).order_by("-revision", "-id"):
        file = paper.file
        retention.erase(paper)
        uploads.erase(file, actor=actor)
    for model in PARTS:
        for row in model.objects.filter(partner=partner):
            retention.erase(row)
    rounds = list(OnboardingRound.objects.filter(partner=partner))
    for round in rounds:
        retention.erase(round)
    grave = any(round.reason_code in OnboardingRound.FINAL for round in rounds)
    partner.erased_at = clock.now()
    retention.erase(partner, keep=_PAN if grave else ())
    emit(events.PartnerErased(partner_id=partner.pk, is_recognised=grave))
    return partner


def _subjects(partner: Partner) -> set[UUID]:
    """The partner and all that belongs to it, about which somebody may have been asked."""
    parts = (PartnerDocument, OnboardingRound, *PARTS)
    own = {pk for model in parts for pk in model.objects.filter(partner=partner).values_list("pk", flat=True)}
    return own.union([partner.pk], PartyLink.objects.of(partner.pk).values_list("pk", flat=True))


@service(requires=capabilities.OPERATE, emits=[events.PartnerErased])
def forget_pan(partner: Partner, *, actor: Actor) -> Partner:
    """Erase the hash of the PAN of a firm that was refused for forged papers or sanctions."""
    if Partner.objects.forgettable(clock.now()).filter(pk=partner.pk).exists():
        partner.pan_hash = None
        partner.save()
        emit(events.PartnerErased(partner_id=partner.pk, is_recognised=False))
    return partner
