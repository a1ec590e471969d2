"""The request for approval of an offer: opened at submission, bound to the version of the terms."""

from collections.abc import Iterable
from uuid import UUID

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.availability import capabilities
from apps.availability.models import Availability
from erp.access import SYSTEM, Actor
from erp.approvals import ApprovalKind


def _authors(request: ApprovalRequest) -> Iterable[UUID]:
    offer = Availability.objects.get(pk=request.subject_id)
    return {person for person in (offer.created_by_id, offer.updated_by_id, *offer.editors) if person}


OFFER = ApprovalKind(
    name="availability.approve",
    title="Offer of goods",
    subject="availability",
    model="availability.Availability",
    capability=capabilities.APPROVE,
    days=None,
    decided_at="module",
    excludes=_authors,
    version_of=lambda offer: int(offer.terms_version),
)


def pending_request(offer: Availability) -> ApprovalRequest | None:
    """The open request about the offer."""
    found: ApprovalRequest | None = (
        ApprovalRequest.objects.pending().filter(kind=OFFER.name, subject_id=offer.pk).first()
    )
    return found


def request_approval(offer: Availability, actor: Actor, reason: str = "was submitted") -> ApprovalRequest:
    """Open the request that ``approve`` decides."""
    price = "–" if offer.unit_price is None else f"{offer.unit_price.normalize():f} {offer.pricing_unit}"
    request: ApprovalRequest = approvals.request(
        actor=actor,
        kind=OFFER,
        subject_id=offer.pk,
        subject_version=offer.terms_version,
        reason=f"Offer {offer.number} {reason}.",
        amount=offer.estimated_value,
        currency="" if offer.estimated_value is None else offer.currency,
        diff=[
            ("number", None, offer.number),
            ("commodity", None, offer.commodity.name),
            ("quantity", None, f"{offer.total_quantity.normalize():f} {offer.unit}"),
            ("price", None, price),
            ("available_from", None, str(offer.available_from_date)),
            ("available_until", None, str(offer.available_until_date or "–")),
        ],
    )
    return request


def withdraw_request(offer: Availability, actor: Actor = SYSTEM) -> None:
    """End the open request, because the offer changed or ended."""
    approvals.mark_stale(actor=actor, row_type=OFFER.subject, row_id=offer.pk)
