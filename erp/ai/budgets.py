"""The money of questions in flight: one entry per question in a sorted set of Redis per organization.

A question enters its estimate before it is asked and is taken out once its call is recorded, so parallel questions
don't pass the limit together. Each entry ends by itself. Without Redis a paid provider isn't asked.
"""

from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

from erp import clock
from erp.ai.models import Budget, Call

_HOUR: Final = 3_600  # a question that nobody recorded stops counting after this


def _entries(organization_id: UUID) -> tuple[Any, str] | None:
    store: Any = caches["default"]
    if not isinstance(store, RedisCache):
        return None
    name = store.make_key(f"ai:in-flight:{organization_id}")
    return store._cache.get_client(name, write=True), name


def _entry(call_id: UUID, estimate: Decimal) -> str:
    return f"{call_id}:{int(estimate * 1_000_000)}"


def take(budget: Budget, call_id: UUID, estimate: Decimal) -> bool:
    """Reserve the estimate of one question; False where it doesn't fit into the month's limit."""
    now = clock.now().timestamp()
    try:
        if (found := _entries(budget.organization_id)) is None:
            return False
        redis, name = found
        with redis.pipeline(transaction=True) as pipe:
            pipe.zadd(name, {_entry(call_id, estimate): now + _HOUR})
            pipe.zremrangebyscore(name, "-inf", now)
            pipe.expire(name, _HOUR)
            pipe.zrange(name, 0, -1)
            entries = pipe.execute()[-1]
    except RedisError:
        return False
    in_flight = Decimal(sum(int(entry.decode().partition(":")[2]) for entry in entries)) / 1_000_000
    # Read after the entries: a call that is recorded meanwhile counts twice rather than not at all.
    if Call.objects.spent(budget.organization_id, clock.now()) + in_flight <= budget.month_limit:
        return True
    give_back(budget.organization_id, call_id, estimate)
    return False


def give_back(organization_id: UUID, call_id: UUID, estimate: Decimal) -> None:
    """Take a question out, if it is in flight. An error is swallowed: its entry ends by itself."""
    try:
        if (found := _entries(organization_id)) is not None:
            found[0].zrem(found[1], _entry(call_id, estimate))
    except RedisError:
        return
