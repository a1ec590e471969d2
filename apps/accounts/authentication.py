"""Bearer authentication: checks signature, type and dates of the token, and reads session and user each time."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import TextField
from django.db.models.expressions import RawSQL
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts import tokens
from apps.accounts.models import Session, User
from apps.accounts.services.common import SecondFactorSetupRequired
from erp import access
from erp.errors import NotAuthenticated

# The permissions of the user's roles, read together with the session: every request asks for some.
_PERMISSIONS = RawSQL(  # noqa: S611 - a text of our own
    """ARRAY(
    SELECT type.app_label || '.' || permission.codename
    FROM account_rolemembership member
    JOIN auth_group_permissions held ON held.group_id = member.role_id
    JOIN auth_permission permission ON permission.id = held.permission_id
    JOIN django_content_type type ON type.id = permission.content_type_id
    WHERE member.user_id = account_session.user_id)""",
    [],
    ArrayField(TextField()),
)


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``. Nothing is cached, so that a revocation takes effect at once."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """The user and session of the token; None without the header. Raises NotAuthenticated for an invalid token.

        Raises SecondFactorSetupRequired for staff without two-factor authentication, except at its endpoints.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        claims = tokens.decode("access", token.strip()) if scheme.lower() == "bearer" else None
        if claims is None:
            raise NotAuthenticated
        sessions = Session.objects.live().select_related("user__totp").filter(pk=claims.session_id)
        session: Any = sessions.annotate(permissions=_PERMISSIONS).order_by().first()
        if session is None or session.user_id != claims.user_id or not session.user.is_active:
            raise NotAuthenticated
        if session.door != Session.Channel.API:
            raise NotAuthenticated
        if session.user.must_set_up_factor and not self._is_open_without_factor(request):
            raise SecondFactorSetupRequired
        access.remember_permissions(session.user, session.permissions)
        session.user.current_session = session
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        """The value of WWW-Authenticate of a 401 response."""
        return 'Bearer realm="api"'

    @staticmethod
    def _is_open_without_factor(request: Request) -> bool:
        view = request.parser_context["view"] if request.parser_context else None
        return getattr(view, "action", "") in getattr(view, "open_without_factor", ())
