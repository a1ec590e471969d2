"""Names as screening compares them: by normal form, by sound, and whether their script can be compared at all."""

import re
import unicodedata
from typing import Final

from erp.text import company_form

# Short forms of names that lists and papers write in many ways (as of November 2026).
SHORT_FORMS: Final = {
    "mohd": "mohammed", "md": "mohammed", "mhd": "mohammed", "mohamad": "mohammed", "mohammad": "mohammed",
    "abd": "abdul", "shk": "sheikh", "hji": "haji",
}  # fmt: skip
_SOUNDS: Final = (("x", "ks"), ("ph", "f"), ("w", "v"), ("y", "i"), ("c", "k"), ("q", "k"), ("z", "s"))
_LONG: Final = 6  # letters of a single word that suffices


def sound_key(word: str) -> str:
    """Return a key that words of the same sound share: consonants, and a vowel at the start."""
    word = SHORT_FORMS.get(word.lower(), word.lower())
    for written, spoken in _SOUNDS:
        word = word.replace(written, spoken)
    word = re.sub(r"(?<=[^aeiou])h", "", word)
    word = re.sub(r"(.)\1+", r"\1", word)
    bare = word[:1] + re.sub("[aeiou]", "", word[1:])
    return re.sub(r"(.)\1+", r"\1", bare)


def sound_keys(form: str) -> list[str]:
    """Keys of the words of a normal form."""
    return sorted({sound_key(word) for word in form.split()})


def comparable_keys(form: str) -> list[str]:
    """Keys by which an entry is found: of two words or more, or of one long word; else none."""
    words = form.split()
    return sound_keys(form) if len(words) >= 2 or (words and len(words[0]) >= _LONG) else []


def is_latin(name: str) -> bool:
    """Whether all letters of a name's normal form are Latin ones."""
    letters = [c for c in company_form(name) if unicodedata.category(c)[0] == "L"]
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
