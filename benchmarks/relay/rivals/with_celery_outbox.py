"""django-celery-outbox: an event is a Celery task, the broker is Pub/Sub through kombu's transport for it.

A fanout exchange, since the sink knows no filters on subscriptions. The transport doesn't wait for Pub/Sub's
acknowledgement, so neither does this outbox.
"""

import os
import signal
import threading
from typing import Any

import structlog
from django_celery_outbox import OutboxCelery
from kombu import Exchange, Queue
from run import PROJECT, TOPIC

SETTINGS = {"INSTALLED_APPS": ["django_celery_outbox"], "CELERY_OUTBOX_APP": "with_celery_outbox.app"}

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
app = OutboxCelery("bench", broker=f"gcpubsub://projects/{PROJECT}")
app.conf.task_queues = [Queue(TOPIC, Exchange(TOPIC, type="fanout"), routing_key=TOPIC)]
app.conf.task_default_queue = TOPIC


def put(payload: dict[str, Any], *, key: str) -> None:
    """Store one event."""
    app.send_task("lot.moved", kwargs={"payload": payload, "key": key})


def drain() -> None:
    """``manage.py celery_outbox_relay``: told to end, it goes on until nothing is left."""
    from django.core.management import call_command

    stop = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    stop.start()
    call_command("celery_outbox_relay", batch_size=1000, idle_time=0.01, shutdown_timeout=600.0)
    stop.join()


def left() -> int:
    """Events that were not sent."""
    from django_celery_outbox.models import CeleryOutbox

    return int(CeleryOutbox.objects.count())
