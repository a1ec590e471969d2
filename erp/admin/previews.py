"""Files shown beside declared data: images and PDF only, never as active content."""

from typing import Final, NamedTuple

from django.http import HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

IMAGES: Final = ("image/jpeg", "image/png", "image/webp")
PDF: Final = "application/pdf"
# No script, form or frame of the file runs; only the portal's own pages may show it.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'"


class Preview(NamedTuple):
    """A file beside a row: what it is, its address, and its media type."""

    title: str
    url: str
    media_type: str

    @property
    def html(self) -> SafeString:
        """The picture, or the frame of a PDF; a link where a browser shows the type in no safe way."""
        if self.media_type in IMAGES:
            return format_html('<img src="{}" alt="{}" loading="lazy">', self.url, self.title)
        if self.media_type == PDF:
            return format_html('<iframe src="{}" title="{}" loading="lazy"></iframe>', self.url, self.title)
        return format_html('<a class="text-link" href="{}">Download {}</a>', self.url, self.title)


def response(content: bytes, media_type: str, file_name: str, *, inline: bool) -> HttpResponse:
    """A stored file: shown in place where it is an image or a PDF and ``inline``, else as a download."""
    shown = inline and media_type in (*IMAGES, PDF)
    answer = HttpResponse(content, content_type=media_type if shown else "application/octet-stream")
    answer["Content-Disposition"] = f'{"inline" if shown else "attachment"}; filename="{file_name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = _POLICY
    answer["X-Frame-Options"] = "SAMEORIGIN"
    answer["Cache-Control"] = "no-store"
    return answer
