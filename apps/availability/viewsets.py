"""Offers and reservations over HTTP."""

from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.availability import capabilities, lookups, serializers
from apps.availability.filters import OfferFilters, period
from apps.availability.listings import ListingTimeline, digest_of, parse_query
from apps.availability.models import (
    Availability,
    Invitation,
    Lot,
    Media,
    QualityValue,
    Reservation,
    Stage,
    TestReport,
)
from apps.availability.services import bulk, decisions, offers, stock
from apps.commodities.exact import UnitDimension
from apps.commodities.services.factors import NoDefinition
from erp.access import actor_of
from erp.api.endpoints import endpoint, lookup
from erp.api.routers import address_of
from erp.api.viewsets import PartsViewSet, RowViewSet, ViewSet, read
from erp.errors import NotFound
from erp.files import JPEG
from erp.jobs.serializers import JobOutput
from erp.trail.models import Entry
from erp.trail.timelines import Timeline
from erp.uploads.models import StoredFile
from erp.uploads.viewsets import TYPES, WithContent, send


class ReservationViewSet(RowViewSet):
    """Reservations of the caller's own partner; for staff all."""

    queryset = Reservation.objects.all()
    serializer_class = serializers.ReservationOutput
    reads = capabilities.VIEW
    filters: ClassVar = {
        "status": ["exact", "in"],
        "availability_id": ["exact", "in"],
        "requirement_id": ["exact"],
    }


class AvailabilityViewSet(RowViewSet):
    """Offers: a seller sees its own completely, other callers see fields by stage."""

    queryset = Availability.objects.with_row()
    serializer_class = serializers.AvailabilityOutput
    reads = capabilities.VIEW
    filterset_class = OfferFilters
    # Only fields that a caller may read on every row, so that filters and sorting reveal no masked value.
    filters: ClassVar = {
        "commodity_id": ["exact", "in"],
        "variety_id": ["exact", "in"],
        "crop_year": ["exact"],
        "status": ["exact", "in"],
        "state_code": ["exact", "in"],
        "visibility": ["exact"],
    }
    ordering_fields: ClassVar = ["created_at", "listed_at"]
    changes_known_to = "seller_partner"

    create = endpoint(offers.post, serializers.PostInput)
    update = endpoint(offers.update, serializers.UpdateInput, if_match="required")
    submit = endpoint(offers.submit, if_match="optional")
    approve = endpoint(decisions.approve, serializers.AvailabilityApproveInput, if_match="required")
    reject = endpoint(decisions.reject, serializers.AvailabilityRejectInput, if_match="required")
    reserve = endpoint(
        stock.reserve, serializers.ReserveInput, output=serializers.ReservationOutput, status=201
    )
    release = endpoint(stock.release, serializers.ReleaseInput, output=serializers.ReservationOutput)
    mark_sold = endpoint(stock.mark_sold, serializers.MarkSoldInput, output=serializers.ReservationOutput)
    cancel = endpoint(offers.cancel, serializers.AvailabilityCancelInput, if_match="optional")
    extend = endpoint(offers.extend, serializers.AvailabilityExtendInput, if_match="optional")
    set_visibility = endpoint(
        offers.set_visibility,
        serializers.VisibilityInput,
        if_match="required",
        method="put",
        path="visibility",
    )

    search = lookup(
        lookups.search,
        serializers.AvailabilitySearchInput,
        requires=capabilities.VIEW_ALL,
        output=serializers.AvailabilitySearchOutput,
        raises=[lookups.SearchInvalid, NoDefinition, UnitDimension],
    )
    bulk_upload = endpoint(
        bulk.bulk_upload,
        serializers.OfferUploadInput,
        output=JobOutput,
        status=202,
        path="bulk/upload",
        throttle="heavy",
    )
    bulk_validate = lookup(
        lookups.bulk_validate,
        serializers.OfferValidateInput,
        requires=capabilities.CREATE,
        output=serializers.OfferPreviewOutput,
        path="bulk/validate",
        throttle="heavy",
        raises=[bulk.FileHeader, bulk.TooManyRows],
        read_only=False,
    )

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if self.action == "release":
            # Also offers hidden from the holder since its reservation ended: a repeated request gets its first answer.
            own = Reservation.objects.of_partner(actor_of(self.request), "holder_partner")
            rows |= Availability.objects.with_row().filter(pk__in=own.values("availability_id"))
        return rows.with_stage(actor_of(self.request))

    def render(self, row: Any, output: Any = None) -> Any:
        """The row as the caller sees it; one that was just written is read anew, with its stage."""
        if isinstance(row, Availability) and "stage" not in row.__dict__:
            row = row.as_seen_by(actor_of(self.request))
        return super().render(row, output)

    def etag_of(self, row: Availability) -> str:
        """Return the version to callers who see the whole row, and to others a digest of what they see."""
        if row.stage_for(actor_of(self.request)) >= Stage.OWNER:
            return super().etag_of(row)
        return digest_of(self, row)


class AvailabilityFiguresViewSet(ViewSet):
    """Figures about offers: of the caller's own, for staff of all."""

    queryset = Availability.objects.all()
    serializer_class = serializers.AvailabilityFiguresOutput
    reads = capabilities.VIEW_ANALYTICS

    @extend_schema(parameters=[serializers.PeriodQuery], filters=False)
    @read("analytics", detail=False, query=tuple(serializers.PeriodQuery._declared_fields))
    def analytics(self, request: Request) -> Response:
        """Count offers, quantities and reservations of a period, by default of the last 30 days."""
        asked = parse_query(serializers.PeriodQuery, request.query_params, self.get_serializer_context())
        commodity = asked.pop("commodity", None)
        return Response(self.render(self.get_queryset().figures(**period(**asked), commodity=commodity)))


class PriceSuggestionViewSet(ViewSet):
    """Suggested prices, for sellers and staff."""

    reads = capabilities.CREATE
    serializer_class = serializers.PriceSuggestionOutput

    @property
    def capability(self) -> Any:
        """Whoever posts offers may ask, and staff who see all of them."""
        is_staff = actor_of(self.request).is_staff
        return capabilities.VIEW_ALL if is_staff else capabilities.CREATE

    @extend_schema(parameters=[serializers.PriceQuery], filters=False, summary="Suggest a price")
    @read(
        "price-suggestion",
        detail=False,
        query=tuple(serializers.PriceQuery._declared_fields),
        raises=(NoDefinition,),
    )
    def price_suggestion(self, request: Request) -> Response:
        """Return the middle of the prices that others were paid or ask for such goods, and the quarters beside it.

        Own offers and those of related firms don't count. With fewer than five observations or three partners there
        is no value. Nothing follows from a suggestion: a person decides.
        """
        asked = parse_query(serializers.PriceQuery, request.query_params, self.get_serializer_context())
        return Response(self.render(lookups.price_suggestion(actor=actor_of(request), **asked)))


class _PartsOfOffer(PartsViewSet):
    """Parts of an offer, each with the offer read at the caller's stage."""

    wholes = Availability.objects.all()
    part_of = "availability"
    reads = capabilities.VIEW
    changes_known_to = "availability__seller_partner"

    def get_queryset(self) -> Any:
        rows: QuerySet[Any] = super().get_queryset()
        staged = Availability.objects.with_stage(actor_of(self.request))
        return rows.prefetch_related(Prefetch("availability", staged))

    def links(self, row: Any) -> dict[str, str]:
        """The offer: these rows have no address of their own."""
        return {"availability": address_of(row.availability)}


class TimelineOfOffer(ListingTimeline):
    """What was done to the offer, the newest first; for its seller and staff. Only staff learn which reservation."""

    queryset = Entry.objects.all()
    reads = capabilities.VIEW
    wholes = Availability.objects.all()
    timeline = Timeline(
        Availability,
        dict.fromkeys((Lot, QualityValue, TestReport, Media, Invitation, Reservation), "availability"),
        internal=("risk_status", "risk_assessed_at", "editors"),
    )


class LotViewSet(_PartsOfOffer):
    """Lots of an offer."""

    queryset = Lot.objects.all()
    serializer_class = serializers.LotOutput
    ordering: ClassVar = ["position"]


class QualityViewSet(_PartsOfOffer):
    """Quality of an offer: other partners see the results that govern."""

    queryset = QualityValue.objects.select_related("parameter", "test_report")
    serializer_class = serializers.QualityOutput
    filters: ClassVar = {"governing": ["exact"], "lot_id": ["exact"]}
    ordering: ClassVar = ["parameter_id"]


class OfferTestReportViewSet(_PartsOfOffer):
    """Test reports of an offer."""

    queryset = TestReport.objects.all()
    serializer_class = serializers.TestReportOutput
    ordering: ClassVar = ["tested_date"]

    create = endpoint(offers.add_test_report, serializers.TestReportInput)

    def links(self, row: Any) -> dict[str, str]:
        return {"self": address_of(row)}


class HeldViewSet(PartsViewSet):
    """Reservations of an offer: all for staff, its own for a buyer, under pseudonyms for the seller."""

    wholes = Availability.objects.all()
    part_of = "availability"
    queryset = Reservation.objects.all()
    serializer_class = serializers.HeldOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"]}
    ordering: ClassVar = ["expires_at"]
    changes_known_to = "holder_partner"

    def get_queryset(self) -> Any:
        actor = actor_of(self.request)
        rows = Reservation.objects.visible_to(actor).or_on_offers_of(actor)
        return rows.filter(availability=self.kwargs["pk"])

    def links(self, row: Any) -> dict[str, str]:
        """None: which reservation it is stays hidden from the seller."""
        return {}


class TestReportViewSet(WithContent, RowViewSet):
    """Test reports by their own address."""

    queryset = TestReport.objects.select_related("availability", "file")
    serializer_class = serializers.TestReportOutput
    reads = capabilities.VIEW
    changes_known_to = "availability__seller_partner"
    http_method_names = ["get", "head", "options"]

    @extend_schema(responses={(200, each): OpenApiTypes.BINARY for each in TYPES})
    @read("content")
    def content(self, request: Request, pk: Any = None) -> HttpResponse:
        """Download the report's file, once the scan for malware has found nothing."""
        report: TestReport = self.get_object()
        if report.file.scan_status != StoredFile.Scan.CLEAN:
            raise NotFound
        return send(report.file, f"report-{report.pk}")


class MediaViewSet(WithContent, RowViewSet):
    """Pictures of offers: of others only those that staff cleared, from a match on, and in a trade all."""

    queryset = Media.objects.select_related("availability")
    serializer_class = serializers.MediaOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"availability_id": ["exact"]}
    ordering: ClassVar = ["availability_id", "position"]
    changes_known_to = "availability__seller_partner"

    def get_queryset(self) -> Any:
        staged = Availability.objects.with_stage(actor_of(self.request))
        return super().get_queryset().select_related(None).prefetch_related(Prefetch("availability", staged))

    def etag_of(self, row: Media) -> str:
        """Of a digest of what the caller sees: the version of others' rows tells of masked changes."""
        return digest_of(self, row)

    @extend_schema(responses={(200, JPEG): OpenApiTypes.BINARY})
    @read("content")
    def content(self, request: Request, pk: Any = None) -> HttpResponse:
        """Download the picture: a copy without what the camera wrote into it, also for the seller."""
        picture: Media = self.get_object()
        if picture.copy is None:
            raise NotFound
        return send(picture.copy, f"{picture}.jpg")
