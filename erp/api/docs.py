"""The API's document, and Swagger UI and Redoc, wholly from this server: nothing is loaded from anywhere else."""

import gzip
import hashlib
import json
from functools import cache
from threading import Lock
from typing import Final

import yaml
from django.conf import settings
from django.http import HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.views import APIView

from erp.api import problems

CACHE_SECONDS: Final = 300
_reading: Final = Lock()


@cache
def _document(as_json: bool) -> tuple[bytes, bytes, str]:
    """The committed document, the same compressed, and its ETag's text. Read once per process."""
    content = (settings.BASE_DIR / "docs" / "openapi.yaml").read_bytes()
    if as_json:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = json.dumps(yaml.load(content, loader), separators=(",", ":")).encode()  # noqa: S506 - a safe one
    return content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:32]


def read_document(as_json: bool) -> tuple[bytes, bytes, str]:
    """The committed document in JSON or YAML, the same compressed, and its ETag's text."""
    with _reading:  # once, however many ask for it first
        return _document(as_json)


class SchemaView(APIView):
    """The document as it was committed, in YAML or JSON by ``Accept``: nothing is generated for a request."""

    authentication_classes = ()
    renderer_classes = (OpenApiYamlRenderer, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiJsonRenderer2)
    schema = None

    def get(self, request: Request) -> HttpResponseBase:
        """Answer the document, compressed where the caller takes it, or 304."""
        media_type = str(request.accepted_media_type)
        plain, compressed, digest = read_document("json" in media_type)
        zipped = "gzip" in _accepted_codings(request)
        tag = f'"{digest}{"-gzip" if zipped else ""}"'
        if problems.is_fresh(request.headers.get("If-None-Match"), tag):
            response: HttpResponseBase = HttpResponseNotModified()
        else:
            content_type = f"{media_type.partition(';')[0]}; charset=utf-8"
            response = HttpResponse(compressed if zipped else plain, content_type=content_type)
            if zipped:
                response["Content-Encoding"] = "gzip"
        response["ETag"] = tag
        response["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
        patch_vary_headers(response, ("Accept-Encoding",))
        return response


def _accepted_codings(request: Request) -> set[str]:
    codings = set()
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        if weight.strip().removeprefix("q=").strip("0.") or not weight:
            codings.add(name.strip())
    return codings


class SwaggerView(SpectacularSwaggerView):
    """Swagger UI."""

    url_name = "schema"
    template_name = "erp/swagger.html"


class RedocView(SpectacularRedocView):
    """Redoc, without the fonts that it would fetch from elsewhere."""

    url_name = "schema"
    template_name = "erp/redoc.html"
