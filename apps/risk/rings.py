"""Cycles of trades that can be walked in time order: pure, and the same for edges in any order (risk §5.6)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from uuid import UUID

SHORTEST: Final = 3
MOST_STEPS: Final = 1_000_000  # a market of machines would not end otherwise
LEAST_STEPS: Final = 1_000  # that each partner's search may take


class Edge(NamedTuple):
    """Goods that went from a seller to a buyer; ``order`` is when."""

    order: tuple[Any, ...]
    seller: UUID
    buyer: UUID
    trade_id: UUID


class Ring(NamedTuple):
    """Partners in the direction of the goods, the lowest id first, and trades that close the cycle."""

    partners: tuple[UUID, ...]
    trades: tuple[UUID, ...]


def rings(edges: Iterable[Edge], longest: int, skipped: set[UUID] | None = None) -> list[Ring]:
    """Every cycle of 3 to ``longest`` different partners, once.

    Each partner's search has a share of the steps, so that nobody's trades use up those of others; who trades so much
    that it didn't end is added to ``skipped``.
    """
    kept = _with_both_ends(sorted(edges))
    following: dict[UUID, list[Edge]] = defaultdict(list)
    for edge in kept:
        following[edge.seller].append(edge)
    found: dict[tuple[UUID, ...], Ring] = {}
    share = max(LEAST_STEPS, MOST_STEPS // max(1, len(following)))
    steps: dict[UUID, int] = defaultdict(lambda: share)
    for first in kept:
        paths: list[tuple[Edge, ...]] = [(first,)]
        while paths:
            if not steps[first.seller]:
                if skipped is not None:
                    skipped.add(first.seller)
                break
            steps[first.seller] -= 1
            path = paths.pop()
            for edge in following[path[-1].buyer]:
                if edge.order <= path[-1].order:
                    continue
                if edge.buyer == first.seller and len(path) + 1 >= SHORTEST:
                    ring = _ring((*path, edge))
                    found.setdefault(ring.partners, ring)
                elif len(path) + 1 < longest and edge.buyer not in _partners(path):
                    paths.append((*path, edge))
    return [found[key] for key in sorted(found)]


def _with_both_ends(edges: list[Edge]) -> list[Edge]:
    """Edges between partners that both buy and sell: no other is part of a cycle."""
    while True:
        both = {edge.seller for edge in edges} & {edge.buyer for edge in edges}
        rest = [edge for edge in edges if edge.seller in both and edge.buyer in both]
        if len(rest) == len(edges):
            return edges
        edges = rest


def _partners(path: Iterable[Edge]) -> Iterator[UUID]:
    for edge in path:
        yield edge.seller
        yield edge.buyer


def _ring(path: tuple[Edge, ...]) -> Ring:
    partners = [edge.seller for edge in path]
    start = partners.index(min(partners))
    turned = tuple(partners[start:] + partners[:start])
    return Ring(turned, tuple(edge.trade_id for edge in path))
