"""Offers and reservations over HTTP."""

import hashlib
from typing import Any, ClassVar

from django.db.models import Exists, OuterRef

from apps.availability import capabilities, services
from apps.availability.models import Availability, Reservation, Stage
from apps.availability.serializers import (
    AvailabilityApproveInput,
    AvailabilityOutput,
    PostInput,
    ReleaseInput,
    ReservationOutput,
    ReserveInput,
)
from erp import clock
from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet


class ReservationViewSet(RowViewSet):
    """Reservations that the caller may see."""

    queryset = Reservation.objects.all()
    serializer_class = ReservationOutput
    reads = capabilities.VIEW
    filters: ClassVar = {
        "status": ["exact", "in"],
        "availability_id": ["exact", "in"],
        "requirement_id": ["exact"],
    }


class AvailabilityViewSet(RowViewSet):
    """Offers: a seller sees its own completely, other callers see fields by stage."""

    queryset = Availability.objects.all()
    serializer_class = AvailabilityOutput
    reads = capabilities.VIEW
    # Only fields that a caller may read on every row, so that filters and sorting reveal no masked value.
    filters: ClassVar = {
        "commodity_id": ["exact", "in"],
        "crop_year": ["exact"],
        "status": ["exact", "in"],
        "state_code": ["exact", "in"],
        "visibility": ["exact"],
    }
    ordering_fields: ClassVar = ["created_at", "listed_at"]

    create = endpoint(
        services.post,
        PostInput,
    )
    submit = endpoint(
        services.submit,
        if_match="optional",
    )
    approve = endpoint(
        services.approve,
        AvailabilityApproveInput,
        if_match="required",
    )
    reserve = endpoint(
        services.reserve,
        ReserveInput,
        output=ReservationOutput,
        status=201,
    )
    release = endpoint(
        services.release,
        ReleaseInput,
        output=ReservationOutput,
    )

    def get_queryset(self) -> Any:
        own = Reservation.objects.of_partner(actor_of(self.request), "holder_partner")
        rows = super().get_queryset()
        if self.action == "release":
            # Also offers hidden from the holder since its reservation ended: a repeated request gets its first answer.
            rows |= Availability.objects.filter(pk__in=own.values("availability_id"))
        live = own.live(clock.now()).filter(availability=OuterRef("pk"))
        return rows.annotate(has_reservation=Exists(live))

    def etag_of(self, row: Availability) -> str:
        """Return the version to callers who see the whole row, and to others a digest of what they see."""
        if row.stage_for(actor_of(self.request), row.has_reservation) >= Stage.OWNER:  # type: ignore[attr-defined]
            return super().etag_of(row)
        return f'"{hashlib.sha256(self.encode(self.render(row))).hexdigest()[:32]}"'
