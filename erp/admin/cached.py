"""The cache as the portal's pages use it: while Redis doesn't answer, nothing is cached and pages go on."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.core.cache import cache
from redis.exceptions import RedisError


def get(key: str) -> Any:
    """The cached value; None where there is none."""
    return get_many([key]).get(key)


def get_many(keys: Iterable[str]) -> dict[str, Any]:
    """The cached values of those keys that have one."""
    try:
        return cache.get_many(list(keys))
    except RedisError:
        return {}


def put(key: str, value: Any, seconds: int) -> None:
    """Cache a value."""
    with suppress(RedisError):
        cache.set(key, value, seconds)


def drop(key: str) -> None:
    """Forget a value."""
    with suppress(RedisError):
        cache.delete(key)
