"""The hash chain over the entries: sealing them, and proving that none was changed, removed or added."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.db import connection, transaction

from erp import clock, locks
from erp.trail.models import Anchor, Seal

BATCH: Final = 5_000
START: Final = bytes(32)

# An entry as text, the same wherever it is read: jsonb has one spelling, times are microseconds.
_CANONICAL: Final = """jsonb_build_array(
    e.position, (extract(epoch FROM e.recorded_at) * 1000000)::bigint, e.txid, e.actor_id, e.on_behalf_of,
    e.by_superuser, e.service, e.capability, e.channel, e.request_id, e.record_id, e.reason, e.organization_id,
    e.table_name, e.row_key, e.operation, e.before, e.after)::text"""

# One statement, so one snapshot: what it sees of transactions below its xmin is all that they wrote. A txid above
# the snapshot belongs to another cluster, from which the rows were restored.
_UNSEALED: Final = f"""
    WITH now AS MATERIALIZED (
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS lowest,
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS highest
    )
    SELECT e.position, {_CANONICAL}, now.lowest, now.highest, (SELECT max(position) FROM trail_entry)
    FROM now, trail_entry e LEFT JOIN trail_seal s ON s.position = e.position
    WHERE e.position > %s AND s.position IS NULL AND (e.txid < now.lowest OR e.txid >= now.highest)
    ORDER BY e.position LIMIT %s
"""  # noqa: S608 - a text of our own

_CHAIN: Final = f"""
    SELECT s.number, s.position, s.hash, e.position IS NULL, {_CANONICAL}
    FROM trail_seal s LEFT JOIN trail_entry e ON e.position = s.position
    WHERE s.number > %s ORDER BY s.number LIMIT %s
"""  # noqa: S608 - a text of our own

_UNKNOWN: Final = """
    SELECT e.position FROM trail_entry e LEFT JOIN trail_seal s ON s.position = e.position
    WHERE s.position IS NULL AND e.position <= %s ORDER BY e.position
"""


class ChainFinding(NamedTuple):
    """Where the chain breaks: the position of the entry (None: no entry in particular), and what is wrong."""

    position: int | None
    detail: str


def hash_of(previous: bytes, canonical: str) -> bytes:
    """The hash of an entry that follows ``previous``."""
    return hashlib.sha256(previous + canonical.encode()).digest()


def seal(batch: int = BATCH) -> int:
    """Seal the entries of ended transactions; returns how many. Where another sealer is at work: 0."""
    sealed = 0
    while True:
        count = _seal_batch(batch)
        sealed += count
        if count < batch:
            return sealed


def _seal_batch(batch: int) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [locks.TASK, locks.name_key("trail.seal")])
        if not cursor.fetchone()[0]:
            return 0
        last = Seal.objects.order_by("-number").first()
        cursor.execute(_UNSEALED, [last.settled if last is not None else 0, batch])
        rows = cursor.fetchall()
        if not rows:
            return 0
        _, _, lowest, _, seen = rows[0]
        # Taken after the read: whoever holds a position up to ``seen`` has a lower transaction id than this one.
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        horizon = cursor.fetchone()[0]
        mark = _mark(last, lowest, horizon, seen, complete=len(rows) < batch)
        number, previous, moment = (
            (last.number, bytes(last.hash), clock.now()) if last else (0, START, clock.now())
        )
        seals = []
        for position, canonical, *_ in rows:
            number, previous = number + 1, hash_of(previous, canonical)
            seals.append(Seal(number=number, position=position, hash=previous, sealed_at=moment, **mark))
        Seal.objects.bulk_create(seals)
        return len(seals)


def _mark(last: Seal | None, lowest: int, horizon: int, seen: int, *, complete: bool) -> dict[str, int]:
    """How far the chain is settled: a position that was seen once the transactions of that time have ended."""
    if last is None:
        return {"settled": 0, "seen": seen, "horizon": horizon}
    if (
        complete and last.horizon > horizon
    ):  # of another cluster, from which the rows were restored: begin anew
        return {"settled": last.settled, "seen": seen, "horizon": horizon}
    if not complete or lowest < last.horizon:
        return {"settled": last.settled, "seen": last.seen, "horizon": last.horizon}
    return {"settled": last.seen, "seen": seen, "horizon": horizon}


def findings() -> Iterator[ChainFinding]:
    """Recompute the whole chain: every entry that was changed, removed or added, and every missing seal."""
    previous, number, settled = START, 0, 0
    for sealed_number, position, stored, is_missing, canonical in _chain():
        if sealed_number != number + 1:
            yield ChainFinding(None, f"The seals {number + 1} to {sealed_number - 1} were removed.")
        elif is_missing:
            yield ChainFinding(position, f"Entry {position} was removed (seal {sealed_number}).")
        elif hash_of(previous, canonical) != stored:
            yield ChainFinding(position, f"Entry {position} or its seal {sealed_number} was changed.")
        previous, number = stored, sealed_number
    last = Seal.objects.order_by("-number").first()
    settled = last.settled if last is not None else 0
    with connection.cursor() as cursor:
        cursor.execute(_UNKNOWN, [settled])
        for (position,) in cursor.fetchall():
            yield ChainFinding(
                position, f"Entry {position} was added: it has no seal, and all around it have."
            )
    for anchor in Anchor.objects.order_by("day"):
        link = Seal.objects.filter(number=anchor.number).first()
        if link is None or bytes(link.hash).hex() != anchor.hash:
            yield ChainFinding(
                link.position if link else None,
                f"Seal {anchor.number} differs from the anchor of {anchor.day}.",
            )


def _chain() -> Iterator[Any]:
    number = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_CHAIN, [number, BATCH])
            rows = cursor.fetchall()
            for sealed, position, stored, is_missing, canonical in rows:
                yield sealed, position, bytes(stored), is_missing, canonical
            if len(rows) < BATCH:
                return
            number = rows[-1][0]
