"""Heartbeats: each process updates its own file; probes and ``doctor`` check its age.

Workers are not queried: a busy worker still updates its file, a stuck one does not.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from celery import bootsteps
from celery.beat import PersistentScheduler
from django.conf import settings
from django.core.cache import cache as shared
from redis.exceptions import RedisError

EVERY_SECONDS: Final = 5.0
# Older than this a process counts as gone: it is restarted within 30 s (operations §2).
SILENT_SECONDS: Final = 30.0


def path(name: str) -> Path:
    """The file of a process, in ``settings.HEARTBEAT_DIR``."""
    return Path(settings.HEARTBEAT_DIR) / name


def touch(name: str) -> None:
    """The process is alive. Never raises: a full disk must not stop a worker."""
    file = path(name)
    try:
        file.touch()
    except FileNotFoundError:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        except OSError:
            return
    except OSError:
        return


def age(name: str) -> float | None:
    """Seconds since the process was last alive; None when it never was."""
    try:
        return max(0.0, time.time() - path(name).stat().st_mtime)
    except OSError:
        return None


def known() -> list[tuple[str, float]]:
    """Every process that ever gave a sign of life on this machine, with the seconds since its last."""
    try:
        names = sorted(file.name for file in Path(settings.HEARTBEAT_DIR).iterdir() if file.is_file())
    except OSError:
        return []
    return [(name, seconds) for name in names if (seconds := age(name)) is not None]


def last_run(schedule: str) -> datetime | None:
    """When beat last sent the task of a schedule; None when that isn't known."""
    at = shared.get(f"erp:schedule:{schedule}")
    return None if at is None else datetime.fromtimestamp(at, UTC)


class WorkerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """A Celery worker's pulse, under the part of its node name before the ``@``."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        name = str(parent.hostname).split("@")[0]
        touch(name)
        self._entry = parent.timer.call_repeatedly(EVERY_SECONDS, touch, (name,), priority=10)

    def stop(self, parent: Any) -> None:
        if self._entry is not None:
            self._entry.cancel()


class BeatScheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery beat's own scheduler with a pulse."""

    max_interval = EVERY_SECONDS

    def tick(self, *args: Any, **kwargs: Any) -> float:
        touch("beat")
        return float(super().tick(*args, **kwargs))

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task and note when, for people to see; a cache that doesn't answer must not stop beat."""
        super().apply_entry(entry, producer)
        with suppress(RedisError):
            shared.set(f"erp:schedule:{entry.name}", time.time(), None)
