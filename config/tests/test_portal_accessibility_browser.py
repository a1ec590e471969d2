"""Main pages in a real browser: no serious accessibility fault, nothing that the page's policy blocks.

Run with ``pytest -m browser config/tests/test_portal_accessibility_browser.py``.
"""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from apps.approvals.models import ApprovalRequest
from config.tests.test_admin_browser import browse, pytestmark
from erp import clock
from erp.jobs.models import Job
from erp.models import unguarded_writes

__all__ = ["browse", "pytestmark"]  # the fixtures and marks

BLOCKED = """
window.blocked = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.blocked.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""
PAGES = [
    "/admin/",
    "/admin/partner/partner/",
    "/admin/partner/partner/add/",
    "/admin/commodity/commodity/",
    "/admin/commodity/commodity/add/",
    "/admin/commodity/commodity/{commodity}/change/",
    "/admin/commodity/commodity/{commodity}/history/",
    "/admin/commodity/deliveryterms/add/",
    "/admin/commodity/variety/",
    "/admin/location/location/start/bulk_import/",
    "/admin/job/job/{job}/change/",
    "/admin/availability/availability/",
    "/admin/availability/availability/{offer}/change/",
    "/admin/availability/availability/{offer}/run/approve/",
    "/admin/approval/approvalrequest/",
    "/admin/approval/approvalrequest/{approval}/change/",
    "/admin/organization/organization/",
]
SIGNED_OUT = [
    "/admin/login/",
    "/forgot-password",
    "/no-such-page",
    "/api/problems",
    "/api/problems/request.invalid",
]
DOCUMENTS = {"/api/docs": ".opblock-tag", "/api/redoc": "h1"}
LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"  # Redoc asks for it always; the policy blocks it
RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


def serious(page: Any) -> list[str]:
    """Faults that keep people from using the page, each with its first place."""
    return [
        f"{found['id']}: {found['nodes'][0]['html'][:200]} {found['nodes'][0]['failureSummary'][-160:]}"
        for found in Axe().run(page, options=RULES).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_main_pages_are_accessible_and_obey_their_policy(browse, user, offer, commodity, scheme):
    waiting, row = offer(live=False, submit=True), commodity()
    ended = {"finished_at": clock.now(), "total": 1, "processed": 1, "refused": 1}
    manager = user("INTERNAL_MANAGER")
    with unguarded_writes():
        (job := Job(kind="location.import", mode="partial", owner=manager, status="failed", **ended)).save()
    visitor = browse(color_scheme=scheme)
    visitor.context.add_init_script(BLOCKED)
    ids = {
        "offer": waiting.pk,
        "commodity": row.pk,
        "job": job.pk,
        "approval": ApprovalRequest.objects.get(subject_id=waiting.pk).pk,
    }
    addresses = [path.format(**ids) for path in PAGES]
    faults = [fault for address in SIGNED_OUT for fault in check(visitor, address)]
    visitor.sign_in(manager)
    faults += [fault for address in addresses for fault in check(visitor, address)]
    assert not faults, "\n".join(faults)


def check(browser: Any, address: str) -> list[str]:
    page = browser.open(address)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("location.pathname") == address
    return [f"{address}: {fault}" for fault in serious(page) + page.evaluate("window.blocked")]


def test_the_documentation_runs_under_its_policy(browse):
    browser = browse()
    browser.context.add_init_script(BLOCKED)
    for address, drawn in DOCUMENTS.items():
        page = browser.open(address)
        page.wait_for_selector(drawn, timeout=60_000)
        blocked = [each for each in page.evaluate("window.blocked") if LOGO not in each]
        assert (address, blocked) == (address, [])
    assert {each for each in browser.elsewhere if not each.startswith("blob:")} <= {LOGO}
    browser.elsewhere.clear()
    browser.faults = [each for each in browser.faults if each != LOGO]


def test_swagger_ui_remembers_the_token_and_fills_the_key(browse):
    page = browse().open("/api/docs#/locations/location_reverse_geocode")
    page.click("button.authorize", timeout=60_000)
    page.fill(".auth-container input", "a-token")
    page.click(".auth-btn-wrapper .authorize")
    page.reload()
    page.wait_for_selector(".authorization__btn.locked, button.authorize.locked", timeout=60_000)
    page.click(".opblock-post .try-out__btn")
    key = page.locator('tr[data-param-name="Idempotency-Key"] input')
    assert len(key.input_value()) == 32
    with page.expect_request("**/api/v1/**") as sent:
        page.click(".opblock-post .execute")
    assert sent.value.headers["idempotency-key"] == key.input_value()
    assert sent.value.headers["authorization"] == "Bearer a-token"
