"""Tables of the transactional outbox (core §2) and of the subscriber (core §3).

Emitters write ``event_stream`` and ``event_outbox`` in one statement (``erp.outbox.flush``); the relay and
the subscriber use their own SQL. No other code writes here.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models

from erp import clock
from erp.ids import uuid7

if TYPE_CHECKING:
    from erp.access import Actor


class EventStream(models.Model):
    """One row per aggregate; its lock serialises emitters, so sequences are gapless and commit-ordered."""

    pk = models.CompositePrimaryKey("aggregate_type", "aggregate_id")
    aggregate_type = models.CharField(max_length=50)
    aggregate_id = models.UUIDField()
    last_sequence = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "event_stream"
        default_permissions = ()


class EventOutboxQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: "Actor") -> Self:
        """Return all events: the HTTP endpoint filters those of one row, which must be visible itself."""
        return self


class EventOutbox(models.Model):
    """One event, from commit to publication. Every column of the audit's table, and what order needs."""

    class Status(models.TextChoices):
        PENDING = "pending"
        PROCESSING = "processing"
        PUBLISHED = "published"
        FAILED = "failed"

    class Resolution(models.TextChoices):
        RETRIED = "retried"
        SKIPPED = "skipped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event_type = models.CharField(max_length=100)
    event_version = models.IntegerField()
    payload = models.JSONField()
    aggregate_id = models.UUIDField()
    aggregate_type = models.CharField(max_length=50)
    created_at = models.DateTimeField(default=clock.now)
    processed_at = models.DateTimeField(null=True)
    processing_attempts = models.IntegerField(default=0)
    last_error = models.TextField(null=True)  # noqa: DJ001 - the audit's column
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    # Identity column, see the migration: the order in which a bucket is read, never the order of a stream.
    position = models.BigIntegerField(editable=False)
    sequence = models.BigIntegerField()
    bucket = models.SmallIntegerField()
    correlation_id = models.CharField(max_length=64, default="")
    causation_id = models.CharField(max_length=64, default="")
    traceparent = models.CharField(max_length=64, default="")
    actor_id = models.UUIDField(null=True)
    not_before = models.DateTimeField(null=True)
    published_message_id = models.CharField(max_length=64, default="")
    resolution = models.CharField(max_length=10, choices=Resolution, null=True)  # noqa: DJ001
    resolved_by = models.CharField(max_length=200, default="")
    resolved_at = models.DateTimeField(null=True)
    resolution_reason = models.TextField(default="")

    objects: ClassVar[Any] = EventOutboxQuerySet.as_manager()

    class Meta:
        db_table = "event_outbox"
        default_permissions = ()
        verbose_name = "event"
        verbose_name_plural = "events"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["aggregate_type", "aggregate_id", "sequence"], name="event_outbox_stream_sequence"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "processing", "published", "failed"]),
                name="event_outbox_status_known",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["bucket", "position"],
                name="idx_outbox_waiting",
                condition=models.Q(status__in=["pending", "processing"]),
            ),
            models.Index(fields=["status", "created_at"], name="idx_outbox_status"),
            models.Index(fields=["aggregate_type", "aggregate_id"], name="idx_outbox_aggregate"),
            models.Index(
                fields=["causation_id"], name="idx_outbox_causation", condition=~models.Q(causation_id="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} v{self.event_version} #{self.sequence}"

    def open_verbs(self) -> frozenset[str]:
        """Return the operations allowed now."""
        return frozenset({"retry", "skip"} if self.status == self.Status.FAILED else ())


class Inbox(models.Model):
    """An event that a subscription has applied; with this row a duplicate is dropped."""

    pk = models.CompositePrimaryKey("subscription", "event_id")
    subscription = models.CharField(max_length=255)
    event_id = models.UUIDField()
    applied_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "event_inbox"
        default_permissions = ()
        indexes: ClassVar = [models.Index(fields=["applied_at"], name="idx_inbox_applied")]


class Subscriber(models.Model):
    """A subscription's first start: streams older than it may begin beyond sequence 1."""

    subscription = models.CharField(primary_key=True, max_length=255)
    started_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "event_subscriber"
        default_permissions = ()


class Cursor(models.Model):
    """Highest sequence applied per subscription and stream. Locked first, never purged."""

    pk = models.CompositePrimaryKey("subscription", "aggregate_type", "aggregate_id")
    subscription = models.CharField(max_length=255)
    aggregate_type = models.CharField(max_length=50)
    aggregate_id = models.UUIDField()
    applied = models.BigIntegerField(default=0)

    class Meta:
        db_table = "event_cursor"
        default_permissions = ()


class Parked(models.Model):
    """An event received before its predecessor: stored with its payload until its turn."""

    pk = models.CompositePrimaryKey("subscription", "aggregate_type", "aggregate_id", "sequence")
    subscription = models.CharField(max_length=255)
    aggregate_type = models.CharField(max_length=50)
    aggregate_id = models.UUIDField()
    sequence = models.BigIntegerField()
    event_id = models.UUIDField()
    attributes = models.JSONField()
    data = models.JSONField()
    parked_at = models.DateTimeField(default=clock.now)
    attempts = models.IntegerField(default=0)
    last_error = models.TextField(default="")
    next_attempt_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "event_parked"
        default_permissions = ()
        indexes: ClassVar = [models.Index(fields=["next_attempt_at"], name="idx_parked_due")]


class DeadLetter(models.Model):
    """An event that a consumer or Pub/Sub refused: the last error and the decision.

    The consumer writes a row at each failure, each reader of the dead-letter subscription updates the rows,
    operators decide through services, and the decisions are executed (``erp.outbox.deadletters``).
    """

    class Kind(models.TextChoices):
        REFUSED = "refused"  # by a consumer
        PARKED = "parked", "refused in its turn"
        POISON = "poison", "refused by Pub/Sub"
        MALFORMED = "malformed", "not an event"

    class Status(models.TextChoices):
        FAILING = "failing", "being delivered again"
        WAITING = "waiting", "waiting for a decision"
        REDRIVEN = "redriven"
        DISCARDED = "discarded"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.CharField(max_length=255)  # that gave it up; empty for the relay's copies
    key = models.CharField("event", max_length=64)  # its id, or the message's where it isn't an event
    kind = models.CharField(max_length=10, choices=Kind)
    event_type = models.CharField(max_length=100, default="")
    aggregate_type = models.CharField(max_length=50, default="")
    aggregate_id = models.UUIDField(null=True)
    sequence = models.BigIntegerField(null=True)
    attempts = models.IntegerField(default=0)
    last_error = models.TextField("reason", default="")
    failed_at = models.DateTimeField(default=clock.now)
    seen_at = models.DateTimeField("last seen", null=True)
    message_id = models.CharField(max_length=64, default="")  # of the letter, each time it dies another
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    resolved_by = models.CharField(max_length=200, default="")
    resolved_at = models.DateTimeField(null=True)
    resolution_reason = models.TextField(default="")
    carried_out_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "event_dead_letter"
        default_permissions = ()
        verbose_name = "dead letter"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subscription", "key"], name="event_dead_letter_key")
        ]
        indexes: ClassVar = [models.Index(fields=["status", "failed_at"], name="idx_dead_letter_status")]

    def __str__(self) -> str:
        return f"{self.event_type or 'message'} {self.key}"

    def open_verbs(self) -> frozenset[str]:
        """Return the operations allowed now."""
        if self.status != self.Status.WAITING:
            return frozenset()
        return frozenset({"discard", "redrive"} if self.kind in ("refused", "parked") else {"discard"})


class RelayLayout(models.Model):
    """How waiting rows are spread over ordering keys; one row, changed only while the outbox is drained."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    ordering = models.CharField(max_length=10)
    buckets = models.SmallIntegerField()
    changed_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "event_relay_layout"
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="event_relay_layout_one_row")
        ]
