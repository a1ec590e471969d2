"""An API client for tests: real requests through the whole stack, with a fresh key per write."""

import json
from typing import Any
from uuid import uuid4

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from erp.api.files import MULTIPART
from erp.files import Upload


class ApiClient(Client):
    """Django's test client in the API's manners: JSON both ways, an Idempotency-Key per write.

    A body with an ``Upload`` in it travels in parts, and so does every body sent as ``multipart/form-data``.
    """

    bearer = ""
    session_id: Any = None

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

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {**({"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}), **headers}


def _in_parts(body: dict[str, Any]) -> bytes:
    parts = {
        name: SimpleUploadedFile(value.name, value.content, value.media_type)
        if isinstance(value, Upload)
        else value
        for name, value in body.items()
    }
    encoded: bytes = encode_multipart(BOUNDARY, parts)
    return encoded
