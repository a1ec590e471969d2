"""Fixtures of the kernel's tests."""

from erp.tests.outbox_support import faults, one_bucket, pubsub

__all__ = ["faults", "one_bucket", "pubsub"]
