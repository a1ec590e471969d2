"""Pages of errors: in the design of the portal, with the reason and a way back, whatever is down."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from config import urls
from erp.pages import PageMiddleware

BROWSER = {"HTTP_ACCEPT": "text/html"}


def fail(error: Exception) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    return view


class Routes:
    """The product's routes, and pages that fail."""

    handler400, handler403 = urls.handler400, urls.handler403
    handler404, handler500 = urls.handler404, urls.handler500
    urlpatterns = [
        *urls.urlpatterns,
        path("broken", fail(RuntimeError("secret internals"))),
        path("shut", fail(PermissionDenied("A view as a partner is read-only."))),
        path("odd", fail(SuspiciousOperation("secret internals"))),
    ]


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/no-such-page", 404, "Page not found"),
        ("/broken", 500, "Nothing was saved"),
        ("/shut", 403, "A view as a partner is read-only."),
        ("/odd?page=x", 400, "Open the page without filters"),
    ],
)
def test_an_error_page_gives_the_reason_and_a_way_back_without_a_query(settings, address, status, words):
    settings.ROOT_URLCONF, settings.SUPPORT_EMAIL = Routes, "help@cotton-erp.example"
    response = Client(raise_request_exception=False).get(address)  # a query fails: no database here
    text = response.content.decode()
    assert response.status_code == status
    assert words in text
    assert 'href="/admin/"' in text
    assert "mailto:help@cotton-erp.example" in text
    assert "internals" not in text


def test_a_form_without_its_token_gets_a_page_in_the_portals_design():
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})
    assert response.status_code == 403
    assert "The form has expired." in response.content.decode()


def test_maintenance_answers_pages_and_api_with_503_and_leaves_the_probes(settings, db):
    settings.MAINTENANCE = True
    with CaptureQueriesContext(connection) as queries:
        page, problem = Client().get("/admin/"), Client().get("/api/v1/partners")
    assert not queries.captured_queries
    assert (page.status_code, page["Retry-After"]) == (503, "120")
    assert "Maintenance in progress" in page.content.decode()
    assert (problem.status_code, problem["Retry-After"]) == (503, "120")
    assert problem["Content-Type"] == "application/problem+json"
    assert problem.json()["code"] == "dependency.unavailable"
    assert Client().get("/livez").status_code == 200
    assert Client().get("/readyz").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/admin/login/", "/api/docs", "/api/redoc", "/api/problems", "/forgot-password", "/nowhere"]
)
def test_every_page_has_a_policy_without_inline_scripts(address):
    response = Client().get(address, **BROWSER)
    rules = dict(rule.split(" ", 1) for rule in response["Content-Security-Policy"].split("; "))
    allowed = {"'self'", "'unsafe-eval'"} if address.startswith("/admin/") else {"'self'"}
    assert set(rules.get("script-src", rules["default-src"]).split()) == allowed
    assert rules["frame-ancestors"] == "'none'"
    assert rules["object-src"] == "'none'"
    assert "<script>" not in response.content.decode()


def test_a_view_keeps_a_stricter_policy_of_its_own(rf):
    own = HttpResponse(headers={"Content-Security-Policy": "default-src 'none'"})
    response = PageMiddleware(lambda request: own)(rf.get("/"))
    assert response["Content-Security-Policy"] == "default-src 'none'"


@pytest.mark.django_db
def test_the_sign_in_page_offers_a_new_password_and_contact(settings):
    settings.SUPPORT_EMAIL = "help@cotton-erp.example"
    text = Client().get("/admin/login/").content.decode()
    assert 'href="/forgot-password"' in text
    assert 'href="mailto:help@cotton-erp.example"' in text
