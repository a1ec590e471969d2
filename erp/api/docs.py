"""Swagger UI and Redoc, wholly from this server: no script, style, font or image from anywhere else."""

from typing import Any

from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

# Both pages style inline, start with an inline script and draw from data: URLs; Redoc searches in a worker
# that it makes from a blob.
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


class _Local(APIView):
    """Lets the page load from this server alone."""

    url_name = "schema"

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Add the policy."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Content-Security-Policy"] = POLICY
        return answer


class SwaggerView(_Local, SpectacularSwaggerView):
    """Swagger UI."""


class RedocView(_Local, SpectacularRedocView):
    """Redoc, without the fonts that it would fetch from elsewhere."""

    template_name = "erp/redoc.html"
