"""``python -m benchmarks.market.keys``: requests with keys while web workers are killed; effects = distinct keys.

Each key is sent by several clients, at once and one after another, with a patience that is sometimes too short.
The operations page asks for 10,000 requests.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from benchmarks.market.client import Client
from benchmarks.market.deals import Goods, today
from benchmarks.market.world import Market

THREADS = 16
SENDERS = 4  # of each key
KILL_SECONDS = (2.0, 6.0)
EFFECTS = """
SELECT internal_reference, count(*) FROM requirement_requirement GROUP BY internal_reference
"""
console = Console(highlight=False)


def main() -> int:
    """Run; return 1 unless every key had exactly one effect and all its answers were the same."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market.keys", description=__doc__)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="erp-keys-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL runs as another user where this is root
        with Market(folder, arguments.seed) as market:
            faults, kills, sent = load(market, max(1, arguments.requests // SENDERS))
    for fault in faults[:20]:
        console.print(fault)
    console.print(
        f"{'BROKEN' if faults else 'One effect per key'}: {arguments.requests // SENDERS:,} keys, {sent:,} requests,"
        f" {kills} kill -9 of the web server, {time.monotonic() - started:.0f} s, seed {arguments.seed}."
    )
    return 1 if faults else 0


def load(market: Market, keys: int) -> tuple[list[str], int, int]:
    """Send every key several times while the web server is killed; contradictions, kills, requests."""
    _, staff, clients = market.people(2)
    market.place.setup_pubsub()
    market.start(("web",))
    goods, buyer = Goods.read(staff["INTERNAL_MANAGER"]), clients[1]
    senders = [
        Client(market.base, buyer.email, buyer.password, rng=random.Random(f"{market.seed} {n}"))
        for n in range(THREADS)
    ]
    work = [number for number in range(keys) for _ in range(SENDERS)]
    random.Random(f"{market.seed} order").shuffle(work)
    answers: dict[int, Counter[str]] = {number: Counter() for number in range(keys)}
    lock, errors, kills = threading.Lock(), list[str](), 0
    today_is = today(market)

    def send(client: Client) -> None:
        while True:
            with lock:
                if not work:
                    return
                number = work.pop()
            body = {
                "commodity_id": goods.commodity,
                "max_quantity": str(1 + number % 90),
                "kg_per_count": "170",
                "ceiling_price": "60000",
                "pricing_unit_id": goods.pricing_unit,
                "delivery_from_date": today_is.isoformat(),
                "delivery_until_date": (today_is + timedelta(days=20)).isoformat(),
                "bands": [{"parameter": "staple_length", "min": "28.5", "max": "30.0", "required": True}],
                "places": [{"latitude": "11.0168", "longitude": "76.9558", "state_code": "TN"}],
                "internal_reference": f"K{number}",
            }
            try:
                answer = client.keyed(
                    "POST", "/requirements", body, f"load-of-keys-{market.seed}-{number:08}"
                )
            except Exception as error:  # noqa: BLE001 - reported as a fault
                with lock:
                    errors.append(f"key {number}: {error}")
                continue
            with lock:
                answers[number][f"{answer.status} {answer.body.get('id', answer.body)}"] += 1

    threads = [threading.Thread(target=send, args=(client,)) for client in senders]
    for thread in threads:
        thread.start()
    rng = random.Random(f"{market.seed} kills")
    while any(thread.is_alive() for thread in threads):
        time.sleep(rng.uniform(*KILL_SECONDS))
        market.kill("web", rng)
        kills += 1
    for thread in threads:
        thread.join()
    with market.place.connect() as connection:
        effects: dict[str, int] = dict(connection.execute(EFFECTS).fetchall())
    for number, seen in answers.items():
        if len(seen) != 1 or not next(iter(seen)).startswith("201 "):
            errors.append(f"key {number} was answered {dict(seen)}")
        if effects.get(f"K{number}") != 1:
            errors.append(f"key {number} had {effects.get(f'K{number}', 0)} effects")
    return errors, kills, sum(client.counts["sent"] for client in senders)


if __name__ == "__main__":
    sys.exit(main())
