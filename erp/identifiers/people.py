"""Numbers and addresses of people: mobile, telephone, e-mail, Aadhaar."""

import re
from typing import ClassVar, Literal

import idna
from stdnum.in_ import aadhaar

from erp.identifiers.base import MAX_INPUT, Identifier, IdentifierInvalid


class Mobile(Identifier):
    """A telephone number in E.164: an Indian mobile in any usual spelling, others with + and country code."""

    example: ClassVar[str] = "+919876543210"
    _abroad = re.compile(r"\+(?!91)[1-9][0-9]{7,14}", re.ASCII)
    _national = re.compile(r"(?:\+91|0091|91(?=[0-9]{10}\Z)|0(?!0))?([0-9]*)", re.ASCII)

    def normalise(self, text: str) -> str:
        value = self._cleaned(text)
        if value.startswith("+") and not value.startswith("+91"):
            if not 9 <= len(value) <= 16:
                raise self._invalid("length")
            if not self._abroad.fullmatch(value):
                raise self._invalid("format")
            return value
        match = self._national.fullmatch(value)
        if match is None:
            raise self._invalid("format")
        if len(match[1]) != 10:
            raise self._invalid("length")
        return "+91" + self._checked(match[1])

    def _parts(self, value: str) -> dict[str, str]:
        if value.startswith("+91"):
            return {"country": "91", "national": value[3:]}
        return {"international": value}


class Phone(Identifier):
    """A telephone number of any line and country, in E.164."""

    example: ClassVar[str] = "+912227654321"


class Email(Identifier):
    """An e-mail address. One mailbox has one form: lower case, and the domain in ASCII (IDNA 2008, UTS 46).

    A local part beyond ASCII is refused: few servers deliver to one, and nobody can type it for somebody else.
    """

    case: ClassVar[Literal["lower"]] = "lower"
    example: ClassVar[str] = "name@example.com"

    def normalise(self, text: str) -> str:
        if len(text) > MAX_INPUT:
            raise self._invalid("length")
        local, _, domain = text.strip(" \t\r\n").rpartition("@")
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except UnicodeError:
            raise self._invalid("format") from None
        return super().normalise(f"{local}@{domain}")

    def _mask(self, value: str) -> str:
        local, _, domain = value.partition("@")
        return f"{'X' * len(local)}@{domain}"


class Aadhaar(Identifier):
    """The number that is never stored: ``normalise`` refuses every one, the others serve to recognise it."""

    def normalise(self, text: str) -> str:
        """Refuse. Raises IdentifierInvalid with ``aadhaar.not_accepted`` for one that is well formed."""
        self._recognised(text)
        raise self._invalid("not_accepted")

    def is_valid(self, text: str) -> bool:
        """Whether the whole text is a well-formed Aadhaar number."""
        try:
            self._recognised(text)
        except IdentifierInvalid:
            return False
        return True

    def refuse(self, text: str) -> None:
        """For free fields: raises ``aadhaar.not_accepted`` when the whole text is an Aadhaar number."""
        if self.is_valid(text):
            raise self._invalid("not_accepted")

    def parts(self, text: str) -> dict[str, str]:
        """The last four digits: all of it that a record may keep. Raises IdentifierInvalid."""
        return {"last_four": self._recognised(text)[-4:]}

    def mask(self, text: str) -> str:
        try:
            return self._mask(self._recognised(text))
        except IdentifierInvalid:
            return "X" * len(text)

    def _recognised(self, text: str) -> str:
        return super().normalise(text)

    def _checked(self, value: str) -> str:
        super()._checked(value)
        if value == value[::-1]:
            raise self._invalid("format")
        if not aadhaar.is_valid(value):
            raise self._invalid("checksum")
        return value


MOBILE = Mobile("mobile", r"[6-9][0-9]{9}", lengths={10}, drop=" -()")
PHONE = Phone("phone", r"\+[1-9][0-9]{7,14}", lengths=range(9, 17), drop=" -()")
EMAIL = Email(
    "email",
    r"(?P<local>(?=.{1,64}@)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9])",
    lengths=range(6, 255),
)
AADHAAR = Aadhaar("aadhaar", r"[2-9][0-9]{11}", lengths={12}, drop=" -")
