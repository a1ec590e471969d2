"""Labels of fields: Python names as people write them, with acronyms and units as the trade spells them."""

import re
from typing import Final

# Words whose spelling differs from plain lower case.
SPELLINGS: Final = {
    "api": "API", "cad": "CAD", "cgst": "CGST", "cin": "CIN", "csv": "CSV", "da": "DA", "dlq": "DLQ", "dp": "DP",
    "einvoice": "e-invoice", "email": "e-mail", "gst": "GST", "gstin": "GSTIN", "hsn": "HSN", "ica": "ICA",
    "id": "ID", "iec": "IEC", "ifsc": "IFSC", "igst": "IGST", "imps": "IMPS", "incoterm": "Incoterm", "ip": "IP",
    "lc": "LC", "llpin": "LLPIN", "lut": "LUT", "msme": "MSME", "neft": "NEFT", "otp": "OTP", "pan": "PAN",
    "pdf": "PDF", "pin": "PIN", "pincode": "PIN code", "rtgs": "RTGS", "sblc": "SBLC", "sgst": "SGST",
    "sha256": "SHA-256", "sms": "SMS", "swift": "SWIFT", "tan": "TAN", "tcs": "TCS", "tds": "TDS", "totp": "TOTP",
    "tt": "TT", "unlocode": "UN/LOCODE", "upi": "UPI", "uqc": "UQC", "url": "URL", "utgst": "UTGST", "utr": "UTR",
    "uuid": "UUID", "wdra": "WDRA", "xlsx": "XLSX",
}  # fmt: skip
# Units that end a name.
UNITS: Final = {"kg": "kg", "g": "g", "km": "km", "mm": "mm", "percent": "%", "bps": "bps"}


def words_of(name: str) -> str:
    """The words of a Python name: ``gst_uqc``: ``GST UQC``; ``radius_km``: ``radius (km)``; ``state_id``: ``state``."""
    parts = name.replace("e_invoice", "einvoice").strip("_").split("_")
    if len(parts) > 1 and parts[-1] == "id":
        parts.pop()
    unit = UNITS.get(parts[-1]) if len(parts) > 1 else None
    words = " ".join(SPELLINGS.get(part, part) for part in (parts[:-1] if unit else parts))
    return f"{words} ({unit})" if unit else words


def label_of(name: str) -> str:
    """The words of a Python name as a label: ``Radius (km)``, ``GST UQC``, ``E-mail``."""
    words = words_of(name)
    return words[:1].upper() + words[1:]


def plural_of(noun: str) -> str:
    """The plural of a noun: ``commodity`` → ``commodities``, ``address`` → ``addresses``."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{re.sub(r'(?<=[^aeiou])y$', 'ie', noun)}s"


def with_article(noun: str) -> str:
    """A noun with its article as it is spoken: ``a unit``, ``an HSN code``, ``an organization``."""
    first = noun.split()[0]
    vowel = (
        first[0] in "AEFHILMNORSX" if first.isupper() else re.match(r"(?!uni|us)[aeiou]", first) is not None
    )
    return f"{'an' if vowel else 'a'} {noun}"


_PARTICIPLES: Final = {
    "cancel": "cancelled", "forget": "forgotten", "put": "put", "redrive": "redriven", "reset": "reset", "run": "run",
    "send": "sent", "set": "set", "show": "shown", "skip": "skipped", "stop": "stopped", "submit": "submitted",
    "withdraw": "withdrawn", "write": "written",
}  # fmt: skip


def outcome_of(service: str, noun: str, row: str) -> str:
    """What a service did, for the person who ran it.

    ``service`` is its name, ``noun`` the model's name in words: ``Commodity Guar seed was created.`` where it acts on
    the row, ``Sessions ended: Asha Patel.`` where it acts on something of it.
    """
    verb, _, rest = service.partition("_")
    adverb = " again" if rest == "again" else ""
    regular = re.sub(r"(?<=[^aeiou])y$", "i", verb.removesuffix("e")) + "ed"
    participle = _PARTICIPLES.get(verb, regular)
    row = f" {row}" if row else ""
    if adverb or words_of(rest).lower() in ("", noun.lower()):
        return f"{noun[:1].upper()}{noun[1:]}{row} was {participle}{adverb}."
    return f"{label_of(rest)} {participle}{':' if row else ''}{row}."
