"""Shapes of messages and texts."""

from typing import Any

from apps.accounts.models import User
from apps.notifications.models import Category, Channel, Message, notices
from erp.api import fields
from erp.api.serializers import Input, Output


class MessageOutput(Output):
    masked = ("subject", "body")

    class Meta:
        model = Message
        fields = ("code", "channel", "category", "subject", "body", "attempts", "sent_at", "not_after")

    def to_representation(self, message: Message) -> dict[str, Any]:
        """Without words for security messages, and for what wasn't sent yet."""
        told: dict[str, Any] = super().to_representation(message)
        if message.category == Category.SECURITY or message.status != Message.Status.SENT:
            told["subject"] = told["body"] = None
        return told


class ChangeTemplateInput(Input):
    subject = fields.CharField(
        max_length=150,
        required=False,
        allow_blank=True,
        help_text="Of mails only; names in braces are filled in",
    )
    body = fields.CharField(max_length=10_000, multiline=True, help_text="Names in braces are filled in")
    dlt_template_id = fields.CharField(
        max_length=40,
        required=False,
        allow_blank=True,
        help_text="Of the text as registered with the operators; needed to send SMS",
    )


class AddTemplateInput(ChangeTemplateInput):
    code = fields.ChoiceField(choices=[(code, notice.title) for code, notice in sorted(notices.items())])
    channel = fields.ChoiceField(choices=Channel.choices)
    locale = fields.ChoiceField(choices=User.Locale.choices)
