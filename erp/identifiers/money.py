"""Numbers of banks and payments: IFSC, account, UPI address, payment reference, BIC, IBAN, LEI."""

from typing import ClassVar, Literal

from stdnum import bic, iban, lei

from erp.identifiers.base import Identifier, Wrapped


class Upi(Identifier):
    """A UPI address; stored in lower case. A dot after the @ makes it an e-mail address instead."""

    case: ClassVar[Literal["lower"]] = "lower"

    def _mask(self, value: str) -> str:
        local, _, handle = value.partition("@")
        return f"{local[:2]}{'X' * (len(local) - 2)}@{handle}"


class BankReference(Identifier):
    """What a bank calls a payment (UTR, RRN); the length tells the channel."""

    _channels: ClassVar[dict[int, str]] = {12: "IMPS", 16: "NEFT", 22: "RTGS"}

    def _parts(self, value: str) -> dict[str, str]:
        return {"channel": self._channels[len(value)]}


IFSC = Identifier("ifsc", r"(?P<bank>[A-Z]{4})0(?P<branch>[A-Z0-9]{6})", lengths={11}, drop=" ")
BANK_ACCOUNT = Identifier("bank_account", r"[0-9]{9,18}", lengths=range(9, 19), drop=" -")
UPI = Upi("upi", r"(?P<local>[a-z0-9._-]{2,256})@(?P<handle>[a-z][a-z0-9]{2,63})", lengths=range(5, 322))
BANK_REFERENCE = BankReference(
    "bank_reference", r"[0-9]{12}|[A-Z0-9]{16}|[A-Z0-9]{22}", lengths={12, 16, 22}, drop=" "
)
BIC = Wrapped(
    "bic",
    r"(?P<bank>[A-Z]{4})(?P<country>[A-Z]{2})[A-Z0-9]{2}(?P<branch>[A-Z0-9]{3})?",
    bic.validate,
    lengths={8, 11},
    drop=" -",
)
IBAN = Wrapped(
    "iban",
    r"(?P<country>[A-Z]{2})[0-9]{2}(?P<account>[A-Z0-9]{11,30})",
    iban.validate,
    lengths=range(15, 35),
    drop=" -",
)
LEI = Wrapped("lei", r"(?P<issuer>[A-Z0-9]{4})[A-Z0-9]{14}[0-9]{2}", lei.validate, lengths={20}, drop=" -")
