"""Numbers of tax, company and goods registers: GSTIN, PAN, TAN, CIN, LLPIN, IEC, DIN, FSSAI, Udyam, HSN, SAC,
GST documents, e-way bills, e-invoices."""

import re
from datetime import date
from typing import ClassVar, Literal

from stdnum import luhn

from erp.identifiers.base import Identifier, this_year
from erp.identifiers.states import LETTERS, RETIRED, STATES

#: A PAN's fourth letter → the legal forms it denotes.
HOLDER_CLASSES: dict[str, frozenset[str]] = {
    "A": frozenset({"association", "society", "cooperative_society"}),
    "B": frozenset({"body_of_individuals"}),
    "C": frozenset({"company", "private_limited", "public_limited", "one_person_company", "foreign_entity"}),
    "F": frozenset({"partnership", "llp", "foreign_entity"}),
    "G": frozenset({"government"}),
    "H": frozenset({"huf"}),
    "J": frozenset({"artificial_juridical_person", "society"}),
    "L": frozenset({"local_authority", "market_committee"}),
    "P": frozenset({"individual", "proprietorship"}),
    "T": frozenset({"trust", "foreign_entity"}),
}
#: A CIN's class of company → the legal forms it denotes.
COMPANY_CLASSES: dict[str, frozenset[str]] = {
    "PTC": frozenset({"company", "private_limited"}),
    "PLC": frozenset({"company", "public_limited"}),
    "OPC": frozenset({"company", "one_person_company"}),
    **dict.fromkeys(
        ("NPL", "GOI", "SGC", "GAP", "GAT", "ULL", "ULT"),
        frozenset({"company", "private_limited", "public_limited"}),
    ),
    **dict.fromkeys(
        ("FTC", "FLC"), frozenset({"company", "private_limited", "public_limited", "foreign_entity"})
    ),
}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: A PAN without its named parts, for constraints of columns.
PAN_SHAPE = "[A-Z]{5}[0-9]{4}[A-Z]"


def holder_fits(pan: str, legal_form: str) -> bool:
    """Whether a canonical PAN's fourth letter denotes this legal form."""
    return legal_form in HOLDER_CLASSES[pan[3]]


def company_fits(cin: str, legal_form: str) -> bool:
    """Whether a canonical CIN's class of company denotes this legal form."""
    return legal_form in COMPANY_CLASSES[cin[12:15]]


class Pan(Identifier):
    """The income-tax number of a person or firm."""

    def _checked(self, value: str) -> str:
        if not self.pattern.fullmatch(value) or value[5:9] == "0000":
            raise self._invalid("format")
        if value[3] not in HOLDER_CLASSES:
            raise self._invalid("holder_class")
        return value


class Iec(Identifier):
    """An importer–exporter code: ten digits of the older sort, or the holder's PAN."""

    def _checked(self, value: str) -> str:
        super()._checked(value)
        if not value.isdigit():
            if value[5:9] == "0000":
                raise self._invalid("format")
            if value[3] not in HOLDER_CLASSES:
                raise self._invalid("holder_class")
        return value


Form = Literal["TCS", "TDS", "OIDAR", "NRTP", "UIN", "GOVT", "REGULAR"]
_STATE, _ENTITY, _CHECK = "(?P<state>[0-9]{2})", "(?P<entity>[1-9A-Z])", "(?P<check>[0-9A-Z])"
_FOREIGN = r"(?P<year>[0-9]{2})(?P<country>[A-Z]{3})(?P<serial>[0-9]{5})"
# Tried in this order; patterns of the GST developer portal.
_FORMS: dict[Form, re.Pattern[str]] = {
    "TCS": re.compile(rf"{_STATE}(?P<pan>{PAN_SHAPE}){_ENTITY}C{_CHECK}"),
    "TDS": re.compile(rf"{_STATE}(?P<holder>[A-Z]{{4}}[A-Z0-9][0-9]{{4}}[A-Z]){_ENTITY}D{_CHECK}"),
    "OIDAR": re.compile(rf"(?P<state>99){_FOREIGN}OS{_CHECK}"),
    "NRTP": re.compile(rf"{_STATE}{_FOREIGN}NR{_CHECK}"),
    "UIN": re.compile(rf"{_STATE}{_FOREIGN}[UO]N{_CHECK}"),
    "GOVT": re.compile(rf"{_STATE}(?P<tan>[A-Z]{{4}}[0-9]{{5}}[A-Z])(?P<entity>[0-9])Z(?P<check>[0-9])"),
    "REGULAR": re.compile(rf"{_STATE}(?P<pan>{PAN_SHAPE}){_ENTITY}[Z1-9ABD-J]{_CHECK}"),
}
#: Any form of GSTIN, to find one in a longer text.
GSTIN_SHAPE = (
    r"[0-9]{2}(?:[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z][Z1-9A-J]|[A-Z]{4}[A-Z0-9][0-9]{4}[A-Z][1-9A-Z]D"
    r"|[0-9]{2}[A-Z]{3}[0-9]{5}(?:OS|NR|UN|ON)|[A-Z]{4}[0-9]{5}[A-Z][0-9]Z)[0-9A-Z]"
)
# GSTINs of Daman and Diu moved to 26 by this day (Notifications 10/2020 and 45/2020-Central Tax).
_LAST_DAY_OF_25 = date(2020, 7, 31)


class Gstin(Identifier):
    """A GST registration. Position 1–2 state, 3–12 PAN (in most forms), 15 check character (Luhn mod 36)."""

    _takes_oidar: ClassVar[bool] = False

    def on_document(self, text: str, dated: date) -> str:
        """The canonical form of a GSTIN printed on a document of that date, for imports of history.

        Takes the code of Daman and Diu until its last day, and that of undivided Andhra Pradesh.
        """
        value = self._shaped(text)
        retired_then = value[:2] in RETIRED and not (value[:2] == "28" or dated <= _LAST_DAY_OF_25)
        return self._accepted(value, retired=retired_then)

    def normalise(self, text: str) -> str:
        value = self._shaped(text)
        return self._accepted(value, retired=value[:2] in RETIRED)

    def _shaped(self, text: str) -> str:
        value = self._cleaned(text)
        if len(value) not in self._lengths:
            raise self._invalid("length")
        if not self._form(value):
            raise self._invalid("format")
        return value

    def _accepted(self, value: str, *, retired: bool) -> str:
        form, parts = self._split(value)
        if "pan" in parts and parts["pan"][5:9] == "0000":
            raise self._invalid("format")
        if value[:2] not in RETIRED and (value[:2] not in STATES or value[:2] == "96"):
            raise self._invalid("state")
        if retired:
            raise self._invalid("retired")
        if "pan" in parts and parts["pan"][3] not in HOLDER_CLASSES:
            raise self._invalid("holder_class")
        if not self._check_fits(value):
            raise self._invalid("checksum")
        if form == "OIDAR" and not self._takes_oidar:
            raise self._invalid("not_accepted")
        return value

    def _check_fits(self, value: str) -> bool:
        return luhn.checksum(value, _ALPHABET) == 0

    def _form(self, value: str) -> Form | None:
        return next((form for form, pattern in _FORMS.items() if pattern.fullmatch(value)), None)

    def _split(self, value: str) -> tuple[Form | None, dict[str, str]]:
        form = self._form(value)
        match = _FORMS[form].fullmatch(value) if form else None
        parts = match.groupdict() if match else {"state": value[:2]}
        if holder := parts.pop("holder", None):  # tax deducted at source: by a PAN's or a TAN's holder
            parts["pan" if holder[4].isalpha() else "tan"] = holder
        return form, parts

    def _parts(self, value: str) -> dict[str, str]:
        form, parts = self._split(value)
        return {"form": form or "TRANSPORTER", **parts}

    def _mask(self, value: str) -> str:
        return value[:2] + "X" * 10 + value[-3:]


class TransporterId(Gstin):
    """A transporter's number on an e-way bill: any form of GSTIN, or 88 and thirteen letters or digits.

    The portal issues some whose check character is wrong, so it isn't checked.
    """

    _takes_oidar = True

    def normalise(self, text: str) -> str:
        value = self._cleaned(text)
        return value if self.pattern.fullmatch(value) else super().normalise(text)

    def _check_fits(self, value: str) -> bool:
        return True


class Cin(Identifier):
    """A company's number: listing, industry, state, year, class, registration."""

    def _checked(self, value: str) -> str:
        super()._checked(value)
        if not 1850 <= int(value[8:12]) <= this_year() or value[12:15] not in COMPANY_CLASSES:
            raise self._invalid("format")
        return value


class Llpin(Identifier):
    """A limited liability partnership's number; always stored with its hyphen."""

    def _cleaned(self, text: str) -> str:
        value = super()._cleaned(text)
        return f"{value[:3]}-{value[3:]}" if len(value) == 7 and "-" not in value else value


class Udyam(Identifier):
    """A small enterprise's registration."""

    def _checked(self, value: str) -> str:
        super()._checked(value)
        if value[6:8] not in LETTERS:
            raise self._invalid("state")
        return value


class Hsn(Identifier):
    """A code of the Harmonised System: chapters 01 to 97, of which 77 is reserved."""

    def _checked(self, value: str) -> str:
        super()._checked(value)
        if not 1 <= int(value[:2]) <= 97 or value[:2] == "77":
            raise self._invalid("format")
        return value


class GstDocument(Identifier):
    """The number of an invoice, note or challan (CGST Rules, rule 46). Compare ``parts()["key"]``."""

    case: ClassVar[Literal["keep"]] = "keep"

    def _parts(self, value: str) -> dict[str, str]:
        return {"key": value.upper()}


class Irn(Identifier):
    """The hash that registers an e-invoice."""

    case: ClassVar[Literal["lower"]] = "lower"


GSTIN = Gstin("gstin", GSTIN_SHAPE, lengths={15}, drop=" -")
TRANSPORTER_ID = TransporterId("transporter_id", r"88[A-Z0-9]{13}", lengths={15}, drop=" -")
PAN = Pan(
    "pan",
    r"(?P<series>[A-Z]{3})(?P<holder_class>[A-Z])(?P<initial>[A-Z])(?P<serial>[0-9]{4})(?P<check>[A-Z])",
    lengths={10},
    drop=" -",
)
TAN = Identifier("tan", r"[A-Z]{4}[0-9]{5}[A-Z]", lengths={10}, drop=" -")
CIN = Cin(
    "cin",
    r"(?P<listing>[LU])(?P<industry>[0-9]{5})(?P<state>[A-Z]{2})(?P<year>[0-9]{4})(?P<company_class>[A-Z]{3})"
    r"(?P<registration>[0-9]{6})",
    lengths={21},
    drop=" ",
)
LLPIN = Llpin("llpin", r"[A-Z]{3}-[0-9]{4}", lengths={8}, drop=" ")
IEC = Iec("iec", rf"[0-9]{{10}}|(?P<pan>{PAN_SHAPE})", lengths={10}, drop=" -")
DIN = Identifier("din", r"[0-9]{8}", lengths={8}, drop=" ")
FSSAI = Identifier("fssai", r"[0-9]{14}", lengths={14}, drop=" ")
UDYAM = Udyam(
    "udyam",
    r"UDYAM-(?P<state>[A-Z]{2})-(?P<district>[0-9]{2})-(?P<serial>[0-9]{7})",
    lengths={19},
    drop=" ",
)
HSN = Hsn("hsn", r"(?P<chapter>[0-9]{2})[0-9]{2}(?:[0-9]{2}){0,2}", lengths={4, 6, 8}, drop=" .")
SAC = Identifier("sac", r"99[0-9]{4}", lengths={6}, drop=" .")
GST_DOCUMENT = GstDocument("gst_document", r"[A-Za-z1-9][A-Za-z0-9/-]{0,15}", lengths=range(1, 17))
EWAY_BILL = Identifier("eway_bill", r"[0-9]{12}", lengths={12}, drop=" ")
IRN = Irn("irn", r"[0-9a-f]{64}", lengths={64}, drop=" ")
