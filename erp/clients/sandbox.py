"""A stand-in for another firm's system: it answers through the same client, deadline and breaker."""

import json
from collections.abc import Callable
from typing import Any, Final

import httpx

TIMEOUT: Final = "timeout"  # what a function answers to play a remote that doesn't
Answer = tuple[int, Any] | str


class Sandbox(httpx.BaseTransport):
    """A transport whose answers come from a function of path and body, without clock or chance.

    The function returns a status with a JSON value or raw bytes, or ``TIMEOUT``, which is raised at once.
    """

    def __init__(self, answer: Callable[[str, Any], Answer]) -> None:
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request. Raises ReadTimeout for ``TIMEOUT``."""
        content = request.read()
        is_json = request.headers.get("content-type", "").startswith("application/json")
        answer = self._answer(request.url.path, json.loads(content) if is_json else content)
        if isinstance(answer, str):
            raise httpx.ReadTimeout("the sandbox plays a timeout", request=request)
        status, body = answer
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())
