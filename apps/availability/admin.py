"""Offers and reservations in the staff portal."""

from datetime import timedelta
from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.availability import capabilities, services
from apps.availability.models import Availability, Reservation
from erp.admin import Queue, ServiceAdmin, measured, quantity
from erp.services import Service


@admin.register(Availability)
class AvailabilityAdmin(ServiceAdmin):
    """Offers with their reservations."""

    views = capabilities.VIEW
    creates = services.post
    runs: ClassVar = [services.submit, services.approve, services.reserve, services.release]
    bulk: ClassVar = [services.approve]
    queues: ClassVar = [
        Queue(
            title="Offers to approve",
            filters={"status": "PENDING_APPROVAL"},
            since="updated_at",
            amber=timedelta(hours=2),
            red=timedelta(hours=4),
        )
    ]
    list_display: ClassVar = [
        "number",
        "seller_partner",
        "commodity",
        quantity("available_quantity", "unit", "available"),
        quantity("total_quantity", "unit", "total"),
        "status",
        "available_until_date",
    ]
    list_filter: ClassVar = ["status", "visibility"]
    list_select_related: ClassVar = ["seller_partner", "commodity"]
    search_fields: ClassVar = [
        "number__startswith",
        "seller_partner__legal_name",
        "seller_partner__trade_name",
    ]
    search_help_text = "Offer number or seller"
    ordering: ClassVar = ["-id"]  # ids rise with time
    details: ClassVar = [
        "number",
        "status",
        "seller_partner",
        "commodity",
        "crop_year",
        quantity("total_quantity", "unit", "total"),
        quantity("available_quantity", "unit", "available"),
        quantity("reserved_quantity", "unit", "reserved"),
        quantity("sold_quantity", "unit", "sold"),
        quantity("withdrawn_quantity", "unit", "withdrawn"),
        quantity("total_weight_kg", "kg", "weight"),
        "weight_basis",
        quantity("min_order_quantity", "unit", "minimum order"),
        "allow_partial",
        "max_hold_hours",
        "address",
        "district",
        "state_code",
        "country",
        "available_from_date",
        "available_until_date",
        "expires_at",
        "visibility",
        "internal_reference",
        "notes",
        "created_by",
        "updated_by",
        "approved_by",
        "approved_at",
        "version",
    ]

    def disabled_reason(self, request: HttpRequest, service: Service, row: Availability) -> str:
        """Return why the action is disabled: the approver cannot be the creator or editor."""
        own = request.user.pk in (row.created_by_id, row.updated_by_id)
        return (
            "You created or edited this offer, so another person must approve it."
            if service is services.approve and own
            else ""
        )

    def options(
        self, request: HttpRequest, service: Service, row: Availability | None
    ) -> dict[str, list[tuple[str, str]]]:
        """Offer the open reservations to choose from when one is released."""
        if service is not services.release or row is None:
            return {}
        reservations = row.reservations.filter(status=Reservation.Status.HELD).select_related(
            "holder_partner"
        )
        return {
            "reservation_id": [
                (
                    str(reservation.pk),
                    f"{measured(reservation.open_quantity, row.unit)} for {reservation.holder_partner}",
                )
                for reservation in reservations.order_by("expires_at", "pk")
            ]
        }


@admin.register(Reservation)
class ReservationAdmin(ServiceAdmin):
    """Reservations, created and released on the page of their offer."""

    empty = 'Open an offer and choose "Reserve" to make one.'
    views = capabilities.VIEW
    list_display: ClassVar = [
        "availability",
        "holder_partner",
        quantity("quantity", "availability.unit"),
        quantity("open_quantity", "availability.unit", "still open"),
        "status",
        "expires_at",
        "created_at",
    ]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["availability", "holder_partner"]
    search_fields: ClassVar = ["availability__number__startswith", "holder_partner__legal_name"]
    search_help_text = "Offer number or buyer"
    ordering: ClassVar = ["-id"]  # ids rise with time
