"""Celery processes, for production and for ``make run``.

python celery_worker.py worker    everything but the relay and mail
python celery_worker.py relay     relay tasks: solo pool, so that SIGTERM reaches the running task
python celery_worker.py mail      mail and SMS, in threads because they wait for providers
python celery_worker.py beat      the scheduler; run exactly one
"""

import sys
import tempfile

from config.celery import app

COMMANDS = {
    "worker": ["worker", "--queues=default", "--concurrency=2", "--hostname=worker@%h"],
    "relay": ["worker", "--queues=relay", "--pool=solo", "--prefetch-multiplier=1", "--hostname=relay@%h"],
    "mail": ["worker", "--queues=mail", "--pool=threads", "--concurrency=4", "--hostname=mail@%h"],
    "beat": ["beat", f"--schedule={tempfile.gettempdir()}/erp-beat-{{pid}}"],
}


def main() -> None:
    """Start the process that the first argument names; further ones go to Celery."""
    name, *rest = sys.argv[1:] or ["help"]
    if name not in COMMANDS:
        sys.stderr.write(str(__doc__))
        sys.exit(2)
    import os

    arguments = [part.format(pid=os.getpid()) if "{pid}" in part else part for part in COMMANDS[name]]
    app.start([*arguments, "--loglevel=INFO", *rest])


if __name__ == "__main__":
    main()
