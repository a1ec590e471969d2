"""Part e: what ``emit`` adds to a write; the process that measures it, too."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from benchmarks.faults.world import World
from benchmarks.relay import ground
from benchmarks.relay.figures import Part, median

COUNTS = (1, 10, 100)


def measure(world: World, sizes: ground.Sizes, report: ground.Report) -> Part:
    """Statements and time."""
    rounds = sizes(400, 20)
    part = Part(
        "e",
        "The cost of emit",
        "In one process, nothing else running. A unit of work that emits 1, 10 or 100 events is counted in SQL"
        " statements. Then a commodity is created as usual and, in turns, with the write to the outbox left out:"
        f" the difference of the medians of {rounds} rounds is what emitting adds, commit and wake-up included.",
    )
    report("e: statements and time of emit")
    with ground.a_place(world, "emitting") as place:
        result: dict[str, Any] = ground.run(place, "benchmarks.relay.emitting", rounds)
    counts = result["statements"]
    text = ", ".join(f"{n} events: {count}" for n, count in counts.items())
    same = len(set(counts.values())) == 1
    part.add("statements of a unit of work", text, "the same", same, hard=True)
    for n, seconds in result["units"].items():
        part.add(f"unit of work with nothing but {n} events, median", f"{seconds * 1000:.2f} ms")
    for what, (whole, without) in result["writes"].items():
        share = max(0.0, 1 - without / whole)
        part.add(
            f"{what}, median", f"{whole * 1000:.2f} ms, without events {without * 1000:.2f} ms: {share:.0%}"
        )
    return part


def main() -> None:
    """Measure and print."""
    import os

    os.environ["THROTTLE_WRITE"] = "1000000"
    import django

    django.setup()
    rounds = int(sys.argv[1])
    statements, units = _units(rounds)
    print(json.dumps({"statements": statements, "units": units, "writes": _writes(rounds)}))


def _units(rounds: int) -> tuple[dict[int, int], dict[int, float]]:
    """Statements, and median seconds, of units of work that only emit."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.commodities.events import commodities as events
    from erp.access import SYSTEM
    from erp.ids import uuid7
    from erp.services import emit, service

    def emit_events(*, actor: Any, count: int) -> None:
        for _ in range(count):
            emit(events.CommodityUpdated(commodity_id=uuid7(), version=2, changes={}))

    emit_events.__module__ = "apps.commodities.services"
    telling = service(public="a benchmark", emits=[events.CommodityUpdated])(emit_events)
    statements, units = {}, {}
    for count in COUNTS:
        telling(actor=SYSTEM, count=count)
        with CaptureQueriesContext(connection) as captured:
            telling(actor=SYSTEM, count=count)
        statements[count] = len(captured)
        times = []
        for _ in range(rounds // 4):
            started = time.perf_counter()
            telling(actor=SYSTEM, count=count)
            times.append(time.perf_counter() - started)
        units[count] = median(times)
    return statements, units


def _writes(rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds of writes, whole and without their events."""
    from apps.commodities.services.commodities import create
    from config.testing import active_user, signed_in_client
    from erp import services
    from erp.access import SYSTEM
    from erp.ids import uuid7

    client = signed_in_client(
        active_user("INTERNAL", "INTERNAL_MASTERDATA", user_type="INTERNAL", organization_id=uuid7())
    )

    def by_service() -> None:
        code = f"S{uuid4().hex[:20].upper()}"
        create(actor=SYSTEM, code=code, name=code, category="FIBRE")

    def by_api() -> None:
        code = f"A{uuid4().hex[:20].upper()}"
        answer = client.write("/api/v1/commodities", {"code": code, "name": code, "category": "FIBRE"})
        assert answer.status_code == 201, answer.content

    def without(write: Callable[[], None]) -> None:
        flush = services.flush
        services.flush = lambda *_, **__: None  # type: ignore[assignment]
        try:
            write()
        finally:
            services.flush = flush

    found = {}
    for name, write in (("create by its service", by_service), ("create by the API", by_api)):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for taken_times, call in zip(times, (write, lambda write=write: without(write)), strict=True):
                started = time.perf_counter()
                call()
                taken_times.append(time.perf_counter() - started)
        found[name] = median(times[0][5:]), median(times[1][5:])
    return found


if __name__ == "__main__":
    main()
