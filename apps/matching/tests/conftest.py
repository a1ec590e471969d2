"""Fixtures of matching."""

import pytest

from apps.matching.tests.factories import Cotton


@pytest.fixture
def cotton(world):
    """The market of one commodity."""
    return Cotton(world)
