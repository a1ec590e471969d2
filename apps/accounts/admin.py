"""People and their sign-ins as administrators see them."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts import capabilities, services
from apps.accounts.models import Session, User
from apps.accounts.serializers import AddUserInput
from erp.access import may
from erp.admin import ServiceAdmin, Table


@admin.register(User)
class UserAdmin(ServiceAdmin):
    """Everybody who can sign in."""

    views = capabilities.VIEW
    creates = services.add_user
    inputs: ClassVar = {services.add_user: AddUserInput}
    list_display: ClassVar = ["full_name", "email", "user_type", "role_names", "status", "created_at"]
    list_filter: ClassVar = ["user_type", "status", "groups"]
    search_fields: ClassVar = ["full_name", "=email"]
    search_help_text = "Part of a name, or a whole address"
    ordering: ClassVar = ["full_name"]
    details: ClassVar = [
        "full_name",
        "email",
        "mobile",
        "user_type",
        "role_names",
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
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="roles")
    def role_names(self, row: User) -> str:
        """Roles held now."""
        return ", ".join(sorted(role.name for role in row.groups.all())) or "–"

    def tables(self, request: HttpRequest, row: User) -> list[Table]:
        sessions = Session.objects.seen_by_staff(request.user).filter(user=row).order_by("-created_at")[:10]
        lines = [
            (session.created_at, session.door, session.get_method_display(), session.ended_at or "–")
            for session in sessions
        ]
        return [Table("Latest sign-ins", ["Since", "Door", "Method", "Ended"], lines)]


@admin.register(Session)
class SessionAdmin(ServiceAdmin):
    """Sign-ins. Device and address are shown to their owner and to who administers users."""

    views = capabilities.VIEW
    list_display: ClassVar = ["created_at", "user", "door", "method", "expires_at", "ended_at", "end_reason"]
    list_filter: ClassVar = ["door", "method", "end_reason"]
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
        return Session.objects.seen_by_staff(request.user)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "user__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_details(self, request: HttpRequest, row: Session) -> list[Any]:
        """With device and address for those who may know them."""
        known = row.belongs_to(request.user) or may(request.user, capabilities.MANAGE_USERS)
        return [*super().get_details(request, row), *(["device_label", "ip"] if known else [])]
