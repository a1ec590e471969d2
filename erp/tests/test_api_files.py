"""Files are what their content is; a name proves nothing."""

import hashlib
import io
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from erp.api.files import FileField, fingerprinted
from erp.api.parsers import canonical_json
from erp.errors import TooLarge, UnsupportedMediaType
from erp.files import CSV, JPEG, PDF, PNG, XLSX, clean_name, media_type_of


def workbook(*members: str, size: int = 10) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("[Content_Types].xml", "xl/workbook.xml", *members):
            archive.writestr(name, b"0" * size)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"code,name\nA,B\n", CSV),
        ("name\nकपास\n".encode(), CSV),
        (b"\xef\xbb\xbfname\nA\n", CSV),
        (workbook(), XLSX),
        (b"%PDF-1.7 plain", PDF),
        (b"\xff\xd8\xff\xe0 picture", JPEG),
        (b"\x89PNG\r\n\x1a\n picture", PNG),
        (b"MZ\x90\x00 program", ""),
        (b"\x7fELF program", ""),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old or encrypted workbook", ""),
        (workbook("xl/vbaProject.bin"), ""),
        (workbook("xl/worksheets/sheet1.xml", size=40_000_000), ""),
        (b"PK\x03\x04 no archive", ""),
        (b"%PDF-1.7 /OpenAction << /S /JavaScript /JS (app.alert(1)) >>", ""),
        (b"%PDF-1.7 trailer << /Encrypt 5 0 R >>", ""),
        (b"name\nA\x00\n", ""),
        (b"name\n\xe9\n", ""),
    ],
)
def test_a_file_is_what_its_content_is(content: bytes, media_type: str) -> None:
    assert media_type_of(content) == media_type


def taken(content: bytes, name: str = "rows.csv") -> Any:
    return FileField(accepts=(CSV,)).run_validation(SimpleUploadedFile(name, content))


def test_a_file_is_taken_with_its_digest_and_a_name_that_is_no_path() -> None:
    upload = taken(b"code\nA\n", "C:\\Users\\me\\rows\u202e.csv")
    assert (upload.name, upload.media_type, upload.content) == ("rows.csv", CSV, b"code\nA\n")
    assert upload.sha256 == hashlib.sha256(b"code\nA\n").hexdigest()
    assert clean_name("../../etc/passwd") == "passwd"
    assert clean_name("/") == "file"
    assert len(clean_name("x" * 300 + ".csv")) == 255


def test_a_renamed_program_is_refused_whatever_it_calls_itself() -> None:
    with pytest.raises(UnsupportedMediaType):
        taken(b"MZ\x90\x00", "rows.csv")


def test_an_empty_file_a_text_part_and_one_that_is_too_large_are_refused(settings: Any) -> None:
    with pytest.raises(ValidationError, match="empty"):
        taken(b"")
    with pytest.raises(ValidationError, match="Send a file"):
        FileField(accepts=(CSV,)).run_validation("rows")
    settings.API_FILE_LIMIT = 10
    with pytest.raises(TooLarge):
        taken(b"x" * 11)


def test_parts_are_compared_by_name_type_and_content_in_any_order() -> None:
    def parts(*entries: tuple[str, Any]) -> bytes:
        data = QueryDict(mutable=True)
        for name, value in entries:
            data.appendlist(name, value)
        return canonical_json(fingerprinted(data))

    def file(content: bytes = b"a", name: str = "a.csv", kind: str = "text/csv") -> Any:
        return SimpleUploadedFile(name, content, kind)

    first = parts(("mode", "partial"), ("file", file()))
    assert parts(("file", file(name="other.csv")), ("mode", "partial")) == first
    for other in (
        (("mode", "atomic"), ("file", file())),
        (("mode", "partial"), ("file", file(b"b"))),
        (("mode", "partial"), ("file", file(kind="text/plain"))),
        (("mode", "partial"), ("sheet", file())),
    ):
        assert parts(*other) != first
