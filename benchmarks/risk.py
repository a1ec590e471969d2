"""Measure assessments of proposed trades, and screening against large lists.

- statements and milliseconds of an assessment, without and with many settled trades: as many statements;
- assessments a second, by four threads, of one pair and of many;
- milliseconds to compare a partner with a list of so many entries, by the index.

    python -m benchmarks.risk [--facts 100000] [--entries 20000] [--assessments 200] [--json]
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

from benchmarks.filling import without_triggers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["LOG_LEVEL"] = "ERROR"

THREADS = 4
PAIRS = 8
# A settled trade is copied, with other keys, between the two firms and with a third one.
COPY_FACTS = """
INSERT INTO risk_tradefact
SELECT (jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'trade_id', gen_random_uuid(),
    'seller_id', CASE WHEN n % 2 = 0 THEN t.seller_id ELSE %(third)s END))).*
FROM risk_tradefact t, generate_series(1, %(count)s) AS n
"""


def make_deals(number: int) -> list[Any]:
    """Offers and requirements of different firms, with credit for every trade."""
    from apps.availability.services import decisions, offers
    from apps.availability.tests.factories import content
    from apps.commodities.models.commodities import Commodity
    from apps.commodities.services import commodities
    from apps.partners.tests.factories import ready_partner
    from apps.requirement.services import requirements
    from apps.requirement.tests import factories as wanted
    from apps.risk.tests import factories
    from config.testing import active_user
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    manager = active_user("INTERNAL", "INTERNAL_MANAGER", user_type="INTERNAL", organization_id=uuid4())

    def user(role: str, of: Any) -> Any:
        return active_user(role, user_type="EXTERNAL", partner_id=of.pk)

    def commodity() -> Any:
        made = commodities.create(
            actor=SYSTEM, code=f"COTTON-{uuid4().hex[:6].upper()}", name=f"Cotton {uuid4().hex[:6]}",
            category="FIBRE", quantity_mode="COUNT_AND_WEIGHT", package_unit="BALE", trade_unit="BALE",
            hsn_code="5201",
        )  # fmt: skip
        with unguarded_writes():
            Commodity.objects.filter(pk=made.pk).update(status="ACTIVE")
        return Commodity.objects.get(pk=made.pk)

    def offer(*, seller: Any, quantity: int, commodity: Any, advance: int) -> Any:
        posted = offers.post(
            actor=seller, commodity=commodity, submit=True, content=content(quantity, advance=advance)
        )
        return decisions.approve(posted, actor=manager)

    def requirement(*, buyer: Any, goods: Any) -> Any:
        return requirements.create(actor=buyer, commodity=goods, content=wanted.content(), publish=True)

    return [
        factories.deal(user, ready_partner, offer, requirement, commodity, limit=Decimal(10**9), advance=0)
        for _ in range(number)
    ]


def fill(deal: Any, third: Any, count: int) -> None:
    """Settle so many trades of the buyer, half of them with the seller."""
    from apps.risk.tests import factories

    factories.settled(deal.buyer, deal.seller, deal.offer.commodity)
    with without_triggers() as cursor:
        cursor.execute(COPY_FACTS.replace("n % 2", "n %% 2"), {"third": third.pk, "count": count})


def measure(call: Callable[[], Any], rounds: int = 9) -> dict[str, Any]:
    """Statements and median milliseconds of a call."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    call()
    with CaptureQueriesContext(connection) as captured:
        call()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return {"statements": len(captured), "ms": round(statistics.median(times), 1)}


def rate(count: int, deals: list[Any]) -> dict[str, Any]:
    """Assess by threads; return how many a second."""
    from django.db import connection

    def assess(number: int) -> None:
        try:
            deals[number % len(deals)].judge(10)
        finally:
            connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(assess, range(count)))
    seconds = time.perf_counter() - started
    return {"pairs": len(deals), "assessments": count, "a_second": round(count / seconds, 1)}


def screening(entries: int) -> dict[str, Any]:
    """Load a list, and compare a partner with it."""
    from apps.partners.tests.factories import ready_partner
    from apps.risk.services import screening as services
    from apps.risk.tests.factories import sanctions
    from erp.access import SYSTEM

    words = ("Trading", "Shipping", "Export", "Cotton", "General", "Holdings", "Metals")
    rows = [
        (f"R{n}", "ENTITY", f"{uuid4().hex[:8].title()} {words[n % 7]} {words[n // 7 % 7]}")
        for n in range(entries)
    ]
    started = time.perf_counter()
    sanctions(*rows)
    loaded = time.perf_counter() - started
    times = []
    for _ in range(9):
        firm = ready_partner(f"Shree {uuid4().hex[:8].title()} Trading")
        started = time.perf_counter()
        services.screen_partner(firm, actor=SYSTEM)
        times.append((time.perf_counter() - started) * 1000)
    return {
        "entries": entries,
        "load_seconds": round(loaded, 1),
        "ms_a_partner": round(statistics.median(times), 1),
    }


def main() -> int:
    """Measure and print; 1 where the number of statements grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=100_000, help="settled trades of the buyer")
    parser.add_argument("--entries", type=int, default=20_000, help="of the screening list")
    parser.add_argument("--assessments", type=int, default=200, help="of one pair, and of many")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        settings.SCREENING_REQUIRED = False
        call_command("migrate", verbosity=0)
        deals = make_deals(PAIRS)
        first = deals[0]
        few = measure(lambda: first.judge(10))
        fill(first, deals[1].seller, options.facts)
        many = measure(lambda: first.judge(10))
        found = {
            "without_facts": few,
            "facts": options.facts,
            "with_facts": many,
            "rates": [rate(options.assessments, deals[1:2]), rate(options.assessments, deals[1:])],
            "screening": screening(options.entries),
        }
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if many["statements"] > few["statements"] else 0


def _print(found: dict[str, Any]) -> None:
    for words, line in (
        ("no settled trade", found["without_facts"]),
        (f"{found['facts']:,} settled trades", found["with_facts"]),
    ):
        print(f"{words}: {line['statements']} statements, {line['ms']} ms an assessment")
    for line in found["rates"]:
        print(f"{line['pairs']} pairs, {THREADS} threads: {line['a_second']} assessments a second")
    lists = found["screening"]
    print(
        f"{lists['entries']:,} entries: loaded in {lists['load_seconds']} s, {lists['ms_a_partner']} ms a partner"
    )


if __name__ == "__main__":
    sys.exit(main())
