"""Organizations and calendars in the staff portal."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, ExpressionWrapper, Value
from django.db.models.fields import DateTimeField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.organization import capabilities
from apps.organization.models import (
    AllocatedNumber,
    BankAccount,
    Calendar,
    CalendarDay,
    DocumentSeries,
    FinancialYear,
    GstRegistration,
    Organization,
    lacks_financial_year,
)
from apps.organization.serializers import (
    CalendarDayInput,
    CreateCalendarInput,
    UpdateCalendarInput,
)
from apps.organization.services import accounts, calendars, identity, registrations, series
from apps.organization.services import years as years_services
from erp import clock
from erp.access import actor_of
from erp.admin import Queue, ServiceAdmin, acts
from erp.admin.options import PREVIEW
from erp.admin.site import NextStep, next_steps
from erp.errors import DomainError
from erp.services import Service

ADDRESS = ("line1", "line2", "city", "state_code", "pin_code")
ENDS = ("version", "created_by", "created_at", "updated_at")


def _step(request: HttpRequest) -> NextStep | None:
    """The organization, then its financial year of today, as long as one is missing."""
    years = reverse("admin:organization_financialyear_changelist")
    if not Organization.objects.exists():
        text = "Contracts, invoices and document numbers belong to one."
        return NextStep("Add an organization", text, reverse("admin:organization_organization_changelist"))
    if not FinancialYear.objects.on(clock.today()).exists():
        return NextStep("Add the current financial year", "Nothing can be numbered without one.", years)
    return None


next_steps.append(_step)


@admin.register(Organization)
class OrganizationAdmin(ServiceAdmin):
    """The company's organizations."""

    views = capabilities.VIEW
    creates, updates = identity.create, identity.update
    runs: ClassVar = [
        registrations.add_gst_registration,
        accounts.add_bank_account,
        years_services.add_financial_year,
        series.add_document_series,
    ]
    queues: ClassVar = [
        Queue(
            title="Financial years to add",
            filters={"lacks_year": "True"},
            since="due_since",
            amber=timedelta(),
            red=timedelta(days=20),
            quiet=True,
        )
    ]
    list_display: ClassVar = ["name", "legal_form", "city", "state_code", "status", "updated_at"]
    list_filter: ClassVar = ["status", "legal_form", "state_code"]
    search_fields: ClassVar = ["name", "legal_name"]
    ordering: ClassVar = ["name"]
    details: ClassVar = [
        "name", "legal_name", "legal_form", "pan", "cin", "llpin", "tan", "iec", "base_currency", *ADDRESS,
        "email", "phone", "e_invoice_from", "lut_number", "lut_valid_until", "invoice_footer", "status", *ENDS,
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        today = clock.today()
        due = clock.now().replace(month=3, day=1) if today.month == 3 else clock.now()
        return (
            super()
            .get_queryset(request)
            .annotate(
                lacks_year=ExpressionWrapper(lacks_financial_year(today), output_field=BooleanField()),
                due_since=Value(due, output_field=DateTimeField()),
            )
        )

    def options(
        self, request: HttpRequest, service: Service, row: Organization | None
    ) -> dict[str, list[tuple[str, str]]]:
        """Offer only years and registrations of this organization."""
        if service is not series.add_document_series or row is None:
            return {}
        years = row.financial_years.exclude(status=FinancialYear.Status.LOCKED).order_by("-start_date")
        active = row.gst_registrations.filter(status=GstRegistration.Status.ACTIVE).order_by("branch_code")
        return {
            "financial_year_id": [(str(year.pk), f"{year} ({year.get_status_display()})") for year in years],
            "gst_registration_id": [(str(each.pk), str(each)) for each in active],
        }


class PartAdmin(ServiceAdmin):
    """A part of an organization: added on the page of the organization, changed on its own page."""

    empty = "Open an organization and choose the action that adds one."
    views = capabilities.VIEW
    list_select_related: ClassVar = ["organization"]
    ordering: ClassVar = ["-id"]  # ids rise with time


@admin.register(GstRegistration)
class GstRegistrationAdmin(PartAdmin):
    """GST registrations."""

    updates = registrations.update_gst_registration
    list_display: ClassVar = ["branch_code", "organization", "gstin", "state_code", "is_primary", "status"]
    list_filter: ClassVar = ["status", "kind", "is_primary"]
    search_fields: ClassVar = ["branch_code", "gstin", "trade_name"]
    details: ClassVar = [
        "organization", "gstin", "kind", "trade_name", *ADDRESS, "branch_code", "is_primary", "valid_from",
        "status", *ENDS,
    ]  # fmt: skip


@admin.register(BankAccount)
class BankAccountAdmin(PartAdmin):
    """Bank accounts. Showing the full number on demand is recorded each time."""

    updates = accounts.update_bank_account
    runs: ClassVar = [accounts.show_number]
    list_display: ClassVar = ["bank_name", "organization", "last4", "currency", "is_default", "status"]
    list_filter: ClassVar = ["status", "currency", "is_default"]
    search_fields: ClassVar = ["bank_name", "holder", "last4"]
    hidden: ClassVar = ["id", "number_encrypted", "number_hash"]
    details: ClassVar = [
        "organization", "holder", "bank_name", "branch_name", "last4", "ifsc", "swift", "account_type",
        "currency", "purpose", "is_default", "status", "proposed_by", "approved_by", "approval_id", *ENDS,
    ]  # fmt: skip

    def run_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Render the full number once: it is stored nowhere, so no redirect or message carries it."""
        if verb != accounts.show_number.__name__ or request.method != "POST" or PREVIEW in request.POST:
            return super().run_view(request, object_id, verb)
        self._verb(request, verb, self.runs)  # without the capability nobody learns whether the row exists
        account = self._row(request, object_id)
        if not self._may(request, accounts.show_number, account):
            raise PermissionDenied
        back, shown = self._url("change", account.pk), []

        def show() -> acts.Outcome:
            shown.append(accounts.show_number(account, actor=actor_of(request)))
            return acts.Outcome("The number was shown.", back)

        try:
            acts.carry_out(
                request,
                route=self._route(accounts.show_number),
                parameters=(("pk", str(account.pk)),),
                run=show,
            )
        except DomainError as error:
            form = self._form(request, accounts.show_number, account, data=True)
            return self._confirm_page(request, accounts.show_number, [account], form, error)
        if not shown:  # a second click: the answer isn't stored
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": str(account),
            "opts": self.opts,
            "original": account,
            "number": shown[0],
            "back": back,
        }
        page = TemplateResponse(request, "admin/organization/number.html", context)
        page["Cache-Control"] = "no-store"
        return page


@admin.register(FinancialYear)
class FinancialYearAdmin(PartAdmin):
    """Financial years. Reopening a locked one needs an approval."""

    updates = years_services.update_financial_year
    list_display: ClassVar = ["code", "organization", "start_date", "end_date", "status"]
    list_filter: ClassVar = ["status"]
    search_fields: ClassVar = ["code", "organization__name"]
    details: ClassVar = [
        "organization", "code", "start_date", "end_date", "status", "status_reason", "pending_approval_id",
        *ENDS,
    ]  # fmt: skip


@admin.register(DocumentSeries)
class DocumentSeriesAdmin(PartAdmin):
    """Document series."""

    updates = series.update_document_series
    list_display: ClassVar = [
        "document_type", "organization", "financial_year", "gst_registration", "template", "next_document",
        "status",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "document_type"]
    list_select_related: ClassVar = ["organization", "financial_year", "gst_registration"]
    search_fields: ClassVar = ["template", "prefix"]
    details: ClassVar = [
        "organization", "gst_registration", "financial_year", "document_type", "prefix", "template",
        "start_number", "last_number", "date_ordered", "last_document_date", "status", *ENDS,
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("financial_year", "gst_registration")

    @admin.display(description="next number")
    def next_document(self, row: DocumentSeries) -> str:
        """The number of the next document."""
        return str(row.number_format.text(row.next_number))


@admin.register(AllocatedNumber)
class AllocatedNumberAdmin(PartAdmin):
    """Allocated document numbers, which never change."""

    empty = "A number is allocated when a document is issued."
    list_display: ClassVar = [
        "document_number", "organization", "document_type", "document_date", "reference_type", "created_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["document_type"]
    search_fields: ClassVar = ["document_number__startswith", "=reference_id"]
    search_help_text = "Beginning of a number, or the full ID of a document"


@admin.register(Calendar)
class CalendarAdmin(ServiceAdmin):
    """Business days of banks, exchanges and states."""

    views = capabilities.VIEW
    creates, updates = calendars.create_calendar, calendars.update_calendar
    runs: ClassVar = [calendars.set_calendar_day]
    inputs: ClassVar = {
        calendars.create_calendar: CreateCalendarInput,
        calendars.update_calendar: UpdateCalendarInput,
        calendars.set_calendar_day: CalendarDayInput,
    }
    list_display: ClassVar = ["code", "name", "closes_at", "updated_at"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["code"]
    details: ClassVar = ["code", "name", "weekly_off", "closes_at", *ENDS]


@admin.register(CalendarDay)
class CalendarDayAdmin(ServiceAdmin):
    """Holidays and special days, set on the page of their calendar."""

    empty = 'Open a calendar and choose "Set calendar day" to add one.'
    views = capabilities.VIEW
    list_display: ClassVar = ["day", "calendar", "name", "closed", "closes_at"]
    list_filter: ClassVar = ["closed"]
    list_select_related: ClassVar = ["calendar"]
    search_fields: ClassVar = ["name"]
    ordering: ClassVar = ["-day"]
