"""The servers of a harness: a PostgreSQL with fsync, a Redis and a Pub/Sub of its own, for fault injection."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import grpc
import psycopg

from erp.embedded.postgres import Postgres
from erp.embedded.process import Child, Process, free_port
from erp.embedded.pubsub.faults import control
from erp.embedded.redis import Redis

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 180.0
COMMAND_SECONDS = 900.0  # also on a machine that has much else to do
# Nothing of the caller's environment changes what is tried.
FOREIGN = ("OUTBOX_", "PUBSUB_", "DATABASE_", "REDIS_", "CELERY_", "ERP_", "EVENT_")

TABLES = """
CREATE TABLE faults_lot (id uuid PRIMARY KEY, version bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE faults_clock (skew interval NOT NULL);
INSERT INTO faults_clock VALUES ('0');
-- The clock that stamps new events can be stepped, as a time server or a failover does to a real one.
CREATE FUNCTION faults_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := NEW.created_at + (SELECT skew FROM faults_clock);
    RETURN NEW;
END $$;
CREATE TRIGGER faults_step BEFORE INSERT ON event_outbox FOR EACH ROW EXECUTE FUNCTION faults_step();
"""


class Server:
    """One server, which can be ended without a farewell and started again on its port."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process, self._log = process, log
        self._child: Child | None = None
        self.up = False

    def start(self) -> float:
        """Start it; the moment (Unix time) from which it answered."""
        self._child = Child(self._process, self._log, os.environ)
        self._child.wait_ready(START_SECONDS)
        self.up = True
        return time.time()

    def stop(self) -> None:
        """End it by its stop signal, which no server here takes for a polite request."""
        if self._child is not None:
            self.up = False
            self._child.stop(20, threading.Event())
            self._child = None


class World:
    """All servers, started and stopped together. A context manager."""

    def __init__(self, folder: Path, tables: str = TABLES, *, migrate: bool = True) -> None:
        """``tables`` are those of the harness, beside the product's own. Without ``migrate`` the caller makes both."""
        self.folder, self._tables, self._migrate = folder, tables, migrate
        self.closing = threading.Event()  # what waits for something must give up
        self._postgres = Postgres(folder / "postgres", fsync=True)
        self._redis = Redis(folder / "redis")
        self.pubsub_address = f"127.0.0.1:{free_port()}"
        self._plan = folder / "plan.json"
        self._plans = 0
        self.rules: Sequence[Mapping[str, Any]] = ()
        self.seed = 0
        self.ordering = "aggregate"  # or "bucket", as OUTBOX_ORDERING has it
        # SIGQUIT is what ``pg_ctl stop -m immediate`` sends: no checkpoint, recovery at the next start.
        self.postgres = Server(
            replace(self._postgres.process(), stop_signal=signal.SIGQUIT), folder / "log" / "postgres.log"
        )
        self.redis = Server(
            replace(self._redis.process(), stop_signal=signal.SIGKILL), folder / "log" / "redis.log"
        )
        self.pubsub = Server(self._pubsub(), folder / "log" / "pubsub.log")
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with self._running:
            self.plan(())
            for server in (self.postgres, self.redis, self.pubsub):
                self._running.callback(server.stop)
                server.start()
            if self._migrate:
                template = PubSubPlace(self, "erp")
                template.command("migrate", "--verbosity", "0")
                with template.connect() as connection:
                    connection.execute(self._tables)
            self._running = self._running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def url(self, database: str) -> str:
        """URL of a database."""
        return urlunsplit(urlsplit(self._postgres.url)._replace(path=f"/{database}"))

    @property
    def redis_url(self) -> str:
        """URL of the Redis."""
        return self._redis.url

    def plan(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """What Pub/Sub does wrong from now on, also after its next starts."""
        self.rules = rules
        self._write_plan()
        if self.pubsub.up:
            control(self.pubsub_address, json.loads(self._plan.read_text()))

    def start_pubsub(self) -> float:
        """Start Pub/Sub under the plan, with random numbers of its own; the moment when it answered."""
        self._write_plan()
        return self.pubsub.start()

    def _write_plan(self) -> None:
        self._plans += 1
        self._plan.write_text(json.dumps({"seed": self.seed + self._plans, "rules": list(self.rules)}))

    def _pubsub(self) -> Process:
        port = self.pubsub_address.rpartition(":")[2]
        argv = [sys.executable, "-m", "erp.embedded.pubsub", "--port", port]
        argv += ["--journal", str(self.folder / "pubsub"), "--fault-plan", str(self._plan)]
        return Process(
            name="pubsub",
            argv=argv,
            restart=False,
            ready=self._pubsub_answers,
            stop_signal=signal.SIGKILL,
            cwd=PROJECT,
        )

    def _pubsub_answers(self) -> bool:
        try:
            control(self.pubsub_address)
        except grpc.RpcError:
            return False
        return True


class PubSubPlace:
    """One run's own database and Pub/Sub project on the servers."""

    def __init__(self, world: World, database: str) -> None:
        self.world, self.database = world, database
        self.project = f"faults-{database.replace('_', '-')}"
        self.url = world.url(database)
        self.folder = world.folder / database
        self.folder.mkdir(exist_ok=True)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | {
            "ERP_ENV": "development",
            "ERP_DATA_DIR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": self.url,
            "REDIS_URL": world.redis_url,
            "CELERY_BROKER_URL": world.redis_url,
            "PUBSUB_EMULATOR_HOST": world.pubsub_address,
            "PUBSUB_PROJECT_ID": self.project,
            "OUTBOX_ORDERING": world.ordering,
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
        }

    def make(self) -> None:
        """Make the database from the migrated template, and the topology by the product's own command."""
        with psycopg.connect(self.world.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.database}" TEMPLATE erp')
        self.setup_pubsub()

    def setup_pubsub(self) -> None:
        """``manage.py setup_pubsub``."""
        self.command("setup_pubsub")

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of the harness, in autocommit."""
        return psycopg.connect(
            self.url, autocommit=True, connect_timeout=5, application_name="faults-harness"
        )

    def command(self, *arguments: str) -> str:
        """Run a command of the product; its output. Raises CalledProcessError, TimeoutExpired."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise CommandFailed(f"{' '.join(arguments[:2])}: exit {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def process(self, name: str, module: str, *arguments: object) -> Process:
        """A process of the harness that works here."""
        return Process(
            name=name,
            argv=[sys.executable, "-m", module, "--folder", str(self.folder), *map(str, arguments)],
            env=self.env,
            restart=False,
            cwd=PROJECT,
        )


class Closing(Exception):
    """The harness was asked to stop."""


class CommandFailed(Exception):
    """A command of the product failed where it must not."""
