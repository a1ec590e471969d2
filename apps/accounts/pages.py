"""The pages of the links in e-mails, and the page that asks for one.

A link carries its token behind the ``#``, which browsers do not send: no server and no log sees it. The script of
the page sends it in the body of an API request, so that the rules and limits of the API apply.
"""

from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.views.generic import TemplateView

POLICY = "default-src 'self'; object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class PageContent(NamedTuple):
    """The texts of a page and the endpoint that its form is sent to."""

    endpoint: str
    title: str
    words: str
    button: str
    done: str
    password: str = ""  # the input's field for a new password; empty without one
    terms: bool = False
    email: bool = False  # asks for the address instead of taking the token of a link


PAGES = {
    "forgot-password": PageContent(
        "auth-forgot-password",
        "Forgot your password?",
        "Enter your e-mail address. If it belongs to an account, we send a link to set a new password.",
        "Send link",
        "If the address belongs to an account, the link is on its way. It works for 30 minutes.",
        email=True,
    ),
    "verify-email": PageContent(
        "auth-verify-email",
        "Confirm your e-mail address",
        "Confirm that this e-mail address is yours.",
        "Confirm",
        "Your e-mail address is confirmed. You can sign in now.",
    ),
    "reset-password": PageContent(
        "auth-reset-password",
        "Set a new password",
        "At least 12 characters. All sessions of your account will end.",
        "Set password",
        "Your password was changed. Sign in with the new one.",
        password="new_password",
    ),
    "invitation": PageContent(
        "auth-accept-invitation",
        "Welcome",
        "Choose a password of at least 12 characters to activate your account.",
        "Activate account",
        "Your account is active. Sign in with your e-mail address and the new password.",
        password="password",
        terms=True,
    ),
}


class LinkPage(TemplateView):
    """A page of a link. It holds no personal data and depends on its URL only."""

    template_name = "account/link.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = PAGES[kwargs["name"]]
        return {
            **super().get_context_data(**kwargs),
            "page": page,
            "endpoint": reverse(page.endpoint),
            "terms_version": settings.TERMS_VERSION,
            "support": settings.SUPPORT_EMAIL,
        }

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = super().dispatch(request, *args, **kwargs)
        answer["Content-Security-Policy"] = POLICY
        answer["Referrer-Policy"] = "no-referrer"
        answer["Cache-Control"] = "no-store"
        return answer


urlpatterns = [path(name, LinkPage.as_view(), {"name": name}, name=name) for name in PAGES]
