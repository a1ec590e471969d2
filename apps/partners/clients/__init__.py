"""Registries, banks and maps: one client for each, with the sandbox as default."""

from functools import cache
from typing import Any, ClassVar

from django.conf import settings

from apps.partners.clients.sandbox import PLAY
from erp.clients import Client, RemoteRefused, RemoteUnavailable
from erp.clients.sandbox import Sandbox

_SANDBOX = "https://sandbox.invalid"


class Registry(Client, abstract=True):
    """A remote that answers one question; the check stays pending while it doesn't (``fallback`` queued)."""

    retries: ClassVar[int] = 0
    reset_timeout: ClassVar[float] = 60.0
    fallback = "queued"
    path: ClassVar[str]
    members: ClassVar[dict[str, type]]

    def ask(self, question: dict[str, str]) -> dict[str, Any]:
        """The registry's answer. Identifiers travel in the body: addresses end up in logs.

        Raises RemoteUnavailable, also for what can't be read.
        """
        try:
            answer = self.request(
                "POST", self.path, operation="ask", json=question, idempotent=True,
                headers={"Idempotency-Key": question.get("reference", "")},
            ).json()  # fmt: skip
        except RemoteRefused as refused:
            raise RemoteUnavailable(f"The service {self.name} refuses to answer.") from refused
        valid = isinstance(answer, dict) and all(
            isinstance(answer.get(name), kind) for name, kind in self.members.items()
        )
        if not valid:
            raise RemoteUnavailable(f"The service {self.name} answers in a form that can't be read.")
        return dict(answer)


class GstRegistry(Registry):
    """Taxpayers of the GST: status, names, filing, turnover."""

    name, timeout, path = "gst", 8.0, "/taxpayers"
    connect_timeout, read_timeout = 1.0, 4.0
    members: ClassVar = {"status": str}


class PanRegistry(Registry):
    """PAN of the income-tax department: validity and name."""

    name, timeout, path = "pan", 8.0, "/pans"
    connect_timeout, read_timeout = 1.0, 4.0
    members: ClassVar = {"valid": bool}


class PennyDrop(Registry):
    """One rupee to an account: the bank answers with the holder's name. The reference keeps it from a second."""

    name, timeout, path = "penny_drop", 15.0, "/penny-drops"
    connect_timeout, read_timeout = 2.0, 10.0
    members: ClassVar = {"status": str}


class Geocoder(Registry):
    """The point of an address, with a confidence."""

    name, timeout, path = "geocoder", 6.0, "/points"
    connect_timeout, read_timeout = 1.0, 3.0
    members: ClassVar = {"latitude": str, "longitude": str, "confidence": str}


REGISTRIES: dict[str, type[Registry]] = {
    "gst": GstRegistry, "pan": PanRegistry, "bank": PennyDrop, "geocode": Geocoder,
}  # fmt: skip


@cache
def _client(kind: str, url: str, token: str) -> Registry:
    made = REGISTRIES[kind]
    if not url:
        return made(_SANDBOX, transport=Sandbox(PLAY[made.path]))
    return made(url, headers={"Authorization": f"Bearer {token}"} if token else {})


def registry_for(kind: str) -> Registry:
    """The client of a kind of check, by ``settings.REGISTRIES``: address and token, or the sandbox without."""
    url, token = settings.REGISTRIES[kind]
    return _client(kind, url, token)


def is_sandbox(kind: str) -> bool:
    """Whether a kind of check is answered by the sandbox."""
    return not settings.REGISTRIES[kind][0]
