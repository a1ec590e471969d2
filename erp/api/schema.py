"""OpenAPI 3.1 from the running code: body, headers, answers and problems follow from the endpoint's line."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.renderers import SafeDumper  # type: ignore[attr-defined]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from erp import errors
from erp.api import examples
from erp.api.problems import MEDIA_TYPE
from erp.errors import DomainError

FAULT = {
    "type": "object",
    "required": ["pointer", "code", "detail"],
    "properties": {
        "pointer": {
            "type": "string",
            "description": "JSON pointer into the body, or `/query/<name>`, or `/headers/<name>`.",
        },
        "code": {"type": "string", "description": "Stable code of the error."},
        "detail": {"type": "string", "description": "For people."},
    },
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details. Check `code`, which is stable. A problem can have additional members.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "Documentation page of the code.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference", "description": "Path of the request."},
        "code": {"type": "string", "description": "`area.reason`; stable."},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
    "additionalProperties": True,
}
# PyYAML quotes what YAML 1.1 takes for a number; readers of YAML 1.2 take 08 and 1e5 for numbers too.
SafeDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+)\Z"),
    list("-+.0123456789"),
)
_COMMON = (errors.NotAcceptable, errors.Throttled, errors.ServerError, errors.Unavailable)
_SHARED = (
    *_COMMON,
    errors.NotAuthenticated,
    errors.CapabilityMissing,
    errors.NotFound,
    errors.InProgress,
    errors.PreconditionFailed,
    errors.PreconditionRequired,
    errors.TooLarge,
    errors.UnsupportedMediaType,
    errors.KeyReused,
)
_INPUT = (errors.Malformed, errors.Invalid, errors.UnknownField)


def _header(name: str, description: str, *codes: int, **schema: Any) -> OpenApiParameter:
    """A header of answers: of all, or of those with the given status codes."""
    return OpenApiParameter(
        name,
        {"type": "string", **schema},
        OpenApiParameter.HEADER,
        description=description,
        response=list(codes) or True,
    )


_EVERY_ANSWER = (
    _header("X-Request-ID", "Identifies the request in logs, audit and events; quote it to support."),
    _header(
        "RateLimit-Policy",
        'The limit that will be reached first, such as `"write";q=120;w=60` (requests, seconds).',
    ),
    _header("RateLimit", 'What remains of this limit, such as `"write";r=42;t=18` (requests, seconds).'),
)
_RETRY_AFTER = _header("Retry-After", "Seconds to wait before the same request again.", 409, 429, 503)
_ETAG = 'The row\'s version, such as `"7"`.'
_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 16, "maxLength": 255, "pattern": "^[!#-+\\-.-~]{16,255}$"},
    OpenApiParameter.HEADER,
    required=True,
    description="One key per operation, repeated in its retries, such as a random UUID.",
)
_DRY_RUN = OpenApiParameter(
    "dry_run",
    {"type": "boolean", "default": False},
    description="`true` runs all checks and returns 200 with the expected response, but changes nothing.",
)


class AutoSchema(SpectacularSchema):
    """drf-spectacular's description of a view, completed by what its endpoint says."""

    @property
    def endpoint(self) -> Any:
        """The endpoint behind a write; None for reads."""
        find = getattr(self.view, "endpoint_for", None)
        return find(getattr(self.view, "action", None)) if find else None

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """The operation, with an empty ``security`` where no sign-in is needed."""
        operation = super().get_operation(*args, **kwargs)
        if operation is not None:
            operation.setdefault("security", [])
        return operation

    def get_operation_id(self) -> str:
        """``availability_reserve``: the route's base name and the action."""
        base, action = getattr(self.view, "basename", None), getattr(self.view, "action", None)
        return f"{base}_{action}".replace("-", "_") if base and action else str(super().get_operation_id())

    def get_summary(self) -> str | None:
        """First sentence of the service's docstring; for reads what they read, or the view's own ``summaries``."""
        own = getattr(self.view, "summaries", {}).get(getattr(self.view, "action", None))
        if own:
            return str(own)
        if self.endpoint is not None:
            return _split_docstring(self.endpoint.doc)[0]
        model = getattr(getattr(self.view, "queryset", None), "model", None)
        action = getattr(self.view, "action", None)
        if model is None or action not in ("list", "retrieve"):
            return _split_docstring(super().get_description())[0] or None
        names = model._meta
        if action == "list":
            return f"List {names.verbose_name_plural}"
        same = str(names.verbose_name) == str(names.verbose_name_plural)  # delivery terms, document series
        return f"Read {names.verbose_name}" if same else f"Read one {names.verbose_name}"

    def get_description(self) -> str:  # type: ignore[override]
        """The rest of the docstring, the capability that is asked for, and what refuses rows of a job."""
        paragraphs = [
            _split_docstring(self.endpoint.doc)[1] if self.endpoint else str(super().get_description() or "")
        ]
        if capability := getattr(self.view, "capability", None):
            paragraphs.append(f"Needs the capability `{capability}`.")
        if self.endpoint is not None and self.endpoint.anonymous:
            paragraphs.append("Public; `Authorization` is ignored.")
        service = self.endpoint.service if self.endpoint is not None else None
        jobs = service.jobs if service is not None else ()
        if codes := sorted({f"`{kind.code}`" for job in jobs for kind in job.raises}):
            paragraphs.append(f"A row of the job can be refused with {', '.join(codes)}.")
        # A description that only repeats the summary adds nothing.
        summary = (self.get_summary() or "").rstrip(".")
        return "\n\n".join(part for part in paragraphs if part and part.rstrip(".") != summary)

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """``CommodityCreate``, ``Commodity``: with the module's name, since modules reuse class names.

        A class with a ``schema_name`` of its own bears that.
        """
        kind = type(serializer)
        if "schema_name" in vars(kind):
            return str(kind.schema_name)
        name = kind.__name__
        for ending in ("Input", "Output", "Serializer"):
            name = name.removesuffix(ending)
        package = kind.__module__.split(".")
        area = errors.label_of(kind.__module__) if package[0] == "apps" else ""
        prefix = "".join(part.capitalize() for part in area.split("_"))
        return name if name.startswith(prefix) else prefix + name

    def get_extensions(self) -> dict[str, Any]:
        """The limit class that counts the request."""
        name = getattr(self.view, "throttle_class_name", None)
        return {"x-rate-limit-class": name} if name else {}

    def get_auth(self) -> list[dict[str, Any]]:
        """Bearer, wherever the view authenticates at all."""
        if not self.view.get_authenticators():
            return []
        scheme = {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token of a person, or an API key of a machine.",
        }
        self._register("bearer", scheme, ResolvedComponent.SECURITY_SCHEMA)
        return [{"bearer": []}]

    def get_override_parameters(self) -> list[Any]:
        """Headers of the request and of its answers."""
        if not hasattr(self.view, "throttle_class_name"):
            return []
        endpoint = self.endpoint
        headers = [*_EVERY_ANSWER, _RETRY_AFTER]
        if endpoint is None:
            if self._reads_a_row():
                fresh = (304,) if self._has_etag() else ()
                headers.append(_header("ETag", _ETAG, 200, *fresh))
                if fresh:
                    words = "The ETag from an earlier response: 304 while it is current."
                    headers.append(_if("If-None-Match", words))
            elif self._is_list_view():
                headers.append(_header("Link", 'RFC 8288, `rel="next"` and `rel="prev"`.', 200))
            return headers
        status = self._status()
        if endpoint.idempotent:
            headers.append(_KEY)
        if getattr(endpoint, "dry_run", False):
            headers.append(_DRY_RUN)
        if endpoint.idempotent and endpoint.kind != "lookup":
            # Beside success, refusals that were committed are replayed too; only the endpoint's own can be.
            statuses = {status, *endpoint.otherwise, *(kind.status for kind in endpoint.raises)}
            words = "`true` when this is the stored answer of an earlier request."
            headers.append(_header("Idempotency-Replayed", words, *sorted(statuses), enum=["true"]))
        tagged = [status, *endpoint.otherwise] if endpoint.kind != "lookup" and self._answers_a_row() else []
        if tagged or endpoint.if_match != "none":
            headers.append(_header("ETag", _ETAG, *tagged, 412))
        located = [code for code in (status, *endpoint.otherwise) if code in (201, 202)]
        if located:
            headers.append(_header("Location", "URL of the row.", *located, format="uri-reference"))
        if endpoint.if_match != "none":
            headers.append(
                _if("If-Match", "The ETag of the row that you read.", endpoint.if_match == "required")
            )
        return headers

    def get_request_serializer(self) -> Any:
        """The endpoint's input."""
        return self.endpoint.input if self.endpoint is not None else super().get_request_serializer()

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> dict[str, Any]:
        """The schema of a body; requests refuse undeclared members, answers may gain some."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "request" and schema.get("properties"):
            schema["additionalProperties"] = False
        own = (vars(type(serializer)).get("__doc__") or "").strip()
        if own and not type(serializer).__module__.startswith("erp.api."):
            first, rest = _split_docstring(own)
            schema["description"] = "\n\n".join(filter(None, (f"{first}.", rest)))
        else:
            schema.pop("description", None)  # inherited: how the class works, not what the body is
        return schema

    def get_examples(self) -> list[OpenApiExample]:
        """The endpoint's examples: dictionaries of ``name``, ``request`` and ``response``."""
        return list(_examples(self.endpoint, self._status())) if self.endpoint is not None else []

    def get_response_serializers(self) -> Any:
        """The answer of success, under its status."""
        if not hasattr(self.view, "endpoint_for"):
            return super().get_response_serializers()
        status = self._status()
        answer = self._output()
        if answer is None and self.endpoint is not None and self.endpoint.kind == "lookup":
            answer = OpenApiTypes.OBJECT
        others = list(getattr(self.endpoint, "otherwise", ()))
        if answer is not None and getattr(self.endpoint, "dry_run", False):
            others.append(200)
        return {
            code: OpenApiResponse(answer, description=HTTPStatus(code).phrase) for code in (status, *others)
        }

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        if hasattr(self.view, "endpoint_for") and direction == "response":
            if self._reads_a_row() and self._has_etag():
                responses["304"] = {
                    "description": "The row has not changed.",
                    "headers": self._get_response_headers_for_code("304"),
                }
            responses |= self._problems()
        return dict(sorted(responses.items()))

    def _problems(self) -> dict[str, Any]:
        self._register("Fault", FAULT)
        self._register("Problem", PROBLEM)
        kinds: dict[str, dict[str, str]] = {}
        for kind in self._problem_kinds():
            kinds.setdefault(str(kind.status), {}).setdefault(kind.code, kind.title)
        return {status: self._problem(status, codes) for status, codes in kinds.items()}

    def _problem(self, status: str, codes: dict[str, str]) -> dict[str, Any]:
        response = {
            "description": "\n".join(f"- `{code}`: {title}" for code, title in sorted(codes.items())),
            "headers": self._get_response_headers_for_code(status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "x-problem-codes": sorted(codes),
        }
        if len(codes) > 1 or not any(kind.code in codes for kind in _SHARED):
            return response
        # One shared code means the same answer everywhere: it is written once.
        name = "".join(part.capitalize() for part in re.split(r"\W|_", next(iter(codes))))
        return self._share("responses", name, response)

    def _get_response_headers_for_code(self, status_code: str, direction: Any = "response") -> dict[str, Any]:
        headers = super()._get_response_headers_for_code(status_code, direction)
        return {name: self._share("headers", name, header) for name, header in headers.items()}

    def _share(self, kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        self._register(name, value, kind)
        return {"$ref": f"#/components/{kind}/{name}"}

    def _problem_kinds(self) -> Iterator[type[DomainError]]:
        """Every problem that the operation can answer with."""
        endpoint = self.endpoint
        yield from (*_COMMON, *_INPUT)
        if endpoint is None or not endpoint.anonymous:
            yield errors.NotAuthenticated
            if getattr(self.view, "capability", None):
                yield errors.CapabilityMissing
        if "{" in self.path:
            yield errors.NotFound
        if endpoint is None:
            yield from getattr(self.view, "read_problems", ())
            handler = getattr(self.view, getattr(self.view, "action", ""), None)
            yield from getattr(handler, "read_problems", ())
            return
        yield from (errors.TooLarge, errors.UnsupportedMediaType)
        if endpoint.idempotent:
            yield from (errors.KeyMissing, errors.KeyInvalid)
            if endpoint.kind != "lookup":
                yield from (errors.KeyReused, errors.InProgress)
        if endpoint.secret:
            yield errors.AnswerExpired
        if endpoint.if_match != "none":
            yield errors.PreconditionFailed
            if endpoint.if_match == "required":
                yield errors.PreconditionRequired
        if endpoint.service is not None and endpoint.service.reauthenticate:
            yield errors.ReauthenticationRequired
        yield from endpoint.raises

    def _status(self) -> int:
        endpoint = self.endpoint
        if endpoint is None:
            return 200
        return endpoint.status if endpoint.kind == "lookup" or self._output() is not None else 204

    def _output(self) -> Any:
        own = self.endpoint.output if self.endpoint is not None else None
        if own is not None or (self.endpoint is not None and self.endpoint.kind == "lookup"):
            return own
        view: Any = self.view
        listed = (
            getattr(view, "list_serializer_class", None) if getattr(view, "action", "") == "list" else None
        )
        return listed or getattr(view, "serializer_class", None)

    def _answers_a_row(self) -> bool:
        output = self._output()
        return output is not None and "version" in getattr(output, "_declared_fields", ())

    def _reads_a_row(self) -> bool:
        return self.endpoint is None and getattr(self.view, "action", None) == "retrieve"

    def _has_etag(self) -> bool:
        """Whether callers may keep the answer, and ask if it is still current."""
        return not getattr(self.view, "no_store", False)

    def _register(self, name: str, schema: dict[str, Any], kind: str = ResolvedComponent.SCHEMA) -> None:
        component = ResolvedComponent(name, kind, schema, AutoSchema)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)


def _if(name: str, description: str, required: bool = False) -> OpenApiParameter:
    schema = {"type": "string", "examples": ['"7"']}
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, required=required, description=description)


_RAISES = re.compile(r" ?\bRaises\b[^.]*(?:\.|$)")


def _split_docstring(text: str | None) -> tuple[str, str]:
    """A docstring's first sentence without its full stop, and the rest with its paragraphs.

    What it raises is left out: the responses list the problems.
    """
    paragraphs = [_RAISES.sub("", " ".join(part.split())) for part in (text or "").strip().split("\n\n")]
    paragraphs = [part for number, part in enumerate(paragraphs) if part or not number]
    first, stop, rest = paragraphs[0].partition(". ")
    return first.removesuffix("."), "\n\n".join([rest, *paragraphs[1:]] if stop else paragraphs[1:])


def _examples(endpoint: Any, status: int) -> Iterable[OpenApiExample]:
    for place, example in enumerate(endpoint.examples, start=1):
        name = str(example.get("name") or f"Example {place}")
        if "request" in example:
            yield OpenApiExample(name, value=example["request"], request_only=True)
        if "response" in example:
            yield OpenApiExample(
                name, value=example["response"], response_only=True, status_codes=[str(status)]
            )


def load_examples(endpoints: Any) -> Any:
    """Load what the document shows; a hook that runs before the document is generated."""
    examples.load()
    return endpoints


class FileFieldExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Files: what their content may be, and how large they are."""

    target_class = "erp.api.files.FileField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """The JSON Schema of the part."""
        accepted = " or ".join(f"`{media_type}`" for media_type in self.target.accepts)
        words = f"{accepted}, by its content; at most {settings.API_FILE_LIMIT:,} bytes."
        return {"type": "string", "format": "binary", "description": words}


class DecimalFieldExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Decimals as text: the notation, the digits and the sign that the field takes."""

    target_class = "erp.api.fields.DecimalField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """The JSON Schema of the field's values."""
        field = self.target
        places = field.decimal_places
        digits = None if field.max_digits is None else field.max_digits - (places or 0)
        sign = "" if field.min_value is not None and field.min_value >= 0 else "-?"
        whole = "0" if digits == 0 else f"(0|[1-9][0-9]{{0,{digits - 1}}})" if digits else "(0|[1-9][0-9]*)"
        decimals = "" if places == 0 else f"(\\.[0-9]{{1,{places}}})?" if places else "(\\.[0-9]+)?"
        return {"type": "string", "format": "decimal", "pattern": f"^{sign}{whole}{decimals}$"}
