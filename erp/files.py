"""Uploaded files: identified by their content, never by their name (api §7)."""

import hashlib
import re
import unicodedata
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from typing import Final

CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PDF: Final = "application/pdf"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
UNPACKED_LIMIT: Final = 100_000_000  # bytes of a workbook once unpacked: more is a bomb
_NAME_LENGTH: Final = 255
_MOST_MEMBERS: Final = 2_000  # of a workbook
_SIGNATURES: Final = ((b"%PDF-", PDF), (b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG))
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: cleaned name (for display, never a path), detected type, content."""

    name: str
    media_type: str
    content: bytes
    sha256: str = field(init=False)  # in hexadecimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.content).hexdigest())


def media_type_of(content: bytes) -> str:
    """What the content is: one of the types above, or "" for anything else.

    A workbook with macros, encrypted, or larger than 100 MB once unpacked is none; neither is a PDF that runs
    scripts or is encrypted, nor a text that isn't UTF-8.
    """
    for signature, media_type in _SIGNATURES:
        if content.startswith(signature):
            active = media_type == PDF and re.search(rb"/(JavaScript|JS|Encrypt|Launch)\b", content)
            return "" if active else media_type
    if content.startswith(b"PK\x03\x04"):
        return XLSX if _is_plain_workbook(content) else ""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROL.search(content) else CSV


def _is_plain_workbook(content: bytes) -> bool:
    if content.count(b"PK\x01\x02") > _MOST_MEMBERS:  # before each of them becomes an object
        return False
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        return False
    names = {member.filename for member in members}
    return (
        "xl/workbook.xml" in names
        and not any(PurePosixPath(name).name.lower() == "vbaproject.bin" for name in names)
        and not any(member.flag_bits & 1 for member in members)
        and sum(member.file_size for member in members) <= UNPACKED_LIMIT
    )


def clean_name(name: str) -> str:
    """The last part of a file's name without control characters, at most 255 long."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    return "".join(c for c in last if unicodedata.category(c)[0] != "C")[-_NAME_LENGTH:] or "file"
