"""Entries of the audit trail, their seals, and exports of it; append-only by triggers."""

from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from erp import clock
from erp.ids import uuid7
from erp.models import Guarded

if TYPE_CHECKING:
    from erp.access import Actor


class EntryQuerySet(models.QuerySet["Entry"]):
    """Entries, oldest first where it matters."""

    def visible_to(self, user: "Actor") -> Self:
        """Return all entries: an endpoint filters those of one row, which must be visible itself."""
        return self.all()

    def of(self, row: models.Model) -> Self:
        """Entries of one row."""
        return self.filter(table=row._meta.db_table, row=str(row.pk))

    def of_year(self, year: str) -> Self:
        """Entries of an Indian financial year such as ``2025-26``: 1 April to 31 March in Asia/Kolkata.

        Raises ValueError for text that names no year.
        """
        begin, end = year_limits(year)
        return self.filter(recorded_at__gte=begin, recorded_at__lt=end)


def year_limits(year: str) -> tuple[datetime, datetime]:
    """First moment of an Indian financial year and of the next. Raises ValueError for text that names no year."""
    first = int(year[:4]) if len(year) == 7 and year.isascii() else 0
    if f"{first:04}-{(first + 1) % 100:02}" != year:
        raise ValueError(f"{year!r} is no financial year: write 2025-26")
    return tuple(clock.instant(date(start, 4, 1), time(), clock.KOLKATA) for start in (first, first + 1))  # type: ignore[return-value]


class Entry(models.Model):
    """One change of one row. Only the triggers write it.

    ``before`` and ``after`` hold the changed fields (of a new or deleted row all that have a value); of secret and
    personal columns a mask and a keyed digest. ``channel`` is api, admin, command or task, and ``sql`` where rows
    changed outside a service.
    """

    position = models.BigAutoField(primary_key=True)
    recorded_at = models.DateTimeField()
    txid = models.BigIntegerField()
    actor_id = models.UUIDField(null=True)
    on_behalf_of = models.UUIDField(null=True)
    by_superuser = models.BooleanField()
    service = models.CharField(max_length=120)
    capability = models.CharField(max_length=120)
    channel = models.CharField(max_length=7)
    request_id = models.CharField(max_length=200)
    record_id = models.CharField(max_length=36)
    reason = models.TextField()
    organization_id = models.UUIDField(null=True)
    table = models.CharField(max_length=63, db_column="table_name")
    row = models.CharField(max_length=100, db_column="row_key")
    operation = models.CharField(max_length=6)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    objects: ClassVar[Any] = EntryQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["table", "row", "position"], name="trail_entry_row"),
            models.Index(fields=["actor_id", "position"], name="trail_entry_actor"),
            models.Index(
                fields=["table"], condition=models.Q(operation="DELETE"), name="trail_entry_removed"
            ),
            BrinIndex(fields=["recorded_at"], name="trail_entry_time"),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.operation} {self.table} {self.row}"


class Seal(models.Model):
    """A link of the chain: number, entry, and SHA-256 of the previous hash and the entry.

    ``settled`` is the position up to which no entry can appear any more; ``seen`` becomes it once the transactions
    below ``horizon`` have ended.
    """

    number = models.BigIntegerField(primary_key=True)
    position = models.BigIntegerField(unique=True)
    hash = models.BinaryField(max_length=32)
    sealed_at = models.DateTimeField()
    settled = models.BigIntegerField()
    seen = models.BigIntegerField()
    horizon = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number} of {self.position}"


class Anchor(Guarded):
    """The chain's last hash of a day, published as an event and so known outside the database."""

    machinery = True

    day = models.DateField(primary_key=True)
    number = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    recorded_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.day}: {self.number}"


class ClearRead(Guarded):
    """Fields of a row that a person read in full where others see a mask."""

    machinery = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    actor_id = models.UUIDField(null=True)
    table = models.CharField(max_length=63, db_column="table_name")
    row = models.CharField(max_length=100, db_column="row_key")
    fields = ArrayField(models.CharField(max_length=63))
    recorded_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        indexes: ClassVar = [models.Index(fields=["table", "row", "id"], name="trail_clear_read_row")]

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {', '.join(self.fields)}"


class Export(Guarded):
    """What was handed out: entries of a year, or a list of the portal; to which filters, how many lines."""

    machinery = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    year = models.CharField(max_length=7)
    filters = models.JSONField(default=dict)
    lines = models.BigIntegerField()
    recorded_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.year}: {self.lines} lines"
