"""An API client for tests: real requests through the whole stack, with a fresh key per write."""

import json
import re
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import Resolver404
from drf_spectacular.generators import SchemaGenerator
from jsonschema_rs import Draft202012, Draft202012Validator, Registry

from erp.api.files import MULTIPART
from erp.files import Upload
from erp.identifiers import EMAIL


class ApiClient(Client):
    """Django's test client in the API's manners: JSON both ways, an Idempotency-Key per write.

    A body with an ``Upload`` in it travels in parts, and so does every body sent as ``multipart/form-data``.
    Every answer must be one that the OpenAPI document describes.
    """

    bearer = ""
    session_id: Any = None

    def request(self, **request: Any) -> Any:
        """Send the request. Raises AssertionError where its answer isn't as documented."""
        answer = super().request(**request)
        assert (deviations := undocumented(answer)) == [], deviations
        return answer

    def read(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        """GET."""
        return self.get(path, query or {}, headers=self._headers(headers))

    def write(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        if_match: str | int | None = None,
        method: str = "POST",
        raw: bytes | None = None,
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        """POST or PUT; ``key=""`` takes a fresh key, ``None`` none; an integer ``if_match`` is a version."""
        if key is not None:
            headers["Idempotency-Key"] = key or uuid4().hex
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"' if isinstance(if_match, int) else if_match
        if raw is None and any(isinstance(value, Upload) for value in (body or {}).values()):
            content_type = MULTIPART
        if raw is not None:
            content = raw
        elif content_type == MULTIPART:
            content, content_type = _in_parts(body), MULTIPART_CONTENT
        else:
            content = b"" if body is None else json.dumps(body).encode()
        return self.generic(method, path, content, content_type, headers=self._headers(headers))

    def write_twice(self, path: str, body: Any = None, **more: Any) -> Any:
        """Write as the journeys do, twice with one key: the same answer, and nothing done again."""
        key = uuid4().hex
        first, again = (self.write(path, body, key=key, **more) for _ in range(2))
        assert (again.status_code, again.content) == (first.status_code, first.content), first.content
        assert again["Idempotency-Replayed"] == "true"
        return first

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {**({"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}), **headers}


_URI = r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~-])+"


def _format(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


FORMATS: Final = {
    "email": EMAIL.is_valid,
    "uri": _format("[a-z]+:" + _URI),
    "uri-reference": _format(_URI),
    "decimal": _format(r"-?[0-9]+(?:\.[0-9]+)?"),
    "date-time": _format(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})"),
}


_generating = Lock()


def document() -> dict[str, Any]:
    """The OpenAPI document of the routes in use."""
    with _generating:  # threads of one test ask at the same time, and the generator serves one
        return _document(settings.ROOT_URLCONF)


@cache
def _document(urlconf: str) -> dict[str, Any]:
    generator: Any = SchemaGenerator
    schema: dict[str, Any] = generator(urlconf=urlconf).get_schema(request=None, public=True)
    return schema


@cache
def _registry(urlconf: str) -> Registry:
    return Registry([("urn:openapi", _document(urlconf))], draft=Draft202012)


@cache
def _validator(urlconf: str, *path: str) -> Draft202012Validator:
    place = "/".join(step.replace("~", "~0").replace("/", "~1") for step in path)
    reference = {"$ref": f"urn:openapi#/{quote(place)}"}
    return Draft202012Validator(
        reference, registry=_registry(urlconf), formats=FORMATS, validate_formats=True
    )


def deviations_of(value: Any, *path: str) -> list[str]:
    """How a JSON value deviates from the schema at that place of the document; formats count."""
    errors = _validator(settings.ROOT_URLCONF, *path).iter_errors(value)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def documented_path(route: str) -> str:
    """A route as the document writes it: ``/api/v1/offers/{id}``."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", re.sub(r"<\w+:pk>", "{id}", route))


def undocumented(answer: Any) -> list[str]:
    """How an answer deviates from what the document says about its operation; empty for paths it doesn't have."""
    try:
        route = f"/{answer.resolver_match.route}"
    except Resolver404:
        return []
    path = documented_path(route)
    method, status = answer.request["REQUEST_METHOD"].lower(), str(answer.status_code)
    operation = document()["paths"].get(path, {}).get(method)
    if operation is None:
        return []
    response = operation["responses"].get(status)
    if response is None:
        return [f"{method} {path} answers {status}: {answer.content!r}"]
    place = ["paths", path, method, "responses", status]
    if "$ref" in response:
        place = response["$ref"].removeprefix("#/").split("/")
        response = document()[place[0]][place[1]][place[2]]
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    found = [
        f"{name}: {deviation}"
        for name in response.get("headers", {})
        if name in answer.headers
        for deviation in deviations_of(answer.headers[name], "components", "headers", name, "schema")
    ]
    if media_type not in response.get("content", {"": {}}):
        return [f"{method} {path} answers {status} as {media_type}"]
    if media_type.endswith("json"):
        found += deviations_of(answer.json(), *place, "content", media_type, "schema")
    return [f"{method} {path} {status} {deviation}" for deviation in found]


def _in_parts(body: dict[str, Any]) -> bytes:
    parts = {
        name: SimpleUploadedFile(value.name, value.content, value.media_type)
        if isinstance(value, Upload)
        else value
        for name, value in body.items()
    }
    encoded: bytes = encode_multipart(BOUNDARY, parts)
    return encoded
