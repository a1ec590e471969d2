"""Periodic work on accounts."""

from collections.abc import Iterator
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.core.management import call_command
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts import services
from apps.accounts.models import User
from erp import clock, metrics
from erp.access import SYSTEM


def codes_sent() -> Iterator[Metric]:
    """How much of the day's codes by SMS is used up: at 1 nobody signs in by one any more."""
    share = float(services.day_share(clock.now()))
    yield GaugeMetricFamily(
        "erp_otp_day_share", "Share of the day's codes by SMS that is used up.", value=share
    )


metrics.of_modules.append(codes_sent)


@shared_task
def clear_sessions() -> None:
    """Delete the admin's cookies' rows past their time (the sign-ins behind them are kept a year)."""
    call_command("clearsessions")


@shared_task
def expire_grants() -> int:
    """Tidy up single grants whose time is over; returns how many."""
    return int(services.expire_grants(actor=SYSTEM))


@shared_task
def expire_views_as() -> int:
    """End looks through a partner's eyes whose time is over; returns how many."""
    return int(services.expire_views_as(actor=SYSTEM))


@shared_task
def purge() -> None:
    """Delete what is kept no longer, in batches, and erase sign-ups that nobody proved within a month."""
    while any(services.purge(actor=SYSTEM).values()):
        pass
    since = clock.now() - timedelta(days=settings.ACCOUNT_PENDING_DAYS)
    for user in User.objects.filter(status=User.Status.PENDING, created_at__lt=since).order_by("pk")[:1000]:
        services.erase(user, actor=SYSTEM, reason_code="never_verified")
