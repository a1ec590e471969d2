"""Measure matching: filters, scores, full re-matches, and how soon a change is matched.

- scores of many pairs at once, in processor time, against the same formula in a plain loop;
- profiles of listings a second, as the first run of a commodity computes them;
- one requirement beside more and more rows of other goods and states: the cost follows the candidates;
- one requirement over many live offers of its goods, against its SQL filter alone, and the statements of a run;
- runs of many requirements as a batch does them, for so many seconds: pairs a second;
- from the commit of a change to the stored match, with relay, consumer, worker and beat.

    python -m benchmarks.matching [--offers 100000] [--others 1000,10000,100000] [--scores 10000] [--wants 2000]
        [--batch-offers 20000] [--batch-seconds 60] [--edits 200] [--rate 20] [--only scores,others,one,batch,latency]
        [--plans docs/benchmarks]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["LOG_LEVEL"] = "ERROR"

SELLERS = 20
PROCESSES = (
    ("celery_worker.py", "worker"), ("celery_worker.py", "relay"), ("celery_worker.py", "beat"),
    ("manage.py", "consume_events"),
)  # fmt: skip
# A row of each table is copied with other keys and figures: some thirds pass each filter, few pass all. The function
# stands in FROM, since (function(…)).* would call it once for each column.
COPY_OFFERS = """
INSERT INTO availability_availability ({columns})
SELECT {copied} FROM availability_availability t, generate_series(1, %(count)s) AS n,
LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'number', left(md5(random()::text), 20), 'parcel_id', gen_random_uuid(),
    'commodity_id', %(goods)s, 'seller_partner_id', (%(sellers)s::uuid[])[1 + n %% {sellers}],
    'state_code', (ARRAY['24', '27', '33', '36'])[1 + n %% 4], 'unit_price', 50000 + n * 37 %% 9000,
    'status', CASE WHEN %(off)s AND n %% 3 = 0 THEN 'SUSPENDED' ELSE 'ACTIVE' END,
    'latitude', 8 + n * 7 %% 250 / 10.0, 'longitude', 69 + n * 13 %% 280 / 10.0,
    'available_from_date', CURRENT_DATE + n %% 40, 'available_until_date', CURRENT_DATE + 40 + n %% 40,
    'available_quantity', 100, 'listed_at', now() - n * interval '1 minute',
    'created_at', now() - n * interval '1 hour')) AS copy
WHERE t.id = %(model)s
"""
COPY_QUALITY = """
INSERT INTO availability_qualityvalue ({columns})
SELECT {copied} FROM availability_availability a, availability_qualityvalue copy
WHERE copy.availability_id = %(model)s AND a.commodity_id = %(goods)s AND a.id <> %(model)s
    AND NOT EXISTS (SELECT FROM availability_qualityvalue v WHERE v.availability_id = a.id)
"""
QUALITY = {
    "id": "gen_random_uuid()",
    "availability_id": "a.id",
    "value_number":
        "round(copy.value_number * (92 + abs(hashtext(a.id::text || copy.id::text)) %% 17) / 100, 1)",
}  # fmt: skip
# What the product computes of such an offer; a sample is compared with what it does compute.
COPY_PROFILES = """
INSERT INTO matching_offerprofile ({columns})
SELECT {copied} FROM matching_offerprofile p, availability_availability a,
LATERAL (SELECT jsonb_object_agg(e.key, e.value || jsonb_build_object('lo', v.points, 'hi', v.points)) AS quality
    FROM jsonb_each(p.quality) e JOIN availability_qualityvalue q ON q.availability_id = a.id
    JOIN commodity_qualityparameter m ON m.id = q.parameter_id AND split_part(e.key, '|', 1) = m.code,
    LATERAL (SELECT (q.value_number * 10000)::bigint AS points) v) q,
LATERAL jsonb_populate_record(p, jsonb_build_object(
    'availability_id', a.id, 'commodity_id', a.commodity_id, 'state_code', a.state_code, 'latitude', a.latitude,
    'longitude', a.longitude, 'listing_version', a.version, 'quality', q.quality,
    'quoted', jsonb_build_array(round(a.unit_price / 355.62, 8)),
    'equalised', jsonb_build_array(round(a.unit_price / 355.62, 8)))) AS copy
WHERE p.availability_id = %(model)s AND a.commodity_id = %(goods)s AND a.status = 'ACTIVE'
    AND NOT EXISTS (SELECT FROM matching_offerprofile v WHERE v.availability_id = a.id)
"""
# So that the sweep, which runs beside, has nothing to do.
COPY_MARKS = """
INSERT INTO matching_rematchmark (id, subject_type, subject_id, wanted, matched, seen_version, rules, due_at, priority,
    attempts, last_error, created_at)
SELECT gen_random_uuid(), 'AVAILABILITY', id, 0, 0, version, 'built-in', now(), 'LOW', 0, '', now()
FROM availability_availability a WHERE commodity_id = %(goods)s
ON CONFLICT DO NOTHING
"""
COPY_WANTS = """
INSERT INTO requirement_requirement ({columns})
SELECT {copied} FROM requirement_requirement t, generate_series(1, %(count)s) AS n,
LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'number', left(md5(random()::text), 20),
    'ceiling_price', 51000 + n * 41 %% 5000)) AS copy
WHERE t.id = %(model)s
"""
COPY_PARTS = """
INSERT INTO {table}
SELECT copy.* FROM {table} p, requirement_requirement r,
LATERAL jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(), 'requirement_id', r.id)) AS copy
WHERE p.requirement_id = %(model)s AND r.commodity_id = %(goods)s AND r.id <> %(model)s
    AND NOT EXISTS (SELECT FROM {table} x WHERE x.requirement_id = r.id)
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


def copied(model: Any, others: dict[str, str] | None = None) -> dict[str, str]:
    """The columns of a table that can be written, and where they come from: the copied row, or ``others``."""
    fields = model._meta.concrete_fields
    columns = [
        each.column for each in fields if not each.generated and each.get_internal_type() != "BigAutoField"
    ]
    values = [(others or {}).get(column, f"copy.{column}") for column in columns]
    return {"columns": ", ".join(columns), "copied": ", ".join(values)}


def execute(statements: list[str], values: dict[str, Any]) -> None:
    """Write past triggers and constraints, and have the planner know."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for text in statements:
            cursor.execute(text, values)
            cursor.execute("ANALYZE")  # the next statement reads what this one wrote
        cursor.execute("RESET session_replication_role")


def fill(model: Any, goods: Any, sellers: list[Any], count: int, *, off: bool = False) -> None:
    """Write so many offers of the goods with results, profiles and marks; ``off``: a third of them is suspended."""
    from apps.availability.models import Availability, QualityValue
    from apps.matching.models import OfferProfile

    values = {
        "model": model.pk, "goods": goods, "sellers": sellers, "count": count, "off": off,
    }  # fmt: skip
    offers = COPY_OFFERS.format(sellers=SELLERS, **copied(Availability))
    quality = COPY_QUALITY.format(**copied(QualityValue, QUALITY))
    execute([offers, quality, COPY_PROFILES.format(**copied(OfferProfile)), COPY_MARKS], values)


def fill_wants(model: Any, count: int) -> list[Any]:
    """Write so many requirements like the model; returns them."""
    from apps.requirement.models import Requirement

    values = {"model": model.pk, "goods": model.commodity_id, "count": count}
    parts = [COPY_PARTS.format(table=f"requirement_{name}") for name in ("band", "deliveryplace")]
    execute([COPY_WANTS.format(**copied(Requirement)), *parts], values)
    return list(Requirement.objects.filter(commodity=model.commodity_id).exclude(pk=model.pk).order_by("pk"))


def profiles(goods: Any, count: int) -> dict[str, Any]:
    """Profiles a second, as the product computes them; they are what was written by SQL."""
    from apps.availability.models import Availability
    from apps.matching.models import OfferProfile
    from apps.matching.services import rule_sets
    from apps.matching.services.rule_reading import active_rules
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    keys = list(
        Availability.objects.filter(commodity=goods, status="ACTIVE").values_list("pk", flat=True)[:count]
    )
    rows = OfferProfile.objects.filter(availability__in=keys).order_by("availability")
    before = list(
        rows.values_list("availability", "quoted", "equalised", "quality", "latitude", "lots", "sell_home")
    )
    with unguarded_writes():
        rows.delete()
    started = time.perf_counter()
    rule_sets.refresh_profiles(actor=SYSTEM, rules=active_rules([goods]), want_ids=[])
    seconds = time.perf_counter() - started
    after = list(
        rows.values_list("availability", "quoted", "equalised", "quality", "latitude", "lots", "sell_home")
    )
    assert before == after, "the rows of the benchmark differ from what the product computes"
    return {"profiles": len(keys), "a_second": round(len(keys) / seconds)}


def timed(act: Callable[[], Any], rounds: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """The median milliseconds of some calls."""
    times = []
    for _ in range(rounds):
        started = clock()
        act()
        times.append((clock() - started) * 1000)
    return statistics.median(times)


def one_run(want: Any, plan: Path | None = None) -> dict[str, Any]:
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
    scope = pairs.Scope(wants=[want.pk])

    def filters() -> None:
        with connection.cursor() as cursor:
            cursor.execute(pairs.BY_WANT, pairs.parameters(scope, rules))
            cursor.fetchall()

    sql = timed(filters)
    if plan is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {pairs.BY_WANT}", pairs.parameters(scope, rules))
            plan.write_text("\n".join(line for (line,) in cursor.fetchall()) + "\n")
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
    at_once = timed(lambda: score_columns(columns, DEFAULT), 51, time.process_time)
    prepared = timed(lambda: score_columns(columns_of(pairs, [WISHES]), DEFAULT), 9, time.process_time)
    loop = timed(lambda: [score_pair(pair, WISHES, DEFAULT, float) for pair in pairs], 9, time.process_time)
    return {
        "pairs": count, "at_once_ms": round(at_once, 2), "with_columns_ms": round(prepared, 1),
        "loop_ms": round(loop, 1), "times": round(loop / at_once),
    }  # fmt: skip


def batch(wants: list[Any], goods: Any, seconds: int) -> dict[str, Any]:
    """Match requirements as a batch does, whole chunks of 200 until the time is over: pairs a second."""
    from apps.matching.models import MatchRun
    from apps.matching.services import batches
    from erp.access import SYSTEM
    from erp.services import unit_of_work

    run = batches.start_batch(actor=SYSTEM, commodity=goods, mode="FULL")
    started, done = time.perf_counter(), 0
    for start in range(0, len(wants), 200):
        with unit_of_work(SYSTEM):
            chunk = wants[start : start + 200]
            looks = batches.look_at_chunk(run, [want.pk for want in chunk])
            for want in chunk:
                done += batches.match_row(run, want.pk, SYSTEM, looks.get(want.pk))
        if time.perf_counter() - started > seconds:
            break
    took = time.perf_counter() - started
    pool = sum(MatchRun.objects.filter(batch=run).values_list("pool", flat=True))
    return {
        "wants": f"{done} of {len(wants)}", "pairs": pool, "seconds": round(took, 1),
        "pairs_a_second": round(pool / took),
    }  # fmt: skip


@contextmanager
def product() -> Iterator[None]:
    """Relay, consumer, worker and beat."""
    from django.core.management import call_command

    call_command("setup_pubsub", verbosity=0)
    running = [
        subprocess.Popen([sys.executable, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        for argv in PROCESSES
    ]
    try:
        time.sleep(30)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def latency(goods: Any, edits: int, rate: float) -> dict[str, Any]:
    """From the commit of a change to the stored match that it makes, at so many offers a second."""
    from apps.availability.models import Availability
    from apps.availability.services import offers
    from apps.matching.models import Match
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    want = goods.want()
    suitable = Match.objects.filter(requirement=want).values("availability")
    goods.run(want)
    keys = list(suitable.values_list("availability", flat=True))
    waiting: dict[Any, float] = {}
    times: list[float] = []
    with product():
        old = set(Match.objects.values_list("pk", flat=True))
        began, turn, changed = time.perf_counter(), 0, 0
        while changed < edits or (waiting and time.perf_counter() - began < edits / rate + 60):
            if changed < edits and time.perf_counter() - began >= turn / rate:
                turn += 1
                key = keys[turn % len(keys)]
                if key not in waiting:
                    changed += 1
                    with (
                        unguarded_writes()
                    ):  # a new price, which the next change of the offer brings to light
                        Availability.objects.filter(pk=key).update(unit_price=Decimal(50_000 + turn))
                    row = Availability.objects.get(pk=key)
                    other = "PUBLIC" if row.visibility == "MATCHED_ONLY" else "MATCHED_ONLY"
                    offers.set_visibility(row, actor=SYSTEM, visibility=other)
                    waiting[key] = time.perf_counter()
            for pk, key in Match.objects.live().exclude(pk__in=old).values_list("pk", "availability"):
                old.add(pk)
                if key in waiting:
                    times.append((time.perf_counter() - waiting.pop(key)) * 1000)
            time.sleep(0.005)
    times.sort()
    return {
        "changes": changed, "matched": len(times), "offers": len(keys), "seconds": round(time.perf_counter() - began),
        "median_ms": round(statistics.median(times)), "p95_ms": round(times[int(len(times) * 0.95) - 1]),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--offers", type=int, default=100_000, help="live offers of the goods")
    parser.add_argument(
        "--others", default="1000,10000,100000", help="offers of other goods, one size after the other"
    )
    parser.add_argument("--scores", type=int, default=10_000, help="pairs that are scored at once")
    parser.add_argument("--wants", type=int, default=2_000, help="requirements of the batch")
    parser.add_argument("--batch-offers", type=int, default=20_000, help="offers of the batch")
    parser.add_argument("--batch-seconds", type=int, default=60, help="how long the batch runs at most")
    parser.add_argument("--edits", type=int, default=200, help="offers that change")
    parser.add_argument("--rate", type=float, default=20, help="changes a second")
    parser.add_argument("--only", default="scores,others,one,batch,latency")
    parser.add_argument("--plans", type=Path, help="folder for what EXPLAIN says of the filters")
    options = parser.parse_args()
    wanted, began = options.only.split(","), time.monotonic()

    def show(name: str, found: Any) -> None:
        load = os.getloadavg()[0]
        print(f"{time.monotonic() - began:5.0f} s, load {load:.1f}: {name}", found, flush=True)

    def plan(name: str) -> Path | None:
        return options.plans and options.plans / f"matching-{name}.explain.txt"

    from erp.embedded.testing import servers

    with servers():
        import django

        django.setup()
        if "scores" in wanted:
            show("scores", scores(options.scores))
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from apps.partners.tests.factories import ready_partner
        from apps.risk.tests.factories import sanctions

        sanctions(("1", "PERSON", "Nobody Known"))  # without a screening list risk lets nothing through
        goods = market()
        offer, want = goods.offer(), goods.want()
        goods.run(want)
        sellers = [ready_partner().pk for _ in range(SELLERS)]
        if "others" in wanted:
            small = market()
            small_want = small.want()
            fill(offer, small.goods.pk, sellers, 1000)
            others, written = market().goods.pk, 0
            for size in map(int, options.others.split(",")):
                fill(offer, others, sellers, size - written, off=True)
                written = size
                found = one_run(small_want, plan(f"beside-{size}"))
                show(f"1,000 candidates beside {size:,} rows of other goods and states", found)
        if "one" in wanted:
            fill(offer, goods.goods.pk, sellers, options.offers)
            show("one requirement", one_run(want, plan("one")))
            show("profiles", profiles(goods.goods.pk, 2_000))
        if "batch" in wanted:
            large = market()
            model = large.want()
            fill(offer, large.goods.pk, sellers, options.batch_offers)
            show("batch", batch(fill_wants(model, options.wants), large.goods, options.batch_seconds))
        if "latency" in wanted:
            busy = market()
            fill(offer, busy.goods.pk, sellers, 2_000)
            show("latency", latency(busy, options.edits, options.rate))


if __name__ == "__main__":
    main()
