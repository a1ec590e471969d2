"""The fault plan of a run, drawn from a seed, and its execution."""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.faults.run import RELAYS, WRITERS, Outage, Run, poison_rule

# One request in twenty meets one of these; the poison's refusal comes on top.
EVERYDAY: tuple[Mapping[str, Any], ...] = (
    {"kind": "delay", "methods": ["Publish"], "probability": 0.02, "milliseconds": 50},
    {"kind": "refuse", "methods": ["Publish"], "probability": 0.02, "code": "UNAVAILABLE"},
    {"kind": "refuse", "methods": ["Publish"], "probability": 0.004, "code": "RESOURCE_EXHAUSTED"},
    {"kind": "refuse", "methods": ["Publish"], "probability": 0.002, "code": "PERMISSION_DENIED"},
    {"kind": "refuse", "methods": ["Publish"], "probability": 0.002, "code": "INTERNAL"},
    {"kind": "lose_answer", "methods": ["Publish"], "probability": 0.001},
    {"kind": "drop", "methods": ["Publish"], "probability": 0.0005},
    {"kind": "outage", "methods": ["Publish"], "probability": 0.0001, "milliseconds": 500},
)
RELAY = (sys.executable, "manage.py", "relay_outbox")
STEP_SECONDS = 2.0  # what a kill takes, at first guess
RECOVERY_SECONDS = 2.5  # in which nothing else happens after an outage, so that it can be measured
POSTGRES_SECONDS, PUBSUB_SECONDS, SETUP_SECONDS = 5.0, 2.0, 6.0  # what a start takes, about
MANNED_SECONDS = 60.0
SELF_KILL_SECONDS = 3.0  # how long a step waits for a relay to kill itself before the harness does
ALONE_SECONDS = 2.0
SCALES = (8, 3, 5, 2, 4)
CUT, ROBBED = "relays' sessions cut", "relays stopped, robbed of their locks and continued"


@dataclass(frozen=True)
class FaultRates:
    """How often each fault comes in a run of so many kills, and how long it lasts."""

    kills: int
    pubsub_down: float  # seconds
    redis_down: float
    topic_gone: float

    def faults(self) -> dict[str, int]:
        """Name of the method that does it, and how often."""
        kills = self.kills
        return {
            "cut_relay": max(3, kills // 7),
            "cut_writer": max(2, kills // 14),
            "crash_postgres": max(1, kills // 40),
            "freeze": max(1, kills // 20),
            "freeze_and_cut": max(1, kills // 40),
            "take_redis_away": max(1, kills // 250),
            "take_pubsub_away": max(1, kills // 330),
            "crash_pubsub": max(1, kills // 40),
            "delete_topic": max(1, kills // 200),
            "step_clock_back": max(2, kills // 50),
            "scale": max(2, kills // 40),
            "resolve_poison": max(1, kills // 50),
        }

    def lasts(self) -> dict[str, float]:
        """Seconds that one outage and the recovery from it take, about."""
        lasts = {
            "crash_postgres": POSTGRES_SECONDS,
            "take_redis_away": self.redis_down,
            "take_pubsub_away": self.pubsub_down + PUBSUB_SECONDS,
            "crash_pubsub": PUBSUB_SECONDS,
            "delete_topic": self.topic_gone + SETUP_SECONDS,
        }
        return {name: seconds + RECOVERY_SECONDS for name, seconds in lasts.items()}

    def away(self) -> float:
        """Seconds that all outages take, about."""
        often = self.faults()
        return sum(often[name] * seconds for name, seconds in self.lasts().items())

    def plan(self, pick: random.Random) -> list[list[str]]:
        """For each kill what happens beside it, evenly spread.

        Pub/Sub goes away in the first half: what is poison among the events that gathered meanwhile has its
        attempts behind it before the end.
        """
        steps: list[list[str]] = [[] for _ in range(self.kills)]
        for name, count in self.faults().items():
            for _ in range(count):
                among = steps[1 : self.kills // 2] if name == "take_pubsub_away" else steps[1:]
                least = min(map(len, among))
                pick.choice([step for step in among if len(step) == least]).append(name)
        return steps


class Pace(threading.Thread):
    """Lets the writers go on steadily, at a rate that can be changed."""

    def __init__(self, run: Run) -> None:
        super().__init__(name="pace")
        self._run, self._over = run, threading.Event()
        self.allowed = 0.0  # share of all events
        self.rate = 0.0  # more of it each second

    def run(self) -> None:
        """Until closed."""
        last = time.monotonic()
        while not self._over.wait(0.05):
            now = time.monotonic()
            self.allowed += self.rate * (now - last)
            self._run.allow(min(self.allowed, 1.0))
            last = now

    def close(self) -> None:
        """End."""
        self._over.set()
        self.join()


class Storm:
    """Does to a run what a plan says, kill by kill, while the writers write steadily."""

    def __init__(self, run: Run, rates: FaultRates) -> None:
        self._run, self._rates = run, rates
        self._pick = random.Random(f"{run.seed}:storm")
        self._fleet, self._facts = run.fleet, run.facts
        self._scaled = 0
        self._pace = Pace(run)
        self._away_left = rates.away()
        self._away = 0.0  # seconds of outages so far

    def blow(self, progress: Callable[[int], object]) -> None:
        """All of it. ``progress`` is told the number of kills."""
        run = self._run
        plan = self._rates.plan(random.Random(f"{run.seed}:plan"))
        run.world.plan([poison_rule(), *EVERYDAY])
        run.start_writers()
        self._fleet.scale(3)
        self._manned()
        began = time.monotonic()
        self._pace.start()
        try:
            for step, faults in enumerate(plan):
                each = (time.monotonic() - began - self._away) / step if step > 3 else STEP_SECONDS
                left = each * (len(plan) - step) + self._away_left
                self._pace.rate = max(0.0, 1 - self._pace.allowed) / left
                for fault in faults:
                    self._manned()
                    run.note(f"{fault} ({len(self._fleet.working())} relays work)")
                    getattr(self, fault)()
                    run.note(f"{fault} is over")
                self._kill(step + 1)
                progress(self.kills)
        finally:
            self._pace.close()
        self._fleet.disarm()

    @contextmanager
    def _outage(self, name: str) -> Iterator[None]:
        """Keeps account of the time, and leaves some in which nothing else happens."""
        began = time.monotonic()
        try:
            with self._fleet.calm():
                yield
            time.sleep(RECOVERY_SECONDS)
        finally:
            self._away += time.monotonic() - began
            self._away_left = max(RECOVERY_SECONDS, self._away_left - self._rates.lasts()[name])

    @property
    def kills(self) -> int:
        """Relays that died by kill -9 so far."""
        return self._fleet.kills.total()

    def _kill(self, due: int) -> None:
        """Have so many relays killed by now: half by themselves at a named point, half at any moment."""
        if self._pick.random() < 0.5:
            end = time.monotonic() + SELF_KILL_SECONDS
            while self.kills < due and time.monotonic() < end:
                time.sleep(0.02)
        while self.kills < due and self._manned():
            self._fleet.kill()

    def _manned(self) -> bool:
        """Wait until at least two relays work, or as many as there are to be: one to break and one to go on."""
        return self._run.until(
            lambda: len(self._fleet.working()) >= min(2, self._fleet.wanted), MANNED_SECONDS, "relays working"
        )

    def cut_relay(self) -> None:
        """End a relay's database session."""
        self._facts.done[CUT] += self._run.cut(RELAYS + " ORDER BY random() LIMIT 1")

    def cut_writer(self) -> None:
        """End a writer's database session, maybe between COMMIT and its answer."""
        self._facts.done["writers' sessions cut"] += self._run.cut(WRITERS + " ORDER BY random() LIMIT 2")

    def crash_postgres(self) -> None:
        """An immediate shutdown and a start, which recovers."""
        postgres = self._run.world.postgres
        with self._outage("crash_postgres"):
            self._interrupt("PostgreSQL crashed", postgres.stop, postgres.start)

    def crash_pubsub(self) -> None:
        """Kill Pub/Sub and start it at once on its journal."""
        world = self._run.world
        with self._outage("crash_pubsub"):
            self._interrupt("Pub/Sub crashed", world.pubsub.stop, world.start_pubsub)

    def take_pubsub_away(self) -> None:
        """Pub/Sub is down for long; meanwhile relays die, too."""

        def live() -> None:
            self._fleet.kill()
            self._fleet.kill()
            time.sleep(self._rates.pubsub_down)

        world = self._run.world
        with self._outage("take_pubsub_away"):
            self._interrupt("Pub/Sub down", world.pubsub.stop, world.start_pubsub, live)

    def take_redis_away(self) -> None:
        """Redis is down for a while: no wake-ups, nothing else."""
        redis = self._run.world.redis
        with self._outage("take_redis_away"):
            self._interrupt("Redis down", redis.stop, redis.start, lambda: time.sleep(self._rates.redis_down))

    def delete_topic(self) -> None:
        """Somebody deletes the topic; the operator makes it anew by the product's command."""
        with self._outage("delete_topic"), self._fleet.refusing_to_start():
            began = time.time()
            back = self._run.lose_topic(self._rates.topic_gone)
            self._facts.outages.append(Outage("topic deleted", back - began, back))

    def _interrupt(
        self,
        what: str,
        stop: Callable[[], None],
        start: Callable[[], float],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        began = time.time()
        stop()
        meanwhile()
        back = start()
        self._facts.outages.append(Outage(what, back - began, back))

    def freeze(self) -> None:
        """SIGSTOP a relay and let it go on after a while."""
        if self._fleet.freeze(self._pick.uniform(0.5, 2.5), lambda: None):
            self._facts.done["relays stopped and continued"] += 1

    def freeze_and_cut(self) -> None:
        """The same, but meanwhile it loses its locks: it comes back with a batch that others have taken over."""
        seconds = self._pick.uniform(1.5, 3.0)
        if self._fleet.freeze(seconds, lambda: self._run.cut(RELAYS)):
            self._facts.done[ROBBED] += 1

    def step_clock_back(self) -> None:
        """The clock of the database jumps back, or forward again."""
        self._run.step_clock(self._pick.choice((-2.0, -0.7, 0.0, 1.3)))

    def scale(self) -> None:
        """For some seconds one relay has to do it alone, then comes another number of them."""
        self._fleet.scale(1)
        time.sleep(ALONE_SECONDS)
        self._fleet.scale(SCALES[self._scaled % len(SCALES)])
        self._scaled += 1
        self._facts.done["times scaled to one and up again"] += 1

    def resolve_poison(self) -> None:
        """The operator skips some of what has failed."""
        self._run.skip_failed()
