"""Outputs of the event feed."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework.serializers import SerializerMethodField

from apps.integrations.models import FeedEntry
from erp.api import fields
from erp.api.examples import SAMPLE_ID
from erp.api.serializers import LookupOutput


class AggregateOutput(LookupOutput):
    """The row that an event belongs to."""

    type = fields.CharField(source="aggregate_type")
    id = fields.UUIDField(source="aggregate_id")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An offer of yours was reserved",
            value={
                "id": SAMPLE_ID,
                "type": "availability.reserved",
                "version": 1,
                "occurred_at": "2026-01-12T10:00:00Z",
                "aggregate": {"type": "availability", "id": SAMPLE_ID},
                "sequence": 4,
                "data": {
                    "availability_id": SAMPLE_ID,
                    "seller_partner_id": SAMPLE_ID,
                    "commodity_id": SAMPLE_ID,
                    "status": "ACTIVE",
                    "terms_version": 1,
                    "reservation_id": None,
                    "holder_partner_id": None,
                    "requirement_id": None,
                    "match_id": None,
                    "negotiation_id": None,
                    "quantity": {"value": "60.000", "unit": "BALE"},
                    "remaining": {"value": "40.000", "unit": "BALE"},
                    "weight_kg": "10200.000",
                    "expires_at": "2026-01-13T10:00:00Z",
                },
            },
        )
    ]
)
class EventOutput(LookupOutput):
    """An event of the feed. Fields that the caller may not see are null."""

    id = fields.UUIDField(source="event_id", help_text="ID of the event, the same in feed and webhooks.")
    type = fields.CharField(
        help_text="New types can be added; `erp.gap` replaces an event that could not be published."
    )
    version = fields.IntegerField(source="event_version", help_text="Version of the `data` of this type.")
    occurred_at = fields.DateTimeField()
    aggregate = AggregateOutput(source="*")
    sequence = fields.IntegerField(
        help_text="Rises per aggregate. Numbers of events that you may not see are missing."
    )
    data = SerializerMethodField()  # type: ignore[assignment]  # DRF takes it off the class

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_data(self, entry: FeedEntry) -> dict[str, Any]:
        """The payload, as far as the caller may read it."""
        return entry.seen_by(self.context["actor"])
