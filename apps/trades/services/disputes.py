"""Differences between the sides: a row beside the trade, which blocks its settlement while it is open."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from apps.trades import capabilities, events
from apps.trades.models import Deadline, Dispute, Lot, Trade
from apps.trades.services import judging, rules, settlement
from apps.trades.services.quality import lot_of
from apps.trades.services.rules import head
from erp import clock
from erp.access import Actor
from erp.errors import SelfApproval
from erp.services import emit, service

_Status, _Kind, _Outcome = Trade.Status, Dispute.Kind, Dispute.Outcome
RUNNING: Final = (_Status.APPROVED, _Status.IN_EXECUTION, _Status.DELIVERED, _Status.SETTLED)
# The deadline after which a claim of a kind comes too late.
CLAIMS: Final = {
    _Kind.QUALITY: Deadline.Kind.QUALITY_CLAIM,
    _Kind.WEIGHT: Deadline.Kind.WEIGHT_CLAIM,
    _Kind.SHORTAGE: Deadline.Kind.WEIGHT_CLAIM,
}
UPHELD: Final = (_Outcome.UPHELD, _Outcome.PART_UPHELD)


@service(
    requires=capabilities.DISPUTE,
    emits=[events.TradeDisputed],
    raises=[
        rules.InvalidState, rules.SnapshotDamaged, rules.NotASide, rules.EvidenceRequired, rules.LotUnknown,
        rules.ClaimTooLate, rules.FileUsed,
    ],
    label="Raise a dispute",
)  # fmt: skip
def create_dispute(
    trade: Trade,
    *,
    actor: Actor,
    kind: str,
    statement: str,
    lot_id: Any = None,
    claimed_amount: Decimal | None = None,
    evidence: Sequence[rules.Evidence] = (),
    on_behalf_of: str | None = None,
) -> Dispute:
    """Raise a difference about quality, weight, delay or payment; claims end with their deadline."""
    rules.require_writable(trade, *RUNNING)
    side, _ = rules.acting_side(trade, actor, on_behalf_of, None, evidenced=False)
    lot: Lot | None = lot_of(trade, lot_id) if lot_id is not None else None
    deadline = CLAIMS.get(_Kind(kind))
    if deadline is not None:
        rows = Deadline.objects.filter(trade=trade, kind=deadline)
        if rows.exists() and not rows.filter(due_date__gte=clock.today()).exists():
            raise rules.ClaimTooLate
    files = [rules.use_file(actor, file) for file in evidence]
    row = Dispute(
        trade=trade,
        lot=lot,
        kind=kind,
        side=side,
        claimed_amount=claimed_amount,
        statement=statement,
        evidence_ids=[file.pk for file in files if file is not None],
        created_by_id=actor.pk,
    )
    row.save()
    rules.touch(trade)
    judging.disputed(actor, trade.pk)
    emit(events.TradeDisputed(**head(trade), dispute_id=row.pk, kind=kind, side=side))
    return row


@service(
    requires=capabilities.RESOLVE_DISPUTE,
    emits=[events.TradeDisputeResolved],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.AwardMissing, rules.AwardAboveClaim, SelfApproval,
        rules.FileUsed, *settlement.ENGINE_ERRORS, *settlement.NUMBER_ERRORS,
    ]),
    lock_via=rules.lock_trade,
    label="Resolve a dispute",
)  # fmt: skip
def resolve_dispute(
    dispute: Dispute,
    *,
    actor: Actor,
    outcome: str,
    reason: str,
    award_amount: Decimal | None = None,
    award_to: str | None = None,
    evidence: rules.Evidence | None = None,
) -> Dispute:
    """Decide a dispute. An award is part of the settlement, or a note of its own where the trade is settled."""
    trade = dispute.trade
    rules.require_writable(trade, *RUNNING)
    if dispute.status != Dispute.Status.OPEN:
        raise rules.InvalidState.of_status(dispute)
    if actor.pk == dispute.created_by_id:
        raise SelfApproval("You raised this dispute, so another person must resolve it.")
    awarded = award_amount is not None and award_to is not None
    if awarded != (outcome in UPHELD) or (award_amount is None) != (award_to is None):
        raise rules.AwardMissing.at("/award_amount", "award", "An award belongs to a claim that is upheld.")
    if awarded and dispute.claimed_amount is not None and award_amount > dispute.claimed_amount:
        raise rules.AwardAboveClaim.at("/award_amount", "too_large", f"{dispute.claimed_amount} was claimed.")
    if outcome == _Outcome.RESETTLE and trade.status != _Status.SETTLED:
        raise rules.InvalidState.of_status(trade)
    dispute.status, dispute.outcome, dispute.resolution = Dispute.Status.RESOLVED, outcome, reason
    dispute.award_amount, dispute.award_to = award_amount, award_to or ""
    dispute.resolved_by_id, dispute.resolved_at = actor.pk, clock.now()
    evidence = rules.use_file(actor, evidence)
    if evidence is not None:
        dispute.evidence_ids = [*dispute.evidence_ids, evidence.pk]
    dispute.save()
    if outcome == _Outcome.RESETTLE:
        settlement.reverse(trade, actor)
    elif awarded and trade.status == _Status.SETTLED:
        settlement.post_award(trade, actor, dispute)
    rules.touch(trade)
    emit(
        events.TradeDisputeResolved(
            **head(trade),
            dispute_id=dispute.pk,
            outcome=outcome,
            award_amount=award_amount,
            award_to=award_to,
        )
    )
    return dispute
