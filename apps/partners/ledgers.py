"""Sums that ``verify_ledger`` recomputes: the exposure of partners from the entries of the ledger."""

from collections.abc import Iterator
from decimal import Decimal

from django.db.models import Q, Sum

from apps.partners.models import CreditAccount, ExposureEntry, OpenExposure
from apps.partners.models.credit import SUMS, Bucket
from erp.ledgers import Mismatch, register

_COUNTED = Q(side="buy") | Q(bucket=Bucket.ADVANCE)


def find_mismatches() -> Iterator[Mismatch]:
    """Accounts whose sums, or whose sources' open exposure, aren't those of the entries."""
    booked: dict[tuple[object, str], Decimal] = {}
    for line in (
        ExposureEntry.objects.filter(_COUNTED)
        .values("account_id", "bucket")
        .annotate(total=Sum("amount"))
        .order_by()
    ):
        booked[line["account_id"], line["bucket"]] = line["total"]
    for account in CreditAccount.objects.order_by("pk").iterator():
        kept = {bucket: getattr(account, column) for bucket, column in SUMS.items()}
        counted = {bucket: booked.get((account.pk, bucket), Decimal(0)) for bucket in SUMS}
        if kept != counted:
            figures = {bucket: [str(kept[bucket]), str(counted[bucket])] for bucket in SUMS}
            yield Mismatch(str(account.pk), "sums of the account differ from its entries", figures)
    keys = ("account_id", "source_type", "source_id", "bucket")
    entries = {
        tuple(line[key] for key in keys): line["total"]
        for line in ExposureEntry.objects.values(*keys).annotate(total=Sum("amount")).order_by()
    }
    rows = {
        tuple(line[key] for key in keys): line["amount"]
        for line in OpenExposure.objects.values(*keys, "amount")
    }
    for key in sorted(entries.keys() | rows.keys(), key=str):
        counted_amount, kept_amount = entries.get(key, Decimal(0)), rows.get(key, Decimal(0))
        if counted_amount != kept_amount:
            yield Mismatch(
                str(key[0]),
                f"{key[1]} {key[2]}: open {key[3]} differs from its entries",
                {"kept": str(kept_amount), "counted": str(counted_amount)},
            )


register(
    "partner.exposure",
    "exposure of partners",
    rows=lambda: ExposureEntry.objects.count(),
    mismatches=find_mismatches,
)
