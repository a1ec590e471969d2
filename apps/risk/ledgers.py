"""Sums and copies that ``verify_ledger`` recomputes."""

from collections.abc import Iterator

from django.db.models import Exists, F, OuterRef

from apps.risk.models import RiskAssessment, RiskStatus
from erp.ledgers import Mismatch, register


def check_statuses() -> Iterator[Mismatch]:
    """Words that aren't those of the newest assessment of their subject."""
    newer = RiskAssessment.objects.filter(
        subject_key=OuterRef("assessment__subject_key"), id__gt=OuterRef("assessment_id")
    )
    rows = RiskStatus.objects.annotate(is_old=Exists(newer))
    for row in rows.exclude(
        is_old=False, status=F("assessment__status"), valid_until=F("assessment__valid_until")
    ):
        yield Mismatch(str(row.pk), f"{row}: not what the newest assessment says", {"status": row.status})


register(
    "risk.statuses",
    "newest words about listings and partners",
    rows=lambda: RiskStatus.objects.count(),
    mismatches=check_statuses,
)
