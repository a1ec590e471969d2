"""Places in the staff portal."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from apps.locations import capabilities
from apps.locations.models import Distance, Location, State
from apps.locations.serializers import SetDistanceInput
from apps.locations.services import distances, imports, places, tree
from erp.admin import ServiceAdmin
from erp.admin.site import NextStep, next_steps
from erp.jobs.importing import ImportAdmin
from erp.services import Service


def _step(request: HttpRequest) -> NextStep | None:
    """Load places while there is none."""
    if Location.objects.exists():
        return None
    text = "Offers, branches and freight refer to them."
    return NextStep("Load places", text, reverse("admin:location_location_changelist"))


next_steps.append(_step)


@admin.register(Location)
class LocationAdmin(ImportAdmin):
    """The registry of places."""

    views = capabilities.VIEW
    creates, updates = places.create, places.update
    runs: ClassVar = [places.confirm, tree.reparent, tree.merge, distances.set_distance]
    bulk: ClassVar = [places.confirm]
    starts: ClassVar = [imports.bulk_import]
    inputs: ClassVar = {distances.set_distance: SetDistanceInput}
    list_display: ClassVar = ["name", "type", "parent", "state", "pincode", "is_verified", "status"]
    list_filter: ClassVar = ["type", "status", "is_verified", "state"]
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

    def fixed_values(self, request: HttpRequest, service: Service) -> dict[str, Any]:
        """What a look-up fills in belongs to the API."""
        if service is places.create:
            return dict.fromkeys(("details_token", "provider", "provider_id"))
        return super().fixed_values(request, service)


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
