"""The scan for malware: a sandbox by default, or a scanner over HTTP."""

from functools import cache
from typing import Any, Final

from django.conf import settings

from erp.clients import Client, RemoteUnavailable
from erp.clients.sandbox import Answer, Sandbox

_EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class Scanner(Client):
    """Sends the content of a file and learns whether it is clean."""

    name, timeout = "scanner", 30.0
    connect_timeout, read_timeout, retries = 2.0, 20.0, 0
    fallback = "queued"

    def is_clean(self, content: bytes) -> bool:
        """Whether the scanner finds nothing. Raises RemoteUnavailable."""
        answer = self.request(
            "POST", "/scan", content=content, idempotent=True,
            headers={"Content-Type": "application/octet-stream"},
        ).json()  # fmt: skip
        if not isinstance(answer, dict) or not isinstance(answer.get("clean"), bool):
            raise RemoteUnavailable("The scanner answers in a form that can't be read.")
        return bool(answer["clean"])


def _sandbox(path: str, content: Any) -> Answer:
    return 200, {"clean": _EICAR not in content}


@cache
def _client(url: str) -> Scanner:
    return Scanner(url) if url else Scanner("https://sandbox.invalid", transport=Sandbox(_sandbox))


def scanner() -> Scanner:
    """The scanner of the settings: ``SCANNER_URL``, or the sandbox."""
    return _client(settings.SCANNER_URL)
