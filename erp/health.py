"""Probes: ``/livez`` reports that the process answers, ``/readyz`` that it can execute a write."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

_migrated = False


def database() -> str:
    """Empty when the database answers, else what is wrong."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:  # noqa: BLE001 - whatever it is, the probe reports it
        return type(error).__name__
    return ""


def migrations() -> str:
    """Empty when every migration is applied; once seen so, it stays so for the life of the process."""
    global _migrated  # noqa: PLW0603
    if not _migrated:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if waiting:
            return f"{len(waiting)} not applied"
        _migrated = True
    return ""


def redis() -> str:
    """Empty when Redis answers, else what is wrong."""
    import redis as client

    if not settings.REDIS_URL:
        return "not configured"
    try:
        client.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5).ping()
    except client.RedisError as error:
        return type(error).__name__
    return ""


# Systems that no write needs. The outbox adds Pub/Sub.
degrading: dict[str, Callable[[], str]] = {"redis": redis}


def _checked(checks: dict[str, Callable[[], str]]) -> dict[str, str]:
    return {name: fault for name, check in checks.items() if (fault := check())}


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Database and migrations decide; Redis and Pub/Sub are shown as degraded, since no write needs them."""
    failed = _checked({"database": database})
    if not failed:
        failed = _checked({"migrations": migrations})
    degraded = {} if failed else _checked(degrading)
    body: dict[str, Any] = {"status": "failed" if failed else "degraded" if degraded else "ok"}
    if failed:
        body["failed"] = failed
    if degraded:
        body["degraded"] = degraded
    return JsonResponse(body, status=503 if failed else 200)
