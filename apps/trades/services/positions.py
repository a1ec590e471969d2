"""TDS positions: what counts towards a threshold between two partners in a financial year (trades §5.8).

A position is its opening and the sum of its entries, which are only added, under its lock. Partners of one PAN count
as one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from apps.partners.models import Partner
from apps.trades.engine import records
from apps.trades.engine.facts import Certificate, Position, RowKind
from apps.trades.models import Payment, PositionEntry, PositionOpening, Settlement, TaxPosition, Trade
from erp.access import Actor

NOTHING = Decimal("0.00")


class PositionKey(NamedTuple):
    """Which position: who deducts from whom, in which year."""

    kind: str
    deductor: UUID
    deductee: UUID
    financial_year: str


def find(keys: Iterable[PositionKey], *, lock: bool) -> dict[PositionKey, TaxPosition]:
    """The positions that exist, locked by id; a partner's is that of any partner with its PAN."""
    wanted = set(keys)
    if not wanted:
        return {}
    same = _with_same_pan({partner for key in wanted for partner in (key.deductor, key.deductee)})
    condition = Q(pk__in=())
    for key in wanted:
        condition |= Q(
            kind=key.kind,
            financial_year=key.financial_year,
            deductor__in=same[key.deductor],
            deductee__in=same[key.deductee],
        )
    rows = TaxPosition.objects.filter(condition).order_by("pk")
    found: dict[PositionKey, TaxPosition] = {}
    for row in rows.locked() if lock else rows:
        for key in wanted:
            if (
                (row.kind, row.financial_year) == (key.kind, key.financial_year)
                and row.deductor_id in same[key.deductor]
                and row.deductee_id in same[key.deductee]
            ):
                found.setdefault(key, row)
    return found


def _with_same_pan(partners: set[UUID]) -> dict[UUID, set[UUID]]:
    hashes = dict(Partner.objects.filter(pk__in=partners).values_list("pk", "pan_hash"))
    by_hash: dict[str, set[UUID]] = defaultdict(set)
    known = [pan for pan in hashes.values() if pan]
    for pk, pan in Partner.objects.filter(pan_hash__in=known).values_list("pk", "pan_hash"):
        by_hash[pan].add(pk)
    return {partner: by_hash.get(hashes.get(partner) or "", set()) | {partner} for partner in partners}


def as_fact(key: PositionKey, row: TaxPosition) -> Position:
    """The position as the engine reads it, between the partners of the trade."""
    return Position(
        kind=RowKind(key.kind),
        deductor=str(key.deductor),
        deductee=str(key.deductee),
        financial_year=key.financial_year,
        liable=row.liable,
        opening_amount=row.opening_amount,
        opening_taxed=row.opening_taxed,
        counted=row.counted,
        taxed=row.taxed,
        certificates=tuple(records.from_json(Certificate, each) for each in row.certificates),
    )


def move(
    row: TaxPosition,
    actor: Actor,
    *,
    trade: Trade,
    counted: Decimal,
    taxed: Decimal,
    certificates: Mapping[str, Decimal],
    document: str = "",
    settlement: Settlement | None = None,
    payment: Payment | None = None,
    reverses: PositionEntry | None = None,
) -> PositionEntry:
    """Add an entry to a locked position."""
    entry = PositionEntry(
        trade=trade,
        position=row,
        settlement=settlement,
        payment=payment,
        document=document,
        counted=counted,
        taxed=taxed,
        certificates=records.to_json(certificates),
        reverses=reverses,
        created_by_id=actor.pk,
    )
    entry.save()
    row.counted += counted
    row.taxed += taxed
    if certificates:
        rows = [records.from_json(Certificate, each) for each in row.certificates]
        used = [replace(each, used=each.used + certificates.get(each.number, NOTHING)) for each in rows]
        row.certificates = records.to_json(used)
    row.save()
    return entry


def reverse(entries: Any, actor: Actor) -> None:
    """Take entries off their positions, which are locked by id; what was reversed before stays so."""
    open_entries = list(entries.filter(reverses=None, reversed_by=None).order_by("pk"))
    keys = {entry.position_id for entry in open_entries}
    rows = {row.pk: row for row in TaxPosition.objects.filter(pk__in=keys).order_by("pk").locked()}
    for entry in open_entries:
        move(
            rows[entry.position_id],
            actor,
            trade=entry.trade,
            counted=-entry.counted,
            taxed=-entry.taxed,
            certificates={number: -Decimal(used) for number, used in entry.certificates.items()},
            document=entry.document,
            settlement=entry.settlement,
            payment=entry.payment,
            reverses=entry,
        )


def lower(entry: PositionEntry, actor: Actor, amount: Decimal) -> None:
    """Take a part of an entry off its position; what was taxed stays to be set off."""
    row = TaxPosition.objects.filter(pk=entry.position_id).locked().get()
    move(
        row, actor, trade=entry.trade, counted=-amount, taxed=NOTHING, certificates={}, payment=entry.payment
    )


def open_position(opening: PositionOpening) -> TaxPosition:
    """Bring a position to its published opening; what was counted since stays."""
    key = PositionKey(opening.kind, opening.deductor_id, opening.deductee_id, opening.financial_year)
    row = find([key], lock=True).get(key) or TaxPosition(
        kind=key.kind,
        deductor_id=key.deductor,
        deductee_id=key.deductee,
        financial_year=key.financial_year,
    )
    used = {each["number"]: each.get("used", "0") for each in row.certificates}
    row.opening_amount, row.opening_taxed = opening.opening_amount, opening.opening_taxed
    row.liable, row.evidence = opening.liable, opening.source[:200]
    row.certificates = [{**each, "used": used.get(each["number"], "0")} for each in opening.certificates]
    row.save()
    return row
