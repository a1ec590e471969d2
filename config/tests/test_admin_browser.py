"""A day in the staff portal in a real browser. Run with ``pytest -m browser config/tests/test_admin_browser.py``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from apps.accounts import secrets
from apps.accounts.services import joining
from apps.commodities.tests.examples import measured
from apps.locations.models import Location
from apps.partners.models import Partner, PartnerBankAccount
from apps.partners.tests import factories
from config.testing import CHROMIUM, PASSWORD, totp_code
from config.tests.jobs_support import finished
from erp.access import SYSTEM
from erp.jobs.models import Job
from erp.outbox import endpoint, wire
from erp.outbox.models import EventOutbox
from erp.outbox.publisher import BlockingPublisher
from erp.tests.outbox_support import count, insert, pubsub, received

__all__ = ["pubsub"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason="no Chromium here: apt-get install chromium"),
]


class Browser:
    """One person's browser: fails on anything fetched from elsewhere and on any error of a script."""

    def __init__(self, chromium: Any, address: str, **options: Any) -> None:
        self.address = address
        self.context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page = self.context.new_page()
        self.elsewhere: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _asked(self, request: Any) -> None:
        # The browser itself draws a PDF.
        if not request.url.startswith((self.address, "data:", "chrome:", "chrome-extension:")):
            self.elsewhere.append(request.url)

    def _failed(self, request: Any) -> None:
        # Not those of the browser's own viewer of PDFs, which ends with the page; `_asked` sees what is elsewhere.
        is_ours = request.url.startswith(self.address)
        if is_ours and request.resource_type in ("script", "stylesheet", "font", "image"):
            self.faults.append(request.url)

    def _answered(self, response: Any) -> None:
        if "/static/" in response.url and response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.address + path)
        return self.page

    def sign_in(self, user: Any) -> Any:
        page = self.open("/admin/")
        page.fill("[name=username]", user.email)
        page.fill("[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.fill("[name=code]", totp_code())
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        return page

    def dialog_text(self) -> str:
        return self.page.inner_text("#main")


@pytest.fixture
def browse(chromium, live_server, settings) -> Iterator[Any]:
    settings.ALLOWED_HOSTS = ["*"]
    opened = []

    def make(user: Any = None, **options: Any) -> Browser:
        browser = Browser(chromium, live_server.url, **options)
        opened.append(browser)
        if user is not None:
            browser.sign_in(user)
        return browser

    yield make
    for browser in opened:
        browser.context.close()
        assert not browser.elsewhere
        assert not browser.faults


def test_a_manager_approves_an_offer_and_the_seller_is_on_the_market(browse, user, offer, emitted):
    waiting = offer(live=False, submit=True)
    browser = browse(user("INTERNAL_MANAGER"))
    page = browser.page
    assert "TEST" in page.inner_text("#header-inner")
    page.click("text=Offers to approve")
    page.click(f"tr:has-text('{waiting.number}') >> text=Approve")
    assert "Pending approval → Active" in browser.dialog_text()
    page.fill("[name=note]", "papers seen")
    page.click("form#run_form button[type=submit]")
    page.wait_for_url("**/change/")
    assert f"{waiting.number} was approved." in browser.dialog_text()
    waiting.refresh_from_db()
    assert waiting.status == "ACTIVE"
    assert len(emitted("availability.approved")) == 1


def test_two_clicks_fifty_milliseconds_apart_have_one_effect(browse, user, emitted):
    browser = browse(user("INTERNAL_MASTERDATA"))
    page = browser.open("/admin/commodity/commodity/add/")
    for name, value in {"code": "COTTON-2C", "name": "Two clicks", "trade_unit": "KG"}.items():
        page.fill(f"[name={name}]", value)
    page.select_option("[name=category]", "FIBRE")
    click = "document.querySelector('[name=_save]').click()"
    page.evaluate(f"() => {{ {click}; setTimeout(() => {click}, 50); }}")
    page.wait_for_selector("text=Commodity Two clicks was created.")
    assert len(emitted("commodity.created")) == 1


def test_resubmitting_a_form_shows_the_first_result(browse, user, emitted):
    browser = browse(user("INTERNAL_MASTERDATA"))
    page = browser.open("/admin/commodity/commodity/add/")
    for name, value in {"code": "COTTON-2R", "name": "Sent again", "trade_unit": "KG"}.items():
        page.fill(f"[name={name}]", value)
    page.select_option("[name=category]", "FIBRE")
    page.click("[name=_save]")
    page.wait_for_selector("text=Commodity Sent again was created.")
    page.go_back()
    page.click("[name=_save]")
    # A browser that reloads the page sends it with a new key: then the code is refused as taken.
    page.wait_for_selector("text=/it was not done again|already/")
    assert len(emitted("commodity.created")) == 1


def test_the_desk_reviews_a_file_and_a_bank_account(browse, user):
    file = factories.file_of("under_review")
    paper = factories.document_of(file, "itr")
    account = PartnerBankAccount.objects.get(partner=file.partner)
    desk = browse(user("INTERNAL_COMPLIANCE"))
    page = desk.open("/admin/")
    assert "Papers to verify" in page.inner_text("#main")
    page = desk.open(f"/admin/partner/partnerdocument/{paper.pk}/run/verify_document/")
    page.click("#main button[type=submit]")
    page.wait_for_url("**/change/")
    manager = browse(user("INTERNAL_MANAGER"))
    page = manager.open(f"/admin/partner/onboardinground/{file.pk}/change/")
    assert "Trade licence" in page.inner_text("#main")
    page = manager.open(f"/admin/partner/partner/{file.partner_id}/run/approve/")
    page.fill("[name=notes]", "Complete.")
    page.click("#main button[type=submit]")
    page.wait_for_url("**/change/")
    assert Partner.objects.get(pk=file.partner_id).status == "active"
    finance = browse(user("INTERNAL_FINANCE"))
    page = finance.open(f"/admin/partner/partnerbankaccount/{account.pk}/run/verify_bank_account/")
    page.select_option("[name=method]", "call_back")
    phone = file.partner.contact_phone
    factories.on_file(file.partner, phone, 31)
    page.fill("[name=call_back_phone]", phone)
    page.fill("[name=call_back_note]", "Called the office on its known number; the account was confirmed.")
    page.click("#main button[type=submit]")
    page.wait_for_url("**/change/")
    account.refresh_from_db()
    assert account.status == "verified"


def test_several_offers_are_decided_from_the_list(browse, user, offer, emitted):
    for _ in range(3):
        offer(live=False, submit=True)
    offer(live=False)
    browser = browse(user("INTERNAL_MANAGER"))
    page = browser.open("/admin/availability/availability/")
    page.locator("thead input[type=checkbox]").first.check()
    page.select_option("select[name=action]", "approve")
    page.click("button[name=index]")
    page.click("form#run_form button[type=submit]")
    page.wait_for_selector("text=3 of 4 done.")
    assert "allow this action" in browser.dialog_text()
    assert len(emitted("availability.approved")) == 3


def test_staff_reserve_for_a_partner_found_by_search(browse, user, offer, partner):
    partner("Kovai Spinners")
    live = offer()
    browser = browse(user("INTERNAL"))
    page = browser.open(f"/admin/availability/availability/{live.pk}/run/reserve/")
    page.fill("[name=quantity]", "40")
    page.click(".select2-selection")
    page.fill(".select2-search__field", "kovai")
    page.click(".select2-results__option:has-text('Kovai Spinners')")
    page.click("form#run_form button[type=submit]")
    page.wait_for_url("**/change/")
    assert re.search(r"Kovai Spinners\s+40 BALE", browser.dialog_text())


def test_a_manager_views_the_portal_as_a_partner_and_ends_the_view(browse, user, offer):
    seller = user("SELLER")
    own, foreign = offer(seller=seller, live=False), offer(live=False)
    firm = Partner.objects.get(pk=seller.partner_id)
    browser = browse(user("INTERNAL_MANAGER"))
    page = browser.open("/admin/account/viewas/add/")
    page.evaluate(
        "([key, name]) => { const select = document.querySelector('[name=partner_id]');"
        " select.append(new Option(name, key, true, true)); select.value = key; }",
        [str(firm.pk), str(firm)],
    )
    page.fill("[name=reason]", "The seller asks what its page shows.")
    page.click("#main button[type=submit]")
    page.wait_for_selector(f"text={firm}")
    page = browser.open("/admin/availability/availability/")
    shown = page.inner_text("body")
    assert (own.number in shown, foreign.number in shown, str(firm) in shown) == (True, False, True)


def test_a_stale_page_shows_both_values(browse, user, commodity):
    row = commodity()
    mine, theirs = browse(user("INTERNAL_MASTERDATA")), browse(user("INTERNAL_MANAGER"))
    path = f"/admin/commodity/commodity/{row.pk}/change/"
    mine.open(path)
    theirs.open(path).fill("[name=description]", "theirs")
    theirs.page.click("[name=_save]")
    theirs.page.wait_for_selector("text=was updated.")
    mine.page.fill("[name=description]", "mine")
    mine.page.click("[name=_save]")
    mine.page.wait_for_selector("text=Nothing was saved")
    assert re.search(r"Description\s+mine\s+theirs", mine.dialog_text())
    mine.page.click("[name=_save]")
    mine.page.wait_for_selector("text=was updated.")
    row.refresh_from_db()
    assert row.description == "mine"


def test_an_auditor_finds_every_screen_and_nothing_to_press(browse, user, offer):
    offer()
    browser = browse(user("AUDITOR"))
    page = browser.page
    links = page.eval_on_selector_all("#nav-sidebar-apps a", "all => all.map(each => each.href)")
    lists = [link for link in links if link.count("/") > 5]
    assert len(lists) >= 8
    for link in lists:
        page.goto(link)
        assert not page.query_selector_all("main button[type=submit]:not([form]), a.erp-verb, a.addlink")


def test_stuck_events_and_dead_letters_are_decided_with_a_reason(browse, user, pubsub):
    stream, lost = uuid4(), uuid4()
    first = insert(stream, stream)[0]
    EventOutbox.objects.filter(pk=first.pk).update(status="failed", last_error="larger than the topic takes")
    event = wire.envelope(insert(lost)[0], dead := uuid4(), '{"text": "x"}')
    attributes = wire.attributes(event) | {
        wire.SOURCE_SUBSCRIPTION: "s/cotton-erp-events-sub",
        wire.DELIVERIES: "5",
    }
    with BlockingPublisher() as publisher:
        publisher.publish(
            endpoint.topic_path("cotton-erp-events-dlq"), [wire.Message(data=b"{}", attributes=attributes)]
        )
    browser = browse(user("INTERNAL_DIRECTOR"))
    page = browser.page

    page.click("text=Relays, Pub/Sub, heartbeats")
    assert f"parcel:{stream}" in browser.dialog_text()

    browser.open("/admin/outbox/eventoutbox/?status__exact=failed")
    page.click(f"tr:has-text('{str(stream)[-12:]}') >> text=Skip")
    page.click("form#run_form button[type=submit]")
    page.wait_for_selector("text=Correct the fields marked below")
    page.fill("[name=reason]", "told by telephone")
    page.click("form#run_form button[type=submit]")
    page.wait_for_selector("text=was skipped")
    first.refresh_from_db()
    assert (first.status, first.resolution) == ("pending", "skipped")

    browser.open("/admin/outbox/deadletter/")
    page.click(f"tr:has-text('{dead}') >> text=Redrive")
    page.fill("[name=reason]", "the handler is mended")
    page.click("form#run_form button[type=submit]")
    page.wait_for_selector("text=was redriven")
    assert "not executed" not in browser.dialog_text()
    assert [event.event_id for event in received(count(1))] == [dead]


def test_control_k_leads_to_a_row_by_its_number(browse, user, offer):
    live = offer()
    page = browse(user("INTERNAL")).page
    page.wait_for_function("window.Alpine && document.readyState === 'complete'")
    page.keyboard.press("Control+k")
    page.wait_for_function("document.activeElement.id === 'search-input-command'")
    page.keyboard.type(live.number)
    page.click(f"#command-results-list a:has-text('{live.number}')")
    page.wait_for_url(f"**/{live.pk}/change/")


def test_a_file_with_two_bad_rows_is_checked_then_imported(browse, user, state, tmp_path):
    state("24")
    file = tmp_path / "places.csv"
    file.write_text("type,name,state\nCITY,Gondal,24\nCITY,Bad,99\nTOWN,Worse,24\n")
    browser = browse(user("INTERNAL"))
    page = browser.open("/admin/location/location/start/bulk_import/")
    assert "Download the template" in browser.dialog_text()
    page.set_input_files("[name=file]", file)
    page.click("text=Check the file")
    page.wait_for_selector("text=The job is running")
    finished(Job.objects.get())
    page.wait_for_selector("text=2 of 3 rows have errors")  # the page follows the job by itself
    assert re.search(r"2\s+state\s+Unknown state.*\s+3\s+type\s+Enter one of", browser.dialog_text())
    assert not Location.objects.filter(name="Gondal").exists()
    page.click("text=Import the checked rows")
    page.click("text=Import 1 of 3 rows")
    page.wait_for_selector("text=The job is running")
    finished(Job.objects.get(mode="partial"))
    page.wait_for_selector("text=were left out")
    assert Location.objects.filter(name="Gondal").exists()


def test_signing_out_ends_access(browse, user):
    browser = browse(user("INTERNAL"))
    page = browser.page
    page.click("text=Test Person")
    page.click("#logout-form button")
    page.wait_for_load_state()
    page.goto(browser.address + "/admin/partner/partner/")
    assert "/admin/login/" in page.url


@pytest.mark.parametrize("width", [1280, 820])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_desktop_and_tablet_in_light_and_dark_mode(browse, user, offer, width, scheme):
    live = offer()
    browser = browse(user("INTERNAL_MANAGER"), color_scheme=scheme)
    page = browser.page
    page.set_viewport_size({"width": width, "height": 900})
    for path in (
        "/admin/",
        f"/admin/availability/availability/{live.pk}/change/",
        "/admin/commodity/commodity/",
    ):
        browser.open(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("document.documentElement.classList.contains('dark')") == (scheme == "dark")


def test_an_invited_person_begins_by_the_link_in_the_mail(browse):
    invited = joining.invite(
        actor=SYSTEM, email="owner@kapas.in", full_name="Kanti Owner", user_type="SUPER_ADMIN"
    )
    token = secrets.invitation_of(invited)
    browser = browse()
    page = browser.open(f"/invitation#{token}")
    assert page.url.endswith("/invitation")  # the token left the address bar
    page.fill("[name=password]", "cotton")
    page.fill("[name=again]", "cotton")
    page.click("button")
    page.wait_for_selector("[data-for=password]:not(:empty)")
    page.fill("[name=password]", "nine bales of long staple")
    page.fill("[name=again]", "nine bales of long staples")
    page.check("[name=is_adult]")
    page.click("button")
    page.wait_for_selector("[data-for=again]:not(:empty)")
    page.fill("[name=again]", "nine bales of long staple")
    page.click("button")
    page.wait_for_selector("#done:visible")
    invited.refresh_from_db()
    assert (invited.status, invited.check_password("nine bales of long staple")) == ("active", True)

    page = browser.open(f"/invitation#{token}")
    page.fill("[name=password]", "nine bales of long staple")
    page.fill("[name=again]", "nine bales of long staple")
    page.check("[name=is_adult]")
    page.click("button")
    page.wait_for_selector("#fault:not(:empty)")
    assert "is invalid" in page.inner_text("#fault")


def test_a_link_that_is_not_whole_says_so(browse):
    page = browse().open("/reset-password")
    assert page.is_visible("#stale")
    assert not page.is_visible("#link")


def test_a_schedule_is_drafted_with_two_lines_after_a_mistake_and_its_history_read(browse, user, commodity):
    cotton = commodity()
    measured(cotton)
    browser = browse(user("INTERNAL", "INTERNAL_MASTERDATA"))
    page = browser.open("/admin/commodity/qualityschedule/add/")
    page.evaluate(
        "([id, name]) => document.querySelector('[name=commodity]').add(new Option(name, id, true, true))",
        [str(cotton.pk), cotton.name],
    )
    for name, value in {
        "code": "TWO",
        "contract_form": "CAI",
        "title": "Two lines",
        "source": "By-law 52",
    }.items():
        page.fill(f"[name={name}]", value)
    page.fill("[name=valid_from]", "2027-01-01")
    page.select_option("[name=mode]", "ADDITIVE")
    for place, order in enumerate(("1", "second")):
        page.locator("[data-add-row]").last.click()
        page.fill(f"[name='lines.{place}.order']", order)
        page.fill(f"[name='lines.{place}.parameter']", ("staple_length", "trash")[place])
        page.fill(f"[name='lines.{place}.method']", ("CLASSER", "GRAVIMETRIC")[place])
        page.select_option(f"[name='lines.{place}.form']", "NO_LIMIT")
    page.click("[name=_save]")
    page.wait_for_selector("text=Row 2: Order: Enter a whole number")
    assert page.input_value("[name='lines.0.parameter']") == "staple_length"
    page.fill("[name='lines.1.order']", "2")
    page.click("[name=_save]")
    page.wait_for_url("**/change/", timeout=8000)
    page.fill("[name=title]", "Two lines, corrected")
    page.click("[name=_save]")
    page.wait_for_url("**/change/")
    page.goto(page.url.replace("/change/", "/history/"))
    text = browser.dialog_text()
    assert "Two lines, corrected" in text
    assert "Staff portal" in text
