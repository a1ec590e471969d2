"""Bearer authentication: signature, kind, dates, live session and active user, from the database each time."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts import tokens
from apps.accounts.models import Session, User
from apps.accounts.services import SecondFactorSetupRequired
from erp.errors import NotAuthenticated


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <access token>``. No cache outlives a revocation."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """User and session of the token; None without the header, NotAuthenticated for anything wrong in it.

        Raises SecondFactorSetupRequired for staff who haven't set theirs up, except at the endpoints for it.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        claims = tokens.decode("access", token.strip()) if scheme.lower() == "bearer" else None
        if claims is None:
            raise NotAuthenticated
        sessions = Session.objects.live().select_related("user__totp").filter(pk=claims.session_id)
        session: Any = sessions.first()
        if session is None or session.user_id != claims.user_id or not session.user.is_active:
            raise NotAuthenticated
        if session.door != Session.Channel.API:
            raise NotAuthenticated
        if session.user.must_set_up_factor and not self._stays_open(request):
            raise SecondFactorSetupRequired
        session.user.current_session = session
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        """Value of WWW-Authenticate on a 401."""
        return 'Bearer realm="api"'

    @staticmethod
    def _stays_open(request: Request) -> bool:
        view = request.parser_context["view"] if request.parser_context else None
        return getattr(view, "action", "") in getattr(view, "open_without_factor", ())
