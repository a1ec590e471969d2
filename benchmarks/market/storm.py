"""What happens to the servers and processes of a market while people deal."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.market.world import NAMES, READY_SECONDS, Market
from config.run import is_ready
from erp.embedded.process import CannotStart

REST_SECONDS = (1.0, 4.0)  # between two blows
DOWN_SECONDS = 3.0
SERVERS = {"postgres": "PostgreSQL crashed", "pubsub": "Pub/Sub down", "redis": "Redis down"}


class MarketStorm(threading.Thread):
    """One blow after another until it is asked to stop, each kind at least once; then everything is up."""

    def __init__(self, market: Market, seed: int) -> None:
        super().__init__(name="storm", daemon=True)
        self._market, self._rng = market, random.Random(f"{seed} storm")
        self._over = threading.Event()
        self.seen: Counter[str] = Counter()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Strike."""
        blows: Mapping[str, Callable[[], None]] = {
            f"kill -9 {name}": partial(self._market.kill, name, self._rng) for name in NAMES
        } | {words: partial(self._restart, name) for name, words in SERVERS.items()}
        weights = [4.0] * len(NAMES) + [1.0] * len(SERVERS)
        first = self._rng.sample(list(blows), len(blows))
        try:
            while first or not self._over.is_set():
                name = first.pop() if first else self._rng.choices(list(blows), weights)[0]
                struck = time.monotonic()
                blows[name]()
                self.seen[name] += 1
                self._wait_until_up(name.removeprefix("kill -9 "), time.time())
                # Who never works can't do anything wrong: longer than it was down, the market works.
                self._over.wait(self._rng.uniform(*REST_SECONDS) + time.monotonic() - struck)
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            self.error = error

    def stop(self) -> None:
        """Let the last blow pass."""
        self._over.set()
        self.join()
        if self.error is not None:
            raise self.error

    def _wait_until_up(self, name: str, killed: float) -> None:
        """On a busy machine a process starts for half a minute: killed again before, it would never work."""
        end = time.monotonic() + READY_SECONDS
        while not (is_ready(self._market.port) and (name not in NAMES or self._market.works(name, killed))):
            if time.monotonic() > end:
                raise CannotStart(f"{name} did not come back within {READY_SECONDS:.0f} s.")
            time.sleep(0.2)

    def _restart(self, name: str) -> None:
        world = self._market.world
        server = {"postgres": world.postgres, "redis": world.redis, "pubsub": world.pubsub}[name]
        server.stop()
        self._over.wait(self._rng.uniform(0.2, DOWN_SECONDS))
        if name == "pubsub":
            world.start_pubsub()
        else:
            server.start()
