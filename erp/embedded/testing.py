"""A pytest plugin: one stack of servers for a whole test session (``-p erp.embedded.testing``).

Servers that the environment names are used as they are. What is missing starts before Django's settings are
read, in a temporary folder without fsync, and is gone after the session. Workers of pytest-xdist inherit it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from erp.embedded import state
from erp.embedded.supervisor import PROJECT, CannotStart, Stack


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Put the URLs of a stack for tests into the environment; raises ``CannotStart``."""
    before = {name: os.environ.get(name) for name in (*state.SERVERS, "ERP_DATA_DIR")}
    folder = Path(tempfile.mkdtemp(prefix="erp-test-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # PostgreSQL runs as another user then
    stack = Stack(folder, fsync=False, echo=lambda line: None)
    try:
        os.environ.update(stack.start(), ERP_DATA_DIR=str(folder))
        yield stack.urls
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class PubSub:
    """A Pub/Sub server of its own, for tests that need to end it, to break it or to look into its journal."""

    def __init__(self, journal: Path | None = None, *options: str) -> None:
        """Start it on a free port; ``options`` are further ones of ``python -m erp.embedded.pubsub``."""
        argv = [sys.executable, "-m", "erp.embedded.pubsub", "--port", "0", *options]
        if journal is not None:
            argv += ["--journal", str(journal)]
        self.process = subprocess.Popen(
            argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.address = line.rpartition(" ")[2].strip()
        if not line:
            raise CannotStart(self.end()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.end()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send it a signal and ``wait``."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for its end; its exit code and what it wrote to standard error."""
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: Any, args: list[str]) -> Iterator[None]:
    """Before any other plugin or conftest looks at the environment."""
    idle = {"--help", "-h", "--version", "-V", "--fixtures", "--markers"}.intersection(args)
    if not idle and not all(os.environ.get(name) for name in state.SERVERS):
        running = ExitStack()
        try:
            running.enter_context(servers())
        except CannotStart as error:
            raise pytest.UsageError(str(error)) from None
        early_config.add_cleanup(running.close)
    return (yield)
