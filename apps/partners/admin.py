"""Partners in the staff portal: applications, papers and checks, bank accounts, credit."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html

from apps.partners import capabilities
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
    PermissionOverride,
    Scorecard,
    TaxRegistration,
    TradePermission,
    Vehicle,
)
from apps.partners.models.partners import ADDRESS
from apps.partners.register import download_register
from apps.partners.serializers import (
    AssignInput,
    DecideLinkInput,
    OverridePermissionInput,
    SettleCheckInput,
    WaiveCheckInput,
)
from apps.partners.services import (
    amendments,
    checks,
    corrections,
    credit,
    decisions,
    kyc,
    links,
    onboarding,
    overrides,
    papers,
    parts,
    people,
    standing,
    submission,
)
from apps.partners.services.checklist import checklist
from apps.partners.services.rules import log_clear_read, sees_clear
from erp import clock
from erp.access import actor_of, may
from erp.admin import Queue, ServiceAdmin, Table, clear_reads
from erp.admin.previews import FilePage, Preview
from erp.figures import group
from erp.identifiers import EMAIL, GSTIN, IEC, PAN, PHONE
from erp.services import Service

ENDS = ("version", "created_at", "updated_at")
MOST_PREVIEWS = 30  # papers beside a file under review
_HALF_DAY, _DAY = timedelta(hours=12), timedelta(hours=24)


def _masked(request: HttpRequest, row: Any, value: str | None, mask: Any, field: str) -> str:
    """A number as the person may see it."""
    if not value:
        return "–"
    if not sees_clear(actor_of(request), row):
        return str(mask.mask(value))
    if clear_reads.note(request, row, field):  # a page asks for a column several times
        log_clear_read(actor_of(request), row, [field])
    return value


class PartnerPage(ServiceAdmin):
    """A page of this module. Its row knows who looks at it, for masked columns."""

    views = capabilities.VIEW
    ordering: ClassVar = ["-id"]  # ids rise with time

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            row.seen_by = request
        return row


class PartOfPartner(PartnerPage):
    """What belongs to a partner; it is added on the partner's page."""

    empty = "Open a partner and choose the action that adds one."
    list_select_related: ClassVar = ["partner"]


@admin.register(Partner)
class PartnerAdmin(PartnerPage):
    """Firms that the company trades with."""

    empty = "Start an onboarding: an approved firm becomes a partner that trades."
    runs: ClassVar = [
        decisions.approve,
        decisions.reject,
        standing.suspend,
        standing.reactivate,
        kyc.renew_kyc,
        kyc.complete_renewal,
        papers.upload_document,
        parts.add_location,
        parts.add_vehicle,
        parts.add_bank_account,
        people.invite_employee,
        amendments.request_amendment,
        overrides.override_permission,
    ]
    inputs: ClassVar = {overrides.override_permission: OverridePermissionInput}
    list_display: ClassVar = ["legal_name", "code", "city", "status", "kyc_expiry_date", "created_at"]
    list_filter: ClassVar = ["status", "legal_form", "country", "risk_category"]
    search_fields: ClassVar = ["legal_name", "trade_name", "code__startswith"]
    search_help_text = "Name or number"
    ordering: ClassVar = ["legal_name"]
    details: ClassVar = [
        "code", "status", "legal_name", "trade_name", "legal_form", "shown_pan", "shown_iec", "cin", "llpin", *ADDRESS,
        "contact_name", "shown_email", "shown_phone", "kyc_verified_date", "kyc_expiry_date", "trust_score",
        "risk_category", "group_id", "suspension_code", "suspension_reason", "review_date",
        "declared_turnover", "can_arrange_transport", "has_quality_lab", "shown_register", *ENDS,
    ]  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.register_view)
        return [
            path("<path:object_id>/kyc-register/", view, name="partner_partner_register"),
            *super().get_urls(),
        ]

    @admin.display(description="KYC register")
    def shown_register(self, row: Any) -> str:
        """A link to the file, for who may print it."""
        if not may(actor_of(row.seen_by), capabilities.EXPORT, row):
            return "–"
        return format_html('<a class="text-link" href="../kyc-register/">{}</a>', "Download PDF")

    def register_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send the KYC register of a partner."""
        row = self._row(request, object_id)
        if not may(actor_of(request), capabilities.EXPORT, row):
            raise PermissionDenied
        return download_register(row, actor=actor_of(request))

    @admin.display(description="PAN")
    def shown_pan(self, row: Any) -> str:
        """The PAN, masked where the person may not see it."""
        return _masked(row.seen_by, row, row.pan, PAN, "pan")

    @admin.display(description="IEC")
    def shown_iec(self, row: Any) -> str:
        """The importer exporter code, masked likewise."""
        return _masked(row.seen_by, row, row.iec, IEC, "iec")

    @admin.display(description="contact e-mail")
    def shown_email(self, row: Any) -> str:
        """The address, masked likewise."""
        return _masked(row.seen_by, row, row.contact_email, EMAIL, "contact_email")

    @admin.display(description="contact phone")
    def shown_phone(self, row: Any) -> str:
        """The number, masked likewise."""
        return _masked(row.seen_by, row, row.contact_phone, PHONE, "contact_phone")


@admin.register(OnboardingRound)
class OnboardingAdmin(PartnerPage):
    """Applications and renewals. The decision is made on the partner's page."""

    creates = onboarding.start_onboarding
    runs: ClassVar = [
        papers.add_document,
        corrections.remove_part,
        submission.submit,
        onboarding.request_info,
        onboarding.assign,
        submission.respond,
        submission.withdraw,
    ]
    queues: ClassVar = [
        Queue(
            title="Files of partners to review",
            filters={"status": "under_review"},
            since="submitted_at",
            amber=_HALF_DAY,
            red=_DAY,
        ),
        Queue(
            title="Files that wait for a registry",
            filters={"status": "verification_pending"},
            since="submitted_at",
            amber=_HALF_DAY,
            red=_DAY,
            quiet=True,
        ),
    ]
    list_display: ClassVar = [
        "partner",
        "kind",
        "status",
        "route",
        "trust_score",
        "risk_category",
        "assigned_to",
        "submitted_at",
    ]
    inputs: ClassVar = {onboarding.assign: AssignInput}
    list_filter: ClassVar = ["status", "kind", "route", "assigned_to"]
    list_select_related: ClassVar = ["partner", "assigned_to"]
    search_fields: ClassVar = ["partner__legal_name", "partner__trade_name", "partner__code__startswith"]
    search_help_text = "Name or number of the partner"
    details: ClassVar = [
        "partner", "number", "kind", "status", "route", "trust_score", "risk_category", "started_by", "assigned_to",
        "submitted_at",
        "expires_at", "decided_by", "decided_at", "reason_code", "reason", "note", "notice_version", *ENDS,
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: OnboardingRound) -> list[Table]:
        """The checklist, the score by factor, and what belongs to the file."""
        items = checklist(row, clock.today())
        lines = [
            (item.title, "yes" if item.done else "missing", "yes" if item.verified else "–") for item in items
        ]
        found = [Table("Checklist", ["Item", "Handed in", "Verified"], lines)]
        if row.score_parts:
            points = [
                (name.replace("_", " ").capitalize(), f"{value:+}") for name, value in row.score_parts.items()
            ]
            start = [("Start", "+50"), *points]
            limit = checks.suggested_limit(row)
            if limit is not None:
                start.append(("Suggested credit limit (INR)", group(limit)))
            found.append(Table("Score", ["Factor", "Points"], start))
        return [*found, *super().tables(request, row)]

    def previews(self, request: HttpRequest, row: OnboardingRound) -> list[Preview]:
        """The papers of the partner beside what was declared, the newest of each first."""
        page = self.admin_site._registry[PartnerDocument]
        found = (
            page.get_queryset(request).filter(partner=row.partner_id).order_by("document_type", "-revision")
        )
        found_previews: list[Preview] = page.previews_of(request, found[:MOST_PREVIEWS])
        return found_previews


@admin.register(InformationItem)
class InformationItemAdmin(PartOfPartner):
    """Questions of staff, and the answers."""

    empty = 'Open a file under review and choose "Ask for information".'
    list_display: ClassVar = ["text", "partner", "due_at", "answer", "answered_at"]
    search_fields: ClassVar = ["partner__legal_name"]


@admin.register(KycCheck)
class CheckAdmin(PartOfPartner):
    """What registries were asked. A check that waits is settled by hand; two people can waive any."""

    empty = "Registries are asked when a file is submitted."
    runs: ClassVar = [checks.settle_check, overrides.waive_check]
    inputs: ClassVar = {checks.settle_check: SettleCheckInput, overrides.waive_check: WaiveCheckInput}
    list_display: ClassVar = [
        "kind",
        "partner",
        "status",
        "mandatory",
        "name_score",
        "attempts",
        "answered_at",
    ]
    list_filter: ClassVar = ["status", "kind", "mandatory"]
    search_fields: ClassVar = ["partner__legal_name"]
    details: ClassVar = [
        "kind", "partner", "round", "status", "mandatory", "provider", "name_score", "attempts", "next_attempt_at",
        "error_code", "answered_at", "asked_by", "settled_by", "settled_reason", *ENDS,
    ]  # fmt: skip


@admin.register(PartnerDocument)
class DocumentAdmin(FilePage, PartOfPartner):
    """Papers of partners, with the file beside what was entered."""

    empty = "Papers are uploaded with a file, or on the page of an active partner."
    runs: ClassVar = [papers.verify_document, papers.reject_document]
    panel: ClassVar = runs
    queues: ClassVar = [
        Queue(
            title="Papers to verify",
            filters={"status": "uploaded"},
            since="created_at",
            amber=_HALF_DAY,
            red=_DAY,
        )
    ]
    list_display: ClassVar = ["document_type", "partner", "status", "expiry_date", "revision", "created_at"]
    list_filter: ClassVar = ["status", "document_type"]
    search_fields: ClassVar = ["partner__legal_name"]
    details: ClassVar = [
        "document_type", "partner", "round", "status", "download", "target_type", "issue_date", "expiry_date",
        "revision", "replaces", "filename", "media_type", "size", "scan_status", "uploaded_by", "decided_by",
        "decided_at", "reject_code", "reject_reason", *ENDS,
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return rows.select_related("file")

    def file_of(self, request: HttpRequest, row: PartnerDocument) -> Any:
        return row.file if papers.may_read_content(actor_of(request), row) else None

    def name_of(self, row: PartnerDocument) -> str:
        return f"paper-{row.pk}"

    def note_read(self, request: HttpRequest, row: PartnerDocument) -> None:
        log_clear_read(actor_of(request), row, ["file"])
        clear_reads.note(request, row, "file")
        clear_reads.record(request)

    def disabled_reason(self, request: HttpRequest, service: Service, row: PartnerDocument) -> str:
        """Return why a decision is disabled: nobody decides on an own upload."""
        own = row.uploaded_by_id == request.user.pk
        return "You uploaded this paper, so another person must decide on it." if own else ""


@admin.register(PartnerBankAccount)
class PartnerBankAccountAdmin(PartOfPartner):
    """Bank accounts of partners. Only the last four characters of a number are shown."""

    runs: ClassVar = [parts.verify_bank_account]
    hidden: ClassVar = [
        "id", "number_encrypted", "number_hash", "iban_encrypted", "iban_hash", "call_back_phone",
    ]  # fmt: skip
    queues: ClassVar = [
        Queue(
            title="Bank accounts of partners to verify",
            filters={"status": "pending_verification"},
            since="created_at",
            amber=_HALF_DAY,
            red=_DAY,
        )
    ]
    list_display: ClassVar = [
        "bank_name",
        "partner",
        "last4",
        "currency",
        "is_primary",
        "status",
        "created_at",
    ]
    list_filter: ClassVar = ["status", "currency"]
    search_fields: ClassVar = ["partner__legal_name", "bank_name", "last4"]
    details: ClassVar = [
        "partner", "holder", "bank_name", "last4", "ifsc", "swift", "account_type", "purpose", "currency", "status",
        "is_primary", "created_by", "verified_by", "verified_at", "method", "call_back_note", "payable_from", *ENDS,
    ]  # fmt: skip

    def disabled_reason(self, request: HttpRequest, service: Service, row: PartnerBankAccount) -> str:
        """Return why the action is disabled: nobody verifies an own entry."""
        own = row.created_by_id == request.user.pk
        return "You added this account, so another person must verify it." if own else ""

    def options(
        self, request: HttpRequest, service: Service, row: PartnerBankAccount | None
    ) -> dict[str, list[tuple[str, str]]]:
        """Offer the partner's verified proofs of an account."""
        if row is None:
            return {}
        proofs = PartnerDocument.objects.filter(
            partner=row.partner_id, status="verified", document_type__in=["cancelled_cheque", "bank_proof"]
        )
        return {"document_id": [(str(proof.pk), str(proof)) for proof in proofs.order_by("-id")]}


@admin.register(PartnerEmployee)
class EmployeeAdmin(PartOfPartner):
    """People of partners who use the product."""

    runs: ClassVar = [people.deactivate_employee]
    list_display: ClassVar = ["name", "partner", "designation", "roles", "status", "invited_at"]
    list_filter: ClassVar = ["status"]
    search_fields: ClassVar = ["name", "partner__legal_name"]
    details: ClassVar = [
        "partner", "name", "designation", "roles", "status", "invited_at", "activated_at", "deactivated_at",
        "deactivated_by", *ENDS,
    ]  # fmt: skip


@admin.register(PartnerLocation)
class PartnerLocationAdmin(PartOfPartner):
    """Places of business of partners."""

    list_display: ClassVar = ["code", "name", "partner", "kind", "city", "state_code", "geo_status", "status"]
    list_filter: ClassVar = ["kind", "geo_status", "status"]
    search_fields: ClassVar = ["name", "city", "partner__legal_name"]
    details: ClassVar = [
        "partner", "code", "name", "kind", *ADDRESS, "contact_name", "geo_status", "can_ship_from", "can_ship_to",
        "default_ship_from", "default_ship_to", "capacity_quintals", "status", *ENDS,
    ]  # fmt: skip


@admin.register(Vehicle)
class VehicleAdmin(PartOfPartner):
    """Vehicles of transporters."""

    list_display: ClassVar = ["number", "partner", "category", "capacity_tonnes", "status"]
    list_filter: ClassVar = ["category", "status"]
    search_fields: ClassVar = ["number__startswith", "partner__legal_name"]


@admin.register(TaxRegistration)
class TaxRegistrationAdmin(PartOfPartner):
    """GST registrations of partners, as the registry answers."""

    empty = "A registration comes with the profile of a partner, or with a location."
    hidden: ClassVar = ["id", "gstin_encrypted", "gstin_hash"]
    list_display: ClassVar = [
        "partner",
        "state_code",
        "registry_status",
        "type",
        "filing_grade",
        "checked_at",
    ]
    list_filter: ClassVar = ["registry_status", "type", "state_code"]
    search_fields: ClassVar = ["partner__legal_name"]
    details: ClassVar = [
        "partner", "shown_gstin", "state_code", "form", "legal_name", "registry_status", "type", "registration_date",
        "filing_grade", "turnover", "checked_at", "is_main", "claimed", *ENDS,
    ]  # fmt: skip

    @admin.display(description="GSTIN")
    def shown_gstin(self, row: Any) -> str:
        """The GSTIN, masked where the person may not see it."""
        return _masked(row.seen_by, row, row.gstin, GSTIN, "gstin")


@admin.register(PartnerRole)
class RoleAdmin(PartOfPartner):
    """Roles of partners in business."""

    empty = "Roles come with the profile of a partner."
    list_display: ClassVar = ["role", "service_kind", "partner", "live", "usable_from", "usable_to"]
    list_filter: ClassVar = ["role", "live"]
    search_fields: ClassVar = ["partner__legal_name"]


@admin.register(Scorecard)
class ScorecardAdmin(PartOfPartner):
    """How partners have kept their word over 24 months, as risk computes it."""

    empty = "A scorecard follows from settled, cancelled and disputed trades."
    list_display: ClassVar = ["partner", "band", "rating", "trades", "paid_in_time", "disputed"]
    list_filter: ClassVar = ["band"]
    search_fields: ClassVar = ["partner__legal_name"]


@admin.register(TradePermission)
class TradePermissionAdmin(PartOfPartner):
    """What partners may trade, computed from their verified papers."""

    empty = "Permissions follow from verified papers once a partner is approved."
    list_display: ClassVar = ["name", "partner", "valid_from", "valid_to", "source"]
    list_filter: ClassVar = ["name", "source"]
    search_fields: ClassVar = ["partner__legal_name"]


@admin.register(PermissionOverride)
class PermissionOverrideAdmin(PartOfPartner):
    """Trade permissions that two people give without papers, until a day."""

    empty = 'Open a partner and choose "Give trade permission".'
    list_display: ClassVar = ["name", "partner", "valid_to", "status", "requested_by", "decided_by"]
    list_filter: ClassVar = ["status", "name"]
    search_fields: ClassVar = ["partner__legal_name"]


@admin.register(PartyLink)
class PartyLinkAdmin(PartnerPage):
    """Partners that share an identifier. Suspected ones that block are decided before either is approved."""

    empty = "Related parties are found by themselves when files are submitted or changed."
    runs: ClassVar = [links.decide_link]
    inputs: ClassVar = {links.decide_link: DecideLinkInput}
    queues: ClassVar = [
        Queue(
            title="Related parties to decide",
            filters={"status": "suspected", "strength": "block"},
            since="created_at",
            amber=_HALF_DAY,
            red=_DAY,
        )
    ]
    list_display: ClassVar = ["low", "high", "kind", "strength", "status", "created_at"]
    list_filter: ClassVar = ["status", "strength", "kind"]
    list_select_related: ClassVar = ["low", "high"]
    search_fields: ClassVar = ["low__legal_name", "high__legal_name"]
    details: ClassVar = [
        "low", "high", "kind", "strength", "source", "status", "proposed_status", "cleared_until_date", "decided_by",
        "decided_at", *ENDS,
    ]  # fmt: skip


@admin.register(PartnerOwner)
class OwnerAdmin(PartOfPartner):
    """Owners and directors of partners."""

    empty = "Owners come with the profile of a partner."
    hidden: ClassVar = ["id", "din_encrypted", "din_hash", "pan_encrypted", "pan_hash"]
    list_display: ClassVar = ["name", "partner", "kind", "share_percent"]
    list_filter: ClassVar = ["kind"]
    search_fields: ClassVar = ["name", "partner__legal_name"]
    details: ClassVar = ["partner", "name", "kind", "share_percent", *ENDS]


@admin.register(Amendment)
class AmendmentAdmin(PartOfPartner):
    """Changes of approved partners, decided by their tier."""

    runs: ClassVar = [
        amendments.approve_amendment,
        amendments.reject_amendment,
        amendments.withdraw_amendment,
    ]
    queues: ClassVar = [
        Queue(
            title="Amendments of partners",
            filters={"status": "pending"},
            since="created_at",
            amber=_HALF_DAY,
            red=_DAY,
        )
    ]
    list_display: ClassVar = ["partner", "tier", "status", "effective_date", "requested_by", "created_at"]
    list_filter: ClassVar = ["status", "tier"]
    search_fields: ClassVar = ["partner__legal_name"]
    details: ClassVar = [
        "partner", "tier", "status", "reason", "effective_date", "requested_by", "decided_by", "decided_at",
        "reason_code", "decision_note", "expires_at", *ENDS,
    ]  # fmt: skip

    def disabled_reason(self, request: HttpRequest, service: Service, row: Amendment) -> str:
        """Return why a decision is disabled: nobody decides on an own request."""
        decides = service is not amendments.withdraw_amendment
        own = row.requested_by_id == request.user.pk
        return "You requested this amendment, so another person must decide on it." if decides and own else ""

    def tables(self, request: HttpRequest, row: Amendment) -> list[Table]:
        """Old and new values, hidden from whoever may not see numbers in full, and the exposure that it touches."""
        clear = sees_clear(actor_of(request), row)
        if clear:
            log_clear_read(actor_of(request), row, ["changes"])
            clear_reads.note(request, row, "changes")
        lines = [
            (
                str(change),
                _words(change.old_value) if clear else "•••",
                _words(change.new_value) if clear else "•••",
            )
            for change in row.changes.order_by("id")
        ]
        found = [Table("Changes", ["Field", "Old", "New"], lines)]
        if row.impact:
            sides = [(side, part["sources"], part["amount"]) for side, part in row.impact.items()]
            found.append(Table("Open exposure", ["Side", "Sources", "Amount"], sides))
        return found


@admin.register(CreditAccount)
class CreditAccountAdmin(PartOfPartner):
    """Credit of partners: limit, exposure and what is left."""

    empty = "Every approved partner has one."
    runs: ClassVar = [credit.set_credit_limit]
    list_display: ClassVar = [
        "partner",
        "currency",
        "shown_limit",
        "shown_exposure",
        "shown_headroom",
        "on_hold",
    ]
    list_filter: ClassVar = ["on_hold", "currency"]
    search_fields: ClassVar = ["partner__legal_name", "partner__code__startswith"]
    details: ClassVar = [
        "partner", "currency", "shown_limit", "shown_exposure", "shown_headroom", "on_hold", "holds", "contracted",
        "mark", "delivered_unpaid", "advances", "margin", *ENDS,
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return rows.with_limit(clock.today()).select_related("partner")

    @admin.display(description="limit")
    def shown_limit(self, row: CreditAccount) -> Any:
        """The limit today."""
        return _amount(row.limit)

    @admin.display(description="exposure")
    def shown_exposure(self, row: CreditAccount) -> Any:
        """Everything at risk today."""
        return _amount(row.exposure)

    @admin.display(description="headroom")
    def shown_headroom(self, row: CreditAccount) -> Any:
        """What is left of the limit."""
        return _amount(row.headroom)


@admin.register(CreditLimit)
class CreditLimitAdmin(PartOfPartner):
    """Credit limits of partners by their days."""

    empty = 'Open the credit of a partner and choose "Set credit limit".'
    list_display: ClassVar = ["partner", "amount", "valid_from", "valid_to", "payment_terms_days", "status"]
    list_filter: ClassVar = ["status"]
    search_fields: ClassVar = ["partner__legal_name"]
    details: ClassVar = [
        "partner", "amount", "valid_from", "valid_to", "payment_terms_days", "collateral_kind", "collateral_value",
        "collateral_rate", "on_hold", "status", "proposed_by", "approved_by", "reason", *ENDS,
    ]  # fmt: skip


@admin.register(ExposureEntry)
class ExposureEntryAdmin(PartOfPartner):
    """The ledger of exposure. Nobody changes a line."""

    empty = "Lines are added when goods are reserved, contracted, delivered and paid."
    list_display: ClassVar = ["partner", "bucket", "kind", "amount", "source_type", "created_at"]
    list_filter: ClassVar = ["bucket", "kind"]
    search_fields: ClassVar = ["partner__legal_name", "=source_id"]
    search_help_text = "Name of the partner, or the full ID of a reservation or trade"


def _words(value: Any) -> str:
    """A value of an amendment as people read it."""
    if isinstance(value, dict):
        return ", ".join(str(part) for part in value.values() if part)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no", None: "–", "": "–"}.get(value, str(value))


def _amount(value: Any) -> Any:
    return format_html('<span class="erp-number">{}</span>', group(value))
