"""``python -m benchmarks.market``: partners deal over HTTP while servers die; at the end all books must agree."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.market.books import COMMITTED, NEWEST, MarketBooks, contradictions
from benchmarks.market.client import Client
from benchmarks.market.deals import Deals, Goods, work
from benchmarks.market.spy import leaks
from benchmarks.market.storm import MarketStorm
from benchmarks.market.world import Market
from erp.embedded.process import CannotStart
from erp.embedded.tap import Received, Tap

PARTNERS, DEALS, DAYS, THREADS = 40, 10_000, 10, 8
SMALL_PARTNERS, SMALL_DEALS, SMALL_DAYS, SMALL_THREADS = 8, 24, 2, 4
TOPIC = "cotton-erp-events"
ARRIVAL_SECONDS = 120.0
SHOWN = 20
console = Console(highlight=False, width=max(Console().width, 120))


def main() -> int:
    """Run a market; return 1 if any book disagrees with another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market", description=__doc__)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--small", action="store_true", help=f"{SMALL_DEALS} deals of {SMALL_PARTNERS} partners"
    )
    parser.add_argument("--deals", type=int, help=f"default {DEALS:,}")
    parser.add_argument("--calm", action="store_true", help="nothing dies")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    arguments = parser.parse_args()
    small = arguments.small
    deals = arguments.deals if arguments.deals is not None else SMALL_DEALS if small else DEALS
    folder = Path(tempfile.mkdtemp(prefix="erp-market-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where this is root
    started = time.monotonic()
    try:
        with Market(folder, arguments.seed) as market:
            faults = trade_in(
                market,
                deals,
                partners=SMALL_PARTNERS if small else PARTNERS,
                days=SMALL_DAYS if small else DAYS,
                threads=SMALL_THREADS if small else THREADS,
                calm=arguments.calm,
            )
    except CannotStart as error:
        console.print(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        if arguments.keep:
            console.print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for fault in faults[:SHOWN]:
        console.print(f"[red]{fault}", markup=True)
    verdict = f"BROKEN: {len(faults)} contradictions" if faults else "All books agree"
    console.print(f"{verdict} after {time.monotonic() - started:.0f} s, seed {arguments.seed}.")
    return 1 if faults else 0


def trade_in(market: Market, count: int, *, partners: int, days: int, threads: int, calm: bool) -> list[str]:
    """Open the market, let everybody deal, close it, and compare the books; the contradictions."""
    people, staff, clients = market.people(partners)
    market.start()
    books = MarketBooks()
    sides: dict[str, list[tuple[dict[str, Any], Client]]] = {"seller": [], "buyer": []}
    for row, client in zip(people, clients, strict=True):
        sides[row["side"]].append((row, client))
    goods = Goods.read(staff["INTERNAL_MANAGER"])
    storm = MarketStorm(market, market.seed)
    with market.place.connect() as connection:
        (before,) = connection.execute(NEWEST).fetchone() or (0,)
    with Tap(market.world.pubsub_address, market.place.project, TOPIC, "market-tap") as tap:
        if not calm:
            storm.start()
        for day in range(days):
            if day:
                market.pass_days(1)
            share = count // days + (day < count % days)
            workers = []
            for number in range(threads):
                deals = Deals(
                    market,
                    books,
                    goods,
                    staff,
                    sides["seller"],
                    sides["buyer"],
                    random.Random(f"{market.seed} {day} {number}"),
                )
                mine = share // threads + (number < share % threads)
                workers.append(threading.Thread(target=work, args=(deals, mine, market.closing), daemon=True))
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            console.print(f"day {day + 1}: {dict(books.done)}")
        if not calm:
            storm.stop()
        faults = list(books.errors) + undelivered(market, tap, before)
    faults += contradictions(market, books)
    faults += [
        f"{leak.reader} was told {leak.secret!r} of {leak.owner}: …{leak.answer}…"
        for leak in leaks(clients, people, books.acquainted)
    ]
    show(books, storm, [*clients, *staff.values()])
    return faults


def undelivered(market: Market, tap: Tap, before: int) -> list[str]:
    """Committed events that didn't arrive, or whose streams are out of order."""
    end = time.monotonic() + ARRIVAL_SECONDS
    while True:
        with market.place.connect() as connection:
            committed = {str(row[0]): row[1:] for row in connection.execute(COMMITTED, [before])}
        missing = tap.wait_for(set(committed), 2.0)
        if not missing or time.monotonic() > end:
            break
    first: dict[str, Received] = {}
    for message in tap.received():
        first.setdefault(message.event_id, message)
    found = [f"lost: {committed[event]}" for event in missing]
    streams: dict[str, list[int]] = {}
    for message in first.values():
        if message.event_id in committed:
            streams.setdefault(message.stream, []).append(message.sequence)
    found += [
        f"out of order: {stream} {sequences}"
        for stream, sequences in streams.items()
        if sequences != list(range(sequences[0], sequences[0] + len(sequences)))
    ]
    return found


def show(books: MarketBooks, storm: MarketStorm, clients: Sequence[Client]) -> None:
    """What was done, what was refused, and what happened to the servers."""
    table = Table(title="A market", title_justify="left")
    for column in ("what", "how often"):
        table.add_column(column)
    sent = {"writes": 0, "sent twice": 0, "asked again": 0}
    for client in clients:
        for name in sent:
            sent[name] += client.counts[name]
    for name, number in (*books.done.items(), *sent.items(), *storm.seen.items()):
        table.add_row(name, f"{number:,}")
    for code, number in books.refused.most_common():
        table.add_row(f"refused: {code}", f"{number:,}")
    console.print(table)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.exit(main())
