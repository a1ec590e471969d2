"""Identifiers of rows and events: UUIDv7, so that they sort by time of creation."""

from uuid import UUID

import uuid_utils


def uuid7() -> UUID:
    """A fresh UUIDv7."""
    return UUID(bytes=uuid_utils.uuid7().bytes)
