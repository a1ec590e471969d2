"""Saved views as a Django app."""

from django.apps import AppConfig


class SavedViewsConfig(AppConfig):
    """Saved views of lists."""

    name = "erp.saved_views"
    label = "saved_view"
    verbose_name = "Saved views"
