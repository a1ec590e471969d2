"""Usage as a Django app."""

from django.apps import AppConfig


class UsageConfig(AppConfig):
    """Counts of requests."""

    name = "erp.usage"
    label = "usage"
    verbose_name = "Usage"
