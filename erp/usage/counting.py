"""Counts requests by day and class of status, never with a write to the database.

A process adds up what it answered and hands the sums to Redis every ``EVERY_SECONDS``; a task moves them into the
table. What a process counted last is lost when it dies; while Redis is down nothing is counted.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from redis import RedisError

from erp import clock
from erp.clients.breakers import shared_redis
from erp.pages import PROBES

EVERY_SECONDS: Final = 2.0
KEY: Final = "erp:requests"

_lock = threading.Lock()
_counted: Counter[str] = Counter()
_handed_over = 0.0


class CountingMiddleware:
    """Counts every request but those of probes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.path_info not in PROBES:
            count(response.status_code)
        return response


def count(status: int) -> None:
    """Count a response; now and then hand the sums over."""
    global _handed_over  # noqa: PLW0603
    with _lock:
        _counted[f"{clock.today()}|{status // 100}xx"] += 1
        if time.monotonic() - _handed_over < EVERY_SECONDS:
            return
        _handed_over, sums = time.monotonic(), dict(_counted)
        _counted.clear()
    _add(sums)


def take() -> dict[tuple[date, str], int]:
    """Take what all processes handed over out of Redis; ``put_back`` returns it if it can't be stored."""
    if (client := shared_redis.client()) is None:
        return {}
    try:
        with client.pipeline(transaction=True) as pipe:
            pipe.hgetall(KEY)
            pipe.delete(KEY)
            found = pipe.execute()[0]
    except RedisError:
        shared_redis.failed()
        return {}
    parts = {tuple(name.split("|")): int(number) for name, number in found.items()}
    return {(date.fromisoformat(day), status): number for (day, status), number in parts.items()}


def put_back(counts: dict[tuple[date, str], int]) -> None:
    """Return counts to Redis that could not be stored."""
    _add({f"{day}|{status}": number for (day, status), number in counts.items()})


def _add(sums: dict[str, int]) -> None:
    if (client := shared_redis.client()) is None or not sums:
        return
    try:
        with client.pipeline(transaction=True) as pipe:
            for name, number in sums.items():
                pipe.hincrby(KEY, name, number)
            pipe.execute()
    except RedisError:
        shared_redis.failed()
