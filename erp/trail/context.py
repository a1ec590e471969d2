"""Who changes rows in the current transaction, how and why: set for the database, whose triggers write it down."""

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from erp import clock, logs
from erp.access import Actor

Channel = Literal["api", "admin", "command", "task"]

_SET: Final = (
    "SELECT set_config('trail.context', %s, true), set_config('trail.key', %s, true), query.*"
    " FROM ({}) AS query"
)
_BLOCK: Final = 64  # bytes of a block of SHA-256
_channel: ContextVar[Channel] = ContextVar("erp_channel", default="command")
_on_behalf_of: ContextVar[str | None] = ContextVar("erp_on_behalf_of", default=None)


@contextmanager
def through(channel: Channel) -> Iterator[None]:
    """Name the channel by which the changes of the block come."""
    token = _channel.set(channel)
    try:
        yield
    finally:
        _channel.reset(token)


@contextmanager
def on_behalf_of(user_id: Any) -> Iterator[None]:
    """Name the person for whom services of the block run, beside the actor: whoever asked for what is approved."""
    token = _on_behalf_of.set(None if user_id is None else str(user_id))
    try:
        yield
    finally:
        _on_behalf_of.reset(token)


def is_on_behalf() -> bool:
    """Whether services run on behalf of somebody beside the actor."""
    return _on_behalf_of.get() is not None


def describe(actor: Actor, *, service: str, capability: str, reason: str, record_id: str) -> str:
    """The context of one service call, as the triggers read it."""
    return json.dumps(
        {
            "actor": None if actor.pk is None else str(actor.pk),
            "on_behalf_of": _on_behalf_of.get(),
            "superuser": bool(actor.is_superuser),
            "service": service,
            "capability": capability,
            "channel": _channel.get(),
            "request_id": logs.current_request_id(),
            "record_id": record_id,
            "reason": logs.mask_text(reason) if reason else "",
        }
    )


def apply(context: str) -> datetime:
    """Set the context for the rest of the transaction; returns the transaction's time, read in the same statement."""
    moment: datetime = apply_with(f"SELECT {clock.TRANSACTION_TIME}", (), context)[0]
    return moment


def apply_with(query: str, parameters: Sequence[Any], context: str) -> tuple[Any, ...]:
    """Set the context (none where it is empty) in the statement of a query of one row; returns that row."""
    connection.ensure_connection()
    statement = sql.SQL(_SET).format(sql.SQL(query)) if context else sql.SQL(query)
    values = [context, _pads(), *parameters] if context else parameters
    # Bound by the server, unlike Django's own cursors do it: the key stands in no text of a statement.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    assert row is not None
    return tuple(row[2:] if context else row)


_applied: ContextVar[str] = ContextVar("erp_trail_applied", default="")


@contextmanager
def applied(context: str) -> Iterator[None]:
    """The context that the transaction around the block has already set."""
    token = _applied.set(context)
    try:
        yield
    finally:
        _applied.reset(token)


def current() -> str:
    """The context that the transaction has set before its first service; empty where there is none."""
    return _applied.get()


@cache
def _pads() -> str:
    """The key of HMAC-SHA-256 as its inner and outer pad in hexadecimal: PostgreSQL's own sha256() does the rest."""
    key = hmac.digest(settings.TRAIL_DIGEST_KEY.encode(), b"trail", "sha256").ljust(_BLOCK, b"\0")
    return (bytes(byte ^ 0x36 for byte in key) + bytes(byte ^ 0x5C for byte in key)).hex()
