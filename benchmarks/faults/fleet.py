"""Relays as processes: started, killed, stopped for a while, scaled, and started again when they die."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.world import PROJECT, PubSubPlace
from erp.embedded.process import Child, Process

# Where a relay kills itself, and after how many passings at most: it marks less often than it publishes.
POINTS = {"before_publish": 300, "after_publish": 300, "before_mark": 60, "after_mark": 60}
GRACE_SECONDS = 30.0


@dataclass
class RelayProcess:
    """One relay process."""

    child: Child
    point: str
    beat: Path
    retiring: bool = False
    shot: bool = False  # by the harness, not by itself
    may_refuse: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def works(self) -> bool:
        """Whether it is alive and past its start."""
        return not self.ended.is_set() and self.child.alive and self.beat.exists()


class Fleet:
    """A number of relays; a dead one is replaced at once. Thread-safe."""

    def __init__(
        self,
        place: PubSubPlace,
        argv: Sequence[str],
        pick: random.Random,
        *,
        armed: float,
        points: Mapping[str, int] = POINTS,
        note: Callable[[str], object] = lambda what: None,
    ) -> None:
        """``armed``: share of the relays that are to kill themselves at one of ``points``."""
        self._place, self._argv, self._pick, self._armed = place, list(argv), pick, armed
        self._points, self._note = points, note
        self._lock = threading.RLock()
        self._relays: list[RelayProcess] = []
        self._started = 0
        self.wanted = 0
        self.kills: Counter[str] = Counter()  # by point, or "any moment"
        self.kill_times: list[float] = []
        self.surprises: list[str] = []  # ends that nobody asked for
        self.stopped_cleanly = 0
        self.refused_to_start = 0
        self._may_refuse = False
        self._calm = 0

    def scale(self, count: int) -> None:
        """Have so many relays: start what is missing, send SIGTERM to what is too much."""
        with self._lock:
            self.wanted = count
            active = [relay for relay in self._relays if not relay.retiring]
            for relay in active[count:]:
                self._retire(relay)
            for _ in range(count - len(active)):
                self._start()

    @contextmanager
    def refusing_to_start(self) -> Iterator[None]:
        """During the block the topology is broken: a relay that starts now must say so and end."""
        self._may_refuse = True
        try:
            yield
        finally:
            with self._lock:
                self._may_refuse = False
                for relay in self._relays:  # those that may have looked just before the end
                    relay.may_refuse = not relay.works

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Relays that start during the block don't kill themselves.

        Else all of them would do so at the end of an outage, and its end is what is measured.
        """
        self._calm += 1
        try:
            yield
        finally:
            self._calm -= 1
        self._calm = 0

    def disarm(self) -> None:
        """No relay that starts from now on kills itself."""
        self._armed = 0.0

    def working(self) -> list[RelayProcess]:
        """Relays past their start that are to stay."""
        with self._lock:
            return [relay for relay in self._relays if relay.works and not relay.retiring]

    def kill(self) -> bool:
        """Kill -9 a working relay and wait until it is gone; False when none works."""
        with self._lock:
            if not (working := self.working()):
                return False
            victim = self._pick.choice(working)
            victim.shot = True
            victim.child.kill(signal.SIGKILL)
        victim.ended.wait(10)
        return True

    def freeze(self, seconds: float, meanwhile: Callable[[], object]) -> bool:
        """SIGSTOP a working relay, do something, SIGCONT it after so many seconds; False when none works."""
        with self._lock:
            if not (working := self.working()):
                return False
            victim = self._pick.choice(working)
            victim.child.kill(signal.SIGSTOP)
        until = time.monotonic() + seconds
        try:
            meanwhile()
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            victim.child.kill(signal.SIGCONT)
        return True

    def stop(self) -> None:
        """End all relays: with SIGTERM, then with SIGKILL."""
        self.scale(0)
        end = time.monotonic() + GRACE_SECONDS
        for relay in list(self._relays):
            if not relay.ended.wait(max(0.0, end - time.monotonic())):
                relay.child.kill(signal.SIGCONT)
                relay.child.stop(0, threading.Event())
                self.surprises.append("a relay didn't end within its grace after SIGTERM")

    def close(self) -> None:
        """End all by force."""
        with self._lock:
            self.wanted = 0
            relays, self._relays = self._relays, []
        for relay in relays:
            relay.child.kill(signal.SIGCONT)
            relay.child.stop(0, threading.Event())

    def _start(self) -> None:
        self._started += 1
        name = f"relay-{self._started}"
        point, env = "", {"HEARTBEAT_DIR": str(self._place.folder / name)}
        if not self._calm and self._pick.random() < self._armed:
            point = self._pick.choice(list(self._points))
            env["ERP_RELAY_FAULT"] = f"{point}:{self._pick.randint(1, self._points[point])}"
        process = Process(name=name, argv=self._argv, env=self._place.env | env, restart=False, cwd=PROJECT)
        beat = self._place.folder / name / "relay"
        log = self._place.folder / "log" / f"{name}.log"
        with self._lock:
            relay = RelayProcess(Child(process, log, {}, died=self._died), point, beat)
            self._relays.append(relay)

    def _retire(self, relay: RelayProcess) -> None:
        relay.retiring = True
        relay.child.kill(signal.SIGCONT)
        # Before it listens for SIGTERM the signal simply ends it.
        relay.child.kill(signal.SIGTERM)

    def _died(self, child: Child, code: int) -> None:
        with self._lock:
            relay = next((each for each in self._relays if each.child is child), None)
            if relay is None:
                return
            self._relays.remove(relay)
            self._judge_end(relay, code)
            relay.ended.set()
            if self.wanted > sum(not each.retiring for each in self._relays):
                self._start()

    def _judge_end(self, relay: RelayProcess, code: int) -> None:
        self._note(f"{relay.child.process.name} ended with {code} {relay.point}")
        if code == -signal.SIGKILL:
            self.kills["any moment" if relay.shot else relay.point] += 1
            self.kill_times.append(time.time())
        elif relay.retiring and (code == 0 or (code == -signal.SIGTERM and not relay.beat.exists())):
            self.stopped_cleanly += 1
        elif (
            code == 1
            and (self._may_refuse or relay.may_refuse)
            and "events could be lost" in relay.child.last_lines()
        ):
            self.refused_to_start += 1
        else:
            lines = relay.child.last_lines(12)
            self.surprises.append(f"{relay.child.process.name} ended with {code}:\n{lines}")
