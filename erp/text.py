"""Text of people: which characters it may hold, and when two names are the same."""

import re
import unicodedata
from collections.abc import Collection
from decimal import ROUND_HALF_UP, Decimal
from difflib import SequenceMatcher
from hashlib import sha256
from typing import Final

KEY_LENGTH: Final = 400  # of the columns that hold a key

# Line and page controls, and the marks that override or isolate the reading direction of what follows.
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_LINES: Final = re.compile(rf"(?![\n\t])[{_CONTROL}]")
_LINE: Final = re.compile(f"[{_CONTROL}]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
# Legal in JSON and PostgreSQL, illegal in XML and thereby in every workbook.
_NONCHARACTER: Final = re.compile(
    r"[\ufdd0-\ufdef" + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17)) + "]"
)
# Default_Ignorable_Code_Point of the Unicode Character Database (stable since 4.1), first and last of each range.
IGNORABLE: Final = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
INVISIBLE: Final = re.compile("[" + "".join(f"{chr(a)}-{chr(z)}" for a, z in IGNORABLE) + "]")
_BLANK: Final = frozenset("\u2800\U0001d159\U00013441\U00013442")  # symbols and letters drawn as nothing
# Letters of other alphabets that are drawn like a Latin one (confusables of Unicode Technical Standard 39), and
# their other case where that has no look of its own; and the hyphens and quotes that programs put for the plain ones.
# A whole word can be written with them, so that refusing words of mixed alphabets doesn't suffice, and would refuse
# "μg" besides.
LOOKALIKES: Final = {
    "a": "ɑΑαАаᎪꓮ", "b": "ΒβВвЬьᏏᏴꓐ", "c": "СсᏟᴄⲤⲥꓚ", "d": "ԀԁᎠᏧꓒꓓ", "e": "ΕεЕеҽᎬꓰ", "f": "ϜϝքꓝꞘꞙ",
    "g": "ɡԌԍցᏀᏳꓖ", "h": "ΗηНнҺһհᎻᏂⲎⲏꓧ", "i": "ıɩɪΙιІіᎥⲒⲓꓲꙇ", "j": "ͿϳЈјᎫꓙ", "k": "ΚκКкᏦⲔⲕꓗ",
    "l": "ƖǀӀӏᏞⳐⳑꓡ", "m": "ΜϺϻМмᎷⲘⲙꓟ", "n": "ΝոռⲚⲛꓠ", "o": "ΟοσОоՕօᴏⲞⲟꓳ", "p": "ΡρРрᏢⲢⲣꓑ",
    "q": "Ԛԛգզ", "r": "ƦгᎡᏒᴦⲅꓣ", "s": "ЅѕՏᏕᏚꓢꜱ", "t": "ΤτТтᎢⲦⲧꓔ", "u": "υՍսᴜꓴ", "v": "νѴѵᏙᴠꓦ",
    "w": "ɯѡԜԝաᎳᏔᴡꓪ", "x": "ΧχХхⲬⲭꓫꓫ", "y": "ɣʏΥγУуҮүᎩᎽⲨⲩꓬ", "z": "ΖζᏃᴢꓜ",
    "-": "˗‐‑‒–⁃−", "'": "`ʹʻʼʽˈ‘’‛′", '"': "“”„‟", "/": "⁄∕",
}  # fmt: skip
_LATIN: Final = {ord(drawn): letter for letter, alike in LOOKALIKES.items() for drawn in alike}


class UnstorableText(ValueError):
    """Text that isn't stored; ``code`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def normalise(text: str, *, multiline: bool = False, trim: bool = True) -> str:
    """Return the text as it is stored: in NFC, and trimmed. ``multiline`` allows line feeds and tabs.

    Raises TextInvalid for control characters, noncharacters and halves of surrogate pairs, and, unless it is taken
    untrimmed (a password), for text of which nothing can be seen.
    """
    text = text.replace("\r\n", "\n") if multiline else text
    text = unicodedata.normalize("NFC", text.strip() if trim else text)
    if (_LINES if multiline else _LINE).search(text):
        raise UnstorableText("control_character", "Control characters aren't allowed.")
    if _NONCHARACTER.search(text):
        raise UnstorableText("noncharacter", "The text contains a code that is not a character.")
    if _SURROGATE.search(text):
        raise UnstorableText("lone_surrogate", "The text contains half of a surrogate pair.")
    if trim and text and not any(map(_is_visible, text)):
        raise UnstorableText("invisible", "The text has no visible character.")
    return text


def _is_visible(character: str) -> bool:
    """Whether the character is drawn by itself: no space, mark, format or private character."""
    return (unicodedata.category(character)[0] in "LNPS" or unicodedata.category(character) == "Cn") and not (
        character in _BLANK or INVISIBLE.match(character)
    )


def name_key(name: str) -> str:
    """Return what two names have in common when they are the same: NFKC_Casefold with single spaces.

    Invisible characters (joiners, soft hyphens, variation selectors) don't count, nor does the kind of hyphen or quote,
    nor the alphabet that a letter is taken from when it is drawn like a Latin one. A key too long for its column ends
    in a digest.
    """
    key = _fold(name)
    while (folded := _fold(key)) != key:  # a folded letter can have a look of its own: Γ, γ, y
        key = folded
    return key if len(key) <= KEY_LENGTH else key[: KEY_LENGTH - 64] + sha256(key.encode()).hexdigest()


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKD", text).translate(_LATIN).casefold()
    return " ".join(INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).split())


# Words that name a legal form, which registers write in many ways (KYC and screening compare names without them).
LEGAL_WORDS: Final = frozenset(
    {"m/s", "pvt", "private", "ltd", "limited", "llp", "co", "company", "and", "inc", "plc"}
)
_LEGAL: Final = re.compile(
    rf"(?<![^\W_])(?:{'|'.join(sorted(map(re.escape, LEGAL_WORDS), key=len, reverse=True))})(?![^\W_])"
)


def company_form(name: str, *, without: Collection[str] = ()) -> str:
    """Return a firm's name in normal form: folded, without accents, legal words and punctuation, words sorted.

    ``without`` are further words to leave out, such as those of the trade (folded).
    """
    folded = unicodedata.normalize("NFKD", name_key(name))
    bare = "".join(c for c in folded if not unicodedata.combining(c))
    # Vowel signs of Indic scripts are marks without a combining class: they stay, since they tell words apart.
    words = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in _LEGAL.sub(" ", bare)).split()
    return unicodedata.normalize("NFC", " ".join(sorted(word for word in words if word not in without)))


def name_score(first: str, second: str, *, without: Collection[str] = ()) -> Decimal:
    """Return how alike two firms' names are, from 0 to 1 with three decimals: 1 for equal normal forms.

    The ratio of ``difflib.SequenceMatcher``, counted exactly. Two names of nothing but words left out score 0.
    """
    forms = company_form(first, without=without), company_form(second, without=without)
    length = sum(map(len, forms))
    if not length:
        return Decimal("0.000")
    matches = SequenceMatcher(None, *forms, autojunk=False).get_matching_blocks()
    ratio = Decimal(2 * sum(match.size for match in matches)) / length
    return ratio.quantize(Decimal("0.001"), ROUND_HALF_UP)
