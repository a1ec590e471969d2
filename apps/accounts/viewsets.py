"""Endpoints of sign-in, profile and sessions."""

from typing import Any, ClassVar, Final

from rest_framework.request import Request

from apps.accounts import capabilities
from apps.accounts.filters import SessionFilter
from apps.accounts.models import Session, User
from apps.accounts.serializers import (
    AcceptInvitationInput,
    AccountRegisterInput,
    ChangePasswordInput,
    ConfirmMfaInput,
    DisableMfaInput,
    EmailInput,
    LoginInput,
    OtpRequestInput,
    OtpRequestOutput,
    OtpVerifyInput,
    ProfileInput,
    ProfileOutput,
    ReauthenticatedOutput,
    ReauthenticateInput,
    RecoveryCodesOutput,
    RefreshInput,
    ResetPasswordInput,
    RevokedOutput,
    SecondFactorInput,
    SessionOutput,
    SetupOutput,
    SignInOutput,
    StartMfaInput,
    StatusOutput,
    TokenInput,
    TokensOutput,
)
from apps.accounts.services import common, joining, otp, passwords, profile, sessions, signing_in
from apps.accounts.services import second_factor as second_factor_services
from erp.api.endpoints import Limit, endpoint
from erp.api.throttling import PASSWORD, client_address, network_of
from erp.api.viewsets import RowViewSet, ViewSet

HOUR = 3600
BY_ADDRESS_AND_MAIL = Limit(limit=10, window=HOUR, field="email", field_limit=3, field_window=HOUR)
TOKEN_LIMIT = Limit(limit=20, window=HOUR)


def current_user(request: Request) -> Any:
    """The caller."""
    return request.user


def current_session(request: Request) -> Any:
    """The session of the caller."""
    return request.auth


def origin_of(request: Request) -> common.Origin:
    """The origin of a request, for services that need it."""
    session = request.auth if isinstance(request.auth, Session) else None
    agent = request.headers.get("User-Agent", "")[:400]
    address = client_address(request)
    return common.Origin(
        channel="api", ip=address, device=agent, session=session, network=network_of(address)
    )


WITH_ORIGIN: Final = {"origin": origin_of}


class NoStoreViewSet(ViewSet):
    """Endpoints whose responses must not be stored by browsers and proxies."""

    no_store = True
    # Actions open to staff who have not set up two-factor authentication yet (accounts §5.2).
    open_without_factor: ClassVar[frozenset[str]] = frozenset()


class AuthViewSet(NoStoreViewSet):
    """Sign-in, sign-up, passwords and two-factor authentication."""

    serializer_class = None
    open_without_factor = frozenset({"logout", "mfa_setup", "mfa_confirm"})

    login = endpoint(
        signing_in.log_in,
        LoginInput,
        context=WITH_ORIGIN,
        throttle=PASSWORD,
        exempt="a repeated sign-in is a new session, and a wrong one is counted",
        output=SignInOutput,
        secret=True,
        limit=Limit(limit=100, window=HOUR),
    )
    second_factor = endpoint(
        signing_in.pass_second_factor,
        SecondFactorInput,
        context=WITH_ORIGIN,
        exempt="a code counts once, and a wrong one is counted",
        path="login/second-factor",
        output=TokensOutput,
        secret=True,
        limit=Limit(limit=100, window=HOUR),
    )
    otp_request = endpoint(
        otp.request_otp,
        OtpRequestInput,
        exempt="repeated within a minute, the answer is the same and nothing is sent",
        path="otp/request",
        output=OtpRequestOutput,
        status=202,
        limit=Limit(limit=20, window=HOUR),
    )
    otp_verify = endpoint(
        otp.verify_otp,
        OtpVerifyInput,
        context=WITH_ORIGIN,
        exempt="a code counts once, and a wrong one is counted",
        path="otp/verify",
        output=SignInOutput,
        secret=True,
        limit=Limit(limit=100, window=HOUR),
    )
    register = endpoint(
        joining.register,
        AccountRegisterInput,
        context=WITH_ORIGIN,
        throttle=PASSWORD,
        public="a person who signs up has no account yet",
        output=StatusOutput,
        status=202,
        limit=BY_ADDRESS_AND_MAIL,
    )
    refresh = endpoint(
        sessions.refresh,
        RefreshInput,
        public="the refresh token is the proof",
        output=TokensOutput,
        secret=True,
        limit=Limit(limit=60, window=60),
    )
    logout = endpoint(sessions.log_out, target=current_session)
    logout_all = endpoint(sessions.log_out_everywhere, target=current_session, output=RevokedOutput)
    forgot_password = endpoint(
        passwords.request_password_reset,
        EmailInput,
        context=WITH_ORIGIN,
        public="a user who forgot the password can't sign in; the e-mail is sent only to the verified address",
        output=StatusOutput,
        status=202,
        limit=BY_ADDRESS_AND_MAIL,
    )
    reset_password = endpoint(
        passwords.reset_password,
        ResetPasswordInput,
        throttle=PASSWORD,
        public="the one-time token is the proof",
        limit=TOKEN_LIMIT,
    )
    change_password = endpoint(
        passwords.change_password,
        ChangePasswordInput,
        context=WITH_ORIGIN,
        throttle=PASSWORD,
        target=current_user,
    )
    verify_email = endpoint(
        joining.verify_email,
        TokenInput,
        public="the one-time token is the proof",
        output=StatusOutput,
        limit=TOKEN_LIMIT,
    )
    resend = endpoint(
        joining.request_email_verification,
        EmailInput,
        context=WITH_ORIGIN,
        public="the e-mail is sent only to the address itself",
        path="verify-email/resend",
        output=StatusOutput,
        status=202,
        limit=BY_ADDRESS_AND_MAIL,
    )
    accept_invitation = endpoint(
        joining.accept_invitation,
        AcceptInvitationInput,
        throttle=PASSWORD,
        public="the one-time token is the proof",
        path="invitations/accept",
        limit=TOKEN_LIMIT,
    )
    reauthenticate = endpoint(
        signing_in.reauthenticate,
        ReauthenticateInput,
        target=current_session,
        output=ReauthenticatedOutput,
        throttle=PASSWORD,
    )
    mfa_setup = endpoint(
        second_factor_services.start_mfa,
        StartMfaInput,
        throttle=PASSWORD,
        path="mfa/setup",
        target=current_user,
        output=SetupOutput,
        secret=True,
    )
    mfa_confirm = endpoint(
        second_factor_services.confirm_mfa,
        ConfirmMfaInput,
        context=WITH_ORIGIN,
        path="mfa/confirm",
        target=current_user,
        output=RecoveryCodesOutput,
        secret=True,
    )
    mfa_disable = endpoint(
        second_factor_services.disable_mfa,
        DisableMfaInput,
        context=WITH_ORIGIN,
        throttle=PASSWORD,
        path="mfa/disable",
        target=current_user,
    )


class ProfileViewSet(NoStoreViewSet, RowViewSet):
    """Your profile."""

    summaries = {"retrieve": "Read your profile"}

    queryset = User.objects.all()
    serializer_class = ProfileOutput
    reads = capabilities.VIEW
    open_without_factor = frozenset({"retrieve"})

    update = endpoint(
        profile.update_profile,
        ProfileInput,
        context=WITH_ORIGIN,
        throttle=PASSWORD,
        target=current_user,
        if_match="required",
    )

    def get_object(self) -> Any:
        return self.request.user

    def links(self, row: Any) -> dict[str, str]:
        return {"self": "/api/v1/auth/me", "sessions": "/api/v1/auth/sessions"}


class SessionViewSet(NoStoreViewSet, RowViewSet):
    """Your sessions."""

    summaries = {"list": "List your sessions", "retrieve": "Read one of your sessions"}

    queryset = Session.objects.all()
    serializer_class = SessionOutput
    reads = capabilities.VIEW
    filterset_class = SessionFilter

    revoke = endpoint(sessions.revoke_session)
