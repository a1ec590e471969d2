"""The portal for e-way bills, with the sandbox as default."""

from functools import cache
from typing import Any, ClassVar

from django.conf import settings

from erp.clients import Client, RemoteRefused, RemoteUnavailable
from erp.clients.sandbox import Answer, Sandbox

_SANDBOX = "https://sandbox.invalid"


class EwayRefused(RemoteUnavailable):
    """The portal refuses to issue the bill; asking again doesn't help."""


class EwayPortal(Client):
    """Issues e-way bills. The dispatch's id is the reference: a repeat finds the first bill."""

    name, timeout = "eway", 12.0
    connect_timeout, read_timeout = 1.0, 8.0
    retries: ClassVar[int] = 0
    reset_timeout: ClassVar[float] = 60.0
    fallback = "queued"

    def issue(self, question: dict[str, Any]) -> str:
        """The number of the bill. Raises EwayRefused, RemoteUnavailable; numbers travel in the body."""
        try:
            answer = self.request(
                "POST", "/bills", operation="issue", json=question, idempotent=True,
                headers={"Idempotency-Key": question["reference"]},
            ).json()  # fmt: skip
        except RemoteRefused as refused:
            raise EwayRefused("The portal refuses the e-way bill.") from refused
        number = answer.get("number") if isinstance(answer, dict) else None
        if not isinstance(number, str) or len(number) != 12 or not number.isdecimal():
            raise RemoteUnavailable("The portal answers in a form that can't be read.")
        return number


def _play(path: str, question: Any) -> Answer:
    """A number by the reference; a document number that ends in -R is refused, in -T never answered."""
    document = question["document"]
    if document.endswith("-T"):
        return 503, {}
    if document.endswith("-R"):
        return 422, {"code": "document_invalid"}
    return 200, {"number": f"{int(question['reference'].replace('-', ''), 16) % 10**12:012d}"}


@cache
def _client(url: str, token: str) -> EwayPortal:
    if not url:
        return EwayPortal(_SANDBOX, transport=Sandbox(_play))
    return EwayPortal(url, headers={"Authorization": f"Bearer {token}"} if token else {})


def eway_portal() -> EwayPortal:
    """The portal by ``settings.EWAY_PORTAL``: address and token, or the sandbox without."""
    return _client(*settings.EWAY_PORTAL)
