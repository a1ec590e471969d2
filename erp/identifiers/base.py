"""What all identifiers share: normalise, check, take apart, mask. Pure functions, no I/O."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import ClassVar, Literal

from stdnum import exceptions as stdnum

from erp import clock

Reason = Literal[
    "characters", "length", "format", "state", "retired", "holder_class", "checksum", "not_accepted"
]
# Longer input is refused unread.
MAX_INPUT = 400
_WORDS: dict[Reason, str] = {
    "characters": "Use plain letters, digits and signs only.",
    "length": "The number of characters is wrong.",
    "format": "The format is wrong.",
    "state": "Unknown state code.",
    "retired": "This state code is no longer in use.",
    "holder_class": "Unknown class of holder.",
    "checksum": "The check character does not match: one of the characters is wrong.",
    "not_accepted": "This type of number is not accepted here.",
}


class IdentifierInvalid(ValueError):
    """A number isn't well formed. Never carries the number itself: errors end up in logs."""

    def __init__(self, identifier: str, reason: Reason, example: str = "") -> None:
        super().__init__(f"{_WORDS[reason]} Example: {example}" if example else _WORDS[reason])
        self.identifier, self.reason = identifier, reason

    @property
    def code(self) -> str:
        """The stable code of a problem's item: ``gstin.checksum``."""
        return f"{self.identifier}.{self.reason}"


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a type as personal data: ``Annotated[str, Personal("pan")]``. No event may carry one."""

    kind: str


class Identifier:
    """One kind of number.

    ``name`` starts the codes of its problems. ``pattern`` is what the canonical form must match as a whole;
    its named groups are the parts. ``drop`` lists the characters taken out before the check, ``lengths``
    the allowed lengths after that.
    """

    case: ClassVar[Literal["upper", "lower", "keep"]] = "upper"
    example: ClassVar[str] = ""  # ends the message of a refusal

    def __init__(self, name: str, pattern: str, *, lengths: Collection[int], drop: str = "") -> None:
        self.name = name
        self.pattern = re.compile(pattern, re.ASCII)
        self._lengths = frozenset(lengths)
        self._drop = str.maketrans("", "", drop)

    def normalise(self, text: str) -> str:
        """The canonical form.

        Raises IdentifierInvalid; its ``code`` is ``<name>.<reason>``, of the first check that failed.
        """
        value = self._cleaned(text)
        if len(value) not in self._lengths:
            raise self._invalid("length")
        return self._checked(value)

    def is_valid(self, text: str) -> bool:
        """Whether ``normalise`` would take it."""
        try:
            self.normalise(text)
        except IdentifierInvalid:
            return False
        return True

    def parts(self, text: str) -> dict[str, str]:
        """Return the parts encoded in the number. Raises IdentifierInvalid."""
        return self._parts(self.normalise(text))

    def mask(self, text: str) -> str:
        """The form for readers without the right to the whole. What isn't valid is hidden entirely."""
        try:
            return self._mask(self.normalise(text))
        except IdentifierInvalid:
            return "X" * min(len(text), MAX_INPUT)

    # What a kind may refine.

    def _checked(self, value: str) -> str:
        """Check the cleaned value and return the canonical form."""
        if not self.pattern.fullmatch(value):
            raise self._invalid("format")
        return value

    def _parts(self, value: str) -> dict[str, str]:
        match = self.pattern.fullmatch(value)
        return {key: part for key, part in match.groupdict().items() if part} if match else {}

    def _mask(self, value: str) -> str:
        return "X" * (len(value) - 4) + value[-4:]

    def _invalid(self, reason: Reason) -> IdentifierInvalid:
        return IdentifierInvalid(self.name, reason, self.example)

    def _cleaned(self, text: str) -> str:
        if len(text) > MAX_INPUT:
            raise self._invalid("length")
        text = text.strip(" \t\r\n")
        # Nothing is guessed: full-width digits, look-alike letters and control characters are errors.
        if not all(" " <= character <= "~" for character in text):
            raise self._invalid("characters")
        text = text.translate(self._drop)
        if self.case == "keep":
            return text
        return text.upper() if self.case == "upper" else text.lower()


class Wrapped(Identifier):
    """A kind whose check is python-stdnum's, after our own check of characters and form."""

    def __init__(
        self, name: str, pattern: str, check: Callable[[str], str], *, lengths: Collection[int], drop: str
    ) -> None:
        super().__init__(name, pattern, lengths=lengths, drop=drop)
        self._check = check

    def _checked(self, value: str) -> str:
        super()._checked(value)
        try:
            return self._check(value)
        except stdnum.InvalidChecksum:
            raise self._invalid("checksum") from None
        except stdnum.ValidationError:
            raise self._invalid("format") from None


def this_year() -> int:
    """The current year in India."""
    return clock.today().year
