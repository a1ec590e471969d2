"""Commands of ``manage.py``: exit codes and one line where a dependency is missing, and the hints that name them."""

import argparse
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection

import celery_worker
from erp import commands, doctor
from erp.audit.sources import PROJECT
from erp.testing import environment

pytestmark = pytest.mark.django_db

# How each command of the product that needs the database is called, and some of Django's.
CALLS = {
    "bootstrap": "bootstrap --dry-run",
    "demo_code": "demo_code manager@demo.example",
    "dlq": "dlq list",
    "doctor": "doctor",
    "outbox": "outbox status",
    "relay_outbox": "relay_outbox --once --allow-lossy",
    "run_task": "run_task purge-jobs",
    "seed_demo": "seed_demo",
    "sync_capabilities": "sync_capabilities --check",
    "verify_audit": "verify_audit",
    "export_audit": "export_audit --fy 2025-26",
    "load_screening_list": f"load_screening_list DEMO {PROJECT / 'apps/risk/data/demo_list.csv'} --source Demo",
    "verify_ledger": "verify_ledger",
    "purge": "purge --dry-run",
    "migrate": "migrate",
    "showmigrations": "showmigrations",
}
# The consumer waits until the database is back; a schema is written from a database of its own.
WITHOUT_DATABASE = {
    "changepassword", "compliance_audit", "consume_events", "createsuperuser", "events", "setup_pubsub",
    "write_schema",
}  # fmt: skip

_WALK = """
import contextlib, io, json, os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
from erp import commands
for call in sys.stdin.read().splitlines():
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            commands.run(["manage.py", *call.split()])
        except SystemExit as left:
            code = left.code or 0
        except BaseException as error:
            code = repr(error)
    told = [line for line in err.getvalue().splitlines() if not line.startswith(("20", "{"))]
    print(json.dumps([call, code, told]), flush=True)
"""


def walk(calls: list[str], **urls: str) -> dict[str, tuple[Any, list[str]]]:
    """Exit code of each call, and its lines on standard error that aren't log lines."""
    done = subprocess.run(
        [sys.executable, "-c", _WALK],
        input="\n".join(calls),
        cwd=PROJECT,
        env=environment(**urls),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(calls), done.stderr
    return {call: (code, lines) for call, code, lines in found}


def of_product() -> set[str]:
    return {
        name for name, app in get_commands().items() if str(app).split(".")[0] in ("erp", "apps", "config")
    }


def test_every_command_of_the_product_is_called_here() -> None:
    assert of_product() == CALLS.keys() - {"showmigrations"} | WITHOUT_DATABASE


@pytest.mark.slow
def test_a_database_that_is_down_ends_every_command_with_4_and_one_line() -> None:
    down = {
        "DATABASE_URL": "postgresql://erp@127.0.0.1:1/erp",
        "DATABASE_DIRECT_URL": "postgresql://erp@127.0.0.1:1/erp",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    calls = [*CALLS.values(), "outbox list", "bootstrap", "run_task sync-capabilities-not-there"]
    output = walk(calls, **down)
    assert output.pop("run_task sync-capabilities-not-there")[0] == commands.USAGE
    assert {call: code for call, (code, _) in output.items() if code != commands.DOWN} == {}
    assert {call: lines for call, (_, lines) in output.items() if len(lines) > 1} == {}
    for call, (_, lines) in output.items():
        assert call == "doctor" or re.search("check DATABASE_URL|Pub/Sub", "".join(lines)), (call, lines)


@pytest.fixture
def empty_database() -> Iterator[str]:
    """URL of a database without tables."""
    made = connection.settings_dict
    server, name = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/".format(**made), f"empty_{made['NAME']}"
    with psycopg.connect(f"{server}{made['NAME']}", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield f"{server}{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
def test_a_database_without_tables_ends_every_command_with_4_and_the_command_that_helps(
    empty_database: str,
) -> None:
    without = {"dlq", "doctor", "migrate", "showmigrations"}  # dlq asks Pub/Sub first
    calls = [call for name, call in CALLS.items() if name not in without]
    output = walk(calls, DATABASE_URL=empty_database, DATABASE_DIRECT_URL=empty_database)
    assert {call: code for call, (code, _) in output.items() if code != commands.DOWN} == {}
    for call, (_, lines) in output.items():
        assert len(lines) == 1, (call, lines)
        assert "manage.py migrate" in lines[0]


@pytest.mark.parametrize("name", sorted(of_product()))
def test_help_says_what_a_command_is_for_with_examples_that_it_accepts(name: str) -> None:
    command: Any = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    text = parser.format_help()
    assert len(command.help) > 20
    assert command.help.split()[0] in text
    assert command.examples
    for example in command.examples:
        assert f"\n  manage.py {name} {example}".rstrip() in text
        parser.parse_args(shlex.split(example))


@pytest.mark.parametrize("name", sorted(of_product()))
def test_each_option_of_a_command_has_a_description(name: str) -> None:
    command: Any = load_command_class(get_commands()[name], name)
    parsers = [command.create_parser("manage.py", name)]
    for parser in parsers:
        assert parser.description, parser.prog
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            else:
                assert action.help, (parser.prog, action.dest)


def test_a_table_has_headers_aligned_columns_and_times_in_ist() -> None:
    moment = datetime(2026, 11, 30, 8, 35, tzinfo=UTC)
    rows = [(moment, 5, "one\nline", None), (None, 12_345, "two", "x")]
    assert [*commands.table(("created", "rows", "text", "more"), rows)] == [
        "CREATED                   ROWS  TEXT      MORE",
        "30 Nov 2026, 14:05 IST       5  one line  –",
        "–                       12,345  two       x",
    ]
    assert [*commands.table(("created",), [])] == ["none"]


def test_an_unknown_command_or_option_is_2() -> None:
    calls = ["verify_ledgers", "verify_ledger --nonsense", "outbox", "outbox nonsense", "migrate --nonsense"]
    for call in calls:
        with pytest.raises(SystemExit) as left:
            commands.run(["manage.py", *call.split()])
        assert left.value.code == commands.USAGE, call


def test_an_error_that_is_no_outage_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a mistake in the code")

    monkeypatch.setattr("erp.commands.ManagementUtility.execute", fail)
    with pytest.raises(ValueError, match="mistake"):
        commands.run(["manage.py", "verify_ledger"])


def test_every_command_and_process_that_a_hint_names_exists() -> None:
    sources = [
        *(PROJECT / "erp").rglob("*.py"),
        *(PROJECT / "apps").rglob("*.py"),
        *(PROJECT / "config").rglob("*.py"),
    ]
    texts = {str(path): path.read_text() for path in sources if "tests" not in path.parts}
    texts["hints"] = "\n".join(doctor.PROCESSES.values())
    known = get_commands()
    for place, text in texts.items():
        for name in re.findall(r"manage\.py ([a-z_]+)", text):
            assert name in known, (place, name)
        for name in re.findall(r"celery_worker\.py ([a-z_{]+)", text):
            assert name in celery_worker.COMMANDS, (place, name)


@pytest.mark.parametrize("arguments", [["consumer"], ["help"], []])
def test_a_process_that_celery_worker_does_not_know_is_wrong_usage(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["celery_worker.py", *arguments])
    with pytest.raises(SystemExit) as left:
        celery_worker.main()
    assert left.value.code == commands.USAGE
    assert "celery_worker.py relay" in capsys.readouterr().err


def test_the_hint_for_a_silent_process_starts_that_process() -> None:
    watched = re.findall(r'_alive\("(\w+)"', inspect.getsource(doctor))
    assert sorted(set(watched)) == sorted(doctor.PROCESSES)
    for name, hint in doctor.PROCESSES.items():
        starts = re.findall(r"(?:celery_worker|manage)\.py (\w+)", hint)
        assert starts, name
        for start in starts:
            assert start in celery_worker.COMMANDS or load_command_class(get_commands()[start], start)


def test_a_command_whose_reader_has_gone_ends_quietly():
    call = [sys.executable, "manage.py", "diffsettings"]
    with subprocess.Popen(call, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as head does once it has its lines
        assert (process.stderr.read(), process.wait()) == (b"", commands.CLOSED_PIPE)
