"""Exports: the rows of a list with its filters, order and masks, as CSV or workbook.

A list exports by one declaration, ``exports`` of ``ExportsList``. Up to ``AT_ONCE`` rows are in the answer; more are
the work of a job, whose file only its owner downloads. Each export leaves a line in the audit trail.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from erp import access
from erp.access import Actor, Capability, actor_of
from erp.api.faults import faults_from, invalid
from erp.api.fields import ChoiceField, from_text
from erp.api.filters import check_query
from erp.api.viewsets import read
from erp.encryption import decrypt, encrypt
from erp.errors import RuleBroken
from erp.files import CSV, XLSX
from erp.jobs import services
from erp.jobs.downloads import CsvRenderer, WorkbookRenderer, table
from erp.jobs.kinds import JobKind
from erp.jobs.models import Job
from erp.jobs.serializers import JobOutput
from erp.trail import services as trail

AT_ONCE: Final = 1_000  # rows of an answer
MOST: Final = 50_000  # rows of a file
BATCH: Final = 500  # rows that are read together
FORMATS: Final = {"csv": CSV, "xlsx": XLSX}
_QUERY: Final = "job.export.query"  # a filter may hold a PAN, which stands nowhere in clear


class TooManyRows(RuleBroken):
    """The list has more rows than a file may have."""

    code = "job.too_many_rows"


@dataclass(frozen=True)
class Export:
    """The rows of a file: what the list is called, the header, the keys in their order, and lines for some keys."""

    name: str
    header: list[str]
    keys: list[Any]
    lines: Callable[[list[Any]], Iterable[list[Any]]]
    query: dict[str, str]
    source: str = ""  # in the trail, where it isn't the name

    def batches(self) -> Iterator[list[list[Any]]]:
        """All lines, some at a time; rows that went meanwhile are left out."""
        for start in range(0, len(self.keys), BATCH):
            yield list(self.lines(self.keys[start : start + BATCH]))

    def check_size(self) -> None:
        """Raise TooManyRows beyond ``MOST``."""
        if len(self.keys) > MOST:
            raise TooManyRows(f"A file has at most {MOST:,} rows. Set a filter and export again.")

    def record(self, actor: Actor, lines: int) -> None:
        """Leave the line in the trail."""
        trail.record_list_export(actor=actor, list=self.source or self.name, query=self.query, lines=lines)


class ExportKind(JobKind, abstract=True):
    """Work that makes the file of an export. Its parameters are the list, its query and the format."""

    def open(self, job: Job, actor: Actor) -> Export:
        """The rows to write, with the rights of this moment."""
        raise NotImplementedError

    @classmethod
    def queue(cls, actor: Actor, source: str, query: QueryDict, export: Export, format: str = "csv") -> Job:
        """Let a worker make the file; the same one that is being made isn't begun twice. Raises TooManyRows."""
        same = {"parameters__list": source, "parameters__format": format}
        job: Job
        for job in Job.objects.being_made(actor, cls.name).filter(**same):
            if cls.query_of(job) == query:
                return job
        export.check_size()
        parameters = {"list": source, "query": encrypt(query.urlencode(), context=_QUERY), "format": format}
        job = services.queue(
            actor=actor, kind=cls.name, total=len(export.keys), parameters=parameters, file_name=export.name
        )
        return job

    @staticmethod
    def query_of(job: Job) -> QueryDict:
        """The query string of the list."""
        return QueryDict(decrypt(job.parameters["query"], context=_QUERY))


class ListExport(ExportKind):
    """The file of a list of the API."""

    name = "list.export"
    title = "Export of a list"

    def open(self, job: Job, actor: Actor) -> Export:
        view: type[ExportsList] = import_string(job.parameters["list"])
        return view.export_for(actor, self.query_of(job))

    @classmethod
    def authorize_result(cls, job: Job, actor: Actor) -> None:
        access.authorize_entry(actor, import_string(job.parameters["list"]).exports)


class ExportsList:
    """A mixin of viewsets with a list: ``GET …/export`` for holders of the capability ``exports``."""

    exports: ClassVar[Capability]
    action: Any
    request: Any
    pagination_class: Any
    queryset: Any

    @property
    def capability(self) -> Capability | None:
        """The export has a capability of its own."""
        return self.exports if self.action == "export" else super().capability  # type: ignore[misc]

    @property
    def throttle_class_name(self) -> str:
        """An export counts as heavy."""
        return "heavy" if self.action == "export" else super().throttle_class_name  # type: ignore[misc]

    def get_renderers(self) -> list[Any]:
        tables = [CsvRenderer(), WorkbookRenderer(), JSONRenderer()]
        return tables if self.action == "export" else super().get_renderers()  # type: ignore[misc]

    @extend_schema(
        parameters=[OpenApiParameter("format", {"type": "string", "enum": list(FORMATS), "default": "csv"})],
        responses={(200, CSV): OpenApiTypes.STR, (200, XLSX): OpenApiTypes.BINARY, 202: JobOutput},
        filters=True,
    )
    @read("export", detail=False, query=None, raises=(TooManyRows,))
    def export(self, request: Request) -> HttpResponseBase:
        """Export the rows of the list with its filters, order and masks.

        Up to 1,000 rows come at once. For more, up to 50,000, the answer is 202 with a job, whose result is the file.
        """
        query = request.query_params.copy()
        format = _format_of(query)
        check_query(_only(query, self.pagination_class.parameters(self)), ())
        actor, cls = actor_of(request), type(self)
        export = cls.export_for(actor, query)
        if len(export.keys) <= AT_ONCE:
            lines = [line for batch in export.batches() for line in batch]
            export.record(actor, len(lines))
            return table(export.name, export.header, lines, media_type=FORMATS[format])
        source = f"{cls.__module__}.{cls.__qualname__}"
        job = ListExport.queue(actor, source, query, export, format)
        body = JobOutput(job, context=self.get_serializer_context()).data  # type: ignore[attr-defined]
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return Response(body, status=202, headers={"Location": body["links"]["self"]})

    @classmethod
    def export_for(cls, actor: Actor, query: QueryDict) -> Export:
        """The rows that the list shows to the actor. Raises CapabilityMissing, Invalid."""
        access.authorize_entry(actor, cls.exports)
        view: Any = cls()
        http = HttpRequest()
        http.method, http.GET = "GET", query  # type: ignore[assignment]
        view.args, view.kwargs, view.format_kwarg, view.action_map = (), {}, None, {"get": "list"}
        view.request = view.initialize_request(http)
        view.request.user = actor
        rows = view.filter_queryset(view.get_queryset().permitted(actor, cls.exports))

        def lines(keys: list[Any]) -> Iterable[list[Any]]:
            found = view.get_queryset().in_bulk(keys)
            listed = [found[key] for key in keys if key in found]
            for shown in view.get_serializer(listed, many=True).data:
                yield [_cell(shown[name]) for name in header]

        header = [name for name in view.get_serializer().fields if name not in ("allowed_actions", "links")]
        name = str(rows.model._meta.verbose_name_plural)
        keys = list(rows.values_list("pk", flat=True)[: MOST + 1])
        return Export(name, header, keys, lines, texts_of(query))


def texts_of(query: QueryDict) -> dict[str, str]:
    """The parameters in words, for the line in the trail."""
    return {name: ", ".join(values) for name, values in query.lists()}


def _cell(value: Any) -> Any:
    """The value for a cell: what is within another object as JSON."""
    if isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(v, dict | list) for v in value)
    ):
        return json.dumps(value, ensure_ascii=False)
    return value


def _format_of(query: QueryDict) -> str:
    """Take the format out of the query. Raises Invalid."""
    check_query(_only(query, ["format"]), ["format"])
    field = ChoiceField(choices=[(name, name) for name in FORMATS])
    try:
        return str(from_text(field, query.pop("format", ["csv"])[0]))
    except ValidationError as error:
        raise invalid(faults_from(error.detail, "/query/format")) from None


def _only(query: QueryDict, names: Iterable[str]) -> QueryDict:
    """These parameters of the query."""
    return QueryDict(urlencode({name: query.getlist(name) for name in names}, doseq=True))
