"""Idempotency keys as a Django app."""

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """The records behind Idempotency-Key."""

    name = "erp.idempotency"
    label = "idempotency"
    verbose_name = "Idempotency"
