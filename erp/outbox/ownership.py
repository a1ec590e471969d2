"""Bucket ownership: session-level advisory locks divide the buckets among the running relays (core §2)."""

import random
from typing import Any

import psycopg
from django.conf import settings

from erp import locks
from erp.outbox import sql

# A relay that is gone is noticed by the server within three probes of a second each, and the other way round.
_SESSION = """
SET application_name = 'erp-relay';
SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 2;
SET statement_timeout = '30s'; SET lock_timeout = '3s';
-- Losing the mark of a published row in a crash sends it again under the same id, which is harmless.
SET synchronous_commit = off;
-- A full read is sorted in memory.
SET work_mem = '32MB';
-- Every statement is a look-up in an index, also before the first ANALYZE.
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
"""

Connection = psycopg.AsyncConnection[Any]


class LayoutRefused(Exception):
    """Ordering mode or number of buckets differ from what waiting rows were written for."""


class LayoutHeld(Exception):
    """Another relay still uses the previous layout, or is changing it."""


async def connect() -> Connection:
    """The relay's own direct connection. Raises psycopg.OperationalError when the database doesn't answer."""
    connection: Connection = await psycopg.AsyncConnection.connect(
        settings.DATABASE_DIRECT_URL,
        autocommit=True,
        connect_timeout=5,
        keepalives=1,
        keepalives_idle=1,
        keepalives_interval=1,
        keepalives_count=2,
        tcp_user_timeout=5000,
    )
    await connection.execute(_SESSION)
    return connection


async def join(connection: Connection) -> None:
    """Join relaying with the configured layout; store the layout if it may change.

    Raises LayoutRefused while rows of another layout wait, LayoutHeld while another relay runs on it.
    """
    wanted = (settings.OUTBOX_ORDERING, settings.OUTBOX_BUCKETS)
    while True:
        if not await _scalar(connection, "SELECT pg_try_advisory_lock_shared(%s, 0)", locks.RELAY_LAYOUT):
            raise LayoutHeld("another relay is changing the layout")
        row = await (await connection.execute(sql.LAYOUT)).fetchone()
        if row is not None and tuple(row) == wanted:
            return
        await connection.execute("SELECT pg_advisory_unlock_shared(%s, 0)", [locks.RELAY_LAYOUT])
        if not await _scalar(connection, "SELECT pg_try_advisory_lock(%s, 0)", locks.RELAY_LAYOUT):
            raise LayoutHeld(
                f"another relay runs while the layout would change to {wanted[0]}, {wanted[1]} buckets"
            )
        try:
            if row is not None and not await _scalar(connection, sql.DRAINED):
                raise LayoutRefused(
                    f"the outbox was written for ordering {row[0]} and {row[1]} buckets and is not drained: "
                    f"publish, retry or skip what waits, then change to {wanted[0]} and {wanted[1]}"
                )
            await connection.execute(sql.SET_LAYOUT, {"ordering": wanted[0], "buckets": wanted[1]})
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s, 0)", [locks.RELAY_LAYOUT])


class Ownership:
    """The buckets that one relay owns through its connection, and its fair share of all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.buckets: set[int] = set()
        self.relays = 1

    async def announce(self) -> None:
        """Register as a relay."""
        await self._connection.execute("SELECT pg_advisory_lock_shared(%s, 0)", [locks.RELAY_PRESENT])

    @property
    def share(self) -> int:
        """How many buckets are this relay's: ⌈buckets / relays⌉."""
        return -(-settings.OUTBOX_BUCKETS // self.relays)

    @property
    def hopeless(self) -> bool:
        """Whether the other relays' shares already cover all buckets."""
        return self.share * (self.relays - 1) >= settings.OUTBOX_BUCKETS

    async def balance(self) -> tuple[set[int], int]:
        """Count the relays and claim free buckets up to the share; those gained, and how many are surplus."""
        parameters = {"present": locks.RELAY_PRESENT, "bucket": locks.RELAY_BUCKET}
        row = await (await self._connection.execute(sql.CENSUS, parameters)).fetchone()
        assert row is not None
        self.relays = max(1, row[0])
        free = list(set(range(settings.OUTBOX_BUCKETS)) - set(row[1]))
        wanted = min(self.share - len(self.buckets), len(free))
        if wanted <= 0:
            return set(), max(0, len(self.buckets) - self.share)
        # At random, so that relays that start together don't all try the same ones.
        cursor = await self._connection.execute(
            sql.CLAIM, {"space": locks.RELAY_BUCKET, "buckets": random.sample(free, wanted)}
        )
        gained = {bucket for (bucket,) in await cursor.fetchall()}
        self.buckets |= gained
        return gained, 0

    async def give_back(self, buckets: set[int]) -> None:
        """Release these buckets to other relays."""
        await self._connection.execute(sql.RELEASE, {"space": locks.RELAY_BUCKET, "buckets": list(buckets)})
        self.buckets -= buckets


async def _scalar(connection: Connection, statement: str, *parameters: object) -> Any:
    row = await (await connection.execute(statement, parameters)).fetchone()
    assert row is not None
    return row[0]
