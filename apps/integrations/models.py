"""The event feed for partners' systems: entries are only appended."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, OuterRef, Q

from erp import clock, events
from erp.access import Actor
from erp.models import Guarded, QuerySet


class FeedPosition(NamedTuple):
    """A position in the feed: after this entry."""

    position: int
    event_id: UUID


def reader_ids(user: Actor) -> Collection[UUID] | None:
    """The IDs by which events name ``user`` as a reader; None for staff and SYSTEM, who read all events."""
    if user.is_system or user.is_superuser or user.is_staff:
        return None
    return {i for i in (user.pk, user.partner_id, events.ANYBODY) if i is not None}


class FeedEntryQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Events that name ``user`` as a reader, of rows that ``user`` may see now."""
        rows = Q(pk__in=[])
        for aggregate_type, known in events.registry.rows.items():
            for model in known.models:
                seen = apps.get_model(model)._default_manager.visible_to(user).permitted(user, known.reads)
                rows |= Q(Exists(seen.filter(pk=OuterRef("aggregate_id"))), aggregate_type=aggregate_type)
        ids = reader_ids(user)
        return self.filter(rows) if ids is None else self.filter(rows, readers__overlap=sorted(ids))

    def after(self, event_id: UUID) -> Self:
        """Entries after the one of this event; none if it is no longer stored."""
        place = FeedEntry.objects.filter(event_id=event_id).values("position")
        return self.filter(position__gt=place)

    def newest(self) -> FeedPosition | None:
        """The end of the feed. No entry is ever added before it."""
        values = self.order_by("-position").values_list("position", "event_id").first()
        return None if values is None else FeedPosition(*values)

    def first_position_since(self, moment: datetime) -> int:
        """Position of the first entry recorded since ``moment``; of the newest if all are older."""
        first = self.filter(recorded_at__gte=moment).order_by("position").values_list("position", flat=True)
        newest = self.newest()
        return first.first() or (newest.position if newest else 0)


class FeedEntry(Guarded):
    """An event in the feed. Positions are assigned under a lock, so that entries become visible in order."""

    trail_exempt = "repeats events, which are facts of their own"

    machinery = True

    position = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(unique=True)
    type = models.CharField(max_length=100)
    event_version = models.PositiveIntegerField()
    aggregate_type = models.CharField(max_length=50)
    aggregate_id = models.UUIDField()
    sequence = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    data = models.JSONField()
    readers = ArrayField(models.UUIDField())
    recorded_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = FeedEntryQuerySet.as_manager()

    class Meta(Guarded.Meta):
        verbose_name = "event"
        verbose_name_plural = "events"
        indexes: ClassVar = [
            models.Index(fields=["aggregate_type", "aggregate_id", "position"], name="idx_feed_aggregate"),
        ]

    def __str__(self) -> str:
        return f"{self.type} #{self.sequence}"

    def seen_by(self, user: Actor) -> dict[str, Any]:
        """The payload as ``user`` may read it: hidden fields are null."""
        data: dict[str, Any] = self.data
        ids = reader_ids(user)
        if ids is None or not data:
            return data
        seen = events.seen_by(ids, self.type, self.event_version, data, viewer=user.partner_id)
        return seen or dict.fromkeys(data)
