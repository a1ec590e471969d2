"""``python -m benchmarks.market``: partners deal over HTTP while servers die; at the end all books must agree."""

import argparse
import os
import queue
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.market.books import COMMITTED, NEWEST, MarketBooks, contradictions
from benchmarks.market.client import Client
from benchmarks.market.deals import Deals, Goods
from benchmarks.market.mutants import MUTANTS
from benchmarks.market.shifted import AHEAD_DAYS
from benchmarks.market.spy import leaks
from benchmarks.market.storm import MarketStorm
from benchmarks.market.world import Market
from erp.embedded.process import CannotStart
from erp.embedded.tap import Received, Tap

TOPIC = "cotton-erp-events"
ARRIVAL_SECONDS = 120.0
SHOWN = 20
INSIDERS = """
SELECT r.holder_partner_id::text, r.availability_id::text FROM availability_reservation r
UNION SELECT n.buyer_partner_id::text, n.availability_id::text FROM negotiation_negotiation n
UNION SELECT a.seller_partner_id::text, a.id::text FROM availability_availability a"""
console = Console(highlight=False, width=max(Console().width, 120))


@dataclass(frozen=True)
class Size:
    """How much is dealt: the days pass in equal steps between ``rounds`` of dealing."""

    deals: int = 10_000
    partners: int = 40
    days: int = 24
    rounds: int = 4
    threads: int = 8


SMALL = Size(deals=20, partners=6, days=8, rounds=2, threads=8)
TINY = Size(deals=6, partners=4, days=0, rounds=1, threads=4)  # for a mutant


def main() -> int:
    """Run a market; return 1 if any book disagrees with another, or a mutant was not noticed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market", description=__doc__)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--small", action="store_true", help=f"by default {SMALL.deals} deals in {SMALL.days} days"
    )
    parser.add_argument("--deals", type=int, help=f"default {Size.deals:,}; 0: only what else is asked for")
    parser.add_argument("--partners", type=int, help=f"half of them sell; default {Size.partners}")
    parser.add_argument(
        "--days", type=int, help=f"of business time, default {Size.days}, at most {AHEAD_DAYS}"
    )
    parser.add_argument("--calm", action="store_true", help="nothing dies")
    parser.add_argument(
        "--mutants", action="store_true", help="plant bugs, too, and see that they are noticed"
    )
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    arguments = parser.parse_args()
    base = SMALL if arguments.small else Size()
    given = {name: getattr(arguments, name) for name in ("deals", "partners", "days")}
    size = replace(base, **{name: value for name, value in given.items() if value is not None})
    if not (0 <= size.days <= AHEAD_DAYS and size.partners >= 4):
        parser.error(f"at least 4 partners, and at most {AHEAD_DAYS} days")
    signal.signal(signal.SIGTERM, ended)
    try:
        faults = play(size, arguments)
    except CannotStart as error:
        console.print(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    for fault in faults[:SHOWN]:
        console.print(fault, style="red", markup=False)
    return 1 if faults else 0


def ended(number: int, frame: object) -> None:
    """Leave, and let nothing disturb the clearing up."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit("Ended by SIGTERM.")


def play(size: Size, arguments: argparse.Namespace) -> list[str]:
    """A market from its opening to its books, or one for each mutant; the contradictions, or mutants not noticed."""
    folder = Path(tempfile.mkdtemp(prefix="erp-market-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where this is root
    started = time.monotonic()
    try:
        with Market(folder, arguments.seed) as market:
            market.people(size.partners)
            faults = []
            if size.deals:
                market.branch("market", "")
                faults += trade_in(market, size, calm=arguments.calm)
            if arguments.mutants:
                faults += [f"not noticed: {name}" for name in MUTANTS if not noticed(market, name, size)]
    finally:
        if arguments.keep:
            console.print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    verdict = f"BROKEN: {len(faults)} contradictions" if faults else "All books agree"
    console.print(
        f"{verdict} after {time.monotonic() - started:.0f} s ({cpu_seconds():.0f} s of processor time),"
        f" seed {arguments.seed}."
    )
    return faults


def cpu_seconds() -> float:
    """Processor time of this process and all that it waited for: unlike the clock, the same on a busy machine."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def noticed(market: Market, name: str, size: Size) -> bool:
    """Plant a bug in a market of its own; whether the check that is there for it noticed."""
    market.branch(f"mutant{list(MUTANTS).index(name)}", name)  # a project's id is short
    faults = trade_in(market, replace(TINY, partners=size.partners), calm=True)
    hits = [fault for fault in faults if any(phrase in fault for phrase in MUTANTS[name][1])]
    for fault in hits[:1] or faults[:SHOWN]:
        console.print(f"  {fault}", markup=False)
    console.print(f"{name}: {'noticed' if hits else 'NOT NOTICED'}, {len(faults)} contradictions in all")
    return bool(hits)


def trade_in(market: Market, size: Size, *, calm: bool) -> list[str]:
    """Open the market, let everybody deal, close it, and compare the books; the contradictions."""
    people, staff, clients = market.people(size.partners)
    with market.place.connect() as connection:
        (before,) = connection.execute(NEWEST).fetchone() or (0,)
    opened = time.monotonic()
    console.print(
        f"{size.deals:,} deals of {size.partners} partners in {size.days} days, seed {market.seed}."
    )
    books, storm = MarketBooks(), MarketStorm(market, market.seed)
    sides: dict[str, list[tuple[dict[str, Any], Client]]] = {"seller": [], "buyer": []}
    for row, client in zip(people, clients, strict=True):
        sides[row["side"]].append((row, client))
    with Tap(market.world.pubsub_address, market.place.project, TOPIC, "market-tap") as tap:
        market.start()
        goods = Goods.read(staff["INTERNAL_MANAGER"])
        if not calm:
            storm.start()
        for number in range(size.rounds):
            if number:
                market.pass_days(size.days // (size.rounds - 1))
                market.renew_screening()
            deals = [
                Deals(
                    market, books, goods, staff, sides["seller"], sides["buyer"],
                    random.Random(f"{market.seed} {number} {thread}"), may_wait=number < size.rounds - 1,
                )
                for thread in range(size.threads)
            ]  # fmt: skip
            one_round(deals, size.deals // size.rounds + (number < size.deals % size.rounds), books)
            books.errors += leaked(market, books, people, clients)
            for client in (*clients, *staff.values()):  # 10,000 deals don't fit into memory
                client.told.clear()
            console.print(
                f"  day {market.days}, {time.monotonic() - opened:.0f} s: {books.done['trades']:,} trades,"
                f" {books.done['settled']:,} settled, {storm.seen.total():,} blows"
            )
        if not calm:
            storm.stop()
        faults = list(books.errors) + undelivered(market, tap, before)
    faults += contradictions(market, books)
    show(books, storm, [*clients, *staff.values()])
    return faults


def one_round(deals: Sequence[Deals], count: int, books: MarketBooks) -> None:
    """Pay and settle what waited, and so many deals more, by as many threads as there are ``deals``."""
    work: queue.SimpleQueue[str] = queue.SimpleQueue()
    for trade in [*books.unpaid, *[""] * count]:
        work.put(trade)
    books.unpaid.clear()
    workers = [threading.Thread(target=each.work, args=(work,), daemon=True) for each in deals]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def leaked(
    market: Market, books: MarketBooks, people: Sequence[dict[str, Any]], clients: Sequence[Client]
) -> list[str]:
    """What partners were told in this round though they may not know it."""
    insiders = {(partner, offer) for partner, offer in market.rows(INSIDERS)}
    return [
        f"{leak.reader} was told {leak.secret!r} of {leak.owner}: …{leak.answer}…"
        for leak in leaks(clients, people, books.acquainted, books.offered, insiders)
    ]


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
