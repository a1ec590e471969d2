"""What the sandbox of each provider answers: deterministic, for the day that the question names (risk §6)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from erp.clients.sandbox import TIMEOUT, Answer

_LIST: Final = Path(__file__).resolve().parents[1] / "data" / "demo_list.csv"
_RATES: Final = {
    "USD": "88.50",
    "EUR": "96.20",
    "GBP": "112.40",
    "AED": "24.10",
    "BDT": "0.7260",
    "VND": "0.00335",
}


def _grade(path: str, question: Any) -> Answer:
    last = (question["registration"] or "A")[-1]
    if last == "T":
        return TIMEOUT
    if last == "U":
        return 503, {}
    return 200, {
        "grade": {"W": "D", "Y": "C"}.get(last, "A"),
        "as_of": question["day"],
        "reference": "SANDBOX",
    }


SANDBOX_LIST: Final = "DEMO"  # counts only while the sandbox plays the feed


def _snapshots(path: str, question: Any) -> Answer:
    demo = {
        "code": SANDBOX_LIST,
        "source": "Bundled list of invented parties",
        "snapshot_date": question["day"],
    }
    return 200, {"lists": [{**demo, "content": _LIST.read_text(encoding="utf-8")}]}


def _rates(path: str, question: Any) -> Answer:
    return 200, {"date": question["day"], "source": "SANDBOX", "rates": _RATES}


PLAY: Final[dict[str, Callable[[str, Any], Answer]]] = {
    "/grades": _grade,
    "/snapshots": _snapshots,
    "/rates": _rates,
}
