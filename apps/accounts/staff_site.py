"""The staff's door: signing in to the admin by the same service as over the API, and staying signed in."""

import time
from types import SimpleNamespace
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout as end_django_session
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.forms import AuthenticationForm

from apps.accounts import services
from apps.accounts.models import Session, User
from erp.access import SYSTEM
from erp.admin import Site
from erp.api import throttling
from erp.api.endpoints import Limit
from erp.errors import DomainError
from erp.services import Refusal

SESSION: Final = "account_session"  # id of the account's session, kept in Django's
SEEN_SECONDS: Final = 60  # how exactly idleness is measured: a write per minute, not per click
LIMIT: Final = Limit(limit=100, window=3600)  # per address, counted together with the API's sign-in


class SignInForm(AuthenticationForm):  # type: ignore[misc]
    """E-mail and password; the answer is the same whatever is wrong."""

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "E-mail"
        self.fields["username"].max_length = 254
        self.fields["username"].widget.attrs.update(autocomplete="username", inputmode="email", maxlength=254)

    def clean(self) -> dict[str, Any]:
        """Sign in by the service: counted, locked after failures, told by events."""
        try:
            tokens = self._sign_in()
        except DomainError as error:
            text = error.title if error.detail == error.title else f"{error.title} {error.detail}"
            raise forms.ValidationError(text, code=error.code) from None
        session = Session.objects.select_related("user").get(pk=tokens.session_id)
        self.user_cache: User = session.user
        self.request.account_session = session
        cleaned: dict[str, Any] = self.cleaned_data
        return cleaned

    def _sign_in(self) -> services.Tokens:
        request = self.request
        throttling.check(
            SimpleNamespace(_request=request, META=request.META, data={}),  # type: ignore[arg-type]
            SimpleNamespace(
                throttle_class_name="public", endpoint=SimpleNamespace(name="login", limit=LIMIT)
            ),
        )
        door = services.Door(
            kind=Session.Door.ADMIN,
            ip=throttling.client_address(request),
            device=request.headers.get("User-Agent", "")[:400],
        )
        outcome = services.log_in(
            actor=SYSTEM,
            email=self.cleaned_data.get("username", ""),
            password=self.cleaned_data.get("password", ""),
            door=door,
        )
        if isinstance(outcome, Refusal):
            raise outcome.problem
        tokens: services.Tokens = outcome
        return tokens


class StaffSite(Site):
    """Staff only, for as long as the account's session lives: 30 minutes idle, 12 hours in all."""

    login_form = SignInForm
    site_title = site_header = "Cotton ERP"
    index_title = "Home"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign in, and tie Django's session to the account's."""
        earlier = request.session.get(SESSION)
        response: HttpResponse = super().login(request, extra_context)
        session = getattr(request, "account_session", None)
        if session is not None:
            if earlier is not None:
                _end(earlier, session.user)
            request.session[SESSION] = str(session.pk)
            request.session["seen"] = int(time.time())
            request.session.set_expiry(settings.ADMIN_IDLE_MINUTES * 60)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign out: the account's session ends, not only the browser's."""
        if request.method == "POST" and request.user.is_authenticated:
            _end(request.session.get(SESSION), request.user)
        response: HttpResponse = super().logout(request, extra_context)
        return response

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether active staff is signed in and the session still lives; asked once per request."""
        if not hasattr(request, "_staff_door"):
            request._staff_door = self._is_open_to(request)  # type: ignore[attr-defined]
        return bool(request._staff_door)  # type: ignore[attr-defined]

    def _is_open_to(self, request: HttpRequest) -> bool:
        user: Any = request.user
        if not (user.is_active and user.is_staff):
            return False
        lives = Session.objects.live().filter(
            pk=request.session.get(SESSION), user_id=user.pk, door=Session.Door.ADMIN
        )
        if not lives.exists():
            end_django_session(request)
            messages.info(request, "Your session has ended. Sign in again.")
            return False
        now = int(time.time())
        if now - request.session.get("seen", 0) >= SEEN_SECONDS:
            request.session["seen"] = now
        return True

    def reads_only(self, request: HttpRequest) -> bool:
        """An auditor looks at everything; no action is drawn."""
        if not hasattr(request, "_auditor"):
            request._auditor = request.user.groups.filter(name="AUDITOR").exists()  # type: ignore
        return bool(request._auditor)  # type: ignore[attr-defined]


def _end(session_id: str | None, actor: Any) -> None:
    session = Session.objects.filter(pk=session_id, user_id=actor.pk).first() if session_id else None
    if session is not None:
        services.log_out(session, actor=actor)


def own_sessions(request: HttpRequest) -> str:
    """Address of the person's own sign-ins."""
    return f"{reverse('admin:account_session_changelist')}?user__id__exact={request.user.pk}"
