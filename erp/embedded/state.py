"""The state file in which the supervisor records running embedded servers."""

import json
import os
from pathlib import Path

SERVERS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PUBSUB_EMULATOR_HOST")
PUBLIC_URL = "PUBLIC_URL"  # where the stack's web process answers


def data_dir() -> Path:
    """Folder of the embedded servers' data (``ERP_DATA_DIR``, default ``.erp`` beside ``manage.py``)."""
    return Path(os.environ.get("ERP_DATA_DIR") or Path(__file__).resolve().parents[2] / ".erp")


def owner(folder: Path) -> int | None:
    """Process id of the supervisor whose servers run in that folder; None when there is none."""
    return _read(folder)[0]


def urls() -> dict[str, str]:
    """URLs of the running supervisor's servers and web process, by variable name; empty when none runs."""
    return _read(data_dir())[1]


def _read(folder: Path) -> tuple[int | None, dict[str, str]]:
    try:
        stored = json.loads((folder / "state.json").read_text())
        os.kill(stored["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None, {}
    return stored["pid"], {
        name: url for name, url in stored["urls"].items() if name in (*SERVERS, PUBLIC_URL)
    }
