"""Negotiations in the staff portal: to read only, as a timeline of their offers."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.negotiations import capabilities
from apps.negotiations.models import Negotiation
from erp import clock
from erp.admin import ServiceAdmin, Table, measured


@admin.register(Negotiation)
class NegotiationAdmin(ServiceAdmin):
    """Negotiations with their offers. Only the two sides act."""

    views = capabilities.VIEW
    empty = "Buyers and sellers start them from a match, through the API."
    list_display: ClassVar = [
        "availability", "requirement", "buyer_partner", "seller_partner", "status", "turn", "round", "expires_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "turn", "opened_by", "close_reason"]
    list_select_related: ClassVar = ["buyer_partner", "seller_partner", "availability", "requirement"]
    search_fields: ClassVar = [
        "availability__number__startswith", "requirement__number__startswith", "buyer_partner__legal_name",
        "seller_partner__legal_name",
    ]  # fmt: skip
    search_help_text = "Number of the offer or requirement, or a partner"
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "match", "buyer_partner", "seller_partner", "availability", "requirement", "status", "opened_by", "turn",
        "round", "max_rounds", "expires_at", "hard_expires_at", "reservation_id", "accepted_at", "closed_by",
        "close_reason", "close_note", "trade_id", "created_at", "version",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: Negotiation) -> list[Table]:
        """The offers in the order in which they were made."""
        listing = row.availability
        unit = "" if listing.pricing_unit is None else listing.pricing_unit.code
        offers = row.offers.select_related("made_by", "payment_term", "delivery_term").order_by("round")
        lines = [
            (
                made.round, clock.local(made.created_at), made.get_side_display(),
                f"{made.price.normalize():f} {unit}", measured(made.quantity, listing.unit),
                made.delivery_term or "–", made.payment_term or "–", made.message or "–",
                clock.local(made.valid_until), made.get_status_display(), made.made_by or "–",
            )
            for made in offers
        ]  # fmt: skip
        headings = [
            "Round", "Made", "Side", "Price", "Quantity", "Delivery", "Payment", "Message", "Valid until", "Status",
            "By",
        ]  # fmt: skip
        return [Table("Offers", headings, lines)]
