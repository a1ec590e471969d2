"""Periodic work on sessions."""

from celery import shared_task
from django.core.management import call_command


@shared_task
def clear_sessions() -> None:
    """Delete the admin's cookies' rows past their time (the sign-ins behind them are kept a year)."""
    call_command("clearsessions")
