"""Agreement of both sides, and approval by value: one or two people who had no part in the trade."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from uuid import UUID

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.availability.models import Reservation
from apps.organization.models.identity import Organization
from apps.risk.models import RiskAssessment
from apps.risk.models.base import Verdict
from apps.risk.services import assessing
from apps.trades import capabilities, events
from apps.trades.engine import terms as t
from apps.trades.models import Acknowledgement, Amendment, Approval, ApprovalBand, Deadline, Trade
from apps.trades.services import deadlines, effects, judging, rules
from apps.trades.services.rules import head, quantity_of
from apps.trades.services.tax_rules import FIRST_BANDS
from erp import clock
from erp.access import Actor
from erp.approvals import ApprovalKind
from erp.errors import SelfApproval
from erp.services import Refusal, emit, refuse, service

_Status = Trade.Status
WARNED = 2  # people who approve what the risk rules warn about (rulings X20)


def approvals_for(organization: Organization, value: Decimal, day: date) -> int:
    """How many people approve a value: the highest band in force on the trade date that it exceeds."""
    bands = ApprovalBand.objects.active().on(day).filter(organization=organization, above_value__lt=value)
    band = bands.order_by("-above_value").first()
    if band is not None:
        return int(band.approvals)
    return max((needed for above, needed in FIRST_BANDS if value > Decimal(above)), default=1)


def involved(trade: Trade) -> set[UUID]:
    """Everybody who made, changed or acknowledged the trade, or belongs to a party."""
    acknowledged = Acknowledgement.objects.filter(trade=trade).values_list("created_by", flat=True)
    amended = Amendment.objects.filter(trade=trade).values_list("created_by", "decided_by")
    people = {trade.created_by_id, *acknowledged, *(person for row in amended for person in row)}
    return (people | rules.linked_people(trade)) - {None}


def _involved(request: ApprovalRequest) -> Iterable[UUID]:
    return involved(Trade.objects.get(pk=request.subject_id))


def _end_request(trade: Trade, *, actor: Actor, request: ApprovalRequest) -> None:
    """A refused trade is cancelled. Nobody takes the request back while both sides wait: it is asked for again."""
    from apps.trades.services import cancellation

    if request.status == ApprovalRequest.Status.WITHDRAWN and trade.status == _Status.PENDING_APPROVAL:
        request_approval(trade, actor)
    if request.status == ApprovalRequest.Status.REFUSED and trade.status == _Status.PENDING_APPROVAL:
        cancellation.cancel_unfinished(trade, actor=actor, reason_code="NOT_APPROVED")


TRADE = ApprovalKind(
    name="trade.approve",
    title="Trade",
    subject="trade",
    model="trade.Trade",
    capability=capabilities.APPROVE,
    days=None,
    decided_at="module",
    own_reject=False,
    excludes=_involved,
    ended=_end_request,
    version_of=lambda trade: int(trade.terms_version),
)


def pending_request(trade: Trade) -> ApprovalRequest | None:
    """The open request about the trade."""
    found: ApprovalRequest | None = (
        ApprovalRequest.objects.pending().filter(kind=TRADE.name, subject_id=trade.pk).first()
    )
    return found


def request_approval(trade: Trade, actor: Actor) -> None:
    """Open the request that ``approve`` decides, bound to the terms in force."""
    approvals.request(
        actor=actor,
        kind=TRADE,
        subject_id=trade.pk,
        subject_version=trade.terms_version,
        reason=f"Trade {trade.number} was acknowledged by both sides.",
        amount=trade.base_value,
        currency="INR",
        needed=trade.approvals_required,
        excluded=involved(trade),
        maker=trade.created_by,
        diff=[
            ("number", None, trade.number),
            ("terms_version", None, str(trade.terms_version)),
            ("contract_hash", None, trade.contract_hash),
            ("quantity", None, f"{trade.quantity.normalize():f} {trade.availability.unit}"),
            ("contract_value", None, f"{trade.contract_value:f}"),
        ],
    )


@service(
    requires=capabilities.ACKNOWLEDGE,
    emits=[events.TradeAcknowledged],
    raises=[
        rules.InvalidState, rules.SnapshotDamaged, rules.NotASide, rules.EvidenceRequired, rules.ContractChanged,
        rules.AlreadyAcknowledged, rules.FileUsed, SelfApproval, approvals.PendingExists, approvals.ReasonMissing,
    ],
    label="Acknowledge",
)  # fmt: skip
def acknowledge(
    trade: Trade,
    *,
    actor: Actor,
    contract_hash: str,
    on_behalf_of: str | None = None,
    evidence: rules.Evidence | None = None,
) -> Trade:
    """Agree to the terms in force for your side. Staff agree for a side with evidence of its agreement."""
    rules.require_writable(trade, _Status.PENDING_ACKNOWLEDGEMENT)
    side, on_behalf = rules.acting_side(trade, actor, on_behalf_of, evidence)
    if contract_hash != trade.contract_hash:
        raise rules.ContractChanged(terms_version=trade.terms_version)
    given = trade.acknowledgements.filter(terms_version=trade.terms_version)
    if given.filter(role=side).exists():
        raise rules.AlreadyAcknowledged
    if given.filter(created_by_id=actor.pk).exists():
        raise SelfApproval("You agreed for the other side, so another person must act for this one.")
    evidence = rules.use_file(actor, evidence)
    complete = given.exists()
    Acknowledgement(
        trade=trade,
        terms_version=trade.terms_version,
        role=side,
        contract_hash=contract_hash,
        on_behalf=on_behalf,
        evidence=evidence,
        created_by_id=actor.pk,
    ).save()
    rules.touch(trade, status=_Status.PENDING_APPROVAL if complete else trade.status)
    if complete:
        deadlines.close(trade, Deadline.Kind.ACKNOWLEDGE)
        request_approval(trade, actor)
    emit(
        events.TradeAcknowledged(
            **head(trade),
            role=side,
            partner_id=trade.seller_id if side == "SELLER" else trade.buyer_id,
            terms_version=trade.terms_version,
            contract_hash=contract_hash,
            on_behalf=on_behalf,
            complete=complete,
        )
    )
    return trade


def assess(
    trade: Trade, actor: Actor, terms: t.Terms, *, price: Decimal, states: tuple[str, ...]
) -> RiskAssessment:
    """Ask partners' gates and risk about terms. Raises ReservationNotLive, PartnerNotReady."""
    requirement, offer, held = effects.locked(trade)
    if held.trade_id != trade.pk or held.status not in states:
        raise rules.ReservationNotLive
    needed = rules.permissions_of(terms, trade.seller, trade.buyer)
    rules.require_partners(trade.seller, trade.buyer, needed, clock.today())
    return judging.judge(
        actor, requirement, offer, held, weight_kg=terms.weight_kg, price=price, trade_id=trade.pk,
        match_id=trade.source_match_id,
    )  # fmt: skip


@service(
    requires=capabilities.APPROVE,
    emits=[events.TradeApproved, events.TradeApprovalRecorded],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.ApproverRepeated, rules.OnHold, rules.ReservationNotLive,
        rules.PartnerNotReady, rules.RiskBlocked, *effects.ERRORS, *approvals.DECISION_ERRORS,
    ]),
    writes_on_refusal=assessing.WRITES,
    label="Approve",
)  # fmt: skip
def approve(trade: Trade, *, actor: Actor, comment: str = "") -> Trade | Refusal:
    """Approve the terms in force. The last approval needed sells the stock and starts the deadlines."""
    terms = rules.require_writable(trade, _Status.PENDING_APPROVAL)
    request = pending_request(trade)
    if request is None:
        raise rules.InvalidState.of_status(trade)
    if trade.approvals.filter(terms_version=trade.terms_version, created_by_id=actor.pk).exists():
        raise rules.ApproverRepeated
    against = approvals.disabled_reason(request, actor)
    if against is not None:
        raise against
    if trade.hold_code is not None:
        raise rules.OnHold
    if request.given + 1 >= request.needed:
        assessment = assess(trade, actor, terms, price=trade.price, states=(Reservation.Status.IN_TRADE,))
        if (refusal := judging.blocked(assessment)) is not None:
            return refuse(refusal)
        if assessment.status == Verdict.WARN and request.needed < WARNED:
            request = approvals.require_more(request, actor=actor, needed=WARNED)
            trade.approvals_required = WARNED
            trade.save()
    request = approvals.decide(
        request, actor=actor, decision="approve", subject_version=trade.terms_version, note=comment
    )
    Approval(
        trade=trade,
        terms_version=trade.terms_version,
        request_id=request.pk,
        contract_hash=trade.contract_hash,
        comment=comment,
        created_by_id=actor.pk,
    ).save()
    if request.status != ApprovalRequest.Status.GRANTED:
        emit(
            events.TradeApprovalRecorded(
                **head(trade), terms_version=trade.terms_version, given=request.given, required=request.needed
            )
        )
        return trade
    effects.confirm(trade, terms, actor)
    judging.executed(actor, trade)
    rules.touch(trade, status=_Status.APPROVED, approved_at=clock.now())
    deadlines.start(trade, terms, actor)
    emit(
        events.TradeApproved(
            **head(trade),
            terms_version=trade.terms_version,
            contract_hash=trade.contract_hash,
            reservation_id=trade.reservation_id,
            availability_id=trade.availability_id,
            requirement_id=trade.requirement_id,
            quantity=quantity_of(trade, trade.quantity),
            contract_value=trade.contract_value,
            approvals=request.given,
        )
    )
    return trade


@service(requires=capabilities.APPROVE, emits=[events.TradeFlagged], label="Put on hold")
def flag(trade: Trade, *, actor: Actor, hold_code: str | None) -> Trade:
    """Put a live trade on hold while a partner is suspended, or end that. A repeat changes nothing."""
    if trade.status in Trade.LIVE and trade.hold_code != hold_code:
        rules.touch(trade, hold_code=hold_code)
        emit(events.TradeFlagged(**head(trade), hold_code=hold_code))
    return trade
