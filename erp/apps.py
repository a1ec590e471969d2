"""The kernel as a Django app: it discovers what the modules declare."""

import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class ErpConfig(AppConfig):
    """Loads capabilities, events, services and tasks of every installed module."""

    name = "erp"
    label = "erp"
    verbose_name = "Kernel"

    def ready(self) -> None:
        from django.utils.module_loading import autodiscover_modules

        for layer in ("capabilities", "events", "services", "tasks"):
            autodiscover_modules(layer)
            for config in apps.get_app_configs():
                load_topics(f"{config.name}.{layer}")

        from erp import access, events, logs

        events.registry.seal()
        access.registry.seal()
        logs.register_checks()
        post_migrate.connect(_sync_capabilities, sender=self, dispatch_uid="erp.sync_capabilities")


def load_topics(name: str) -> None:
    """Import the modules of a layer that is a package: callers import topics, so its ``__init__`` needn't."""
    package = sys.modules.get(name)
    for topic in iter_modules(getattr(package, "__path__", ())):
        import_module(f"{name}.{topic.name}")


def _sync_capabilities(sender: Any, plan: Any = (), **kwargs: Any) -> None:
    """Permissions and groups follow the code after each forward migration."""
    from erp import access

    if not any(backwards for _, backwards in plan):
        access.sync()
