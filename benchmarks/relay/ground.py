"""The ground that is measured on: servers, a database with as many waiting events as wanted, a fresh sink."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from benchmarks.faults.world import PROJECT, PubSubPlace, World
from erp.embedded.testing import PubSub

PAYLOAD_BYTES = 1000
_MILLISECOND = 1_790_000_000_000  # Unix time that the ids of the events begin with
CONTEST_SECONDS = 600.0

_ROWS = """
DROP TABLE IF EXISTS bench_row;
CREATE UNLOGGED TABLE bench_row (
    n int PRIMARY KEY, id uuid NOT NULL, aggregate_id uuid NOT NULL, bucket smallint NOT NULL,
    sequence bigint NOT NULL, payload jsonb NOT NULL);
"""
_FILL = """
TRUNCATE event_outbox, event_stream, event_relay_layout RESTART IDENTITY;
INSERT INTO event_stream (aggregate_type, aggregate_id, last_sequence, created_at)
SELECT 'lot', aggregate_id, max(sequence), now() FROM bench_row GROUP BY aggregate_id;
INSERT INTO event_outbox (
    id, event_type, event_version, payload, aggregate_type, aggregate_id, bucket, sequence, created_at, status,
    processing_attempts, correlation_id, causation_id, traceparent, published_message_id, resolved_by,
    resolution_reason)
SELECT id, 'lot.moved', 1, payload, 'lot', aggregate_id, {bucket}, sequence, now(), 'pending', 0,
       '01890a5d-ac96-774b-bcce-b302099a8057', '01890a5d-ac96-774b-bcce-b302099a8058',
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '', '', ''
FROM bench_row ORDER BY n;
"""


@dataclass(frozen=True)
class Sizes:
    """How much is done: in full, or just enough to see that all works."""

    quick: bool

    def __call__(self, full: int, quick: int) -> int:
        """The one or the other."""
        return quick if self.quick else full


class Outbox:
    """``events`` waiting events over ``streams`` streams, in a random order, each of 1 KB."""

    def __init__(self, place: PubSubPlace, events: int, streams: int) -> None:
        self.place, self.events = place, events
        pick = random.Random(42)
        ids = [UUID(int=pick.getrandbits(128), version=4) for _ in range(streams)]
        order = [ids[n % streams] for n in range(events)]
        pick.shuffle(order)
        sequences: dict[UUID, int] = {}
        with place.connect() as connection:
            connection.execute(_ROWS)
            with connection.cursor().copy("COPY bench_row FROM STDIN") as copy:
                for n, stream in enumerate(order):
                    sequences[stream] = sequences.get(stream, 0) + 1
                    row_id = UUID(int=(_MILLISECOND + n) << 80 | 7 << 76 | pick.getrandbits(76))
                    text = pick.randbytes(PAYLOAD_BYTES // 2).hex()[: PAYLOAD_BYTES - 20]
                    payload = json.dumps({"ref": n, "text": text})
                    copy.write_row((n, row_id, stream, _bucket(stream), sequences[stream], payload))

    def fill(self, *, one_bucket: bool = False) -> None:
        """Let all of them wait, in a table and indexes as good as new."""
        with self.place.connect() as connection:
            for statement in _FILL.format(bucket=0 if one_bucket else "bucket").split(";\n"):
                connection.execute(statement)
            connection.execute("VACUUM ANALYZE event_outbox")
            connection.execute("CHECKPOINT")

    def check_published(self) -> None:
        """Raises RuntimeError unless every event is marked as published."""
        with self.place.connect() as connection:
            found = dict(
                connection.execute("SELECT status, count(*) FROM event_outbox GROUP BY 1").fetchall()
            )
        if found != {"published": self.events}:
            raise RuntimeError(f"of {self.events} events {found}")


def _bucket(stream: UUID) -> int:
    """As erp.outbox.flush.bucket_of, which needs Django."""
    import hashlib

    digest = hashlib.sha256(f"lot:{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 64


def run(place: PubSubPlace, module: str, *arguments: object, **env: str) -> dict[str, float]:
    """Run a process of the benchmark that prints one JSON object. Raises RuntimeError with what it complained of."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=PROJECT,
        env=place.env | env,
        capture_output=True,
        text=True,
        timeout=CONTEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(map(str, arguments))}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


class Drained(NamedTuple):
    """How one contestant emptied the outbox."""

    rate: float  # events a second
    cpu: float  # of its own process, seconds an event


def drain(outbox: Outbox, contestant: str) -> Drained:
    """Fill the outbox and let the contestant empty it into a fresh sink."""
    outbox.fill(one_bucket=contestant == "bare")
    with PubSub() as sink:
        env = {
            "PUBSUB_EMULATOR_HOST": sink.address,
            "OUTBOX_ORDERING": "bucket" if contestant == "relay-bucket" else "aggregate",
        }
        result = run(outbox.place, "benchmarks.relay.contestants", contestant, **env)
    outbox.check_published()
    return Drained(outbox.events / result["seconds"], result["cpu"] / outbox.events)


@contextmanager
def a_place(world: World, name: str) -> Iterator[PubSubPlace]:
    """A database of its own on the servers."""
    place = PubSubPlace(world, name)
    place.make()
    yield place


Report = Callable[[str], None]


def machine(place: PubSubPlace) -> str:
    """What it ran on, without a name."""
    import platform

    with place.connect() as connection:
        row = connection.execute("SHOW server_version").fetchone()
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {platform.python_version()}, PostgreSQL {row[0] if row else '?'}"
