"""Measure lists and the search among many offers, and reservations by parallel threads.

- a page of 50 as a buyer and as staff, and the search by price, quality and place: statements and milliseconds;
- reservations a second, by eight threads, on one offer and on fifty; after them every sum is recomputed.

    python -m benchmarks.offers [--offers 100000] [--reservations 400] [--json]
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
from functools import cache
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["THROTTLE_READ"] = os.environ["THROTTLE_LOOKUP"] = "1000000"
os.environ["LOG_LEVEL"] = "ERROR"

THREADS = 8
# A row of each table is copied, with other keys and figures.
COPY_OFFERS = """
INSERT INTO availability_availability
SELECT (jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'number', 'AVL-' || n, 'parcel_id', gen_random_uuid(),
    'state_code', (ARRAY['24', '27', '33', '36'])[1 + n % 4], 'unit_price', 50000 + n % 9000,
    'price_per_kg', round((50000 + n % 9000) / 355.62, 8), 'listed_at', now() - n * interval '1 minute',
    'created_at', now() - n * interval '1 minute', 'latitude', 8 + n % 250 / 10.0, 'longitude', 69 + n % 280 / 10.0))).*
FROM availability_availability t, generate_series(1, %s) AS n
"""
COPY_QUALITY = """
INSERT INTO availability_qualityvalue
SELECT (jsonb_populate_record(q, jsonb_build_object(
    'id', gen_random_uuid(), 'availability_id', a.id, 'value_number', 6 + a.unit_price % 40 / 10))).*
FROM availability_qualityvalue q, availability_availability a WHERE a.id <> q.availability_id
"""


def make_offer(seller: Any, quantity: int = 100, goods: Any = None) -> Any:
    """A live offer of a commodity with a parameter to test."""
    from apps.availability.services import decisions, offers
    from apps.availability.tests import factories
    from apps.commodities.models.commodities import Commodity
    from apps.commodities.services import commodities
    from config.testing import make_ready
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    if goods is None:
        goods = commodities.create(
            actor=SYSTEM, code="COTTON-B", name="Cotton", category="FIBRE", quantity_mode="COUNT_AND_WEIGHT",
            package_unit="BALE", trade_unit="BALE", hsn_code="5201",
        )  # fmt: skip
        make_ready(goods)
        with unguarded_writes():
            Commodity.objects.filter(pk=goods.pk).update(status="ACTIVE")
        goods = Commodity.objects.get(pk=goods.pk)
    content: Any = factories.content(quantity, quality=[{"parameter": "moisture", "value": "8.0"}])
    posted = offers.post(actor=seller, commodity=goods, content=content, submit=True)
    return decisions.approve(posted, actor=manager())


@cache
def manager() -> Any:
    """The person who approves."""
    from config.testing import active_user

    return active_user("INTERNAL", "INTERNAL_MANAGER", user_type="INTERNAL", organization_id=uuid4())


def fill(count: int, seller: Any) -> Any:
    """Write so many live offers, each with a governing result."""
    from django.db import connection

    offer = make_offer(seller)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(COPY_OFFERS.replace("n % ", "n %% "), [count])
        cursor.execute(COPY_QUALITY)
        cursor.execute("RESET session_replication_role")
        cursor.execute("ANALYZE availability_availability, availability_qualityvalue")
    return offer


def reads(offer: Any, rounds: int = 9) -> list[dict[str, Any]]:
    """Read a page of each kind."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.availability.tests import factories
    from apps.partners.tests.factories import ready_partner
    from config.testing import active_user, signed_in_client

    staff = signed_in_client(active_user("INTERNAL", user_type="INTERNAL", organization_id=uuid4()))
    buyer = signed_in_client(active_user("BUYER", user_type="EXTERNAL", partner_id=ready_partner().pk))
    path, goods = "/api/v1/availabilities", str(offer.commodity_id)
    quoted = {"pricing_unit_id": str(factories.per_candy().pk)}
    point = {"latitude": "21.9", "longitude": "70.8", "radius_km": "100"}

    def search(**asked: Any) -> Callable[[], Any]:
        return lambda: staff.write(f"{path}/search", {"commodity_id": goods, "limit": 50, **asked})

    questions: dict[str, Callable[[], Any]] = {
        "staff list": lambda: staff.read(path),
        "buyer list": lambda: buyer.read(path),
        "buyer, state": lambda: buyer.read(path, {"commodity_id": goods, "state_code": "24"}),
        "search, newest": search(),
        "search, price": search(price={"min": "52000", "max": "53000", **quoted}, sort="price"),
        "search, quality": search(quality=[{"parameter": "moisture", "min": "7", "max": "8"}]),
        "search, near": search(near=point, sort="distance"),
    }
    found = []
    for name, ask in questions.items():
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            answer = ask()
            times.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200, answer.content
        with CaptureQueriesContext(connection) as captured:
            rows = len(ask().json()["results"])
        found.append(
            {
                "read": name,
                "rows": rows,
                "statements": len(captured),
                "ms": round(statistics.median(times), 1),
            }
        )
    return found


def reservations(count: int, offers: list[Any], buyers: list[Any]) -> dict[str, Any]:
    """Reserve a bale at a time by threads; return how many a second."""
    from django.db import connection

    from apps.availability.services import stock
    from erp.access import SYSTEM

    def take(number: int) -> None:
        try:
            stock.reserve(
                offers[number % len(offers)], actor=SYSTEM, holder_partner=buyers[number % len(buyers)],
                quantity=Decimal(1),
            )  # fmt: skip
        finally:
            connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(take, range(count)))
    seconds = time.perf_counter() - started
    return {"offers": len(offers), "reservations": count, "a_second": round(count / seconds, 1)}


def main() -> int:
    """Measure and print; 1 where a sum is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--offers", type=int, default=100_000)
    parser.add_argument("--reservations", type=int, default=400, help="on one offer, and on fifty")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from apps.availability import ledgers
        from apps.partners.tests.factories import ready_partner
        from config.testing import active_user

        seller = active_user("SELLER", user_type="EXTERNAL", partner_id=ready_partner().pk)
        offer = fill(options.offers, seller)
        buyers = [ready_partner() for _ in range(THREADS)]
        many = [make_offer(seller, options.reservations, offer.commodity) for _ in range(50)]
        found = {
            "offers": options.offers,
            "reads": reads(offer),
            "reservations": [
                reservations(options.reservations, many[:1], buyers),
                reservations(options.reservations, many[1:], buyers),
            ],
            "wrong_sums": len(list(ledgers.find_mismatches())),
        }
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if found["wrong_sums"] else 0


def _print(found: dict[str, Any]) -> None:
    print(f"pages of 50 among {found['offers']:,} offers")
    for line in found["reads"]:
        print(
            f"  {line['read']:16} {line['rows']:3} rows {line['statements']:3} statements {line['ms']:8.1f} ms"
        )
    for line in found["reservations"]:
        print(f"reservations on {line['offers']} offers: {line['a_second']} a second")
    print(f"{found['wrong_sums']} wrong sums")


if __name__ == "__main__":
    sys.exit(main())
