"""Watch what was traded: reversals, rings, prices away from the market, layering, trades of linked parties (risk §5.6).

Alerts block nobody, but for a pair that reverses its trades again. The same finding has the same fingerprint.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import F

from apps.availability.models import Availability
from apps.commodities.exact import rounded
from apps.commodities.models.commodities import Commodity
from apps.partners.models import GroupMember, Partner
from apps.requirement.models import Requirement
from apps.risk import capabilities, events
from apps.risk.models import PairBlock, SurveillanceAlert, TradeFact, ordered
from apps.risk.policy import PolicyBody
from apps.risk.rings import Edge, rings
from apps.risk.services.policies import policy_for
from erp import clock, locks
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.services import emit, service

_Kind, _Severity, _Status = SurveillanceAlert.Kind, SurveillanceAlert.Severity, SurveillanceAlert.Status


class AlertDecided(Conflict):
    """The alert was decided already."""


class NoteRequired(RuleBroken):
    """A decision needs a note."""


class PairInvalid(RuleBroken):
    """A pair is two different partners."""


class PairBlocked(Conflict):
    """The pair is blocked for this cause already."""

    constraints = ("pair_block_one_live",)


class PairFree(Conflict):
    """The block was ended already."""


def fingerprint(kind: str, ids: Iterable[Any]) -> str:
    """SHA-256 of a kind and its ids."""
    return hashlib.sha256("\n".join([kind, *map(str, ids)]).encode()).hexdigest()


def _raise(
    kind: str,
    severity: str,
    *,
    ids: Iterable[Any],
    partners: Iterable[UUID],
    trades: Iterable[UUID] = (),
    commodity_id: UUID | None = None,
    evidence: dict[str, Any],
) -> SurveillanceAlert | None:
    """Raise an alert once; None where its fingerprint is known."""
    mark = fingerprint(kind, ids)
    locks.hold(f"risk.alert:{mark}")
    if SurveillanceAlert.objects.filter(fingerprint=mark).exists():
        return None
    alert = SurveillanceAlert(
        kind=kind,
        severity=severity,
        partner_ids=sorted(set(partners)),
        trade_ids=list(trades),
        commodity_id=commodity_id,
        evidence=evidence,
        fingerprint=mark,
    )
    alert.save()
    emit(events.RiskAlertRaised(**_head(alert)))
    return alert


def _head(alert: SurveillanceAlert) -> dict[str, Any]:
    return {
        "alert_id": alert.pk,
        "kind": alert.kind,
        "severity": alert.severity,
        "partner_ids": alert.partner_ids,
        "trade_ids": alert.trade_ids,
        "status": alert.status,
    }


# Pairs


def _pair_head(block: PairBlock) -> dict[str, Any]:
    return {
        "block_id": block.pk,
        "partner_ids": [block.low_id, block.high_id],
        "cause": block.cause,
        "until": block.until_at,
    }


def block(
    one: UUID, other: UUID, cause: str, *, until: datetime | None = None,
    alert: SurveillanceAlert | None = None, reason: str = "",
) -> PairBlock:  # fmt: skip
    """Block a pair for a cause, or extend its block. The calling service emits RiskPairBlocked."""
    low, high = ordered(one, other)
    for over in PairBlock.objects.between(low, high).filter(cause=cause).over(clock.now()).locked():
        end_block(over, None)
    known: PairBlock | None = PairBlock.objects.live().between(low, high).filter(cause=cause).locked().first()
    row = known or PairBlock(low_id=low, high_id=high, cause=cause, alert=alert, reason=reason)
    if known is not None and (known.until_at is None or (until is not None and until <= known.until_at)):
        return known
    row.until_at = until
    row.save()
    emit(events.RiskPairBlocked(**_pair_head(row)))
    return row


def end_block(row: PairBlock, actor_id: UUID | None) -> None:
    """End a block. The calling service emits RiskPairFreed."""
    row.freed_at, row.freed_by_id = clock.now(), actor_id
    row.save()
    emit(events.RiskPairFreed(**_pair_head(row)))


@service(
    requires=capabilities.REVIEW,
    emits=[events.RiskPairBlocked, events.RiskPairFreed],
    raises=[PairInvalid, PairBlocked],
    label="Block a pair",
)
def block_pair(
    *, actor: Actor, partner: Partner, other_partner: Partner, reason: str, until_at: datetime | None = None
) -> PairBlock:
    """Keep two partners from trading with each other, until a time or until somebody frees them."""
    if partner.pk == other_partner.pk:
        raise PairInvalid.at("/other_partner_id", "same", "Choose another partner.")
    if until_at is not None and until_at <= clock.now():
        raise PairInvalid.at("/until_at", "past", "The time is in the past.")
    live = PairBlock.objects.live().between(partner.pk, other_partner.pk)
    if live.filter(cause=PairBlock.Cause.MANUAL).exists():
        raise PairBlocked
    return block(partner.pk, other_partner.pk, PairBlock.Cause.MANUAL, until=until_at, reason=reason)


@service(requires=capabilities.REVIEW, emits=[events.RiskPairFreed], raises=[PairFree], label="Free the pair")
def free_pair(row: PairBlock, *, actor: Actor, reason: str) -> PairBlock:
    """Let two partners trade with each other again."""
    if row.freed_at is not None:
        raise PairFree
    end_block(row, actor.pk)
    return row


@service(requires=capabilities.ASSESS, emits=[events.RiskPairFreed])
def expire_block(row: PairBlock, *, actor: Actor) -> PairBlock:
    """Close a block whose time is over; it stopped counting by the clock before."""
    if row.freed_at is None and row.until_at is not None and row.until_at <= clock.now():
        end_block(row, None)
    return row


# Executed trades


@service(
    requires=capabilities.ASSESS,
    emits=[
        events.RiskAlertRaised,
        events.RiskPairBlocked,
        events.RiskPairFreed,
        events.RiskPolicyChanged,
    ],
    lock_via=None,
)
def inspect(fact: TradeFact, *, actor: Actor) -> TradeFact:
    """Look at an executed trade: whether it reverses another one, and whether its price is away from the market."""
    if fact.stage == TradeFact.Stage.EXECUTED:
        body = policy_for(fact.commodity_id).content
        low, high = ordered(fact.buyer_id, fact.seller_id)
        locks.hold(f"risk.pair:{low}:{high}")
        for other in _reversed_by(fact, body):
            _report_reversal(fact, other, body)
        _look_at_price(fact, body)
    return fact


def _reversed_by(fact: TradeFact, body: PolicyBody) -> list[TradeFact]:
    """Executed trades in the other direction that this one takes back, the oldest first."""
    longest = timedelta(days=max(body.reversal_days, body.reversal_repeat_days))
    days = (fact.trade_date - longest, fact.trade_date + longest)
    others = TradeFact.objects.executed().filter(
        buyer=fact.seller_id, seller=fact.buyer_id, commodity=fact.commodity_id, trade_date__range=days
    )
    return [other for other in others.in_order() if _reverses(fact, other, body)]


def _reverses(fact: TradeFact, other: TradeFact, body: PolicyBody) -> bool:
    apart = abs((fact.trade_date - other.trade_date).days)
    if apart <= body.reversal_repeat_days and _share_numbers(fact.pr_ranges, other.pr_ranges):
        return True
    return (
        apart <= body.reversal_days
        and fact.bucket == other.bucket
        and _within(fact.quantity_kg, other.quantity_kg, body.reversal_quantity_percent)
        and _within(fact.price, other.price, body.reversal_price_percent)
    )


def _within(one: Decimal, other: Decimal, percent: Decimal) -> bool:
    """Whether two figures differ by at most so many percent of the larger."""
    return abs(Fraction(one) - Fraction(other)) * 100 <= Fraction(percent) * Fraction(max(one, other))


def _share_numbers(ours: list[str], theirs: list[str]) -> bool:
    """Whether packages of one trade come back in the other, by their press-running numbers."""

    def parts(text: str) -> tuple[str, int, int]:
        mark, first, last = text.rsplit("|", 2)
        return mark, int(first), int(last)

    return any(
        mark == other and first <= until and start <= last
        for mark, first, last in map(parts, ours)
        for other, start, until in map(parts, theirs)
    )


def _report_reversal(fact: TradeFact, other: TradeFact, body: PolicyBody) -> None:
    since = clock.now() - timedelta(days=body.reversal_repeat_days)
    pair = [fact.buyer_id, fact.seller_id]
    before = SurveillanceAlert.objects.filter(
        kind=_Kind.REVERSAL, partner_ids__contains=pair, created_at__gte=since
    ).exclude(status=_Status.CLEARED)
    trades = sorted([fact.trade_id, other.trade_id])
    again = before.exclude(fingerprint=fingerprint(_Kind.REVERSAL, trades)).exists()
    alert = _raise(
        _Kind.REVERSAL,
        _Severity.HIGH if again else _Severity.MEDIUM,
        ids=trades,
        partners=pair,
        trades=trades,
        commodity_id=fact.commodity_id,
        evidence={
            "days_apart": abs((fact.trade_date - other.trade_date).days),
            "quantity_kg": [str(other.quantity_kg), str(fact.quantity_kg)],
            "price": [str(other.price), str(fact.price)],
            "same_packages": _share_numbers(fact.pr_ranges, other.pr_ranges),
        },
    )
    if alert is not None and again:
        until = clock.now() + timedelta(days=body.wash_block_days)
        block(fact.buyer_id, fact.seller_id, PairBlock.Cause.WASH, until=until, alert=alert)


def _look_at_price(fact: TradeFact, body: PolicyBody) -> None:
    days = (fact.trade_date - timedelta(days=body.price_days), fact.trade_date)
    others = TradeFact.objects.executed().filter(
        commodity=fact.commodity_id, bucket=fact.bucket, trade_date__range=days
    )
    rows = list(others.exclude(pk=fact.pk).values_list("price", "seller"))
    if len(rows) < body.price_trades or len({seller for _, seller in rows}) < body.price_sellers:
        return
    middle = median(Fraction(price) for price, _ in rows)
    away = abs(Fraction(fact.price) - middle) * 100 / middle
    if away > body.price_band_percent:
        _raise(
            _Kind.PRICE_AWAY,
            _Severity.MEDIUM,
            ids=[fact.trade_id],
            partners=[fact.buyer_id, fact.seller_id],
            trades=[fact.trade_id],
            commodity_id=fact.commodity_id,
            evidence={
                "price": str(fact.price),
                "median": str(rounded(middle, 4)),
                "percent": str(rounded(away, 2)),
                "trades": len(rows),
            },
        )


@service(
    requires=capabilities.ASSESS, emits=[events.RiskAlertRaised, events.RiskPolicyChanged], lock_via=None
)
def find_rings(commodity: Commodity, *, actor: Actor) -> int:
    """Look for cycles of executed trades of a commodity; return how many are new."""
    body = policy_for(commodity.pk).content
    since = clock.today() - timedelta(days=body.ring_days)
    facts = TradeFact.objects.executed().filter(commodity=commodity, trade_date__gte=since)
    edges = [
        Edge((fact.trade_date, fact.executed_at, fact.trade_id), fact.seller_id, fact.buyer_id, fact.trade_id)
        for fact in facts
    ]
    raised = 0
    skipped: set[UUID] = set()
    for ring in rings(edges, body.ring_length, skipped):
        alert = _raise(
            _Kind.RING,
            _Severity.HIGH,
            ids=[commodity.pk, *ring.partners],
            partners=ring.partners,
            trades=ring.trades,
            commodity_id=commodity.pk,
            evidence={"partners_in_order": [str(pk) for pk in ring.partners]},
        )
        raised += alert is not None
    if skipped:  # more trades than can be searched: people look at these partners, once a week
        week = clock.today().isocalendar()[:2]
        alert = _raise(
            _Kind.RING,
            _Severity.MEDIUM,
            ids=[commodity.pk, "unfinished", *week],
            partners=skipped,
            commodity_id=commodity.pk,
            evidence={"search_unfinished": len(skipped)},
        )
        raised += alert is not None
    return raised


@service(requires=capabilities.ASSESS, emits=[events.RiskAlertRaised, events.RiskPolicyChanged])
def watch_layering(*, actor: Actor, partner_id: UUID, commodity_id: UUID) -> int:
    """Look for many listings of a partner that were cancelled soon after they went live; return how many."""
    body = policy_for(commodity_id).content
    now, short = clock.now(), timedelta(minutes=body.layering_live_minutes)
    since = now - timedelta(minutes=body.layering_minutes)
    offers = Availability.objects.filter(
        seller_partner=partner_id, commodity=commodity_id, status=Availability.Status.CANCELLED,
        updated_at__gte=since, listed_at__gte=F("updated_at") - short,
    )  # fmt: skip
    wanted = Requirement.objects.filter(
        buyer_partner=partner_id, commodity=commodity_id, status=Requirement.Status.CANCELLED,
        cancelled_at__gte=since, live_since__gte=F("cancelled_at") - short,
    )  # fmt: skip
    number = int(offers.count() + wanted.count())
    if number >= body.layering_listings:
        _raise(
            _Kind.LAYERING,
            _Severity.MEDIUM,
            ids=[partner_id, commodity_id, clock.today()],
            partners=[partner_id],
            commodity_id=commodity_id,
            evidence={"listings": number, "minutes": body.layering_minutes},
        )
    return number


@service(requires=capabilities.ASSESS, emits=[events.RiskAlertRaised, events.RiskPolicyChanged])
def watch_links(*, actor: Actor, partner_id: UUID) -> int:
    """Look for executed trades between members of a partner's group; return how many pairs have them."""
    since = clock.today() - timedelta(days=policy_for(None).content.linked_days)
    group = GroupMember.objects.filter(partner=partner_id).values("group_id")
    members = GroupMember.objects.filter(group_id__in=group).values("partner")
    facts = TradeFact.objects.executed().filter(buyer__in=members, seller__in=members, trade_date__gte=since)
    pairs: dict[tuple[UUID, UUID], list[UUID]] = {}
    for fact in facts.in_order():
        pairs.setdefault(ordered(fact.buyer_id, fact.seller_id), []).append(fact.trade_id)
    for pair, trades in sorted(pairs.items()):
        _raise(
            _Kind.LINKED_TRADE,
            _Severity.HIGH,
            ids=pair,
            partners=pair,
            trades=trades[:100],
            evidence={"trades": len(trades)},
        )
    return len(pairs)


@service(requires=capabilities.ASSESS, emits=[events.RiskAlertRaised])
def report_limit(*, actor: Actor, partner_id: UUID, level: str, utilisation: Decimal | None) -> None:
    """Raise an alert for a partner that has used most of its limit, once a day and level."""
    _raise(
        _Kind.LIMIT,
        _Severity.HIGH if level == "critical" else _Severity.MEDIUM,
        ids=[partner_id, level, clock.today()],
        partners=[partner_id],
        evidence={
            "level": level,
            "utilisation_percent": None if utilisation is None else str(utilisation),
        },
    )


# Decisions


@service(requires=capabilities.REVIEW, emits=[events.RiskAlertTaken], raises=[AlertDecided], label="Take on")
def take_alert(alert: SurveillanceAlert, *, actor: Actor) -> SurveillanceAlert:
    """Take an open alert to look at it."""
    if alert.status != _Status.OPEN:
        raise AlertDecided
    alert.status, alert.assignee_id = _Status.IN_REVIEW, actor.pk
    alert.save()
    emit(events.RiskAlertTaken(**_head(alert)))
    return alert


@service(
    requires=capabilities.REVIEW,
    emits=[events.RiskAlertDecided],
    raises=[AlertDecided, NoteRequired],
    label="Decide",
)
def decide_alert(alert: SurveillanceAlert, *, actor: Actor, status: str, note: str) -> SurveillanceAlert:
    """Clear or confirm an alert, with a note of what was found."""
    if alert.status not in SurveillanceAlert.OPEN:
        raise AlertDecided
    if not note.strip():
        raise NoteRequired.at("/note", "required", "Enter what you found.")
    alert.status, alert.note = status, note
    alert.decided_by_id, alert.decided_at = actor.pk, clock.now()
    alert.save()
    emit(events.RiskAlertDecided(**_head(alert)))
    return alert
