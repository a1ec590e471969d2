"""Indian and trade numbers, in one place: whether they are well formed, never whether they exist.

Each kind offers ``normalise``, ``is_valid``, ``parts`` and ``mask``. Everything here is a pure function: no
I/O, no database. The log masker uses the same patterns and check characters.
"""

from typing import Annotated

from erp.identifiers.base import Identifier, IdentifierInvalid, Personal, Reason
from erp.identifiers.money import BANK_ACCOUNT, BANK_REFERENCE, BIC, IBAN, IFSC, LEI, UPI
from erp.identifiers.people import AADHAAR, EMAIL, MOBILE, PHONE
from erp.identifiers.places import CONTAINER, CUSTOMS_PORT, PIN_CODE, UNLOCODE, VEHICLE
from erp.identifiers.states import RETIRED, STATES, GstState, pin_fits, states_of_pin
from erp.identifiers.tax import (
    CIN,
    COMPANY_CLASSES,
    DIN,
    EWAY_BILL,
    FSSAI,
    GST_DOCUMENT,
    GSTIN,
    HOLDER_CLASSES,
    HSN,
    IEC,
    IRN,
    LLPIN,
    PAN,
    SAC,
    TAN,
    TRANSPORTER_ID,
    UDYAM,
    company_fits,
    holder_fits,
)

# Text that is personal data: for models that may hold it, so that event models can refuse it.
GstinText = Annotated[str, Personal("gstin")]
PanText = Annotated[str, Personal("pan")]
TanText = Annotated[str, Personal("tan")]
AadhaarText = Annotated[str, Personal("aadhaar")]
BankAccountText = Annotated[str, Personal("bank_account")]
IfscText = Annotated[str, Personal("ifsc")]
UpiText = Annotated[str, Personal("upi")]
MobileText = Annotated[str, Personal("mobile")]
EmailText = Annotated[str, Personal("email")]
IpAddressText = Annotated[str, Personal("ip_address")]
PersonNameText = Annotated[str, Personal("person_name")]

#: Every kind by its name.
ALL: dict[str, Identifier] = {
    kind.name: kind
    for kind in (
        GSTIN, TRANSPORTER_ID, PAN, TAN, CIN, LLPIN, IEC, DIN, FSSAI, UDYAM, IFSC, BANK_ACCOUNT, UPI, MOBILE,
        PHONE, EMAIL, PIN_CODE, VEHICLE, AADHAAR, HSN, SAC, GST_DOCUMENT, EWAY_BILL, IRN, BANK_REFERENCE, BIC,
        IBAN, LEI, CONTAINER, UNLOCODE, CUSTOMS_PORT,
    )
}  # fmt: skip

__all__ = [
    "AADHAAR",
    "ALL",
    "BANK_ACCOUNT",
    "BANK_REFERENCE",
    "BIC",
    "CIN",
    "COMPANY_CLASSES",
    "CONTAINER",
    "CUSTOMS_PORT",
    "DIN",
    "EMAIL",
    "EWAY_BILL",
    "FSSAI",
    "GSTIN",
    "GST_DOCUMENT",
    "HOLDER_CLASSES",
    "HSN",
    "IBAN",
    "IEC",
    "IFSC",
    "IRN",
    "LEI",
    "LLPIN",
    "MOBILE",
    "PAN",
    "PHONE",
    "PIN_CODE",
    "RETIRED",
    "SAC",
    "STATES",
    "TAN",
    "TRANSPORTER_ID",
    "UDYAM",
    "UNLOCODE",
    "UPI",
    "VEHICLE",
    "AadhaarText",
    "BankAccountText",
    "EmailText",
    "GstinText",
    "Identifier",
    "IdentifierInvalid",
    "IfscText",
    "IpAddressText",
    "MobileText",
    "PanText",
    "Personal",
    "PersonNameText",
    "Reason",
    "GstState",
    "TanText",
    "UpiText",
    "company_fits",
    "holder_fits",
    "pin_fits",
    "states_of_pin",
]
