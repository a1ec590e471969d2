"""Inputs and outputs of trades. What a caller's part in a trade doesn't show is null."""

from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import JSONField, SerializerMethodField

from apps.availability.models import Reservation
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.commodities.models.units import UnitDefinition
from apps.locations.models import Location
from apps.matching.models import Match
from apps.negotiations.models import Negotiation
from apps.organization.models.identity import Organization
from apps.partners.models import Partner, TaxRegistration, Vehicle
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.models import (
    Acknowledgement,
    Amendment,
    Approval,
    Deadline,
    Delivery,
    Dispatch,
    Dispute,
    Lot,
    Party,
    QualityResult,
    Terms,
    Trade,
    Weighment,
)
from apps.trades.models.base import choices_of
from apps.trades.models.trade import Part
from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, LookupOutput, Output, set_nullable, within
from erp.files import JPEG, PDF, PNG
from erp.uploads.models import StoredFile


def _optional(help_text: str, **kwargs: Any) -> dict[str, Any]:
    return {"required": False, "allow_null": True, "help_text": help_text, **kwargs}


def _row(rows: Any, source: str, help_text: str, **kwargs: Any) -> Any:
    return fields.RowField(rows.objects.visible_to, source=source, **_optional(help_text, **kwargs))


def _choice(names: Any, help_text: str, **kwargs: Any) -> Any:
    return fields.ChoiceField(choices=choices_of(names), help_text=help_text, **kwargs)


def _kg(help_text: str, **kwargs: Any) -> Any:
    return fields.DecimalField(
        max_digits=18, decimal_places=3, help_text=help_text, **{"min_value": Decimal("0.001"), **kwargs}
    )


def _rate(help_text: str, **kwargs: Any) -> Any:
    return fields.DecimalField(
        max_digits=18, decimal_places=6, help_text=help_text, **{"min_value": Decimal(0), **kwargs}
    )


def _percent(help_text: str, most: int = 100) -> Any:
    return fields.DecimalField(
        max_digits=9, decimal_places=4, min_value=Decimal(0), max_value=Decimal(most), **_optional(help_text)
    )


def _whole(help_text: str, least: int, most: int) -> Any:
    return fields.IntegerField(min_value=least, max_value=most, **_optional(help_text))


def _count(help_text: str = "Number of packages. Only where the goods are counted.") -> Any:
    return fields.IntegerField(min_value=1, max_value=2_000_000_000, **_optional(help_text))


def _on_behalf() -> Any:
    return fields.ChoiceField(choices=choices_of(t.Side), **_optional("The side for which staff act."))


def _evidence(help_text: str = "What proves the side's agreement. Staff need it.") -> Any:
    return _row(StoredFile, "evidence", help_text)


def _reason(help_text: str, least: int = 10, most: int = 1000) -> Any:
    return fields.CharField(min_length=least, max_length=most, multiline=True, help_text=help_text)


# Creation


class SlabInput(Input):
    days = fields.IntegerField(
        min_value=1, max_value=366, **_optional("Days of the slab. Empty in the last.")
    )
    annual_percent = fields.DecimalField(
        max_digits=9,
        decimal_places=4,
        min_value=Decimal(0),
        max_value=Decimal(60),
        help_text="Percent per year.",
    )


def _slabs(help_text: str) -> Any:
    return SlabInput.many_init(required=False, max_length=10, help_text=help_text)


class QualityTermsInput(Input):
    passing_term_id = _row(PassingTerms, "passing_term", "Passing terms.")
    final_source = fields.ChoiceField(
        choices=PassingTerms.FinalSource.choices, **_optional("Whose result is final.")
    )
    bales_per_sample = _whole("Packages from which one sample is drawn. Default 20.", 1, 100)
    claim_days = _whole("Days after delivery for a quality claim. Default 7.", 0, 60)


class WeightTermsInput(Input):
    weighment_term_id = _row(WeighmentTerms, "weighment_term", "Weighment terms.")
    final = _choice(t.WeightFinal, "Whose weighing counts.", required=False, allow_null=True)
    franchise_kind = _choice(t.Franchise, "How a small loss counts.", required=False, allow_null=True)
    franchise_percent = _percent("Loss that isn't claimed, in percent.", 5)
    tolerance_percent = _percent("By how much the quantity may differ. Default 5.", 20)
    claim_days = _whole("Days after delivery for a weight claim. Default 3.", 0, 60)


class DeliveryTermsInput(Input):
    delivery_term_id = _row(DeliveryTerms, "delivery_term", "Delivery terms.")
    from_location_id = _row(Location, "from_location", "Place from which the goods are delivered.")
    to_location_id = _row(Location, "to_location", "Place to which the goods are delivered.")
    window_start = fields.DateField(**_optional("First day of delivery."))
    window_end = fields.DateField(**_optional("Last day of delivery."))
    free_days = _whole("Days after the first without charge for late lifting.", 0, 120)
    late_slabs = _slabs("Charge for late lifting.")


class PaymentTermsInput(Input):
    payment_term_id = _row(PaymentTerms, "payment_term", "Payment terms.")
    advance_percent = _percent("Share of the contract value that is paid in advance.")
    advance_days = _whole("Days after the trade date by which the advance is due.", 0, 90)
    balance_days = _whole("Days after invoice or delivery by which the balance is due.", 0, 365)
    balance_from = fields.ChoiceField(
        choices=choices_of(t.BalanceFrom), **_optional("From which day the balance is due.")
    )
    day_kind = _choice(t.DayKind, "How days are counted.", required=False, allow_null=True)
    carrying_slabs = _slabs("Charge for late payment.")
    carrying_tax = _choice(t.NoteTax, "Whether that charge is taxed.", required=False, allow_null=True)


class PartyInput(Input):
    class Meta:
        model = Party

    role = fields.ChoiceField(choices=choices_of(t.Role), help_text="What the partner is in the trade.")
    partner_id = fields.RowField(Partner.objects.visible_to, source="partner", help_text="The partner.")
    registration_id = _row(TaxRegistration, "registration", "GST registration. Default: the main one.")
    share = fields.DecimalField(
        max_digits=9, decimal_places=4, min_value=Decimal("0.0001"), max_value=Decimal(100),
        **_optional("Share of the side's brokerage, in percent."),
    )  # fmt: skip
    external_ref = fields.CharField(
        max_length=64, **_optional("The partner's own reference.", allow_blank=True)
    )
    declaration_upload_id = _row(StoredFile, "declaration", "Declaration of an agriculturist.")


class TradeLotInput(Input):
    class Meta:
        model = Lot

    lot_id = fields.UUIDField(**_optional("Lot of the offer."))
    lot_no = fields.CharField(max_length=32, **_optional("Lot number. Default: that of the offer's lot."))
    count = _count()
    estimated_kg = _kg("Contract weight in kilograms.")


class BrokerageInput(Input):
    side = _choice(t.Side, "The side that pays it.")
    basis = fields.ChoiceField(
        choices=[row for row in choices_of(t.Basis) if row[0] != t.Basis.SLABS],
        help_text="What it is reckoned on.",
    )
    rate = _rate("Percent, amount per price unit, or amount.")


class ChargeInput(Input):
    kind = _choice(t.ChargeKind, "Kind of charge.")
    basis = fields.ChoiceField(
        choices=[row for row in choices_of(t.Basis) if row[0] != t.Basis.SLABS],
        help_text="What it is reckoned on.",
    )
    rate = _rate("Percent, amount per price unit, or amount.")
    taxable = fields.BooleanField(
        required=False, help_text="Whether it is taxed like the goods. Default: yes."
    )
    from_quantity = _rate("Quantity in price units above which it applies.", required=False, allow_null=True)


class RuleBookInput(Input):
    code = fields.CharField(max_length=32, help_text="Code of the rule book, such as KCA.")
    version = fields.CharField(max_length=32, help_text="Its version.")


class TradeContentInput(Input):
    unit_definition_id = _row(
        UnitDefinition, "unit_definition", "Definition of the pricing unit. The reservation fixes it."
    )
    schedule_id = _row(QualitySchedule, "schedule", "Premiums and discounts. The offer may fix them.")
    rule_book = RuleBookInput(**_optional("Rules of the contract."))
    lots = TradeLotInput.many_init(
        required=False, max_length=200, help_text="The lots. None: one stands for the parcel."
    )
    parties = PartyInput.many_init(
        required=False, max_length=20, help_text="Parties. Seller and buyer come from the source."
    )
    quality = QualityTermsInput(**_optional("How quality is passed."))
    weight = WeightTermsInput(**_optional("How weight is determined."))
    delivery = DeliveryTermsInput(**_optional("Where and when goods are delivered."))
    payment = PaymentTermsInput(**_optional("When the goods are paid."))
    brokerage = BrokerageInput.many_init(required=False, max_length=2, help_text="Brokerage of each side.")
    charges = ChargeInput.many_init(required=False, max_length=10, help_text="Further charges of the seller.")
    premium_cap_percent = _percent("Bound of premiums and discounts together.")


class TradeCreateInput(Input):
    class Meta:
        model = Trade

    organization_id = _row(Organization, "organization", "The house that books it. Default: your own.")
    match_id = _row(Match, "match", "The approved match.")
    negotiation_id = _row(Negotiation, "negotiation", "The accepted negotiation.")
    reservation_id = fields.RowField(
        Reservation.objects.visible_to, source="reservation", help_text="The reservation that backs it."
    )
    quantity = _kg(
        "Quantity in the offer's unit. Default: all that is reserved; the rest is freed.", required=False
    )
    trade_date = fields.DateField(required=False, help_text="Day of the contract. Default: today.")
    locals().update(within("content", TradeContentInput))


class AcknowledgeInput(Input):
    contract_hash = fields.CharField(
        min_length=64, max_length=64, help_text="Hash of the terms, to show which ones you agree to."
    )
    on_behalf_of = _on_behalf()
    evidence_upload_id = _evidence()


class TradeApproveInput(Input):
    comment = fields.CharField(
        max_length=500, required=False, allow_blank=True, multiline=True, help_text="Remark on the decision."
    )


# Execution


class QualityValueInput(Input):
    parameter_id = fields.UUIDField(help_text="Quality parameter of the commodity.")
    value = fields.DecimalField(max_digits=12, decimal_places=4, help_text="The result.")
    unit = fields.CharField(max_length=16, **_optional("Unit of the result. Default: the parameter's."))
    method = fields.CharField(max_length=32, **_optional("Test method. Default: the parameter's usual one."))


class QualityInput(Input):
    class Meta:
        model = QualityResult

    lot_id = fields.UUIDField(help_text="Lot of the trade.")
    source = fields.ChoiceField(  # type: ignore[assignment]
        choices=QualityResult.Source.choices, help_text="Who tested, or awarded."
    )
    laboratory_id = _row(Partner, "laboratory", "The laboratory, if it is a partner.")
    sampled_at = fields.DateTimeField(help_text="When the samples were drawn.")
    tested_at = fields.DateTimeField(help_text="When they were tested.")
    sample_refs = fields.ListField(
        child=fields.CharField(max_length=40), required=False, max_length=50, unique=True,
        help_text="References of the samples.",
    )  # fmt: skip
    values = QualityValueInput.many_init(min_length=1, max_length=40, help_text="Results by parameter.")
    governing = fields.BooleanField(required=False, help_text="Whether the lot is priced by it. Default: no.")
    supersedes_id = _row(QualityResult, "supersedes", "The governing result that it replaces.")
    report_upload_id = _row(StoredFile, "report", "Report of the test.")
    award_price = _rate(
        "Price that an award sets.", required=False, allow_null=True, min_value=Decimal("0.000001")
    )
    award_allowance_percent = _percent("Allowance that an award sets.")


class WeighmentInput(Input):
    class Meta:
        model = Weighment

    lot_id = fields.UUIDField(help_text="Lot of the trade.")
    stage = _choice(f.Stage, "Where it was weighed.")
    weighed_at = fields.DateTimeField(help_text="When it was weighed.")
    count = _count("Packages that were weighed.")
    gross_kg = _kg("Gross weight.")
    tare_kg = _kg("Tare.", min_value=Decimal(0))
    tare_method = fields.ChoiceField(
        choices=[row for row in choices_of(t.TareMethod) if row[0] != t.TareMethod.PERCENT], required=False,
        help_text="How the tare was found. Default: actual.",
    )  # fmt: skip
    weighbridge = fields.CharField(max_length=120, help_text="The weighbridge.")
    slip_number = fields.CharField(max_length=40, twelve_digits=True, help_text="Number of its slip.")
    dispatch_id = _row(Dispatch, "dispatch", "The dispatch. Required at the destination.")
    slip_upload_id = _row(StoredFile, "slip", "The slip.")
    corrects_id = _row(Weighment, "corrects", "The weighing that it corrects.")


class GoodsInput(Input):
    lot_id = fields.UUIDField(help_text="Lot of the trade.")
    count = _count()
    weight_kg = _kg("Weight in kilograms.")


class ArrivedInput(GoodsInput):
    count = fields.IntegerField(min_value=0, max_value=2_000_000_000, **_optional("Number of packages."))
    weight_kg = _kg("Weight in kilograms.", min_value=Decimal(0))


def _goods(shape: Any, words: str) -> Any:
    return shape.many_init(min_length=1, max_length=200, help_text=words)


class DispatchInput(Input):
    class Meta:
        model = Dispatch

    dispatched_at = fields.DateTimeField(help_text="When the goods left.")
    transporter_id = _row(Partner, "transporter", "Who carries them. Default: the trade's transporter.")
    vehicle_id = _row(Vehicle, "vehicle", "The vehicle, if it is registered.")
    vehicle_number = fields.CharField(
        max_length=16, required=False, help_text="As on the plate, such as GJ03BT4321."
    )
    distance_km = fields.IntegerField(min_value=1, max_value=5000, help_text="Distance in kilometres.")
    lr_number = fields.CharField(
        max_length=40, required=False, allow_blank=True, twelve_digits=True, help_text="Lorry receipt."
    )
    invoice_number = fields.CharField(
        max_length=16,
        required=False,
        allow_blank=True,
        twelve_digits=True,
        help_text="The seller's tax invoice.",
    )
    invoice_date = fields.DateField(**_optional("Date of the invoice."))
    challan_number = fields.CharField(
        max_length=16, required=False, allow_blank=True, twelve_digits=True, help_text="Delivery challan."
    )
    eway_number = fields.CharField(
        min_length=12,
        max_length=12,
        required=False,
        twelve_digits=True,
        help_text="E-way bill, if there is one.",
    )
    lines = _goods(GoodsInput, "Goods by lot.")
    returns_dispatch_id = _row(Dispatch, "returns", "The delivered dispatch of which goods go back.")


class DeliveryInput(Input):
    class Meta:
        model = Delivery

    dispatch_id = fields.RowField(Dispatch.objects.visible_to, source="dispatch", help_text="What arrived.")
    delivered_at = fields.DateTimeField(help_text="When it arrived.")
    lines = _goods(ArrivedInput, "Goods by lot.")
    final = fields.BooleanField(required=False, help_text="Whether nothing more will come. Default: no.")
    condition_note = fields.CharField(
        max_length=500, required=False, allow_blank=True, multiline=True, help_text="State of the goods."
    )


class VoidDispatchInput(Input):
    reason = _reason("Why it is taken back, 10 to 500 characters.", most=500)


class ExtendEwayInput(Input):
    reason = _reason("Why, 10 to 500 characters.", most=500)
    vehicle_number = fields.CharField(max_length=16, required=False, help_text="The new vehicle.")
    valid_until = fields.DateTimeField(**_optional("The new end of the e-way bill."))


class EnterEwayInput(Input):
    number = fields.CharField(
        min_length=12, max_length=12, twelve_digits=True, label="E-way bill", help_text="Its 12 digits."
    )
    valid_until = fields.DateTimeField(
        **_optional("End of its validity. Default: by the distance.", label="Valid until")
    )


class WashoutInput(Input):
    market_price = _rate("Market price, in the pricing unit.", min_value=Decimal("0.000001"))
    source = fields.CharField(  # type: ignore[assignment]
        max_length=120, help_text="Where the price is published."
    )
    source_date = fields.DateField(help_text="Day of the price.")
    payable = _choice(
        f.Payable, "Whether a difference in favour of the side in default is paid.", required=False
    )


class TradeCancelInput(Input):
    reason_code = fields.ChoiceField(
        choices=[
            ("MUTUAL", "By agreement"), ("SELLER_DEFAULT", "The seller is in default"),
            ("BUYER_DEFAULT", "The buyer is in default"), ("QUALITY", "Quality"), ("OTHER", "Other"),
        ],
        help_text="Kind of reason.",
    )  # fmt: skip
    reason = _reason("Why, 10 to 1,000 characters.")
    stock = fields.ChoiceField(
        choices=[("RETURN", "Back to the offer"), ("WITHDRAW", "Off the market")], required=False,
        help_text="What becomes of the goods. Default: back to the offer.",
    )  # fmt: skip
    washout = WashoutInput(**_optional("The market's price. Required for a default."))
    evidence_upload_id = _evidence("What proves the default.")


@extend_schema_field({"type": ["string", "integer", "boolean", "array", "object"]})
class TermField(JSONField):
    """Any value that a term can have."""


class ChangeInput(Input):
    pointer = fields.CharField(
        max_length=60, help_text="Which term changes, such as /price or /delivery/window_end."
    )
    value = TermField(allow_null=True, help_text="The new value; decimals as text.")


class AmendmentInput(Input):
    changes = ChangeInput.many_init(min_length=1, max_length=20, help_text="What changes.")
    reason = _reason("Why, 10 to 1,000 characters.")
    on_behalf_of = _on_behalf()
    evidence_upload_id = _evidence()


class AcceptAmendmentInput(Input):
    on_behalf_of = _on_behalf()
    evidence_upload_id = _evidence()


class RejectAmendmentInput(AcceptAmendmentInput):
    reason = _reason("Why, 10 to 1,000 characters.")


class DisputeInput(Input):
    class Meta:
        model = Dispute

    kind = fields.ChoiceField(choices=Dispute.Kind.choices, help_text="What it is about.")
    lot_id = fields.UUIDField(**_optional("Lot that it is about."))
    claimed_amount = fields.DecimalField(
        max_digits=18, decimal_places=2, min_value=Decimal("0.01"), **_optional("Amount that is claimed.")
    )
    statement = _reason("What happened, 10 to 4,000 characters.", most=4000)
    evidence_upload_ids = fields.ListField(
        child=fields.RowField(StoredFile.objects.visible_to), source="evidence", required=False, max_length=20,
        unique=True, help_text="Uploaded files.",
    )  # fmt: skip
    on_behalf_of = _on_behalf()


class ResolveDisputeInput(Input):
    outcome = fields.ChoiceField(choices=Dispute.Outcome.choices, help_text="How it is decided.")
    reason = _reason("Why, 10 to 4,000 characters.", most=4000)
    award_amount = fields.DecimalField(
        max_digits=18, decimal_places=2, min_value=Decimal("0.01"), **_optional("Amount that is awarded.")
    )
    award_to = fields.ChoiceField(choices=choices_of(t.Side), **_optional("The side that receives it."))
    evidence_upload_id = _evidence("The award, if there is a paper.")


# Forms of the portal: a file comes with the form


class _FilesField(FileField):
    """A file where the service takes several."""

    def to_internal_value(self, data: Any) -> Any:
        return [super().to_internal_value(data)]


def _file(source: str, label: str, help_text: str, kind: type[FileField] = FileField) -> Any:
    return kind(accepts=(PDF, JPEG, PNG), source=source, required=False, label=label, help_text=help_text)


def _proof() -> Any:
    words = "What proves the side's agreement, such as its letter: PDF, JPEG or PNG."
    return _file("evidence", "Evidence", words)


class PortalAcknowledgeInput(AcknowledgeInput):
    contract_hash = fields.CharField(
        min_length=64, max_length=64, label="Terms agreed to", help_text="Contract hash of the current terms."
    )
    evidence_upload_id = _proof()


class MissingDeliveryInput(DeliveryTermsInput):
    late_slabs = None


class MissingPaymentInput(PaymentTermsInput):
    carrying_slabs = None


class MissingContentInput(TradeContentInput):
    """What a negotiation may not have agreed. Lists of slabs and charges stay those of the offer."""

    unit_definition_id = rule_book = charges = premium_cap_percent = None  # type: ignore[assignment]
    delivery = MissingDeliveryInput(**_optional("Where and when goods are delivered."))
    payment = MissingPaymentInput(**_optional("When the goods are paid."))


class CreateRefusedInput(Input):
    organization_id = _row(Organization, "organization", "The organization that books it. Default: your own.")
    trade_date = fields.DateField(required=False, help_text="Day of the contract. Default: today.")
    locals().update(within("content", MissingContentInput))


class CloseRefusedInput(Input):
    reason = _reason("Why there is no trade, 10 to 500 characters, without names of people.", most=500)


class PortalQualityInput(QualityInput):
    report_upload_id = _file("report", "Report", "Report of the test: PDF, JPEG or PNG.")


class PortalWeighmentInput(WeighmentInput):
    slip_upload_id = _file("slip", "Slip", "The slip of the weighbridge: PDF, JPEG or PNG.")


class PortalAmendmentInput(AmendmentInput):
    evidence_upload_id = _proof()


class PortalAcceptAmendmentInput(AcceptAmendmentInput):
    evidence_upload_id = _proof()


class PortalRejectAmendmentInput(RejectAmendmentInput):
    evidence_upload_id = _proof()


class PortalDisputeInput(DisputeInput):
    evidence_upload_ids = _file("evidence", "Evidence", "PDF, JPEG or PNG.", _FilesField)


class PortalResolveDisputeInput(ResolveDisputeInput):
    evidence_upload_id = _file("evidence", "Award", "The award, if there is a paper: PDF, JPEG or PNG.")


class PortalCancelInput(TradeCancelInput):
    evidence_upload_id = _file("evidence", "Evidence", "What proves the default: PDF, JPEG or PNG.")


# Outputs


class RecordedOutput(Output):
    """A row that never changes: it has no version."""

    version = None  # type: ignore[assignment]
    updated_at = None  # type: ignore[assignment]


class TradeOutput(Output):
    """A trade. Brokers see goods, price and value; carriers and controllers goods and places."""

    seller_name = fields.CharField(source="seller.legal_name")
    buyer_name = fields.CharField(source="buyer.legal_name")
    unit = fields.CharField(source="availability.unit", help_text="Unit of the quantity.")
    approvals_given = fields.IntegerField(help_text="How many people have approved the terms in force.")
    my_roles = SerializerMethodField(help_text="Roles of the caller's own partner.")

    class Meta:
        model = Trade
        fields = (
            "organization", "number", "match", "negotiation", "reservation", "availability", "requirement", "commodity",
            "variety", "seller", "buyer", "trade_date", "quantity", "count", "count_unit", "weight_kg",
            "weight_basis", "from_location", "to_location", "window_start_date", "window_end_date", "price", "currency",
            "pricing_unit", "unit_definition_version", "contract_value", "fx_rate", "base_value", "terms_version",
            "contract_hash", "approvals_required", "acknowledge_until", "hold_code", "cancelled_count", "cancelled_kg",
            "cancel_reason", "approved_at", "settled_at",
        )  # fmt: skip

    FOR_SERVICE: ClassVar = frozenset(
        {
            "id", "allowed_actions", "links", "number", "status", "commodity_id", "variety_id", "quantity", "unit",
            "count", "count_unit", "weight_kg", "weight_basis", "from_location_id", "to_location_id",
            "window_start_date", "window_end_date", "my_roles",
        }
    )  # fmt: skip
    FOR_BROKER: ClassVar = frozenset(
        {*FOR_SERVICE, "trade_date", "price", "currency", "pricing_unit_id", "contract_value"}
        - {"from_location_id", "to_location_id"}
    )

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name, field in built.items():
            if name not in self.FOR_SERVICE or name not in self.FOR_BROKER or name == "requirement_id":
                set_nullable(field)
        return built

    def get_my_roles(self, row: Trade) -> list[str]:
        """Roles of the caller's own partner in the trade."""
        own = self.context["actor"].partner_id
        return sorted(
            party.role for party in row.parties.all() if own is not None and party.partner_id == own
        )

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        actor = self.context["actor"]
        part = row.part_for(actor)
        if part == Part.SIDE:
            if actor.partner_id == row.seller_id:  # which requirement it serves is the buyer's (rulings X28)
                data["requirement_id"] = None
            return data
        shown = self.FOR_BROKER if part == Part.BROKER else self.FOR_SERVICE
        return {name: value if name in shown else None for name, value in data.items()}


class TermsOutput(RecordedOutput):
    body = fields.DictField(help_text="The terms, as canonical JSON.")

    class Meta:
        model = Terms
        fields = ("trade_id", "terms_version", "schema_version", "hash", "amendment_id")


class PartyOutput(RecordedOutput):
    partner_name = fields.CharField(source="partner.legal_name", help_text="Registered name of the partner.")

    class Meta:
        model = Party
        fields = (
            "trade_id", "role", "partner_id", "registration_id", "state_code", "tax_status", "has_pan", "share",
            "external_ref",
        )  # fmt: skip

    def to_representation(self, row: Party) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        actor = self.context["actor"]
        if actor.partner_id not in (None, row.partner_id):
            data["external_ref"] = ""
        return data


class TradeLotOutput(RecordedOutput):
    class Meta:
        model = Lot
        fields = (
            "trade_id",
            "lot_no",
            "press_mark",
            "crop_year",
            "pr_from",
            "pr_to",
            "count",
            "estimated_kg",
        )


class AcknowledgementOutput(RecordedOutput):
    class Meta:
        model = Acknowledgement
        fields = ("trade_id", "terms_version", "role", "contract_hash", "on_behalf", "evidence_id")


class ApprovalOutput(RecordedOutput):
    class Meta:
        model = Approval
        fields = ("trade_id", "terms_version", "request_id", "contract_hash", "comment", "created_by_id")


class QualityValueOutput(LookupOutput):
    parameter = fields.CharField(source="parameter.code")
    parameter_id = fields.UUIDField()
    value = fields.DecimalField(max_digits=12, decimal_places=4)
    unit = fields.CharField()
    method = fields.CharField()


class QualityResultOutput(RecordedOutput):
    values = QualityValueOutput(many=True)
    governing = SerializerMethodField(help_text="Whether the lot is priced by it.")

    class Meta:
        model = QualityResult
        fields = (
            "trade_id", "lot_id", "source", "laboratory_id", "sampled_at", "tested_at", "sample_refs", "decision",
            "supersedes_id", "report_id", "award_price", "award_allowance_percent",
        )  # fmt: skip

    def get_governing(self, row: QualityResult) -> bool:
        """Whether no other result governs the lot."""
        return any(each.result_id == row.pk for each in row.trade.governing.all())


class WeighmentOutput(RecordedOutput):
    class Meta:
        model = Weighment
        fields = (
            "trade_id", "lot_id", "dispatch_id", "stage", "weighed_at", "count", "gross_kg", "tare_kg", "net_kg",
            "tare_method", "weighbridge", "slip_number", "slip_id", "corrects_id",
        )  # fmt: skip


class GoodsOutput(LookupOutput):
    lot_id = fields.UUIDField()
    count = fields.IntegerField(allow_null=True)
    weight_kg = fields.DecimalField(max_digits=18, decimal_places=3)


class DispatchOutput(Output):
    lines = GoodsOutput(many=True)

    class Meta:
        model = Dispatch
        fields = (
            "trade_id", "direction", "returns_id", "dispatched_at", "transporter_id", "vehicle_id", "vehicle_number",
            "lr_number", "distance_km", "from_location_id", "to_location_id", "invoice_number", "invoice_date",
            "challan_number", "consignment_value", "eway_number", "eway_valid_until", "eway_status", "voided_at",
            "void_reason",
        )  # fmt: skip

    # What a carrier of the goods doesn't see.
    OF_SIDES: ClassVar = ("invoice_number", "invoice_date", "consignment_value", "void_reason")

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name in self.OF_SIDES:
            set_nullable(built[name])
        return built

    def to_representation(self, row: Dispatch) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        actor = self.context["actor"]
        if actor.partner_id is None or row.trade.side_of(actor) is not None:
            return data
        return {name: None if name in self.OF_SIDES else value for name, value in data.items()}


class DeliveryOutput(RecordedOutput):
    lines = GoodsOutput(many=True)

    class Meta:
        model = Delivery
        fields = ("trade_id", "dispatch_id", "delivered_at", "final", "condition_note")


class AmendmentOutput(Output):
    changes = fields.ListField(
        child=fields.DictField(), help_text="What changes: pointer, old and new value."
    )

    class Meta:
        model = Amendment
        fields = (
            "trade_id", "side", "commercial", "reason", "base_terms_version", "proposed_hash", "on_behalf",
            "proposal_evidence_id", "evidence_id", "decided_at", "decision_reason",
        )  # fmt: skip


class DisputeOutput(Output):
    masked = ("outcome", "award_to")  # null while it is open

    def to_representation(self, row: Dispute) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        return {name: None if name in self.masked and value == "" else value for name, value in data.items()}

    class Meta:
        model = Dispute
        fields = (
            "trade_id", "lot_id", "kind", "side", "claimed_amount", "statement", "evidence_ids", "outcome",
            "award_amount", "award_to", "resolution", "resolved_at",
        )  # fmt: skip


class EvidenceOutput(Output):
    class Meta:
        model = StoredFile
        fields = ("media_type", "size", "sha256", "scan_status")


class DeadlineOutput(Output):
    class Meta:
        model = Deadline
        fields = ("trade_id", "kind", "due_date")
