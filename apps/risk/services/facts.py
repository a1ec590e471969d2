"""Facts of trades: what was traded, how it was performed, and the ratings that follow (risk §5.3, §5.5).

Trades calls these services in its own transactions; what follows (surveillance, ratings) is done by handlers.
"""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q

from apps.availability.models import Availability, Lot, QualityValue
from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner, Scorecard
from apps.partners.services import kyc
from apps.risk import capabilities, engine, events
from apps.risk.models import PairBlock, TradeFact, ordered
from apps.risk.policy import PolicyBody
from apps.risk.services import surveillance
from apps.risk.services.gathering import Reader
from apps.risk.services.policies import policy_for
from erp import clock, locks
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.services import emit, service

_Stage = TradeFact.Stage


class FactUnknown(Conflict):
    """Risk has no fact of this trade."""


class FactContradicts(RuleBroken):
    """What was performed exceeds what was due."""

    constraints = ("trade_fact_parts_within",)


def bucket_of(offer: Availability, body: PolicyBody) -> str | None:
    """The quality of goods in steps, of the governing values of the offer; None where one is missing."""
    rows = QualityValue.objects.filter(
        availability=offer, governing=True, lot=None, parameter__code__in=body.bucket_steps
    )
    values = dict(rows.filter(value_number__isnull=False).values_list("parameter__code", "value_number"))
    if not body.bucket_steps or values.keys() != body.bucket_steps.keys():
        return None
    steps = (
        (code, Fraction(values[code]) / Fraction(step)) for code, step in sorted(body.bucket_steps.items())
    )
    return ";".join(f"{code}:{steps_ // 1}" for code, steps_ in steps)


def pr_ranges_of(offer: Availability, lot_ids: list[UUID] | None = None) -> list[str]:
    """Press-running numbers of the lots of a trade: mark, crop year, first and last, between bars."""
    lots = Lot.objects.filter(availability=offer, pr_from__isnull=False)
    if lot_ids is not None:
        lots = lots.filter(pk__in=lot_ids)
    return [f"{lot.press_mark}|{lot.crop_year}|{lot.pr_from}|{lot.pr_to}" for lot in lots.order_by("pr_from")]


def _locked(trade_id: UUID) -> TradeFact:
    fact: TradeFact | None = TradeFact.objects.locked().filter(trade_id=trade_id).first()
    if fact is None:
        raise FactUnknown
    return fact


def _report(fact: TradeFact) -> None:
    emit(events.RiskFactRecorded(trade_id=fact.trade_id, stage=fact.stage))


@service(requires=capabilities.ASSESS, emits=[events.RiskFactRecorded, events.RiskPolicyChanged])
def fact_created(
    *,
    actor: Actor,
    trade_id: UUID,
    buyer: Partner,
    availability: Availability,
    quantity_kg: Decimal,
    price: Decimal,
    trade_date: date,
    lot_ids: list[UUID] | None = None,
) -> TradeFact:
    """Note that a trade was created; a repeat changes nothing. ``price`` in INR per kg, through the pinned unit."""
    locks.hold(f"risk.fact:{trade_id}")
    known: TradeFact | None = TradeFact.objects.filter(trade_id=trade_id).first()
    if known is not None:
        return known
    body = policy_for(availability.commodity_id).content
    fact = TradeFact(
        trade_id=trade_id,
        buyer=buyer,
        seller_id=availability.seller_partner_id,
        commodity_id=availability.commodity_id,
        bucket=bucket_of(availability, body),
        quantity_kg=quantity_kg,
        price=price,
        trade_date=trade_date,
        pr_ranges=pr_ranges_of(availability, lot_ids),
    )
    fact.save()
    _report(fact)
    return fact


@service(requires=capabilities.ASSESS, emits=[events.RiskFactRecorded], raises=[FactUnknown])
def fact_executed(*, actor: Actor, trade_id: UUID) -> TradeFact:
    """Note that a trade was approved: from now on it is watched."""
    fact = _locked(trade_id)
    if fact.stage == _Stage.CREATED:
        fact.stage, fact.executed_at = _Stage.EXECUTED, clock.now()
        fact.save()
        _report(fact)
    return fact


@service(requires=capabilities.ASSESS, emits=[events.RiskFactRecorded], raises=[FactUnknown])
def fact_cancelled(*, actor: Actor, trade_id: UUID) -> TradeFact:
    """Note that a trade was cancelled."""
    fact = _locked(trade_id)
    if fact.stage != _Stage.CANCELLED:
        fact.stage, fact.overdue_amount, fact.overdue_since_date = _Stage.CANCELLED, Decimal(0), None
        fact.save()
        _report(fact)
    return fact


@service(requires=capabilities.ASSESS, emits=[events.RiskFactRecorded], raises=[FactUnknown, FactContradicts])
def record_performance(
    *,
    actor: Actor,
    trade_id: UUID,
    settled_date: date | None = None,
    due_amount: Decimal | None = None,
    paid_in_time_amount: Decimal | None = None,
    due_kg: Decimal | None = None,
    in_window_kg: Decimal | None = None,
    lots: int | None = None,
    lots_passed: int | None = None,
    disputed: bool | None = None,
    overdue_amount: Decimal | None = None,
    overdue_since_date: date | None = None,
) -> TradeFact:
    """Store how a trade was performed; what is left out stays. ``settled_date`` makes it count.

    Amounts in INR. ``overdue_amount`` is what the buyer owes past its due day at the moment, ``overdue_since_date`` the
    oldest of these days; an amount of 0 ends it.
    """
    fact = _locked(trade_id)
    given = {
        "settled_date": settled_date, "due_amount": due_amount, "paid_in_time_amount": paid_in_time_amount,
        "due_kg": due_kg, "in_window_kg": in_window_kg, "lots": lots, "lots_passed": lots_passed,
        "disputed": disputed, "overdue_amount": overdue_amount,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None:
            setattr(fact, name, value)
    if overdue_amount is not None:
        fact.overdue_since_date = overdue_since_date if overdue_amount else None
    if fact.changed_fields():
        fact.save()
        _report(fact)
    return fact


# Ratings


def _settled(body: PolicyBody) -> Any:
    return TradeFact.objects.settled_since(clock.today() - timedelta(days=round(body.facts_months * 30.4375)))


def conduct_of(partner_id: UUID, body: PolicyBody) -> engine.Conduct:
    """How a partner performed on both sides in the settled facts that count."""
    return engine.conduct_of(Reader(body, clock.today()).facts([partner_id])[partner_id])


@service(
    requires=capabilities.ASSESS, emits=[events.RiskRatingChanged, events.RiskPolicyChanged], lock_via=None
)
def rate(partner: Partner, *, actor: Actor) -> Partner:
    """Compute the rating of a partner and hand the copy to partners, which reports a new band to the partner."""
    body = policy_for(None).content
    rating = conduct_of(partner.pk, body).rating(body.least_trades)
    band = engine.band_of(rating)
    counts = _settled(body).of(partner.pk).aggregate(
        trades=Count("pk"),
        paid_in_time=Count(
            "pk", filter=Q(buyer=partner, due_amount__gt=0, paid_in_time_amount=F("due_amount"))
        ),
        delivered_in_time=Count("pk", filter=Q(seller=partner, due_kg__gt=0, in_window_kg=F("due_kg"))),
        quality_accepted=Count("pk", filter=Q(seller=partner, lots__gt=0, lots_passed=F("lots"))),
        disputed=Count("pk", filter=Q(disputed=True)),
    )  # fmt: skip
    card = Scorecard.objects.filter(partner=partner).first()
    previous = None if card is None else card.band
    kyc.record_rating(partner, actor=actor, **counts, rating=rating, band=band)
    if band != previous:
        emit(events.RiskRatingChanged(partner_id=partner.pk, band=band))
    return partner


@service(
    requires=capabilities.ASSESS,
    emits=[events.RiskPairBlocked, events.RiskPairFreed, events.RiskPolicyChanged],
)
def judge_pair(*, actor: Actor, one: UUID, other: UUID) -> None:
    """Block a pair whose conduct with each other is bad; free it once no figure is, or too few trades count."""
    body = policy_for(None).content
    low, high = ordered(one, other)
    locks.hold(f"risk.pair:{low}:{high}")
    facts = Reader(body, clock.today()).facts([low, high])["pair"]
    conduct = engine.conduct_of(facts)
    if conduct.trades >= body.least_trades and min(conduct.figures) < body.pair_block_below:
        surveillance.block(low, high, PairBlock.Cause.CONDUCT)
        return
    live = PairBlock.objects.live().between(low, high).filter(cause=PairBlock.Cause.CONDUCT).locked()
    for row in live:
        surveillance.end_block(row, None)


def suggest_limit(partner_id: UUID, limit: Decimal, side: str, commodity: Commodity | None = None) -> Decimal:
    """The limit that a partner's conduct suggests to staff; nobody applies it by itself."""
    body = policy_for(None if commodity is None else commodity.pk).content
    conduct = conduct_of(partner_id, body)
    performance = conduct.paid if side == "BUYER" else conduct.delivered
    return engine.suggested_limit(limit, conduct.rating(body.least_trades), performance)
