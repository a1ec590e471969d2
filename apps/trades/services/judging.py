"""What the risk rules say of a trade, at its creation and at its approval."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from apps.availability.models import Availability, Reservation
from apps.commodities.exact import rounded
from apps.requirement.models import Requirement
from apps.risk.models import RiskAssessment
from apps.risk.models.base import Verdict
from apps.risk.services import assessing, facts
from apps.trades.engine import terms as t
from apps.trades.engine.terms import Side
from apps.trades.models import Trade
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


def created(actor: Actor, trade: Trade, terms: t.Terms, lot_ids: list[UUID]) -> None:
    """Let risk know of a new trade: its price in rupees per kilogram, through the unit that it pins."""
    price = Fraction(trade.price) / terms.unit.k * Fraction(terms.fx_rate)
    facts.fact_created(
        actor=actor, trade_id=trade.pk, buyer=trade.buyer, availability=trade.availability,
        quantity_kg=trade.weight_kg, price=rounded(price, 8), trade_date=trade.trade_date, lot_ids=lot_ids or None,
    )  # fmt: skip


def executed(actor: Actor, trade: Trade) -> None:
    """Let risk know that a trade was approved: from now on it is watched."""
    facts.fact_executed(actor=actor, trade_id=trade.pk)


def cancelled(
    actor: Actor, trade: Trade, defaulter: Side | None, kg: Decimal, amount: Decimal, day: date
) -> None:
    """Let risk know of a cancelled trade; a default after the approval counts as goods or money that never came."""
    facts.fact_cancelled(actor=actor, trade_id=trade.pk)
    if trade.approved_at is None or defaulter is None:
        return
    failed = defaulter is Side.SELLER
    facts.record_performance(
        actor=actor, trade_id=trade.pk, settled_date=day, due_kg=kg if failed else None,
        due_amount=None if failed else amount,
    )  # fmt: skip


def disputed(actor: Actor, trade_id: UUID) -> None:
    """Count a dispute in the ratings of the two sides."""
    facts.record_performance(actor=actor, trade_id=trade_id, disputed=True)
