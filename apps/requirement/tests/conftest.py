"""Fixtures of requirements."""

import pytest

from apps.accounts.models import User


@pytest.fixture
def buyer_of():
    """The user that created a requirement."""
    return lambda row: User.objects.get(pk=row.created_by_id)
