"""Identifiers of rows and events: UUIDv7, so that they sort by time of creation; UUIDv4 where that time is secret."""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from random import Random
from uuid import UUID

import uuid_utils

REPEATABLE_FROM = 1_775_000_000_000  # milliseconds, April 2026: before any id made since

_source: ContextVar[Callable[[], UUID] | None] = ContextVar("erp_ids", default=None)


def uuid7() -> UUID:
    """A fresh UUIDv7."""
    source = _source.get()
    return source() if source is not None else UUID(bytes=uuid_utils.uuid7().bytes)


def uuid4() -> UUID:
    """A fresh UUIDv4, for rows that other partners can read: it says nothing about when the row was made."""
    source = _source.get()
    if source is None:
        return uuid.uuid4()
    return UUID(bytes=hashlib.sha256(source().bytes).digest()[:16], version=4)


@contextmanager
def repeatable(label: str, position: int = 0) -> Iterator[None]:
    """Make ids that depend on the label only, for demo data; they sort by ``position``, then in their order."""
    random, numbers = Random(label), count(REPEATABLE_FROM + position * 1000)

    def next_id() -> UUID:
        bits = next(numbers) << 80 | random.getrandbits(76)
        return UUID(int=bits & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)

    token = _source.set(next_id)
    try:
        yield
    finally:
        _source.reset(token)
