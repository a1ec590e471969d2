"""Shapes of the sign-in doors."""

from django.core.validators import EmailValidator

from apps.accounts.models import User
from erp.access import registry
from erp.api import fields
from erp.api.serializers import Answer, Input


class LoginInput(Input):
    email = fields.CharField(max_length=254)
    password = fields.CharField(max_length=128, trim_whitespace=False)
    device_label = fields.CharField(max_length=120, required=False, allow_blank=True)


ROLES = [(name, f"{name}: {meaning}") for name, meaning in registry.roles.items()]


class AddUserInput(Input):
    full_name = fields.CharField(min_length=2, max_length=200)
    email = fields.CharField(max_length=254, validators=[EmailValidator("Send an e-mail address.")])
    user_type = fields.ChoiceField(choices=User.Type.choices)
    roles = fields.ListField(child=fields.ChoiceField(choices=ROLES), required=False)
    password = fields.CharField(
        max_length=128,
        trim_whitespace=False,
        required=False,
        allow_null=True,
        style={"input_type": "password"},
        help_text="At least 12 characters. Without one nobody signs in until it is set.",
    )
    organization_id = fields.UUIDField(
        required=False, allow_null=True, help_text="For staff: the organization they work for"
    )
    partner_id = fields.UUIDField(
        required=False, allow_null=True, help_text="For people of a partner: its id"
    )


class RefreshInput(Input):
    refresh_token = fields.CharField(max_length=4096)


class TokensOutput(Answer):
    token_type = fields.CharField()
    access_token = fields.CharField()
    access_expires_at = fields.DateTimeField()
    refresh_token = fields.CharField()
    refresh_expires_at = fields.DateTimeField()
    session_id = fields.UUIDField()
