"""What tests of risk share: two partners with an offer and a requirement on credit."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from apps.risk.tests import factories


@pytest.fixture
def deal(
    user: Callable[..., Any], partner: Callable[..., Any], offer: Callable[..., Any], requirement: Callable[..., Any],
    commodity: Callable[..., Any],
) -> Callable[..., Any]:  # fmt: skip
    """A live offer and a live requirement of the same goods; ``advance``: percent that is paid before delivery."""

    def make(*, limit: int = 10_000_000, advance: int = 0, **fields: Any) -> factories.Deal:
        return factories.deal(
            user, partner, offer, requirement, commodity, limit=Decimal(limit), advance=advance, **fields
        )

    return make
