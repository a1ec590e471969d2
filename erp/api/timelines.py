"""The endpoint of a row's timeline, from a declaration of what belongs to it."""

from typing import Any, ClassVar

from django.contrib.auth import get_user_model

from erp import services
from erp.access import actor_of
from erp.api import fields
from erp.api.serializers import LookupOutput
from erp.api.viewsets import PartsViewSet
from erp.trail.timelines import Timeline


class TimelineChangeOutput(LookupOutput):
    type = fields.CharField(help_text="Kind of the row, such as partner_document.")
    id = fields.CharField(help_text="The row.")
    operation = fields.CharField(help_text="added, changed or removed.")
    changed = fields.ListField(
        child=fields.CharField(), help_text="Names of its fields; values are never shown."
    )


class TimelineOutput(LookupOutput):
    id = fields.IntegerField(source="position", help_text="Of the line.")
    at = fields.DateTimeField(source="recorded_at", help_text="When it was done.")
    action = fields.CharField(source="service", help_text="The service that ran, such as partner.submit.")
    title = fields.CharField(help_text="The action in words.")
    by = fields.CharField(help_text="Who did it: partner, staff or system.")
    actor_id = fields.UUIDField(allow_null=True, help_text="The person; null for people of others.")
    changes = TimelineChangeOutput(many=True, help_text="Rows that it changed.")


class TimelineViewSet(PartsViewSet):
    """What was done, newest first: by whom, and which fields of which rows changed. Values are not part of it.

    A subclass sets ``queryset`` to the entries of the trail, beside ``timeline``.
    """

    serializer_class = TimelineOutput
    timeline: ClassVar[Timeline]
    filters: ClassVar = {"service": ["exact"]}
    ordering = ("-position",)

    def get_queryset(self) -> Any:
        cls: Any = type(self)
        visible = cls.queryset.visible_to(actor_of(self.request))
        return self.timeline.calls(visible, self.kwargs["pk"], reader=actor_of(self.request))

    def paginate_queryset(self, queryset: Any) -> Any:
        """The page's lines with their people and their changes: as many queries for one line as for many."""
        page: Any = super().paginate_queryset(queryset)
        changes = self.timeline.changes(self.kwargs["pk"], page, reader=actor_of(self.request))
        people = get_user_model()._default_manager.in_bulk({line.actor_id for line in page if line.actor_id})
        for line in page:
            service = services.registry.get(line.service)
            line.title = service.label if service is not None else line.service
            line.changes = changes[self.timeline.call_of(line)]
            self._name(line, people.get(line.actor_id))
        return page

    def _name(self, line: Any, person: Any) -> None:
        """Say who it was; a reader outside the company learns the people of the own firm alone."""
        reader = actor_of(self.request)
        line.by = "system" if person is None else "staff" if person.is_staff else "partner"
        if person is None or not (reader.is_staff or person.partner_id == reader.partner_id):
            line.actor_id = None
