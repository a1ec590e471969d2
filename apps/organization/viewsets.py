"""Organizations over HTTP, with their parts."""

from typing import Any, ClassVar

import django_filters

from apps.organization import capabilities
from apps.organization.models import (
    AllocatedNumber,
    BankAccount,
    DocumentSeries,
    FinancialYear,
    GstRegistration,
    Organization,
)
from apps.organization.serializers import (
    AddBankAccountInput,
    AddDocumentSeriesInput,
    AddFinancialYearInput,
    AddGstRegistrationInput,
    AllocatedNumberOutput,
    AllocateInput,
    BankAccountOutput,
    DocumentSeriesOutput,
    FinancialYearOutput,
    GstRegistrationOutput,
    OrganizationCreateInput,
    OrganizationOutput,
    OrganizationUpdateInput,
    UpdateBankAccountInput,
    UpdateDocumentSeriesInput,
    UpdateFinancialYearInput,
    UpdateGstRegistrationInput,
)
from apps.organization.services import accounts, identity, registrations, series
from apps.organization.services import years as years_services
from erp.api.endpoints import endpoint
from erp.api.viewsets import PartViewSet, RowViewSet


class OrganizationViewSet(RowViewSet):
    """The company's organizations."""

    queryset = Organization.objects.all()
    serializer_class = OrganizationOutput
    reads = capabilities.VIEW
    filters: ClassVar = {
        "status": ["exact", "in"],
        "legal_form": ["exact", "in"],
        "state_code": ["exact", "in"],
    }
    search_fields: ClassVar = ["name", "legal_name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "name"]

    create = endpoint(identity.create, OrganizationCreateInput)
    update = endpoint(
        identity.update,
        OrganizationUpdateInput,
        if_match="required",
    )
    next_document_number = endpoint(
        series.allocate_number,
        AllocateInput,
        path="next-document-number/<slug:type>",
        output=AllocatedNumberOutput,
        status=201,
        otherwise={200: lambda number: number.already_allocated},
    )


class PartOfOrganization(PartViewSet):
    """Parts of an organization."""

    reads = capabilities.VIEW
    wholes = Organization.objects.all()
    part_of = "organization"


class GstRegistrationViewSet(PartOfOrganization):
    """GST registrations of the organization."""

    queryset = GstRegistration.objects.all()
    serializer_class = GstRegistrationOutput
    filters: ClassVar = {
        "status": ["exact", "in"],
        "state_code": ["exact", "in"],
        "is_primary": ["exact"],
    }
    ordering_fields: ClassVar = ["created_at", "updated_at"]

    create = endpoint(
        registrations.add_gst_registration,
        AddGstRegistrationInput,
    )
    update = endpoint(
        registrations.update_gst_registration,
        UpdateGstRegistrationInput,
        if_match="required",
    )


class BankAccountViewSet(PartOfOrganization):
    """Bank accounts of the organization. Only the last four characters of a number are shown."""

    queryset = BankAccount.objects.all()
    serializer_class = BankAccountOutput
    filters: ClassVar = {"status": ["exact", "in"], "currency": ["exact"], "is_default": ["exact"]}
    ordering_fields: ClassVar = ["created_at", "updated_at"]

    create = endpoint(
        accounts.add_bank_account,
        AddBankAccountInput,
    )
    update = endpoint(
        accounts.update_bank_account,
        UpdateBankAccountInput,
        if_match="required",
    )


class YearFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of a list of years beyond its columns."""

    on_date = django_filters.DateFilter(
        label="The year that includes this date.", method="including", input_formats=["%Y-%m-%d"]
    )

    def including(self, years: Any, name: str, day: Any) -> Any:
        """Return years that include ``day``."""
        return years.on(day)


class FinancialYearViewSet(PartOfOrganization):
    """Financial years of the organization."""

    queryset = FinancialYear.objects.all()
    serializer_class = FinancialYearOutput
    filters: ClassVar = {"status": ["exact", "in"]}
    filterset_class = YearFilters
    ordering_fields: ClassVar = ["created_at", "updated_at", "start_date"]

    create = endpoint(
        years_services.add_financial_year,
        AddFinancialYearInput,
    )
    update = endpoint(
        years_services.update_financial_year,
        UpdateFinancialYearInput,
        if_match="required",
        otherwise={202: lambda year: year.reopening_requested},
    )


class DocumentSeriesViewSet(PartOfOrganization):
    """Document series of the organization."""

    queryset = DocumentSeries.objects.all()
    serializer_class = DocumentSeriesOutput
    filters: ClassVar = {
        "financial_year_id": ["exact"],
        "document_type": ["exact", "in"],
        "gst_registration_id": ["exact", "isnull"],
        "status": ["exact"],
    }
    ordering_fields: ClassVar = ["created_at", "updated_at"]

    create = endpoint(
        series.add_document_series,
        AddDocumentSeriesInput,
    )
    update = endpoint(
        series.update_document_series,
        UpdateDocumentSeriesInput,
        if_match="required",
    )


class DocumentNumberViewSet(PartOfOrganization):
    """Document numbers that the organization allocated."""

    queryset = AllocatedNumber.objects.all()
    serializer_class = AllocatedNumberOutput
    filters: ClassVar = {
        "series_id": ["exact"],
        "document_type": ["exact", "in"],
        "document_date": ["gte", "lte"],
        "reference_id": ["exact"],
        "document_number": ["exact"],
    }
    ordering: ClassVar = ["number"]
    ordering_fields: ClassVar = ["number", "created_at"]
