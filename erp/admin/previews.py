"""Files shown beside declared data: images and PDF only, never as active content."""

from typing import Any, Final, NamedTuple

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
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


class FilePage:
    """A page whose rows have a file each: beside the row, and as a download. It stands before the base."""

    admin_site: Any
    opts: Any

    def file_of(self, request: HttpRequest, row: Any) -> Any:
        """The stored file of the row, for who may read it now; None for anybody else, and before the scan."""
        return row.file if row.file.scan_status == "clean" else None

    def name_of(self, row: Any) -> str:
        """Name of the download."""
        return f"{self.opts.model_name}-{row.pk}"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_file"
        return [path("<path:object_id>/file/", view, name=name), *super().get_urls()]  # type: ignore[misc]

    @admin.display(description="file")
    def download(self, row: Any) -> str:
        """A link to the file; until the scan found nothing there is none."""
        if row.file.scan_status != "clean":
            return "The scan for malware isn't done, or refused the file."
        return format_html('<a class="text-link" href="../file/">Download {}</a>', row.file.name)

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send the file to who may read it."""
        row = self._row(request, object_id)  # type: ignore[attr-defined]
        file = self.file_of(request, row)
        if file is None:
            raise Http404
        self.note_read(request, row)
        return response(file.content, file.media_type, self.name_of(row), inline="inline" in request.GET)

    def note_read(self, request: HttpRequest, row: Any) -> None:
        """Record that the file is read, where that must be."""

    def previews(self, request: HttpRequest, row: Any) -> list[Preview]:
        """The file beside what was entered, for who may read it."""
        return self.previews_of(request, [row])

    def previews_of(self, request: HttpRequest, rows: Any) -> list[Preview]:
        """Previews of those rows whose file the person may read."""
        files = [(row, self.file_of(request, row)) for row in rows]
        return [
            Preview(str(row), f"{self._url('file', row.pk)}?inline", file.media_type)  # type: ignore[attr-defined]
            for row, file in files
            if file is not None
        ]
