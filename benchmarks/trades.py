"""Measure the money of trades.

- the engine alone, a preview and a settlement of journey A's trade through stored rows: milliseconds and statements;
- settlements a second, by one thread and by four, of one pair of partners, whose TDS position all of them move;
- verify_ledger over so many settled trades: seconds, and the memory of the process before and after;
- a page of 50 of the list among so many trades, as staff and as the seller of few: milliseconds, statements, indexes.

    python -m benchmarks.trades [--settlements 200] [--rounds 50] [--verify 100000] [--table 1000000] [--json]

Trades that are settled through the services are copied with SQL, past triggers. Copies keep terms and facts, so the
TDS positions of their pair are brought to the sum of all entries.
"""

import argparse
import inspect
import json
import os
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from io import StringIO
from typing import Any

from benchmarks.filling import copy_of, insert_copies, without_triggers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["THROTTLE_READ"] = "1000000"
os.environ["LOG_LEVEL"] = "ERROR"

THREADS = 4
TABLE = 10_000_000  # the first copy that only the list has
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


def settled_originals(exchange: Any) -> list[Any]:
    """One settled trade of each kind: two lots, tax of one state, another mode, a claim, paid late."""
    from apps.commodities.differences import Mode
    from apps.trades.engine import facts as f
    from apps.trades.models import Trade
    from apps.trades.services import settlement
    from apps.trades.tests import cases as c

    def state(code: str) -> Any:
        parties = [replace(row, state_code=code) if row.role == "BUYER" else row for row in c.TERMS.parties]
        delivery = replace(c.TERMS.delivery, to_state=code)
        return replace(c.TERMS, parties=tuple(parties), delivery=delivery)

    rules = replace(c.DEMO_29.rules, mode=Mode.COMPOUND, cap_percent=Decimal(2))
    arrivals = tuple(
        f.Delivered(dispatch=row.id, delivered_date=date(2026, 1, 22), lines=row.lines, final=True)
        for row in c.TWO_INVOICES.dispatches
    )
    light = replace(c.ARRIVAL, gross_kg=Decimal("16800.000"))
    kinds: list[tuple[Any, Any, str]] = [
        (c.TERMS, c.ARRIVED, "2026-01-30"),
        (c.two_lots(), replace(c.TWO_INVOICES, deliveries=arrivals), "2026-01-30"),
        (state("24"), c.ARRIVED, "2026-01-30"),
        (replace(c.TERMS, schedule=replace(c.DEMO_29, rules=rules)), c.ARRIVED, "2026-01-30"),
        (c.TERMS, replace(c.ARRIVED, weighments=(c.ORIGIN, light)), "2026-01-30"),
        (c.TERMS, c.ARRIVED, "2026-02-20"),
    ]
    trades = []
    for terms, facts, paid in kinds:
        trade = exchange.trade(terms, facts)
        exchange.pay(trade, c.ADVANCE)
        due = settlement.preview(trade, as_of=DAY).settlement.obligations
        rest = sum(owed.open for owed in due if owed.kind in ("ADVANCE", "BALANCE"))
        exchange.pay(trade, c.pay(2, "BALANCE", rest, paid))  # type: ignore[no-untyped-call]
        settle(exchange, Trade.objects.get(pk=trade.pk))
        trades.append(trade)
    return trades


def copy_trades(trades: list[Any], copies: range, **columns: str) -> list[str]:
    """The statements that copy trades with their parties."""
    from apps.trades.models import Party, Trade

    keys = ", ".join(f"'{trade.pk}'" for trade in trades)
    of_trade = {"id": copy_of("t.id"), "trade_id": copy_of("t.trade_id")}
    changed = {
        "id": copy_of("t.id"), "number": "'C-' || n || right(t.number, 6)", "match_id": "gen_random_uuid()",
        "reservation_id": "gen_random_uuid()", "created_at": "t.created_at - n * interval '1 second'", **columns,
    }  # fmt: skip
    return [
        insert_copies(Trade, copies, f"t.id IN ({keys})", **changed),
        insert_copies(Party, copies, f"t.trade_id IN ({keys})", **of_trade),
    ]


def copy_money(trades: list[Any], copies: range) -> list[str]:
    """The statements that copy terms, payments and settlements of trades, with gapless numbers."""
    from apps.organization.models.numbers import AllocatedNumber, DocumentSeries
    from apps.trades import models

    keys = ", ".join(f"'{trade.pk}'" for trade in trades)
    of_trade = {"id": copy_of("t.id"), "trade_id": copy_of("t.trade_id")}
    settled, paid = {"settlement_id": copy_of("t.settlement_id")}, {"payment_id": copy_of("t.payment_id")}
    where = f"t.trade_id IN ({keys})"
    series = DocumentSeries.objects.get(document_type="settlement_statement", last_number__gt=0)
    # Originals have the first numbers; those of the copies follow the last one that was allocated.
    number = f"({series.last_number} + {len(trades)} * (n - 1) + right({{0}}, 6)::int)"
    text = f"left({{0}}, -6) || lpad({number}::text, 6, '0')"
    part = "t.{0}_id IN (SELECT id FROM trade_{0} WHERE trade_id IN (" + keys + "))"
    numbered = f"t.reference_id IN (SELECT id FROM trade_settlement WHERE trade_id IN ({keys}))"
    numbers = {
        "id": copy_of("t.id"), "number": number.format("t.document_number"),
        "document_number": text.format("t.document_number"), "reference_id": copy_of("t.reference_id"),
    }  # fmt: skip
    return [
        insert_copies(models.Terms, copies, where, **of_trade),
        insert_copies(models.Payment, copies, where, **of_trade, reference="md5(t.reference || n)"),
        insert_copies(models.PaymentAllocation, copies, part.format("payment"), **paid),
        insert_copies(models.Settlement, copies, where, **of_trade, number=text.format("t.number")),
        insert_copies(models.Line, copies, part.format("settlement"), **settled),
        insert_copies(models.LedgerEntry, copies, where, trade_id=of_trade["trade_id"], **settled, **paid),
        insert_copies(models.PositionEntry, copies, where, **of_trade, **settled, **paid),
        insert_copies(AllocatedNumber, copies, numbered, **numbers),
        f"UPDATE organization_documentseries SET last_number = last_number + {len(copies) * len(trades)}"
        f" WHERE id = '{series.pk}'",
        "UPDATE trade_taxposition p SET (counted, taxed) = (SELECT coalesce(sum(e.counted), 0),"
        " coalesce(sum(e.taxed), 0) FROM trade_positionentry e WHERE e.position_id = p.id)",
    ]


def run_without_triggers(commands: list[str]) -> None:
    """Run statements past triggers."""
    with without_triggers() as cursor:
        for each in commands:
            cursor.execute(each)


def memory() -> int:
    """The most memory that the process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def verified() -> dict[str, Any]:
    """Run verify_ledger, which recomputes every settlement."""
    from django.core.management import call_command

    before, started, report = memory(), time.perf_counter(), StringIO()
    with suppress(SystemExit):  # 1: there are differences
        call_command("verify_ledger", "--json", stdout=report)
    seconds = time.perf_counter() - started
    ledgers = json.loads(report.getvalue())["ledgers"]
    # The factory of the tests stores reservations without their part of the offer's sums.
    ledgers = [each for each in ledgers if each["ledger"] != "availability.reservations"]
    return {
        "settlements": next(each["rows"] for each in ledgers if each["ledger"] == "trade.settlements"),
        "rows": sum(each["rows"] for each in ledgers),
        "seconds": round(seconds, 1),
        "memory_mb": [before, memory()],
        "differences": [each for ledger in ledgers for each in ledger["mismatches"]],
    }


def plan_of(statement: str) -> str:
    """How PostgreSQL finds the rows of trades: scans of the table and its indexes, and whether it sorts them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}".replace("%", "%%"), [])
        lines = [line.strip(" ->") for (line,) in cursor.fetchall()]
    steps = [
        line.split("  (")[0]
        for line in lines
        if re.match(r"(Parallel )?(Seq|Index|Bitmap|Sort\b|Incr)", line)
    ]
    return ", ".join(each for each in steps if "trade_" in each or "Sort" in each)


def page(exchange: Any, rounds: int) -> list[dict[str, Any]]:
    """A page of 50 of the list of trades, as staff read it and as a seller of a few trades."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.partners.tests.factories import ready_partner
    from apps.trades.models import Trade
    from config.testing import active_user, signed_in_client

    few = ready_partner()
    run_without_triggers(
        [
            f"UPDATE trade_party SET partner_id = '{few.pk}' WHERE role = 'SELLER' AND trade_id IN (SELECT id FROM"
            " trade_trade ORDER BY created_at LIMIT 20)",
            f"UPDATE trade_trade SET seller_id = '{few.pk}' WHERE id IN (SELECT trade_id FROM trade_party WHERE"
            f" partner_id = '{few.pk}')",
        ]
    )
    seller = active_user("SELLER", user_type="EXTERNAL", partner_id=few.pk)
    side = active_user("SELLER", user_type="EXTERNAL", partner_id=exchange.seller.pk)
    found = []
    for name, user, asked in (
        ("staff", exchange.finance, {}),
        ("staff, delivered", exchange.finance, {"status": "DELIVERED"}),
        ("the seller of nearly all", side, {}),
        ("the seller of 20", seller, {}),
    ):
        read = partial(signed_in_client(user).read, "/api/v1/trades", {"limit": "50", **asked})
        rows = len(read().json()["results"])
        with CaptureQueriesContext(connection) as captured:
            read()
        sql = max((query["sql"] for query in captured.captured_queries), key=len)
        found.append(
            {
                "read": name, "trades": Trade.objects.count(), "rows": rows, "statements": len(captured),
                "ms": timed(rounds, read), "plan": plan_of(sql), "sql": sql,
            }
        )  # fmt: skip
    return found


def main() -> int:
    """Measure and print; 1 where a settlement differs from what its facts come to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settlements", type=int, default=200, help="by one thread, and by four")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument(
        "--verify", type=int, default=600, help="settled trades that verify_ledger recomputes"
    )
    parser.add_argument("--table", type=int, default=10_000, help="trades among which a page is read")
    parser.add_argument("--json", action="store_true")
    options, began = parser.parse_args(), time.monotonic()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from apps.trades.tests.stored import Exchange

        exchange: Any = Exchange(Factories())  # type: ignore[no-untyped-call]
        originals = settled_originals(exchange)
        copies = range(1, max(options.verify // len(originals), 1))
        more = range(TABLE, TABLE + max(options.table - options.verify, 0) // len(originals))
        states = {"status": "(ARRAY['SETTLED', 'DELIVERED', 'APPROVED', 'CANCELLED'])[1 + n % 4]"}
        steps: dict[str, Callable[[], Any]] = {
            "single": lambda: single(exchange, options.rounds),
            "rates": lambda: [rate(exchange, options.settlements, threads) for threads in (1, THREADS)],
            "copies": lambda: run_without_triggers(
                [*copy_trades(originals, copies), *copy_money(originals, copies)]
            ),
            "verify_ledger": verified,
            "table": lambda: run_without_triggers(copy_trades(originals, more, **states)),
            "page": lambda: page(exchange, min(options.rounds, 15)),
        }
        found: dict[str, Any] = {}
        for name, step in steps.items():
            print(f"{time.monotonic() - began:5.0f} s: {name}", file=sys.stderr, flush=True)
            found[name] = step()
            if name == "verify_ledger":
                print(json.dumps(found[name]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if found["verify_ledger"]["differences"] else 0


def _print(found: dict[str, Any]) -> None:
    one, checked = found["single"], found["verify_ledger"]
    print(
        f"engine alone {one['engine_ms']} ms, preview {one['preview_ms']} ms ({one['preview_statements']} statements)"
    )
    print(f"settle: {one['settle_statements']} statements, a payment {one['payment_statements']}")
    for line in found["rates"]:
        print(f"settlements by {line['threads']} threads: {line['a_second']} a second")
    before, after = checked["memory_mb"]
    print(
        f"verify_ledger over {checked['settlements']:,} settlements: {checked['seconds']} s, {before} MB before it,"
        f" at most {after} MB in it, {len(checked['differences'])} differences"
    )
    for line in found["page"]:
        print(
            f"page among {line['trades']:,} trades, {line['read']}: {line['rows']} rows,"
            f" {line['statements']} statements, {line['ms']} ms  {line['plan']}"
        )


if __name__ == "__main__":
    sys.exit(main())
