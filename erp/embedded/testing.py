"""A pytest plugin: one stack of servers for a whole test session (``-p erp.embedded.testing``).

Servers that the environment names are used as they are. What is missing starts before Django's settings are
read, in a temporary folder without fsync, and is gone after the session. Workers of pytest-xdist inherit it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from erp.embedded import state
from erp.embedded.supervisor import CannotStart, Stack


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
