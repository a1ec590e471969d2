"""The supervisor starts what is missing, restarts the app's processes, and leaves no process behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Self

import psycopg
import pytest

from erp.embedded import state
from erp.embedded.postgres import make_traversable, programs
from erp.embedded.process import CannotStart, free_port
from erp.embedded.redis import program
from erp.embedded.supervisor import PROJECT, Process, Stack, for_command
from erp.embedded.testing import servers

pytestmark = pytest.mark.slow

ALL_GIVEN = {
    "DATABASE_URL": "postgresql://somebody:secret-word@db.example:5433/books",
    "REDIS_URL": "redis://:secret-word@cache.example:6380/0",
    "PUBSUB_EMULATOR_HOST": "pubsub.example:8085",
}


@pytest.fixture(autouse=True)
def _no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*state.SERVERS, "ERP_DATA_DIR", "ERP_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that PostgreSQL's user can reach when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="erp-test-") as name:
        os.chmod(name, 0o711)
        yield Path(name) / "data"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """All servers are elsewhere: for what is about app processes only."""
    for name, url in ALL_GIVEN.items():
        monkeypatch.setenv(name, url)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", dedent(code)]


class Running:
    """A supervisor in a process of its own, as a start script would run it."""

    SCRIPT = """
        import sys
        from pathlib import Path
        from erp.embedded.supervisor import CannotStart, Process, Stack
        try:
            with Stack(Path(sys.argv[1]), fsync=False) as stack:
                stack.run_processes([Process("app", sys.argv[2:])] if sys.argv[2:] else [])
                names = ("postgres", "redis", "pubsub", "app")[: 4 if sys.argv[2:] else 3]
                print("PIDS", *(stack.pid(name) for name in names), flush=True)
                stack.wait()
        except CannotStart as error:
            print(error)
            sys.exit(error.exit_code)
    """

    def __init__(self, folder: Path, *app: str) -> None:
        self.process = subprocess.Popen(
            [*python(self.SCRIPT), str(folder), *app], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        self.pids: list[int] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("PIDS"):
                self.pids = [int(pid) for pid in line.split()[1:]]
                break

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.end()

    def end(self, number: int | None = None) -> int:
        """Send it a signal, wait, and see that none of its children is left."""
        if number is not None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=40)
        self.lines += rest.splitlines()
        until(lambda: not any(alive(pid) for pid in self.pids))
        return self.process.returncode


def test_what_the_servers_hold_survives_a_restart(folder: Path) -> None:
    lines: list[str] = []
    with Stack(folder, fsync=False, echo=lines.append) as stack:
        assert state.owner(folder) == os.getpid()
        with psycopg.connect(stack.urls["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE lot (grade text COLLATE pg_catalog.default)")
            connection.execute("INSERT INTO lot VALUES ('Shankar-6')")
            version, connections = connection.execute(
                "SELECT current_setting('server_version_num')::int, current_setting('max_connections')"
            ).fetchone() or (0, "")
            assert version >= 180000
            assert connections == "300"
        redis(stack, "SET lot Shankar-6")
    assert state.owner(folder) is None
    password = json.dumps(lines).count((folder / "postgres" / "password").read_text())
    assert (len(lines), password) == (3, 0)
    assert [line.split()[:2] for line in lines] == [
        ["PostgreSQL", "embedded"],
        ["Redis", "embedded"],
        ["Pub/Sub", "embedded"],
    ]
    with Stack(folder, fsync=False, echo=lines.append) as stack:
        with psycopg.connect(stack.urls["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT grade FROM lot").fetchall() == [("Shankar-6",)]
        assert redis(stack, "GET lot") == "Shankar-6"


def redis(stack: Stack, command: str) -> str:
    host, _, port = stack.urls["REDIS_URL"].rpartition("/")[0].rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(1000).decode().split("\r\n")[-2]


def test_secrets_are_for_the_owner_only(folder: Path) -> None:
    with Stack(folder, fsync=False, echo=lambda line: None) as stack:
        for path in (
            folder / "state.json",
            folder / "postgres" / "password",
            folder / "log" / "postgres.log",
        ):
            assert path.stat().st_mode & 0o077 == 0
        password = (folder / "postgres" / "password").read_text()
        assert password in stack.urls["DATABASE_URL"]
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(stack.urls["DATABASE_URL"].replace(password, "wrong"))


def test_a_url_replaces_its_server_and_only_that(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", ALL_GIVEN["DATABASE_URL"])
    monkeypatch.setenv("CELERY_BROKER_URL", ALL_GIVEN["REDIS_URL"])
    lines: list[str] = []
    with Stack(folder, fsync=False, echo=lines.append) as stack:
        assert stack.urls["DATABASE_URL"] == ALL_GIVEN["DATABASE_URL"]
        assert stack.urls["REDIS_URL"] == stack.urls["CELERY_BROKER_URL"] == ALL_GIVEN["REDIS_URL"]
        assert stack.urls["PUBSUB_EMULATOR_HOST"].startswith("127.0.0.1:")
    assert not (folder / "postgres").exists()
    assert not (folder / "redis").exists()
    assert [line.split()[:4] for line in lines[:2]] == [
        ["PostgreSQL", "from", "DATABASE_URL", "db.example:5433"],
        ["Redis", "from", "REDIS_URL", "cache.example:6380"],
    ]
    assert lines[2].startswith("Pub/Sub        embedded  127.0.0.1:")
    assert "secret-word" not in "".join(lines)


def test_production_starts_no_embedded_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_ENV", "production")
    with pytest.raises(CannotStart, match="not allowed in production"):
        Stack(folder).start()


def test_missing_programs_are_reported_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", "")
    for find in (programs, program):
        with pytest.raises(CannotStart, match=r"pip install -r requirements-dev\.txt"):
            find()


def test_the_way_to_the_data_is_opened_for_entering_only(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    stranger = os.stat(closed).st_uid + 1
    make_traversable(closed / "data", stranger)
    assert closed.stat().st_mode & 0o777 == 0o701
    make_traversable(closed / "data", stranger)
    assert closed.stat().st_mode & 0o777 == 0o701


def test_a_way_that_can_not_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o711)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)  # as on a file system of another owner
    with pytest.raises(CannotStart, match="can't enter"):
        make_traversable(closed / "data", os.stat(closed).st_uid + 1)


def test_a_process_gets_the_urls_and_its_own_environment(folder: Path, given: None) -> None:
    code = "import os, json; print(json.dumps(dict(os.environ)), flush=True); import time; time.sleep(60)"
    with Stack(folder, echo=lambda line: None) as stack:
        log = folder / "log" / "app.log"
        ready = lambda: log.read_text().endswith("\n")  # noqa: E731
        stack.run_processes([Process("app", python(code), env={"MINE": "yes"}, ready=ready)])
        seen = json.loads(log.read_text())
    assert seen["DATABASE_URL"] == ALL_GIVEN["DATABASE_URL"]
    assert seen["CELERY_BROKER_URL"] == ALL_GIVEN["REDIS_URL"]
    assert seen["MINE"] == "yes"
    assert seen["ERP_DATA_DIR"] == str(folder)


def test_a_killed_process_is_started_again_without_its_orphans(folder: Path, given: None) -> None:
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        child.wait()
    """
    lines: list[str] = []
    log = folder / "log" / "relay.log"

    def pids() -> list[int]:
        return [int(line) for line in log.read_text().split()]

    with Stack(folder, echo=lines.append) as stack:
        stack.run_processes([Process("relay", python(code), ready=lambda: len(pids()) == 1)])
        first = stack.pid("relay")
        stack.kill("relay", signal.SIGKILL)
        until(lambda: len(pids()) == 2)
        assert stack.pid("relay") != first
        until(lambda: not alive(pids()[0]))
        second = stack.pid("relay")
        stack.restart("relay")
        assert stack.pid("relay") != second
        until(lambda: len(pids()) == 3)
    until(lambda: not any(alive(pid) for pid in pids()))
    assert any("relay" in line and "signal 9" in line for line in lines)


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(folder: Path, given: None) -> None:
    lines: list[str] = []
    with Stack(folder, echo=lines.append) as stack:
        stack.run_processes([Process("app", python("raise SystemExit(3)"))])
        time.sleep(2)
    assert 2 <= sum("exit code 3" in line for line in lines) <= 5


def test_a_process_that_does_not_get_ready_is_reported_with_its_log(folder: Path, given: None) -> None:
    process = Process("app", python("print('no such table'); exit(1)"), restart=False, ready=lambda: False)
    with Stack(folder, echo=lambda line: None) as stack, pytest.raises(CannotStart, match="no such table"):
        stack.run_processes([process])
    with Stack(folder, echo=lambda line: None) as stack, pytest.raises(CannotStart, match="is not there"):
        stack.run_processes([Process("app", ["no-such-program"])])


def test_what_processes_log_can_be_followed(folder: Path, given: None) -> None:
    lines: list[str] = []
    with Stack(folder, echo=lines.append, follow=True) as stack:
        stack.run_processes([Process("app", python("print('hello'); import time; time.sleep(60)"))])
        until(lambda: "app | hello" in lines)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_stops_the_app_first_and_then_the_servers(folder: Path, number: int, code: int) -> None:
    app = """
        import os, signal, sys
        from urllib.parse import urlsplit
        def end(*_):
            import socket
            for name in ("DATABASE_URL", "REDIS_URL", "PUBSUB_EMULATOR_HOST"):
                parts = urlsplit(os.environ[name] if "://" in os.environ[name] else "//" + os.environ[name])
                socket.create_connection((parts.hostname, parts.port), 1).close()
            print("the servers were there", flush=True)
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        while True:
            signal.pause()
    """
    with Running(folder, *python(app)) as running:
        assert len(running.pids) == 4
        until(lambda: "ready" in (folder / "log" / "app.log").read_text())
        assert running.end(number) == code
    assert "the servers were there" in (folder / "log" / "app.log").read_text()
    assert not (folder / "state.json").exists()


def test_an_app_that_does_not_end_is_killed_on_a_second_signal(folder: Path) -> None:
    app = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        time.sleep(60)
    """
    with Running(folder, *python(app)) as running:
        until(lambda: "ready" in (folder / "log" / "app.log").read_text())
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        began = time.monotonic()
        running.end(signal.SIGINT)
        assert time.monotonic() - began < 10


def test_a_killed_supervisor_takes_everything_along(folder: Path) -> None:
    with Running(folder, "sleep", "60") as running:
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
    assert state.owner(folder) is None


def test_the_next_supervisor_waits_for_what_a_killed_one_left(folder: Path) -> None:
    with Running(folder) as killed:
        slow = killed.pids[2]
        os.kill(slow, signal.SIGSTOP)  # it can't end yet
        killed.process.kill()
        killed.process.wait()
        threading.Timer(1.5, os.kill, [slow, signal.SIGCONT]).start()
        began = time.monotonic()
        with Running(folder) as running:
            assert time.monotonic() - began > 1.4
            assert len(running.pids) == 3
            assert running.end(signal.SIGTERM) == 143


@pytest.mark.parametrize("server", [0, 1, 2], ids=["postgres", "redis", "pubsub"])
def test_the_death_of_a_server_ends_everything(folder: Path, server: int) -> None:
    with Running(folder, "sleep", "60") as running:
        os.kill(running.pids[server], signal.SIGKILL)
        assert running.end() == CannotStart.exit_code
    assert any("ended unexpectedly (signal 9)" in line for line in running.lines)


def test_a_second_supervisor_learns_which_process_uses_the_folder(folder: Path) -> None:
    with Running(folder) as running, Running(folder) as second:
        assert second.end() == 5
        assert second.lines == [f"{folder} is in use by process {running.process.pid}."]
        assert all(alive(pid) for pid in running.pids)


def test_a_command_starts_servers_only_where_none_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ERP_DATA_DIR", str(folder))
    with for_command() as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()
        assert state.urls() == urls
        with for_command() as same:  # as another command beside it
            assert same == urls
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("starting the embedded servers") == 1
    assert state.urls() == {}
    monkeypatch.setenv("DATABASE_URL", ALL_GIVEN["DATABASE_URL"])
    with for_command() as urls:
        assert urls == {"DATABASE_URL": ALL_GIVEN["DATABASE_URL"]}
    assert capsys.readouterr().err == ""


def test_a_test_session_shares_one_stack_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        dedent("""
            import os, pytest
            @pytest.mark.parametrize("number", range(4))
            def test_url(number):
                with open(os.environ["SEEN"], "a") as file:
                    print(os.environ["DATABASE_URL"], os.environ["ERP_DATA_DIR"], os.getpid(), file=file)
        """)
    )
    seen = tmp_path / "seen"
    argv = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "erp.embedded.testing", "-q", "-n", "2"]
    argv += ["-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", str(tmp_path)]
    env = os.environ | {"SEEN": str(seen), "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in seen.read_text().splitlines()]
    assert len({row[0] for row in rows}) == 1
    assert len({row[2] for row in rows}) == 2
    assert not Path(rows[0][1]).exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(rows[0][0], connect_timeout=2)


def test_a_test_session_uses_what_is_given(given: None) -> None:
    with servers() as urls:
        assert urls["DATABASE_URL"] == ALL_GIVEN["DATABASE_URL"]
        assert os.environ["CELERY_BROKER_URL"] == ALL_GIVEN["REDIS_URL"]


def test_free_ports_are_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
