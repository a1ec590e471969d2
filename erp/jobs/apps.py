"""Long work as a Django app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Jobs, their rows, and the tasks that do them."""

    name = "erp.jobs"
    label = "job"
    verbose_name = "Jobs"
