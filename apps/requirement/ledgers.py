"""Sums that ``verify_ledger`` recomputes."""

from collections.abc import Iterator

from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from apps.availability.models import quantity_field
from apps.requirement.models import Requirement
from apps.requirement.models.base import value_field
from erp.ledgers import Mismatch, register


def check_requirements() -> Iterator[Mismatch]:
    """Requirements whose figures aren't the sums of their lines."""
    summed = {
        "committed": Coalesce(Sum("fulfilments__committed_delta"), 0, output_field=quantity_field()),
        "purchased": Coalesce(Sum("fulfilments__purchased_delta"), 0, output_field=quantity_field()),
        "spent": Coalesce(Sum("fulfilments__amount_delta"), 0, output_field=value_field()),
    }
    sums = Requirement.objects.annotate(
        committed=summed["committed"], purchased=summed["purchased"], spent=summed["spent"]
    )
    rows = sums.exclude(
        committed=F("committed_quantity"), purchased=F("purchased_quantity"), spent=F("spent_amount")
    )
    for row in rows.order_by("pk").iterator():
        stored = {
            "committed": row.committed_quantity,
            "purchased": row.purchased_quantity,
            "spent": row.spent_amount,
        }
        lines = {name: getattr(row, name) for name in summed}
        yield Mismatch(
            str(row.pk),
            f"{row.number}: the ledger's lines add up to other figures than the requirement has",
            {**stored, **{f"lines_{name}": value for name, value in lines.items()}},
        )


register(
    "requirement.fulfilments",
    "requirements whose ledger adds up",
    rows=lambda: Requirement.objects.count(),
    mismatches=check_requirements,
)
