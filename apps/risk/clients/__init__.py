"""Outside data about risk: one client for each provider, with the sandbox as default."""

from functools import cache
from typing import Any, ClassVar

from django.conf import settings

from apps.risk.clients.sandbox import PLAY
from erp.clients import Client, RemoteRefused, RemoteUnavailable
from erp.clients.sandbox import Sandbox

_SANDBOX = "https://sandbox.invalid"


class Provider(Client, abstract=True):
    """A remote that answers one question in JSON; what needs the answer waits for it (``fallback`` queued)."""

    retries: ClassVar[int] = 0
    reset_timeout: ClassVar[float] = 60.0
    fallback = "queued"
    path: ClassVar[str]
    members: ClassVar[dict[str, type]]

    def ask(self, question: dict[str, str]) -> dict[str, Any]:
        """The provider's answer. Identifiers travel in the body: addresses end up in logs.

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


class CreditBureau(Provider):
    """Grade of a firm by its registration, and the day of the data."""

    name, timeout, path = "credit_bureau", 8.0, "/grades"
    connect_timeout, read_timeout = 1.0, 4.0
    members: ClassVar = {"grade": str, "as_of": str}


class ScreeningFeed(Provider):
    """The newest snapshot of each list of sanctioned parties."""

    name, timeout, path = "screening_feed", 60.0, "/snapshots"
    connect_timeout, read_timeout = 2.0, 20.0
    max_bytes = 64 * 1024 * 1024
    members: ClassVar = {"lists": list}


class CurrencyRates(Provider):
    """Rates of currencies in INR, of a day."""

    name, timeout, path = "currency_rates", 8.0, "/rates"
    connect_timeout, read_timeout = 1.0, 4.0
    members: ClassVar = {"date": str, "source": str, "rates": dict}


PROVIDERS: dict[str, type[Provider]] = {
    "bureau": CreditBureau,
    "screening": ScreeningFeed,
    "rates": CurrencyRates,
}


@cache
def _client(kind: str, url: str, token: str) -> Provider:
    made = PROVIDERS[kind]
    if not url:
        return made(_SANDBOX, transport=Sandbox(PLAY[made.path]))
    return made(url, headers={"Authorization": f"Bearer {token}"} if token else {})


def provider_for(kind: str) -> Provider:
    """The client of a kind, by ``settings.RISK_PROVIDERS``: address and token, or the sandbox without."""
    url, token = settings.RISK_PROVIDERS[kind]
    return _client(kind, url, token)


def is_sandbox(kind: str) -> bool:
    """Whether a provider is played by the sandbox."""
    return not settings.RISK_PROVIDERS[kind][0]
