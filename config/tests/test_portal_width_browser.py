"""Every page of the portal in a real browser: nothing is wider than the window, on a desktop and on a tablet.

Run with ``pytest -m browser config/tests/test_portal_width_browser.py``.
"""

import pytest
from django.contrib import admin

from config.tests.test_admin_browser import browse, pytestmark
from erp.tests.test_admin import rows

__all__ = ["browse", "pytestmark", "rows"]  # the fixtures and marks

WIDTHS = (1280, 900)


@pytest.mark.parametrize("name", ["changelist", "change", "history", "add"])
def test_no_page_is_wider_than_the_window(browse, user, rows, name):
    browser = browse(user())
    wide = {}
    for model, row in rows.items():
        page = admin.site._registry[model]
        if name == "add" and page.creates is None:
            continue
        path = page._url(name, row.pk if name in ("change", "history") else None)
        for width in WIDTHS:
            browser.page.set_viewport_size({"width": width, "height": 900})
            if width == WIDTHS[0]:
                assert browser.open(path).is_visible("#main"), path
            taken = browser.page.evaluate("document.documentElement.scrollWidth")
            if taken > width:
                wide[path, width] = taken
    assert not wide
