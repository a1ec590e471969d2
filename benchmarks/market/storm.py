"""What happens to the servers and processes of a market while people deal."""

import random
import threading
from collections import Counter
from collections.abc import Callable

from benchmarks.market.world import NAMES, Market

REST_SECONDS = (1.0, 4.0)  # between two blows
DOWN_SECONDS = 3.0


class MarketStorm(threading.Thread):
    """One blow after another until it is asked to stop, then everything is up."""

    def __init__(self, market: Market, seed: int) -> None:
        super().__init__(name="storm", daemon=True)
        self._market, self._rng = market, random.Random(f"{seed} storm")
        self._over = threading.Event()
        self.seen: Counter[str] = Counter()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Strike."""
        blows: list[tuple[str, float, Callable[[], None]]] = [
            *(
                (f"kill -9 {name}", 4.0, lambda name=name: self._market.kill(name, self._rng))
                for name in NAMES
            ),  # type: ignore[misc]
            ("PostgreSQL crashed", 1.0, lambda: self._restart("postgres")),
            ("Pub/Sub down", 1.0, lambda: self._restart("pubsub")),
            ("Redis down", 1.0, lambda: self._restart("redis")),
        ]
        try:
            while not self._over.wait(self._rng.uniform(*REST_SECONDS)):
                name, _, blow = self._rng.choices(blows, [weight for _, weight, _ in blows])[0]
                blow()
                self.seen[name] += 1
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            self.error = error

    def stop(self) -> None:
        """Let the last blow pass."""
        self._over.set()
        self.join()
        if self.error is not None:
            raise self.error

    def _restart(self, name: str) -> None:
        world = self._market.world
        server = {"postgres": world.postgres, "redis": world.redis, "pubsub": world.pubsub}[name]
        server.stop()
        self._over.wait(self._rng.uniform(0.2, DOWN_SECONDS))
        if name == "pubsub":
            world.start_pubsub()
        else:
            server.start()
