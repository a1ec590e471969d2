"""Templates, messages and digests in the staff portal."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.notifications import capabilities, services
from apps.notifications.models import COMMON, Digest, Message, Template, notices
from apps.notifications.serializers import AddTemplateInput, ChangeTemplateInput
from erp.access import actor_of
from erp.admin import Queue, ServiceAdmin, Table


@admin.register(Template)
class TemplateAdmin(ServiceAdmin):
    """Templates of notices."""

    views = capabilities.VIEW
    creates, updates = services.add_template, services.change_template
    runs: ClassVar = [services.retire_template]
    inputs: ClassVar = {
        services.add_template: AddTemplateInput,
        services.change_template: ChangeTemplateInput,
    }
    list_display: ClassVar = ["code", "channel", "locale", "subject", "status", "updated_at"]
    list_filter: ClassVar = ["status", "channel", "locale"]
    search_fields: ClassVar = ["code"]
    ordering: ClassVar = ["code", "channel", "locale"]
    details: ClassVar = [
        "code",
        "channel",
        "locale",
        "status",
        "subject",
        "body",
        "dlt_template_id",
        "version",
        "updated_at",
    ]

    def tables(self, request: HttpRequest, row: Template) -> list[Table]:
        notice = notices.get(row.code)
        known = sorted(notice.variables | COMMON) if notice else []
        return [Table("Placeholders", ["Name"], [(f"{{{name}}}",) for name in known])]


@admin.register(Message)
class MessageAdmin(ServiceAdmin):
    """Messages, without text and address."""

    empty = "A message is sent when an event concerns a user."
    views = capabilities.VIEW
    runs: ClassVar = [services.requeue]
    bulk: ClassVar = [services.requeue]
    queues: ClassVar = [
        Queue(
            title="Failed messages",
            filters={"status": "failed"},
            since="updated_at",
            amber=timedelta(hours=4),
            red=timedelta(hours=24),
            quiet=True,
        )
    ]
    list_display: ClassVar = ["title", "channel", "user", "status", "attempts", "problem", "created_at"]
    list_filter: ClassVar = ["status", "channel", "category"]
    list_select_related: ClassVar = ["user"]
    search_fields: ClassVar = ["=code", "=id"]
    search_help_text = "Complete code or ID"
    ordering: ClassVar = ["-id"]  # ids rise with time
    details: ClassVar = [
        "title",
        "channel",
        "category",
        "user",
        "status",
        "attempts",
        "next_attempt_at",
        "not_after",
        "problem",
        "provider",
        "provider_message_id",
        "sent_at",
        "template",
        "digest",
        "event_id",
        "created_at",
        "version",
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return Message.objects.seen_by_staff(actor_of(request))

    @admin.display(description="notice", ordering="code")
    def title(self, row: Message) -> str:
        """The notice in words."""
        return row.title

    @admin.display(description="why it was not sent", ordering="error_code")
    def problem(self, row: Message) -> str:
        """The error in words."""
        return row.problem or "–"


@admin.register(Digest)
class DigestAdmin(ServiceAdmin):
    """Digests: the messages of a user and day, sent as one."""

    views = capabilities.MANAGE
    list_display: ClassVar = ["user", "channel", "day", "status"]
    list_filter: ClassVar = ["status", "channel"]
    list_select_related: ClassVar = ["user"]
    ordering: ClassVar = ["-id"]
