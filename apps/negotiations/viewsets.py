"""Negotiations over HTTP."""

from typing import Any, ClassVar

from apps.negotiations import capabilities, serializers
from apps.negotiations.filters import NegotiationFilters
from apps.negotiations.models import Negotiation, Offer
from apps.negotiations.services import decisions, offers
from erp import clock
from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.routers import address_of
from erp.api.viewsets import PartsViewSet, RowViewSet


class NegotiationViewSet(RowViewSet):
    """Negotiations, for their two sides and staff; the other side appears under a pseudonym."""

    queryset = Negotiation.objects.with_row()
    serializer_class = serializers.NegotiationOutput
    reads = capabilities.VIEW
    filterset_class = NegotiationFilters
    filters: ClassVar = {
        "status": ["exact", "in"],
        "match_id": ["exact"],
        "availability_id": ["exact"],
        "turn": ["exact"],
        "expires_at": ["gte", "lte"],
    }
    ordering_fields: ClassVar = ["created_at", "expires_at"]

    create = endpoint(offers.start, serializers.StartInput)
    offer = endpoint(offers.offer, serializers.OfferInput, if_match="required", status=201)
    accept = endpoint(decisions.accept, serializers.AcceptInput, if_match="required")
    reject = endpoint(decisions.reject, serializers.EndInput, if_match="required")
    withdraw = endpoint(decisions.withdraw, serializers.EndInput, if_match="required")

    def allowed_actions(self, row: Any) -> list[str]:
        """Verbs open to the caller now: by its side, whose turn it is, and the time that is left."""
        if not isinstance(row, Negotiation):
            return []
        side = row.side_of(actor_of(self.request))
        open_now = row.verbs_of(side, clock.now()) if side is not None else ()
        return [verb for verb in super().allowed_actions(row) if verb in open_now]

    def links(self, row: Any) -> dict[str, str]:
        """Address of the negotiation; its current offer has none of its own."""
        return {"negotiation": address_of(row.negotiation)} if isinstance(row, Offer) else super().links(row)


class OfferViewSet(PartsViewSet):
    """Offers of a negotiation, in turn."""

    wholes = Negotiation.objects.all()
    part_of = "negotiation"
    queryset = Offer.objects.with_row()
    serializer_class = serializers.OfferOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "side": ["exact"]}
    ordering_fields: ClassVar = ["round"]
    ordering: ClassVar = ["round"]

    def links(self, row: Any) -> dict[str, str]:
        """The negotiation: these rows have no address of their own."""
        return {"negotiation": address_of(row.negotiation)}
