"""Part b: outboxes of other libraries, each in a virtual environment of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.faults.world import World
from benchmarks.relay import ground
from benchmarks.relay.figures import Part, paired, spread
from benchmarks.relay.throughput import PER_STREAM
from erp.embedded.testing import PubSub

HERE = Path(__file__).with_name("rivals")
INSTALL_SECONDS = 600.0
RUN_SECONDS = 300.0


@dataclass(frozen=True)
class Other:
    """A library: its module here, its requirements, how many events it gets, and what to know of it."""

    name: str
    module: str
    events: int
    note: str

    @property
    def requirements(self) -> Path:
        """All packages, pinned."""
        return HERE / f"{self.name.removeprefix('django-')}.txt"

    @property
    def version(self) -> str:
        """The pinned version."""
        lines = self.requirements.read_text().splitlines()
        return next(line.partition("==")[2] for line in lines if line.startswith(f"{self.name}=="))


OTHERS = (
    Other(
        "django-outbox-pattern",
        "with_outbox_pattern",
        800,
        "made for STOMP; Google's client sits behind its setting for the connection's class, one acknowledged"
        " publish per event",
    ),
    Other(
        "django-celery-outbox",
        "with_celery_outbox",
        4_000,
        "events are Celery tasks, the broker is Pub/Sub by kombu's transport, which doesn't wait for the"
        " acknowledgement and knows no ordering keys",
    ),
    Other(
        "django-jaiminho",
        "with_jaiminho",
        800,
        'strategy "keep-order"; its relay calls a function that publishes one event and waits',
    ),
)


class CannotRun(Exception):
    """The library can't be tried here; the message says why."""


def measure(world: World, sizes: ground.Sizes, report: ground.Report) -> Part:
    """Everyone in turns."""
    ours, rounds = sizes(10_000, 1_000), sizes(3, 1)
    part = Part(
        "b",
        "Other outboxes for Django",
        f"Events of 1 KB into the same kind of Pub/Sub server from the same PostgreSQL, {rounds} rounds in turns;"
        f" this relay has {ours:,} events, the others as many as fit into some seconds, and the rates are compared."
        " Each library is filled and emptied by its own means, one worker of each, with Google's client set to"
        " publish at once.",
    )
    rates: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    with ground.a_place(world, "others") as place:
        outbox = ground.Outbox(place, ours, ours // PER_STREAM)
        pythons = _prepare(reasons, report)
        for turn in range(rounds):
            for name in ("relay-aggregate", "relay-bucket"):
                report(f"b: {name}, round {turn + 1} of {rounds}")
                rates.setdefault(name, []).append(ground.drain(outbox, name).rate)
            for other in OTHERS:
                if other.name in reasons:
                    continue
                report(f"b: {other.name}, round {turn + 1} of {rounds}")
                try:
                    rate = _drain(world, other, pythons[other.name], sizes(other.events, 200), turn)
                    rates.setdefault(other.name, []).append(rate)
                except CannotRun as error:
                    reasons[other.name] = str(error)
    part.add("this relay, aggregate mode, events a second", spread(rates["relay-aggregate"]))
    part.add("this relay, bucket mode, events a second", spread(rates["relay-bucket"]))
    for other in OTHERS:
        title = f"{other.name} {other.version} ({other.note})"
        if other.name in reasons:
            part.add(title, f"doesn't run here: {reasons[other.name]}", "≥ 10 ×")
            continue
        aggregate = paired(rates["relay-aggregate"], rates[other.name])
        bucket = paired(rates["relay-bucket"], rates[other.name])
        part.add(title, spread(rates[other.name]))
        part.add(
            f"this relay against {other.name}",
            f"aggregate mode {aggregate:.1f} ×, bucket mode {bucket:.1f} ×",
            "≥ 10 ×",
            aggregate >= 10,
        )
    return part


def _prepare(reasons: dict[str, str], report: ground.Report) -> dict[str, Path]:
    """The interpreters, by library; why there is none goes into ``reasons``."""
    pythons = {}
    for other in OTHERS:
        try:
            pythons[other.name] = _environment(other, report)
        except CannotRun as error:
            reasons[other.name] = str(error)
    return pythons


def _environment(other: Other, report: ground.Report) -> Path:
    """Python of a virtual environment with the library, kept in the cache folder for the next time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cotton-erp-benchmarks"
    wanted = f"{sys.version}{other.requirements.read_text()}"
    folder = cache / f"{other.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    report(f"b: installing {other.name} {other.version}")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for argv in ([sys.executable, "-m", "venv", str(folder)], [*pip, "-r", str(other.requirements)]):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode:
            raise CannotRun(f"it can't be installed: {_last_line(done.stderr)}")
    (folder / "ready").touch()
    return python


def _drain(world: World, other: Other, python: Path, events: int, turn: int) -> float:
    """Fill and empty the library's outbox in a database of its own; its rate in events a second."""
    database = f"{other.module}_{turn}"
    with psycopg.connect(world.url("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}" TEMPLATE template0')
    with PubSub() as sink:
        done = subprocess.run(
            [str(python), "run.py", other.module, str(events)],
            cwd=HERE,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "DATABASE_URL": world.url(database),
                "PUBSUB_EMULATOR_HOST": sink.address,
            },
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    if done.returncode:
        raise CannotRun(_last_line(done.stderr))
    result = json.loads(done.stdout.splitlines()[-1])
    if result["arrived"] != events or result["left"]:
        raise CannotRun(f"of {events} events {result['arrived']} arrived, {result['left']} are left")
    return float(events / result["seconds"])


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1][:300]
