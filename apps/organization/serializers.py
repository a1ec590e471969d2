"""Shapes of our own firms and their parts. A bank account's number goes in and never out."""

from typing import Any

from apps.organization.models import (
    AllocatedNumber,
    DocumentSeries,
    DocumentType,
    FinancialYear,
    GstRegistration,
    Organization,
)
from erp.api import fields
from erp.api.serializers import Input, Output
from erp.api.validators import matches
from erp.identifiers import CIN, GSTIN, IEC, LLPIN, PAN, PIN_CODE, STATES, TAN

CURRENCY = matches("[A-Z]{3}", "Send an ISO 4217 code of three letters, such as INR.")
PHONE = matches(r"\+[1-9][0-9]{7,14}", "Send the number as E.164, such as +912227654321.")
EMAIL = matches(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+", "Send an e-mail address.")
BRANCH = matches("[A-Z0-9]{2,6}", "Use 2 to 6 of A–Z and 0–9.")
PREFIX = matches("[A-Z0-9/-]{0,8}", "Use at most 8 of A–Z, 0–9, / and -.")
MOST_STARTING = 999_999_999
# A firm of ours sits in a state: a place of supply abroad (96) is none.
PLACES = [(code, state.name) for code, state in STATES.items() if code != "96"]


class PartField(fields.RowField):
    """The id of a part of the organization that the request is about; another's part isn't there."""

    def _visible(self) -> Any:
        return super()._visible().filter(organization=self.context["target"])


class AddressFields(Input):
    line1 = fields.CharField(max_length=255)
    line2 = fields.CharField(max_length=255, required=False, allow_null=True)
    city = fields.CharField(max_length=100)
    state_code = fields.ChoiceField(choices=PLACES, help_text="GST code of the state")
    pin_code = fields.IdentifierField(PIN_CODE)


class CreateInput(AddressFields):
    name = fields.CharField(min_length=2, max_length=255)
    legal_name = fields.CharField(min_length=2, max_length=255)
    legal_form = fields.ChoiceField(choices=Organization.LegalForm.choices)
    pan = fields.IdentifierField(PAN)
    cin = fields.IdentifierField(CIN, required=False, allow_null=True)
    llpin = fields.IdentifierField(LLPIN, required=False, allow_null=True)
    tan = fields.IdentifierField(TAN, required=False, allow_null=True)
    iec = fields.IdentifierField(IEC, required=False, allow_null=True)
    base_currency = fields.CharField(required=False, validators=[CURRENCY])
    email = fields.CharField(max_length=254, required=False, allow_null=True, validators=[EMAIL])
    phone = fields.CharField(required=False, allow_null=True, validators=[PHONE])
    e_invoice_from = fields.DateField(required=False, allow_null=True)
    lut_number = fields.CharField(max_length=32, required=False, allow_null=True)
    lut_valid_until = fields.DateField(required=False, allow_null=True)
    invoice_footer = fields.CharField(max_length=1024, multiline=True, required=False, allow_null=True)


class UpdateInput(CreateInput):
    status = fields.ChoiceField(choices=Organization.Status.choices)


class GstRegistrationFields(AddressFields):
    kind = fields.ChoiceField(choices=GstRegistration.Kind.choices, required=False)
    trade_name = fields.CharField(max_length=255, required=False, allow_null=True)
    branch_code = fields.CharField(validators=[BRANCH])
    is_primary = fields.BooleanField(required=False)
    valid_from = fields.DateField()


class AddGstRegistrationInput(GstRegistrationFields):
    gstin = fields.IdentifierField(GSTIN)


class UpdateGstRegistrationInput(GstRegistrationFields):
    status = fields.ChoiceField(choices=GstRegistration.Status.choices)


class AddFinancialYearInput(Input):
    start_date = fields.DateField()
    end_date = fields.DateField()
    copy_series = fields.BooleanField(required=False)


class UpdateFinancialYearInput(Input):
    start_date = fields.DateField()
    end_date = fields.DateField()
    status = fields.ChoiceField(choices=FinancialYear.Status.choices)
    reason = fields.CharField(min_length=10, max_length=1000, required=False, allow_null=True)


class AddDocumentSeriesInput(Input):
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
    prefix = fields.CharField(required=False, allow_blank=True, validators=[PREFIX])
    template = fields.CharField(min_length=3, max_length=64)
    start_number = fields.IntegerField(min_value=1, max_value=MOST_STARTING)
    date_ordered = fields.BooleanField()
    status = fields.ChoiceField(choices=DocumentSeries.Status.choices)


class AllocateInput(Input):
    document_date = fields.DateField()
    gst_registration_id = PartField(
        GstRegistration, source="gst_registration", required=False, allow_null=True
    )
    reference_type = fields.CharField(max_length=50)
    reference_id = fields.UUIDField()


# --- Out --------------------------------------------------------------------------------------------


class OrganizationOutput(Output):
    class Meta:
        model = Organization
        fields = (
            "name",
            "legal_name",
            "legal_form",
            "pan",
            "cin",
            "llpin",
            "tan",
            "iec",
            "base_currency",
            "line1",
            "line2",
            "city",
            "state_code",
            "pin_code",
            "email",
            "phone",
            "e_invoice_from",
            "lut_number",
            "lut_valid_until",
            "invoice_footer",
        )


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
