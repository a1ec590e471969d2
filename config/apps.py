"""The last app to get ready."""

import gc

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Ends the set-up."""

    name = "config"

    def ready(self) -> None:
        """Collect garbage again, what was loaded excepted: it stays, and forked processes share it."""
        gc.freeze()
        gc.enable()
