"""The kernel as a Django app: it discovers what the modules declare."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ErpConfig(AppConfig):
    """Loads capabilities, events, services and tasks of every installed module."""

    name = "erp"
    label = "erp"
    verbose_name = "Kernel"

    def ready(self) -> None:
        from django.utils.module_loading import autodiscover_modules

        autodiscover_modules("capabilities", "events", "services", "tasks")

        from erp import access, events, logs

        events.registry.seal()
        access.registry.seal()
        logs.register_checks()
        post_migrate.connect(_sync_capabilities, sender=self, dispatch_uid="erp.sync_capabilities")


def _sync_capabilities(sender: Any, plan: Any = (), **kwargs: Any) -> None:
    """Permissions and groups follow the code after each forward migration."""
    from erp import access

    if not any(backwards for _, backwards in plan):
        access.sync()
