"""The money of questions in flight: one atomic counter per organization in Redis, in millionths.

A question adds its estimate before it is asked and takes it off once its call is recorded, so parallel questions
don't pass the limit together. Without Redis a paid provider isn't asked.
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


def _counter(organization_id: UUID) -> tuple[Any, str] | None:
    store: Any = caches["default"]
    if not isinstance(store, RedisCache):
        return None
    name = store.make_key(f"ai:in-flight:{organization_id}")
    return store._cache.get_client(name, write=True), name


def take(budget: Budget, estimate: Decimal) -> bool:
    """Reserve the estimate of one question; False where it doesn't fit into the month's limit."""
    micros = int(estimate * 1_000_000)
    try:
        if (found := _counter(budget.organization_id)) is None:
            return False
        redis, name = found
        with redis.pipeline(transaction=True) as pipe:
            pipe.incrby(name, micros)
            pipe.expire(name, _HOUR)
            in_flight = Decimal(pipe.execute()[0]) / 1_000_000
    except RedisError:
        return False
    # Read after the counter: a call that is recorded meanwhile counts twice rather than not at all.
    if Call.objects.spent(budget.organization_id, clock.now()) + in_flight <= budget.month_limit:
        return True
    give_back(budget.organization_id, estimate)
    return False


def give_back(organization_id: UUID, estimate: Decimal) -> None:
    """Take a question's estimate off. An error is swallowed: the counter ends with its hour."""
    try:
        if (found := _counter(organization_id)) is not None:
            found[0].decrby(found[1], int(estimate * 1_000_000))
    except RedisError:
        return
