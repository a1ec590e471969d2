"""Swagger UI and Redoc, wholly from this server: no script, style, font or image from anywhere else."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.request import Request

# Both pages style inline, start with an inline script and draw from data: URLs; Redoc searches in a blob worker.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
    )
)


class _Local:
    """Lets the page load from this server alone."""

    url_name = "schema"

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Add the policy."""
        answer: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        answer["Content-Security-Policy"] = POLICY
        return answer


class SwaggerView(_Local, SpectacularSwaggerView):
    """Swagger UI."""


class RedocView(_Local, SpectacularRedocView):
    """Redoc, without the fonts that it would fetch from elsewhere."""

    template_name = "erp/redoc.html"
