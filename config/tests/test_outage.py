"""Business goes on while Pub/Sub is down, and afterwards everything arrives."""

import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from apps.commodities.services import commodities as services
from erp.access import SYSTEM
from erp.embedded.testing import PubSub
from erp.outbox.models import EventOutbox
from erp.tests.outbox_support import align, count, in_order, pubsub, received, relaying, until

__all__ = ["pubsub"]  # the fixture
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pubsub"), pytest.mark.slow]
WRITERS, COMMODITIES, CHANGES = 3, 20, 4
WRITES = WRITERS * COMMODITIES * (1 + CHANGES)


def test_writes_go_on_during_an_outage_and_all_events_arrive_in_order_after_it(
    settings: Any, tmp_path: Path
) -> None:
    server = PubSub(tmp_path)
    settings.PUBSUB_EMULATOR_HOST = server.address
    align()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(COMMODITIES):
                code = f"OUT{uuid4().hex[:12].upper()}"
                row = services.create(actor=SYSTEM, code=code, name=code, category="FIBRE")
                for change in range(CHANGES):
                    row = services.update(
                        row, actor=SYSTEM, name=code, category="FIBRE", description=f"Lot {change}"
                    )
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    with relaying() as running:
        writers = [threading.Thread(target=write) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        until(lambda: EventOutbox.objects.filter(status="published").exists())
        server.end(signal.SIGKILL)
        for writer in writers:
            writer.join()
        assert not failures
        until(lambda: running.last_error)
        assert set(EventOutbox.objects.values_list("status", "processing_attempts")) <= {
            ("published", 0),
            ("pending", 0),
        }
        assert EventOutbox.objects.filter(status="pending").exists()
        with PubSub(tmp_path, "--port", server.address.rpartition(":")[2]):
            until(lambda: not EventOutbox.objects.exclude(status="published").exists(), 60)
            events = received(count(WRITES))
    assert Counter(len(sequence) for sequence in in_order(events).values()) == {
        1 + CHANGES: WRITERS * COMMODITIES
    }
    assert set(EventOutbox.objects.values_list("status", "processing_attempts")) == {("published", 0)}
