"""Division of contested stock among the live matches of an offer."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from apps.availability.models import Availability
from apps.availability.services.listing import measured
from apps.availability.services.rules import gst_of
from apps.commodities.tax import ConditionNeeded, NoTaxRate
from apps.matching import events
from apps.matching.engine.allocation import Claim, divide
from apps.matching.models import Allocation, AllocationPart, Match, MatchRun
from apps.matching.services.rule_reading import Rules
from apps.partners.models import CreditAccount, GroupMember
from apps.risk.services import rates
from erp import clock
from erp.services import emit

STEP: Final = Decimal("0.001")


def allocate(
    run: MatchRun,
    offer: Availability,
    rules: Rules,
    demand: Mapping[UUID, int],
    locked: Collection[UUID],
    given: dict[UUID, Fraction] | None = None,
) -> Allocation | None:
    """Divide the offer's open stock where its live matches want more than there is; None where nothing is divided anew.

    ``demand``: open demand of requirements in the offer's steps; ``given``: kilograms that requirements were given of
    other offers, which this adds to; ``locked``: matches that the caller has locked, before any offer. Public offers
    go to whoever comes first.
    """
    offers = Availability.objects.select_related("commodity", "payment_term", "pricing_unit")
    offer = offers.locked().get(pk=offer.pk)
    proposed = offer.matches.proposed().unprotected().select_related("requirement")
    rows = list(proposed.filter(Q(pk__in=locked) | Q(run=run)))
    counted = offer.commodity.is_counted_in(offer.unit)
    step = Decimal(1) if counted else STEP
    stock = int(offer.available_quantity / step)
    contested = sum(row.proposed_quantity for row in rows) > offer.available_quantity
    if offer.visibility != Availability.Visibility.MATCHED_ONLY or not contested or not stock:
        _clear(rows)
        return None
    rows.sort(key=_order)
    kg_per_step = Fraction(offer.total_weight_kg) / Fraction(offer.total_quantity) * Fraction(step)
    wants = _wants(offer, rows, stock, demand, given or {}, step, kg_per_step)
    clusters = _clusters(rows)
    claims = [
        Claim(wants[row.pk], int(row.need_quantity / step), clusters[row.buyer_partner_id]) for row in rows
    ]
    shares = divide(stock, claims, max_share=rules.body.max_share, divisible=offer.allow_partial)
    if all(row.allocated_quantity == share.given * step for row, share in zip(rows, shares, strict=True)):
        return None
    allocation = Allocation(
        availability=offer, run=run, rule_set_id=rules.id, unit=offer.unit, open_quantity=stock * step, step=step,
        max_share=rules.body.max_share, divisible=offer.allow_partial,
    )  # fmt: skip
    allocation.save()
    parts, told = [], []
    for rank, (row, claim, share) in enumerate(zip(rows, claims, shares, strict=True), 1):
        parts.append(
            AllocationPart(
                allocation=allocation, match=row, cluster=clusters[row.buyer_partner_id], rank=rank,
                want=claim.want * step, need=claim.need * step, given=share.given * step, reason=share.reason,
            )
        )  # fmt: skip
        row.allocation, row.allocated_quantity = allocation, share.given * step
        row.allocated_kg = min(offer.weight_of(row.allocated_quantity), row.proposed_kg)
        row.save()
        if given is not None:
            before = given.get(row.requirement_id, Fraction(0))
            given[row.requirement_id] = before + share.given * kg_per_step
        told.append(events.Part(match_id=row.pk, quantity=measured(offer, row.allocated_quantity)))
    AllocationPart.objects.bulk_create(parts)
    emit(events.StockAllocated(allocation_id=allocation.pk, availability_id=offer.pk, parts=told))
    return allocation


def lock(offer_ids: Collection[UUID]) -> set[UUID]:
    """Lock the proposed matches of offers, and then the offers, each by id. Returns ids of the matches."""
    rows = Match.objects.proposed().filter(availability__in=offer_ids).locked().order_by("pk")
    locked = set(rows.values_list("pk", flat=True))
    list(Availability.objects.filter(pk__in=offer_ids).locked().order_by("pk").values_list("pk"))
    return locked


def recomputed(allocation: Allocation) -> list[Decimal]:
    """What the rows of an allocation give when they are divided again, in the order of their rank."""
    parts = list(allocation.parts.order_by("rank"))
    step = allocation.step
    claims = [Claim(int(part.want / step), int(part.need / step), part.cluster) for part in parts]
    stock = int(allocation.open_quantity / step)
    shares = divide(stock, claims, max_share=allocation.max_share, divisible=allocation.divisible)
    return [share.given * step for share in shares]


def _order(row: Match) -> tuple[Any, ...]:
    since = row.requirement.live_since
    return -row.score, row.landed is None, row.landed or 0, since is None, since, row.requirement_id


def _clear(rows: Sequence[Match]) -> None:
    """Free matches of shares that no longer bind, since there is enough for all."""
    for row in rows:
        if row.allocation_id is not None:
            row.allocation = row.allocated_quantity = row.allocated_kg = None
            row.save()


def _clusters(rows: Sequence[Match]) -> dict[UUID, UUID]:
    buyers = {row.buyer_partner_id for row in rows}
    groups = dict(GroupMember.objects.filter(partner__in=buyers).values_list("partner_id", "group_id"))
    return {buyer: groups.get(buyer, buyer) for buyer in buyers}


def _wants(
    offer: Availability,
    rows: Sequence[Match],
    stock: int,
    demand: Mapping[UUID, int],
    given: Mapping[UUID, Fraction],
    step: Decimal,
    kg_per_step: Fraction,
) -> dict[UUID, int]:
    """What each match still wants: as proposed, but no more than open demand and the buyer's credit."""
    paid = _affordable(offer, rows, kg_per_step)
    wants = {}
    for row in rows:
        wanted = int(row.proposed_quantity / step)
        left = demand.get(row.requirement_id, wanted) - int(
            given.get(row.requirement_id, Fraction(0)) / kg_per_step
        )
        limits = [
            wanted,
            left,
            stock,
            *([paid[row.buyer_partner_id]] if row.buyer_partner_id in paid else []),
        ]
        wants[row.pk] = max(min(limits), 0)
    return wants


def _affordable(offer: Availability, rows: Sequence[Match], kg_per_step: Fraction) -> dict[UUID, int]:
    """How many steps of the offer the headroom of each buyer pays; nobody where no credit is needed."""
    term, priced = offer.payment_term, [row.quoted for row in rows if row.quoted is not None]
    share = Fraction(0) if term is None else Fraction(term.advance_percent) / 100
    if share >= 1 or not priced:
        return {}
    try:
        gst = gst_of(offer)
    except (NoTaxRate, ConditionNeeded):
        gst = Fraction(0)
    each = Fraction(max(priced)) * kg_per_step * (1 + gst / 100) * (1 - share)
    found = {}
    buyers = {row.buyer_partner_id for row in rows}
    accounts = (
        CreditAccount.objects.filter(partner__in=buyers).with_limit(clock.today()).select_related("partner")
    )
    for account in accounts:
        rate = rates.exchange(rates.HOME, account.currency, clock.today())
        if rate is not None and each > 0:
            found[account.partner_id] = max(int(Fraction(account.headroom) / (each * rate)), 0)
    return found | dict.fromkeys(buyers - found.keys(), 0)
