"""Checks of figures that the caller may not see: each refusal answers a question, so refusals are counted (core §5).

A caller who sees only a band could find the exact figure by trial. The refusals of one caller (a partner, else
the user) about one row are counted beside the rate limits, in Redis: the refusal stays raised and nothing is
stored. While Redis doesn't answer, each process counts for itself, so that the write goes on and stays limited.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from django.conf import settings
from django.db.models import Model

from erp import metrics
from erp.access import Actor
from erp.api import throttling
from erp.errors import DomainError

log = structlog.get_logger(__name__)

WINDOW: Final = 86_400


@contextmanager
def masked_checks(actor: Actor, row: Model, *, visible: bool) -> Iterator[None]:
    """Check figures of ``row``; ``visible`` says whether ``actor`` sees them, then nothing is counted.

    The caller's own input is checked before. Raises Throttled, before any figure is looked at, once the caller
    had ``MASKED_REFUSALS_PER_DAY`` refusals about the row.
    """
    if visible:
        yield
        return
    partner = actor.partner_id
    policy = throttling.Policy(
        "masked",
        settings.MASKED_REFUSALS_PER_DAY,
        WINDOW,
        f"{partner or actor.pk}:{row._meta.label_lower}:{row.pk}",
    )
    throttling.require_remaining(policy)
    try:
        yield
    except DomainError as refusal:
        throttling.count_one(policy)
        metrics.MASKED_REFUSALS.labels(refusal.code).inc()
        log.warning(
            "masked_refusal",
            code=refusal.code,
            actor=str(actor.pk),
            partner=str(partner),
            row_type=row._meta.label_lower,
            row=str(row.pk),
        )
        raise
