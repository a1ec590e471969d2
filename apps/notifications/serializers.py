"""Inputs and outputs of messages and templates."""

from typing import Any

from apps.accounts.models import User
from apps.notifications.models import Category, Channel, Message, Template, notices
from erp.api import fields
from erp.api.serializers import Input, Output


class MessageOutput(Output):
    masked = ("subject", "body")

    class Meta:
        model = Message
        fields = ("code", "channel", "category", "subject", "body", "attempts", "sent_at", "not_after")

    def to_representation(self, message: Message) -> dict[str, Any]:
        """Subject and body are null for security messages and for messages that were not sent yet."""
        values: dict[str, Any] = super().to_representation(message)
        if message.category == Category.SECURITY or message.status != Message.Status.SENT:
            values["subject"] = values["body"] = None
        return values


class ChangeTemplateInput(Input):
    subject = fields.CharField(max_length=150, required=False, allow_blank=True)
    body = fields.CharField(max_length=10_000, multiline=True)
    dlt_template_id = fields.CharField(max_length=40, required=False, allow_blank=True)

    class Meta:
        model = Template


class AddTemplateInput(ChangeTemplateInput):
    code = fields.ChoiceField(choices=[(code, notice.title) for code, notice in sorted(notices.items())])
    channel = fields.ChoiceField(choices=Channel.choices)
    locale = fields.ChoiceField(choices=User.Locale.choices)
