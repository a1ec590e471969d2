"""Fixtures of the kernel's tests."""

from erp.tests.outbox_support import one_bucket, pubsub

__all__ = ["one_bucket", "pubsub"]
