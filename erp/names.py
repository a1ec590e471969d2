"""How names of rows are compared."""

import unicodedata


def name_key(name: str) -> str:
    """What makes two names the same: NFKC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
