"""The servers and processes of a market, which die and come back, and its people."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from benchmarks.faults.world import PROJECT, CommandFailed, PubSubPlace, World
from benchmarks.market.client import Client
from config.run import GUNICORN, is_ready
from erp.embedded.process import Child, Process, free_port

READY_SECONDS = 300.0
PEOPLE_SECONDS = 900
LIMITS = {
    f"THROTTLE_{name}": "1000000"
    for name in ("READ", "WRITE", "LOOKUP", "HEAVY", "ANONYMOUS", "PASSWORD", "PASSWORD_ADDRESS")
}
NAMES = ("web", "worker", "relay", "consumer")


class Market:
    """A market's servers, its processes and its people. A context manager."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.world = World(folder, migrate=False)  # the people bring the tables along
        self.world.seed = seed
        self.seed = seed
        self._made: dict[str, Any] = {}
        self.port = free_port()
        self._processes: dict[str, Child] = {}
        self._running = ExitStack()
        self.closing = threading.Event()
        self.days = 0

    def __enter__(self) -> Self:
        with self._running:
            self._running.enter_context(self.world)
            self.place = PubSubPlace(self.world, "erp")
            self.place.env |= LIMITS | {"PUBLIC_URL": f"http://127.0.0.1:{self.port}"}
            self.pass_days(0)
            self._running.callback(self._stop_processes)
            self._running = self._running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._running.close()

    def base(self) -> str:
        """URL of the web process."""
        return f"http://127.0.0.1:{self.port}"

    def branch(self, name: str, fault: str) -> None:
        """Go on in a copy of the database, of which no process was started yet, with a bug planted (see mutants)."""
        self._stop_processes()
        template, self.days = self.place.env, 0
        self.place = PubSubPlace(self.world, name)
        self.place.env |= template | {"DATABASE_URL": self.place.url, "MARKET_FAULT": fault}
        self.place.env["PUBSUB_PROJECT_ID"] = self.place.project
        self.pass_days(0)
        self.place.make()

    def pass_days(self, days: int) -> None:
        """Move the product's clock on by whole days."""
        self.days += days
        file = self.place.folder / "days"
        fresh = file.with_suffix(".new")
        fresh.write_text(str(self.days))
        fresh.rename(file)

    def renew_screening(self) -> None:
        """Load today's list of barred parties: by one that is a week old nothing is matched."""
        argv = ["manage.py", "load_screening_list", "DEMO", self._made["list"], "--source", "Market"]
        for last in (False, False, False, True):  # a database that crashes meanwhile
            with suppress(*([] if last else [CommandFailed])):
                self._run("benchmarks.market.shifted", str(self.place.folder), *argv)
                return

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement finds, as soon as the database is up."""
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                with self.place.connect() as connection:
                    return connection.execute(statement).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.2)

    def start(self, names: Sequence[str] = ()) -> None:
        """Start the product's processes, or some of them."""
        python = [sys.executable, "-m", "benchmarks.market.shifted", str(self.place.folder)]
        web = [*python, *GUNICORN, f"--bind=127.0.0.1:{self.port}"]
        celery = {name: [*python, "celery_worker.py", name] for name in ("worker", "relay", "beat")}
        consumer = [*python, "manage.py", "consume_events"]
        for name, argv in {"web": web, **celery, "consumer": consumer}.items():
            if names and name not in names:
                continue
            ready = (lambda: is_ready(self.port)) if name == "web" else None
            process = Process(name=name, argv=argv, env=self.place.env, cwd=PROJECT, ready=ready)
            log = self.place.folder / "log" / f"{name}.log"
            self._processes[name] = Child(process, log, os.environ)
        self._processes["web"].wait_ready(READY_SECONDS)

    def kill(self, name: str, rng: random.Random) -> None:
        """kill -9 of a process; of the web server, one of the processes that serve requests."""
        pid = self._processes[name].pid
        if name == "web":
            with suppress(OSError):  # it is starting just now
                workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                os.kill(int(rng.choice(workers or [str(pid)])), signal.SIGKILL)
            return
        self._processes[name].kill(signal.SIGKILL)

    def works(self, name: str, since: float) -> bool:
        """Whether a process gave a sign of life after that moment (Unix time); the web server: whether it is ready."""
        if name == "web":
            return is_ready(self.port)
        pulse = Path(self.place.env["ERP_DATA_DIR"]) / "heartbeats" / name
        return pulse.exists() and pulse.stat().st_mtime > since

    def _stop_processes(self) -> None:
        hurry = threading.Event()
        threads = [
            threading.Thread(target=child.stop, args=(20, hurry)) for child in self._processes.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._processes.clear()

    def people(self, partners: int) -> tuple[list[dict[str, Any]], dict[str, Client], list[Client]]:
        """Make partners, once. Returns what is known of each, the staff by role, and the partners' clients."""
        made = self._made = self._made or self._people(partners)
        staff = {
            role: self._client(person["email"], made["staff_password"], person["seed"])
            for person in made["staff"]
            for role in person["roles"][-1:]
        }
        clients = []
        for row in made["partners"]:
            client = self._client(row["email"], made["password"], "")
            client.partner = row["partner"]
            clients.append(client)
        return made["partners"], staff, clients

    def _people(self, partners: int) -> dict[str, Any]:
        output = self._run("benchmarks.market.people", str(partners))
        made: dict[str, Any] = json.loads(output.splitlines()[-1])
        self.place.env["TRADE_ORGANIZATION"] = made["house"]
        return made

    def _run(self, module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=PROJECT, env=self.place.env,
            capture_output=True, text=True, timeout=PEOPLE_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CommandFailed(done.stderr[-3000:])
        return done.stdout

    def _client(self, email: str, password: str, seed: str) -> Client:
        return Client(
            self.base, email, password, seed, random.Random(f"{self.seed} {email}"), days=lambda: self.days
        )
