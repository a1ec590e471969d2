"""Documents as PDF: headings, facts, tables and page numbers, in Latin, Devanagari and Gujarati script.

The same content gives the same bytes: nothing in the file depends on the clock or on chance.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from fpdf import FPDF
from fpdf.enums import TableCellFillMode
from fpdf.fonts import FontFace, TTFFont

_FONTS: Final = Path(__file__).parent / "fonts"
_LATIN: Final = "NotoSans"
_OTHER_SCRIPTS: Final = ("NotoSansDevanagari", "NotoSansGujarati")
_MARGIN, _LINE = 15, 5.5  # millimetres
_SIZES: Final = {"title": 16, "heading": 12, "text": 9}  # points
_GREY, _PALE = (90, 90, 90), (238, 240, 243)
_LABEL: Final = 48  # width of the label of a fact


class _Pages(FPDF):
    """A4 pages with a footer."""

    note = ""

    def footer(self) -> None:
        self.set_y(-_MARGIN)
        self.set_font(_LATIN, "", 7)
        self.set_text_color(*_GREY)
        width = self.epw / 2
        self.cell(width, _LINE, self.note)
        self.cell(width, _LINE, f"Page {self.page_no()} of {{nb}}", align="R")


class Document:
    """A document that is written from top to bottom; ``day`` is the date that it is of, and stands in the file."""

    def __init__(self, title: str, *, day: date, note: str = "") -> None:
        self._title, self._day, self._note = title, day, note
        self.heading(title, "title")

    @cached_property
    def _pdf(self) -> _Pages:
        pdf = _Pages(format="A4")
        for family in (_LATIN, *_OTHER_SCRIPTS):
            for style, weight in (("", "Regular"), ("B", "Bold")):
                pdf.add_font(family, style, _FONTS / f"{family}-{weight}.ttf")
        pdf.set_fallback_fonts(list(_OTHER_SCRIPTS), exact_match=True)
        pdf.set_text_shaping(True)  # HarfBuzz: conjuncts, and vowel signs that stand before their consonant
        pdf.set_creation_date(datetime.combine(self._day, time(), UTC))
        pdf.set_title(_clean(self._title))
        pdf.set_lang("en-IN")
        pdf.set_producer("Cotton ERP")
        pdf.note = _clean(self._note)
        pdf.set_margin(_MARGIN)
        pdf.set_auto_page_break(True, 2 * _MARGIN)
        pdf.set_draw_color(*_PALE)
        pdf.add_page()
        return pdf

    def heading(self, text: str, size: str = "heading") -> None:
        """A heading on a line of its own, on the page of what follows."""
        pdf = self._pdf
        if pdf.will_page_break(4 * _LINE):
            pdf.add_page()
        pdf.ln(_LINE / 2)
        self._font("B", size)
        self._write(text)
        pdf.ln(1)

    def paragraph(self, text: str) -> None:
        """A text that may take several lines."""
        self._font()
        self._write(text)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Labels with their values beside them; what has no value is shown with a dash."""
        pdf = self._pdf
        for label, value in facts:
            if pdf.will_page_break(_LINE):
                pdf.add_page()
            self._font("B")
            pdf.cell(_LABEL, _LINE, _clean(label))
            self._font()
            self._write(value or "–", pdf.epw - _LABEL)

    def table(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        widths: Sequence[int] | None = None,
        numbers: Sequence[int] = (),
    ) -> None:
        """A table whose headings are repeated on each page; columns of ``numbers`` are aligned to the right.

        ``widths`` are proportions. Without rows there is a line that says so.
        """
        lines = [list(row) for row in rows]
        if not lines:
            self.paragraph("None.")
            return
        self._font()
        aligned = tuple("RIGHT" if place in numbers else "LEFT" for place in range(len(headings)))
        bold: Any = FontFace(emphasis="BOLD", fill_color=_PALE)
        with self._pdf.table(
            col_widths=tuple(widths) if widths else None,
            text_align=aligned,
            headings_style=bold,
            line_height=_LINE,
            padding=1,
            borders_layout="HORIZONTAL_LINES",
            cell_fill_mode=TableCellFillMode.NONE,
        ) as table:
            for line in ([*headings], *lines):
                row = table.row()
                for text in line:
                    row.cell(_clean(text) or "–")

    def render(self) -> bytes:
        """The file."""
        pdf = self._pdf
        content = bytes(pdf.output())
        for font in pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.close()  # those that no text needed are open still
        return content

    def _font(self, style: str = "", size: str = "text") -> None:
        self._pdf.set_font(_LATIN, style, _SIZES[size])
        self._pdf.set_text_color(0)

    def _write(self, text: str, width: float = 0) -> None:
        self._pdf.multi_cell(width, _LINE, _clean(text), align="L", new_x="LMARGIN", new_y="NEXT")


def _clean(text: str) -> str:
    """The text in its composed form, each control character a space."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(" " if unicodedata.category(c) == "Cc" and c != "\n" else c for c in composed)
