"""Measure the money of trades.

- the engine alone, a preview and a settlement of journey A's trade through stored rows: milliseconds and statements;
- settlements a second, by one thread and by four, of one pair of partners, whose TDS position all of them move;
- verify_ledger over all of them: seconds, and the memory of the process;
- a page of 50 of the list of trades.

    python -m benchmarks.trades [--settlements 200] [--rounds 50] [--json]
"""

import argparse
import inspect
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["THROTTLE_READ"] = "1000000"
os.environ["LOG_LEVEL"] = "ERROR"

THREADS = 4
DAY = date(2026, 2, 23)


class Factories:
    """The factories of the tests, without pytest."""

    def __getattr__(self, factory_name: str) -> Any:
        """The factory with that name."""
        from config import testing

        function: Any = getattr(testing, factory_name)._get_wrapped_function()
        needed = inspect.signature(function).parameters
        factory = function(*(None if name == "db" else getattr(self, name) for name in needed))
        setattr(self, factory_name, factory)
        return factory


def timed(rounds: int, run: Callable[[], Any]) -> float:
    """The median in milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 2)


def statements(run: Callable[[], Any]) -> int:
    """How many statements a call takes."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        run()
    return len(captured)


def ready(exchange: Any, count: int) -> list[Any]:
    """Delivered and paid trades."""
    from apps.trades.models import Trade
    from apps.trades.tests.cases import pay

    trades = [exchange.trade() for _ in range(count)]
    for trade in trades:
        payment = pay(1, "BALANCE", "2603669.00", "2026-01-30")  # type: ignore[no-untyped-call]
        exchange.pay(trade, payment)
    return list(Trade.objects.filter(pk__in=[trade.pk for trade in trades]))


def settle(exchange: Any, trade: Any) -> None:
    """Settle a trade in a transaction of its own."""
    from apps.trades.services import settlement

    settlement.settle(trade, actor=exchange.finance, settled_date=DAY)


def rate(exchange: Any, count: int, threads: int) -> dict[str, Any]:
    """Settlements a second."""
    from django.db import connection

    trades = ready(exchange, count)

    def one(trade: Any) -> None:
        try:
            settle(exchange, trade)
        finally:
            if threads > 1:
                connection.close()

    started = time.perf_counter()
    if threads == 1:
        for trade in trades:
            one(trade)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, trades))
    return {"threads": threads, "a_second": round(count / (time.perf_counter() - started), 1)}


def single(exchange: Any, rounds: int) -> dict[str, Any]:
    """The engine alone, a preview and a settlement."""
    from apps.trades import engine
    from apps.trades.services import gathering, settlement
    from apps.trades.tests.cases import pay

    trade, other = ready(exchange, 2)
    gathered = gathering.gather(trade, as_of=DAY, lock=False)
    found = {
        "engine_ms": timed(rounds, lambda: engine.preview(engine.CURRENT, gathered.terms, gathered.facts)),
        "preview_ms": timed(rounds, lambda: settlement.preview(trade, as_of=DAY)),
        "preview_statements": statements(lambda: settlement.preview(trade, as_of=DAY)),
    }
    late = pay(1, "CARRYING", "20111.00", "2026-02-25")  # type: ignore[no-untyped-call]
    return {
        **found,
        "settle_statements": statements(lambda: settle(exchange, trade)),
        "payment_statements": statements(lambda: exchange.pay(other, late)),
    }


def verified() -> dict[str, Any]:
    """Recompute every settlement."""
    from apps.trades import ledgers
    from apps.trades.models import Settlement

    started = time.perf_counter()
    differences = sum(len(list(check())) for check in (ledgers.check_settlements, ledgers.check_positions))
    return {
        "settlements": Settlement.objects.count(),
        "seconds": round(time.perf_counter() - started, 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "differences": differences,
    }


def page(exchange: Any, rounds: int) -> dict[str, Any]:
    """A page of 50 of the list of trades, as staff read it."""
    from apps.trades.models import Trade
    from config.testing import signed_in_client

    client = signed_in_client(exchange.finance)
    read = lambda: client.read("/api/v1/trades", {"limit": "50"})  # noqa: E731
    rows = len(read().json()["results"])
    return {
        "trades": Trade.objects.count(), "rows": rows, "statements": statements(read), "ms": timed(rounds, read),
    }  # fmt: skip


def main() -> int:
    """Measure and print; 1 where a settlement differs from what its facts come to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settlements", type=int, default=200, help="by one thread, and by four")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from apps.trades.tests.stored import Exchange

        exchange: Any = Exchange(Factories())  # type: ignore[no-untyped-call]
        found: dict[str, Any] = {
            "single": single(exchange, options.rounds),
            "rates": [rate(exchange, options.settlements, threads) for threads in (1, THREADS)],
            "verify_ledger": verified(),
            "page": page(exchange, min(options.rounds, 15)),
        }
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if found["verify_ledger"]["differences"] else 0


def _print(found: dict[str, Any]) -> None:
    one, page_, checked = found["single"], found["page"], found["verify_ledger"]
    print(
        f"engine alone {one['engine_ms']} ms, preview {one['preview_ms']} ms ({one['preview_statements']} statements)"
    )
    print(f"settle: {one['settle_statements']} statements, a payment {one['payment_statements']}")
    for line in found["rates"]:
        print(f"settlements by {line['threads']} threads: {line['a_second']} a second")
    print(
        f"verify_ledger over {checked['settlements']} settlements: {checked['seconds']} s, {checked['memory_mb']} MB,"
        f" {checked['differences']} differences"
    )
    print(
        f"page of {page_['rows']} among {page_['trades']} trades: {page_['statements']} statements, {page_['ms']} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
