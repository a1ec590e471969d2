"""Inputs and outputs of partners. Numbers of registers are masked for whoever may not see them."""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from decimal import Decimal
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.serializers import JSONField, SerializerMethodField

from apps.accounts.models import User
from apps.commodities.models.commodities import Commodity
from apps.partners.models import (
    Amendment,
    AmendmentChange,
    CreditAccount,
    CreditLimit,
    InformationItem,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartnerLocation,
    PartnerOwner,
    PartnerRole,
    TaxRegistration,
    TradePermission,
    Vehicle,
)
from apps.partners.models.partners import ADDRESS
from apps.partners.services.checklist import checklist
from apps.partners.services.rules import entity_class, log_clear_read, roles_of, sees_clear
from erp import clock
from erp.access import Actor
from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, LookupOutput, Output, within
from erp.api.validators import COUNTRY, CURRENCY, matches, refuse_web_address
from erp.files import JPEG, PDF, PNG
from erp.identifiers import (
    BANK_ACCOUNT,
    BIC,
    CIN,
    DIN,
    EMAIL,
    GSTIN,
    IBAN,
    IEC,
    IFSC,
    LLPIN,
    PAN,
    PHONE,
    STATES,
    TAN,
    TRANSPORTER_ID,
    UDYAM,
    VEHICLE,
    Identifier,
)

_SEPARATORS = re.compile("[ -]")
_ACCOUNT = re.compile("[A-Z0-9]{5,34}")
_STATE_CODES = [(code, state.name) for code, state in STATES.items() if code != "96"]
_GROUPS = [
    ("PARTNER_ADMIN", "Administrator"),
    *((role.value.upper(), role.label) for role in PartnerRole.Role),
]
PURPOSES = [
    (each, each.replace("_", " ").capitalize())
    for each in ("essential", "functional", "analytics", "marketing", "data_sharing", "profiling")
]


def _sees_clear(actor: Actor | None, row: Any) -> bool:
    return actor is not None and sees_clear(actor, row)


class Sensitive(fields.CharField):
    """A text of the row that is masked unless the caller holds ``partner.view_sensitive`` on it."""

    def __init__(self, of: str, mask: Identifier | Callable[[str], str], **kwargs: Any) -> None:
        self.of, self.mask = of, mask
        super().__init__(**{"source": "*", "read_only": True, "allow_null": True, **kwargs})

    def to_representation(self, row: Any) -> Any:
        value = getattr(row, self.of)
        if not value or _sees_clear(self.context.get("actor"), row):
            return value or None
        return self.mask.mask(value) if isinstance(self.mask, Identifier) else self.mask(value)


def _hidden(text: str) -> str:
    return "X" * max(0, len(text) - 4) + text[-4:]


class ReadsAreLogged:
    """A mixin of outputs with masked numbers: a clear read by staff leaves a line in the log, without values."""

    context: Any
    fields: Any

    def to_representation(self, instance: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().to_representation(instance)  # type: ignore[misc]
        actor = self.context.get("actor")
        if actor is not None and _sees_clear(actor, instance):
            shown = [n for n, f in self.fields.items() if isinstance(f, Sensitive) and answer[n]]
            log_clear_read(actor, instance, shown)
        return answer


class ForStaff:
    """A figure for staff: null for the partner's side."""

    def to_representation(self, value: Any) -> Any:
        actor = self.context.get("actor")  # type: ignore[attr-defined]
        staff = actor is not None and (actor.is_staff or actor.is_system)
        return super().to_representation(value) if staff else None  # type: ignore[misc]


class StaffOrOwnValue(JSONField):
    """A value of an amendment: for its partner's administrators, and staff who see numbers in full."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, **kwargs})

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) if _sees_clear(self.context.get("actor"), instance) else None


class StaffText(ForStaff, fields.CharField):
    pass


class StaffNumber(ForStaff, fields.IntegerField):
    pass


# Inputs


class AddressInput(Input):
    class Meta:
        model = Partner

    line1 = fields.CharField(max_length=200)
    line2 = fields.CharField(max_length=200, required=False, allow_null=True)
    city = fields.CharField(max_length=100)
    district = fields.CharField(max_length=100, required=False, allow_null=True)
    state_code = fields.ChoiceField(choices=_STATE_CODES, required=False, allow_null=True)
    postal_code = fields.CharField(max_length=20)
    country = fields.CharField(required=False, validators=[COUNTRY])


class ContactInput(Input):
    name = fields.CharField(max_length=200, validators=[refuse_web_address], help_text="Person to talk to.")
    email = fields.IdentifierField(EMAIL, help_text="E-mail address of the firm or the person.")
    phone = fields.IdentifierField(PHONE, help_text="With the country code, such as +91 98765 43210.")


class OwnerInput(Input):
    class Meta:
        model = PartnerOwner

    name = fields.CharField(max_length=200, validators=[refuse_web_address])
    kind = fields.ChoiceField(choices=PartnerOwner.Kind.choices)
    din = fields.IdentifierField(
        DIN, required=False, allow_null=True, help_text="Director identification number, eight digits."
    )
    pan = fields.IdentifierField(PAN, required=False, allow_null=True, help_text="PAN of the person.")
    share_percent = fields.DecimalField(
        max_digits=5, decimal_places=2, min_value=0, max_value=100, required=False, allow_null=True
    )


class ProfileInput(Input):
    class Meta:
        model = Partner

    roles = fields.ListField(
        child=fields.ChoiceField(choices=PartnerRole.Role.choices), min_length=1, max_length=5, unique=True,
        help_text="What the firm does: buys, sells, trades, brokers, provides a service.",
    )  # fmt: skip
    service_kinds = fields.ListField(
        child=fields.ChoiceField(choices=PartnerRole.ServiceKind.choices), required=False, max_length=5, unique=True,
        help_text="Kinds of service. Required for service providers.",
    )  # fmt: skip
    transporter_kind = fields.ChoiceField(
        choices=PartnerRole.TransporterKind.choices, required=False, allow_null=True,
        help_text="Whether a transporter owns lorries or arranges them. Required for transporters.",
    )  # fmt: skip
    legal_name = fields.CharField(min_length=2, max_length=500, validators=[refuse_web_address])
    trade_name = fields.CharField(
        max_length=500, required=False, allow_blank=True, validators=[refuse_web_address]
    )
    legal_form = fields.ChoiceField(choices=Partner.LegalForm.choices)
    country = fields.CharField(required=False, validators=[COUNTRY])
    incorporation_date = fields.DateField(required=False, allow_null=True)
    pan = fields.IdentifierField(
        PAN,
        required=False,
        allow_null=True,
        help_text="Permanent account number, ten characters. Required in India.",
    )
    gstin = fields.IdentifierField(
        GSTIN, required=False, allow_null=True,
        help_text="GST registration of the main place, 15 characters. Required for firms that trade in India.",
    )  # fmt: skip
    no_gst_reason = fields.ChoiceField(choices=Partner.NoGstReason.choices, required=False, allow_null=True)
    foreign_tax_id_type = fields.ChoiceField(
        choices=Partner.TaxIdType.choices, required=False, allow_null=True
    )
    foreign_tax_id = fields.CharField(
        max_length=50, required=False, allow_null=True, help_text="Tax number abroad. Required outside India."
    )
    iec = fields.IdentifierField(
        IEC, required=False, allow_null=True, help_text="Importer exporter code, ten characters."
    )
    cin = fields.IdentifierField(CIN, required=False, allow_null=True)
    llpin = fields.IdentifierField(LLPIN, required=False, allow_null=True)
    tan = fields.IdentifierField(TAN, required=False, allow_null=True)
    udyam = fields.IdentifierField(UDYAM, required=False, allow_null=True)
    transporter_id = fields.IdentifierField(TRANSPORTER_ID, required=False, allow_null=True)
    address = AddressInput(help_text="Registered address.")
    contact = ContactInput(help_text="Whom to write to.")
    preferred_currency = fields.CharField(required=False, validators=[CURRENCY])
    commodity_ids = fields.ListField(
        child=fields.RowField(Commodity.objects.visible_to), required=False, max_length=50, unique=True,
        help_text="Commodities that the firm deals in.",
    )  # fmt: skip
    declared_turnover = fields.DecimalField(
        max_digits=20, decimal_places=2, min_value=0, required=False, allow_null=True
    )
    owners = OwnerInput.many_init(
        required=False, max_length=20, help_text="Proprietor, partners or directors."
    )
    can_arrange_transport = fields.BooleanField(required=False)
    has_quality_lab = fields.BooleanField(required=False)
    parent_broker_code = fields.CharField(
        max_length=12,
        required=False,
        allow_null=True,
        help_text="Number of the broker that a sub-broker works for.",
    )


class DraftInput(Input):
    locals().update(within("profile", ProfileInput))


class StartInput(DraftInput):
    partner_id = fields.RowField(
        Partner.objects.visible_to, source="partner", required=False, allow_null=True,
        help_text="Your rejected or closed file, to apply again.",
    )  # fmt: skip


class SubmitInput(Input):
    declaration = fields.BooleanField(help_text="True: everything stated is correct and complete.")
    terms_version = fields.CharField(max_length=32, help_text="Version of the terms that were accepted.")
    notice_version = fields.CharField(
        max_length=32, help_text="Version of the privacy notice that was shown."
    )
    consent_purposes = fields.ListField(
        child=fields.ChoiceField(choices=PURPOSES), max_length=6, unique=True,
        help_text="Purposes of processing that were consented to; essential is one of them.",
    )  # fmt: skip
    profile = ProfileInput(required=False, help_text="The whole profile, where it is replaced before.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The declaration and the essential purpose are required."""
        faults = {}
        if not attrs["declaration"]:
            faults["declaration"] = ErrorDetail("Confirm the declaration.", code="required")
        if "essential" not in attrs["consent_purposes"]:
            faults["consent_purposes"] = ErrorDetail("The essential purpose is required.", code="essential")
        if faults:
            raise ValidationError(faults)
        return attrs


class InformationInput(Input):
    class Meta:
        model = InformationItem

    text = fields.CharField(min_length=5, max_length=2000, multiline=True)
    checklist_item = fields.CharField(max_length=30, required=False, allow_null=True)


class RequestInfoInput(Input):
    items = InformationInput.many_init(min_length=1, max_length=20, help_text="What is asked for.")
    due_days = fields.IntegerField(
        min_value=1, max_value=60, required=False, help_text="Days to answer, 1 to 60. Default 14."
    )


class AssignInput(Input):
    assigned_to_id = fields.RowField(
        lambda actor: User.objects.active_staff(), source="assigned_to", required=False, allow_null=True,
        help_text="Who looks after the file. Empty: nobody.",
    )  # fmt: skip


class AnswerInput(Input):
    item_id = fields.UUIDField(help_text="The question.")
    text = fields.CharField(max_length=2000, multiline=True, help_text="The answer.")


class RespondInput(Input):
    answers = AnswerInput.many_init(max_length=20, help_text="An answer to every open question.")
    profile = ProfileInput(required=False, help_text="The whole profile, where it changes.")


class WithdrawInput(Input):
    reason = fields.CharField(
        max_length=2000, required=False, allow_blank=True, multiline=True, help_text="Why, if you like."
    )


class RemovePartInput(Input):
    target = fields.ChoiceField(
        choices=[
            ("location", "Location"),
            ("vehicle", "Vehicle"),
            ("bank_account", "Bank account"),
            ("employee", "Employee"),
        ],
        help_text="What is removed.",
    )
    target_id = fields.UUIDField(help_text="The row that is removed.")


class ApproveInput(Input):
    notes = fields.CharField(
        max_length=2000, required=False, allow_blank=True, multiline=True, help_text="Note for the file."
    )


class RejectInput(Input):
    reason_code = fields.ChoiceField(choices=OnboardingRound.RejectionCode.choices, help_text="Main reason.")
    reason = fields.CharField(
        min_length=10, max_length=2000, multiline=True, help_text="Explanation, which the applicant reads."
    )
    reapply_date = fields.DateField(
        required=False, allow_null=True, help_text="First day on which the firm can apply again."
    )


class DocumentInput(Input):
    class Meta:
        model = PartnerDocument

    file = FileField(accepts=(PDF, JPEG, PNG), help_text="The paper: PDF, JPEG or PNG, at most 9 MB.")
    document_type = fields.ChoiceField(choices=PartnerDocument.Type.choices)
    target_type = fields.ChoiceField(
        choices=PartnerDocument.Target.choices,
        required=False,
        help_text="What the paper is about. Default: partner.",
    )
    target_id = fields.UUIDField(
        required=False, help_text="The row that it is about, unless it is the partner."
    )
    number = fields.CharField(
        max_length=50, required=False, twelve_digits=True, help_text="Number on the paper."
    )
    issue_date = fields.DateField(required=False)
    expiry_date = fields.DateField(required=False)
    replaces = fields.RowField(PartnerDocument.objects.visible_to, required=False)


class VerifyDocumentInput(Input):
    expiry_date = fields.DateField(
        required=False, allow_null=True, help_text="Last day of validity as on the paper."
    )
    number = fields.CharField(
        max_length=50,
        required=False,
        allow_null=True,
        twelve_digits=True,
        help_text="Number as on the paper.",
    )


class RejectDocumentInput(Input):
    reason_code = fields.ChoiceField(choices=PartnerDocument.RejectCode.choices, help_text="Main reason.")
    reason = fields.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        multiline=True,
        help_text="Explanation for the partner.",
    )


class LocationInput(Input):
    class Meta:
        model = PartnerLocation

    code = fields.CharField(
        validators=[matches("[A-Z0-9_-]{1,20}", "Use 1 to 20 capital letters, digits, _ and -.")]
    )
    name = fields.CharField(max_length=200, validators=[refuse_web_address])
    kind = fields.ChoiceField(choices=PartnerLocation.Kind.choices)
    address = AddressInput(help_text="Address of the place.")
    gstin = fields.IdentifierField(
        GSTIN, required=False, allow_null=True, help_text="GST registration of the place, 15 characters."
    )
    contact_name = fields.CharField(max_length=200, required=False, allow_null=True)
    contact_phone = fields.IdentifierField(PHONE, required=False, allow_null=True)
    can_ship_from = fields.BooleanField(required=False)
    can_ship_to = fields.BooleanField(required=False)
    default_ship_from = fields.BooleanField(required=False)
    default_ship_to = fields.BooleanField(required=False)
    capacity_quintals = fields.DecimalField(
        max_digits=14, decimal_places=3, min_value=0, required=False, allow_null=True
    )


class VehicleInput(Input):
    class Meta:
        model = Vehicle

    number = fields.IdentifierField(VEHICLE)
    category = fields.ChoiceField(choices=Vehicle.Category.choices)
    owner_name = fields.CharField(max_length=200)
    capacity_tonnes = fields.DecimalField(
        max_digits=10, decimal_places=2, min_value=Decimal("0.10"), max_value=100
    )
    make_model = fields.CharField(max_length=200, required=False, allow_null=True)
    registration_date = fields.DateField(required=False, allow_null=True)
    permit_type = fields.CharField(max_length=50, required=False, allow_null=True)


class EmployeeInput(Input):
    class Meta:
        model = PartnerEmployee

    name = fields.CharField(max_length=200, validators=[refuse_web_address])
    email = fields.IdentifierField(EMAIL)
    phone = fields.IdentifierField(PHONE)
    designation = fields.CharField(max_length=100, required=False, allow_null=True)
    roles = fields.ListField(
        child=fields.ChoiceField(choices=_GROUPS), min_length=1, max_length=6, unique=True
    )


class PartnerBankAccountInput(Input):
    class Meta:
        model = PartnerBankAccount

    holder = fields.CharField(max_length=200)
    bank_name = fields.CharField(max_length=200)
    number = fields.CharField(
        max_length=40,
        twelve_digits=True,
        help_text="Account number: 9 to 18 digits in India, letters too abroad.",
    )
    number_again = fields.CharField(max_length=40, twelve_digits=True, help_text="The same number once more.")
    account_type = fields.ChoiceField(choices=PartnerBankAccount.AccountType.choices)
    purpose = fields.ChoiceField(choices=PartnerBankAccount.Purpose.choices)
    ifsc = fields.IdentifierField(IFSC, required=False, allow_null=True)
    swift = fields.IdentifierField(BIC, required=False, allow_null=True)
    iban = fields.IdentifierField(
        IBAN, required=False, allow_null=True, help_text="IBAN of an account abroad."
    )
    currency = fields.CharField(required=False, validators=[CURRENCY])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the number's format. No error contains the number."""
        for name in ("number", "number_again"):
            attrs[name] = _SEPARATORS.sub("", attrs[name]).upper()
        rupees = attrs.get("currency", "INR") == "INR"
        number = attrs["number"]
        if not (BANK_ACCOUNT.pattern.fullmatch(number) if rupees else _ACCOUNT.fullmatch(number)):
            words = "Use 9 to 18 digits for rupees, else 5 to 34 letters and digits."
            raise ValidationError({"number": ErrorDetail(words, code="bank_account.format")})
        return attrs


class VerifyBankAccountInput(Input):
    method = fields.ChoiceField(choices=PartnerBankAccount.Method.choices, help_text="How it was verified.")
    document_id = fields.RowField(
        PartnerDocument.objects.visible_to, source="document", required=False, allow_null=True,
        help_text="The verified cheque or proof.",
    )  # fmt: skip
    call_back_phone = fields.IdentifierField(
        PHONE, required=False, allow_null=True,
        help_text="The number that you called: one of the partner that was on file for 30 days when the account was "
        "added. Required for a further account.",
    )  # fmt: skip
    call_back_note = fields.CharField(
        min_length=10, max_length=1000, required=False, allow_null=True, multiline=True,
        help_text="Whom you called, and what was confirmed. Required for a further account.",
    )  # fmt: skip


class SuspendInput(Input):
    reason_code = fields.ChoiceField(choices=Partner.Suspension.choices, help_text="Main reason.")
    reason = fields.CharField(
        min_length=10, max_length=2000, multiline=True, help_text="Explanation for the file."
    )
    review_date = fields.DateField(
        required=False,
        allow_null=True,
        help_text="When somebody looks at it again; nothing happens by itself.",
    )


class ReactivateInput(Input):
    reason = fields.CharField(
        min_length=10, max_length=2000, multiline=True, help_text="Explanation for the file."
    )


class RenewInput(Input):
    kind = fields.ChoiceField(
        choices=[("annual", "Annual"), ("ad_hoc", "On request")], required=False, help_text="Default: annual."
    )
    reason = fields.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        multiline=True,
        help_text="Why. Required on request.",
    )


class CompleteRenewalInput(Input):
    round_id = fields.UUIDField(help_text="The renewal that was reviewed.")
    notes = fields.CharField(
        max_length=2000, required=False, allow_blank=True, multiline=True, help_text="Note for the file."
    )


class CollateralInput(Input):
    kind = fields.CharField(max_length=60, help_text="What secures the credit, such as a bank guarantee.")
    value = fields.DecimalField(max_digits=20, decimal_places=2, min_value=0, help_text="Its value.")
    rate = fields.DecimalField(
        max_digits=5, decimal_places=4, min_value=0, max_value=1, help_text="Share that counts, 0 to 1."
    )


class CreditLimitInput(Input):
    class Meta:
        model = CreditLimit

    amount = fields.DecimalField(max_digits=20, decimal_places=2, min_value=0)
    currency = fields.CharField(validators=[CURRENCY], help_text="Currency of the account, ISO 4217 code.")
    valid_from = fields.DateField()
    valid_to = fields.DateField(required=False, allow_null=True)
    payment_terms_days = fields.IntegerField(min_value=0, max_value=180, required=False)
    collateral = CollateralInput(required=False, allow_null=True, help_text="What secures further credit.")
    on_hold = fields.BooleanField(required=False)
    reason = fields.CharField(min_length=10, max_length=1000, multiline=True)


def _only_true(value: bool) -> None:
    if not value:
        raise ValidationError("Only true is possible here.", code="only_true")


_AMENDED: dict[tuple[str, str], Any] = {
    ("partner", "legal_name"): fields.CharField(
        min_length=2, max_length=500, validators=[refuse_web_address]
    ),
    ("partner", "legal_form"): fields.ChoiceField(choices=Partner.LegalForm.choices),
    ("partner", "pan"): fields.IdentifierField(PAN),
    ("partner", "foreign_tax_id"): fields.CharField(max_length=50),
    ("partner", "address"): AddressInput(),
    ("partner", "close_account"): fields.BooleanField(validators=[_only_true]),
    ("partner", "contact_email"): fields.IdentifierField(EMAIL),
    ("partner", "contact_phone"): fields.IdentifierField(PHONE),
    ("partner", "trade_name"): fields.CharField(
        max_length=500, allow_blank=True, validators=[refuse_web_address]
    ),
    ("partner", "contact_name"): fields.CharField(max_length=200, validators=[refuse_web_address]),
    ("partner", "can_arrange_transport"): fields.BooleanField(),
    ("partner", "has_quality_lab"): fields.BooleanField(),
    ("location", "address"): AddressInput(),
    ("location", "name"): fields.CharField(max_length=200, validators=[refuse_web_address]),
    ("location", "contact_name"): fields.CharField(max_length=200),
    ("location", "contact_phone"): fields.IdentifierField(PHONE),
    ("location", "status"): fields.ChoiceField(choices=[("inactive", "Inactive")]),
    ("vehicle", "owner_name"): fields.CharField(max_length=200),
    ("vehicle", "status"): fields.ChoiceField(choices=[("inactive", "Inactive")]),
    ("employee", "roles"): fields.ListField(
        child=fields.ChoiceField(choices=_GROUPS), min_length=1, unique=True
    ),
    ("bank_account", "is_primary"): fields.BooleanField(validators=[_only_true]),
    ("bank_account", "status"): fields.ChoiceField(choices=[("closed", "Closed")]),
}


class ChangeInput(Input):
    class Meta:
        model = AmendmentChange

    target = fields.ChoiceField(choices=AmendmentChange.Target.choices, help_text="What is changed.")
    target_id = fields.UUIDField(required=False, help_text="The row, unless it is the partner itself.")
    field = fields.CharField(max_length=30, help_text="Name of the field, such as trade_name.")
    value = JSONField(help_text="The new value: text, true or false, a list of roles, or an address.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The value must suit its field. A field that can't be amended is refused by the service."""
        rule = _AMENDED.get((attrs["target"], attrs["field"]))
        if rule is not None:
            try:
                value = deepcopy(rule).run_validation(attrs["value"])
            except ValidationError as fault:
                raise ValidationError({"value": fault.detail}) from None
            attrs["value"] = dict(value) if isinstance(value, Mapping) else value
        return attrs


class AmendmentInput(Input):
    class Meta:
        model = Amendment

    changes = ChangeInput.many_init(min_length=1, max_length=20, help_text="What changes.")
    reason = fields.CharField(min_length=10, max_length=1000, multiline=True)
    effective_date = fields.DateField(required=False, allow_null=True)


class ApproveAmendmentInput(Input):
    note = fields.CharField(
        max_length=1000, required=False, allow_blank=True, multiline=True, help_text="Note for the file."
    )


class RejectAmendmentInput(Input):
    reason_code = fields.ChoiceField(choices=Amendment.RejectionCode.choices, help_text="Main reason.")
    reason = fields.CharField(
        min_length=10, max_length=1000, multiline=True, help_text="Explanation, which the partner reads."
    )


class SettleCheckInput(Input):
    reason = fields.CharField(
        min_length=10, max_length=2000, multiline=True, help_text="The evidence that you saw."
    )


class WaiveCheckInput(Input):
    reason = fields.CharField(
        min_length=10, max_length=1000, multiline=True, help_text="Why the file can go on without it."
    )


class DecideLinkInput(Input):
    status = fields.ChoiceField(
        choices=[("confirmed", "Belong together"), ("cleared", "Independent of each other")],
        help_text="What was found. Cleared partners are suspected again after 180 days.",
    )
    reason = fields.CharField(
        min_length=10, max_length=1000, multiline=True, help_text="What you saw that shows it."
    )


class OverridePermissionInput(Input):
    name = fields.ChoiceField(choices=TradePermission.Name.choices, help_text="What the partner may trade.")
    valid_to = fields.DateField(help_text="Last day, at most 366 days ahead.")
    reason = fields.CharField(
        min_length=10, max_length=1000, multiline=True, help_text="Why it may trade so without papers."
    )


# Outputs


class RoleOutput(LookupOutput):
    role = fields.CharField(help_text="What the partner does.")
    service_kind = fields.CharField(allow_null=True, help_text="Kind of service.")
    transporter_kind = fields.CharField(allow_null=True, help_text="Kind of transporter.")
    live = fields.BooleanField(help_text="Whether the role was approved.")
    usable_to = fields.DateField(allow_null=True, help_text="Last day on which its papers are valid.")


class PartnerOutput(ReadsAreLogged, Output):
    class Meta:
        model = Partner
        fields = (
            "code", "legal_name", "trade_name", "legal_form", *ADDRESS, "incorporation_date", "cin", "llpin", "tan",
            "udyam", "transporter_id", "no_gst_reason", "foreign_tax_id_type", "contact_name", "preferred_currency",
            "declared_turnover", "can_arrange_transport", "has_quality_lab", "commodities", "kyc_verified_date",
            "kyc_expiry_date", "reapply_date", "suspension_code",
        )  # fmt: skip

    pan = Sensitive("pan", PAN, help_text="PAN.")
    iec = Sensitive("iec", IEC, help_text="Importer exporter code.")
    foreign_tax_id = Sensitive("foreign_tax_id", _hidden, help_text="Tax number abroad.")
    contact_email = Sensitive("contact_email", EMAIL, help_text="E-mail address of the contact.")
    contact_phone = Sensitive("contact_phone", PHONE, help_text="Telephone number of the contact.")
    kyc = fields.CharField(help_text="KYC today: none, valid, grace or lapsed.")
    trust_score = StaffNumber(allow_null=True, help_text="Score, 0 to 100; null for the partner's side.")
    risk_category = StaffText(allow_null=True, help_text="Risk category; null for the partner's side.")


class ExpiringKycOutput(Output):
    class Meta:
        model = Partner
        fields = ("code", "legal_name", "trade_name", "kyc_expiry_date")

    kyc = fields.CharField(help_text="KYC today.")
    days_left = SerializerMethodField(help_text="Days until the last day; 0 on that day.")
    renewal_open = fields.BooleanField(help_text="Whether a renewal is being decided.")

    def get_days_left(self, row: Partner) -> int:
        assert row.kyc_expiry_date is not None
        return (row.kyc_expiry_date - clock.today()).days


class CountOutput(LookupOutput):
    value = fields.CharField(help_text="What is counted.")
    count = fields.IntegerField(help_text="How many.")


class KycBucketsOutput(LookupOutput):
    over_90_days = fields.IntegerField(help_text="KYC runs for more than 90 days.")
    days_31_to_90 = fields.IntegerField(help_text="It ends in 31 to 90 days.")
    days_8_to_30 = fields.IntegerField(help_text="It ends in 8 to 30 days.")
    days_0_to_7 = fields.IntegerField(help_text="It ends in 7 days or today.")
    grace = fields.IntegerField(help_text="It ended 1 to 30 days ago.")
    lapsed = fields.IntegerField(help_text="It ended longer ago.")


class FunnelOutput(LookupOutput):
    started = fields.IntegerField(help_text="Files that were started in the period.")
    submitted = fields.IntegerField(help_text="Of these, submitted.")
    reviewed = fields.IntegerField(help_text="Scored, so that staff could decide.")
    approved = fields.IntegerField(help_text="Approved.")
    rejected = fields.IntegerField(help_text="Rejected.")
    withdrawn = fields.IntegerField(help_text="Withdrawn by the applicant.")
    expired = fields.IntegerField(help_text="Expired without a submission or an answer.")
    open = fields.IntegerField(help_text="Not decided.")


def _percent(help_text: str) -> Any:
    return fields.DecimalField(max_digits=12, decimal_places=1, allow_null=True, help_text=help_text)


class DecisionsOutput(LookupOutput):
    route = fields.CharField(help_text="Who decides: auto, manager or director.")
    decided = fields.IntegerField(help_text="Files that were decided in the period.")
    median_hours = _percent("Median hours from submission to decision; null without one.")
    over_target = fields.IntegerField(help_text="Files that took longer than 1 h, 48 h or 7 days.")
    over_target_percent = _percent("Their share.")


class MonthOutput(LookupOutput):
    month = fields.CharField(help_text="Month in Asia/Kolkata, such as 2026-11.")
    started = fields.IntegerField(help_text="Files started.")
    submitted = fields.IntegerField(help_text="Files submitted.")
    approved = fields.IntegerField(help_text="Files approved.")
    rejected = fields.IntegerField(help_text="Files rejected.")


class AnalyticsOutput(LookupOutput):
    """Where partners stand today, and onboarding of the last 12 months."""

    since_date = fields.DateField(
        help_text="First day of the period of funnel, decisions, reasons and trend."
    )
    by_status = CountOutput(many=True, help_text="Partners by status.")
    by_role = CountOutput(many=True, help_text="Active and suspended partners by role; one may hold several.")
    by_state = CountOutput(many=True, help_text="Active and suspended partners by GST code of their state.")
    by_risk_category = CountOutput(many=True, help_text="Active and suspended partners by risk category.")
    kyc = KycBucketsOutput(help_text="Active and suspended partners by their KYC; each is counted once.")
    funnel = FunnelOutput(help_text="How far files came.")
    decisions = DecisionsOutput(many=True, help_text="Time to the decision, by route.")
    rejection_reasons = CountOutput(many=True, help_text="Rejected files by reason.")
    utilisation = CountOutput(many=True, help_text="Credit accounts by how much of the limit is used.")
    trend = MonthOutput(many=True, help_text="12 months, the current one last.")


class ChecklistOutput(LookupOutput):
    item = fields.CharField(help_text="What is needed.")
    title = fields.CharField(help_text="In words.")
    done = fields.BooleanField(help_text="Whether it is there.")
    verified = fields.BooleanField(help_text="Whether a paper of it is verified.")


class CheckOutput(LookupOutput):
    id = fields.UUIDField(help_text="Of the check.")
    kind = fields.CharField(help_text="What is checked: gst, pan, bank or geocode.")
    status = fields.CharField(help_text="pending, passed, failed, review or waived.")
    subject_id = fields.UUIDField(help_text="Registration, partner, account or location that is checked.")
    mandatory = fields.BooleanField(help_text="Whether an approval needs it.")
    attempts = fields.IntegerField(help_text="How often the registry was asked.")
    answered_at = fields.DateTimeField(allow_null=True, help_text="When the registry answered.")


class QuestionOutput(LookupOutput):
    id = fields.UUIDField(help_text="Of the question.")
    text = fields.CharField(help_text="What is asked for.")
    checklist_item = fields.CharField(allow_null=True, help_text="The item of the checklist.")
    due_at = fields.DateTimeField(help_text="By when an answer is expected.")
    answer = fields.CharField(allow_null=True, help_text="The answer.")


class RoundOutput(Output):
    class Meta:
        model = OnboardingRound
        fields = (
            "partner_id", "number", "kind", "submitted_at", "expires_at", "decided_at", "reason_code",
        )  # fmt: skip

    reason = SerializerMethodField(
        help_text="Why it was rejected; for staff also why they asked for a renewal."
    )
    partner_status = fields.CharField(source="partner.status", help_text="Status of the partner.")
    partner_version = fields.IntegerField(
        source="partner.version", help_text="Version of the partner, which an approval names."
    )
    roles = RoleOutput(many=True, source="role_rows", help_text="Roles that the file is for.")
    entity_class = fields.CharField(help_text="Business entity or service provider.")
    checklist = ChecklistOutput(
        many=True, source="checklist_items", help_text="What is needed, and what is there."
    )
    checks = CheckOutput(many=True, source="check_rows", help_text="Questions to registries.")
    questions = QuestionOutput(many=True, source="item_rows", help_text="What staff asked.")
    trust_score = StaffNumber(allow_null=True, help_text="Score, 0 to 100; null for the partner's side.")
    risk_category = StaffText(allow_null=True, help_text="Risk category; null for the partner's side.")
    route = StaffText(allow_null=True, help_text="Who may decide; null for the partner's side.")

    def get_reason(self, row: OnboardingRound) -> str | None:
        actor = self.context.get("actor")
        shown = row.status == OnboardingRound.Status.REJECTED or (actor is not None and actor.is_staff)
        reason: str | None = row.reason if shown else None
        return reason

    def to_representation(self, instance: Any) -> dict[str, Any]:
        roles = roles_of(instance.partner)
        instance.role_rows, instance.entity_class = roles, entity_class(roles)
        instance.checklist_items = checklist(instance, clock.today())
        instance.check_rows = list(instance.checks.order_by("kind", "id"))
        instance.item_rows = list(instance.items.order_by("id"))
        answer: dict[str, Any] = super().to_representation(instance)
        return answer


class RoundLineOutput(Output):
    class Meta:
        model = OnboardingRound
        fields = ("partner_id", "number", "kind", "submitted_at", "expires_at", "decided_at", "reason_code")


class DocumentOutput(Output):
    class Meta:
        model = PartnerDocument
        fields = (
            "partner_id", "round_id", "target_type", "target_id", "document_type", "issue_date", "expiry_date",
            "revision", "replaces_id", "filename", "media_type", "size", "sha256", "decided_at", "reject_code",
            "reject_reason",
        )  # fmt: skip

    scan_status = fields.CharField(help_text="Result of the scan for malware.")


class RegistrationOutput(ReadsAreLogged, Output):
    class Meta:
        model = TaxRegistration
        fields = ("state_code", "registry_status", "type", "checked_at")

    gstin = Sensitive("gstin", GSTIN, help_text="GSTIN.")


class LocationOutput(ReadsAreLogged, Output):
    class Meta:
        model = PartnerLocation
        fields = (
            "partner_id", "code", "name", "kind", *ADDRESS, "contact_name", "geo_status", "can_ship_from",
            "can_ship_to", "default_ship_from", "default_ship_to", "capacity_quintals", "tax_registration_id",
        )  # fmt: skip

    contact_phone = Sensitive("contact_phone", PHONE, help_text="Telephone number at the place.")


class VehicleOutput(Output):
    class Meta:
        model = Vehicle
        fields = (
            "partner_id", "number", "category", "owner_name", "make_model", "capacity_tonnes", "registration_date",
            "permit_type",
        )  # fmt: skip


class EmployeeOutput(ReadsAreLogged, Output):
    class Meta:
        model = PartnerEmployee
        fields = (
            "partner_id",
            "name",
            "designation",
            "roles",
            "invited_at",
            "activated_at",
            "deactivated_at",
        )

    email = Sensitive("email", EMAIL, help_text="E-mail address.")
    phone = Sensitive("phone", PHONE, help_text="Telephone number.")


class PartnerBankAccountOutput(Output):
    class Meta:
        model = PartnerBankAccount
        fields = (
            "partner_id", "holder", "bank_name", "last4", "ifsc", "swift", "account_type", "purpose", "currency",
            "is_primary", "method", "verified_at", "payable_from",
        )  # fmt: skip


class PartyLinkOutput(LookupOutput):
    id = fields.UUIDField(help_text="Of the link.")
    partner_ids = fields.ListField(child=fields.UUIDField(), help_text="Both partners.")
    kind = fields.CharField(help_text="What they share, never its value: pan, gstin, phone and others.")
    strength = fields.CharField(help_text="block or warn.")
    status = fields.CharField(help_text="suspected, confirmed or cleared.")
    proposed_status = fields.CharField(allow_null=True, help_text="What waits for a second person.")
    cleared_until_date = fields.DateField(allow_null=True, help_text="Last day of a clearance.")
    created_at = fields.DateTimeField(help_text="When it was found.")


class PermissionOutput(LookupOutput):
    id = fields.UUIDField(help_text="Of the permission.")
    name = fields.CharField(help_text="What the partner may do, such as domestic_sell_india.")
    valid_from = fields.DateField(help_text="First day.")
    valid_to = fields.DateField(allow_null=True, help_text="Last day: a paper ends then.")


class ChangeOutput(LookupOutput):
    target = fields.CharField(help_text="What is changed.")
    target_id = fields.UUIDField(help_text="The row.")
    field = fields.CharField(help_text="Name of the field.")
    old_value = StaffOrOwnValue(help_text="Value when it was requested; null for whoever may not see it.")
    new_value = StaffOrOwnValue(help_text="Value to set; null for whoever may not see it.")


class AmendmentOutput(Output):
    class Meta:
        model = Amendment
        fields = (
            "partner_id", "tier", "reason", "effective_date", "decided_at", "reason_code", "expires_at",
        )  # fmt: skip

    changes = ChangeOutput(many=True, help_text="What changes.")
    impact = SerializerMethodField(help_text="Open exposure by side, for staff; null for the partner's side.")
    decision_note = SerializerMethodField(
        help_text="Why it was rejected; for staff also the note of an approval."
    )

    def get_decision_note(self, row: Amendment) -> str | None:
        actor = self.context.get("actor")
        shown = row.status == Amendment.Status.REJECTED or (actor is not None and actor.is_staff)
        note: str | None = row.decision_note if shown else None
        return note

    def to_representation(self, instance: Amendment) -> dict[str, Any]:
        actor = self.context.get("actor")
        if actor is not None and _sees_clear(actor, instance):
            log_clear_read(actor, instance, ["changes"])
        answer: dict[str, Any] = super().to_representation(instance)
        return answer

    def get_impact(self, row: Amendment) -> dict[str, Any] | None:
        actor = self.context.get("actor")
        return row.impact if actor is not None and actor.is_staff else None


class CreditLimitOutput(Output):
    class Meta:
        model = CreditLimit
        fields = (
            "partner_id", "amount", "valid_from", "valid_to", "payment_terms_days", "collateral_kind",
            "collateral_value", "collateral_rate", "on_hold", "approval_id",
        )  # fmt: skip


def _money(help_text: str) -> Any:
    return fields.DecimalField(max_digits=20, decimal_places=2, read_only=True, help_text=help_text)


class CreditOutput(Output):
    class Meta:
        model = CreditAccount
        fields = (
            "currency", "on_hold", "holds", "contracted", "mark", "delivered_unpaid", "advances", "margin",
        )  # fmt: skip

    limit = _money("Limit today, with the part of the collateral that counts.")
    exposure = _money("Everything at risk today.")
    headroom = _money("What is left of the limit; negative where the exposure is above it.")
    utilisation_percent = SerializerMethodField(
        help_text="Exposure in percent of the limit; null without a limit."
    )
    level = SerializerMethodField(help_text="none, low, medium, high or critical.")

    def get_utilisation_percent(self, row: CreditAccount) -> str | None:
        used = row.utilisation(row.limit)
        return None if used is None else str(used)

    def get_level(self, row: CreditAccount) -> str:
        return str(row.level(row.limit))


class EntryOutput(LookupOutput):
    id = fields.IntegerField(help_text="Of the entry.")
    side = fields.CharField(help_text="Whether the partner buys or sells.")
    bucket = fields.CharField(help_text="Where the exposure stands.")
    kind = fields.CharField(help_text="What was done.")
    amount = _money("Signed amount in the account's currency.")
    source_type = fields.CharField(help_text="What it is about.")
    source_id = fields.UUIDField(help_text="The row that it is about.")
    created_at = fields.DateTimeField(help_text="When it was booked.")
