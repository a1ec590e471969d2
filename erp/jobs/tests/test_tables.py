"""Tables: how their text is read, and what is wrong with one as a whole."""

import io
import zipfile
from typing import Any

import openpyxl
import pytest

from erp.api import fields
from erp.api.serializers import Input
from erp.csv_files import as_csv, cell, guarded
from erp.errors import Invalid, RuleBroken
from erp.jobs.kinds import registry
from erp.jobs.limits import Budget
from erp.jobs.sheets import as_workbook, items, plain, records
from erp.jobs.tables import TableKind


class Header(RuleBroken):
    """The columns are wrong."""


class Long(RuleBroken):
    """The table is too long."""


class Lot(Input):
    code = fields.CharField(max_length=10)
    bales = fields.IntegerField(min_value=1)
    weight = fields.DecimalField(max_digits=9, decimal_places=2, required=False)
    marks = fields.ListField(child=fields.CharField(max_length=5), required=False)


class Lots(TableKind):
    name = "test.lots"
    row = Lot
    wrong_header, too_many_rows = Header, Long
    most_rows, most_atomic = 5, 2


def rows(table: str | bytes) -> list[tuple[int, dict[str, str]]]:
    content = table if isinstance(table, bytes) else table.encode()
    return [(row.number, row.values) for row in Lots().read(content, "partial", Budget.for_job())]


def measured(text: str, mode: str = "partial") -> int:
    return len(Lots().read(text.encode(), mode, Budget.for_request()))


def faults(text: str) -> list[tuple[str, str]]:
    with pytest.raises(Header) as refused:
        measured(text)
    assert {fault.pointer for fault in refused.value.errors} == {"/file"}
    return [(fault.code, fault.detail.rpartition(": ")[2]) for fault in refused.value.errors]


def test_each_sort_of_table_makes_its_own_reader() -> None:
    assert registry["test.lots"] is Lots


def test_rows_are_numbered_as_a_spreadsheet_counts_them_and_blank_ones_are_left_out() -> None:
    text = '\ufeff Code ,BALES,marks,,\r\nA,1,"x;\ny",\r\n\r\n,,,,\r\nB, 2\r\n'
    assert rows(text) == [
        (1, {"code": "A", "bales": "1", "marks": "x;\ny"}),
        (4, {"code": "B", "bales": "2"}),
    ]
    assert measured(text) == 2


def test_a_header_names_each_mandatory_column_once_and_none_that_is_not_known() -> None:
    assert faults("code,colour,code\nA,red,B\n") == [
        ("missing_column", "bales."),
        ("unknown_column", "colour."),
        ("doubled_column", "code."),
    ]
    assert faults("code,,bales\nA,,1\n") == [("unknown_column", "(no name).")]
    assert faults("") == [("missing_column", "code."), ("missing_column", "bales.")]


def test_a_table_has_rows_and_not_too_many() -> None:
    with pytest.raises(Invalid) as empty:
        measured("code,bales\n\n,\n")
    assert [fault.code for fault in empty.value.errors] == ["empty"]
    assert measured("code,bales\n" + "A,1\n" * 5) == 5
    for mode, count in (("partial", 6), ("atomic", 3)):
        with pytest.raises(Long):
            measured("code,bales\n" + "A,1\n" * count, mode)


def test_a_line_that_is_no_csv_is_named() -> None:
    for text in ('code,bales\nA,1\n"B,2\n', 'code,bales\nA,1\n"B"x,2\n'):
        with pytest.raises(Invalid) as refused:
            measured(text)
        fault = refused.value.errors[0]
        assert (fault.pointer, fault.code) == ("/file", "malformed")
        assert "Line 3" in fault.detail


def validated(text: str) -> dict[str, Any]:
    (row,) = Lots().read(text.encode(), "partial", Budget.for_job())
    return Lots().validated(row, None)


def test_a_row_is_judged_like_a_request_with_every_fault_of_it() -> None:
    given = validated("code,bales,weight,marks\nA,12,1700.50,x; y;\n")
    assert (given["code"], given["bales"], str(given["weight"]), given["marks"]) == (
        "A",
        12,
        "1700.50",
        ["x", "y"],
    )
    with pytest.raises(Invalid) as refused:
        validated("code,bales,weight,marks\n,1.5,1e3,toolong,surplus\n")
    assert {fault.pointer: fault.code for fault in refused.value.errors} == {
        "/code": "required",
        "/bales": "invalid",
        "/weight": "not_a_decimal_string",
        "/marks/0": "too_long",
        "/column 5": "unknown_field",
    }


def test_no_cell_that_is_written_is_a_formula_and_what_is_written_reads_back() -> None:
    texts = ["=1+1", "+A", "-A", "@A", "'=A", "-12.5", "+7", "plain", "", "it's"]
    assert [guarded(text) for text in texts] == [
        "'=1+1",
        "'+A",
        "'-A",
        "'@A",
        "''=A",
        "-12.5",
        "+7",
        "plain",
        "",
        "it's",
    ]
    assert [plain(guarded(text)) for text in texts] == texts
    non_empty = [[text] for text in texts if text]
    for content in ("".join(as_csv(non_empty)).encode(), as_workbook(non_empty)):
        assert [cells for _, cells in records(content, Budget.for_job())] == non_empty


def test_a_csv_starts_with_a_byte_order_mark_so_that_excel_shows_every_script() -> None:
    for lines in ([["નામ", "नाम"], ["કપાસ", "कपास"]], []):
        content = "".join(as_csv(lines)).encode()
        assert content.startswith(b"\xef\xbb\xbf")
        assert content.count(b"\xef\xbb\xbf") == 1
        assert [cells for _, cells in records(content, Budget.for_job())] == lines


@pytest.mark.parametrize("code", [*range(0x20), 0x7F, 0x85, 0x9F, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF])
def test_what_xml_cannot_hold_is_escaped_in_a_workbook(code: int) -> None:
    texts = [f"a{chr(code)}b", [f"a{chr(code)}", "b"]]
    sheet = openpyxl.load_workbook(io.BytesIO(as_workbook([texts]))).worksheets[0]
    shown = f"_x{code:04X}_" if chr(code) not in "\t\n" else chr(code)
    assert [sheet.cell(1, place).value for place in (1, 2)] == [f"a{shown}b", f"a{shown};b"]


def test_text_that_reads_like_an_escape_is_escaped_itself() -> None:
    packed = zipfile.ZipFile(io.BytesIO(as_workbook([["_x0041_", "_xylem_", "lot_x"]])))
    written = packed.read("xl/worksheets/sheet1.xml").decode()
    assert [text in written for text in (">_x005F_x0041_<", ">_xylem_<", ">lot_x<")] == [True] * 3


@pytest.mark.parametrize("text", ["\u200b", "A\uffff", "A\ufdd1", "A\u202e"])
def test_a_cell_of_a_table_holds_no_text_that_a_request_may_not_hold(text: str) -> None:
    content = f"code,bales\n{text},1\n".encode()
    with pytest.raises(Invalid) as refused:
        Lots().validated(next(iter(Lots().read(content, "partial", Budget.for_job()))), None)
    assert [fault.pointer for fault in refused.value.errors] == ["/code"]


def test_a_list_in_a_cell_reads_back_whatever_its_items_hold() -> None:
    for given in (["a", "b c"], ["a;b", "c"], ["a\\", "b"], ["a\\;b"], ["=a", "b"], []):
        assert items(plain(cell(given))) == given
    assert items(" a; ;b ;") == ["a", "b"]
    assert items("A\\B") == ["A\\B"]


def workbook(*lines: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.create_sheet("Another").append(["code", "colour"])
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def test_numbers_of_a_workbook_are_read_as_the_decimals_that_it_shows() -> None:
    content = workbook(
        ["code", "bales", "weight", None],
        ["A", 12, 1700.5],
        [],
        ["C", 3.0, 0.1, None],
        ["B", "4", 0.3],
        ["D", 1e21, 1.1],
    )
    assert rows(content) == [
        (1, {"code": "A", "bales": "12", "weight": "1700.5"}),
        (3, {"code": "C", "bales": "3", "weight": "0.1"}),
        (4, {"code": "B", "bales": "4", "weight": "0.3"}),
        (5, {"code": "D", "bales": "1000000000000000000000", "weight": "1.1"}),
    ]


def test_an_unreadable_workbook_is_refused_at_upload() -> None:
    whole = workbook(["code", "bales"], ["A", 1])
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(packed, "w") as target:
        for member in source.infolist():
            text = source.read(member)
            if member.filename == "xl/worksheets/sheet1.xml":
                text = b'<!DOCTYPE x [<!ENTITY e "e">]>' + text[: len(text) // 2]
            target.writestr(member, text)
    for content in (packed.getvalue(), b"PK\x03\x04 nothing"):
        with pytest.raises(Invalid) as refused:
            Lots().read(content, "partial", Budget.for_request())
        assert [fault.code for fault in refused.value.errors] == ["malformed"]


def test_a_workbook_shows_what_its_columns_mean_and_is_read_back() -> None:
    content = as_workbook([["code", "bales"], ["A1", "5"]], {"code": "Capital letters and digits."})
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    assert [cell.comment and cell.comment.text for cell in sheet[1]] == ["Capital letters and digits.", None]
    assert rows(content) == rows("code,bales\nA1,5\n")
