"""Bugs to plant in the product's processes, which the books of a market must find.

``MARKET_FAULT`` is read by the benchmark's own start-up module only; the product knows nothing of it.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any


def lost_release() -> None:
    """A settled trade goes on using the credit of its sides."""
    from apps.trades.services import credit

    credit.close = lambda trade, actor, key: None


def doubled_fulfilment() -> None:
    """An approved trade counts twice as bought; the ledger of the requirement agrees with itself."""
    from apps.requirement.services import ledger

    write = ledger._write

    def twice(*args: Any, purchased: Decimal = Decimal(0), **more: Any) -> Any:
        return write(*args, purchased=2 * purchased if purchased > 0 else purchased, **more)

    ledger._write = twice


def dropped_mask() -> None:
    """Whoever asks for more than there is, is told how much there is."""
    from apps.availability.services import stock

    check = stock._check_quantity

    def telling(*args: Any, with_available: bool, **more: Any) -> None:
        check(*args, with_available=True, **more)

    stock._check_quantity = telling


# Each bug, and phrases of contradictions of which one must give it away.
MUTANTS: dict[str, tuple[Callable[[], None], Sequence[str]]] = {
    "lost credit release": (lost_release, ["ended trades that still use credit"]),
    # Where less is wanted than twice the trade, the guard of the requirement itself refuses the second manager.
    "doubled fulfilment": (
        doubled_fulfilment,
        ["bought another quantity than their trades", "requirement.over_purchase"],
    ),
    "mask dropped from an error": (dropped_mask, ["was told"]),
}


def prepare(fault: str) -> None:
    """Plant one as soon as Django has loaded the product. Raises KeyError for another name."""
    from django.apps.registry import Apps

    plant, _ = MUTANTS[fault]
    populate = Apps.populate

    def planted(registry: Apps, *args: Any, **kwargs: Any) -> None:
        was_ready = registry.ready
        populate(registry, *args, **kwargs)
        if registry.ready and not was_ready:
            plant()

    Apps.populate = planted  # type: ignore[assignment]
