"""Users, sessions and rights in the staff portal."""

from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.accounts import capabilities, lookups
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
from apps.accounts.services import joining, rights, users, viewing
from apps.accounts.services.references import ORGANIZATION, PARTNER
from erp.access import actor_of, holds_everywhere, may, registry
from erp.admin import ServiceAdmin, Table, acts
from erp.capabilities import VIEW_TRAIL
from erp.services import Refusal, Service

MOST_OFFERED = 500  # partners or organizations to choose from
MOST_HOLDERS = 200  # listed for one capability on one page


@admin.register(User)
class UserAdmin(ServiceAdmin):
    """Users."""

    views = capabilities.VIEW
    creates = joining.invite
    runs: ClassVar = [
        rights.propose_role,
        rights.propose_grant,
        users.deactivate,
        users.reactivate,
        joining.invite_again,
        users.reset_second_factor,
        users.end_sessions,
        users.unlock,
    ]
    inputs: ClassVar = {
        joining.invite: InviteInput,
        rights.propose_role: ProposeRoleInput,
        rights.propose_grant: ProposeGrantInput,
        users.deactivate: DeactivateInput,
        users.reactivate: ReactivateInput,
        users.reset_second_factor: ResetFactorInput,
        users.unlock: UnlockInput,
    }
    list_display: ClassVar = ["full_name", "email", "user_type", "roles", "status", "created_at"]
    list_filter: ClassVar = ["user_type", "status", "groups"]
    search_fields: ClassVar = ["full_name", "=email"]
    search_help_text = "Part of a name, or a complete e-mail address"
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
        """Current roles."""
        return ", ".join(row.role_names) or "–"

    @admin.display(description="two-factor authentication", boolean=True)
    def second_factor(self, row: User) -> bool:
        """Whether two-factor authentication is enabled."""
        return row.has_second_factor

    def disabled_reason(self, request: HttpRequest, service: Service, row: User) -> str:
        if row.pk == request.user.pk:
            return "Another person must do this for your account."
        if row.is_superuser and not request.user.is_superuser:
            return "Only a super administrator can change another one."
        return ""

    def options(self, request: HttpRequest, service: Service, row: Any) -> dict[str, list[tuple[str, str]]]:
        """Offer the organizations by name."""
        if service is not joining.invite:
            return {}
        rows = apps.get_model(ORGANIZATION)._default_manager.all().visible_to(request.user)
        return {"organization_id": [(str(each.pk), str(each)) for each in rows.order_by("pk")[:MOST_OFFERED]]}

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
            Table("Latest sign-ins", ["Signed in at", "Channel", "Method", "Ended at"], lines),
            Table("Capabilities", ["Capability", "Scope", "Source"], lookups.rights_of(row)),
        ]


@admin.register(Session)
class SessionAdmin(ServiceAdmin):
    """Sessions. Device and IP address are shown to their owner and to administrators of users."""

    empty = "A session begins when somebody signs in."
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
        """Add device and IP address for the owner and administrators of users."""
        may_see = row.belongs_to(actor_of(request)) or may(actor_of(request), capabilities.MANAGE_USERS, row)
        return [*super().get_details(request, row), *(["device_label", "ip"] if may_see else [])]


@admin.register(ViewAs)
class ViewAsAdmin(ServiceAdmin):
    """Views as a partner: who, which partner and why. Adding one starts it."""

    views = (capabilities.VIEW_AS, VIEW_TRAIL)
    creates = viewing.start_view_as
    runs: ClassVar = [viewing.end_view_as]
    inputs: ClassVar = {viewing.start_view_as: StartViewAsInput}
    list_display: ClassVar = ["user", "partner_id", "created_at", "ends_at", "ended_at"]
    list_select_related: ClassVar = ["user"]
    ordering: ClassVar = ["-id"]
    details: ClassVar = ["user", "partner_id", "reason", "created_at", "ends_at", "ended_at"]

    def options(self, request: HttpRequest, service: Service, row: Any) -> dict[str, list[tuple[str, str]]]:
        """Offer the partners with active users, by name."""
        if service is not viewing.start_view_as:
            return {}
        active = User.objects.filter(status=User.Status.ACTIVE, partner_id__isnull=False)
        partners = apps.get_model(PARTNER)._default_manager.filter(pk__in=active.values("partner_id"))
        shown = sorted((str(each), str(each.pk)) for each in partners.visible_to(request.user)[:MOST_OFFERED])
        return {"partner_id": [(pk, name) for name, pk in shown]}

    def _run(
        self, request: HttpRequest, service: Service, form: Any, row: Any, version: int | None
    ) -> acts.Outcome | Refusal:
        """Continue on the home page: the partner doesn't see the page of the view itself."""
        done = super()._run(request, service, form, row, version)
        if isinstance(done, Refusal) or service is not viewing.start_view_as:
            return done
        return acts.Outcome(done.text, reverse("admin:index"))


class _RightsAdmin(ServiceAdmin):
    """Pages on rights, for those who manage capabilities or read the trail."""

    views = (capabilities.MANAGE_CAPABILITIES, VIEW_TRAIL)


@admin.register(CapabilityChange)
class CapabilityChangeAdmin(_RightsAdmin):
    """Proposed changes of rights and their outcomes."""

    creates = rights.propose_matrix_change
    runs: ClassVar = [rights.withdraw_capability_change]
    inputs: ClassVar = {rights.propose_matrix_change: ProposeChangeInput}
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
    """Single grants. A new one is proposed on the page of its user."""

    empty = 'Open a user and choose "Propose grant" to propose one.'
    list_display: ClassVar = ["user", "capability", "object_type", "expires_at", "status"]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["user"]
    search_fields: ClassVar = ["user__full_name", "=user__email", "=capability"]
    search_help_text = "Part of a name, a complete e-mail address, or a capability"
    ordering: ClassVar = ["-id"]


@admin.register(AccessPolicy)
class AccessPolicyAdmin(_RightsAdmin):
    """The current capability matrix, with the deviations from the default in code."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The matrix of roles and capabilities. Deviations are marked, those of audited capabilities in red."""
        if not self._sees_every_row(request):
            raise PermissionDenied
        self.check_query(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Capability matrix",
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
        """Users with the capability, in general or on the row of ``?type=label.Model&id=…``, and its source."""
        if not self._sees_every_row(request):
            raise PermissionDenied
        if capability not in registry.capabilities:
            raise Http404
        row, missing = self._requested_row(request)
        holders = [] if missing else list(lookups.holders(capability, row))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Users with {capability}",
            "opts": self.opts,
            "capability": registry.capabilities[capability],
            "kind": request.GET.get("type", ""),
            "row_id": request.GET.get("id", ""),
            "row": row,
            "missing": missing,
            "more": len(holders) > MOST_HOLDERS,
            "holders": holders[:MOST_HOLDERS],
        }
        return TemplateResponse(request, "account/who.html", context)

    def _requested_row(self, request: HttpRequest) -> tuple[Any, bool]:
        """The row of the query, and whether the query names a row that does not exist or is not visible."""
        kind, key = request.GET.get("type", ""), request.GET.get("id", "")
        if not kind and not key:
            return None, False
        try:
            model = apps.get_model(kind)
            row = model._default_manager.visible_to(request.user).filter(pk=key).first()
        except (AttributeError, LookupError, NotImplementedError, ValueError, ValidationError):
            row = None
        return row, row is None
