"""Counts of requests: added up in processes and Redis, stored by a task, drawn on the home page."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from erp import clock
from erp.access import SYSTEM
from erp.usage import counting, services, tasks
from erp.usage.models import RequestCount

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """A key of its own, and sums that go to Redis at once."""
    monkeypatch.setattr(counting, "KEY", f"erp:requests:{clock.now().timestamp()}")
    monkeypatch.setattr(counting, "EVERY_SECONDS", 0.0)
    counting._counted.clear()


def stored():
    return {(row.day, row.status_class): row.count for row in RequestCount.objects.all()}


def test_a_request_is_counted_without_a_query_and_a_probe_is_not(client):
    client.get("/livez")
    with CaptureQueriesContext(connection) as queries:
        for _ in range(3):
            client.get("/no-such-page")
    assert not [each for each in queries if "usage" in each["sql"]]
    assert tasks.store_requests() == 3
    assert stored() == {(clock.today(), "4xx"): 3}
    assert tasks.store_requests() == 0


def test_sums_are_added_to_what_is_stored_and_put_back_where_that_fails(monkeypatch):
    today = clock.today()
    services.add_requests(actor=SYSTEM, counts={(today, "2xx"): 5})
    counting.count(200)
    counting.count(503)

    def fail(**kwargs):
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(services, "add_requests", fail)
        with pytest.raises(RuntimeError):
            tasks.store_requests()
    assert tasks.store_requests() == 2
    assert stored() == {(today, "2xx"): 6, (today, "5xx"): 1}


def test_sums_are_handed_over_now_and_then_only(monkeypatch):
    counting.count(200)
    monkeypatch.setattr(counting, "EVERY_SECONDS", 3600.0)
    counting.count(200)
    assert counting.take() == {(clock.today(), "2xx"): 1}


def test_requests_go_on_while_redis_is_down(client, settings):
    settings.REDIS_URL = ""
    assert client.get("/no-such-page").status_code == 404
    assert tasks.store_requests() == 0


def test_home_draws_requests_and_those_that_failed(user, staff_client_for):
    today = clock.today()
    counts = {(today, "2xx"): 1200, (today, "5xx"): 3, (today - timedelta(days=40), "2xx"): 9}
    services.add_requests(actor=SYSTEM, counts=counts)
    cache.delete("admin:charts")
    charts = {
        chart.title: chart for chart in staff_client_for(user("INTERNAL")).get("/admin/").context["charts"]
    }
    assert charts["Requests"].figures == {today: 1203}
    assert charts["Failed requests"].figures == {today: 3}
    assert charts["Requests"].bars[-1].text == "1,203 requests"
