"""Patterns of personal data and secrets in running text.

Each rule takes text and returns it with what it found replaced by a mark such as ``[pan hidden]``. Every
expression has bounded repeats or a fixed place to start from, so that a hostile line costs time in proportion
to its length.
"""

import platform
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable

from stdnum import iban, luhn

from erp.identifiers import AADHAAR
from erp.identifiers.tax import GSTIN_SHAPE, HOLDER_CLASSES

Found = Callable[[str], str]
# Neither letter nor digit before and after; no digits across a decimal point: 2479684.66 is an amount.
_L, _R = r"(?<![A-Za-z0-9])(?<!\d\.)", r"(?![A-Za-z0-9])(?!\.\d)"
# What takes the place of something found; its words never give a neighbour away.
_MARK = r"\[(?:[a-z]{2,12} )?hidden\]"


def fold(text: str) -> str:
    """Digits of any script, full-width signs, odd dashes and spaces as plain ones; invisible ones out."""
    if text.isascii():
        return text
    return text.translate({ord(c): _plain(c) for c in set(text) if c > "\x7f"})


def _plain(character: str) -> str | None:
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    match unicodedata.category(character):
        case "Nd":
            return str(unicodedata.decimal(character))
        case "Pd":
            return "-"
        case "Zs":
            return " "
        case "Cf" | "Co":  # format characters; the private ones stand for kept tokens below
            return None
    return character


_TRAILER = re.compile(r"(?:^|\n|\\n)[ \t|]*(?:DETAIL|HINT|CONTEXT|QUERY|STATEMENT|LINE [0-9]{1,6}):")
_RESUME = re.compile(
    r"\n(?=[ \t|+-]*(?:Traceback \(most recent call last\)|The above exception|During handling of the above))"
)
_VALUE = re.compile(
    r"((?:invalid input (?:syntax|value) for [^:\n]{1,80}|field value out of range"
    r"|malformed [a-z ]{1,30}literal): )"
    r'"[^\n]*|(value )"[^"\n]*"(?= is out of range)'
)


def database(text: str) -> str:
    """Drop PostgreSQL's DETAIL, HINT, CONTEXT, QUERY and LINE parts and quoted values: rows' data."""
    if "value" in text or "literal: " in text or "syntax" in text:
        text = _VALUE.sub(lambda m: f'{m[1] or m[2]}"[hidden]"', text)
    pieces, position = [], 0
    while match := _TRAILER.search(text, position):
        pieces.append(text[position : match.start()])
        if match[0].startswith("\\n"):  # inside a repr: up to the end of that line
            end = text.find("\n", match.end())
        else:
            resume = _RESUME.search(text, match.end())
            end = resume.start() if resume else -1
        position = len(text) if end < 0 else end
    return "".join(pieces) + text[position:] if pieces else text


_SQL = re.compile(
    r"--[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/|\Z)"
    r"|\"[^\"]*(?:\"|\Z)"
    r"|\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)"
    r"|'(?:[^']|'')*(?:'|\Z)"
    r"|\$([A-Za-z_]{0,20})\$.*?(?:\$\1\$|\Z)"
    r"|(?<![A-Za-z0-9_$\"])[0-9][0-9.eE+-]*",
    re.DOTALL,
)


def statement(sql: str) -> str:
    """A SQL statement without its literals and comments: Django writes parameters into the text."""
    return _SQL.sub(lambda m: m[0] if m[0].startswith('"') else "?", sql)


_SECRETS = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"  # JWT
    r"|(?:erp_(?:live|test)_|whsec_)[A-Za-z0-9+/=_-]{6,}"
    r"|(?<![A-Za-z0-9])(?:AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|ya29\.[A-Za-z0-9_-]+"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,})"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}-----)?"
    r"|(?:argon2[a-z]{0,2}|pbkdf2_[a-z0-9]{3,10}|scrypt|bcrypt(?:_sha256)?)\$[^\s\"',]+"
)
_SCHEME = re.compile(
    r"(?<![A-Za-z])((?:[Bb]earer|BEARER|Basic|Token|ApiKey)\s{1,3})"
    r"(?=[^\s\"']{0,400}[0-9=])[A-Za-z0-9._~+/=-]{8,}"
)
_USERINFO = re.compile(r"(://)[^\s/@\"']+(?=@)")


def secrets(text: str, found: Found) -> str:
    """JWTs, keys, password hashes, bearer and basic credentials, passwords inside URLs."""
    text = _SECRETS.sub(lambda _: found("hidden"), text)
    text = _SCHEME.sub(lambda m: m[1] + found("hidden"), text)
    return _USERINFO.sub(lambda m: m[1] + found("hidden"), text) if "://" in text else text


# A sign of assignment and opening brackets, taken whole (possessive), and not a mark of ours after them. The
# backslashes are of JSON inside JSON.
_NAMED_VALUE = (
    rf"""(?:\\{{0,8}}["'])?+\s{{0,3}}+(?::|=>?)\s{{0,3}}+(?:(?!{_MARK})[\[({{ ]){{0,3}}+(?!{_MARK})"""
    r"""(?=[^\s,;&)\]}])"""
)
_QUOTED = r"""\\{1,8}"[^"\n]*"|[bru]?"(?:[^"\\\n]|\\.)*"|[bru]?'(?:[^'\\\n]|\\.)*'"""
_NAMED = re.compile(
    r"((?:(?:passw(?:or)?d|passphrase|secret|token|credential|api[_-]?key|private[_-]?key"
    r"|session[_-]?(?:id|key)|signing[_-]?key|csrf|idempotency[_-]key)[A-Za-z0-9_-]{0,24}"
    r"|(?<![A-Za-z0-9])(?:pwd|otp|mpin|cvv|cvc|pan|tan|gstin|aadhaa?r|e-?mail|mobile|phone|telephone|whatsapp"
    r"|ifsc|iban|upi|vpa|card|ip|dob|date[_ ]of[_ ]birth|passport|full[_ ]?name|first[_ ]?name|last[_ ]?name"
    r"|contact[_ ]?name|user[_-]agent|remote[_-]addr|x[_-]forwarded[_-]for|account[_ -]?holder)"
    r"(?:[_ -]?(?:no|num|number|id|address|code))?\.?"
    rf"""){_NAMED_VALUE})(?:{_QUOTED}|["']?[^\s,;&)\]}}"']+)""",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    rf"""(?<![A-Za-z0-9])((?:proxy-|http_)?authorization{_NAMED_VALUE})"""
    rf"""(?:{_QUOTED}|digest\s[^\n]+|(?:[a-z]{{2,20}}\s{{1,3}})?[^\s,;"']+)""",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    rf"(?<![A-Za-z0-9])((?:set-|http_)?cookie{_NAMED_VALUE})(?:{_QUOTED}|[^\n]+)", re.IGNORECASE
)
# In a sentence a value must hold a digit or a sign: "password is too short" says nothing.
_SECRET_PHRASE = re.compile(
    r"(?<![A-Za-z0-9])((?:password|passcode|passphrase|secret|token)\s{1,3}(?:is|was|to)\s{1,3})"
    r"(?=[^\s]{0,100}[0-9!@#$%^&*])[^\s,;]{4,}",
    re.IGNORECASE,
)


def named(text: str, found: Found) -> str:
    """Values that stand behind a name which says that they are personal or secret."""
    if ":" in text or "=" in text:
        for pattern in (_AUTHORIZATION, _COOKIE, _NAMED):
            text = pattern.sub(lambda m: m[1] + found("hidden"), text)
    return _SECRET_PHRASE.sub(lambda m: m[1] + found("hidden"), text)


# The names of our own Celery workers look like addresses.
_WORKER = re.compile(r"(?:celery|worker|default|relay|bulk|webhooks)[A-Za-z0-9.-]{0,20}\Z")
_ADDRESS = re.compile(
    r"(?:\"[^\"\s@]{1,64}\"|(?<![\w.+%-])[\w.+%-]+)(?:@|%40)"
    r"(\[[0-9A-Fa-f.:]{2,45}\]|[\w-]+(?:\.[\w-]+)*)"
)
_HOST = platform.node()


def addresses(text: str, found: Found) -> str:
    """E-mail and UPI addresses."""

    def replace(match: re.Match[str]) -> str:
        local, host = match[0].rpartition("@")[0], match[1]
        if host == _HOST and _WORKER.match(local):
            return match[0]
        return found("email" if "." in host or host.startswith("[") else "upi")

    return _ADDRESS.sub(replace, text) if "@" in text or "%40" in text else text


_CLASS = "[" + "".join(sorted(HOLDER_CLASSES)) + "]"
_GSTIN = re.compile(
    rf"{_L}(?:{GSTIN_SHAPE}|88[A-Z0-9]{{13}}"
    rf"|[0-9]{{2}}[ -]?[A-Z]{{5}}[ -]?[0-9]{{4}}[ -]?[A-Z][ -]?[1-9A-Z][ -]?[A-Z0-9][ -]?[0-9A-Z]){_R}",
    re.IGNORECASE,
)
_PAN_PLAIN = re.compile(rf"{_L}[A-Z]{{3}}{_CLASS}[A-Z][0-9]{{4}}[A-Z]{_R}", re.IGNORECASE)
_PAN_SPACED = re.compile(rf"{_L}[A-Z]{{3}}{_CLASS}[A-Z](?:[ -][0-9]{{4}}[ -]?|[0-9]{{4}}[ -])[A-Z]{_R}")
_PAN_NAMED = re.compile(r"(?<![a-z])pan(?![a-z]| hidden\])", re.IGNORECASE)
_PAN_TYPED = re.compile(
    rf"{_L}[A-Z]{{5}}[ -]?[0-9]{{4}}[ -]?[A-Z]{_R}", re.IGNORECASE
)  # as the normaliser takes it; too wide without the word nearby
_TAN = re.compile(rf"{_L}[A-Z]{{4}}[0-9]{{5}}[A-Z]{_R}")


def tax(text: str, found: Found) -> str:
    """GSTIN, PAN, TAN."""
    text = _GSTIN.sub(lambda _: found("gstin"), text)
    text = _PAN_PLAIN.sub(lambda _: found("pan"), text)
    text = _PAN_SPACED.sub(lambda _: found("pan"), text)
    text = _near(text, _PAN_NAMED, _PAN_TYPED, lambda _: found("pan"))
    return _TAN.sub(lambda _: found("tan"), text)


_RESERVED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![A-Za-z0-9])"  # UUID
    r"|(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:[0-2]\d|3[01])"
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![A-Za-z0-9])"
    r"|[A-Z]{2,5}-[1-3]\d\d\d-\d{4,8}(?![A-Za-z0-9])"  # our own documents: TRD-2526-000123
    r"|(?:order|invoice|inv|utr|rrn|ref|reference|trade|contract|lot|bale|e-?way(?: ?bill)?|irn|challan|txn"
    r"|transaction|settlement|batch|neft|rtgs|imps|message[_ ]id)s?"
    r"(?:[ _-]?(?:no|num|number|id|ref|reference))?\.?(?:[\"']?\s{0,3}[:=#/-]{1,2}\s{0,3}[\"']?|\s{1,3}#?)"
    r"(?=[A-Za-z/_-]{0,40}[0-9])[A-Za-z0-9][A-Za-z0-9/_-]{3,40}(?![A-Za-z0-9])"
    r")",
    re.IGNORECASE,
)
_FIRST_RESERVED = 0xF0000  # a private plane: fold() leaves none of its characters in the text


class ReservedTokens:
    """Replaces order, invoice, payment and trade numbers, ids and times by placeholders, and restores them."""

    def __init__(self) -> None:
        self._tokens: list[str] = []

    def take(self, text: str) -> str:
        """Return the text with a placeholder for each reserved token."""
        return _RESERVED.sub(self._stand_in, text)

    def give_back(self, text: str) -> str:
        """Return the text with the tokens restored."""
        if not self._tokens:
            return text
        return text.translate({_FIRST_RESERVED + n: token for n, token in enumerate(self._tokens)})

    def _stand_in(self, match: re.Match[str]) -> str:
        if len(self._tokens) > 0xFFFD:  # the plane is full
            return match[0]
        self._tokens.append(match[0])
        return chr(_FIRST_RESERVED + len(self._tokens) - 1)


# Where this isn't found, none of the rules for numbers finds anything.
NUMERIC = re.compile(r"[0-9](?:[ .()-]{0,2}[0-9]){3}|[A-Za-z]{4}0")

_CARD = re.compile(
    rf"{_L}(?:[2-68]\d{{12,18}}|[2-68]\d{{3}}(?:[ -]\d{{4}}){{3}}(?:[ -]?\d{{1,3}})?"
    rf"|3\d{{3}}[ -]\d{{6}}[ -]\d{{4,5}}){_R}"
)
_CARD_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5\d{15}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}"
    r"|6\d{15,18}|8[12]\d{14}"
)
_AADHAAR = re.compile(rf"{_L}[2-9]\d{{3}}[ -]?\d{{4}}[ -]?\d{{4}}{_R}")
_ABROAD = re.compile(r"(?<![A-Za-z0-9+])\+[1-9](?:[ .()-]{0,2}\d){7,14}(?![A-Za-z0-9])")
_MOBILE = re.compile(rf"{_L}(?:(?:\+|00)?91[ .()-]{{0,2}}|0[ -]?)?\(?[6-9](?:[ .()-]{{0,2}}\d){{9}}{_R}")
_LANDLINE = re.compile(rf"{_L}(?:\(?0|\(?91\)?[ -])\d{{2,4}}\)?[ -]{{1,2}}\d{{3,4}}[ -]?\d{{3,4}}{_R}")
_IFSC = re.compile(rf"{_L}(?:[A-Z]{{4}}0[A-Z0-9]{{6}}|[a-z]{{4}}0[0-9]{{6}}){_R}")
_IBAN = re.compile(rf"{_L}[A-Z]{{2}}[0-9]{{2}}(?: ?[A-Z0-9]{{4}}){{2,7}}(?: ?[A-Z0-9]{{1,3}})?{_R}")
_ACCOUNT_WORD = re.compile(
    r"(?<![a-z])(?:accounts?|accts?|acc|a/cs?|a\.c\.|khaa?ta)(?![a-z]| hidden\])|खाता|ખાતા",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(rf"{_L}\d(?:[ -]?\d){{8,17}}{_R}")
_PHONE_WORD = re.compile(
    r"(?<![a-z])(?:tel(?:ephone)?|phone|ph|mob(?:ile)?|cell|whats ?app|landline"
    r"|contact (?:no|number))(?![a-z]| hidden\])|फोन|मोबाइल",
    re.IGNORECASE,
)
_PHONE = re.compile(rf"{_L}\+?\d(?:[ .()-]{{0,2}}\d){{7,14}}{_R}")
_AADHAAR_WORD = re.compile(r"aadh?aa?r(?! hidden\])|uidai|आधार", re.IGNORECASE)
_TWELVE = re.compile(rf"{_L}\d(?:[ -]?\d){{11}}{_R}")
_OTP_WORD = re.compile(
    r"(?<![a-z0-9])(?:otp|one[ -]time (?:password|pass ?code|code|pin)|verification (?:code|pin)|pass ?code"
    r"|login code|security code|m-?pin|upi pin)s?(?![a-z]| hidden\])",
    re.IGNORECASE,
)
_OTP = re.compile(rf"{_L}(?<!\d[ -])\d{{3,4}}[ -]?\d{{1,4}}{_R}(?![ -]\d)")


def numbers(text: str, found: Found) -> str:
    """Cards, Aadhaar, telephone numbers, IFSC, IBAN, accounts and codes that a word nearby gives away.

    Longer numbers go first, so that no rule takes a piece of one and leaves the rest.
    """
    text = _IBAN.sub(lambda m: found("account") if iban.is_valid(m[0]) else m[0], text)
    text = _IFSC.sub(lambda _: found("ifsc"), text)
    text = _near(text, _AADHAAR_WORD, _TWELVE, lambda _: found("aadhaar"))
    text = _near(text, _ACCOUNT_WORD, _ACCOUNT, lambda _: found("account"))
    text = _CARD.sub(lambda m: found("card") if _is_card(_digits(m[0])) else m[0], text)
    text = _AADHAAR.sub(lambda m: found("aadhaar") if AADHAAR.is_valid(m[0]) else m[0], text)
    text = _ABROAD.sub(lambda _: found("phone"), text)
    text = _MOBILE.sub(lambda m: found("phone") if _is_grouped(m[0]) else m[0], text)
    text = _LANDLINE.sub(lambda m: found("phone") if len(_digits(m[0])) in (11, 12) else m[0], text)
    text = _near(
        text,
        _PHONE_WORD,
        _PHONE,
        lambda m: found("phone") if _is_grouped(m[0]) else m[0],
        before=0,
        after=25,
    )
    return _near(text, _OTP_WORD, _OTP, lambda _: found("otp"))


def accounts(text: str, found: Found) -> str:
    """Every account-like number of a text that is known to speak of an account."""
    return _ACCOUNT.sub(lambda _: found("account"), text)


def _near(
    text: str,
    word: re.Pattern[str],
    number: re.Pattern[str],
    replace: Callable[[re.Match[str]], str],
    before: int = 40,
    after: int = 40,
) -> str:
    """Replace the numbers that stand within so many characters of a word, on either side."""
    words = [match.span() for match in word.finditer(text)]
    if not words:
        return text
    starts = [start for start, _ in words]

    def judge(match: re.Match[str]) -> str:
        place = bisect_left(starts, match.start())
        follows = place > 0 and match.start() - words[place - 1][1] <= after
        precedes = before > 0 and place < len(words) and words[place][0] - match.end() <= before
        return replace(match) if follows or precedes else match[0]

    return number.sub(judge, text)


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def _is_card(digits: str) -> bool:
    return _CARD_ISSUERS.fullmatch(digits) is not None and luhn.is_valid(digits)


def _is_grouped(text: str) -> bool:
    """Whether ten digits are written as people write a telephone number, not as amounts or a list."""
    groups = re.findall(r"\d+", text)
    return (
        len(groups) <= 6
        and all(len(group) >= 2 for group in groups[1:])
        and ("." not in text or len(groups) >= 3 or len(groups[-1]) == 5)
    )
