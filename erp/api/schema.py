"""OpenAPI 3.1 from the running code: body, headers, answers and problems follow from the endpoint's line."""

from drf_spectacular.openapi import AutoSchema as SpectacularSchema


class AutoSchema(SpectacularSchema):
    """drf-spectacular's view of a view."""
