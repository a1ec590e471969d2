"""The staff portal: sign-in by the services of the API, sessions, and view as a partner."""

import json
from collections.abc import Callable
from functools import update_wrapper
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlencode

import segno
from django import forms
from django.apps import apps
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login as begin_django_session
from django.contrib.auth import logout as end_django_session
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from unfold.forms import AuthenticationForm

from apps.accounts import capabilities
from apps.accounts.forms import SIX_DIGITS, BothForm, CodeForm, EitherForm, ProofForm
from apps.accounts.models import Session, User, ViewAs
from apps.accounts.services import common, sessions, signing_in, viewing
from apps.accounts.services import second_factor as second_factor_services
from apps.accounts.services.references import PARTNER
from erp import clock
from erp.access import SYSTEM, Actor, actor_of, may_create
from erp.admin import Site, acts
from erp.api import throttling
from erp.api.endpoints import Limit
from erp.api.parsers import canonical_json
from erp.errors import DomainError
from erp.idempotency.once import Request as Attempt
from erp.idempotency.once import StoredResponse, once, parse_key
from erp.identifiers import EMAIL, IdentifierInvalid
from erp.services import Refusal

SESSION: Final = "account_session"  # key of the account session's ID in Django's session
SEEN_SECONDS: Final = 60  # precision of the idle time: at most one write per minute
_OPEN_WITHOUT_FACTOR: Final = {"second_factor", "logout", "login"}
# Pages that are not shown as a partner.
_NEVER_VIEWED_AS: Final = {"end_view_as", "logout", "login"}
LIMIT: Final = Limit(limit=100, window=3600)  # per address, counted together with the API's sign-in


class SignInForm(AuthenticationForm):  # type: ignore[misc]
    """E-mail and password. The error is the same for an unknown account and a wrong password."""

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "E-mail"
        for name, most in (("username", 254), ("password", 128)):
            self.fields[name].max_length = most
            self.fields[name].validators.append(MaxLengthValidator(most))
        self.fields["username"].widget.attrs.update(autocomplete="username", inputmode="email", maxlength=254)

    def clean_username(self) -> str:
        """Normalize the e-mail address."""
        try:
            return EMAIL.normalise(self.cleaned_data["username"])
        except IdentifierInvalid as fault:
            raise forms.ValidationError(str(fault), code=fault.code) from None

    def clean(self) -> dict[str, Any]:
        """Sign in by the service, which counts failures and emits events. A malformed input is not counted."""
        cleaned: dict[str, Any] = self.cleaned_data
        if self.errors:
            return cleaned
        try:
            tokens = self._sign_in()
        except DomainError as error:
            raise forms.ValidationError(message_of(error), code=error.code) from None
        session = Session.objects.select_related("user").get(pk=tokens.session_id)
        self.user_cache: User = session.user
        self.request.account_session = session
        return cleaned

    def _sign_in(self) -> common.Tokens:
        origin = origin_of(self.request, limited="login")
        outcome = signing_in.log_in(
            actor=SYSTEM,
            email=self.cleaned_data["username"],
            password=self.cleaned_data["password"],
            origin=origin,
        )
        if isinstance(outcome, common.Challenge):
            self.request.account_challenge = outcome
            raise forms.ValidationError("", code="challenge")
        tokens: common.Tokens = result_of(outcome)
        return tokens


class StaffSite(Site):
    """The site for staff. A session ends after 30 idle minutes, or 12 hours in all."""

    login_form = SignInForm
    site_title = site_header = "Cotton ERP"
    index_title = "Home"

    def get_urls(self) -> list[Any]:
        return [
            path("second-factor/", self.admin_view(self.second_factor), name="second_factor"),
            path("view-as/end/", self.admin_view(self.end_view_as), name="end_view_as"),
            path("prove/", self.admin_view(self.prove), name="prove"),
            *super().get_urls(),
        ]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Restrict the view to staff, and redirect those without two-factor authentication to its setup."""
        guarded = super().admin_view(view, cacheable)

        def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            here = request.resolver_match.url_name if request.resolver_match else ""
            if (
                here not in _OPEN_WITHOUT_FACTOR
                and self.has_permission(request)
                and self._lacks_factor(request)
            ):
                return redirect("admin:second_factor")
            if here not in _NEVER_VIEWED_AS and self.has_permission(request):
                self._apply_view_as(request)
            return guarded(request, *args, **kwargs)

        return update_wrapper(opened, guarded)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign in, with one or two factors, and link Django's session to the account's."""
        if request.method == "POST" and "challenge_token" in request.POST:
            return self._submit_second_factor(request)
        links = [{"title": "Forgot password?", "url": reverse("forgot-password")}]
        if settings.SUPPORT_EMAIL:
            links.append({"title": "Contact", "url": f"mailto:{settings.SUPPORT_EMAIL}"})
        response: HttpResponse = super().login(request, {**(extra_context or {}), "sign_in_links": links})
        challenge = getattr(request, "account_challenge", None)
        if challenge is not None:
            return self._code_page(request, challenge.challenge_token, CodeForm())
        self._link_session(request, getattr(request, "account_session", None))
        return response

    def _submit_second_factor(self, request: HttpRequest) -> HttpResponse:
        form, token = CodeForm(request.POST), request.POST["challenge_token"]
        if not form.is_valid():
            return self._code_page(request, token, form)
        try:
            origin = origin_of(request, limited="second_factor")
            tokens = result_of(
                signing_in.pass_second_factor(
                    actor=SYSTEM, challenge_token=token, origin=origin, **form.proof()
                )
            )
        except common.ChallengeInvalid as error:
            messages.error(request, error.title)
            return redirect("admin:login")
        except DomainError as error:
            form.add_error(None, message_of(error))
            return self._code_page(request, token, form)
        session = Session.objects.select_related("user").get(pk=tokens.session_id)
        earlier = request.session.get(SESSION)
        begin_django_session(request, session.user, backend="erp.access.Backend")
        self._link_session(request, session, earlier)
        return redirect(_next(request))

    def _link_session(
        self, request: HttpRequest, session: Session | None, earlier: str | None = None
    ) -> None:
        if session is None:
            return
        earlier = earlier or request.session.get(SESSION)
        if earlier is not None:
            _end(earlier, session.user)
        request.session[SESSION] = str(session.pk)
        request.session["seen"] = int(clock.now().timestamp())
        request.session.set_expiry(settings.ADMIN_IDLE_MINUTES * 60)

    def _code_page(self, request: HttpRequest, challenge_token: str, form: CodeForm) -> HttpResponse:
        context = {
            **self.each_context(request),
            "title": "Two-factor authentication",
            "form": form,
            "challenge_token": challenge_token,
            "next": request.POST.get("next", ""),
        }
        return _without_storing(TemplateResponse(request, "account/second_step.html", context))

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Set up two-factor authentication: a new secret, its first code, then the recovery codes, each shown once."""
        user = self._person(request)
        form_class = BothForm if user.has_second_factor else ProofForm
        context: dict[str, Any] = {
            "title": "Two-factor authentication",
            "enabled": user.has_second_factor,
            "form": form_class(),
            "key": acts.new_key(),
        }
        try:
            if request.method == "POST" and request.POST.get("step") == "confirm":
                context["confirming"] = True
                context["codes"] = self._confirm_factor(request)
                context["enabled"] = True
            elif request.method == "POST":
                form = context["form"] = form_class(request.POST)
                if form.is_valid():
                    limit_passwords(request)
                    setup = context["setup"] = self._start_factor(request, form.proof())
                    picture = segno.make(setup["otpauth_uri"]).svg_inline(scale=4, light="#fff")
                    context["picture"] = mark_safe(picture)  # generated here, contains no text
                    context["confirming"] = True
        except DomainError as error:
            context["error"] = message_of(error)
        context = {**self.each_context(request), **context}
        return _without_storing(TemplateResponse(request, "account/second_factor.html", context))

    def _start_factor(self, request: HttpRequest, proof: dict[str, Any]) -> Any:
        """The new secret. A repeated submission returns the same one."""
        user = self._person(request)

        def run() -> Any:
            setup = second_factor_services.start_mfa(user, actor=user, **proof)
            return (
                setup
                if isinstance(setup, Refusal)
                else {"secret": setup.secret, "otpauth_uri": setup.otpauth_uri}
            )

        return self._once(request, second_factor_services.start_mfa.name, proof, run)

    def _confirm_factor(self, request: HttpRequest) -> Any:
        """The recovery codes. A repeated submission returns the same ones."""
        user = self._person(request)
        code = request.POST.get("code", "").strip()
        if not SIX_DIGITS.match(code):
            raise common.CodeMismatch

        def run() -> Any:
            done = second_factor_services.confirm_mfa(
                user, actor=user, code=code, origin=self._origin(request)
            )
            return done if isinstance(done, Refusal) else done.recovery_codes

        return self._once(request, second_factor_services.confirm_mfa.name, code, run)

    def _once(self, request: HttpRequest, name: str, content: Any, run: Callable[[], Any]) -> Any:
        """Run once per key of the form and return the stored result, secrets included (core §4). Raises a refusal."""
        attempt = Attempt(
            principal=f"user:{request.user.pk}",
            method="POST",
            route=f"admin/account.user/{name}",
            key=parse_key(request.POST.get(acts.KEY)),
            content=canonical_json(content),
            secret=True,
        )

        def answer() -> StoredResponse:
            outcome = run()
            if isinstance(outcome, Refusal):
                return acts.refused(outcome)
            return StoredResponse(200, {}, json.dumps(outcome).encode())

        return acts.record_of(once(attempt, answer))

    def prove(self, request: HttpRequest) -> HttpResponse:
        """Confirm the identity by password or code, for ten minutes."""
        form = EitherForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                limit_passwords(request)
                result_of(
                    signing_in.reauthenticate(
                        Session.objects.get(pk=request.session[SESSION]),
                        actor=actor_of(request),
                        **form.proof(),
                    )
                )
                return redirect(_next(request))
            except DomainError as error:
                form.add_error(None, message_of(error))
        context = {
            **self.each_context(request),
            "title": "Confirm your identity",
            "form": form,
            "next": request.POST.get("next", request.GET.get("next", "")),
        }
        return _without_storing(TemplateResponse(request, "account/prove.html", context))

    def is_reauthenticated(self, request: HttpRequest) -> bool:
        session = self._session(request)
        return session is not None and session.is_reauthenticated(clock.now())

    def reauthentication_url(self, request: HttpRequest) -> str:
        return f"{reverse('admin:prove')}?{urlencode({'next': request.get_full_path()})}"

    def _origin(self, request: HttpRequest) -> common.Origin:
        return origin_of(request)._replace(session=self._session(request))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign out of the account's session and the browser's."""
        if request.method == "POST" and request.user.is_authenticated:
            _end(request.session.get(SESSION), request.user)
        response: HttpResponse = super().logout(request, extra_context)
        return response

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether an active member of staff has a live session. Read once per request."""
        if not hasattr(request, "_has_live_session"):
            request._has_live_session = self._check_session(request)  # type: ignore[attr-defined]
        return bool(request._has_live_session)  # type: ignore[attr-defined]

    def _session(self, request: HttpRequest) -> Session | None:
        """The account's live session of Django's session. Read once per request."""
        if not hasattr(request, "_account_session"):
            request._account_session = (  # type: ignore[attr-defined]
                Session.objects.live()
                .select_related("user__totp")
                .filter(pk=request.session.get(SESSION), user_id=request.user.pk, door=Session.Channel.ADMIN)
                .first()
            )
        session: Session | None = request._account_session  # type: ignore[attr-defined]
        return session

    def _person(self, request: HttpRequest) -> User:
        """The signed-in user as a row: Django's ``request.user`` is a lazy object, which services don't accept."""
        session = self._session(request)
        assert session is not None  # the view is behind admin_view
        return session.user

    def _lacks_factor(self, request: HttpRequest) -> bool:
        session = self._session(request)
        return session is None or session.user.must_set_up_factor

    def _check_session(self, request: HttpRequest) -> bool:
        user: Any = request.user
        if not (user.is_active and user.is_staff):
            return False
        session = self._session(request)
        if session is None:
            end_django_session(request)
            messages.info(request, "Your session has ended. Sign in again.")
            return False
        user.current_session = session
        now = int(clock.now().timestamp())
        if now - request.session.get("seen", 0) >= SEEN_SECONDS:
            request.session["seen"] = now
        return True

    def _apply_view_as(self, request: HttpRequest) -> None:
        """During a view as a partner, replace the user of the request by a simulated one of the partner.

        Raises PermissionDenied for anything but reading.
        """
        if not may_create(actor_of(request), capabilities.VIEW_AS):
            return
        view = ViewAs.objects.live().filter(user_id=request.user.pk).first()
        if view is None:
            return
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied("A view as a partner is read-only. End it to make changes.")
        request.user, request.view_as = view.simulated_user(), view  # type: ignore[attr-defined]

    def end_view_as(self, request: HttpRequest) -> HttpResponse:
        """End the view as a partner."""
        if request.method == "POST":
            for view in ViewAs.objects.live().filter(user_id=request.user.pk):
                viewing.end_view_as(view, actor=self._person(request))
        return redirect("admin:index")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """The context of every page, with the banner of a view as a partner."""
        view = getattr(request, "view_as", None)
        banner = view and {
            "text": f"You are viewing as {_partner_name(view.partner_id)} until"
            f" {clock.local(view.ends_at)}. The view is read-only.",
            "button": "End view",
            "url": reverse("admin:end_view_as"),
        }
        return {**super().each_context(request), "banner": banner}

    def reads_only(self, request: HttpRequest) -> bool:
        """Whether no actions are shown: to an auditor, and during a view as a partner."""
        if hasattr(request, "view_as"):
            return True
        if not hasattr(request, "_auditor"):
            request._auditor = request.user.groups.filter(name="AUDITOR").exists()  # type: ignore
        return bool(request._auditor)  # type: ignore[attr-defined]


def _partner_name(pk: Any) -> str:
    """The partner's name; the module of partners lies above this one, so its model is asked for by name."""
    row = apps.get_model(PARTNER)._default_manager.filter(pk=pk).first()
    return str(row or pk)


def origin_of(request: HttpRequest, *, limited: str = "") -> common.Origin:
    """The origin of a request; ``limited`` counts it with the API's requests to the endpoint of that name."""
    if limited:
        throttling.check(
            SimpleNamespace(_request=request, META=request.META, data={}),  # type: ignore[arg-type]
            SimpleNamespace(
                throttle_class_name="public",
                endpoint=SimpleNamespace(
                    name=limited, limit=LIMIT, throttle=throttling.PASSWORD if limited == "login" else ""
                ),
            ),
        )
    return common.Origin(
        channel=Session.Channel.ADMIN,
        ip=throttling.client_address(request),
        device=request.headers.get("User-Agent", "")[:400],
    )


def limit_passwords(request: HttpRequest) -> None:
    """Count a request that hashes the user's password with those of the API. Raises Throttled."""
    throttling.check(
        SimpleNamespace(_request=request, META=request.META, user=request.user, auth=None),  # type: ignore[arg-type]
        SimpleNamespace(throttle_class_name=throttling.PASSWORD),
    )


def result_of(outcome: Any) -> Any:
    """The result of a service; a refusal is raised."""
    if isinstance(outcome, Refusal):
        raise outcome.problem
    return outcome


def message_of(error: DomainError) -> str:
    """The title and detail of a problem."""
    return error.title if error.detail == error.title else f"{error.title} {error.detail}"


def _next(request: HttpRequest) -> str:
    """The URL to continue with: a page of this site, or else the home page."""
    url = request.POST.get("next", "")
    is_own = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if is_own else reverse("admin:index")


def _without_storing(response: TemplateResponse) -> TemplateResponse:
    response["Cache-Control"] = "no-store"
    return response


def _end(session_id: str | None, actor: Actor) -> None:
    session = Session.objects.filter(pk=session_id, user_id=actor.pk).first() if session_id else None
    if session is not None:
        sessions.log_out(session, actor=actor)


def own_sessions(request: HttpRequest) -> str:
    """The URL of the user's own sessions."""
    return f"{reverse('admin:account_session_changelist')}?user__id__exact={request.user.pk}"


def own_factor(request: HttpRequest) -> str:
    """The URL of the user's own two-factor setup."""
    return reverse("admin:second_factor")
