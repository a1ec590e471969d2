"""Inputs and outputs of organizations and their parts. No output contains a bank account's number."""

import re
from typing import Any, ClassVar

from rest_framework.exceptions import ErrorDetail, ValidationError

from apps.organization.models import (
    AllocatedNumber,
    BankAccount,
    Calendar,
    CalendarDay,
    DocumentSeries,
    DocumentType,
    FinancialYear,
    GstRegistration,
    Organization,
)
from apps.organization.services import accounts, identity
from erp.api import fields
from erp.api.serializers import Input, Output
from erp.api.validators import CURRENCY, matches, refuse_web_address
from erp.identifiers import (
    BANK_ACCOUNT,
    BIC,
    CIN,
    EMAIL,
    GSTIN,
    IEC,
    IFSC,
    LLPIN,
    PAN,
    PHONE,
    PIN_CODE,
    STATES,
    TAN,
)

BRANCH = matches("[A-Z0-9]{2,6}", "Use 2 to 6 capital letters and digits.")
PREFIX = matches("[A-Z0-9/-]{0,8}", "Use at most 8 capital letters, digits, / and -.")
FOREIGN_ACCOUNT = re.compile("[A-Z0-9]{6,34}")
WEEKDAYS = [
    ("1", "Monday"),
    ("2", "Tuesday"),
    ("3", "Wednesday"),
    ("4", "Thursday"),
    ("5", "Friday"),
    ("6", "Saturday"),
    ("7", "Sunday"),
]
MOST_STARTING = 999_999_999
# An organization is in a state: code 96, a place of supply abroad, is excluded.
STATE_CHOICES = [(code, state.name) for code, state in STATES.items() if code != "96"]


class PartField(fields.RowField):
    """The id of a part of the organization in the URL; parts of other organizations don't exist for it."""

    def _visible(self) -> Any:
        return super()._visible().filter(organization=self.context["target"])


class AddressFields(Input):
    class Meta:
        model = Organization

    line1 = fields.CharField(max_length=255)
    line2 = fields.CharField(max_length=255, required=False, allow_null=True)
    city = fields.CharField(max_length=100)
    state_code = fields.ChoiceField(choices=STATE_CHOICES)
    pin_code = fields.IdentifierField(PIN_CODE)


class OrganizationCreateInput(AddressFields):
    name = fields.CharField(min_length=2, max_length=255, validators=[refuse_web_address])
    legal_name = fields.CharField(min_length=2, max_length=255, validators=[refuse_web_address])
    pan = fields.IdentifierField(PAN)
    cin = fields.IdentifierField(CIN, required=False, allow_null=True)
    llpin = fields.IdentifierField(LLPIN, required=False, allow_null=True)
    tan = fields.IdentifierField(TAN, required=False, allow_null=True)
    iec = fields.IdentifierField(IEC, required=False, allow_null=True)
    base_currency = fields.CharField(required=False, validators=[CURRENCY])
    email = fields.IdentifierField(EMAIL, required=False, allow_null=True)
    phone = fields.IdentifierField(PHONE, required=False, allow_null=True)

    class Meta:
        model = Organization
        fields = identity.FIELDS
        options: ClassVar = {"invoice_footer": {"multiline": True}}


class OrganizationUpdateInput(OrganizationCreateInput):
    status = fields.ChoiceField(choices=Organization.Status.choices)


class GstRegistrationFields(AddressFields):
    class Meta:
        model = GstRegistration

    kind = fields.ChoiceField(choices=GstRegistration.Kind.choices, required=False)
    trade_name = fields.CharField(
        max_length=255, required=False, allow_null=True, validators=[refuse_web_address]
    )
    branch_code = fields.CharField(validators=[BRANCH])
    is_primary = fields.BooleanField(required=False)
    valid_from = fields.DateField()


class AddGstRegistrationInput(GstRegistrationFields):
    gstin = fields.IdentifierField(GSTIN)


class UpdateGstRegistrationInput(GstRegistrationFields):
    status = fields.ChoiceField(choices=GstRegistration.Status.choices)


class AddBankAccountInput(Input):
    class Meta:
        model = BankAccount

    holder = fields.CharField(max_length=200)
    bank_name = fields.CharField(max_length=200)
    branch_name = fields.CharField(max_length=200, required=False, allow_null=True)
    number = fields.CharField(
        max_length=40,
        twelve_digits=True,
        style={"input_type": "password"},
        label="Account number",
        help_text="9 to 18 digits for rupees, else 6 to 34 letters and digits. Stored encrypted.",
    )
    number_again = fields.CharField(
        max_length=40,
        twelve_digits=True,
        style={"input_type": "password"},
        label="Repeat account number",
        help_text="The same number again, to prevent typing errors.",
    )
    ifsc = fields.IdentifierField(IFSC, required=False, allow_null=True)
    swift = fields.IdentifierField(BIC, required=False, allow_null=True)
    account_type = fields.ChoiceField(choices=BankAccount.AccountType.choices)
    currency = fields.CharField(required=False, validators=[CURRENCY])
    purpose = fields.ChoiceField(choices=BankAccount.Purpose.choices, required=False)
    is_default = fields.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the number, whose format depends on the currency. No error contains the number."""
        pattern = BANK_ACCOUNT.pattern if attrs.get("currency", "INR") == "INR" else FOREIGN_ACCOUNT
        if not pattern.fullmatch(accounts.canonical_number(attrs["number"])):
            words = "Use 9 to 18 digits for rupees, else 6 to 34 letters and digits."
            raise ValidationError({"number": ErrorDetail(words, code="bank_account.format")})
        return attrs


class UpdateBankAccountInput(Input):
    class Meta:
        model = BankAccount

    branch_name = fields.CharField(max_length=200, required=False, allow_null=True)
    purpose = fields.ChoiceField(choices=BankAccount.Purpose.choices)
    is_default = fields.BooleanField()
    status = fields.ChoiceField(choices=[("active", "Active"), ("inactive", "Inactive")])


class AddFinancialYearInput(Input):
    class Meta:
        model = FinancialYear

    start_date = fields.DateField()
    end_date = fields.DateField()
    copy_series = fields.BooleanField(
        required=False, help_text="Whether each active series of the previous year is copied. Default: yes."
    )


class UpdateFinancialYearInput(Input):
    class Meta:
        model = FinancialYear

    start_date = fields.DateField()
    end_date = fields.DateField()
    status = fields.ChoiceField(choices=FinancialYear.Status.choices)
    reason = fields.CharField(
        min_length=10,
        max_length=1000,
        required=False,
        allow_null=True,
        help_text="Why the status changes, 10 to 1,000 characters. Required to reopen a year.",
    )


class AddDocumentSeriesInput(Input):
    class Meta:
        model = DocumentSeries

    financial_year_id = PartField(FinancialYear, source="financial_year")
    document_type = fields.ChoiceField(choices=DocumentType.choices)
    gst_registration_id = PartField(
        GstRegistration, source="gst_registration", required=False, allow_null=True
    )
    prefix = fields.CharField(required=False, allow_blank=True, validators=[PREFIX])
    template = fields.CharField(min_length=3, max_length=64)
    start_number = fields.IntegerField(min_value=1, max_value=MOST_STARTING, required=False)
    date_ordered = fields.BooleanField(required=False, allow_null=True)


class UpdateDocumentSeriesInput(Input):
    class Meta:
        model = DocumentSeries

    prefix = fields.CharField(required=False, allow_blank=True, validators=[PREFIX])
    template = fields.CharField(min_length=3, max_length=64)
    start_number = fields.IntegerField(min_value=1, max_value=MOST_STARTING)
    date_ordered = fields.BooleanField()
    status = fields.ChoiceField(choices=DocumentSeries.Status.choices)


class AllocateInput(Input):
    class Meta:
        model = AllocatedNumber

    document_date = fields.DateField()
    gst_registration_id = PartField(
        GstRegistration, source="gst_registration", required=False, allow_null=True
    )
    reference_type = fields.CharField(max_length=50)
    reference_id = fields.UUIDField()


class UpdateCalendarInput(Input):
    class Meta:
        model = Calendar

    name = fields.CharField(max_length=100)
    weekly_off = fields.ListField(child=fields.ChoiceField(choices=WEEKDAYS), required=False)
    closes_at = fields.TimeField(required=False, allow_null=True)


class CreateCalendarInput(UpdateCalendarInput):
    code = fields.CharField(
        validators=[matches("[A-Z0-9_-]{2,20}", "Use 2 to 20 capital letters, digits, _ and -.")]
    )


class CalendarDayInput(Input):
    class Meta:
        model = CalendarDay

    day = fields.DateField()
    name = fields.CharField(max_length=100)
    closed = fields.BooleanField(required=False)
    closes_at = fields.TimeField(required=False, allow_null=True)


class OrganizationOutput(Output):
    class Meta:
        model = Organization
        fields = identity.FIELDS


class GstRegistrationOutput(Output):
    class Meta:
        model = GstRegistration
        fields = (
            "organization_id",
            "gstin",
            "kind",
            "trade_name",
            "line1",
            "line2",
            "city",
            "state_code",
            "pin_code",
            "branch_code",
            "is_primary",
            "valid_from",
        )


class BankAccountOutput(Output):
    class Meta:
        model = BankAccount
        fields = (
            "organization_id",
            "holder",
            "bank_name",
            "branch_name",
            "last4",
            "ifsc",
            "swift",
            "account_type",
            "currency",
            "purpose",
            "is_default",
            "approval_id",
        )


class FinancialYearOutput(Output):
    class Meta:
        model = FinancialYear
        fields = (
            "organization_id",
            "code",
            "start_date",
            "end_date",
            "status_reason",
            "pending_approval_id",
        )


class DocumentSeriesOutput(Output):
    class Meta:
        model = DocumentSeries
        fields = (
            "organization_id",
            "gst_registration_id",
            "financial_year_id",
            "document_type",
            "prefix",
            "template",
            "start_number",
            "last_number",
            "date_ordered",
            "last_document_date",
        )


class AllocatedNumberOutput(Output):
    class Meta:
        model = AllocatedNumber
        fields = (
            "series_id",
            "organization_id",
            "gst_registration_id",
            "financial_year_id",
            "document_type",
            "number",
            "document_number",
            "document_date",
            "reference_type",
            "reference_id",
        )
