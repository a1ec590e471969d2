"""Inputs and outputs of sign-in, profile, sessions, users and rights."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from apps.accounts.models import (
    CapabilityChange,
    DeactivationReason,
    FactorReason,
    Operation,
    OtpChallenge,
    ReactivationReason,
    Scope,
    Session,
    UnlockReason,
    User,
    ViewAs,
)
from erp.access import OWN, registry
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import refuse_web_address
from erp.identifiers import EMAIL, MOBILE


class SecretField(fields.CharField):
    """A password or token, never trimmed."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"input_type": "password"})
        super().__init__(trim_whitespace=False, twelve_digits=True, **kwargs)


class PasswordField(SecretField):
    """The current password."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 128, "help_text": "Your current password.", **kwargs})


class NewPasswordField(SecretField):
    """12 to 128 characters of any kind."""

    def __init__(self, **kwargs: Any) -> None:
        text = "New password: 12 to 128 characters, not one of your last five passwords."
        super().__init__(**{"min_length": 12, "max_length": 128, "help_text": text, **kwargs})


class LinkTokenField(SecretField):
    """The one-time token of a link in an e-mail."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 200, "help_text": "Token from the link in the e-mail.", **kwargs})


class MobileField(fields.IdentifierField):
    """A mobile number in any usual spelling; with ``served``, of a country that messages are sent to."""

    default_error_messages = {
        "mobile.not_accepted": "No messages are sent to mobile numbers of this country."
    }

    def __init__(self, *, served: bool = True, **kwargs: Any) -> None:
        self.served = served
        super().__init__(MOBILE, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        if self.served and value is not None and not value.startswith(tuple(settings.OTP_SERVED)):
            self.fail("mobile.not_accepted")
        return value


class CodeField(fields.CharField):
    """The six digits of an authenticator app."""

    def __init__(self, **kwargs: Any) -> None:
        validators = [RegexValidator(r"^[0-9]{6}\Z", "Enter the six digits of the code.")]
        text = "Six-digit code of your authenticator app."
        super().__init__(**{"max_length": 6, "validators": validators, "help_text": text, **kwargs})


class SmsCodeField(CodeField):
    """The six digits of a code by SMS."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"help_text": "Six-digit code from the SMS.", **kwargs})


class RecoveryCodeField(SecretField):
    """A recovery code, with or without dashes."""

    def __init__(self, **kwargs: Any) -> None:
        text = "One of your unused recovery codes, with or without dashes."
        super().__init__(**{"max_length": 40, "help_text": text, **kwargs})


class ChallengeIdField(fields.UUIDField):
    """The ID of a requested code by SMS."""

    def __init__(self, **kwargs: Any) -> None:
        text = "ID that the request for the code by SMS returned."
        super().__init__(**{"label": "challenge ID", "help_text": text, **kwargs})


class AdultField(fields.BooleanField):
    """The confirmation that the person is of age."""

    def __init__(self, **kwargs: Any) -> None:
        text = "Confirms that the person is 18 or older."
        super().__init__(**{"validators": [_adult], "label": "18 or older", "help_text": text, **kwargs})


def _adult(value: bool) -> None:
    if not value:
        raise ValidationError("You must be 18 or older.", "not_true")


def _either(data: dict[str, Any], *names: str) -> None:
    """Require exactly one of the fields. Raises DRF's ``ValidationError``."""
    if sum(data.get(name) is not None for name in names) != 1:
        words = f"Send exactly one of {' and '.join(names)}."
        raise ValidationError({name: [ErrorDetail(words, "exactly_one")] for name in names})


class UserInput(Input):
    """Request body with fields of a user."""

    class Meta:
        model = User


class SessionInput(Input):
    """Request body that starts a session."""

    class Meta:
        model = Session


class LoginInput(SessionInput):
    email = fields.IdentifierField(EMAIL, label="E-mail", help_text="E-mail address of your account.")
    password = PasswordField(help_text="Your password.")
    device_label = fields.CharField(max_length=120, required=False, allow_blank=True)


class SecondFactorInput(Input):
    challenge_token = SecretField(max_length=4096, help_text="Challenge token that the first step returned.")
    code = CodeField(required=False, allow_null=True)
    recovery_code = RecoveryCodeField(required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "code", "recovery_code")
        return data


class OtpRequestInput(Input):
    mobile = MobileField(
        label="Mobile number", help_text="Number to which the code is sent, with the country code."
    )
    purpose = fields.ChoiceField(choices=OtpChallenge.Purpose.choices)

    class Meta:
        model = OtpChallenge


class OtpVerifyInput(SessionInput):
    challenge_id = ChallengeIdField()
    code = SmsCodeField()
    device_label = fields.CharField(max_length=120, required=False, allow_blank=True)


class RefreshInput(Input):
    refresh_token = SecretField(
        max_length=4096, help_text="Current refresh token of the session. It can be used once."
    )


class TokensOutput(LookupOutput):
    token_type = fields.CharField()
    access_token = fields.CharField()
    access_expires_at = fields.DateTimeField()
    refresh_token = fields.CharField()
    refresh_expires_at = fields.DateTimeField()
    session_id = fields.UUIDField()


class SignInOutput(LookupOutput):
    """Tokens; or, with two-factor authentication, the ``challenge_token`` and ``methods`` of the second step."""

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


class OtpRequestOutput(LookupOutput):
    challenge_id = fields.UUIDField()
    expires_at = fields.DateTimeField()
    resend_after = fields.DateTimeField()


class RevokedOutput(LookupOutput):
    revoked = fields.IntegerField()


class AccountRegisterInput(UserInput):
    full_name = fields.CharField(max_length=200, validators=[refuse_web_address])
    terms_version = fields.CharField(max_length=32)
    is_adult = AdultField()
    locale = fields.ChoiceField(choices=User.Locale.choices, required=False)
    email = fields.IdentifierField(EMAIL, required=False, allow_null=True)
    password = NewPasswordField(
        required=False, allow_null=True, help_text="12 to 128 characters. Required with an e-mail address."
    )
    challenge_id = ChallengeIdField(required=False, allow_null=True)
    code = SmsCodeField(required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "email", "challenge_id")
        one, other = ("email", "password"), ("challenge_id", "code")
        required, excluded = (one, other) if data.get("email") is not None else (other, one)
        faults = {
            name: [ErrorDetail("This field is required.", "required")]
            for name in required
            if data.get(name) is None
        } | {
            name: [ErrorDetail("Leave this out: it belongs to the other way of signing up.", "exactly_one")]
            for name in excluded
            if data.get(name) is not None
        }
        if faults:
            raise ValidationError(faults)
        return data


class EmailInput(Input):
    email = fields.IdentifierField(
        EMAIL, label="E-mail", help_text="E-mail address to which the link is sent."
    )


class TokenInput(Input):
    token = LinkTokenField()


class ResetPasswordInput(Input):
    token = LinkTokenField()
    new_password = NewPasswordField()


class AcceptInvitationInput(UserInput):
    token = LinkTokenField()
    password = NewPasswordField()
    full_name = fields.CharField(
        max_length=200, required=False, allow_null=True, validators=[refuse_web_address]
    )
    terms_version = fields.CharField(max_length=32)
    is_adult = AdultField()


class ChangePasswordInput(Input):
    current_password = PasswordField()
    new_password = NewPasswordField()


class StatusOutput(LookupOutput):
    status = fields.CharField()


class StartMfaInput(Input):
    password = PasswordField(required=False, allow_null=True)
    code = CodeField(
        required=False,
        allow_null=True,
        help_text="To replace an authenticator: a code of the current one.",
    )


class ConfirmMfaInput(Input):
    code = CodeField()


class DisableMfaInput(Input):
    password = PasswordField(required=False, allow_null=True)
    code = CodeField(required=False, allow_null=True)
    recovery_code = RecoveryCodeField(required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "code", "recovery_code")
        return data


class ReauthenticateInput(Input):
    password = PasswordField(required=False, allow_null=True)
    code = CodeField(required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        _either(data, "password", "code")
        return data


class ReauthenticatedOutput(LookupOutput):
    expires_at = fields.DateTimeField(source="reauthentication_expires_at")


class SetupOutput(LookupOutput):
    secret = fields.CharField()
    otpauth_uri = fields.CharField()
    expires_at = fields.DateTimeField()


class RecoveryCodesOutput(LookupOutput):
    recovery_codes = fields.ListField(child=fields.CharField())


class MobileProofInput(Input):
    challenge_id = ChallengeIdField()
    code = SmsCodeField()


class ProfileInput(UserInput):
    full_name = fields.CharField(max_length=200, validators=[refuse_web_address])
    email = fields.IdentifierField(EMAIL, required=False, allow_null=True)
    mobile = MobileField(required=False, allow_null=True)
    locale = fields.ChoiceField(choices=User.Locale.choices)
    notify_email = fields.BooleanField()
    notify_sms = fields.BooleanField()
    digest = fields.ChoiceField(choices=User.Digest.choices)
    current_password = PasswordField(
        required=False,
        allow_null=True,
        help_text="Your current password. Required to change the e-mail address or mobile number.",
    )
    mobile_proof = MobileProofInput(
        required=False,
        allow_null=True,
        label="Verification code",
        help_text="Code sent to the new mobile number. Required to change the number.",
    )


class HeldOutput(LookupOutput):
    """Capabilities on every visible row, and on rows of the user's own partner."""

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
        """Names of the capabilities from roles and general grants; a super administrator holds all."""
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
        """Whether it is the session of this request."""
        own = getattr(self.context["request"], "auth", None)
        return own is not None and bool(own.pk == session.pk)


ROLES = [(name, f"{name}: {meaning}") for name, meaning in registry.roles.items()]


class InviteInput(UserInput):
    """Invitation of staff; partners' users are invited with their partner."""

    full_name = fields.CharField(min_length=2, max_length=200, validators=[refuse_web_address])
    email = fields.IdentifierField(EMAIL)
    user_type = fields.ChoiceField(
        choices=[(kind.value, kind.label) for kind in (User.Type.INTERNAL, User.Type.SUPER_ADMIN)]
    )
    organization_id = fields.UUIDField(required=False, allow_null=True)
    locale = fields.ChoiceField(choices=User.Locale.choices, required=False)


def _reason_code(choices: Any) -> fields.ChoiceField:
    return fields.ChoiceField(
        choices=choices, label="Reason", help_text="Reason, recorded in the history of the user."
    )


class DeactivateInput(Input):
    reason_code = _reason_code(DeactivationReason.choices)


class ReactivateInput(Input):
    reason_code = _reason_code(ReactivationReason.choices)


class ResetFactorInput(Input):
    reason_code = _reason_code(FactorReason.choices)


class UnlockInput(Input):
    reason_code = _reason_code(UnlockReason.choices)


class CapabilityField(fields.ChoiceField):
    """A declared capability. Its choices are complete when every module is loaded."""

    def __init__(self, **kwargs: Any) -> None:
        known = sorted(registry.capabilities.items())
        super().__init__(**{"choices": [(name, f"{name}: {each.label}") for name, each in known], **kwargs})


class StartViewAsInput(Input):
    partner_id = fields.UUIDField()
    reason = fields.CharField(min_length=10, max_length=500)

    class Meta:
        model = ViewAs


class ProposalInput(Input):
    """A proposed change of rights."""

    operation = fields.ChoiceField(choices=Operation.choices)
    reason = fields.CharField(min_length=10, max_length=1000)

    class Meta:
        model = CapabilityChange


class ProposeRoleInput(ProposalInput):
    role = fields.ChoiceField(choices=ROLES)


class ProposeGrantInput(ProposalInput):
    capability = CapabilityField()
    object_type = fields.CharField(max_length=100, required=False, allow_null=True)
    object_id = fields.UUIDField(required=False, allow_null=True)
    grant_expires_at = fields.DateTimeField(required=False, allow_null=True)


class ProposeChangeInput(ProposalInput):
    role = fields.ChoiceField(choices=ROLES)
    capability = CapabilityField()
    scope = fields.ChoiceField(choices=Scope.choices)
