"""Shapes of the sign-in doors, and of one's own profile and sessions."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from apps.accounts.models import (
    DeactivationReason,
    FactorReason,
    Operation,
    OtpChallenge,
    ReactivationReason,
    Scope,
    Session,
    UnlockReason,
    User,
)
from erp.access import OWN, registry
from erp.api import fields
from erp.api.serializers import Answer, Input, Output
from erp.api.validators import refuse_web_address
from erp.identifiers import EMAIL, MOBILE


class Secret(fields.CharField):
    """A password or token: taken as it is, never trimmed."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"input_type": "password"})
        super().__init__(trim_whitespace=False, twelve_digits=True, **kwargs)


class NewPassword(Secret):
    """12 to 128 characters of any kind."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=12, max_length=128, **kwargs)


class Mobile(fields.IdentifierField):
    """A mobile number in any usual spelling; with ``served``, of a country that messages are sent to."""

    default_error_messages = {"mobile.not_accepted": "Messages aren't sent to this country."}

    def __init__(self, *, served: bool = True, **kwargs: Any) -> None:
        self.served = served
        super().__init__(MOBILE, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        if self.served and value is not None and not value.startswith(tuple(settings.OTP_SERVED)):
            self.fail("mobile.not_accepted")
        return value


class Code(fields.CharField):
    """Six digits."""

    def __init__(self, **kwargs: Any) -> None:
        validators = [RegexValidator(r"^[0-9]{6}\Z", "Send six digits.")]
        super().__init__(max_length=6, validators=validators, **kwargs)


def _adult(value: bool) -> None:
    if not value:
        raise ValidationError("Only adults may sign up.", "not_true")


def _either(data: dict[str, Any], *names: str) -> None:
    """Exactly one of the members must be there. Raises DRF's ``ValidationError``."""
    if sum(data.get(name) is not None for name in names) != 1:
        words = f"Send exactly one of {' and '.join(names)}."
        raise ValidationError({name: [ErrorDetail(words, "exactly_one")] for name in names})


class LoginInput(Input):
    email = fields.IdentifierField(EMAIL)
    password = Secret(max_length=128)
    device_label = fields.CharField(max_length=120, required=False, allow_blank=True)


class SecondFactorInput(Input):
    challenge_token = Secret(max_length=4096)
    code = Code(required=False, allow_null=True)
    recovery_code = Secret(max_length=40, required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "code", "recovery_code")
        return data


class OtpRequestInput(Input):
    mobile = Mobile()
    purpose = fields.ChoiceField(choices=OtpChallenge.Purpose.choices)


class OtpVerifyInput(Input):
    challenge_id = fields.UUIDField()
    code = Code()
    device_label = fields.CharField(max_length=120, required=False, allow_blank=True)


class RefreshInput(Input):
    refresh_token = Secret(max_length=4096)


class TokensOutput(Answer):
    token_type = fields.CharField()
    access_token = fields.CharField()
    access_expires_at = fields.DateTimeField()
    refresh_token = fields.CharField()
    refresh_expires_at = fields.DateTimeField()
    session_id = fields.UUIDField()


class SignInOutput(Answer):
    """Tokens; or, where a second factor is on, what stands between: ``challenge_token`` and the ``methods``."""

    token_type = fields.CharField(required=False)
    access_token = fields.CharField(required=False)
    access_expires_at = fields.DateTimeField(required=False)
    refresh_token = fields.CharField(required=False)
    refresh_expires_at = fields.DateTimeField(required=False)
    session_id = fields.UUIDField(required=False)
    challenge_token = fields.CharField(required=False)
    expires_at = fields.DateTimeField(required=False)
    methods = fields.ListField(child=fields.CharField(), required=False)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return dict(super().to_representation(instance._asdict()))


class OtpRequestOutput(Answer):
    challenge_id = fields.UUIDField()
    expires_at = fields.DateTimeField()
    resend_after = fields.DateTimeField()


class RevokedOutput(Answer):
    revoked = fields.IntegerField()


class RegisterInput(Input):
    full_name = fields.CharField(max_length=200, validators=[refuse_web_address])
    terms_version = fields.CharField(max_length=32)
    is_adult = fields.BooleanField(validators=[_adult])
    locale = fields.ChoiceField(choices=User.Locale.choices, required=False)
    email = fields.IdentifierField(EMAIL, required=False, allow_null=True)
    password = NewPassword(required=False, allow_null=True)
    challenge_id = fields.UUIDField(required=False, allow_null=True)
    code = Code(required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "email", "challenge_id")
        one, other = ("email", "password"), ("challenge_id", "code")
        wanted, unwanted = (one, other) if data.get("email") is not None else (other, one)
        faults = {
            name: [ErrorDetail("This is needed.", "required")] for name in wanted if data.get(name) is None
        } | {
            name: [ErrorDetail("This belongs to the other way of signing up.", "exactly_one")]
            for name in unwanted
            if data.get(name) is not None
        }
        if faults:
            raise ValidationError(faults)
        return data


class EmailInput(Input):
    email = fields.IdentifierField(EMAIL)


class TokenInput(Input):
    token = Secret(max_length=200)


class ResetPasswordInput(Input):
    token = Secret(max_length=200)
    new_password = NewPassword()


class AcceptInvitationInput(Input):
    token = Secret(max_length=200)
    password = NewPassword()
    full_name = fields.CharField(
        max_length=200, required=False, allow_null=True, validators=[refuse_web_address]
    )
    terms_version = fields.CharField(max_length=32)
    is_adult = fields.BooleanField(validators=[_adult])


class ChangePasswordInput(Input):
    current_password = Secret(max_length=128)
    new_password = NewPassword()


class StatusOutput(Answer):
    status = fields.CharField()


class StartMfaInput(Input):
    password = Secret(max_length=128, required=False, allow_null=True)
    code = Code(required=False, allow_null=True)


class ConfirmMfaInput(Input):
    code = Code()


class DisableMfaInput(Input):
    password = Secret(max_length=128, required=False, allow_null=True)
    code = Code(required=False, allow_null=True)
    recovery_code = Secret(max_length=40, required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "code", "recovery_code")
        return data


class ReauthenticateInput(Input):
    password = Secret(max_length=128, required=False, allow_null=True)
    code = Code(required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "password", "code")
        return data


class ReauthenticatedOutput(Answer):
    expires_at = fields.DateTimeField(source="reauthentication_expires_at")


class SetupOutput(Answer):
    secret = fields.CharField()
    otpauth_uri = fields.CharField()
    expires_at = fields.DateTimeField()


class RecoveryCodesOutput(Answer):
    recovery_codes = fields.ListField(child=fields.CharField())


class MobileProofInput(Input):
    challenge_id = fields.UUIDField()
    code = Code()


class ProfileInput(Input):
    full_name = fields.CharField(max_length=200, validators=[refuse_web_address])
    email = fields.IdentifierField(EMAIL, required=False, allow_null=True)
    mobile = Mobile(required=False, allow_null=True)
    locale = fields.ChoiceField(choices=User.Locale.choices)
    notify_email = fields.BooleanField()
    notify_sms = fields.BooleanField()
    digest = fields.ChoiceField(choices=User.Digest.choices)
    current_password = Secret(max_length=128, required=False, allow_null=True)
    mobile_proof = MobileProofInput(required=False, allow_null=True)


class HeldOutput(Answer):
    """Capabilities by reach: on every visible row, or on rows of one's own partner."""

    everywhere = fields.ListField(child=fields.CharField())
    own = fields.ListField(child=fields.CharField())


class ProfileOutput(Output):
    roles = fields.ListField(child=fields.CharField(), source="role_names")
    second_factor = fields.BooleanField(source="has_second_factor")
    capabilities = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields: ClassVar = [
            "full_name",
            "email",
            "pending_email",
            "email_verified_at",
            "mobile",
            "mobile_verified_at",
            "user_type",
            "organization_id",
            "partner_id",
            "locale",
            "notify_email",
            "notify_sms",
            "digest",
            "terms_version",
            "terms_accepted_at",
        ]

    def get_capabilities(self, user: User) -> HeldOutput:
        """Names of all that is held, by roles and general grants; a superuser holds everything."""
        held = set(registry.capabilities) if user.is_superuser else user.rights()
        return {  # type: ignore[return-value]
            "everywhere": sorted(name for name in held if not name.endswith(OWN)),
            "own": sorted(name.removesuffix(OWN) for name in held if name.endswith(OWN)),
        }


class SessionOutput(Output):
    current = serializers.SerializerMethodField()

    class Meta:
        model = Session
        fields: ClassVar = [
            "door",
            "method",
            "second_factor",
            "device_label",
            "ip",
            "refreshed_at",
            "expires_at",
            "absolute_expires_at",
            "ended_at",
            "end_reason",
        ]

    def get_current(self, session: Session) -> bool:
        """Whether this request came by it."""
        asking = getattr(self.context["request"], "auth", None)
        return asking is not None and bool(asking.pk == session.pk)


ROLES = [(name, f"{name}: {meaning}") for name, meaning in registry.roles.items()]


class InviteInput(Input):
    """of the company's own people: a partner's are invited by who keeps the partner's roles."""

    full_name = fields.CharField(min_length=2, max_length=200, validators=[refuse_web_address])
    email = fields.IdentifierField(EMAIL)
    user_type = fields.ChoiceField(
        choices=[(kind.value, kind.value) for kind in (User.Type.INTERNAL, User.Type.SUPER_ADMIN)]
    )
    organization_id = fields.UUIDField(
        required=False, allow_null=True, help_text="For staff: the organization they work for"
    )
    locale = fields.ChoiceField(choices=User.Locale.choices, required=False)


class Reason(fields.CharField):
    """Why, in 10 to 1000 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_length": 10, "max_length": 1000, **kwargs})


class DeactivateInput(Input):
    reason_code = fields.ChoiceField(choices=DeactivationReason.choices)


class ReactivateInput(Input):
    reason_code = fields.ChoiceField(choices=ReactivationReason.choices)


class ResetFactorInput(Input):
    reason_code = fields.ChoiceField(choices=FactorReason.choices)


class UnlockInput(Input):
    reason_code = fields.ChoiceField(choices=UnlockReason.choices)


class CapabilityName(fields.ChoiceField):
    """One of the capabilities that the code declares, known once every module is loaded."""

    def __init__(self, **kwargs: Any) -> None:
        known = sorted(registry.capabilities.items())
        super().__init__(**{"choices": [(name, f"{name}: {each.label}") for name, each in known], **kwargs})


class StartViewAsInput(Input):
    partner_id = fields.UUIDField(help_text="Id of the partner, as its page shows it")
    reason = fields.CharField(min_length=10, max_length=500)


class ProposeRoleInput(Input):
    role = fields.ChoiceField(choices=ROLES)
    operation = fields.ChoiceField(choices=Operation.choices)
    reason = Reason()


class ProposeGrantInput(Input):
    capability = CapabilityName()
    operation = fields.ChoiceField(choices=Operation.choices)
    object_type = fields.CharField(
        max_length=100,
        required=False,
        allow_null=True,
        help_text="Of a grant on one row: such as trade.Trade",
    )
    object_id = fields.UUIDField(required=False, allow_null=True, help_text="The row's id")
    grant_expires_at = fields.DateTimeField(required=False, allow_null=True, help_text="The end; empty: none")
    reason = Reason()


class ProposeChangeInput(Input):
    role = fields.ChoiceField(choices=ROLES)
    capability = CapabilityName()
    scope = fields.ChoiceField(choices=Scope.choices)
    operation = fields.ChoiceField(choices=Operation.choices)
    reason = Reason()
