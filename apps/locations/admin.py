"""Places in the staff portal."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.locations import capabilities, services
from apps.locations.models import Distance, Location, State
from apps.locations.serializers import SetDistanceInput
from erp.admin import ServiceAdmin, Table
from erp.admin.site import NextStep, next_steps

CHILDREN_SHOWN = 20


def _step(request: HttpRequest) -> NextStep | None:
    """Load places while there is none."""
    if Location.objects.exists():
        return None
    text = "Offers, branches and freight refer to them."
    return NextStep("Load places", text, reverse("admin:location_location_changelist"))


next_steps.append(_step)


@admin.register(Location)
class LocationAdmin(ServiceAdmin):
    """The registry of places."""

    empty = "Import places from a file, or load those of a country."
    views = capabilities.VIEW
    updates = services.update
    runs: ClassVar = [services.confirm, services.reparent, services.merge, services.set_distance]
    bulk: ClassVar = [services.confirm]
    starts: ClassVar = [services.bulk_import]
    inputs: ClassVar = {services.set_distance: SetDistanceInput}
    list_display: ClassVar = ["name", "type", "parent", "state", "pincode", "is_verified", "status"]
    list_filter: ClassVar = ["type", "status", "is_verified", "state"]
    drill_downs: ClassVar = ["parent__id__exact"]
    list_select_related: ClassVar = ["parent", "state"]
    search_fields: ClassVar = ["search_key", "pincode__startswith"]
    search_help_text = "Name, alias or PIN code"
    ordering: ClassVar = ["-id"]  # ids rise with time
    details: ClassVar = [
        "name",
        "aliases",
        "type",
        "status",
        "parent",
        "country",
        "state",
        "district",
        "address",
        "pincode",
        "latitude",
        "longitude",
        "timezone",
        "unlocode",
        "customs_code",
        "wdra_code",
        "is_verified",
        "verified_by",
        "merged_into",
        "merge_reason",
        "version",
        "created_at",
        "updated_at",
    ]

    def tables(self, request: HttpRequest, row: Location) -> list[Table]:
        """Places located in it, and its distances to others."""
        below = row.children.selectable().order_by("type", "name")[:CHILDREN_SHOWN]
        every = f"{reverse('admin:location_location_changelist')}?parent__id__exact={row.pk}"
        far = row.distances_from.select_related("destination").order_by("destination__name", "-valid_from")
        return [
            Table("Places in it", ["Place", "Type"], [(_link(child), child.type) for child in below], every),
            Table(
                "Distances",
                ["To", "By", "km", "Days", "From"],
                [
                    (_link(line.destination), line.mode, line.km, line.transit_days or "–", line.valid_from)
                    for line in far[:CHILDREN_SHOWN]
                ],
                "",
            ),
        ]


@admin.register(State)
class StateAdmin(ServiceAdmin):
    """States of India, which are reference data."""

    empty = 'The command "bootstrap" loads them.'
    views = capabilities.VIEW
    list_display: ClassVar = ["gst_code", "name", "iso_code", "region", "cotton_zone"]
    list_filter: ClassVar = ["region", "cotton_zone"]
    search_fields: ClassVar = ["name", "gst_code"]
    ordering: ClassVar = ["gst_code"]


@admin.register(Distance)
class DistanceAdmin(ServiceAdmin):
    """Distances, set on the page of the place where they begin."""

    empty = 'Open a place and choose "Set distance" to add one.'
    views = capabilities.VIEW
    list_display: ClassVar = ["origin", "destination", "mode", "km", "transit_days", "valid_from", "source"]
    list_filter: ClassVar = ["mode"]
    list_select_related: ClassVar = ["origin", "destination"]
    search_fields: ClassVar = ["origin__search_key", "destination__search_key"]
    ordering: ClassVar = ["-id"]


def _link(place: Location) -> str:
    return format_html(
        '<a class="text-link" href="{}">{}</a>',
        reverse("admin:location_location_change", args=[place.pk]),
        place.name,
    )
