"""Sums that ``verify_ledger`` recomputes."""

from collections.abc import Iterator

from apps.organization.models import DocumentSeries
from erp.ledgers import Mismatch, register


def _gaps() -> Iterator[Mismatch]:
    for series in DocumentSeries.objects.with_gaps().order_by("pk").iterator():
        yield Mismatch(
            str(series.pk),
            f"{series.document_type}: {series.allocated} numbers between {series.lowest} and {series.highest}, "
            f"but {series.start_number} to {series.last_number} were allocated",
            {
                "start_number": series.start_number,
                "last_number": series.last_number,
                "allocated": series.allocated,
                "lowest": series.lowest,
                "highest": series.highest,
            },
        )


register(
    "organization.document_series",
    "document series without a gap",
    rows=lambda: DocumentSeries.objects.count(),
    mismatches=_gaps,
)
