"""Partners over HTTP, with their files, papers, parts and credit."""

from typing import Any, ClassVar

import django_filters
from django.forms import IntegerField
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.partners import capabilities, serializers
from apps.partners.analytics import analytics
from apps.partners.models import (
    Amendment,
    CreditAccount,
    CreditLimit,
    ExposureEntry,
    InformationItem,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartnerLocation,
    PartnerOwner,
    PartnerRole,
    PartyLink,
    TaxRegistration,
    TradePermission,
    Vehicle,
)
from apps.partners.models.partners import KYC_STATES
from apps.partners.register import download_register
from apps.partners.services import (
    amendments,
    corrections,
    credit,
    decisions,
    kyc,
    onboarding,
    papers,
    parts,
    people,
    standing,
    submission,
)
from apps.partners.services.rules import log_clear_read
from erp import clock
from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.routers import address_of
from erp.api.timelines import TimelineViewSet
from erp.api.viewsets import PartsViewSet, PartViewSet, RowViewSet, ViewSet, read
from erp.errors import CapabilityMissing, NotFound
from erp.files import PDF
from erp.jobs.downloads import PdfRenderer
from erp.jobs.exporting import ExportsList
from erp.trail.models import Entry
from erp.trail.timelines import Timeline
from erp.uploads.viewsets import TYPES, WithContent, send

_TIMELINE_FOR_STAFF = frozenset(
    {
        "trust_score", "risk_category", "route", "score_parts", "note", "decision_note", "impact", "name_score",
        "result", "provider", "error_code", "attempts", "next_attempt_at", "input_hash", "settled_by_id",
        "settled_reason", "call_back_note", "suspension_reason", "suspended_by_id", "decided_by_id",
        "verified_by_id", "review_date", "waiver_approval_id", "approval_id", "proposed_by_id", "approved_by_id",
        "base_version", "call_back_phone", "filing_grade", "turnover", "suspended_at", "started_by_id", "asked_by_id",
        "assigned_to_id",
    }
)  # fmt: skip


class PartnerFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of a list of partners beyond its columns."""

    role = django_filters.ChoiceFilter(
        choices=PartnerRole.Role.choices, method="holding", label="Partners with this role."
    )
    service_kind = django_filters.ChoiceFilter(
        choices=PartnerRole.ServiceKind.choices, method="holding", label="Partners with this kind of service."
    )
    kyc = django_filters.ChoiceFilter(
        choices=[(each, each) for each in KYC_STATES], method="with_kyc", label="KYC today."
    )
    risk_category = django_filters.ChoiceFilter(
        choices=Partner.Category.choices, method="for_staff", label="Risk category; for staff only."
    )
    route = django_filters.ChoiceFilter(
        choices=OnboardingRound.Route.choices,
        method="for_staff",
        label="Route of the open file; for staff only.",
    )
    identifier = django_filters.CharFilter(
        method="identified", label="A whole PAN or GSTIN; parts of one find nothing."
    )

    def holding(self, partners: Any, name: str, value: str) -> Any:
        """Partners with the role, or the kind of service."""
        return partners.with_role(**{name: value})

    def with_kyc(self, partners: Any, name: str, state: str) -> Any:
        """Partners whose KYC is in this state today."""
        return partners.with_kyc(state)

    def for_staff(self, partners: Any, name: str, value: str) -> Any:
        """Partners by a figure that others don't see: they find none by it."""
        if not actor_of(self.request).is_staff:
            return partners.none()
        return partners.in_category(value) if name == "risk_category" else partners.on_route(value)

    def identified(self, partners: Any, name: str, text: str) -> Any:
        """Partners whose number it is."""
        return partners.identified(text)


class PartnerViewSet(ExportsList, RowViewSet):
    """Partners that the caller may see."""

    queryset = Partner.objects.all()
    serializer_class = serializers.PartnerOutput
    reads = capabilities.VIEW
    exports = capabilities.EXPORT
    filters: ClassVar = {
        "status": ["exact", "in"],
        "country": ["exact"],
        "state_code": ["exact", "in"],
        "kyc_expiry_date": ["lte", "gte"],
    }
    filterset_class = PartnerFilters
    search_fields: ClassVar = ["legal_name", "trade_name", "code"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "legal_name", "kyc_expiry_date"]

    approve = endpoint(decisions.approve, serializers.ApproveInput, if_match="required")
    reject = endpoint(decisions.reject, serializers.RejectInput, if_match="required")
    suspend = endpoint(standing.suspend, serializers.SuspendInput, if_match="optional")
    reactivate = endpoint(standing.reactivate, serializers.ReactivateInput, if_match="optional")
    renew = endpoint(
        kyc.renew_kyc, serializers.RenewInput, if_match="optional", path="kyc/renew", status=201,
        output=serializers.RoundOutput,
    )  # fmt: skip
    complete = endpoint(
        kyc.complete_renewal, serializers.CompleteRenewalInput, if_match="required", path="kyc/complete"
    )


class _Days(django_filters.Filter):  # type: ignore[misc]
    field_class = IntegerField


class ExpiringFilters(django_filters.FilterSet):  # type: ignore[misc]
    """How far ahead to look."""

    days = _Days(min_value=1, max_value=365, label="Days ahead, 1 to 365; the default is 90.")

    def filter_queryset(self, partners: Any) -> Any:
        """Partners whose KYC ends within the days."""
        return partners.kyc_expiring(self.form.cleaned_data["days"] or 90)


class ExpiringKycViewSet(ListModelMixin, ViewSet):
    """Active and suspended partners whose KYC ends soon, the next first. For staff."""

    queryset = Partner.objects.all()
    serializer_class = serializers.ExpiringKycOutput
    reads = capabilities.VIEW
    filterset_class = ExpiringFilters
    ordering = ("kyc_expiry_date",)

    def get_queryset(self) -> Any:
        if not actor_of(self.request).is_staff:
            raise CapabilityMissing(str(capabilities.VIEW))
        return super().get_queryset().with_open_renewal()


class AnalyticsViewSet(ViewSet):
    """Figures about all partners."""

    reads = capabilities.VIEW_ANALYTICS
    serializer_class = serializers.AnalyticsOutput

    @read("analytics", detail=False)
    def analytics(self, request: Request) -> Response:
        """Counts by status, role, state and category, KYC, funnel, decision times, use of credit, trend."""
        return Response(self.render(analytics(clock.today())))


class KycRegisterViewSet(ViewSet):
    """The KYC register of a partner as a file."""

    queryset = Partner.objects.all()
    reads = capabilities.EXPORT

    def get_renderers(self) -> list[Any]:
        return [PdfRenderer(), JSONRenderer()]

    @extend_schema(responses={(200, PDF): OpenApiTypes.BINARY})
    @read("kyc-register")
    def kyc_register(self, request: Request, pk: Any = None) -> HttpResponse:
        """Download the KYC register as PDF: profile, papers, checks, accounts, credit and decisions as of today."""
        return download_register(self.get_object(), actor=actor_of(request))


class AmendmentViewSet(RowViewSet):
    """Changes of approved partners, with old and new values for who may see them."""

    queryset = Amendment.objects.prefetch_related("changes__partner")
    serializer_class = serializers.AmendmentOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "tier": ["exact", "in"], "partner_id": ["exact"]}
    ordering_fields: ClassVar = ["created_at", "effective_date"]

    approve = endpoint(amendments.approve_amendment, serializers.ApproveAmendmentInput, if_match="required")
    reject = endpoint(amendments.reject_amendment, serializers.RejectAmendmentInput, if_match="required")
    withdraw = endpoint(amendments.withdraw_amendment, if_match="required")


class CreditAccountViewSet(ViewSet):
    """The credit of a partner; its id is the partner's."""

    queryset = CreditAccount.objects.select_related("partner")
    serializer_class = serializers.CreditOutput
    reads = capabilities.VIEW

    set_credit_limit = endpoint(
        credit.set_credit_limit,
        serializers.CreditLimitInput,
        if_match="optional",
        path="credit-limit",
        output=serializers.CreditLimitOutput,
        status=201,
        otherwise={202: lambda limit: limit.status == "proposed"},
    )

    def links(self, row: CreditAccount | CreditLimit) -> dict[str, str]:
        """The credit of the partner, and the partner; of a limit that was set, the limit."""
        if isinstance(row, CreditLimit):
            return super().links(row)
        partner = address_of(row.partner)
        return {"self": f"{partner}/credit", "partner": partner}

    @read("credit")
    def credit(self, request: Request, pk: Any = None) -> Response:
        """Limit, exposure and headroom of the partner today."""
        return Response(self.render(self.get_object()))


class RoundFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of the queue by figures of staff; others find nothing by them."""

    route = django_filters.ChoiceFilter(
        choices=OnboardingRound.Route.choices, method="for_staff", label="Who may decide; for staff only."
    )
    overdue = django_filters.ChoiceFilter(
        choices=[("true", "true"), ("false", "false")], method="for_staff",
        label="Whether the target time of its route has passed; for staff only.",
    )  # fmt: skip
    assigned_to = django_filters.UUIDFilter(
        method="for_staff", label="The person who looks after the file; for staff only."
    )

    def for_staff(self, rounds: Any, name: str, value: Any) -> Any:
        """Files by route, by who looks after them, or by whether they are overdue."""
        if not actor_of(self.request).is_staff:
            return rounds.none()
        if name == "assigned_to":
            return rounds.assigned_to_person(value)
        return rounds.on_route(value) if name == "route" else rounds.overdue(value == "true")


class OnboardingViewSet(RowViewSet):
    """Applications and renewals of KYC."""

    queryset = OnboardingRound.objects.select_related("partner__applicant")
    serializer_class = serializers.RoundOutput
    list_serializer_class = serializers.RoundLineOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "kind": ["exact", "in"], "partner_id": ["exact"]}
    filterset_class = RoundFilters
    ordering_fields: ClassVar = ["created_at", "submitted_at"]

    start = endpoint(onboarding.start_onboarding, serializers.StartInput, status=201)
    update = endpoint(onboarding.save_draft, serializers.DraftInput, if_match="required")
    add_document = endpoint(
        papers.add_document, serializers.DocumentInput, path="documents", status=201,
        output=serializers.DocumentOutput,
    )  # fmt: skip
    remove_part = endpoint(corrections.remove_part, serializers.RemovePartInput, if_match="optional")
    submit = endpoint(submission.submit, serializers.SubmitInput, if_match="optional", status=202)
    request_info = endpoint(onboarding.request_info, serializers.RequestInfoInput, if_match="optional")
    respond = endpoint(submission.respond, serializers.RespondInput, if_match="optional", status=202)
    withdraw = endpoint(submission.withdraw, serializers.WithdrawInput, if_match="optional")


class DocumentViewSet(WithContent, RowViewSet):
    """Papers of partners."""

    queryset = PartnerDocument.objects.select_related("file")
    serializer_class = serializers.DocumentOutput
    reads = capabilities.VIEW
    filters: ClassVar = {
        "status": ["exact", "in"],
        "document_type": ["exact", "in"],
        "partner_id": ["exact"],
        "expiry_date": ["lte", "gte"],
    }
    ordering_fields: ClassVar = ["created_at", "expiry_date"]

    verify = endpoint(papers.verify_document, serializers.VerifyDocumentInput, if_match="required")
    reject = endpoint(papers.reject_document, serializers.RejectDocumentInput, if_match="required")

    @extend_schema(responses={(200, each): OpenApiTypes.BINARY for each in TYPES})
    @read("content")
    def content(self, request: Request, pk: Any = None) -> HttpResponse:
        """Download the paper: whoever sees numbers in full or verifies papers; before the scan only its uploader."""
        paper: PartnerDocument = self.get_object()
        if not papers.may_read_content(actor_of(request), paper):
            raise NotFound
        log_clear_read(actor_of(request), paper, ["file"])
        return send(paper.file, f"paper-{paper.pk}")


class EmployeeViewSet(RowViewSet):
    """People of partners."""

    queryset = PartnerEmployee.objects.all()
    serializer_class = serializers.EmployeeOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "partner_id": ["exact"]}
    ordering_fields: ClassVar = ["created_at"]

    deactivate = endpoint(people.deactivate_employee, if_match="optional")


class BankAccountViewSet(RowViewSet):
    """Bank accounts of partners. Only the last four characters of a number are shown."""

    queryset = PartnerBankAccount.objects.all()
    serializer_class = serializers.PartnerBankAccountOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "currency": ["exact"], "partner_id": ["exact"]}
    ordering_fields: ClassVar = ["created_at"]

    verify = endpoint(parts.verify_bank_account, serializers.VerifyBankAccountInput, if_match="required")


class OfPartner(PartsViewSet):
    """Rows of one partner."""

    reads = capabilities.VIEW
    wholes = Partner.objects.all()
    part_of = "partner"
    ordering_fields: ClassVar = ["created_at"]


class RoundsOfPartner(OfPartner):
    """Applications and renewals of the partner."""

    queryset = OnboardingRound.objects.all()
    serializer_class = serializers.RoundLineOutput
    filters: ClassVar = {"status": ["exact", "in"]}


class DocumentsOfPartner(OfPartner):
    """Papers of the partner."""

    queryset = PartnerDocument.objects.select_related("file")
    serializer_class = serializers.DocumentOutput
    filters: ClassVar = {"status": ["exact", "in"], "document_type": ["exact", "in"]}

    create = endpoint(papers.upload_document, serializers.DocumentInput)


class EmployeesOfPartner(OfPartner):
    """People of the partner."""

    queryset = PartnerEmployee.objects.all()
    serializer_class = serializers.EmployeeOutput
    filters: ClassVar = {"status": ["exact", "in"]}

    create = endpoint(people.invite_employee, serializers.EmployeeInput)


class BankAccountsOfPartner(OfPartner):
    """Bank accounts of the partner. Only the last four characters of a number are shown."""

    queryset = PartnerBankAccount.objects.all()
    serializer_class = serializers.PartnerBankAccountOutput
    filters: ClassVar = {"status": ["exact", "in"], "currency": ["exact"]}

    create = endpoint(parts.add_bank_account, serializers.PartnerBankAccountInput)


class PermissionsOfPartner(OfPartner):
    """What the partner may trade."""

    queryset = TradePermission.objects.all()
    serializer_class = serializers.PermissionOutput
    filters: ClassVar = {"name": ["exact"]}


class LinksOfPartner(OfPartner):
    """Related parties of the partner, for staff."""

    queryset = PartyLink.objects.all()
    serializer_class = serializers.PartyLinkOutput
    filters: ClassVar = {"status": ["exact", "in"], "strength": ["exact"], "kind": ["exact", "in"]}

    def get_queryset(self) -> Any:
        return super(PartsViewSet, self).get_queryset().of(self.kwargs["pk"])


class ExposureOfPartner(OfPartner):
    """The ledger of the partner's exposure."""

    queryset = ExposureEntry.objects.all()
    serializer_class = serializers.EntryOutput
    filters: ClassVar = {"bucket": ["exact", "in"], "source_id": ["exact"]}


class AmendmentsOfPartner(OfPartner):
    """Amendments of the partner."""

    queryset = Amendment.objects.prefetch_related("changes__partner")
    serializer_class = serializers.AmendmentOutput
    filters: ClassVar = {"status": ["exact", "in"], "tier": ["exact", "in"]}

    create = endpoint(amendments.request_amendment, serializers.AmendmentInput, if_match="optional")


class ChecksOfPartner(OfPartner):
    """Questions to registries about the partner, with what they answered."""

    queryset = KycCheck.objects.all()
    serializer_class = serializers.CheckOutput
    filters: ClassVar = {"status": ["exact", "in"], "kind": ["exact", "in"]}


class TimelineOfPartner(TimelineViewSet):
    """What was done to the partner and everything that belongs to it, the newest first."""

    queryset = Entry.objects.all()
    reads = capabilities.VIEW
    wholes = Partner.objects.all()
    timeline = Timeline(
        Partner,
        dict.fromkeys(
            (
                OnboardingRound, InformationItem, KycCheck, PartnerDocument, TaxRegistration, PartnerLocation, Vehicle,
                PartnerEmployee, PartnerOwner, PartnerBankAccount, PartnerRole, TradePermission, Amendment, CreditLimit,
            ),
            "partner",
        ),
        internal=_TIMELINE_FOR_STAFF,
    )  # fmt: skip


class TimelineOfRound(TimelineViewSet):
    """What was done to the file, its papers, checks and questions, the newest first."""

    queryset = Entry.objects.all()
    reads = capabilities.VIEW
    wholes = OnboardingRound.objects.all()
    timeline = Timeline(
        OnboardingRound,
        dict.fromkeys((InformationItem, KycCheck, PartnerDocument), "round"),
        internal=_TIMELINE_FOR_STAFF,
    )


class CreditLimitsOfPartner(PartViewSet):
    """Credit limits of the partner, past and proposed ones too."""

    queryset = CreditLimit.objects.all()
    serializer_class = serializers.CreditLimitOutput
    reads = capabilities.VIEW
    wholes = Partner.objects.all()
    part_of = "partner"
    filters: ClassVar = {"status": ["exact", "in"]}
    ordering_fields: ClassVar = ["created_at", "valid_from"]


class LocationsOfPartner(PartViewSet):
    """Places of business of the partner."""

    queryset = PartnerLocation.objects.all()
    serializer_class = serializers.LocationOutput
    reads = capabilities.VIEW
    wholes = Partner.objects.all()
    part_of = "partner"
    filters: ClassVar = {"kind": ["exact", "in"], "status": ["exact"]}
    ordering_fields: ClassVar = ["created_at", "code"]

    create = endpoint(parts.add_location, serializers.LocationInput)


class VehiclesOfPartner(PartViewSet):
    """Vehicles of the partner."""

    queryset = Vehicle.objects.all()
    serializer_class = serializers.VehicleOutput
    reads = capabilities.VIEW
    wholes = Partner.objects.all()
    part_of = "partner"
    filters: ClassVar = {"category": ["exact", "in"], "status": ["exact"]}
    ordering_fields: ClassVar = ["created_at", "number"]

    create = endpoint(parts.add_vehicle, serializers.VehicleInput)
