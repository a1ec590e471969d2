"""Periodic tasks of accounts."""

from collections.abc import Iterator
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts.models import User
from apps.accounts.services import grants, otp, users, viewing
from erp import clock, metrics
from erp.access import SYSTEM


def codes_sent() -> Iterator[Metric]:
    """Share of the daily limit of codes by SMS that is used. At 1 no codes are sent any more."""
    share = float(otp.day_share(clock.now()))
    yield GaugeMetricFamily(
        "erp_otp_day_share", "Share of the daily limit of codes by SMS that is used.", value=share
    )


metrics.of_modules.append(codes_sent)


@shared_task
def clear_sessions() -> None:
    """Delete expired browser sessions of the staff portal (the sign-ins behind them are stored for a year)."""
    call_command("clearsessions")


@shared_task
def expire_grants() -> int:
    """Mark expired single grants as expired; return how many."""
    return int(grants.expire_grants(actor=SYSTEM))


@shared_task
def expire_views_as() -> int:
    """End views as a partner whose time is over; return how many."""
    return int(viewing.expire_views_as(actor=SYSTEM))


@shared_task
def purge() -> None:
    """Delete rows whose retention is over, in batches, and erase sign-ups that are unverified for too long."""
    while any(users.purge(actor=SYSTEM).values()):
        pass
    since = clock.now() - timedelta(days=settings.ACCOUNT_PENDING_DAYS)
    for user in User.objects.filter(status=User.Status.PENDING, created_at__lt=since).order_by("pk")[:1000]:
        users.erase(user, actor=SYSTEM, reason_code="never_verified")
