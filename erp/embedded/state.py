"""Where running embedded servers are found: a small file that the supervisor keeps."""

import json
import os
from pathlib import Path

SERVERS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PUBSUB_EMULATOR_HOST")


def data_dir() -> Path:
    """Folder of the embedded servers' data (``ERP_DATA_DIR``, default ``.erp`` beside ``manage.py``)."""
    return Path(os.environ.get("ERP_DATA_DIR") or Path(__file__).resolve().parents[2] / ".erp")


def urls() -> dict[str, str]:
    """URLs of the running embedded servers by variable name; empty when none runs."""
    try:
        kept = json.loads((data_dir() / "state.json").read_text())
        os.kill(kept["pid"], 0)
    except (OSError, ValueError, KeyError):
        return {}
    return {name: url for name, url in kept["urls"].items() if name in SERVERS}
