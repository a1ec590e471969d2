"""The audit trail as a Django app."""

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate


class TrailConfig(AppConfig):
    """Entries, seals, and the triggers that write them."""

    name = "erp.trail"
    label = "trail"
    verbose_name = "Audit trail"

    def ready(self) -> None:
        from erp.trail import triggers

        post_migrate.connect(_attach, sender=self, dispatch_uid="erp.trail.attach")
        checks.register(triggers.check_triggers, checks.Tags.database)


def _attach(plan: Any = None, using: str = "default", **kwargs: Any) -> None:
    """Every table that belongs into the trail has its triggers after each migration."""
    from erp.trail import triggers

    if plan is not None:  # a flush, which empties tables, migrates nothing
        triggers.attach(using)
