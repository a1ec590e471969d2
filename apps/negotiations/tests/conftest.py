"""Fixtures of negotiations."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from apps.negotiations.tests import factories
from apps.partners.models import Partner


@pytest.fixture
def sides(
    user: Any, partner: Any, commodity: Any, offer: Any, requirement: Any
) -> Callable[..., factories.Table]:
    """Make a match of new listings, with the people of its two sides."""
    world = SimpleNamespace(
        user=user, partner=partner, commodity=commodity, offer=offer, requirement=requirement,
        partner_of=lambda person: Partner.objects.get(pk=person.partner_id),
    )  # fmt: skip
    return lambda **fields: factories.table(world, **fields)
