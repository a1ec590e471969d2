"""The pages that links in mails lead to.

A link carries its token behind the ``#``, which browsers keep to themselves: no server and no log sees it. The
page's script sends it in the body of a request to the API, whose rules and limits so hold here as well.
"""

from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.views.generic import TemplateView

POLICY = "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class Page(NamedTuple):
    """The texts of a page and the endpoint that its form is sent to."""

    endpoint: str
    title: str
    words: str
    button: str
    done: str
    password: str = ""  # the input's field for a new password; empty without one
    terms: bool = False


PAGES = {
    "verify-email": Page(
        "auth-verify-email",
        "Confirm your address",
        "One click, and we know that this address is yours.",
        "Confirm",
        "Your address is confirmed. You can sign in now.",
    ),
    "reset-password": Page(
        "auth-reset-password",
        "Set a new password",
        "At least 12 characters. Every session of your account ends.",
        "Set the password",
        "Your new password counts from now on. Sign in with it.",
        password="new_password",
    ),
    "invitation": Page(
        "auth-accept-invitation",
        "Welcome",
        "Choose a password of at least 12 characters to begin.",
        "Begin",
        "Your account is ready. Sign in with your address and the new password.",
        password="password",
        terms=True,
    ),
}


class LinkPage(TemplateView):
    """One such page. It holds nothing of anybody, and its address is all that it is told."""

    template_name = "account/link.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = PAGES[kwargs["name"]]
        return {
            **super().get_context_data(**kwargs),
            "page": page,
            "endpoint": reverse(page.endpoint),
            "terms_version": settings.TERMS_VERSION,
        }

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = super().dispatch(request, *args, **kwargs)
        answer["Content-Security-Policy"] = POLICY
        answer["Referrer-Policy"] = "no-referrer"
        answer["Cache-Control"] = "no-store"
        return answer


urlpatterns = [path(name, LinkPage.as_view(), {"name": name}, name=name) for name in PAGES]
