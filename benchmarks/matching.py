"""Measure matching: filters, scores, full re-matches, and how soon a change is matched.

- one requirement over many live offers of its goods, against its SQL filter alone, and the statements of a run;
- the same with more and more rows of other goods beside it: the cost follows the candidates;
- scores of many pairs at once, against the same formula in a plain loop;
- a batch over all requirements: pairs a second; and from the commit of a price to the stored match.

    python -m benchmarks.matching [--offers 100000] [--others 1000,10000,100000] [--scores 10000]
        [--wants 20] [--edits 40]
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["LOG_LEVEL"] = "ERROR"

SELLERS = 20
# A row of each table is copied with other keys and figures: some thirds pass each filter, few pass all.
COPY_OFFERS = """
INSERT INTO availability_availability ({columns})
SELECT {columns} FROM (SELECT (jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'number', left(md5(random()::text), 20), 'parcel_id', gen_random_uuid(),
    'commodity_id', %(goods)s, 'seller_partner_id', (%(sellers)s::uuid[])[1 + n %% {sellers}],
    'state_code', (ARRAY['24', '27', '33', '36'])[1 + n %% 4], 'unit_price', 50000 + n * 37 %% 9000,
    'latitude', 8 + n * 7 %% 250 / 10.0, 'longitude', 69 + n * 13 %% 280 / 10.0,
    'available_from_date', CURRENT_DATE + n %% 40, 'available_until_date', CURRENT_DATE + 40 + n %% 40,
    'available_quantity', 100, 'listed_at', now() - n * interval '1 minute',
    'created_at', now() - n * interval '1 hour'))).*
FROM availability_availability t, generate_series(1, %(count)s) AS n WHERE t.id = %(model)s) x
"""
COPY_QUALITY = """
INSERT INTO availability_qualityvalue
SELECT (jsonb_populate_record(q, jsonb_build_object(
    'id', gen_random_uuid(), 'availability_id', a.id,
    'value_number', round(q.value_number * (92 + abs(hashtext(a.id::text || q.id::text)) %% 17) / 100, 1)))).*
FROM availability_qualityvalue q, availability_availability a
WHERE q.availability_id = %(model)s AND a.commodity_id = %(goods)s
    AND NOT EXISTS (SELECT FROM availability_qualityvalue v WHERE v.availability_id = a.id)
"""


def market() -> Any:
    """The goods, a requirement and an offer of them."""
    from apps.commodities.models.commodities import Commodity
    from apps.commodities.services import commodities
    from apps.matching.tests.factories import Cotton
    from apps.partners.tests.factories import ready_partner
    from config.testing import active_user
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    def user(role: str, *, of: Any = None) -> Any:
        if role.startswith("INTERNAL"):
            return active_user("INTERNAL", role, user_type="INTERNAL", organization_id=uuid4())
        return active_user(role, user_type="EXTERNAL", partner_id=(of or ready_partner()).pk)

    def commodity(**fields: Any) -> Any:
        number = uuid4().hex[:8].upper()
        made = commodities.create(
            actor=SYSTEM, code=f"COTTON-{number}", name=f"Cotton {number}", category="FIBRE", hsn_code="5201",
            quantity_mode="COUNT_AND_WEIGHT", package_unit="BALE", trade_unit="BALE", **fields,
        )  # fmt: skip
        with unguarded_writes():
            Commodity.objects.filter(pk=made.pk).update(status="ACTIVE")
        return Commodity.objects.get(pk=made.pk)

    return Cotton(SimpleNamespace(user=user, commodity=commodity))


def fill(model: Any, goods: Any, sellers: list[Any], count: int) -> None:
    """Write so many live offers of the goods, with results."""
    from django.db import connection

    values = {
        "model": model.pk,
        "goods": str(goods),
        "sellers": [str(each) for each in sellers],
        "count": count,
    }
    columns = ", ".join(field.column for field in type(model)._meta.concrete_fields if not field.generated)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for text in (COPY_OFFERS.format(sellers=SELLERS, columns=columns), COPY_QUALITY):
            cursor.execute(text, values)
        cursor.execute("RESET session_replication_role")
        cursor.execute("ANALYZE availability_availability, availability_qualityvalue, matching_offerprofile")


def timed(act: Callable[[], Any], rounds: int = 5) -> float:
    """The median milliseconds of some calls."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def one_run(want: Any) -> dict[str, Any]:
    """A run of a requirement, its SQL filter alone, and its statements."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.matching.services import pairs, runs
    from apps.matching.services.rule_reading import active_rules
    from erp.access import SYSTEM

    rules = active_rules([want.commodity_id])
    result = runs.find_for_requirement(want, actor=SYSTEM)  # profiles and assessments are there afterwards
    with CaptureQueriesContext(connection) as captured:
        runs.find_for_requirement(want, actor=SYSTEM)
    whole = timed(lambda: runs.find_for_requirement(want, actor=SYSTEM))
    sql = timed(lambda: pairs.find(pairs.Scope(wants=[want.pk]), rules))
    passed = result.run.pool - sum(result.run.rejected.values())
    return {
        "pool": result.run.pool, "passed": passed, "kept": result.run.kept, "rejected": result.run.rejected,
        "ms": round(whole, 1), "sql_ms": round(sql, 1), "ratio": round(whole / sql, 2), "statements": len(captured),
    }  # fmt: skip


def scores(count: int) -> dict[str, Any]:
    """Scores of many pairs at once, and in a loop with the same formula in floats."""
    from apps.matching.engine.body import DEFAULT
    from apps.matching.engine.scoring import columns_of, score_columns, score_pair
    from apps.matching.tests.test_scoring import WISHES, random_pair

    random = Random(7)
    pairs = [random_pair(random, WISHES) for _ in range(count)]
    columns = columns_of(pairs, [WISHES])
    at_once = timed(lambda: score_columns(columns, DEFAULT), 9)
    prepared = timed(lambda: score_columns(columns_of(pairs, [WISHES]), DEFAULT), 3)
    loop = timed(lambda: [score_pair(pair, WISHES, DEFAULT, float) for pair in pairs], 3)
    return {
        "pairs": count, "at_once_ms": round(at_once, 2), "with_columns_ms": round(prepared, 1),
        "loop_ms": round(loop, 1), "times": round(loop / at_once),
    }  # fmt: skip


def batch(wants: list[Any]) -> dict[str, Any]:
    """Match every requirement: pairs a second."""
    from apps.matching.services import runs
    from erp.access import SYSTEM

    started, pool = time.perf_counter(), 0
    for want in wants:
        pool += runs.match_subject(actor=SYSTEM, kind="BATCH", requirement=want).pool
    seconds = time.perf_counter() - started
    return {
        "wants": len(wants),
        "pairs": pool,
        "seconds": round(seconds, 1),
        "a_second": round(pool / seconds),
    }


def latency(offer: Any, edits: int) -> dict[str, Any]:
    """From the commit of a price to the stored match, without the wait of 200 ms that gathers a burst."""
    from apps.matching import tasks
    from apps.matching.models import Match, RematchMark
    from apps.matching.services import marks
    from erp import clock
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    times = []
    for number in range(edits):
        with unguarded_writes():
            row = type(offer).objects.get(pk=offer.pk)
            type(offer).objects.filter(pk=offer.pk).update(
                unit_price=Decimal(52_000 + number), version=row.version + 1
            )
        started = time.perf_counter()
        (mark,) = marks.mark_offers(actor=SYSTEM, subject_ids=[offer.pk], cause="availability.price_changed")
        with unguarded_writes():
            RematchMark.objects.update(due_at=clock.now())
        tasks.rematch(str(mark.pk))
        times.append((time.perf_counter() - started) * 1000)
    assert Match.objects.live().filter(availability=offer).exists()
    return {"edits": edits, "median_ms": round(statistics.median(times), 1),
            "p95_ms": round(sorted(times)[int(len(times) * 0.95) - 1], 1)}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--offers", type=int, default=100_000, help="live offers of the goods")
    parser.add_argument(
        "--others", default="1000,10000,100000", help="offers of other goods, one size after the other"
    )
    parser.add_argument("--scores", type=int, default=10_000, help="pairs that are scored at once")
    parser.add_argument("--wants", type=int, default=20, help="requirements of the batch")
    parser.add_argument("--edits", type=int, default=40, help="prices that change")
    options = parser.parse_args()

    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from apps.partners.tests.factories import ready_partner
        from apps.risk.tests.factories import sanctions

        sanctions(("1", "PERSON", "Nobody Known"))  # without a screening list risk lets nothing through
        goods = market()
        offer, want = goods.offer(), goods.want()
        sellers = [ready_partner().pk for _ in range(SELLERS)]
        print("scores", scores(options.scores))
        small = market()
        small_want = small.want()
        fill(offer, small.goods.pk, sellers, 100)
        others, written = market().goods.pk, 0
        for size in map(int, options.others.split(",")):
            fill(offer, others, sellers, size - written)
            written = size
            print("100 candidates beside", size, "rows of other goods", one_run(small_want))
        fill(offer, goods.goods.pk, sellers, options.offers)
        print("one requirement", one_run(want))
        print("batch", batch([goods.want() for _ in range(options.wants)]))
        print("latency", latency(offer, options.edits))


if __name__ == "__main__":
    main()
