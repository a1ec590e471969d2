"""Fair division: the vectors of the page, and what holds for any."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.matching.engine.allocation import BELOW, CAPPED, FULL, INDIVISIBLE, Claim, divide


def shares(stock, *wants, need=0, clusters=None, **more):
    names = clusters or range(len(wants))
    claims = [Claim(want, need, cluster) for want, cluster in zip(wants, names, strict=True)]
    return [share.given for share in divide(stock, claims, max_share=more.pop("max_share", 5_000), **more)]


@pytest.mark.parametrize(
    ("stock", "wants", "need", "given"),
    [
        (100, (60, 50, 30), 0, [43, 36, 21]),
        (60, (80, 30, 10), 0, [30, 23, 7]),
        (100, (90, 20), 0, [80, 20]),
        (10, (10, 10, 10), 0, [4, 3, 3]),
        (10, (10, 10, 10), 4, [5, 5, 0]),
        (100, (60, 30), 0, [60, 30]),
        (1, (1, 1), 0, [1, 0]),
        (0, (5, 5), 0, [0, 0]),
        (100, (0, 300), 0, [0, 100]),
    ],
)
def test_the_vectors(stock, wants, need, given):
    """§5.8, §8.13."""
    assert shares(stock, *wants, need=need) == given


def test_related_buyers_share_one_cap():
    assert shares(100, 60, 60, 60, clusters="aab") == [25, 25, 50]
    assert shares(100, 60, 60, 10, clusters="aab") == [45, 45, 10], "what is left goes to those capped"


def test_an_offer_that_cannot_be_divided_goes_to_the_first_whose_want_covers_it():
    assert shares(100, 90, 120, 200, divisible=False) == [0, 100, 0]
    assert shares(100, 90, divisible=False) == [0]


def test_reasons():
    claims = [Claim(80, 1, "a"), Claim(30, 1, "b"), Claim(10, 9, "c")]
    assert [share.reason for share in divide(60, claims, max_share=5_000)] == [CAPPED, FULL, BELOW]
    assert {share.reason for share in divide(60, claims, max_share=5_000, divisible=False)} == {
        FULL,
        INDIVISIBLE,
    }


CLAIMS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1_500), CLAIMS, st.integers(1, 10_000))
def test_nothing_is_given_twice_or_left(stock, rows, max_share):
    """Σ given = least(stock, Σ want) when no need bites; nobody gets more than wanted or less than needed."""
    claims = [Claim(want, need, cluster) for want, need, cluster in rows]
    given = divide(stock, claims, max_share=max_share)
    assert all(0 <= share.given <= claim.want for share, claim in zip(given, claims, strict=True))
    assert all(
        share.given == 0 or share.given >= claim.need for share, claim in zip(given, claims, strict=True)
    )
    if all(share.reason != BELOW for share in given):
        assert sum(share.given for share in given) == min(stock, sum(claim.want for claim in claims))
    assert divide(stock, claims, max_share=max_share) == given


def test_ten_thousand_buyers_are_served_quickly():
    random = Random(3)
    claims = [Claim(random.randrange(1, 500), random.randrange(1, 3), place % 500) for place in range(2_000)]
    given = divide(100_000, claims, max_share=100)
    assert sum(share.given for share in given) == 100_000
