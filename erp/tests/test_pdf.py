"""PDF documents: the same bytes for the same content, every script that the product writes, numbered pages."""

from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from erp.figures import money
from erp.pdf import Document

DAY = date(2026, 11, 30)


def document(**changes: Any) -> Document:
    made = Document("KYC register", day=DAY, note="Cotton ERP")
    made.heading("Firm")
    made.facts(
        [("Name", "श्री सोमनाथ उद्योग"), ("Trade name", "શ્રી સોમનાથ"), ("Limit", money(Decimal(2479684)))]
    )
    made.table(
        ["Paper", "Amount"], [["Licence", money(Decimal(1_000_000))]] * changes.get("rows", 2), numbers=[1]
    )
    return made


def text_of(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(content)).pages]


def test_the_same_content_gives_the_same_bytes() -> None:
    assert document().render() == document().render() != document(rows=3).render()


def test_every_script_and_the_rupee_sign_can_be_read_back() -> None:
    (page,) = text_of(document().render())
    words = page.replace("\n", "").replace(" ", "")
    for word in ("KYCregister", "श्रीसोमनाथउद्योग", "શ્રીસોમનાથ", "₹24,79,684.00", "₹10,00,000.00"):
        assert word in words, word


def test_a_conjunct_is_shaped_and_no_glyph_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    made = Document("क्षत्रिय ક્ષત્રિય", day=DAY)
    content = made.render()
    assert "missing" not in caplog.text
    fonts = PdfReader(BytesIO(content)).pages[0]["/Resources"]["/Font"]
    names = {str(font.get_object()["/BaseFont"]).partition("+")[2] for font in fonts.values()}
    assert {"NotoSansDevanagariBold", "NotoSansGujaratiBold"} <= names


def test_pages_are_numbered_and_a_table_repeats_its_headings() -> None:
    pages = text_of(document(rows=80).render())
    assert len(pages) > 1
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Paper" in page or "₹" not in page


def test_nothing_is_shown_as_a_dash_and_a_control_character_as_a_space() -> None:
    made = Document("Title", day=DAY)
    made.facts([("Empty", ""), ("Odd", "a\x00b")])
    made.table(["Column"], [])
    (page,) = text_of(made.render())
    assert "–" in page
    assert "a b" in page
    assert "None." in page
