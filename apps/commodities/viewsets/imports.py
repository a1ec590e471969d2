"""Import, preview and export of commodities and varieties over HTTP."""

from collections.abc import Iterable
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from apps.commodities import capabilities
from apps.commodities.lookups import imports as lookups
from apps.commodities.serializers.imports import (
    ROWS,
    BulkUploadInput,
    BulkValidateInput,
    BulkValidateOutput,
    parse_kind,
)
from apps.commodities.services import imports as services
from erp.access import actor_of
from erp.api.endpoints import endpoint, lookup
from erp.api.viewsets import ViewSet, read
from erp.files import CSV, XLSX
from erp.jobs.downloads import CsvRenderer, WorkbookRenderer, table
from erp.jobs.serializers import JobOutput

_TABLE = extend_schema(
    parameters=[OpenApiParameter("kind", {"type": "string", "enum": list(ROWS), "default": "COMMODITIES"})],
    responses={(200, CSV): OpenApiTypes.STR, (200, XLSX): OpenApiTypes.BINARY},
    filters=False,
)


class Tables(ViewSet):
    """Endpoints of imports and exports."""

    bulk_upload = endpoint(
        services.bulk_upload,
        BulkUploadInput,
        output=JobOutput,
        status=202,
        path="bulk/upload",
        throttle="heavy",
    )
    bulk_validate = lookup(
        lookups.bulk_validate,
        BulkValidateInput,
        requires=capabilities.CREATE,
        output=BulkValidateOutput,
        path="bulk/validate",
        throttle="heavy",
        raises=[services.FileHeader, services.TooManyRows],
        read_only=False,
    )

    def get_renderers(self) -> list[Any]:
        tables = self.action in ("bulk_template", "bulk_export")
        return [CsvRenderer(), WorkbookRenderer(), JSONRenderer()] if tables else super().get_renderers()

    @_TABLE
    @read("bulk/template", detail=False, query=("kind",))
    def bulk_template(self, request: Request) -> HttpResponseBase:
        """Download an empty import template as CSV or XLSX."""
        kind = parse_kind(request.query_params)
        return self._table(f"{kind.lower()}-template", kind, ())

    @_TABLE
    @read("bulk/export", detail=False, query=("kind",))
    def bulk_export(self, request: Request) -> HttpResponseBase:
        """Export as CSV or XLSX. The file can be imported again."""
        kind = parse_kind(request.query_params)
        return self._table(
            kind.lower(), kind, lookups.exported(kind, ROWS[kind].columns, actor=actor_of(request))
        )

    def _table(self, name: str, kind: str, lines: Iterable[list[Any]]) -> HttpResponseBase:
        media_type = self.request.accepted_media_type
        notes = {
            column: str(field.help_text) for column, field in ROWS[kind]().fields.items() if field.help_text
        }
        return table(
            name, ROWS[kind].columns, lines, media_type=XLSX if media_type == XLSX else CSV, notes=notes
        )
