"""Figures about all partners, computed by the database: where they stand now, and a year of onboarding."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Aggregate, Count, DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import TruncMonth

from apps.partners.models import CreditAccount, OnboardingRound, Partner, PartnerRole
from apps.partners.models.credit import Level
from apps.partners.models.partners import GRACE_DAYS
from apps.partners.models.rounds import TARGETS
from erp import clock

MONTHS: Final = 12
_Status = OnboardingRound.Status


class Median(Aggregate):
    """The median of durations."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def analytics(today: date) -> dict[str, Any]:
    """All figures: counts and credit of the day, onboarding of the last 12 months with the current one."""
    months = _months(today)
    begin = clock.instant(months[0], time(), clock.KOLKATA)
    onboarding = OnboardingRound.objects.filter(kind=OnboardingRound.Kind.ONBOARDING)
    started, decided = onboarding.filter(created_at__gte=begin), onboarding.filter(decided_at__gte=begin)
    trading = Partner.objects.filter(status__in=[Partner.Status.ACTIVE, Partner.Status.SUSPENDED])
    roles = PartnerRole.objects.filter(partner__in=trading, live=True)
    rejected = decided.filter(status=_Status.REJECTED)
    return {
        "since_date": months[0],
        "by_status": _counts(Partner.objects.all(), "status", Partner.Status.values),
        "by_role": _counts(roles, "role", PartnerRole.Role.values, Count("partner", distinct=True)),
        "by_state": _counts(trading.exclude(state_code=None), "state_code"),
        "by_risk_category": _counts(
            trading.exclude(risk_category=None), "risk_category", Partner.Category.values
        ),
        "kyc": kyc_buckets(trading, today),
        "funnel": _funnel(started),
        "decisions": _decisions(decided),
        "rejection_reasons": _counts(rejected, "reason_code", OnboardingRound.RejectionCode.values),
        "utilisation": _counts(CreditAccount.objects.with_level(today), "used", Level.values),
        "trend": _trend(onboarding, months, begin),
    }


def kyc_buckets(partners: Any, today: date) -> dict[str, int]:
    """Partners by the days that their KYC still runs: every one is in exactly one bucket."""

    def days(low: int | None, high: int | None) -> Count:
        within = Q()
        if low is not None:
            within &= Q(kyc_expiry_date__gte=today + timedelta(days=low))
        if high is not None:
            within &= Q(kyc_expiry_date__lte=today + timedelta(days=high))
        return Count("pk", filter=within)

    found: dict[str, int] = partners.order_by().aggregate(
        over_90_days=days(91, None),
        days_31_to_90=days(31, 90),
        days_8_to_30=days(8, 30),
        days_0_to_7=days(0, 7),
        grace=days(-GRACE_DAYS, -1),
        lapsed=days(None, -GRACE_DAYS - 1),
    )
    return found


def _counts(rows: Any, column: str, known: Any = (), number: Any = None) -> list[dict[str, Any]]:
    """How many rows have each value, the known ones in their order and with 0 where there is none."""
    counted = rows.order_by().values_list(column).annotate(number=number or Count("pk"))
    found = dict.fromkeys(known, 0) | dict(counted.order_by(column))
    return [{"value": value, "count": count} for value, count in found.items()]


def _funnel(started: Any) -> dict[str, int]:
    """How far the files came that were started since."""
    ended = {
        str(status): Count("pk", filter=Q(status=status))
        for status in (_Status.APPROVED, _Status.REJECTED, _Status.WITHDRAWN, _Status.EXPIRED)
    }
    found: dict[str, int] = started.order_by().aggregate(
        started=Count("pk"),
        submitted=Count("pk", filter=Q(submitted_at__isnull=False)),
        reviewed=Count("pk", filter=Q(route__isnull=False)),
        **ended,
        open=Count("pk", filter=Q(status__in=OnboardingRound.OPEN)),
    )
    return found


def _decisions(decided: Any) -> list[dict[str, Any]]:
    """By route: decided files, the median hours from submission to decision, and how many missed the target."""
    taken = ExpressionWrapper(F("decided_at") - F("submitted_at"), output_field=DurationField())
    files = decided.filter(status__in=[_Status.APPROVED, _Status.REJECTED], submitted_at__isnull=False)
    found = []
    for route, target in TARGETS.items():
        figures = (
            files.filter(route=route)
            .annotate(taken=taken)
            .order_by()
            .aggregate(
                decided=Count("pk"),
                median=Median("taken"),
                over_target=Count("pk", filter=Q(taken__gt=target)),
            )
        )
        median, number = figures.pop("median"), figures["decided"]
        share = Decimal(100 * figures["over_target"]) / number if number else None
        found.append(
            {
                "route": route,
                **figures,
                "median_hours": None if median is None else _hours(median),
                "over_target_percent": None if share is None else share.quantize(Decimal("0.1")),
            }
        )
    return found


def _hours(taken: timedelta) -> Decimal:
    return (Decimal(taken // timedelta(seconds=1)) / 3600).quantize(Decimal("0.1"))


def _trend(onboarding: Any, months: list[date], begin: datetime) -> list[dict[str, Any]]:
    """Files started, submitted, approved and rejected in each month of Asia/Kolkata."""
    lines: dict[date, dict[str, Any]] = {
        month: {"month": f"{month:%Y-%m}", "started": 0, "submitted": 0, "approved": 0, "rejected": 0}
        for month in months
    }
    for name, column, rows in (
        ("started", "created_at", onboarding),
        ("submitted", "submitted_at", onboarding),
        ("approved", "decided_at", onboarding.filter(status=_Status.APPROVED)),
        ("rejected", "decided_at", onboarding.filter(status=_Status.REJECTED)),
    ):
        month = TruncMonth(column, tzinfo=clock.KOLKATA)
        counted = rows.filter(**{f"{column}__gte": begin}).order_by().values_list(month)
        for first, number in counted.annotate(number=Count("pk")):
            lines[first.date()][name] = number
    return list(lines.values())


def _months(today: date) -> list[date]:
    """The first days of the last 12 months, the current one last."""
    last = today.year * 12 + today.month - 1
    return [date(number // 12, number % 12 + 1, 1) for number in range(last - MONTHS + 1, last + 1)]
