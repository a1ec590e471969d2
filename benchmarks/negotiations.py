"""Measure negotiations by parallel threads: starts, offers and acceptances a second, and the statements of each.

    python -m benchmarks.negotiations [--negotiations 100] [--json]

Each negotiation has goods and a requirement of its own: the buyer bids, the seller counters, the buyer accepts. At the
end each one must have one bound reservation.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["LOG_LEVEL"] = "ERROR"

THREADS = 8


def make_world() -> Any:
    """Goods, and functions that list and require them."""
    from apps.availability.services import decisions, offers
    from apps.availability.tests import factories as listed
    from apps.commodities.models.commodities import Commodity
    from apps.commodities.services import commodities
    from apps.partners.models import Partner
    from apps.partners.tests.factories import ready_partner
    from apps.requirement.services import requirements
    from apps.requirement.tests import factories as wanted
    from config.testing import active_user
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    def commodity() -> Any:
        code = f"COTTON-{uuid4().hex[:8].upper()}"
        made = commodities.create(
            actor=SYSTEM, code=code, name=code, category="FIBRE", quantity_mode="COUNT_AND_WEIGHT",
            package_unit="BALE", trade_unit="BALE", hsn_code="5201",
        )  # fmt: skip
        with unguarded_writes():
            Commodity.objects.filter(pk=made.pk).update(status="ACTIVE")
        return Commodity.objects.get(pk=made.pk)

    def user(role: str) -> Any:
        return active_user(role, user_type="EXTERNAL", partner_id=ready_partner().pk)

    manager = active_user("INTERNAL", "INTERNAL_MANAGER", user_type="INTERNAL", organization_id=uuid4())

    def offer(*, seller: Any, commodity: Any, quantity: int, advance: int) -> Any:
        content = listed.content(quantity, advance=advance)
        posted = offers.post(actor=seller, commodity=commodity, content=content, submit=True)
        return decisions.approve(posted, actor=manager)

    def requirement(*, buyer: Any, goods: Any, **fields: Any) -> Any:
        return requirements.create(
            actor=buyer, commodity=goods, content=wanted.content(**fields), publish=True
        )

    return SimpleNamespace(
        commodity=commodity, user=user, offer=offer, requirement=requirement,
        partner_of=lambda person: Partner.objects.get(pk=person.partner_id),
    )  # fmt: skip


def timed(name: str, acts: Sequence[Callable[[], Any]]) -> dict[str, Any]:
    """Run the acts by threads; the first alone, to count its statements."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def run(act: Callable[[], Any]) -> None:
        try:
            act()
        finally:
            connection.close()

    with CaptureQueriesContext(connection) as queries:
        acts[0]()
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, acts[1:]))
    seconds = time.perf_counter() - started
    return {"verb": name, "statements": len(queries), "a_second": round((len(acts) - 1) / seconds, 1)}


def measure(count: int) -> list[dict[str, Any]]:
    """Negotiate so many matches, verb by verb."""
    from apps.negotiations.tests.factories import table
    from apps.risk.tests.factories import sanctions

    sanctions(("R-1", "PERSON", "Nobody Whatsoever"))  # risk wants a list of this week
    world = make_world()
    tables = [table(world, credit=50_000_000) for _ in range(count)]
    rows: dict[Any, Any] = {}

    def start(each: Any) -> Callable[[], Any]:
        return lambda: rows.__setitem__(each, each.start())

    found = [timed("start", [start(each) for each in tables])]
    for name, verb in (
        ("offer of the buyer", lambda each: each.bid(rows[each], 53_000)),
        ("offer of the seller", lambda each: each.ask(rows[each], 53_500)),
        ("accept", lambda each: each.accept(rows[each], each.buyer)),
    ):
        found.append(timed(name, [lambda each=each, verb=verb: verb(each) for each in tables]))  # type: ignore[misc]
    return found


def is_consistent(count: int) -> bool:
    """Whether every negotiation was accepted with one bound reservation of its quantity."""
    from apps.availability.models import Reservation
    from apps.negotiations.models import Negotiation

    accepted = Negotiation.objects.filter(status="ACCEPTED").values_list("pk", flat=True)
    bound = Reservation.objects.filter(bound_negotiation_id__in=list(accepted), quantity=Decimal(100))
    return accepted.count() == bound.count() == count


def main() -> int:
    """Measure and print; 1 where a reservation is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--negotiations", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        found: dict[str, Any] = {
            "negotiations": options.negotiations,
            "verbs": measure(options.negotiations),
            "is_consistent": is_consistent(options.negotiations),
        }
    if options.json:
        print(json.dumps(found))
    else:
        for line in found["verbs"]:
            print(f"{line['verb']:20} {line['a_second']:8.1f} a second {line['statements']:4} statements")
        print(
            "every acceptance has its reservation" if found["is_consistent"] else "reservations are missing"
        )
    return 0 if found["is_consistent"] else 1


if __name__ == "__main__":
    sys.exit(main())
