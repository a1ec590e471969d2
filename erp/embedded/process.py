"""One child of the supervisor: started, kept alive or reported dead, stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
POLL = 0.02  # seconds between two readiness checks
FIRST_BACKOFF, LAST_BACKOFF = 0.2, 15.0  # seconds before a process that died is started again
STEADY = 10.0  # seconds of life after which a death counts as the first
LOG_BYTES = 10 * 2**20  # a log larger than this is set aside at the next start


class CannotStart(Exception):
    """The stack cannot run; the message contains a hint."""

    exit_code = 4


class Busy(CannotStart):
    """Another supervisor owns the data folder."""

    exit_code = 5


@dataclass(frozen=True)
class Process:
    """What to run.

    ``argv[0]`` is looked up on PATH. ``env`` comes on top of the supervisor's own environment and the URLs of
    the servers. ``ready`` is polled until it is true; without it a process counts as ready once started.
    ``user`` (uid, gid) is who runs it; None is the supervisor's own user.
    """

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    cwd: Path | None = None
    user: tuple[int, int] | None = None


class Child:
    """A running ``Process``, in a session of its own with a thread that waits for its end.

    The thread that starts a process must live as long as the process does: Linux takes the end of that thread
    for the parent's death.
    """

    def __init__(
        self,
        process: Process,
        log: Path,
        env: Mapping[str, str],
        *,
        pass_fds: tuple[int, ...] = (),
        died: Callable[["Child", int], None] = lambda child, code: None,
    ) -> None:
        """Start it. ``died`` is called in the child's thread when it ended without being stopped.

        Raises ``CannotStart`` when its program isn't there.
        """
        self.process, self.log = process, log
        self._env = {**env, **process.env}
        self._pass_fds, self._died = pass_fds, died
        self._popen: subprocess.Popen[bytes] | None = None
        self._stopping, self._again = threading.Event(), threading.Event()
        self._started = threading.Event()
        self._error: OSError | None = None
        program = shutil.which(process.argv[0], path=self._env.get("PATH"))
        if program is None:
            raise CannotStart(f"{process.name}: {process.argv[0]} is not there.")
        self._argv = [os.path.abspath(program), *process.argv[1:]]
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.rename(log.with_suffix(".log.1"))
        self._thread = threading.Thread(
            target=self._store_state, name=f"keeper of {process.name}", daemon=True
        )
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise CannotStart(f"{process.name} can't be started: {self._error}")

    @property
    def pid(self) -> int:
        """Process id of the present incarnation."""
        assert self._popen is not None
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs right now."""
        return self._popen is not None and self._popen.poll() is None

    def wait_ready(self, seconds: float) -> None:
        """Wait until it is ready. Raises ``CannotStart`` with the end of its log when it isn't in time."""
        if self.process.ready is None:
            return
        end = time.monotonic() + seconds
        while not self.process.ready():
            gone = not self._thread.is_alive()
            if gone or time.monotonic() > end:
                what = "ended" if gone else f"was not ready within {seconds:.0f} s"
                raise CannotStart(f"{self.process.name} {what}. {self.log} ends with:\n{self.last_lines()}")
            time.sleep(POLL)

    def kill(self, number: int) -> None:
        """Send a signal to the process itself."""
        with suppress(ProcessLookupError):  # its end may be noticed just now in its own thread
            if self.alive:
                os.kill(self.pid, number)

    def restart(self, grace: float) -> None:
        """Stop it gently, by force after ``grace`` seconds, and return when it runs again."""
        before, end = self.pid, time.monotonic() + grace
        self._again.set()
        self.kill(self.process.stop_signal)
        while self.pid == before and self._thread.is_alive():
            if time.monotonic() > end:
                self.kill(signal.SIGKILL)
            time.sleep(POLL)

    def stop(self, grace: float, hurry: threading.Event) -> None:
        """Stop it: with its signal, then, after ``grace`` seconds or when hurried, with SIGKILL."""
        self._stopping.set()
        self.kill(self.process.stop_signal)
        end = time.monotonic() + grace
        while self._thread.is_alive() and time.monotonic() < end and not hurry.is_set():
            self._thread.join(POLL)
        self.kill(signal.SIGKILL)
        self._thread.join()

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        with open(self.log, "rb") as file:
            file.seek(max(0, self.log.stat().st_size - 8192))
            return "\n".join(
                "  " + line for line in file.read().decode(errors="replace").splitlines()[-count:]
            )

    def _store_state(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            began = time.monotonic()
            try:
                code = self._run()
            except OSError as error:
                self._error = error
                self._started.set()
                return
            if self._stopping.is_set():
                return
            if self._again.is_set():
                self._again.clear()
                continue
            self._died(self, code)
            if not self.process.restart:
                return
            backoff = FIRST_BACKOFF if time.monotonic() - began > STEADY else backoff
            if self._stopping.wait(backoff):
                return
            backoff = min(2 * backoff, LAST_BACKOFF)

    def _run(self) -> int:
        """Run it once and return its exit code; nothing of its process group is left then."""
        uid, gid = self.process.user or (-1, -1)
        launch = [sys.executable, "-IS", str(LAUNCH), str(int(self.process.stop_signal)), str(os.getpid())]
        with open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            self._popen = subprocess.Popen(
                [*launch, str(uid), str(gid), *self._argv],
                env=self._env,
                cwd=self.process.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self._pass_fds,
            )
        self._started.set()
        if self._stopping.is_set():
            self.kill(self.process.stop_signal)
        code = self._popen.wait()
        with suppress(OSError):  # what it started must not outlive it and hold its port
            os.killpg(self._popen.pid, signal.SIGKILL)
        return code


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether something listens on that port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
