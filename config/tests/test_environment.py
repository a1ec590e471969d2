"""The environment is typed; nonsense stops the start with a line that names it."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from erp.embedded import state

SECRETS = dict.fromkeys(
    (
        "SECRET_KEY",
        "JWT_SIGNING_KEY",
        "IDEMPOTENCY_FINGERPRINT_KEY",
        "IDEMPOTENCY_SECRET_KEY",
        "SIGN_IN_COUNTER_KEY",
        "EQUALITY_KEY",
    ),
    "a-random-text-of-more-than-fifty-characters-made-for-this-test-only",
) | {
    "ENCRYPTION_KEYS": "2026:a-random-text-of-fifty-characters,2025:an-older-text-of-fifty-characters",
    "ONE_TIME_KEYS": "2026:another-random-text-of-fifty-characters",
}
PRODUCTION = {
    "ERP_ENV": "production",
    **SECRETS,
    "DATABASE_URL": "postgresql://erp@db.invalid/erp",
    "REDIS_URL": "redis://cache.invalid/0",
    "CELERY_BROKER_URL": "redis://cache.invalid/1",
    "ALLOWED_HOSTS": "erp.example",
}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """Start a command that needs no server, with nothing of our own environment but PATH."""
    env = {"PATH": os.environ["PATH"], "ERP_DATA_DIR": "/nonexistent", **variables}
    command = [sys.executable, "manage.py", "check", "--fail-level", "WARNING"]
    return subprocess.run(  # noqa: S603
        command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_nothing_set_is_development_and_starts():
    assert start().returncode == 0


def test_each_bad_variable_is_named_and_no_value_or_traceback_is_shown():
    done = start(
        DEBUG="maybe",
        OUTBOX_BUCKETS="0",
        DATABASE_URL="mysql://root:topsecret@db/x",
        PUBSUB_EMULATOR_HOST="nowhere",
        ERP_ENV="staging",
    )
    assert done.returncode == 1
    for name in ("DEBUG", "OUTBOX_BUCKETS", "DATABASE_URL", "PUBSUB_EMULATOR_HOST", "ERP_ENV"):
        assert f"  {name}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "topsecret" not in done.stderr


def test_production_starts_when_everything_is_set():
    done = start(**PRODUCTION)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"DEBUG": "true"}, "DEBUG must be off"),
        ({"SECRET_KEY": ""}, "SECRET_KEY must be set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY must be set"),
        ({"JWT_SIGNING_KEY": ""}, "JWT_SIGNING_KEY must be set"),
        ({"ENCRYPTION_KEYS": ""}, "ENCRYPTION_KEYS must be set"),
        ({"ENCRYPTION_KEYS": "2026:short"}, "ENCRYPTION_KEYS must be set"),
        ({"ONE_TIME_KEYS": ""}, "ONE_TIME_KEYS must be set"),
        ({"ENCRYPTION_KEYS": f"a:{'x' * 40},a:{'y' * 40}"}, "each id once"),
        ({"DATABASE_URL": ""}, "DATABASE_URL must be set"),
        ({"REDIS_URL": ""}, "REDIS_URL must be set"),
        ({"CELERY_BROKER_URL": ""}, "CELERY_BROKER_URL must be set"),
        ({"PUBSUB_EMULATOR_HOST": "localhost:8085"}, "PUBSUB_EMULATOR_HOST must not be set"),
    ],
)
def test_production_refuses_what_is_fit_for_one_machine_only(change, told):
    done = start(**{**PRODUCTION, **change})
    assert done.returncode == 1
    assert told in done.stderr


def test_the_urls_of_running_embedded_servers_fill_what_is_not_set(tmp_path, monkeypatch):
    monkeypatch.setenv("ERP_DATA_DIR", str(tmp_path))
    assert state.urls() == {}
    (tmp_path / "state.json").write_text("{")
    assert state.urls() == {}
