"""Requirements in the staff portal."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.requirement import capabilities
from apps.requirement.models import Fulfilment, Requirement, Suggestion
from apps.requirement.serializers import RequirementSuspendInput
from apps.requirement.services import decisions, ledger, requirements
from erp.admin import Queue, ServiceAdmin, Table, quantity
from erp.services import Service


@admin.register(Requirement)
class RequirementAdmin(ServiceAdmin):
    """Requirements with their bands and what was bought."""

    views = capabilities.VIEW
    empty = "Buyers create them through the API."
    runs: ClassVar = [
        decisions.approve, decisions.reject, decisions.suspend, decisions.reactivate, requirements.cancel,
        ledger.fulfill,
    ]  # fmt: skip
    bulk: ClassVar = [decisions.approve]
    inputs: ClassVar = {decisions.suspend: RequirementSuspendInput}
    queues: ClassVar = [
        Queue(
            title="Requirements to approve",
            filters={"status": "PENDING_APPROVAL"},
            since="updated_at",
            amber=timedelta(hours=2),
            red=timedelta(hours=4),
            working=True,
        )
    ]
    list_display: ClassVar = [
        "number",
        "buyer_partner",
        "commodity",
        quantity("max_quantity", "unit", "wanted"),
        quantity("purchased_quantity", "unit", "bought"),
        "status",
        "urgency",
        "delivery_until_date",
    ]
    list_filter: ClassVar = ["status", "intent", "urgency", "visibility"]
    list_select_related: ClassVar = ["buyer_partner", "commodity"]
    search_fields: ClassVar = ["number__startswith", "buyer_partner__legal_name", "buyer_partner__trade_name"]
    search_help_text = "Requirement number or buyer"
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "number", "status", "status_reason", "buyer_partner", "commodity", "grade", "crop_years",
        quantity("min_quantity", "unit", "minimum"),
        quantity("preferred_quantity", "unit", "preferred"),
        quantity("max_quantity", "unit", "maximum"),
        "tolerance_percent",
        quantity("committed_quantity", "unit", "committed"),
        quantity("purchased_quantity", "unit", "bought"),
        "spent_amount", "ceiling_price", "target_price", "pricing_unit", "estimated_value", "total_budget",
        "reference_price", "price_flag", "state_code", "district", "delivery_from_date", "delivery_until_date",
        "flexibility_days", "intent", "urgency", "visibility", "expires_at", "live_since", "internal_reference",
        "notes", "risk_status", "created_by", "updated_by", "approved_by", "approved_at", "version",
    ]  # fmt: skip

    def disabled_reason(self, request: HttpRequest, service: Service, row: Requirement) -> str:
        """Return why the action is disabled: the approver cannot be the creator or editor."""
        own = request.user.pk in (row.created_by_id, row.updated_by_id, *row.editors)
        return (
            "You created or edited this requirement, so another person must approve it."
            if service is decisions.approve and own
            else ""
        )

    def tables(self, request: HttpRequest, row: Requirement) -> list[Table]:
        """Bands and places."""
        bands = [
            (band.parameter, _shown(band.minimum), _shown(band.maximum), _shown(band.preferred),
             ", ".join(band.accepted_codes) or "–", "Yes" if band.required else "No")
            for band in row.bands.select_related("parameter").order_by("parameter__display_order")
        ]  # fmt: skip
        places = [
            (
                place,
                place.state_code or "–",
                "–" if place.max_distance_km is None else f"{place.max_distance_km} km",
            )
            for place in row.places.select_related("location").order_by("position")
        ]
        return [
            Table("Quality", ["Parameter", "Min", "Max", "Preferred", "Codes", "Required"], bands),
            Table("Places", ["Place", "State", "At most"], places),
        ]


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value.normalize():f}"


@admin.register(Fulfilment)
class FulfilmentAdmin(ServiceAdmin):
    """Lines of the ledgers, which never change."""

    empty = "Trades write them."
    views = capabilities.VIEW
    list_display: ClassVar = [
        "requirement", "kind", quantity("committed_delta", "requirement.unit"),
        quantity("purchased_delta", "requirement.unit"), "amount_delta", "trade_id", "by", "created_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["kind"]
    list_select_related: ClassVar = ["requirement", "by"]
    search_fields: ClassVar = ["requirement__number__startswith"]
    search_help_text = "Requirement number"
    ordering: ClassVar = ["-created_at", "id"]


@admin.register(Suggestion)
class SuggestionAdmin(ServiceAdmin):
    """Relaxations that were suggested."""

    empty = "Buyers ask for them through the API."
    views = capabilities.VIEW
    list_display: ClassVar = ["requirement", "status", "provider", "created_by", "created_at", "expires_at"]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["requirement", "created_by"]
    ordering: ClassVar = ["-created_at", "id"]
