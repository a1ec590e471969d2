"""The verdict: loads ledgers and deliveries beside the outbox, and finds contradictions with SQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.faults.run import MAX_ATTEMPTS, Facts, Outage
from benchmarks.faults.world import PubSubPlace
from benchmarks.faults.writer import REF

RECOVERY_SECONDS = 2.0
# Published again, on average, each time a relay is cut off: of its up to 256 requests under way.
REPEATS = 48

LOAD = """
DROP TABLE IF EXISTS faults_tx, faults_delivery, faults_row, faults_first;
CREATE UNLOGGED TABLE faults_tx (tx bigint PRIMARY KEY, events int, outcome text, ended float8);
CREATE UNLOGGED TABLE faults_delivery (
    n bigint GENERATED ALWAYS AS IDENTITY, message_id text, published_at float8, event_id uuid, event_type text,
    aggregate_type text, aggregate_id uuid, sequence bigint, ordering_key text, data jsonb, reason text);
"""
# Row and delivery side by side, each with what the business knows of it: the number that the writer gave to the
# event, its transaction, and the version of its lot.
DERIVE = f"""
CREATE UNLOGGED TABLE faults_row AS
SELECT id, aggregate_type, aggregate_id, sequence, status, resolution, payload,
       (payload ->> 'ref')::bigint AS ref, (payload ->> 'ref')::bigint / {REF} AS tx
FROM event_outbox;
CREATE UNIQUE INDEX ON faults_row (aggregate_type, aggregate_id, sequence);
CREATE INDEX ON faults_row (tx);
CREATE UNLOGGED TABLE faults_first AS
SELECT DISTINCT ON (aggregate_type, aggregate_id, sequence)
       aggregate_type, aggregate_id, sequence, event_id, event_type, n, published_at,
       (data ->> 'version')::bigint AS version
FROM faults_delivery ORDER BY aggregate_type, aggregate_id, sequence, n;
CREATE UNIQUE INDEX ON faults_first (aggregate_type, aggregate_id, sequence);
ANALYZE faults_row; ANALYZE faults_first; ANALYZE faults_delivery; ANALYZE faults_tx;
"""
COUNTS = """
SELECT count(*) FILTER (WHERE outcome = 'C'), coalesce(sum(events) FILTER (WHERE outcome = 'C'), 0),
       count(*) FILTER (WHERE outcome = 'R'), count(*) FILTER (WHERE outcome NOT IN ('C', 'R')),
       count(*) FILTER (WHERE outcome NOT IN ('C', 'R')
                          AND EXISTS (SELECT 1 FROM faults_row r WHERE r.tx = t.tx))
FROM faults_tx t
"""
# Transactions of which not all, or not nothing, stands in the outbox.
TORN = """
SELECT t.tx, t.outcome, t.events, count(r.id) FROM faults_tx t LEFT JOIN faults_row r USING (tx)
GROUP BY t.tx HAVING CASE t.outcome WHEN 'C' THEN count(r.id) <> t.events WHEN 'R' THEN count(r.id) <> 0
                                    ELSE count(r.id) NOT IN (0, t.events) END
"""
# Rows that never arrived, neither themselves nor as the marker of their gap.
LOST = """
SELECT r.id, r.aggregate_type || ':' || r.aggregate_id, r.sequence, r.status, t.outcome
FROM faults_row r LEFT JOIN faults_tx t USING (tx)
WHERE NOT EXISTS (
    SELECT 1 FROM faults_delivery d
    WHERE d.aggregate_type = r.aggregate_type AND d.aggregate_id = r.aggregate_id AND d.sequence = r.sequence
      AND (d.event_type = 'erp.gap') = (r.resolution IS NOT DISTINCT FROM 'skipped'))
"""
# Each stream by first arrival: a sequence that isn't the one after the one before.
DISORDER = """
SELECT stream, sequence, before FROM (
    SELECT aggregate_type || ':' || aggregate_id AS stream, sequence, n,
           lag(sequence, 1, 0::bigint) OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY n) AS before
    FROM faults_first) firsts
WHERE sequence <> before + 1
"""
# The same from the business's side: a lot whose version doesn't grow.
BUSINESS_DISORDER = """
SELECT lot, version, before FROM (
    SELECT aggregate_id AS lot, version,
           lag(version, 1, 0::bigint) OVER (PARTITION BY aggregate_id ORDER BY n) AS before
    FROM faults_first WHERE aggregate_type = 'lot' AND version IS NOT NULL) firsts
WHERE version <= before
"""
# Deliveries that are no committed row's event (same id, place, content), nor the marker of a skipped one. What the
# operator decided is told by events that no writer wrote.
FOREIGN = """
SELECT d.event_id, d.event_type, d.aggregate_type || ':' || d.aggregate_id, d.sequence
FROM faults_delivery d
LEFT JOIN faults_row r USING (aggregate_type, aggregate_id, sequence)
LEFT JOIN faults_tx t ON t.tx = r.tx
WHERE r.id IS NULL OR (t.tx IS NULL AND r.aggregate_type <> 'outbox_event') OR t.outcome = 'R' OR d.ordering_key = ''
   OR CASE d.event_type WHEN 'erp.gap' THEN r.resolution IS DISTINCT FROM 'skipped'
      ELSE d.event_id <> r.id OR d.data <> r.payload OR r.resolution IS NOT DISTINCT FROM 'skipped' END
"""
AMBIGUOUS = """
SELECT aggregate_type || ':' || aggregate_id, sequence, count(DISTINCT event_id) FROM faults_delivery
GROUP BY aggregate_type, aggregate_id, sequence HAVING count(DISTINCT event_id) > 1
"""
DELIVERIES = """
SELECT count(*), count(DISTINCT message_id), (SELECT count(*) FROM faults_first),
       count(*) FILTER (WHERE event_type = 'erp.gap')
FROM faults_delivery
"""
POISON = """
SELECT count(*), count(*) FILTER (WHERE resolution = 'skipped'), count(*) FILTER (WHERE resolution = 'retried')
FROM faults_row WHERE payload ? 'seal'
"""
# Seconds from acknowledged commit to publication. Streams with poison wait for an operator, so they are left out.
LATENCY = """
SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY f.published_at - t.ended)
FROM faults_first f JOIN faults_row r USING (aggregate_type, aggregate_id, sequence) JOIN faults_tx t USING (tx)
WHERE t.outcome = 'C' AND NOT EXISTS (
    SELECT 1 FROM faults_row p WHERE p.aggregate_type = f.aggregate_type AND p.aggregate_id = f.aggregate_id
                                 AND p.payload ? 'seal')
"""


@dataclass(frozen=True)
class Verdict:
    """One line of the result: what must hold, what was seen, whether it held."""

    what: str
    seen: str
    ok: bool
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """All verdicts of a run, and how fast each outage was overcome."""

    verdicts: list[Verdict]
    recoveries: list[tuple[Outage, float | None]]
    latency: tuple[float, float]

    @property
    def violated(self) -> list[Verdict]:
        """What didn't hold."""
        return [verdict for verdict in self.verdicts if not verdict.ok]


def judge(place: PubSubPlace, facts: Facts, *, cut_off: int | None = None) -> Judgement:
    """Load what was written down and compare.

    ``cut_off``: how often some relay was killed, or lost its database or Pub/Sub, by which repeats are judged.
    """
    with place.connect() as connection:
        connection.execute("SET work_mem = '256MB'; SET synchronous_commit = off")
        connection.execute(LOAD)
        _load(connection, place.folder)
        connection.execute(DERIVE)
        return _judge(connection, facts, cut_off)


def _load(connection: psycopg.Connection[Any], folder: Path) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY faults_tx (tx, events, outcome, ended) FROM STDIN") as copy:
            for row in ledgers(folder):
                copy.write_row(row)
        with (
            cursor.copy(
                "COPY faults_delivery (message_id, published_at, event_id, event_type, aggregate_type,"
                " aggregate_id, sequence, ordering_key, data, reason) FROM STDIN"
            ) as copy,
            open(folder / "deliveries.tsv", "rb") as file,
        ):
            while block := file.read(1 << 20):
                copy.write(block)


def ledgers(folder: Path) -> Iterator[tuple[int, int, str, float | None]]:
    """All transactions: number, events, outcome, end. One that only began counts as in doubt."""
    for path in sorted(folder.glob("ledger-*.log")):
        begun: dict[int, int] = {}
        for line in path.read_text().splitlines():
            kind, transaction, what = line.split(" ")
            if kind == "B":
                begun[int(transaction)] = int(what)
            else:
                yield int(transaction), begun.pop(int(transaction)), kind, float(what)
        for left, events in begun.items():
            yield left, events, "U", None


def _judge(connection: psycopg.Connection[Any], facts: Facts, cut_off: int | None) -> Judgement:
    def rows(statement: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement).fetchall()

    def one(statement: str) -> tuple[Any, ...]:
        return rows(statement)[0]

    commits, events, undone, doubtful, doubtful_delivered = one(COUNTS)
    deliveries, messages, places, markers = one(DELIVERIES)
    poison, skipped, retried = one(POISON)
    torn, lost, foreign, ambiguous = rows(TORN), rows(LOST), rows(FOREIGN), rows(AMBIGUOUS)
    disorder, business = rows(DISORDER), rows(BUSINESS_DISORDER)
    uncopied = len(facts.failed - facts.deadlettered)
    repeats = (messages - places) / max(1, deliveries)
    recoveries = [(outage, _recovery(connection, outage)) for outage in facts.outages]
    slow = [
        f"{o.what}: {s if s is None else round(s, 2)} s"
        for o, s in recoveries
        if s is None or s > RECOVERY_SECONDS
    ]
    verdicts = [
        Verdict(
            "acknowledged commits are in the database, whole; what was rolled back isn't",
            f"{commits:,} commits of {events:,} events, {undone:,} rolled back, {doubtful:,} without an answer"
            f" ({doubtful_delivered:,} of them committed); {len(torn)} wrong",
            not torn,
            _examples(torn),
        ),
        Verdict(
            "every committed event is delivered",
            f"{places:,} delivered, {len(lost)} never",
            not lost and places > 0,
            _examples(lost),
        ),
        Verdict(
            "first deliveries of each stream in order, without a gap",
            f"{markers:,} gap markers; {len(disorder)} out of order, {len(business)} by the lots' versions",
            not disorder and not business,
            _examples(disorder) or _examples(business),
        ),
        Verdict(
            "nothing delivered that was not committed",
            f"{len(foreign)} foreign or changed, {len(ambiguous)} places with two events",
            not foreign and not ambiguous,
            _examples(foreign) or _examples(ambiguous),
        ),
        Verdict(
            "rows = pending + processing + published + failed, as the ledgers say, published without holes",
            f"{facts.samples} samples, {len(facts.unbalanced)} wrong",
            not facts.unbalanced and facts.samples > 0,
            tuple(facts.unbalanced[:3]),
        ),
        Verdict(
            f"poison fails after {MAX_ATTEMPTS} attempts with a dead-letter copy, blocks only its stream",
            f"{poison} poison events, {len(facts.failed)} failed, {uncopied} without a copy;"
            f" {skipped} skipped, {retried} retried",
            uncopied == 0 and skipped == facts.skipped and retried == facts.retried,
        ),
        Verdict(
            f"next publish within {RECOVERY_SECONDS:.0f} s of a dependency's return",
            f"{len(recoveries)} outages, slowest {max((s or 0 for _, s in recoveries), default=0):.2f} s",
            not slow,
            tuple(slow[:3]),
        ),
        Verdict(
            f"only what a cut-off relay had under way is published twice: on average at most {REPEATS} events",
            f"{messages - places:,} of {deliveries:,} ({repeats:.2%}) in {cut_off or 0:,} times;"
            f" {deliveries - messages:,} redelivered",
            cut_off is None or messages - places <= cut_off * REPEATS,
        ),
        Verdict(
            "nothing else went wrong",
            f"{len(facts.wrong)} surprises",
            not facts.wrong,
            tuple(facts.wrong[:5]),
        ),
    ]
    latency = one(LATENCY)[0] or [0.0, 0.0]
    return Judgement(verdicts, recoveries, (latency[0], latency[1]))


def _recovery(connection: psycopg.Connection[Any], outage: Outage) -> float | None:
    """Seconds from the dependency's answer to the next publish; None when none followed."""
    row = connection.execute(
        "SELECT min(published_at) - %(back)s FROM faults_delivery WHERE published_at > %(back)s",
        {"back": outage.back},
    ).fetchone()
    return None if row is None else row[0]


def _examples(rows: list[tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(" ".join(map(str, row)) for row in rows[:3])
