"""Offers and reservations in the staff portal."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from apps.availability import capabilities, serializers
from apps.availability.models import (
    Availability,
    MarketCalendar,
    Media,
    Reservation,
    TestReport,
)
from apps.availability.services import deadlines, decisions, media, offers, stock
from erp.admin import Queue, ServiceAdmin, Table, measured, quantity
from erp.admin.previews import FilePage, Preview
from erp.figures import group, trim
from erp.services import Service

MOST_PREVIEWS = 30  # files beside an offer
# Parts of the ledger's picture: column, label, colour.
_BAR = (
    ("available_quantity", "free", "#16a34a"),
    ("reserved_quantity", "reserved", "#f59e0b"),
    ("sold_quantity", "sold", "#2563eb"),
    ("withdrawn_quantity", "withdrawn", "#9ca3af"),
)


@admin.register(Availability)
class AvailabilityAdmin(ServiceAdmin):
    """Offers with their ledger, lots, quality and reservations."""

    views = capabilities.VIEW
    creates = offers.post
    updates = offers.update
    runs: ClassVar = [
        offers.submit,
        decisions.approve,
        decisions.reject,
        stock.reserve,
        stock.release,
        offers.extend,
        offers.add_test_report,
        offers.set_visibility,
        decisions.suspend,
        decisions.reactivate,
        stock.mark_sold,
        offers.cancel,
    ]
    inputs: ClassVar = {
        offers.post: serializers.PortalPostInput,
        offers.update: serializers.PortalUpdateInput,
        offers.add_test_report: serializers.PortalTestReportInput,
        decisions.suspend: serializers.AvailabilitySuspendInput,
        decisions.reactivate: serializers.AvailabilitySuspendInput,
    }
    bulk: ClassVar = [decisions.approve]
    queues: ClassVar = [
        Queue(
            title="Offers to approve",
            filters={"status": "PENDING_APPROVAL"},
            since="updated_at",
            amber=timedelta(hours=2),
            red=timedelta(hours=4),
            working=True,
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
        "shown_price",
    ]
    list_filter: ClassVar = ["status", "visibility", "price_type"]
    list_select_related: ClassVar = ["seller_partner", "commodity", "pricing_unit"]
    search_fields: ClassVar = [
        "number__startswith",
        "seller_partner__legal_name",
        "seller_partner__trade_name",
    ]
    search_help_text = "Offer number or seller"
    ordering: ClassVar = ["-created_at"]
    details: ClassVar = [
        "number",
        "status",
        "status_reason",
        "shown_warnings",
        "seller_partner",
        "commodity",
        "variety",
        "grade",
        "crop_year",
        "shown_ledger",
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
        "price_type",
        "shown_price",
        "shown_comparison",
        "estimated_value",
        "price_basis",
        "tax_basis",
        "quality_schedule",
        "is_firm",
        "firm_until_at",
        "delivery_term",
        "payment_term",
        "passing_term",
        "weighment_term",
        "location",
        "address",
        "district",
        "state_code",
        "country",
        "available_from_date",
        "available_until_date",
        "eod_policy",
        "valid_until_date",
        "expires_at",
        "visibility",
        "price_public",
        "internal_reference",
        "notes",
        "copy_of",
        "created_by",
        "updated_by",
        "approved_by",
        "approved_at",
        "listed_at",
        "version",
    ]

    @admin.display(description="price", ordering="price_per_kg")
    def shown_price(self, row: Availability) -> str:
        """The price with its unit."""
        if row.unit_price is None:
            return "negotiable"
        return f"{trim(row.unit_price)} {row.pricing_unit}"

    @admin.display(description="stock")
    def shown_ledger(self, row: Availability) -> str:
        """The ledger as a bar: free, reserved, sold, withdrawn, each by its share."""
        rects, words, start = [], [], Decimal(0)
        for column, label, colour in _BAR:
            amount = getattr(row, column)
            if not amount:
                continue
            text, width = f"{label} {measured(amount, row.unit)}", amount * 200 / row.total_quantity
            rects.append((f"{start:.2f}", f"{width:.2f}", colour, text))
            words.append(text)
            start += width
        shapes = format_html_join(
            "", '<rect x="{}" y="0" width="{}" height="12" fill="{}"><title>{}</title></rect>', rects
        )
        return format_html(
            '<svg viewBox="0 0 200 12" width="200" height="12" role="img" aria-label="{}">{}</svg> {}',
            ", ".join(words), shapes, ", ".join(words),
        )  # fmt: skip

    @admin.display(description="compared with the market")
    def shown_comparison(self, row: Availability) -> str:
        """The price against the middle of live offers of the same goods, per kilogram without GST."""
        if row.price_per_kg is None:
            return "–"
        middle, count = Availability.objects.market_price(row)
        if middle is None:
            return "no other live offer of these goods"
        percent = (row.price_per_kg - middle) * 100 / middle
        price = f"{group(round(middle, 2))} {row.currency}/kg"
        return f"{percent:+.1f} % against {price}, the middle of {count} live offers"

    @admin.display(description="warnings")
    def shown_warnings(self, row: Availability) -> str:
        """What may be wrong with the offer."""
        return ", ".join(code.replace("_", " ") for code in row.warnings) or "none"

    def disabled_reason(self, request: HttpRequest, service: Service, row: Availability) -> str:
        """Return why the action is disabled: the approver cannot be the creator or editor."""
        own = request.user.pk in (row.created_by_id, row.updated_by_id, *row.editors)
        return (
            "You created or edited this offer, so another person must approve it."
            if service in (decisions.approve, decisions.reject) and own
            else ""
        )

    def options(
        self, request: HttpRequest, service: Service, row: Availability | None
    ) -> dict[str, list[tuple[str, str]]]:
        """Offer the open reservations to choose from when one is released or marked as sold."""
        if row is None or service not in (stock.release, stock.mark_sold):
            return {}
        status = Reservation.Status.HELD if service is stock.release else Reservation.Status.IN_TRADE
        reservations = row.reservations.filter(status=status).select_related("holder_partner")
        return {
            "reservation_id": [
                (
                    str(reservation.pk),
                    f"{measured(reservation.open_quantity, row.unit)} for {reservation.holder_partner}",
                )
                for reservation in reservations.order_by("expires_at", "pk")
            ]
        }

    def tables(self, request: HttpRequest, row: Any) -> list[Table]:
        """Lots and quality of the offer, before the rows that have pages of their own."""
        lots = [
            (lot.lot_no, lot.press_mark or "–", f"{lot.pr_from}–{lot.pr_to}" if lot.pr_from else "–", lot.bales,
             "–" if lot.net_kg is None else measured(lot.net_kg, "KG"))
            for lot in row.lots.order_by("position")
        ]  # fmt: skip
        quality = [
            (value.parameter.name, value.lot.lot_no if value.lot else "whole offer", value.shown, value.method,
             value.get_source_display(), "yes" if value.governing else "no")
            for value in row.quality.select_related("parameter", "lot").order_by("parameter__display_order", "pk")
        ]  # fmt: skip
        steps = [
            (
                measured(Decimal(step["min_quantity"]), row.unit),
                f"{trim(Decimal(step['unit_price']))} {row.pricing_unit}",
            )
            for step in row.price_steps
        ]  # fmt: skip
        found = [
            Table("Price steps", ["From", "Price"], steps),
            Table("Lots", ["Lot", "Press mark", "PR numbers", "Packages", "Net weight"], lots),
            Table("Quality", ["Parameter", "Of", "Result", "Method", "Source", "Governs"], quality),
        ]
        return [table for table in found if table.rows]

    def previews(self, request: HttpRequest, row: Availability) -> list[Preview]:
        """The pictures and reports of the offer."""
        found = []
        for model in (Media, TestReport):
            page: Any = self.admin_site._registry[model]
            rows = page.get_queryset(request).filter(availability=row).order_by("pk")
            found += page.previews_of(request, rows[:MOST_PREVIEWS])
        return found


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
    ordering: ClassVar = ["-created_at"]


@admin.register(TestReport)
class TestReportAdmin(FilePage, ServiceAdmin):
    """Reports of laboratories, added by sellers and verified by staff."""

    empty = "Sellers add reports to their offers."
    views = capabilities.VIEW
    runs: ClassVar = [decisions.verify_test_report]
    list_display: ClassVar = ["lab_name", "report_no", "availability", "tested_date", "verified_at"]
    list_select_related: ClassVar = ["availability", "file"]
    search_fields: ClassVar = ["lab_name", "report_no", "availability__number__startswith"]
    search_help_text = "Laboratory, report or offer number"
    ordering: ClassVar = ["-created_at"]
    details: ClassVar = [
        "availability", "lab_name", "lab_accreditation", "report_no", "sample_no", "lot", "method", "sampled_date",
        "tested_date", "download", "sha256", "verified_by", "verified_at", "created_at",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: TestReport) -> list[Table]:
        """The results of the report."""
        lines = [
            (value.parameter.name, value.shown, "yes" if value.governing else "no")
            for value in row.quality.select_related("parameter").order_by("parameter__display_order", "pk")
        ]
        return [Table("Results", ["Parameter", "Result", "Governs"], lines)]


@admin.register(Media)
class MediaAdmin(FilePage, ServiceAdmin):
    """Pictures of offers as others would see them; staff clear those that name nobody."""

    empty = "Sellers add pictures to their offers."
    views = capabilities.VIEW
    runs: ClassVar = [media.clear_media]
    queues: ClassVar = [
        Queue(
            title="Pictures to clear",
            filters={"cleared": "False", "is_refused": "False"},
            since="created_at",
            amber=timedelta(hours=24),
            red=timedelta(hours=72),
            quiet=True,
        )
    ]
    list_display: ClassVar = ["availability", "position", "caption", "cleared", "is_refused", "created_at"]
    list_filter: ClassVar = ["cleared", "is_refused"]
    list_select_related: ClassVar = ["availability", "copy"]
    search_fields: ClassVar = ["availability__number__startswith"]
    search_help_text = "Offer number"
    ordering: ClassVar = ["-created_at"]
    details: ClassVar = ["availability", "position", "caption", "cleared", "is_refused", "created_at"]

    def file_of(self, request: HttpRequest, row: Media) -> Any:
        return row.copy


@admin.register(MarketCalendar)
class MarketCalendarAdmin(ServiceAdmin):
    """Calendars by which offers of a commodity end."""

    views = capabilities.VIEW
    creates = deadlines.set_market_calendar
    list_display: ClassVar = ["commodity", "calendar", "updated_at"]
    list_select_related: ClassVar = ["commodity", "calendar"]
    ordering: ClassVar = ["commodity__name"]
