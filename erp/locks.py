"""All advisory-lock spaces of the database, in one place.

PostgreSQL has two key spaces: one of a 64-bit key, one of two 32-bit keys. Idempotency keys use the first
with a hash (so it is theirs alone); everything else uses the second, told apart by its first number.
"""

import hashlib

from django.db import connection

RELAY_BUCKET = 0x6F01  # (RELAY_BUCKET, bucket): the relay that owns the bucket, session-level
RELAY_PRESENT = 0x6F02  # (RELAY_PRESENT, 0): shared, "I am a relay", session-level
RELAY_LAYOUT = 0x6F03  # (RELAY_LAYOUT, 0): shared by relays; exclusive while mode or bucket count changes
TASK = 0x6F04  # (TASK, hash of the name): periodic work that runs once at a time
FEED = 0x6F05  # (FEED, 0): the one writer of the event feed's positions
NAMED = 0x6F06  # (NAMED, hash of the name): what changes several rows as one thing, such as a tree


def scope_key(scope: bytes) -> int:
    """Lock key of an idempotency scope: the first 64 bits of its SHA-256, signed."""
    return int.from_bytes(scope[:8], "big", signed=True)


def name_key(name: str) -> int:
    """A signed 32-bit key for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)


def hold(name: str, *, shared: bool = False) -> None:
    """Hold the lock of that name until the transaction ends, alone or together with other sharers."""
    query = (
        "SELECT pg_advisory_xact_lock_shared(%s, %s)" if shared else "SELECT pg_advisory_xact_lock(%s, %s)"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [NAMED, name_key(name)])


def are_awaited() -> bool:
    """Whether another session waits for a lock that this one holds, on a row or any other."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])
