"""Execute a request once: lock the key, replay or run, and store the response in the same transaction (core §4)."""

import base64
import hashlib
import hmac
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import OperationalError, connection, transaction

from erp import clock, locks, metrics, services
from erp.errors import AnswerExpired, InProgress, KeyInvalid, KeyMissing, KeyReused, Unavailable
from erp.ids import uuid7
from erp.trail import context as trail

STORED_HEADERS: Final = ("Content-Type", "Location", "ETag")
RETRIES: Final = 3  # of a transaction that lost to a deadlock or a serialization failure
_KEY: Final = re.compile(r"[!#-+\--~]{16,255}")  # visible ASCII without quote and comma
_RETRYABLE: Final = {"40001", "40P01"}


@dataclass(frozen=True)
class StoredResponse:
    """The response to the caller, byte for byte."""

    status: int
    headers: dict[str, str]
    body: bytes
    replayed: bool = False


@dataclass(frozen=True)
class Request:
    """What identifies a request: who, what, where, under which key, with which content."""

    principal: str
    method: str
    route: str
    key: str
    parameters: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    secret: bool = False
    anonymous: bool = False
    dry_run: bool = False
    # Of the audit trail: the context of a service of that id, set together with the lock.
    context: Callable[[str], str] | None = None
    scope: bytes = field(init=False)
    fingerprint: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Compute scope (SHA-256; anonymous: HMAC of the key) and fingerprint (HMAC-SHA-256)."""
        secret = settings.IDEMPOTENCY_FINGERPRINT_KEY.encode()
        key = hmac.new(secret, self.key.encode(), hashlib.sha256).hexdigest() if self.anonymous else self.key
        parts = [self.principal, self.method, self.route, *(f"{k}={v}" for k, v in self.parameters), key]
        object.__setattr__(self, "scope", hashlib.sha256("\0".join(parts).encode()).digest())
        object.__setattr__(self, "fingerprint", hmac.new(secret, self.content, hashlib.sha256).digest())


def parse_key(header: str | None) -> str:
    """The key of an Idempotency-Key header: a bare token or a quoted string of 16–255 visible ASCII characters.

    A comma isn't allowed: servers join repeated headers with one.

    Raises KeyMissing or KeyInvalid (400).
    """
    if not header:
        raise KeyMissing("Send an Idempotency-Key: one random key per operation, repeated in its retries.")
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not _KEY.fullmatch(key):
        raise KeyInvalid("Use 16 to 255 visible ASCII characters without comma, such as a random UUID.")
    return key


def once(request: Request, run: Callable[[], StoredResponse]) -> StoredResponse:
    """Run ``run`` unless the request was executed before; then return the stored response.

    Everything happens in one transaction: the key's advisory lock, the look-up, the run and the record. Whatever
    ``run`` raises rolls back and leaves no record; so does a dry run, whatever its answer.
    Raises InProgress (409) while the same request runs, KeyReused (422) for other content, AnswerExpired (409) if
    a secret response is no longer stored, and Unavailable (503) after repeated deadlocks.
    """
    for tried in range(RETRIES + 1):
        try:
            with transaction.atomic():
                return _once(request, run)
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state not in _RETRYABLE or connection.in_atomic_block:
                raise
            if tried == RETRIES:
                break
            time.sleep(random.uniform(0, 0.05 * 2**tried))  # noqa: S311 - jitter, not a secret
    raise Unavailable("The rows are locked by another request; try again.")


# The function takes the lock before it looks up (see migrations/_database.py). It also bounds the transaction: who
# synchronises by updated_at counts on 30 s at most.
_BEGIN: Final = (
    "SELECT locked, (record).fingerprint, (record).status, (record).headers::text, (record).body, (record).secret,"
    " (record).body_wiped, (record).body_expires_at, (record).expires_at, {} FROM idempotency_begin(%s, %s, %s, %s)"
)
_STORE: Final = """
INSERT INTO idempotency_record (id, scope, fingerprint, principal, method, route, status, headers, body, secret,
    body_wiped, created_at, body_expires_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, false, %s, %s, %s)
ON CONFLICT (scope) DO UPDATE SET (id, fingerprint, status, headers, body, secret, body_wiped, created_at,
    body_expires_at, expires_at) = (EXCLUDED.id, EXCLUDED.fingerprint, EXCLUDED.status, EXCLUDED.headers,
    EXCLUDED.body, EXCLUDED.secret, false, EXCLUDED.created_at, EXCLUDED.body_expires_at, EXCLUDED.expires_at)
"""


class _Found(NamedTuple):
    """The stored record of a request; every member is None where there is none."""

    fingerprint: bytes | None
    status: int
    headers: str
    body: bytes
    secret: bool
    body_wiped: bool
    body_expires_at: datetime
    expires_at: datetime


def _once(request: Request, run: Callable[[], StoredResponse]) -> StoredResponse:
    scope, timeouts = request.scope, (settings.LOCK_TIMEOUT, settings.TRANSACTION_TIMEOUT)
    record_id = uuid7()
    context = request.context(str(record_id)) if request.context is not None else ""
    is_first, *record, moment = trail.apply_with(
        _BEGIN.format(clock.TRANSACTION_TIME), [locks.scope_key(scope), scope, *timeouts], context
    )
    if not is_first:
        metrics.IDEMPOTENCY_CONFLICTS.inc()
        raise InProgress("The same request is being executed; retry in a moment.")
    with clock.transaction_time(moment), trail.applied(context):
        return _replay_or_run(_Found(*record), record_id, request, run)


def _replay_or_run(
    record: _Found, record_id: UUID, request: Request, run: Callable[[], StoredResponse]
) -> StoredResponse:
    if record.fingerprint is not None and record.expires_at > clock.now():
        return _replay(record, bytes(record.fingerprint), request)
    with (
        services.caused_by(str(record_id), dry_run=request.dry_run),
        services.flush_with_statement() as execute,
    ):
        answer = run()
    if request.dry_run:
        connection.check_constraints()  # those that would be checked at the commit
        transaction.set_rollback(True)
        return answer
    execute(_STORE, _values(record_id, request, answer))
    return answer


def _replay(record: _Found, fingerprint: bytes, request: Request) -> StoredResponse:
    if not hmac.compare_digest(fingerprint, request.fingerprint):
        metrics.IDEMPOTENCY_MISMATCHES.inc()
        raise KeyReused("This Idempotency-Key was used for another request; use a new key.")
    if record.body_wiped or (record.secret and record.body_expires_at <= clock.now()):
        raise AnswerExpired(
            "The request was already executed. Its response contained secrets, which are no longer stored."
        )
    body = bytes(record.body)
    metrics.IDEMPOTENCY_REPLAYS.inc()
    return StoredResponse(
        record.status,
        json.loads(record.headers),
        _cipher().decrypt(body) if record.secret else body,
        replayed=True,
    )


def _values(record_id: UUID, request: Request, answer: StoredResponse) -> list[Any]:
    now = clock.now()
    expires = now + timedelta(hours=settings.IDEMPOTENCY_TTL_HOURS)
    body = answer.body
    if len(body) > settings.IDEMPOTENCY_BODY_LIMIT:
        location = answer.headers.get("Location", request.route)
        body = b'{"links":{"self":"%b"}}' % location.encode()
    wiped_at = now + timedelta(minutes=settings.IDEMPOTENCY_SECRET_MINUTES) if request.secret else expires
    headers = {name: answer.headers[name] for name in STORED_HEADERS if name in answer.headers}
    stored = _cipher().encrypt(body) if request.secret else body
    asked = (request.scope, request.fingerprint, request.principal, request.method, request.route)
    return [
        record_id,
        *asked,
        answer.status,
        json.dumps(headers),
        stored,
        request.secret,
        now,
        wiped_at,
        expires,
    ]


@cache
def _cipher() -> Fernet:
    key = hashlib.sha256(b"idempotency-answers" + settings.IDEMPOTENCY_SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
