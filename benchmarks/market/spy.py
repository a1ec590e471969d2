"""What each partner was told, read by someone who knows every partner's secrets.

Names, registrations, addresses and ids of a partner are for those only who have a trade with it, and from then on;
the exact quantity of an offer for those only who negotiate about it or have stock of it reserved.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from benchmarks.market.client import Client


@dataclass(frozen=True)
class Leak:
    """A secret that somebody was told who may not know it."""

    reader: str
    owner: str
    secret: str
    answer: str


def leaks(
    clients: Sequence[Client],
    people: Sequence[Mapping[str, Any]],
    acquainted: Mapping[frozenset[str], float],
    offered: Mapping[str, Decimal],
    insiders: Set[tuple[str, str]],
) -> list[Leak]:
    """Look for each partner's secrets in what the others were told.

    ``acquainted``: pairs of partner ids, and since when they have a trade; ``insiders``: pairs of partner and offer of
    which the partner may know the quantity.
    """
    found = []
    for client in clients:
        strangers = [
            (row, acquainted.get(frozenset({row["partner"], client.partner}), float("inf")))
            for row in people
            if row["partner"] != client.partner
        ]
        for told in client.told:
            for row, since in strangers:
                for secret in row["secrets"] if told.at < since else ():
                    if secret in told.text:
                        found.append(_leak(client, row["email"], secret, told.text))
            offer = told.path.removeprefix("/availabilities/").partition("/")[0]
            if told.status >= 400 and offer in offered and (client.partner, offer) not in insiders:
                figure = f'"{offered[offer]:.3f}"'
                if figure in told.text:
                    found.append(_leak(client, f"offer {offer}", figure, told.text))
    return found


def _leak(client: Client, owner: str, secret: str, text: str) -> Leak:
    at = text.index(secret)
    return Leak(client.email, owner, secret, text[max(0, at - 200) : at + 100])
