"""The environment is typed; nonsense stops the start with a line that names it."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest
from django.conf import settings
from pydantic import ValidationError

from config import demo, run
from config.environment import Environment, read
from erp.embedded import state
from erp.embedded.supervisor import Stack

pytestmark = pytest.mark.slow

KEYS = (
    "SECRET_KEY",
    "JWT_SIGNING_KEY",
    "IDEMPOTENCY_FINGERPRINT_KEY",
    "IDEMPOTENCY_SECRET_KEY",
    "SIGN_IN_COUNTER_KEY",
    "EQUALITY_KEY",
    "TRAIL_DIGEST_KEY",
)
SECRETS = {name: f"a-random-text-made-for-this-test-only-and-for-{name.lower()}" for name in KEYS} | {
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
    "PUBLIC_URL": "https://erp.example",
}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """Start a command that needs no server, with nothing of our own environment but PATH."""
    env = {"PATH": os.environ["PATH"], "ERP_DATA_DIR": "/nonexistent", **variables}
    command = [sys.executable, "manage.py", "check", "--fail-level", "WARNING"]
    return subprocess.run(  # noqa: S603
        command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def production(**change: str) -> Environment:
    """The environment of production with this change; keys as the process's environment gives them."""
    values = {"PUBSUB_EMULATOR_HOST": "", **PRODUCTION, **change}
    return Environment(**{name.lower(): value for name, value in values.items()})


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
    ("change", "problem"),
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
        ({"PUBLIC_URL": ""}, "PUBLIC_URL must be set"),
        ({"PUBLIC_URL": "http://erp.example"}, "PUBLIC_URL must start with https://"),
        ({"PUBLIC_URL": "https://localhost"}, "PUBLIC_URL must start with https://"),
        ({"PUBLIC_URL": "https://app.localhost:8000"}, "PUBLIC_URL must start with https://"),
        ({"PUBLIC_URL": "https://127.1.2.3"}, "PUBLIC_URL must start with https://"),
        ({"PUBLIC_URL": "https://[::1]:8000"}, "PUBLIC_URL must start with https://"),
        ({"PUBLIC_URL": "https://0.0.0.0"}, "PUBLIC_URL must start with https://"),
        ({"SMTP_SECURITY": "none", "SMTP_PASSWORD": "x"}, "SMTP_SECURITY must be starttls or tls"),
        ({"SMTP_SECURITY": "none", "SMTP_USERNAME": "x"}, "SMTP_SECURITY must be starttls or tls"),
    ],
)
def test_production_refuses_what_is_fit_for_one_machine_only(change, problem):
    with pytest.raises(ValidationError, match=re.escape(problem)):
        production(**change)


def test_what_production_refuses_ends_the_start():
    done = start(**PRODUCTION, DEBUG="true")
    assert done.returncode == 1
    assert "DEBUG must be off" in done.stderr


@pytest.mark.parametrize(
    ("one", "other"),
    [*pairwise(KEYS), ("JWT_SIGNING_KEY", "ENCRYPTION_KEYS"), ("ENCRYPTION_KEYS", "ONE_TIME_KEYS")],
)
def test_production_refuses_one_secret_for_two_keys(one, other):
    secret = "the-one-random-text-that-everything-is-signed-with"  # noqa: S105
    change = {name: f"new:{secret}" if name.endswith("KEYS") else secret for name in (one, other)}
    with pytest.raises(ValidationError, match=f"{one}, {other} must each have a different secret"):
        production(**change)


def test_production_refuses_one_secret_under_two_ids():
    ring = f"a:{'x' * 40},b:{'x' * 40}"
    with pytest.raises(ValidationError, match="ENCRYPTION_KEYS must each have"):
        production(ENCRYPTION_KEYS=ring)


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "2130706433", "0x7f000001", "0", "[::]", "[::ffff:127.0.0.1]", "169.254.1.2", "LOCALHOST.",
        "erp.local", "localhost.localdomain",
    ],
)  # fmt: skip
def test_production_refuses_links_to_this_machine_however_it_is_named(host):
    with pytest.raises(ValidationError, match="name a host that others can reach"):
        production(PUBLIC_URL=f"https://{host}")


@pytest.mark.parametrize(
    "host", ["erp.example", "localhost.example", "local.example", "203.0.113.7", "[2001:db8::1]"]
)
def test_production_takes_links_to_a_host_that_others_can_reach(host):
    assert production(PUBLIC_URL=f"https://{host}").public_url == f"https://{host}"


def test_production_sends_no_token_of_a_provider_unencrypted():
    sms = {"SMS_PROVIDER": "http_sms", "SMS_TOKEN": "x", "SMS_SENDER": "x", "SMS_ENTITY_ID": "x"}
    with pytest.raises(ValidationError, match="SMS_URL must start with https://"):
        production(SMS_URL="http://sms.example", **sms)
    assert production(SMS_URL="https://sms.example", **sms).sms_token == "x"  # noqa: S105
    with pytest.raises(ValidationError, match="NOMINATIM_URL must start with https://"):
        production(NOMINATIM_URL="http://maps.example", NOMINATIM_KEY="x")
    assert production(NOMINATIM_URL="http://maps.internal").nominatim_url == "http://maps.internal"


def test_mail_without_encryption_is_allowed_where_no_password_is_sent():
    assert production(SMTP_SECURITY="none").smtp_security == "none"


def test_links_lead_to_the_port_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("ERP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ERP_ENV", "development")
    monkeypatch.delenv("PUBLIC_URL", raising=False)
    monkeypatch.delenv("PORT", raising=False)
    assert read().public_url == "http://localhost:8000"
    monkeypatch.setenv("PORT", "8123")
    assert read().public_url == "http://localhost:8123"
    stack = Stack(tmp_path)
    stack.set_public_url("http://127.0.0.1:45678")
    assert read().public_url == "http://127.0.0.1:45678"
    monkeypatch.setenv("PUBLIC_URL", "https://tunnel.example/")
    assert read().public_url == "https://tunnel.example"
    stack.set_public_url("http://127.0.0.1:45678")
    assert stack.urls["PUBLIC_URL"] == "https://tunnel.example/"


class RecordedStack:
    """Records where links are to lead by the time that the database is prepared."""

    data_dir = Path("/nonexistent")

    def __init__(self, *_: object, **__: object) -> None:
        self.base = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_public_url(self, base: str) -> None:
        self.base = base


@pytest.mark.parametrize("program", [run, demo])
def test_run_and_demo_publish_their_port_before_a_link_is_made(program, monkeypatch):
    published = []

    def prepare(stack: RecordedStack, *options: str) -> None:
        published.append(stack.base)
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "Stack", RecordedStack)
    monkeypatch.setattr(program, "prepare", prepare)
    program.main()
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", published[0])


def test_the_urls_of_running_embedded_servers_fill_what_is_not_set(tmp_path, monkeypatch):
    monkeypatch.setenv("ERP_DATA_DIR", str(tmp_path))
    assert state.urls() == {}
    (tmp_path / "state.json").write_text("{")
    assert state.urls() == {}
