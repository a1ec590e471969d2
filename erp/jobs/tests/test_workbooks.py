"""Hostile and unusual tables: work is bounded by what the file really holds, and cells that aren't text are refused."""

import io
import struct
import zipfile
import zlib
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula

from erp.api import fields
from erp.api.serializers import Input
from erp.errors import Invalid, RuleBroken
from erp.files import media_type_of
from erp.jobs import limits, workbooks
from erp.jobs.limits import Budget, LimitExceeded
from erp.jobs.sheets import records
from erp.jobs.tables import TableKind
from erp.jobs.workbooks import TypedCell

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>code</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>bales</t></is></c></row>'
)


class Wrong(RuleBroken):
    """The table is wrong."""


class Lot(Input):
    code = fields.CharField(required=False)
    bales = fields.IntegerField(required=False)
    weight = fields.DecimalField(max_digits=9, decimal_places=3, required=False)
    pressed = fields.BooleanField(required=False)
    marks = fields.ListField(child=fields.CharField(), required=False)


class Lots(TableKind):
    name = "test.hostile_lots"
    row = Lot
    wrong_header = too_many_rows = Wrong


def packed(
    rows: str = HEADER,
    *,
    sheets: str = '<sheet name="Lots" sheetId="1" r:id="rId1"/>',
    strings: str = "",
    styles: str = "",
    **more: str,
) -> bytes:
    """A workbook of hand-written parts; ``rows`` are the first sheet's."""
    kinds = {"rId1": "worksheet", "rId2": "worksheet", "rId3": "sharedStrings", "rId4": "styles"}
    targets = {
        "rId1": "worksheets/sheet1.xml",
        "rId2": "worksheets/sheet2.xml",
        "rId3": "sharedStrings.xml",
        "rId4": "styles.xml",
    }
    relations = "".join(
        f'<Relationship Id="{key}" Type="{OFFICE}/{kinds[key]}" Target="{targets[key]}"/>' for key in kinds
    )
    parts = {
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships>{relations}</Relationships>",
        "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>",
        "xl/worksheets/sheet2.xml": f"<worksheet {MAIN}><sheetData>{HEADER}</sheetData></worksheet>",
        "xl/sharedStrings.xml": f"<sst {MAIN}>{strings}</sst>",
        "xl/styles.xml": f"<styleSheet {MAIN}>{styles}</styleSheet>",
        **more,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return file.getvalue()


def budget(**changes: Any) -> Budget:
    return Budget(**{"size": 9_000_000, "unpacked": 60_000_000, "seconds": 60.0, **changes})


def lines(content: bytes, **changes: Any) -> list[tuple[int, list[str]]]:
    return list(records(content, budget(**changes)))


def exceeded(content: bytes, **changes: Any) -> tuple[int, str]:
    """How many lines were read before the limit, and what it says."""
    read = 0
    try:
        for _ in records(content, budget(**changes)):
            read += 1
    except LimitExceeded as refused:
        return read, str(refused)
    pytest.fail(f"all {read} lines were read")


def malformed(content: bytes) -> list[str]:
    with pytest.raises(Invalid) as refused:
        lines(content)
    return [fault.code for fault in refused.value.errors]


def cell(xml: str) -> str:
    return f'{HEADER}<row r="2">{xml}</row>'


def test_row_numbers_that_a_file_skips_cost_nothing() -> None:
    content = packed(f'{HEADER}<row r="1000000"><c r="A1000000"><v>7</v></c></row>')
    assert lines(content) == [(1, ["code", "bales"]), (1_000_000, ["7"])]
    assert [row.number for row in Lots().read(content, "partial", budget())] == [999_999]


@pytest.mark.parametrize("number", ["20000000", "4000000000", "1", "0", "-5", "x", "9" * 5000])
def test_a_row_number_beyond_a_sheet_or_out_of_order_is_refused(number: str) -> None:
    assert malformed(packed(f'{HEADER}<row r="{number}"><c><v>7</v></c></row>')) == ["malformed"]


@pytest.mark.parametrize("reference", ["A1", "XFDX2", "a2", "1", ""])
def test_a_cell_reference_that_goes_back_or_means_nothing_is_refused(reference: str) -> None:
    row = f'<c r="B2"><v>7</v></c><c r="{reference}"><v>7</v></c>'
    assert malformed(packed(cell(row))) == ["malformed"]


def test_reading_stops_at_the_first_line_too_many_whatever_the_lines_hold() -> None:
    formatted = "".join(f'<row r="{number}" s="1" customFormat="1"/>' for number in range(2, 30_000))
    blank_csv = b"code,bales\n" + b"\n" * 8_000_000
    commas = b"code,bales\n" + b",\n" * 30_000
    for content in (packed(HEADER + formatted), blank_csv, commas):
        read, words = exceeded(content)
        assert read <= 20_000
        assert "20,000 lines" in words


def test_cells_are_counted_although_they_are_empty() -> None:
    empty = "".join(
        f'<c r="{openpyxl.utils.get_column_letter(place)}2" s="1"/>' for place in range(1, 16_385)
    )
    assert "cells" in exceeded(packed(cell(empty)), cells=10_000)[1]
    assert lines(packed(cell(empty)))[1] == (2, [])
    assert "cells" in exceeded(b"code\n" + b"," * 600_000)[1]


def test_values_beyond_the_last_column_are_refused_and_not_dropped() -> None:
    assert "columns" in exceeded(packed(cell('<c r="XFD2"><v>1</v></c>')))[1]
    assert "columns" in exceeded(b"code\n" + b"," * 200 + b"x")[1]
    assert lines(b"code\nA" + b"," * 300)[1][1][:2] == ["A", ""]


def test_the_bytes_that_are_counted_are_those_that_were_unpacked() -> None:
    string = "<si><t>" + "a" * 30_000 + "</t></si>"
    bomb = packed(strings=string * 400)
    assert len(bomb) < 30_000
    assert "characters" in exceeded(bomb)[1]
    assert "bytes after decompression" in exceeded(packed(strings=string * 20), unpacked=100_000)[1]
    assert "bytes after decompression" in exceeded(packed(styles="<xf/>" * 30_000), unpacked=100_000)[1]
    assert "bytes." in exceeded(packed(), size=100)[1]


def test_one_long_string_is_refused_and_its_references_are_counted() -> None:
    assert "32,767" in exceeded(packed(strings=f"<si><t>{'a' * 32_768}</t></si>"))[1]
    assert "32,767" in exceeded(packed(cell(f'<c t="inlineStr"><is><t>{"a" * 40_000}</t></is></c>')))[1]
    references = "".join(f'<row r="{number}"><c t="s"><v>0</v></c></row>' for number in range(2, 1_000))
    content = packed(HEADER + references, strings=f"<si><t>{'a' * 30_000}</t></si>")
    read, words = exceeded(content)
    assert "characters" in words
    assert read < 400


def test_millions_of_empty_shared_strings_are_counted() -> None:
    assert "cells" in exceeded(packed(strings="<si/>" * 60_000), cells=50_000)[1]


@pytest.mark.parametrize(
    "rows",
    [
        "<a>" * 100,
        "<row " + " ".join(f'a{number}="{"x" * 90}"' for number in range(20_000)) + "/>",
        "<!--" + "x" * 2_000_000 + "-->",
    ],
)
def test_deep_xml_and_endless_tags_are_refused(rows: str) -> None:
    assert malformed(packed(rows)) == ["malformed"]


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml"]
)
def test_no_part_declares_entities(part: str) -> None:
    text = f'<!DOCTYPE x [<!ENTITY e "{"e" * 1000}">]><x>&e;</x>'
    assert malformed(packed(**{part: text})) == ["malformed"]


def test_processor_time_is_limited_while_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr(limits.time, "thread_time", lambda: float(next(clock)))
    read, words = exceeded(b"code\n" + b"A\n" * 10_000, seconds=50.0)
    assert (read, "50 seconds" in words) == (50, True)
    wide = "".join(f'<row r="{number}"><c><v>{number}</v></c></row>' for number in range(2, 20_000))
    assert "2 seconds" in exceeded(packed(HEADER + wide), seconds=2.0)[1]


def test_an_archive_of_very_many_members_is_no_workbook() -> None:
    assert media_type_of(packed(**{f"x{number}": "" for number in range(500)}))
    assert media_type_of(packed(**{f"x{number}": "" for number in range(3_000)})) == ""


def test_two_parts_of_one_name_are_refused() -> None:
    file = io.BytesIO(packed())
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {MAIN}><sheetData/></worksheet>")
    assert malformed(file.getvalue()) == ["malformed"]


def test_a_compression_that_spreadsheets_do_not_use_is_refused() -> None:
    file = io.BytesIO(packed())
    other = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(other, "w", zipfile.ZIP_BZIP2) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    assert malformed(other.getvalue()) == ["malformed"]


def test_a_member_that_unpacks_to_more_than_it_claims_is_refused() -> None:
    text = packed(HEADER + '<row r="2"/>' * 1)
    with zipfile.ZipFile(io.BytesIO(text)) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
        check = archive.getinfo("xl/worksheets/sheet1.xml").CRC
    claims = struct.pack("<L", size)
    smaller = struct.pack("<L", size - 20)
    assert malformed(text.replace(struct.pack("<L", check), struct.pack("<L", zlib.crc32(b"")))) == [
        "malformed"
    ]
    assert malformed(text.replace(claims, smaller)) == ["malformed"]


def faults(xml: str, **parts: str) -> dict[str, str]:
    """Pointer and code of every fault of the row."""
    header = "".join(
        f'<c r="{letter}1" t="inlineStr"><is><t>{name}</t></is></c>'
        for letter, name in zip("ABCDE", ("code", "bales", "weight", "pressed", "marks"), strict=True)
    )
    content = packed(f'<row r="1">{header}</row>{xml}', **parts)
    reader = Lots()
    found = {}
    for row in reader.read(content, "partial", budget()):
        try:
            reader.validated(row, None)
        except Invalid as refused:
            found |= {f"{row.number}{fault.pointer}": fault.code for fault in refused.errors}
    return found


STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
    '<numFmt numFmtId="165" formatCode="[Red]0.00&quot;days&quot;"/>'
    '<numFmt numFmtId="166" formatCode="+0.0\\ %"/><numFmt numFmtId="167" formatCode="0&quot;%&quot;"/></numFmts>'
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
    '<cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="46"/><xf numFmtId="9"/>'
    '<xf numFmtId="166"/><xf numFmtId="167"/></cellXfs>'
)


@pytest.mark.parametrize(
    ("xml", "code"),
    [
        ('<c r="{}2"><f>1+1</f><v>2</v></c>', "formula_cell"),
        ('<c r="{}2" t="str"><f>"a"</f><v>a</v></c>', "formula_cell"),
        ('<c r="{}2"><f t="shared" si="0"/><v>2</v></c>', "formula_cell"),
        ('<c r="{}2"><f t="array" ref="{}2:{}9">A1:A8</f><v>2</v></c>', "formula_cell"),
        ('<c r="{}2"><f/></c>', "formula_cell"),
        ('<c r="{}2" t="e"><v>#REF!</v></c>', "error_cell"),
        ('<c r="{}2" t="d"><v>2026-01-02</v></c>', "date_cell"),
        ('<c r="{}2" s="1"><v>46024</v></c>', "date_cell"),
        ('<c r="{}2" s="2"><v>46024</v></c>', "date_cell"),
        ('<c r="{}2" s="4"><v>1.5</v></c>', "date_cell"),
        ('<c r="{}2" s="5"><v>0.05</v></c>', "percent_cell"),
        ('<c r="{}2" s="6"><v>0.05</v></c>', "percent_cell"),
        ('<c r="{}2"><v>nan</v></c>', "error_cell"),
        ('<c r="{}2"><v>1E+400</v></c>', "error_cell"),
    ],
)
@pytest.mark.parametrize("column", "ABCDE")
def test_a_cell_that_is_neither_text_nor_a_number_is_refused_in_every_column(
    xml: str, code: str, column: str
) -> None:
    name = dict(zip("ABCDE", ("code", "bales", "weight", "pressed", "marks"), strict=True))[column]
    row = f'<row r="2">{xml.replace("{}", column)}</row>'
    assert faults(row, styles=STYLES) == {f"1/{name}": code}


def test_numbers_and_booleans_count_in_columns_of_theirs_only() -> None:
    number, truth = '<c r="{}2"><v>1</v></c>', '<c r="{}2" t="b"><v>1</v></c>'
    styled, literal = '<c r="{}2" s="3"><v>1</v></c>', '<c r="{}2" s="7"><v>1</v></c>'
    taken = {
        (kind, column): not faults(f'<row r="2">{xml.replace("{}", column)}</row>', styles=STYLES)
        for kind, xml in (("number", number), ("styled", styled), ("literal", literal), ("boolean", truth))
        for column in "ABCDE"
    }
    assert {key for key, good in taken.items() if good} == {
        ("number", "B"),
        ("number", "C"),
        ("literal", "B"),
        ("literal", "C"),
        ("styled", "B"),
        ("styled", "C"),
        ("boolean", "D"),
    }


def test_results_of_an_array_formula_are_formulas_in_every_cell_of_its_range() -> None:
    rows = (
        '<row r="2"><c r="A2" t="str"><f t="array" ref="A2:B3">x</f><v>a</v></c><c r="B2"><v>1</v></c></row>'
        '<row r="3"><c r="A3" t="str"><v>b</v></c><c r="B3"><v>2</v></c></row>'
        '<row r="4"><c r="A4" t="str"><v>c</v></c><c r="B4"><v>3</v></c></row>'
    )
    assert set(faults(rows)) == {"1/code", "1/bales", "2/code", "2/bales"}
    many = "".join(f'<c><f t="array" ref="A2:B{number}">x</f></c>' for number in range(3, 200))
    assert "array formulas" in exceeded(packed(cell(many)))[1]


def test_formulas_that_openpyxl_writes_are_refused() -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.append(["code", "bales"])
    sheet["A2"] = "=1+1"
    sheet["A3"] = ArrayFormula("A3:A4", "=B1:B2")
    sheet["B5"] = DataTableFormula("B5:B6", dt2D=False, r1="A1")
    sheet["A7"] = "text"
    file = io.BytesIO()
    book.save(file)
    reader = Lots()
    codes = []
    for row in reader.read(file.getvalue(), "partial", budget()):
        try:
            reader.validated(row, None)
        except Invalid as refused:
            codes.append((row.number, [fault.code for fault in refused.errors]))
    assert codes == [(number, ["formula_cell"]) for number in (1, 2, 4)]


def test_text_comes_from_rich_inline_and_shared_strings_without_phonetic_hints() -> None:
    strings = '<si><r><t>Shan</t></r><r><rPr><b/></rPr><t xml:space="preserve">kar </t></r><rPh><t>no</t></rPh></si>'
    row = (
        '<c t="s"><v>0</v></c><c t="inlineStr"><is><r><t>A</t></r><r><t>B</t></r></is></c>'
        '<c t="str"><v>plain</v></c><c t="inlineStr"><is><t>a_x000A_b_x005F_x000A_</t></is></c>'
    )
    assert lines(packed(cell(row), strings=strings))[1][1] == ["Shankar", "AB", "plain", "a\nb_x000A_"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("3.0", "3"),
        ("1.1000000000000001", "1.1"),
        ("0.10000000000000001", "0.1"),
        ("1E3", "1000"),
        ("1.0E-3", "0.001"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1700.5", "1700.5"),
    ],
)
def test_a_number_is_the_shortest_decimal_of_the_stored_double(stored: str, shown: str) -> None:
    assert lines(packed(cell(f"<c><v>{stored}</v></c>")))[1][1] == [shown]


@pytest.mark.parametrize("stored", ["nan", "inf", "1e999", "1_000", "١", "0x10", "=1", "7 7"])
def test_what_is_no_number_is_an_error_at_its_cell(stored: str) -> None:
    (found,) = lines(packed(cell(f"<c><v>{stored}</v></c>")))[1][1]
    assert isinstance(found, TypedCell)
    assert (found, found.kind) == (stored, "error")


@pytest.mark.parametrize("number", ["-1", "5", "x", "9" * 5000])
def test_a_shared_string_that_is_not_there_is_refused(number: str) -> None:
    assert malformed(packed(cell(f'<c t="s"><v>{number}</v></c>'), strings="<si><t>a</t></si>")) == [
        "malformed"
    ]


@pytest.mark.parametrize(
    "rows",
    [
        HEADER.replace('r="1"', 'r="2"').replace("A1", "A2").replace("B1", "B2"),
        '<row r="1"><c><v>1</v></c></row>',
        '<row r="1"><c t="str"><f>x</f><v>code</v></c></row><row r="2"><c t="str"><v>A</v></c></row>',
    ],
)
def test_a_header_is_text_in_the_first_line(rows: str) -> None:
    with pytest.raises((Wrong, Invalid)):
        Lots().read(packed(rows), "partial", budget())


def sheet(number: int, state: str = "") -> str:
    shown = f' state="{state}"' if state else ""
    return f'<sheet name="S{number}" sheetId="{number}" r:id="rId{number}"{shown}/>'


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_not_read(state: str) -> None:
    secret = '<row r="1"><c t="inlineStr"><is><t>secret</t></is></c></row>'
    assert lines(packed(secret, sheets=sheet(1, state) + sheet(2))) == [(1, ["code", "bales"])]
    assert lines(packed(HEADER, sheets=sheet(1, "visible") + sheet(2, state))) == [(1, ["code", "bales"])]
    assert malformed(packed(sheets=sheet(1, state) + sheet(2, state))) == ["hidden_sheet"]


def test_thousands_of_sheets_cost_one_list() -> None:
    assert lines(packed(sheets=sheet(1, "hidden") * 20_000 + sheet(2))) == [(1, ["code", "bales"])]


def test_a_workbook_is_unpacked_once_and_only_the_parts_that_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    plain_open = zipfile.ZipFile.open

    def noted(self: Any, name: Any, *args: Any, **options: Any) -> Any:
        opened.append(name.filename)
        return plain_open(self, name, *args, **options)

    monkeypatch.setattr(workbooks.zipfile.ZipFile, "open", noted)
    content = packed(cell("<c><v>1</v></c>"))
    opened.clear()
    lines(content)
    assert sorted(opened) == [
        "xl/_rels/workbook.xml.rels",
        "xl/sharedStrings.xml",
        "xl/styles.xml",
        "xl/workbook.xml",
        "xl/worksheets/sheet1.xml",
    ]
