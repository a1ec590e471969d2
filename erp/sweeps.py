"""Periodic work on many rows."""

from collections.abc import Callable, Iterable
from typing import Any

import structlog

from erp.errors import DomainError

log = structlog.get_logger(__name__)


def each(rows: Iterable[Any], step: Callable[[Any], Any]) -> int:
    """Take a step with every row, such as a service, each in a transaction of its own; return with how many it did.

    A row that fails, however it does, is logged and left for the next turn: it holds up no other. A step that finds
    nothing to do returns False.
    """
    done = 0
    for row in rows:
        try:
            done += step(row) is not False
        except Exception as error:
            code = error.code if isinstance(error, DomainError) else type(error).__name__
            kind = row._meta.label_lower if hasattr(row, "_meta") else ""
            log.exception("row_not_processed", row_type=kind, row=str(getattr(row, "pk", row)), code=code)
    return done
