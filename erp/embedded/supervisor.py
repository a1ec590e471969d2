"""Starts the servers that no URL replaces and the app's processes beside them, and stops all it started."""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self
from urllib.parse import urlsplit

from erp.embedded import state
from erp.embedded.postgres import Postgres
from erp.embedded.process import Busy, CannotStart, Child, Process, answers, free_port
from erp.embedded.redis import Redis

__all__ = ["Busy", "CannotStart", "Process", "Stack", "for_command"]

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0  # crash recovery of a large database takes a while
APP_GRACE, SERVER_GRACE = 20.0, 20.0  # seconds to end gently
LEFTOVER_SECONDS = 20.0  # how long we wait for the servers of a supervisor that was killed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TITLES = {
    "DATABASE_URL": "PostgreSQL",
    "REDIS_URL": "Redis",
    "CELERY_BROKER_URL": "Celery broker",
    "PUBSUB_EMULATOR_HOST": "Pub/Sub",
}


class Stack:
    """The servers and app processes of one data folder. A context manager: leaving it stops everything.

    Where a URL is set in the environment it replaces its embedded server, one by one; a Redis named by one
    of REDIS_URL and CELERY_BROKER_URL only serves as both. App processes that die are started again; when a
    server dies, everything is stopped. If this process is killed, the operating system signals its children to end.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        fsync: bool = True,
        echo: Callable[[str], object] = print,
        follow: bool = False,
    ) -> None:
        """``echo`` gets a line for each server and event, with ``follow`` also what the processes log."""
        self.data_dir = data_dir.absolute()
        self.urls: dict[str, str] = {}
        self._fsync, self._echo, self._follow = fsync, echo, follow
        self._lock: int | None = None
        self._servers: list[Child] = []
        self._apps: dict[str, Child] = {}
        self._stop_lock = threading.Lock()
        self._hurry, self._ended = threading.Event(), threading.Event()
        self._failure: str | None = None
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._take_signals()
        try:
            self.start()
        except BaseException:
            self._give_signals_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._give_signals_back()

    def start(self) -> dict[str, str]:
        """Start the servers that are missing and return the URLs of all, by variable name.

        Raises ``Busy`` when another supervisor owns the folder, ``CannotStart`` when a server can't run.
        """
        given = _given()
        missing = [name for name in state.SERVERS if name not in given]
        if missing and os.environ.get("ERP_ENV") == "production":
            raise CannotStart(f"Embedded servers are not allowed in production: set {', '.join(missing)}.")
        self._ended.clear()
        self._claim()
        try:
            self._start_servers(given)
            self._write_state()
        except BaseException:
            self.stop()
            raise
        if self._follow:
            threading.Thread(target=self._follow_logs, name="log follower", daemon=True).start()
        return self.urls

    def set_public_url(self, base: str) -> None:
        """Set the base of links to ``base``, the web process's URL, unless PUBLIC_URL is set."""
        self.urls[state.PUBLIC_URL] = os.environ.get(state.PUBLIC_URL) or base
        self._write_state()

    def run_processes(self, processes: Sequence[Process]) -> None:
        """Start these and wait until each is ready. Raises ``CannotStart`` when one isn't in time."""
        for process in processes:
            if process.name in self._apps:
                raise ValueError(f"{process.name} runs already")
            self._apps[process.name] = self._spawn(process, server=False)
            self._echo(f"{process.name}  started  pid {self._apps[process.name].pid}")
        for process in processes:
            self._apps[process.name].wait_ready(START_SECONDS)

    def pid(self, name: str) -> int:
        """Process id of a server (``postgres``, ``redis``, ``pubsub``) or app process, as of now."""
        return self._child(name).pid

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process, as an operator or the kernel might."""
        self._child(name).kill(number)

    def restart(self, name: str) -> None:
        """Stop an app process gently and start it again."""
        self._apps[name].restart(APP_GRACE)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the stack has ended; False when ``timeout`` seconds passed first.

        Raises ``CannotStart`` when it ended because a server died.
        """
        if not self._ended.wait(timeout):
            return False
        if self._failure:
            raise CannotStart(self._failure)
        return True

    def stop(self) -> None:
        """Stop the app processes, then the servers. A second signal meanwhile stops by force."""
        with self._stop_lock:
            self._stop_all(list(self._apps.values()), APP_GRACE)
            self._apps.clear()
            if self._servers or self._lock is not None:
                (self.data_dir / "state.json").unlink(missing_ok=True)
            self._stop_all(self._servers, SERVER_GRACE)
            self._servers = []
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            self._ended.set()

    def _start_servers(self, given: dict[str, str]) -> None:
        starts: list[Process] = []
        used: dict[str, str] = {name: f"from {name}  {_address(url)}" for name, url in given.items()}
        if "DATABASE_URL" not in given:
            postgres = Postgres(self.data_dir / "postgres", fsync=self._fsync)
            self.urls["DATABASE_URL"] = postgres.url
            starts.append(postgres.process())
            used["DATABASE_URL"] = f"embedded  127.0.0.1:{postgres.port}  data {postgres.folder}"
        if "REDIS_URL" not in given:
            redis = Redis(self.data_dir / "redis")
            self.urls["REDIS_URL"] = self.urls["CELERY_BROKER_URL"] = redis.url
            starts.append(redis.process())
            used["REDIS_URL"] = f"embedded  127.0.0.1:{redis.port}  data {redis.folder}"
        if "PUBSUB_EMULATOR_HOST" not in given:
            port = free_port()
            self.urls["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{port}"
            starts.append(self._pubsub(port))
            used["PUBSUB_EMULATOR_HOST"] = f"embedded  127.0.0.1:{port}  data {self.data_dir / 'pubsub'}"
        self._servers = [self._spawn(process, server=True) for process in starts]
        for server in self._servers:
            server.wait_ready(START_SECONDS)
        self.urls |= given
        if self.urls["REDIS_URL"] == self.urls["CELERY_BROKER_URL"]:
            used.pop("CELERY_BROKER_URL", None)
        for name in state.SERVERS:
            if name in used:
                self._echo(f"{TITLES[name]:<14} {used[name]}")

    def _pubsub(self, port: int) -> Process:
        argv = [sys.executable, "-m", "erp.embedded.pubsub", "--port", str(port)]
        argv += ["--journal", str(self.data_dir / "pubsub")]
        return Process(
            name="pubsub",
            argv=argv if self._fsync else [*argv, "--no-fsync"],
            restart=False,
            ready=lambda: answers(port),
            cwd=PROJECT,
        )

    def _spawn(self, process: Process, *, server: bool) -> Child:
        env = os.environ | self.urls | {"ERP_DATA_DIR": str(self.data_dir), "PYTHONUNBUFFERED": "1"}
        return Child(
            process,
            self.data_dir / "log" / f"{process.name}.log",
            env,
            # Servers hold the lock too: who comes after a killed supervisor waits for them.
            pass_fds=(self._lock,) if server and self._lock is not None else (),
            died=self._server_died if server else self._app_died,
        )

    def _server_died(self, child: Child, code: int) -> None:
        if self._failure is None:
            self._failure = f"{child.process.name} ended unexpectedly ({_how(code)}); its log is {child.log}"
            self._echo(self._failure)
            # Not in this thread: it must end before the child counts as stopped.
            threading.Thread(target=self.stop, name="stop after a server died").start()

    def _app_died(self, child: Child, code: int) -> None:
        then = "starting it again" if child.process.restart else "it is not restarted"
        self._echo(f"{child.process.name}  ended ({_how(code)}), {then}; log {child.log}")

    def _child(self, name: str) -> Child:
        for child in (*self._apps.values(), *self._servers):
            if child.process.name == name:
                return child
        raise KeyError(name)

    def _stop_all(self, children: list[Child], grace: float) -> None:
        threads = [threading.Thread(target=child.stop, args=(grace, self._hurry)) for child in children]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _claim(self) -> None:
        """Lock the data folder, or report which process uses it."""
        try:
            # As root another user runs PostgreSQL and must get through.
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            lock = os.open(self.data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise CannotStart(f"The data folder {self.data_dir} can't be used: {error.strerror}.") from None
        end = time.monotonic() + LEFTOVER_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = state.owner(self.data_dir)
                if owner is None and time.monotonic() < end:
                    time.sleep(0.1)
                    continue
                os.close(lock)
                who = f"process {owner}" if owner else "servers of an earlier run that have not ended"
                raise Busy(f"{self.data_dir} is in use by {who}.") from None
        self._lock = lock
        self._failure = None
        self._hurry.clear()
        self.urls = {}

    def _write_state(self) -> None:
        draft = self.data_dir / "state.json.new"
        with open(draft, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump({"pid": os.getpid(), "urls": self.urls}, file)
        draft.replace(self.data_dir / "state.json")

    def _follow_logs(self) -> None:
        """Echo what the processes log, from now on."""
        read: dict[Path, int] = {path: path.stat().st_size for path in (self.data_dir / "log").glob("*.log")}
        while not self._ended.wait(0.2):
            for path in (self.data_dir / "log").glob("*.log"):
                size = path.stat().st_size
                at = read.get(path, 0) if size >= read.get(path, 0) else 0
                with open(path, "rb") as file:
                    file.seek(at)
                    text = file.read(size - at)
                whole = text.rfind(b"\n") + 1
                read[path] = at + whole
                for line in text[:whole].decode(errors="replace").splitlines():
                    self._echo(f"{path.stem} | {line}")

    def _take_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._interrupted) for number in SIGNALS}

    def _give_signals_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._handlers = {}

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """The first signal leaves the ``with`` block, which stops everything; a second one hurries."""
        if self._stop_lock.locked():
            self._hurry.set()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)


@contextmanager
def for_command() -> Iterator[dict[str, str]]:
    """URLs of the servers that a management command works with.

    Those set in the environment or of the stack that runs. If there is no database, missing servers are
    started for the duration of the command, which is reported on standard error. Raises ``CannotStart``.
    """
    urls = state.urls() | _given()
    if "DATABASE_URL" in urls or os.environ.get("ERP_ENV") == "production":
        yield urls
        return

    def report(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    report("No stack is running: starting the embedded servers for this command.")
    with ExitStack() as held:
        try:
            urls = held.enter_context(Stack(state.data_dir(), echo=report)).urls
        except Busy:  # another one was just starting
            urls = state.urls() | _given()
            if "DATABASE_URL" not in urls:
                raise
        yield urls


def _given() -> dict[str, str]:
    """URLs set in the environment; one Redis serves as cache and broker if the other isn't named."""
    given = {name: url for name in state.SERVERS if (url := os.environ.get(name))}
    redis = given.get("REDIS_URL") or given.get("CELERY_BROKER_URL")
    if redis:
        given = {"REDIS_URL": redis, "CELERY_BROKER_URL": redis} | given
    return given


def _address(url: str) -> str:
    """Host and port of a URL and nothing else of it: the rest may be secret."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    return f"{parts.hostname or 'localhost'}:{parts.port}" if parts.port else parts.hostname or "localhost"


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
