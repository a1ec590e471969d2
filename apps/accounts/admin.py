"""People, their sign-ins and their rights as administrators see them."""

from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from apps.accounts import capabilities, lookups, services
from apps.accounts.models import AccessPolicy, CapabilityChange, CapabilityGrant, Session, User, ViewAs
from apps.accounts.serializers import (
    DeactivateInput,
    InviteInput,
    ProposeChangeInput,
    ProposeGrantInput,
    ProposeRoleInput,
    ReactivateInput,
    ResetFactorInput,
    StartViewAsInput,
    UnlockInput,
)
from erp.access import actor_of, holds_everywhere, may, registry
from erp.admin import ServiceAdmin, Table
from erp.capabilities import VIEW_TRAIL
from erp.services import Service

MOST_HOLDERS = 200  # told of one capability on one page


@admin.register(User)
class UserAdmin(ServiceAdmin):
    """Everybody who can sign in."""

    views = capabilities.VIEW
    creates = services.invite
    runs: ClassVar = [
        services.propose_role,
        services.propose_grant,
        services.deactivate,
        services.reactivate,
        services.invite_again,
        services.reset_second_factor,
        services.end_sessions,
        services.unlock,
    ]
    inputs: ClassVar = {
        services.invite: InviteInput,
        services.propose_role: ProposeRoleInput,
        services.propose_grant: ProposeGrantInput,
        services.deactivate: DeactivateInput,
        services.reactivate: ReactivateInput,
        services.reset_second_factor: ResetFactorInput,
        services.unlock: UnlockInput,
    }
    list_display: ClassVar = ["full_name", "email", "user_type", "roles", "status", "created_at"]
    list_filter: ClassVar = ["user_type", "status", "groups"]
    search_fields: ClassVar = ["full_name", "=email"]
    search_help_text = "Part of a name, or a whole address"
    ordering: ClassVar = ["full_name"]
    details: ClassVar = [
        "full_name",
        "email",
        "mobile",
        "user_type",
        "roles",
        "second_factor",
        "status",
        "organization_id",
        "partner_id",
        "email_verified_at",
        "mobile_verified_at",
        "locale",
        "version",
        "created_at",
        "updated_at",
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups").select_related("totp")

    @admin.display(description="roles")
    def roles(self, row: User) -> str:
        """Roles held now."""
        return ", ".join(row.role_names) or "–"

    @admin.display(description="second factor", boolean=True)
    def second_factor(self, row: User) -> bool:
        """Whether one is on."""
        return row.has_second_factor

    def disabled_reason(self, request: HttpRequest, service: Service, row: User) -> str:
        if row.pk == request.user.pk:
            return "Another person does this to your account."
        if row.is_superuser and not request.user.is_superuser:
            return "Only a super administrator changes another."
        return ""

    def tables(self, request: HttpRequest, row: User) -> list[Table]:
        sessions = (
            Session.objects.seen_by_staff(actor_of(request)).filter(user=row).order_by("-created_at")[:10]
        )
        lines = [
            (
                session.created_at,
                session.get_door_display(),
                session.get_method_display(),
                session.ended_at or "–",
            )
            for session in sessions
        ]
        return [
            Table("Latest sign-ins", ["Since", "Channel", "Method", "Ended"], lines),
            Table("What this person may do", ["Capability", "Reach", "By"], lookups.rights_of(row)),
        ]


@admin.register(Session)
class SessionAdmin(ServiceAdmin):
    """Sign-ins. Device and address are shown to their owner and to who administers users."""

    views = capabilities.VIEW
    list_display: ClassVar = ["created_at", "user", "door", "method", "expires_at", "ended_at", "end_reason"]
    list_filter: ClassVar = ["door", "method", "end_reason"]
    drill_downs: ClassVar = ["user__id__exact"]
    list_select_related: ClassVar = ["user"]
    ordering: ClassVar = ["-id"]  # ids rise with time
    details: ClassVar = [
        "user",
        "door",
        "method",
        "second_factor",
        "created_at",
        "refreshed_at",
        "expires_at",
        "absolute_expires_at",
        "ended_at",
        "end_reason",
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return Session.objects.seen_by_staff(actor_of(request))

    def get_details(self, request: HttpRequest, row: Session) -> list[Any]:
        """With device and address for those who may know them."""
        known = row.belongs_to(actor_of(request)) or may(actor_of(request), capabilities.MANAGE_USERS, row)
        return [*super().get_details(request, row), *(["device_label", "ip"] if known else [])]


@admin.register(ViewAs)
class ViewAsAdmin(ServiceAdmin):
    """Who looked through which partner's eyes, and why. Adding one begins it."""

    views = (capabilities.VIEW_AS, VIEW_TRAIL)
    creates = services.start_view_as
    runs: ClassVar = [services.end_view_as]
    inputs: ClassVar = {services.start_view_as: StartViewAsInput}
    list_display: ClassVar = ["user", "partner_id", "created_at", "ends_at", "ended_at"]
    list_select_related: ClassVar = ["user"]
    ordering: ClassVar = ["-id"]
    details: ClassVar = ["user", "partner_id", "reason", "created_at", "ends_at", "ended_at"]


class _RightsAdmin(ServiceAdmin):
    """Pages on rights: for those who propose and decide them, and those who read the trail."""

    views = (capabilities.MANAGE_CAPABILITIES, VIEW_TRAIL)


@admin.register(CapabilityChange)
class CapabilityChangeAdmin(_RightsAdmin):
    """Changes of rights that wait for a second person, and what became of the others."""

    creates = services.propose_matrix_change
    runs: ClassVar = [services.withdraw_capability_change]
    inputs: ClassVar = {services.propose_matrix_change: ProposeChangeInput}
    list_display: ClassVar = ["__str__", "status", "proposed_by", "created_at"]
    list_filter: ClassVar = ["status", "kind", "operation"]
    list_select_related: ClassVar = ["user", "proposed_by"]
    ordering: ClassVar = ["-created_at"]
    details: ClassVar = [
        "kind",
        "operation",
        "role",
        "user",
        "capability",
        "scope",
        "object_type",
        "object_id",
        "grant_expires_at",
        "reason",
        "status",
        "proposed_by",
        "base_version",
        "approval_id",
        "created_at",
        "updated_at",
    ]


@admin.register(CapabilityGrant)
class CapabilityGrantAdmin(_RightsAdmin):
    """Single grants. New ones begin at a person's page; they are found by whom they were given to."""

    list_display: ClassVar = ["user", "capability", "object_type", "expires_at", "status"]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["user"]
    search_fields: ClassVar = ["user__full_name", "=user__email", "=capability"]
    search_help_text = "Part of a name, a whole address, or a capability"
    ordering: ClassVar = ["-id"]


@admin.register(AccessPolicy)
class AccessPolicyAdmin(_RightsAdmin):
    """The matrix in force, with what the business changed of the code's default."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Roles by capabilities; a deviation is marked, one from what the audit asked for in red."""
        if not self._sees_every_row(request):
            raise PermissionDenied
        self.check_query(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Who may do what",
            "opts": self.opts,
            "roles": list(registry.roles),
            "lines": lookups.matrix(),
            "proposes": holds_everywhere(actor_of(request), capabilities.MANAGE_CAPABILITIES)
            and not self.admin_site.reads_only(request),
        }
        return TemplateResponse(request, "account/matrix.html", context)

    def get_urls(self) -> list[URLPattern]:
        who = path(
            "who/<str:capability>/",
            self.admin_site.admin_view(self.who_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_who",
        )
        return [who, *super().get_urls()]

    def who_view(self, request: HttpRequest, capability: str) -> HttpResponse:
        """Who may do this, in any form or on the row of ``?type=label.Model&id=…``, and by which right."""
        if not self._sees_every_row(request):
            raise PermissionDenied
        if capability not in registry.capabilities:
            raise Http404
        row, missing = self._row_asked(request)
        found = [] if missing else list(lookups.holders(capability, row))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Who may do this: {capability}",
            "opts": self.opts,
            "capability": registry.capabilities[capability],
            "kind": request.GET.get("type", ""),
            "row_id": request.GET.get("id", ""),
            "row": row,
            "missing": missing,
            "more": len(found) > MOST_HOLDERS,
            "holders": found[:MOST_HOLDERS],
        }
        return TemplateResponse(request, "account/who.html", context)

    def _row_asked(self, request: HttpRequest) -> tuple[Any, bool]:
        """The row asked about, and whether one was asked for that isn't there, or that the person can't see."""
        kind, key = request.GET.get("type", ""), request.GET.get("id", "")
        if not kind and not key:
            return None, False
        try:
            model = apps.get_model(kind)
            row = model._default_manager.visible_to(request.user).filter(pk=key).first()
        except (AttributeError, LookupError, NotImplementedError, ValueError, ValidationError):
            row = None
        return row, row is None
