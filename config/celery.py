"""The Celery application: its settings are the CELERY_* ones of Django's settings."""

import os
from typing import Any

import celery
from celery import Celery
from celery.signals import beat_init, setup_logging, worker_ready
from django_structlog.celery.steps import DjangoStructLogInitStep

from erp.heartbeat import WorkerStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Task(celery.Task):  # type: ignore[misc]
    """A task whose changes the audit trail shows as such."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from erp.trail import context

        with context.through("task"):
            return super().__call__(*args, **kwargs)


app = Celery("erp", task_cls=Task)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)
app.steps["worker"].add(WorkerStep)


@beat_init.connect
@worker_ready.connect
def _serve_metrics(**kwargs: object) -> None:
    """Once the children are forked, so that none inherits the thread."""
    from erp import metrics

    metrics.serve()


@setup_logging.connect
def _keep_our_logging(**kwargs: object) -> None:
    """Django's settings have configured logging, the personal-data mask included; Celery must not replace it."""
