"""Files in requests: multipart parts, judged by their content and never by their name (api §7)."""

import hashlib
from collections.abc import Mapping
from typing import IO, Any, Final

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser

from erp.errors import Malformed, TooLarge, UnsupportedMediaType
from erp.files import Upload, clean_name, media_type_of

MULTIPART: Final = MultiPartParser.media_type


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
            raise UnsupportedMediaType(
                f"Send one of: {', '.join(self.accepts)}; the file's content decides, not its name."
            )
        return Upload(clean_name(data.name or ""), media_type, content)

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
        """The parts. DRF puts text and files together as ``request.data``, and closes the files afterwards."""
        context = dict(parser_context or {})
        length = context["request"].META.get("CONTENT_LENGTH") or "0"
        if int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge(f"A request is limited to {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.")
        try:
            return super().parse(stream, media_type, context)
        except (ParseError, TooManyFieldsSent, TooManyFilesSent):
            raise Malformed("The multipart body cannot be read.") from None


def fingerprinted(data: Any) -> Any:
    """A body as its fingerprint sees it: of multipart the sorted parts by name, type and SHA-256 (core §4)."""
    if not isinstance(data, MultiValueDict):
        return data
    return sorted([name, *_part(value)] for name, values in data.lists() for value in values)


def _part(value: Any) -> tuple[str, str]:
    if not isinstance(value, UploadedFile):
        return "", hashlib.sha256(str(value).encode()).hexdigest()
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    return str(value.content_type or ""), digest.hexdigest()
