"""Fixtures of the kernel's tests."""

import pytest

from erp.outbox import admin
from erp.tests.outbox_support import faults, one_bucket, pubsub

__all__ = ["faults", "one_bucket", "pubsub"]


@pytest.fixture
def no_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of dead letters doesn't wait for any."""
    monkeypatch.setattr(admin, "FIRST_SECONDS", 0.01)
