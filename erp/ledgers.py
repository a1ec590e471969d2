"""Ledger checks: each module registers a check of its own ledger, and ``verify_ledger`` runs them all."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured


class Mismatch(NamedTuple):
    """A row whose recomputed sum differs: key, description and figures."""

    key: str
    detail: str
    figures: dict[str, Any]


class LedgerCheck(NamedTuple):
    """One ledger: ``rows`` counts what is checked, ``mismatches`` recomputes it.

    ``options`` are the command's options that narrow the check; both functions take them by keyword.
    """

    name: str
    title: str
    rows: Callable[..., int]
    mismatches: Callable[..., Iterator[Mismatch]]
    options: tuple[str, ...] = ()


registry: dict[str, LedgerCheck] = {}


def register(
    name: str,
    title: str,
    *,
    rows: Callable[..., int],
    mismatches: Callable[..., Iterator[Mismatch]],
    options: tuple[str, ...] = (),
) -> None:
    """Add a ledger. ``name`` is ``label.ledger``; raises an error for a second one of the same name."""
    if name in registry:
        raise ImproperlyConfigured(f"the ledger {name} is registered twice")
    registry[name] = LedgerCheck(name, title, rows, mismatches, options)
