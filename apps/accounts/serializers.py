"""Shapes of the sign-in doors."""

from erp.api import fields
from erp.api.serializers import Answer, Input


class LoginInput(Input):
    email = fields.CharField(max_length=254)
    password = fields.CharField(max_length=128, trim_whitespace=False)
    device_label = fields.CharField(max_length=120, required=False, allow_blank=True)


class RefreshInput(Input):
    refresh_token = fields.CharField(max_length=4096)


class TokensOutput(Answer):
    token_type = fields.CharField()
    access_token = fields.CharField()
    access_expires_at = fields.DateTimeField()
    refresh_token = fields.CharField()
    refresh_expires_at = fields.DateTimeField()
    session_id = fields.UUIDField()
