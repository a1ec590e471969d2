"""Fair division of contested stock: proportional, by largest remainder, with a cap for groups of related buyers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apps.matching.engine.body import WHOLE

SHARE, FULL, CAPPED, BELOW, INDIVISIBLE = "SHARE", "FULL", "CAPPED", "below_minimum", "INDIVISIBLE"
NOTHING: Final = 0


@dataclass(frozen=True)
class Claim:
    """What a match wants of the stock, in its smallest step; claims come in the order of their matches."""

    want: int
    need: int
    cluster: object


@dataclass(frozen=True)
class Share:
    """What a claim gets, and why."""

    given: int
    reason: str


def divide(stock: int, claims: Sequence[Claim], *, max_share: int, divisible: bool = True) -> list[Share]:
    """Divide the stock among claims. ``max_share``: of one cluster, in basis points, while others go short."""
    if not divisible:
        first = next((place for place, claim in enumerate(claims) if claim.want >= stock), None)
        return [
            Share(stock, FULL) if place == first else Share(NOTHING, INDIVISIBLE)
            for place in range(len(claims))
        ]
    taking = [place for place, claim in enumerate(claims) if claim.want > 0]
    while True:
        given, capped = _shares(stock, claims, taking, max_share)
        short = [place for place in taking if given[place] < claims[place].need]
        if not short:
            break
        taking.remove(short[-1])
    return [_share(claims[place], given.get(place), place in capped) for place in range(len(claims))]


def _share(claim: Claim, given: int | None, capped: bool) -> Share:
    if given is None:
        return Share(NOTHING, BELOW)
    return Share(given, FULL if given == claim.want else CAPPED if capped else SHARE)


def largest_remainder(stock: int, wants: dict[int, int]) -> dict[int, int]:
    """Shares in proportion to the wants; the rest one by one to the largest remainders, ties by rank."""
    total = sum(wants.values())
    if total <= stock:
        return dict(wants)
    shares = {place: stock * want // total for place, want in wants.items()}
    left = stock - sum(shares.values())
    for place in sorted(wants, key=lambda each: (-(stock * wants[each] % total), each))[:left]:
        shares[place] += 1
    return shares


def _shares(
    stock: int, claims: Sequence[Claim], taking: Sequence[int], max_share: int
) -> tuple[dict[int, int], set[int]]:
    limit = max(stock * max_share // WHOLE, 1)
    open_claims, left = {place: claims[place].want for place in taking}, stock
    fixed: dict[int, int] = {}
    while True:
        shares = largest_remainder(left, open_claims)
        over = _first_over(shares, open_claims, claims, limit)
        if over is None:
            break
        members = {place: want for place, want in open_claims.items() if claims[place].cluster == over}
        fixed |= largest_remainder(limit, members)
        left -= limit
        open_claims = {place: want for place, want in open_claims.items() if place not in members}
    left -= sum(shares.values())
    if left:
        more = largest_remainder(left, {place: claims[place].want - given for place, given in fixed.items()})
        fixed = {place: given + more[place] for place, given in fixed.items()}
    return shares | fixed, set(fixed)


def _first_over(
    shares: dict[int, int], wants: dict[int, int], claims: Sequence[Claim], limit: int
) -> object | None:
    """The first cluster with more than the limit while somebody else's want is unmet."""
    totals: dict[object, int] = {}
    for place, given in shares.items():
        totals[claims[place].cluster] = totals.get(claims[place].cluster, 0) + given
    for cluster, total in totals.items():
        unmet = any(shares[place] < want for place, want in wants.items() if claims[place].cluster != cluster)
        if total > limit and unmet:
            return cluster
    return None
