"""Measure offers and requirements: lists and searches among many rows, the sweep, reservations and commitments.

- a page of 50 as a buyer and as staff, searches by price, quality and place: statements, milliseconds, those of the
  same SELECT without the product, and how PostgreSQL finds the rows;
- rows a second of the sweep that ends offers past their deadline;
- reservations a second, by eight threads, on one offer and on a thousand, and commitments of requirements likewise,
  beside bare UPDATEs of the same rows; after them every sum is recomputed.

    python -m benchmarks.offers [--offers 100000] [--due 10000] [--reservations 400] [--json]
"""

import argparse
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import uuid4

from benchmarks.filling import without_triggers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["THROTTLE_READ"] = os.environ["THROTTLE_LOOKUP"] = "1000000"
os.environ["LOG_LEVEL"] = "ERROR"

THREADS, MANY = 8, 1_000
# A row of each table is copied, with other keys and figures.
COPY_OFFERS = """
INSERT INTO availability_availability ({columns})
SELECT {copied} FROM availability_availability t, generate_series(1, %s) AS n,
LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'number', 'AVL-' || n, 'parcel_id', gen_random_uuid(),
    'state_code', (ARRAY['24', '27', '33', '36'])[1 + n % 4], 'unit_price', 50000 + n % 9000,
    'price_per_kg', round((50000 + n % 9000) / 355.62, 8), 'listed_at', now() - n * interval '1 minute',
    'created_at', now() - n * interval '1 minute',
    'latitude', 8 + n % 250 / 10.0, 'longitude', 69 + n % 280 / 10.0)) AS copy
"""
COPY_QUALITY = """
INSERT INTO availability_qualityvalue
SELECT copy.* FROM availability_qualityvalue q, availability_availability a,
LATERAL jsonb_populate_record(q, jsonb_build_object(
    'id', gen_random_uuid(), 'availability_id', a.id, 'value_number', 6 + a.unit_price % 40 / 10)) AS copy
WHERE a.id <> q.availability_id
"""
COPY_REQUIREMENTS = """
INSERT INTO requirement_requirement ({columns})
SELECT {copied} FROM requirement_requirement t, generate_series(1, %s) AS n,
LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'number', 'REQ-' || n, 'state_code', (ARRAY['24', '27', '33', '36'])[1 + n % 4],
    'ceiling_price', 50000 + n % 9000, 'ceiling_per_kg', round((50000 + n % 9000) / 355.62, 8),
    'live_since', now() - n * interval '1 minute', 'published_at', now() - n * interval '1 minute',
    'created_at', now() - n * interval '1 minute',
    'latitude', 8 + n % 250 / 10.0, 'longitude', 69 + n % 280 / 10.0)) AS copy
"""
COPY_BANDS = """
INSERT INTO requirement_band
SELECT copy.* FROM requirement_band b, requirement_requirement r,
LATERAL jsonb_populate_record(b, jsonb_build_object('id', gen_random_uuid(), 'requirement_id', r.id,
    'minimum', NULL, 'maximum', 6 + r.ceiling_price % 40 / 10, 'preferred', NULL)) AS copy
WHERE r.id <> b.requirement_id
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


def make_requirement(buyer: Any, goods: Any) -> Any:
    """A live public requirement of the same goods."""
    from apps.requirement.services import requirements
    from apps.requirement.tests import factories

    content = factories.content(
        bands=[factories.band("moisture", maximum=8)], visibility="PUBLIC", max_quantity=Decimal(100)
    )
    return requirements.create(actor=buyer, commodity=goods, content=content, publish=True)


def copy_rows(model: Any, statement: str, *more: str, count: int) -> None:
    """Copy the only row of the model, and its parts, past triggers and constraints."""
    columns = [field.column for field in model._meta.local_concrete_fields if not field.generated]
    named = {"columns": ", ".join(columns), "copied": ", ".join(f"copy.{column}" for column in columns)}
    with without_triggers() as cursor:
        cursor.execute(statement.format(**named).replace("n % ", "n %% "), [count])
        for each in more:
            cursor.execute(each)


def fill(count: int, seller: Any, buyer: Any) -> tuple[Any, Any]:
    """Write so many live offers, each with a governing result, and as many requirements with a band."""
    from apps.availability.models import Availability
    from apps.requirement.models import Requirement

    offer = make_offer(seller)
    requirement = make_requirement(buyer, offer.commodity)
    copy_rows(Availability, COPY_OFFERS, COPY_QUALITY, count=count)
    copy_rows(Requirement, COPY_REQUIREMENTS, COPY_BANDS, count=count)
    return offer, requirement


def reads(offer: Any, rounds: int = 5) -> list[dict[str, Any]]:
    """Read a page of each kind."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.availability.tests import factories
    from apps.partners.tests.factories import ready_partner
    from config.testing import active_user, signed_in_client

    def client(role: str) -> Any:
        of = {"user_type": "INTERNAL", "organization_id": uuid4()}
        if role != "INTERNAL":
            of = {"user_type": "EXTERNAL", "partner_id": ready_partner().pk}
        return signed_in_client(active_user(role, **of))

    staff, buyer, seller = client("INTERNAL"), client("BUYER"), client("SELLER")
    offers, wants, goods = "/api/v1/availabilities", "/api/v1/requirements", str(offer.commodity_id)
    quoted = {"pricing_unit_id": str(factories.per_candy().pk)}
    point = {"latitude": "21.9", "longitude": "70.8", "radius_km": "100"}

    def search(path: str, **asked: Any) -> Callable[[], Any]:
        return lambda: staff.write(f"{path}/search", {"commodity_id": goods, "limit": 50, **asked})

    questions: dict[str, Callable[[], Any]] = {
        "offers, staff": lambda: staff.read(offers),
        "offers, buyer": lambda: buyer.read(offers),
        "offers, buyer, state": lambda: buyer.read(offers, {"commodity_id": goods, "state_code": "24"}),
        "offers, search, newest": search(offers),
        "offers, search, price": search(
            offers, price={"min": "52000", "max": "53000", **quoted}, sort="price"
        ),
        "offers, search, quality": search(
            offers, quality=[{"parameter": "moisture", "min": "7", "max": "8"}]
        ),
        "offers, search, near": search(offers, near=point, sort="distance"),
        "requirements, staff": lambda: staff.read(wants),
        "requirements, seller": lambda: seller.read(wants),
        "requirements, search, newest": search(wants),
        "requirements, search, ceiling": search(wants, ceiling={"min": "52000", **quoted}, sort="ceiling"),
        "requirements, search, quality": search(wants, quality=[{"parameter": "moisture", "value": "7.5"}]),
        "requirements, search, near": search(wants, near={**point, "radius_km": 100}, sort="distance"),
    }
    found = []
    for name, ask in questions.items():
        ms = timed(ask, rounds)
        with CaptureQueriesContext(connection) as captured:
            answer = ask()
        assert answer.status_code == 200, answer.content
        page = max((q["sql"] for q in captured.captured_queries if q["sql"].startswith("SELECT")), key=len)
        found.append(
            {
                "read": name,
                "rows": len(answer.json()["results"]),
                "statements": len(captured),
                "ms": ms,
                "sql_ms": timed(lambda page=page: run_sql(page), rounds),  # type: ignore[misc]
                "plan": plan_of(page),
            }
        )
    return found


def timed(act: Callable[[], Any], rounds: int) -> float:
    """Median of so many runs, in milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 1)


def run_sql(statement: str) -> list[Any]:
    """The rows of a statement."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement.replace("%", "%%"), [])
        return list(cursor.fetchall())


def plan_of(statement: str) -> str:
    """The indexes by which PostgreSQL finds the rows, and whether it sorts them."""
    lines = " ".join(line for (line,) in run_sql(f"EXPLAIN {statement}"))
    indexes = re.findall(
        r"(?:Index (?:Only )?Scan (?:Backward )?using|Bitmap Index Scan on) (idx_\w+)", lines
    )
    scans = re.findall(r"Seq Scan on (\w+_(?:availability|requirement))\b", lines)
    return (
        ", ".join([*dict.fromkeys(indexes), *(f"all of {each}" for each in dict.fromkeys(scans))]) or "keys"
    )


def sweep(due: int) -> dict[str, Any]:
    """End so many offers that are past their deadline."""
    from apps.availability import tasks

    run_sql(
        "WITH late AS (UPDATE availability_availability SET expires_at = now() - interval '1 minute' WHERE id IN"
        f" (SELECT id FROM availability_availability WHERE number LIKE 'AVL-%' ORDER BY number DESC LIMIT {due})"
        " RETURNING 1) SELECT count(*) FROM late"
    )
    started, ended = time.perf_counter(), 0
    while done := tasks.expire_offers():
        ended += done
    seconds = time.perf_counter() - started
    return {"ended": ended, "a_second": round(ended / seconds, 1), "again": tasks.expire_offers()}


def in_threads(count: int, act: Callable[[int], Any]) -> float:
    """How many a second eight threads do."""
    from django.db import connection

    def run(number: int) -> None:
        try:
            act(number)
        finally:
            connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, range(count)))
    return round(count / (time.perf_counter() - started), 1)


def writes(count: int, offers: list[Any], wants: list[Any], buyers: list[Any]) -> dict[str, Any]:
    """Reserve, commit, and update the same rows barely."""
    from apps.availability.services import stock
    from apps.requirement.services import ledger
    from erp.access import SYSTEM

    def reserve(number: int) -> None:
        stock.reserve(
            offers[number % len(offers)], actor=SYSTEM, holder_partner=buyers[number % len(buyers)],
            quantity=Decimal(1),
        )  # fmt: skip

    def commit(number: int) -> None:
        ledger.commit(wants[number % len(wants)], actor=SYSTEM, trade_id=uuid4(), quantity=Decimal("1"))

    def update(number: int) -> None:
        key = offers[number % len(offers)].pk
        run_sql(
            "WITH done AS (UPDATE availability_availability SET version = version + 1"
            f" WHERE id = '{key}' RETURNING 1) SELECT count(*) FROM done"
        )

    found = {"rows": len(offers), "reservations": in_threads(count, reserve)}
    found |= {
        "commitments": in_threads(min(count, 100 * len(wants)), commit),
        "updates": in_threads(count, update),
    }
    return found | {"ratio": round(found["updates"] / found["reservations"], 1)}


def main() -> int:
    """Measure and print; 1 where a sum is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--offers", type=int, default=100_000)
    parser.add_argument("--due", type=int, default=10_000, help="offers that the sweep ends")
    parser.add_argument("--reservations", type=int, default=400, help="on one offer, and on a thousand")
    parser.add_argument("--json", action="store_true")
    options, began = parser.parse_args(), time.monotonic()
    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from apps.availability import ledgers
        from apps.availability.models import Availability
        from apps.partners.tests.factories import ready_partner
        from apps.requirement.ledgers import check_requirements
        from apps.requirement.models import Requirement
        from config.testing import active_user

        seller, buyer = (
            active_user(role, user_type="EXTERNAL", partner_id=ready_partner().pk)
            for role in ("SELLER", "BUYER")
        )
        offer, want = fill(options.offers, seller, buyer)
        buyers = [ready_partner() for _ in range(THREADS)]
        hot = make_offer(seller, options.reservations, offer.commodity)
        many = list(
            Availability.objects.filter(number__startswith="AVL-")
            .exclude(pk=hot.pk)
            .order_by("number")[:MANY]
        )
        wants = list(Requirement.objects.exclude(pk=want.pk).order_by("number")[:MANY])
        steps: dict[str, Callable[[], Any]] = {
            "reads": lambda: reads(offer),
            "writes": lambda: [
                writes(options.reservations, [hot], [want], buyers),
                writes(options.reservations, many, wants, buyers),
            ],
            "sweep": lambda: sweep(options.due),
            "wrong_sums": lambda: len([*ledgers.find_mismatches(), *check_requirements()]),
        }
        found: dict[str, Any] = {"offers": options.offers}
        for name, step in steps.items():
            print(f"{time.monotonic() - began:5.0f} s: {name}", file=sys.stderr, flush=True)
            found[name] = step()
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if found["wrong_sums"] or found["sweep"]["again"] else 0


def _print(found: dict[str, Any]) -> None:
    print(f"pages of 50 among {found['offers']:,} offers and as many requirements")
    for line in found["reads"]:
        print(
            f"  {line['read']:30} {line['rows']:3} rows {line['statements']:3} statements {line['ms']:8.1f} ms"
            f" {line['sql_ms']:8.1f} ms of SQL  {line['plan']}"
        )
    print(f"the sweep ended {found['sweep']['ended']:,} offers, {found['sweep']['a_second']} a second")
    for line in found["writes"]:
        print(
            f"on {line['rows']} rows, a second: {line['reservations']} reservations, {line['commitments']} commitments,"
            f" {line['updates']} bare updates ({line['ratio']} times as many)"
        )
    print(f"{found['wrong_sums']} wrong sums")


if __name__ == "__main__":
    sys.exit(main())
