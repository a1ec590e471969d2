"""Search for contact data in text that another partner reads before there is a trade (rulings §5).

The search runs on the text in NFKC and without accents, with the digits of every script made ASCII, number words in
English, Hindi and Gujarati replaced by digits, and separators removed. It refuses too much rather than too little:
whoever writes can write otherwise.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from erp.text import INVISIBLE, company_form

MOST_PAIRS: Final = 40  # of neighbouring words of one message that firms' names are searched for
_ORDINARY: Final = """
    and are but can could for from give good has have here how its just know make may more must need next not now
    only our out please same see some take than thank thanks that the their them then there these they this very want
    was well what when which will with would yes you your
    accept acceptable advance agree agreed arrival bale bales balance best bid buy buyer candy cash cheque claim
    confirm contract counter credit crop daily date day days deal deliver delivered delivery demand discount dispatch
    each early east export fair farm farmers final fine firm fixed freight fresh full general gin gold grade green
    group half hand high import india indian inspection invoice kapas kgs last late less length lift lifting lint load
    lot lots low market material mic micronaire moisture month months months north offer offers open order packing
    party pass passing pay paid payment per percent place point press price prices prompt quality quantity quick quintal
    raw rate ready report rupees sale sales sample season seed sell seller ship shipment south spot staple standard
    star station stock strength super supply surveyor tax term terms test ton tons top trade transit trash truck unit
    value warehouse week weeks weighment weight west white window yarn year
"""
ORDINARY: Final = frozenset(_ORDINARY.split())  # words of every other message

_WORDS: Final = {
    "0": "zero nought oh shunya shoonya sunya શૂન્ય शून्य",
    "1": "one ek एक એક",
    "2": "two do be दो બે",
    "3": "three teen tin tran तीन ત્રણ",
    "4": "four char chaar चार ચાર",
    "5": "five paanch panch पांच पाँच પાંચ",
    "6": "six chhe chhah cheh chha छह छः छे છ",
    "7": "seven saat sat सात સાત",
    "8": "eight aath ath आठ આઠ",
    "9": "nine nau nav नौ નવ",
}
_TIMES: Final = {"double": 2, "dabal": 2, "triple": 3, "डबल": 2, "ડબલ": 2}


def _plain(word: str) -> str:
    """The word without accents; vowel signs of Indic scripts stay, since they tell words apart."""
    split = unicodedata.normalize("NFKD", word)
    return unicodedata.normalize("NFC", "".join(c for c in split if not unicodedata.combining(c)))


_DIGIT_OF: Final = {_plain(word): digit for digit, words in _WORDS.items() for word in words.split()}
_TOKEN: Final = re.compile(r"\d|[^\W\d_]+(?:[\u0900-\u0d7f]*)|[\u0900-\u0d7f]+")
_DATE: Final = re.compile(
    r"(?<!\d)(?:20\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12]\d|0?[1-9])"
    r"|(?:3[01]|[12]\d|0?[1-9])[-/.](?:0?[1-9]|1[0-2])[-/.]20\d\d)(?!\d)"
)
_AT, _DOT = r"(?:@|\(at\)|\[at\]|\{at\}|\bat\b)", r"(?:\.|\(dot\)|\[dot\]|\{dot\}|\bdot\b)"
_ENDINGS: Final = (
    "com|in|org|net|co|io|biz|info|me|app|link|xyz|site|online|shop|store|trade|dev|gov|edu|us|uk|ai|page"
)
_MAIL: Final = re.compile(rf"[\w.+-]+\s*(?:@\s*\w|{_AT}\s*[\w-]+\s*{_DOT}\s*\w{{2,}})")
_LINK: Final = re.compile(
    rf"\w+:\s*//|\bwww\b|\w(?:\.|\s*(?:\(dot\)|\[dot\]|\{{dot\}}|\bdot\b)\s*)(?:{_ENDINGS})\b"
)
_GAP: Final = r"[\W_]*"
_PAN: Final = re.compile(  # with separators only what can be one: "price 5350 a candy" isn't
    rf"(?<![a-z])(?:[a-z]{{5}}\d{{4}}[a-z]|(?:[a-z]{_GAP}){{3}}[abfghjlpt]{_GAP}[a-z]{_GAP}(?:\d{_GAP}){{4}}[a-z])(?![a-z])"
)
_IFSC: Final = re.compile(rf"(?<![a-z])[a-z]{{4}}{_GAP}0{_GAP}[a-z0-9]{{6}}(?![a-z0-9])")
_LONG: Final = re.compile(r"\d{9,}")  # of an account: 9 to 18 digits; of a telephone 10 and more
_APART: Final = re.compile(r"\d(?:[\W_]*\d){9,}")  # the same with separators


def ascii_digits(text: str) -> str:
    """The text in NFKC and lower case, without accents and invisible characters, digits of every script in ASCII."""
    plain = INVISIBLE.sub("", _plain(unicodedata.normalize("NFKC", text))).casefold()
    return "".join(str(unicodedata.digit(c)) if unicodedata.category(c) == "Nd" else c for c in plain)


def with_number_words(text: str) -> str:
    """The text with its number words replaced by digits, and "double nine" by two of them."""
    times, replaced, end = 1, [], 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in _TIMES:
            replaced.append(text[end : token.start()])
            times, end = _TIMES[word], token.end()
            continue
        digit = _DIGIT_OF.get(word, word if word.isdigit() else "")
        replaced += [text[end : token.start()], digit * times if digit else word]
        times, end = 1, token.end()
    return "".join([*replaced, text[end:]])


def find_contact(text: str) -> str:
    """What contact data the text holds: ``email``, ``link``, ``tax_number``, ``account``, ``number``; else nothing."""
    plain = ascii_digits(text)
    if _MAIL.search(plain):
        return "email"  # or a UPI address
    if _LINK.search(plain):
        return "link"
    if _PAN.search(plain):
        return "tax_number"  # a GSTIN has a PAN in it
    if _IFSC.search(plain):
        return "account"
    numbers = with_number_words(_DATE.sub(" date ", plain))
    return "number" if _LONG.search(numbers) or _APART.search(numbers) else ""


def words_of(text: str) -> frozenset[str]:
    """The words of a text as names of firms are compared."""
    return frozenset(company_form(text).split())


def pairs_of(text: str, trade_words: frozenset[str]) -> list[tuple[str, str]]:
    """Neighbouring words of a text that may belong to a firm's name, the first ``MOST_PAIRS``."""
    forms = (word for token in text.split() for word in company_form(token).split())
    words = [word for word in forms if len(word) >= 3 and word not in ORDINARY]
    pairs = dict.fromkeys(pairwise(words))
    return [pair for pair in pairs if not trade_words.issuperset(pair)][:MOST_PAIRS]


def names_own(words: frozenset[str], names: Iterable[str], *, trade_words: frozenset[str]) -> bool:
    """Whether the words of a text name one's own firm: by a single word that few others share."""
    common = trade_words | ORDINARY
    for name in filter(None, names):
        if any(len(word) >= 5 and word in words for word in company_form(name, without=common).split()):
            return True
        if names_firm(words, name, trade_words=trade_words, is_declared=False):
            return True
    return False


def names_firm(words: frozenset[str], name: str, *, trade_words: frozenset[str], is_declared: bool) -> bool:
    """Whether the words of a text name a firm: by two words that tell it apart, or by the whole name.

    A name that a firm only declares, such as a trade name, must have two such words: nobody takes ordinary words away
    from all others by calling a firm so.
    """
    telling = set(company_form(name, without=trade_words | ORDINARY).split())
    if len(telling) >= 2:
        return telling <= words
    return bool(telling) and not is_declared and set(company_form(name).split()) <= words
