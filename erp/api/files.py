"""Files in requests: multipart parts, judged by their content and never by their name (api §7)."""

import hashlib
import re
import unicodedata
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import IO, Any, Final

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser

from erp.errors import Malformed, TooLarge, UnsupportedMediaType

CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PDF: Final = "application/pdf"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
UNPACKED_LIMIT: Final = 100_000_000  # bytes of a workbook once unpacked: more is a bomb
_NAME_LENGTH: Final = 255
_SIGNATURES: Final = ((b"%PDF-", PDF), (b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG))
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came in: cleaned name (to show, never a path), what it really is, its content."""

    name: str
    media_type: str
    content: bytes
    sha256: str


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


class FileField(serializers.Field[Upload, Any, Any, Any]):
    """A multipart part with a file. ``accepts``: media types that its content may be."""

    default_error_messages = {"invalid": "Send a file.", "empty": "The file is empty."}

    def __init__(self, *, accepts: tuple[str, ...], **kwargs: Any) -> None:
        self.accepts = accepts
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Upload:
        """The file. Raises TooLarge (413) over ``API_FILE_LIMIT`` and UnsupportedMediaType (415)."""
        if not isinstance(data, UploadedFile):
            self.fail("invalid")
        if not data.size:
            self.fail("empty")
        if data.size > settings.API_FILE_LIMIT:
            raise TooLarge(f"A file is limited to {settings.API_FILE_LIMIT:,} bytes.")
        data.seek(0)
        content = data.read()
        media_type = media_type_of(content)
        if media_type not in self.accepts:
            raise UnsupportedMediaType(f"Send one of: {', '.join(self.accepts)}; names don't count.")
        return Upload(clean_name(data.name or ""), media_type, content, hashlib.sha256(content).hexdigest())

    def to_representation(self, value: Any) -> Any:
        return None


class StrictMultiPartParser(MultiPartParser):
    """``multipart/form-data`` within the limits of a request. Raises Malformed or TooLarge."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The parts, text and files together, as one QueryDict."""
        context = dict(parser_context or {})
        length = context["request"].META.get("CONTENT_LENGTH") or "0"
        if int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge(f"A request is limited to {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.")
        try:
            parsed = super().parse(stream, media_type, context)
        except (ParseError, TooManyFilesSent):
            raise Malformed("The parts can't be read.") from None
        parts = QueryDict(mutable=True)
        for found in (parsed.data, parsed.files):
            for name, values in found.lists():
                parts.setlist(name, [*parts.getlist(name), *values])
        return parts


def fingerprinted(data: Any) -> Any:
    """A body as its fingerprint sees it: of multipart the sorted parts by name, type and SHA-256 (core §4)."""
    if not isinstance(data, QueryDict):
        return data
    return sorted([name, *_part(value)] for name, values in data.lists() for value in values)


def _part(value: Any) -> tuple[str, str]:
    if not isinstance(value, UploadedFile):
        return "", hashlib.sha256(str(value).encode()).hexdigest()
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    return str(value.content_type or ""), digest.hexdigest()
