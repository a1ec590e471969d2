"""What the sandbox of each registry answers, by the characters of the question (partners §6)."""

from collections.abc import Callable
from typing import Any, Final

from erp.clients.sandbox import TIMEOUT, Answer

_RUBBISH: Final = b"<html>not JSON"
_BROKEN: Final[dict[str, Answer]] = {
    "T": TIMEOUT,
    "V": (503, {}),
    "R": (429, {}),
    "M": (200, _RUBBISH),
}
_OTHER_NAME: Final = "Somebody Else Altogether"
_TURNOVER: Final = ("0", *["20000000"] * 5, *["6000000"] * 2, *["1500000"] * 2)
_FILING: Final = (*["excellent"] * 5, *["good"] * 3, *["poor"] * 2)


def _gst(path: str, question: Any) -> Answer:
    gstin, name = question["gstin"], question["name"]
    letter = gstin[-1]
    if letter in _BROKEN:
        return _BROKEN[letter]
    if letter == "Q":
        return 200, {"status": "not_found"}
    digits = gstin[7:11]
    return 200, {
        "status": {"S": "suspended", "X": "cancelled"}.get(letter, "active"),
        "legal_name": _OTHER_NAME if letter == "N" else name,
        "trade_name": "",
        "type": "composition" if letter == "P" else "regular",
        "registration_date": "2017-07-01",
        "turnover": _TURNOVER[int(digits[0])] if digits[0].isdigit() else "0",
        "filing": _FILING[int(digits[1])] if digits[1].isdigit() else "poor",
    }


def _pan(path: str, question: Any) -> Answer:
    letter = question["pan"][-1]
    if letter in _BROKEN:
        return _BROKEN[letter]
    if letter == "Q":
        return 200, {"valid": False}
    return 200, {
        "valid": True,
        "operative": letter != "X",
        "name": _OTHER_NAME if letter == "N" else question["name"],
    }


def _penny_drop(path: str, question: Any) -> Answer:
    name = question["name"]
    played: dict[str, Answer] = {
        "9001": TIMEOUT,
        "9002": (200, {"status": "closed"}),
        "9003": (200, {"status": "open", "holder": _OTHER_NAME}),
        "9004": (200, {"status": "open", "holder": name[: max(1, len(name) // 4)]}),
        "9005": (503, {}),
        "9006": (200, {"status": "ifsc_unknown"}),
        "9007": (429, {}),
    }
    return played.get(question["account"][-4:], (200, {"status": "open", "holder": name}))


def _geocode(path: str, question: Any) -> Answer:
    pin = question["postal_code"]
    ending = pin[-2:]
    if ending == "99":
        return TIMEOUT
    digits = "".join(c for c in pin if c.isdigit()).ljust(6, "0")[:6]
    return 200, {
        "latitude": f"{8 + int(digits[:2]) * 0.25:.4f}",
        "longitude": f"{68 + int(digits[2:4]) * 0.25:.4f}",
        "confidence": {"98": "0.40", "97": "0.70"}.get(ending, "0.95"),
    }


PLAY: Final[dict[str, Callable[[str, Any], Answer]]] = {
    "/taxpayers": _gst,
    "/pans": _pan,
    "/penny-drops": _penny_drop,
    "/points": _geocode,
}
