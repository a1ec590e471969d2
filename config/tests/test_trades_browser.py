"""A trade from approval to settlement, played in the staff portal in a real browser (journey A15 to A24).

Run with ``pytest -m browser config/tests/test_trades_browser.py``.
"""

from datetime import UTC, datetime

from apps.trades import money_tasks
from apps.trades.models import Settlement, Trade
from apps.trades.tests.deals import LAB
from config.tests.test_admin_browser import browse, pytestmark
from config.tests.test_trade_journey import created, deals, steps
from erp.models import unguarded_writes

__all__ = ["browse", "deals", "pytestmark", "steps"]  # the fixtures and marks

URL = "/admin/trade/trade/"
WIDTHS = (1280, 900)
PATIENCE = 90_000  # milliseconds: an approval judges risk and credit, and other tests may run beside


class Portal:
    """One member of staff on the pages of one trade."""

    def __init__(self, browser, trade):
        self.browser, self.page, self.address = browser, browser.page, f"{URL}{trade.pk}/change/"
        self.page.set_default_timeout(PATIENCE)

    def text(self):
        return self.page.inner_text("#main")

    def start(self, label):
        """Open the form of an action from the trade's page."""
        self.browser.open(self.address)
        link = self.page.locator(f"#main a:text-is('{label}')").first
        if not link.is_visible():
            self.page.click("summary:has-text('More actions')")
        link.click()
        self.page.wait_for_selector("form#run_form")

    def enter(self, values):
        """Type into controls, or choose in them."""
        for name, value in values.items():
            control = self.page.locator(f"[name='{name}']")
            if control.evaluate("each => each.tagName") == "SELECT":
                control.select_option(label=value)
            else:
                control.fill(value)

    def submit(self):
        self.page.click("form#run_form button[type=submit] >> nth=0")
        self.page.wait_for_url("**/change/")
        return self.text()

    def run(self, label, **values):
        self.start(label)
        self.enter(values)
        return self.submit()


def require_fit(page):
    """No page is wider than the window, on a desktop and on a tablet."""
    for width in WIDTHS[::-1]:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (page.url, width)


def approve(browser, trade, comment):
    browser.page.set_default_timeout(PATIENCE)
    page = browser.open("/admin/")
    page.click("text=Trades to approve")
    page.click(f"tr:has-text('{trade.number}') >> text=Approve")
    page.fill("[name=comment]", comment)
    page.click("form#run_form button[type=submit] >> nth=0")
    page.wait_for_url("**/change/")
    return page.inner_text("#main")


def test_a_trade_is_run_in_the_portal_from_approval_to_settlement(browse, steps):
    deals, trade = steps.deals, created(steps)
    for manager, comment in zip(deals.managers, ("Within the limits.", "Seen.", ""), strict=True):
        if comment:
            assert comment in approve(browse(manager), trade, comment)
    with unguarded_writes():  # the journey is of January
        Trade.objects.filter(pk=trade.pk).update(approved_at=datetime(2026, 1, 13, 6, tzinfo=UTC))
    desk, finance = (Portal(browse(person), trade) for person in (deals.desk, deals.finance))
    paid = {"kind": "Advance", "amount": "3,83,625.78", "paid_date": "2026-01-14", "method": "NEFT"}
    assert "3,83,625.78" in finance.run("Record payment", **paid, reference="ZZZBN26014000001")

    desk.start("Record a quality result")
    lot = desk.page.locator("[name=lot_id] option >> nth=1").inner_text()
    desk.enter({
        "lot_id": lot, "source": "Laboratory", "sampled_at": "2026-01-15T09:30", "tested_at": "2026-01-15T14:30",
    })  # fmt: skip
    codes = {str(row.pk): code for code, row in deals.parameters.items()}
    for place in range(desk.page.locator(".erp-rows-list > .erp-row").count()):
        code = codes[desk.page.input_value(f"[name='values.{place}.parameter_id']")]
        desk.enter({f"values.{place}.value": LAB[code]})
    desk.page.check("[name=governing]")
    assert "Pass with allowance" in desk.submit()
    weighed = {
        "lot_id": lot, "stage": "Origin", "weighed_at": "2026-01-16T10:30", "count": "100", "gross_kg": "17,023.500",
        "tare_kg": "85", "weighbridge": "Gondal", "slip_number": "WB-0116-7",
    }  # fmt: skip
    assert "16,938.5" in desk.run("Record a weighing", **weighed)
    sent = {
        "dispatched_at": "2026-01-16T12:30", "vehicle_number": "GJ03BT4321", "distance_km": "1730",
        "invoice_number": "SSG/25-26/0412", "invoice_date": "2026-01-16",
    }  # fmt: skip
    assert "GJ03BT4321" in desk.run("Record a dispatch", **sent)
    desk.start("Record a delivery")
    desk.page.locator("[name=dispatch_id]").select_option(index=1)
    desk.page.check("[name=final]")
    desk.enter({"delivered_at": "2026-01-22T11:30"})
    assert "Delivered, final" in desk.submit()
    desk.start("Record a weighing")
    desk.page.locator("[name=dispatch_id]").select_option(index=1)
    desk.enter({
        "lot_id": lot, "stage": "Destination", "weighed_at": "2026-01-22T13:30", "count": "100", "gross_kg": "16942",
        "tare_kg": "85", "weighbridge": "Coimbatore", "slip_number": "CB-1",
    })  # fmt: skip
    assert "16,857" in desk.submit()

    paid = {"kind": "Balance", "amount": "22,19,363.22", "paid_date": "2026-02-20", "method": "NEFT"}
    assert "22,19,363.22" in finance.run("Record payment", **paid, reference="ZZZBR26052000000001")
    assert "Settled" in finance.run("Settle", settled_date="2026-02-23")
    require_fit(finance.page)
    money_tasks.draw_documents(str(trade.pk))  # what the worker does
    settled = Settlement.objects.get()
    page = finance.browser.open(f"/admin/trade/settlement/{settled.pk}/change/")
    require_fit(page)
    page.click("text=Show every figure with its rule")
    unfolded = page.locator("details:has-text('24,79,684.66')").first
    assert "24,79,684.6579129408" not in finance.text()
    unfolded.locator("summary").click()
    assert "24,79,684.6579129408" in finance.text()
    finance.browser.open(finance.address)
    page.locator("tr:has-text('Credit note') a").first.click()
    with page.expect_download() as started:
        page.click("text=Download the PDF")
    with open(started.value.path(), "rb") as file:
        assert file.read(5) == b"%PDF-"
    for path in ("/admin/matching/match/", f"/admin/matching/match/{trade.match_id}/change/"):
        require_fit(desk.browser.open(path))
