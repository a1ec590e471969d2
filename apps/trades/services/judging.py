"""What the risk rules say of a trade, at its creation and at its approval."""

from decimal import Decimal
from uuid import UUID

from apps.availability.models import Availability, Reservation
from apps.requirement.models import Requirement
from apps.risk.models import RiskAssessment, TradeFact
from apps.risk.models.base import Verdict
from apps.risk.services import assessing, facts
from apps.trades.services.rules import RiskBlocked
from erp.access import Actor

BLOCKING = (Verdict.FAIL, Verdict.REVIEW)


def judge(
    actor: Actor,
    requirement: Requirement,
    offer: Availability,
    reservation: Reservation,
    *,
    weight_kg: Decimal,
    price: Decimal,
    trade_id: UUID | None = None,
    match_id: UUID | None = None,
) -> RiskAssessment:
    """Assess a trade; what is reserved for it doesn't count against the buyer a second time."""
    found: RiskAssessment = assessing.judge(
        actor=actor,
        requirement=requirement,
        availability=offer,
        quantity_kg=weight_kg,
        price=price,
        pricing_unit=offer.pricing_unit,
        currency=offer.currency,
        payment_term=reservation.payment_term or offer.payment_term,
        match_id=match_id,
        reservation_id=reservation.pk,
        trade_id=trade_id,
    )
    return found


def blocked(assessment: RiskAssessment) -> RiskBlocked | None:
    """The refusal of an assessment that fails or waits for a review; rule codes only."""
    if assessment.status not in BLOCKING:
        return None
    stopping = {
        row["code"] for row in assessment.gates if row["outcome"] in BLOCKING and not row["override_id"]
    }
    return RiskBlocked(codes=sorted(stopping))


def disputed(actor: Actor, trade_id: UUID) -> None:
    """Count a dispute in the ratings of the two sides, once the trade is known there."""
    if TradeFact.objects.filter(trade_id=trade_id).exists():
        facts.record_performance(actor=actor, trade_id=trade_id, disputed=True)
