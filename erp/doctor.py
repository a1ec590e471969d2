"""Checks every dependency of the product, with one result each and a time limit."""

import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from kombu.connection import Connection
from kombu.exceptions import OperationalError as BrokerError

from erp import access, events, health, heartbeat, ids, locks, schema
from erp.audit import event_files
from erp.audit.rules import own_clients
from erp.outbox import topology
from erp.uploads import storage

State = Literal["ok", "failed", "down", "skipped"]
SECONDS: Final = 10.0  # time limit of one check
MINIMUM_POSTGRESQL: Final = 17
MOST_SKEW_SECONDS: Final = 1.0
SECRETS: Final = {
    "SECRET_KEY": 50,
    "JWT_SIGNING_KEY": 32,
    "IDEMPOTENCY_FINGERPRINT_KEY": 32,
    "IDEMPOTENCY_SECRET_KEY": 32,
    "SIGN_IN_COUNTER_KEY": 32,
    "EQUALITY_KEY": 32,
    "TRAIL_DIGEST_KEY": 32,
}


@dataclass(frozen=True)
class Finding:
    """The result of one check: name, state, detail, and a hint for a failure."""

    name: str
    state: State
    detail: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return {"name": self.name, "state": self.state, "detail": self.detail, "hint": self.hint}


class CheckFailed(Exception):
    """A check failed: ``down`` (no answer) or ``failed``."""

    def __init__(self, detail: str, hint: str, state: State = "failed") -> None:
        super().__init__(detail)
        self.detail, self.hint, self.state = detail, hint, state


@dataclass(frozen=True)
class HealthCheck:
    """One check. ``after`` names the check that must succeed before it."""

    name: str
    ask: Callable[[], str]
    hint: str
    after: str = ""


# How each process is started.
PROCESSES: Final = {
    "worker": "`celery_worker.py worker`",
    "consumer": "`manage.py consume_events`",
    "beat": "`celery_worker.py beat`, exactly one",
    "relay": "`celery_worker.py relay` or `manage.py relay_outbox`",
}
# Checks of modules, which add them where they declare their periodic work.
module_checks: list[HealthCheck] = []


def examine() -> Iterator[Finding]:
    """Run all checks, in an order in which the first failure explains later ones."""
    unwell: set[str] = set()
    for check in (*CHECKS, *module_checks):
        blocked = check.after in unwell
        finding = Finding(check.name, "skipped", f"needs the {check.after}") if blocked else _run_check(check)
        if finding.state != "ok":
            unwell.add(check.name)
        yield finding


def _run_check(check: HealthCheck) -> Finding:
    """Run a check in its own thread, which is abandoned at the time limit."""
    answer: list[Finding] = []

    def ask() -> None:
        try:
            answer.append(Finding(check.name, "ok", check.ask()))
        except CheckFailed as wrong:
            answer.append(Finding(check.name, wrong.state, wrong.detail, wrong.hint))
        except Exception as error:
            detail = str(error).strip().split("\n")[0][:200]
            answer.append(Finding(check.name, "down", f"{type(error).__name__}: {detail}", check.hint))
        finally:
            connection.close()

    thread = threading.Thread(target=ask, name=f"doctor {check.name}", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return answer[0] if answer else Finding(check.name, "down", f"no answer in {SECONDS:g} s", check.hint)


def _value(statement: str, *parameters: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]


def _database() -> str:
    number = int(_value("SELECT current_setting('server_version_num')"))
    found = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < MINIMUM_POSTGRESQL * 10000:
        raise CheckFailed(found, f"use PostgreSQL {MINIMUM_POSTGRESQL} or newer")
    return found


def _migrations() -> str:
    waiting = health.migrations()
    if waiting:
        raise CheckFailed(waiting, "run `manage.py migrate`")
    if wrong := schema.fault():
        raise CheckFailed(wrong, schema.remedy())
    return "all applied"


def _clock() -> str:
    before = datetime.now(UTC)
    theirs: datetime = _value("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    # Their moment lies somewhere between ours: only what lies outside is skew.
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    detail = f"{skew:.3f} s apart from the database"
    if skew > MOST_SKEW_SECONDS:
        raise CheckFailed(detail, "synchronize both machines with the same time server (chrony)")
    return detail


def _capabilities() -> str:
    drift = access.sync(check=True)
    if drift:
        detail = ", ".join(f"{d.operation} {d.kind} {d.name}" for d in drift[:3])
        more = f" and {len(drift) - 3} more" if len(drift) > 3 else ""
        raise CheckFailed(
            f"{detail}{more}", "run `manage.py sync_capabilities` (--prune for what is obsolete)"
        )
    return f"{len(access.registry.capabilities)} in line"


def _redis() -> str:
    wrong = health.redis()
    if wrong:
        raise CheckFailed(wrong, "start Redis and check REDIS_URL; without it, writes are slower", "down")
    key, value = "erp:doctor", datetime.now(UTC).isoformat()
    cache.set(key, value, 5)
    if cache.get(key) != value:
        raise CheckFailed("a stored value is missing", "check CACHES and the server's memory limit")
    return "answers and stores values"


def _broker() -> str:
    options = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    with Connection(settings.CELERY_BROKER_URL, transport_options=options) as broker:  # type: ignore[no-untyped-call]
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        except (BrokerError, OSError) as error:
            raise CheckFailed(
                type(error).__name__, "start the broker and check CELERY_BROKER_URL", "down"
            ) from None
    return "answers"


def _alive(name: str, seen: str = "") -> str:
    age = heartbeat.age(name)
    if age is not None and age <= heartbeat.SILENT_SECONDS:
        return f"alive {age:.0f} s ago"
    if seen:
        return seen
    detail = "no heartbeat on this machine" if age is None else f"silent for {age:.0f} s"
    raise CheckFailed(detail, f"start it: {PROCESSES[name]}; or check HEARTBEAT_DIR", "down")


def _relay() -> str:
    relays = int(
        _value(
            "SELECT count(DISTINCT pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = 0 AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            locks.RELAY_PRESENT,
        )
    )
    return _alive("relay", f"{relays} at work" if relays else "")


def _pubsub() -> str:
    wrong = topology.reachable(timeout=3.0)
    if wrong and "missing" not in wrong:
        raise CheckFailed(
            wrong, "check PUBSUB_EMULATOR_HOST or PUBSUB_ENDPOINT and credentials; events wait", "down"
        )
    return "answers"


def _differences(belongs: Callable[[topology.Difference], bool]) -> str:
    with topology.clients(timeout=3.0) as pubsub:
        found = [difference for difference in topology.differences(pubsub) if belongs(difference)]
    wrong = [str(difference) for difference in found if difference.checked]
    if wrong:
        raise CheckFailed("; ".join(wrong), "run `manage.py setup_pubsub`")
    return "; ".join(str(difference) for difference in found) or "in line"


def _of_iam(difference: topology.Difference) -> bool:
    return difference.what.startswith("roles/")


def _of_dead_letters(difference: topology.Difference) -> bool:
    return not _of_iam(difference) and (
        difference.what == "dead_letter_policy"
        or difference.resource.rsplit("/", 1)[-1]
        in (settings.PUBSUB_DLQ_TOPIC, settings.PUBSUB_DLQ_SUBSCRIPTION)
    )


def _topology() -> str:
    return _differences(lambda difference: not _of_iam(difference) and not _of_dead_letters(difference))


def _dead_letters() -> str:
    return _differences(_of_dead_letters)


def _iam() -> str:
    return _differences(_of_iam)


def _secrets() -> str:
    values = {name: str(getattr(settings, name)) for name in SECRETS}
    for ring in ("ENCRYPTION_KEYS", "ONE_TIME_KEYS"):
        values |= {f"{ring} {key_id}": secret for key_id, secret in getattr(settings, ring).items()}
    wrong = [
        f"{name} is shorter than {least}"
        for name, value in values.items()
        if len(value) < (least := SECRETS.get(name, 32))
    ]
    if len(set(values.values())) < len(values):
        wrong.append("two of them are equal")
    if settings.PRODUCTION and values["SECRET_KEY"].startswith(("development", "django-insecure")):
        wrong.append("SECRET_KEY is the development default")
    if wrong:
        raise CheckFailed("; ".join(wrong), "set each to a different random text, see .env.example")
    return f"{len(values)} fit"


def _events() -> str:
    faults = [fault for model in events.registry for fault in event_files.faults(model)]
    faults += [f"{name} belongs to no event" for name in event_files.orphans()]
    faults += event_files.asyncapi_faults()
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise CheckFailed(f"{faults[0]}{more}", "see `manage.py events check`")
    return f"{len(list(events.registry))} versions agree with docs/events"


def _clients() -> str:
    """A breaker belongs to an operation, which is named after the client's method."""
    found = own_clients()
    shut = [
        f"{client.name}.{operation}"
        for client in found
        for operation, member in vars(client).items()
        if inspect.isfunction(member) and not operation.startswith("_")
        if client.breaker(operation).state == "open"
    ]
    if shut:
        hint = "the remote system does not answer; queued work is retried"
        raise CheckFailed(f"breaker open: {', '.join(shut)}", hint, "down")
    return f"{len(found)} declared, no breaker open"


def _file_storage() -> str:
    """Write, read and delete an object, as files are moved."""
    if not storage.is_configured():
        return "files stay in the database"
    key, content = f"doctor/{ids.uuid7()}", b"a probe of the doctor"
    store = storage.store()
    store.put(key, content)
    try:
        if store.get(key) != content:
            raise CheckFailed("an object reads otherwise than it was written", "check the store")
    finally:
        store.delete(key)
    return urlsplit(settings.FILE_STORAGE).scheme


CHECKS: Final = (
    HealthCheck("database", _database, "start PostgreSQL and check DATABASE_URL"),
    HealthCheck("migrations", _migrations, "run `manage.py migrate`", after="database"),
    HealthCheck("clock", _clock, "check the database", after="database"),
    HealthCheck("capabilities", _capabilities, "run `manage.py sync_capabilities`", after="migrations"),
    HealthCheck("redis", _redis, "start Redis and check REDIS_URL"),
    HealthCheck("broker", _broker, "start the broker and check CELERY_BROKER_URL"),
    HealthCheck("worker", lambda: _alive("worker"), f"start it: {PROCESSES['worker']}"),
    HealthCheck("consumer", lambda: _alive("consumer"), f"start it: {PROCESSES['consumer']}"),
    HealthCheck("beat", lambda: _alive("beat"), f"start it: {PROCESSES['beat']}"),
    HealthCheck("relay", _relay, f"start it: {PROCESSES['relay']}", after="database"),
    HealthCheck("pubsub", _pubsub, "check PUBSUB_EMULATOR_HOST, or PUBSUB_ENDPOINT and credentials"),
    HealthCheck("topology", _topology, "run `manage.py setup_pubsub`", after="pubsub"),
    HealthCheck("dead letters", _dead_letters, "run `manage.py setup_pubsub`", after="pubsub"),
    HealthCheck("iam", _iam, "grant the preflight's role (operations, Google Pub/Sub)", after="pubsub"),
    HealthCheck("clients", _clients, "see the log"),
    HealthCheck("file storage", _file_storage, "check FILE_STORAGE and the rights on its folder or bucket"),
    HealthCheck("secrets", _secrets, "see .env.example"),
    HealthCheck("events", _events, "see `manage.py events check`"),
)
