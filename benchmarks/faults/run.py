"""One run: writers, relays and the checker beside each other, what happens to them, and the quiet end."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
import psycopg
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from benchmarks.faults.board import Board, BoardSlot
from benchmarks.faults.checker import Checker
from benchmarks.faults.fleet import POINTS, Fleet
from benchmarks.faults.world import Closing, PubSubPlace, World
from benchmarks.faults.writer import MOST, POISON, THREADS, streams
from erp.embedded.process import Child

TOPIC, SUBSCRIPTION = "cotton-erp-events", "cotton-erp-events-sub"
DEAD_LETTERS = "cotton-erp-events-dlq-sub"
SETTLE_SECONDS = 180.0
MAX_ATTEMPTS = 5  # the product's default of OUTBOX_MAX_ATTEMPTS
IDLE_LOOKS = 30  # of the checker, 20 ms apart: then nothing is under way

# The state of the outbox in one statement, so of one instant: rows by status; failed rows that aren't poison;
# published rows whose predecessor isn't; rows that tell what the operator decided, which no writer wrote.
SAMPLE = """
SELECT count(*), count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'processing'),
       count(*) FILTER (WHERE status = 'published'), count(*) FILTER (WHERE status = 'failed'),
       count(*) FILTER (WHERE status = 'failed' AND NOT payload ? 'seal'),
       (SELECT count(*) FROM event_outbox p JOIN event_outbox o
          ON o.aggregate_type = p.aggregate_type AND o.aggregate_id = p.aggregate_id
         AND o.sequence = p.sequence + 1
        WHERE p.status IN ('pending', 'processing', 'failed') AND o.status = 'published'),
       count(*) FILTER (WHERE aggregate_type = 'outbox_event')
FROM event_outbox
"""
# Rows that still wait although no failed event stands before them in their stream.
WAITING = """
SELECT count(*) FROM event_outbox o
WHERE status IN ('pending', 'processing') AND NOT EXISTS (
    SELECT 1 FROM event_outbox f
    WHERE f.status = 'failed' AND f.aggregate_type = o.aggregate_type AND f.aggregate_id = o.aggregate_id
      AND f.sequence < o.sequence)
"""
UNPUBLISHED = "SELECT count(*) FROM event_outbox WHERE status IN ('pending', 'processing', 'failed')"
FAILED = (
    "SELECT id, payload ->> 'seal', processing_attempts, last_error FROM event_outbox WHERE status = 'failed'"
)
RELAYS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'erp-relay' AND datname = current_database()"
)
WRITERS = """
SELECT pid FROM pg_stat_activity
WHERE application_name NOT IN ('erp-relay', 'faults-harness') AND datname = current_database()
  AND backend_type = 'client backend'
"""


@dataclass(frozen=True)
class Size:
    """How much a run does."""

    events: int
    streams: int
    writers: int = 2
    most: int = MOST  # events of one transaction
    poison: float = 0.0
    slow: float = 0.03  # share of transactions that commit late


@dataclass(frozen=True)
class Outage:
    """A dependency was away; ``back`` is the moment (Unix time) from which it answered again."""

    what: str
    seconds: float
    back: float


@dataclass
class Facts:
    """What the harness did and saw, apart from what stands in the database and in the files."""

    done: Counter[str] = field(default_factory=Counter)
    outages: list[Outage] = field(default_factory=list)
    samples: int = 0
    unbalanced: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # what else must not happen
    failed: set[str] = field(default_factory=set)  # ids of events seen failed
    skipped: int = 0
    retried: int = 0
    deadlettered: set[str] = field(default_factory=set)
    seconds: float = 0.0


class Run:
    """The processes of a run. A context manager: leaving it stops them."""

    def __init__(
        self,
        world: World,
        name: str,
        size: Size,
        seed: int,
        relay: Sequence[str],
        *,
        armed: float,
        points: Mapping[str, int] = POINTS,
    ) -> None:
        self.world, self.size, self.seed = world, size, seed
        self.facts = Facts()
        self.place = PubSubPlace(world, name)
        self.board = Board(self.place.folder / "board", create=True)
        self.fleet = Fleet(
            self.place, relay, random.Random(f"{seed}:fleet"), armed=armed, points=points, note=self.note
        )
        self._writers: list[Child] = []
        self._written: list[threading.Event] = []
        self._running = ExitStack()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.place.make()
        with self.place.connect() as connection:
            lots = [stream for kind, stream in streams(self.seed, self.size.streams) if kind == "lot"]
            connection.execute("INSERT INTO faults_lot (id) SELECT unnest(%s::uuid[])", [lots])
        self._running.callback(self.fleet.close)
        self._spawn_checker()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._running.close()

    def _spawn_checker(self) -> None:
        process = self.place.process(
            "checker",
            "benchmarks.faults.checker",
            "--address",
            self.world.pubsub_address,
            "--subscription",
            self.subscription(SUBSCRIPTION),
        )
        self._spawn(process, lambda child, code: self.facts.wrong.append(f"the checker ended with {code}"))

    def start_writers(self) -> None:
        """Start the writers; they wait for ``allow``."""
        each = self.size.events // (self.size.writers * THREADS)
        for writer in range(self.size.writers):
            done = threading.Event()
            self._written.append(done)

            def ended(child: Child, code: int, done: threading.Event = done) -> None:
                if code:
                    self.facts.wrong.append(f"a writer ended with {code}:\n{child.last_lines()}")
                done.set()

            process = self.place.process(
                f"writer-{writer}",
                "benchmarks.faults.writer",
                *("--writer", writer, "--writers", self.size.writers, "--seed", self.seed),
                *("--streams", self.size.streams, "--events", each),
                *("--most", self.size.most, "--poison", self.size.poison, "--slow", self.size.slow),
            )
            self._writers.append(self._spawn(process, ended))

    def _spawn(self, process: Any, ended: Callable[[Child, int], None]) -> Child:
        child = Child(process, self.place.folder / "log" / f"{process.name}.log", {}, died=ended)
        self._running.callback(child.stop, 0, threading.Event())
        return child

    def sample_every(self, seconds: float) -> None:
        """Look at the balance of the outbox, beside everything else, until the run is over."""

        def look() -> None:
            while not self._over.wait(seconds):
                with suppress(psycopg.OperationalError):
                    self.sample()

        thread = threading.Thread(target=look, name="sampler")
        thread.start()
        self._running.callback(thread.join)
        self._running.callback(self._over.set)

    def note(self, what: str) -> None:
        """A line in the run's diary, for whoever looks for the cause of something."""
        with (self.place.folder / "diary.log").open("a") as file:
            file.write(f"{time.time():.3f} {self.delivered:9} {what}\n")

    @property
    def committed(self) -> int:
        """Events whose commit was acknowledged."""
        return self.board.total(BoardSlot.COMMITTED)

    @property
    def delivered(self) -> int:
        """Deliveries that the checker has written down, repeats included."""
        return self.board[BoardSlot.DELIVERIES]

    def sample(self) -> None:
        """Compare the rows with the ledgers and with themselves, at one instant."""
        least = self.committed
        with self.place.connect() as connection:
            row = connection.execute(SAMPLE).fetchone()
        assert row is not None
        rows, pending, processing, published, failed, innocent, holes, decisions = row
        # What the writers have in hand right now may be there or not, and so may what ended in doubt.
        most = self.committed + self.board.total(BoardSlot.DOUBTFUL) + self.size.writers * THREADS * MOST
        self.facts.samples += 1
        if not least <= rows - decisions <= most or rows != pending + processing + published + failed:
            self.facts.unbalanced.append(
                f"{rows} rows ({pending} + {processing} + {published} + {failed}, of them {decisions}"
                f" decisions of the operator) for {least} to {most} events"
            )
        if holes:
            self.facts.unbalanced.append(f"{holes} published events without their predecessor")
        if innocent:
            self.facts.unbalanced.append(f"{innocent} failed events that aren't poison")

    def value(self, statement: str) -> int:
        """A count; -1 while the database doesn't answer."""
        try:
            with self.place.connect() as connection:
                row = connection.execute(statement).fetchone()
        except psycopg.OperationalError:
            return -1
        return int(row[0]) if row else 0

    def until(self, true: Callable[[], bool], seconds: float, what: str) -> bool:
        """Wait for something; when it doesn't come in time, that is a fact. Raises Closing."""
        end = time.monotonic() + seconds
        while not true():
            if self.world.closing.is_set():
                raise Closing
            if time.monotonic() > end:
                self.facts.wrong.append(f"after {seconds:.0f} s still not: {what}")
                return False
            time.sleep(0.05)
        return True

    def allow(self, share: float) -> None:
        """Let the writers commit up to this share of all events."""
        self.board[BoardSlot.ALLOWED] = round(share * self.size.events)

    def wait_committed(self, share: float) -> None:
        """Wait until the writers got so far, or as near as a transaction of each thread allows."""
        wanted = share * self.size.events - self.size.writers * THREADS * MOST
        self.until(lambda: self.committed >= wanted, 60, f"{share:.0%} of the events committed")

    def cut(self, statement: str) -> int:
        """End database sessions; how many."""
        with suppress(psycopg.OperationalError), self.place.connect() as connection:
            pids = [pid for (pid,) in connection.execute(statement)]
            for pid in pids:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            return len(pids)
        return 0

    def step_clock(self, seconds: float) -> None:
        """From now on events are stamped by a clock that is off by so much."""
        with self.place.connect() as connection:
            connection.execute("UPDATE faults_clock SET skew = make_interval(secs => %s)", [seconds])
        self.facts.done["clock stepped"] += 1

    def subscription(self, name: str) -> str:
        """Full name."""
        return f"projects/{self.place.project}/subscriptions/{name}"

    def lose_topic(self, seconds: float) -> float:
        """Delete the topic; after a while the operator makes it anew. The moment when all was back.

        Before its subscription is there, the topic stands alone for a second, in which a relay dies: whoever
        takes its buckets over must not publish either.
        """
        topic = f"projects/{self.place.project}/topics/{TOPIC}"
        self._call("Publisher", "DeleteTopic", types.DeleteTopicRequest.pb()(topic=topic))
        time.sleep(seconds)
        # What the old subscription holds is read before it goes; attached to nothing, it can't be kept.
        self.wait_checked()
        self._call(
            "Subscriber",
            "DeleteSubscription",
            types.DeleteSubscriptionRequest.pb()(subscription=self.subscription(SUBSCRIPTION)),
        )
        self._call("Publisher", "CreateTopic", types.Topic.pb()(name=topic), answer=types.Topic.pb())
        self.fleet.kill()
        time.sleep(1.0)
        self.place.setup_pubsub()
        return time.time()

    def wait_checked(self, looks: int = IDLE_LOOKS) -> None:
        """Wait until the checker has found its subscription empty for a while."""
        seen, idle = self.board[BoardSlot.DELIVERIES], self.board[BoardSlot.IDLE]

        def quiet() -> bool:
            nonlocal seen, idle
            if (now := self.board[BoardSlot.DELIVERIES]) != seen:
                seen, idle = now, self.board[BoardSlot.IDLE]
            return self.board[BoardSlot.IDLE] >= idle + looks

        self.until(quiet, SETTLE_SECONDS, "the subscription read to its end")

    def _call(self, service: str, method: str, request: Any, answer: Any = Empty) -> None:
        with grpc.insecure_channel(self.world.pubsub_address) as channel:
            channel.unary_unary(
                f"/google.pubsub.v1.{service}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )(request, timeout=10, wait_for_ready=True)

    def failures(self) -> dict[str, list[str]]:
        """Ids of the failed events by what becomes of them: ``skip`` or ``heal``. Notes what is odd."""
        found: dict[str, list[str]] = {"skip": [], "heal": []}
        with self.place.connect() as connection:
            rows = connection.execute(FAILED).fetchall()
        for row_id, seal, attempts, error in rows:
            self.facts.failed.add(str(row_id))
            # A relay that lost its locks meanwhile may have counted its own try as well.
            if seal is None or attempts < MAX_ATTEMPTS or "INVALID_ARGUMENT" not in (error or ""):
                self.facts.wrong.append(f"{row_id} failed after {attempts} attempts: {error}")
            found[(seal or "skip").rpartition(" ")[2]].append(str(row_id))
        return found

    def skip_failed(self) -> int:
        """``outbox skip`` for half of what has failed; the other half waits for its cause to go away."""
        ids = self.failures()["skip"]
        self.facts.skipped += self._resolve("skip", ids, "the lot was never weighed")
        return len(ids)

    def _resolve(self, action: str, ids: list[str], reason: str) -> int:
        count = 0
        for start in range(0, len(ids), 500):
            output = self.place.command(
                "outbox", action, *ids[start : start + 500], "--reason", reason, "--yes", "--json"
            )
            count += len(json.loads(output)["skipped" if action == "skip" else "retried"])
        return count

    def finish_writing(self, seconds: float) -> None:
        """Let the writers write the rest and end."""
        self.note("the writers write the rest")
        self.allow(1.0)
        self.until(lambda: all(done.is_set() for done in self._written), seconds, "all writers at their end")

    def settle(self) -> None:
        """Everything goes out but what stands behind poison; that is skipped or, once it can go, retried."""
        while True:
            self.note("waiting for what isn't behind poison")
            self.until(
                lambda: self.value(WAITING) == 0, SETTLE_SECONDS, "all streams without poison published"
            )
            if not self.skip_failed():
                break
        self.world.plan([rule for rule in self.world.rules if not rule.get("containing")])
        if ids := self.failures()["heal"]:
            self.facts.retried += self._resolve("retry", ids, "the schema takes it now")
        self.until(
            lambda: self.value(UNPUBLISHED) == 0,
            SETTLE_SECONDS,
            "every event published",
        )

    def end(self) -> None:
        """Stop the relays, read what is left, also the dead letters."""
        self.note("stopping the relays")
        self.fleet.stop()
        self.wait_checked()
        self.note("everything is read")
        self.facts.wrong += self.fleet.surprises
        path = self.place.folder / "deadletters.tsv"
        letters = Checker(self.world.pubsub_address, self.subscription(DEAD_LETTERS), path)
        while letters.take():
            pass
        for line in path.read_text().splitlines():
            fields = line.split("\t")
            if fields[9]:
                self.facts.deadlettered.add(fields[2])


def poison_rule() -> dict[str, Any]:
    """Pub/Sub refuses each request that holds a poison event, as a topic with a schema does."""
    return {"kind": "refuse", "methods": ["Publish"], "containing": POISON, "code": "INVALID_ARGUMENT"}
