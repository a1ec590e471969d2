"""What one write costs: a create with key, capability and event against a bare DRF create of the same row.

Both run in this process on the same PostgreSQL, with the same sign-in, in turns; the result is the ratio of the
medians of one run, and the number of SQL statements of each.

    python -m benchmarks.write_cost [--rounds 300]
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds

    from erp.embedded.testing import servers

    with servers():
        import django

        os.environ |= {"THROTTLE_WRITE": "1000000", "THROTTLE_ANONYMOUS": "1000000"}
        os.environ["LOG_LEVEL"] = "ERROR"
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        measure(rounds)


def measure(rounds: int) -> None:
    """Run both in turns."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext, override_settings
    from django.urls import include, path
    from rest_framework import serializers
    from rest_framework.generics import CreateAPIView

    from apps.accounts.authentication import BearerAuthentication
    from apps.commodities.models import Commodity
    from config.testing import active_user, signed_in_client
    from erp.ids import uuid7
    from erp.models import unguarded_writes

    class BareSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = Commodity
            fields = ("id", "code", "name", "category", "trade_unit", "created_at")

    class BareCreate(CreateAPIView[Any]):
        queryset = Commodity.objects.all()
        serializer_class = BareSerializer
        authentication_classes = (BearerAuthentication,)

        def perform_create(self, serializer: Any) -> None:
            with unguarded_writes():
                serializer.save()

    class Urls:
        urlpatterns = [path("bare", BareCreate.as_view()), path("", include("config.urls"))]

    person = active_user("INTERNAL", "INTERNAL_MASTERDATA", user_type="INTERNAL", organization_id=uuid7())
    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"]):
        client = signed_in_client(person)

        def full() -> int:
            code = f"F{uuid4().hex[:20].upper()}"
            body = {"code": code, "name": code, "category": "FIBRE"}
            answer = client.write("/api/v1/commodities", body)
            assert answer.status_code == 201, answer.content
            return int(answer.status_code)

        def bare() -> int:
            code = f"B{uuid4().hex[:20].upper()}"
            body = {"code": code, "name": code, "category": "FIBRE", "trade_unit": "KG"}
            headers = {"Authorization": f"Bearer {client.bearer}"}
            answer = client.post("/bare", json.dumps(body), content_type="application/json", headers=headers)
            assert answer.status_code == 201, answer.content
            return int(answer.status_code)

        def statements(call: Callable[[], int]) -> int:
            with CaptureQueriesContext(connection) as captured:
                assert call() == 201
            return len(captured)

        for call in (full, bare) * 10:
            assert call() == 201
        counts = {"full": statements(full), "bare": statements(bare)}
        times: dict[str, list[float]] = {"full": [], "bare": []}
        for _ in range(rounds):
            for name, call in (("full", full), ("bare", bare)):
                started = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    print("| create | SQL statements | median ms |")
    print("|---|---:|---:|")
    for name in ("bare", "full"):
        print(f"| {name} | {counts[name]} | {medians[name]:.2f} |")
    print(f"\nratio {medians['full'] / medians['bare']:.2f} over {rounds} rounds")


if __name__ == "__main__":
    main()
