"""Inputs and outputs of offers and reservations. Fields that the caller may not see at its stage are null."""

import re
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.serializers import SerializerMethodField

from apps.availability.models import (
    Availability,
    Lot,
    Media,
    PriceStep,
    QualityValue,
    Reservation,
    Stage,
    TestReport,
    band,
)
from apps.availability.services.warnings import STAFF_ONLY, readiness
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.locations.earth import tenth
from apps.partners.models import Partner
from apps.partners.pseudonyms import pseudonym
from erp.ai.serializers import SuggestionAnswer
from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, LookupOutput, Output, row_answer, row_input, within
from erp.api.validators import COUNTRY, matches, time_zone
from erp.files import CSV, JPEG, PDF, PNG, XLSX
from erp.jobs.models import Job
from erp.uploads.models import StoredFile


def crop_year(value: str) -> None:
    """Check a season such as ``2025-26``: the second year follows the first."""
    years = re.fullmatch(r"([0-9]{4})-([0-9]{2})", value)
    if years is None or (int(years[1]) + 1) % 100 != int(years[2]):
        raise ValidationError("Crop year must be two consecutive years, such as 2025-26.", code="format")


class QuantityField(fields.DecimalField):
    """A quantity as a decimal string: more than zero, at most 15 digits before the point and 3 after."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 18, "decimal_places": 3, "min_value": Decimal("0.001"), **kwargs})


class PriceField(fields.DecimalField):
    """A price as a decimal string: more than zero, at most 6 decimals."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{"max_digits": 18, "decimal_places": 6, "min_value": Decimal("0.000001"), **kwargs}
        )


class PlaceInput(Input):
    class Meta:
        model = Availability

    address = fields.CharField(max_length=300)
    country = fields.CharField(validators=[COUNTRY])
    state_code = fields.CharField(max_length=60, required=False, allow_blank=True)
    district = fields.CharField(max_length=80, required=False, allow_blank=True)
    latitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-90, max_value=90, required=False, allow_null=True,
        help_text="Degrees north. Enter it together with the longitude.",
    )  # fmt: skip
    longitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-180, max_value=180, required=False, allow_null=True,
        help_text="Degrees east.",
    )  # fmt: skip
    time_zone = fields.CharField(max_length=64, required=False, validators=[time_zone])


class PriceTermsInput(Input):
    exchange = fields.CharField(
        max_length=20, required=False, allow_null=True, help_text="Exchange of the futures, such as ICE."
    )
    month = fields.CharField(
        required=False, allow_null=True, validators=[matches(r"[0-9]{4}-(0[1-9]|1[0-2])", "Send a month as 2026-03.")],
        help_text="Month of the futures, such as 2026-03.",
    )  # fmt: skip
    points = fields.DecimalField(
        max_digits=12,
        decimal_places=4,
        required=False,
        allow_null=True,
        help_text="Points on or off the futures.",
    )
    call_side = fields.ChoiceField(
        choices=[("BUYER", "Buyer"), ("SELLER", "Seller")], required=False, allow_null=True,
        help_text="Who fixes the price.",
    )  # fmt: skip
    fixation_deadline = fields.DateField(
        required=False, allow_null=True, help_text="Last day to fix the price."
    )
    index = fields.CharField(
        max_length=40, required=False, allow_null=True, help_text="Published price that is averaged."
    )
    days = fields.IntegerField(
        min_value=1, max_value=90, required=False, allow_null=True, help_text="Days that are averaged."
    )
    difference = fields.DecimalField(
        max_digits=18, decimal_places=6, required=False, allow_null=True,
        help_text="Added to the average, in the pricing unit; negative below it.",
    )  # fmt: skip


class LotInput(Input):
    class Meta:
        model = Lot
        fields = (
            "lot_no", "press_mark", "gin_location", "gin_type", "pr_from", "pr_to", "bales", "gross_kg", "tare_kg",
            "net_kg", "godown_location", "godown",
        )  # fmt: skip
        options: ClassVar = {name: {"min_value": 0} for name in ("gross_kg", "tare_kg", "net_kg")}


class QualityInput(Input):
    parameter = fields.CharField(
        max_length=40, help_text="Code of the commodity's parameter, such as staple_length."
    )
    value = fields.CharField(
        max_length=40, help_text="Result as text: a number, a code of the parameter's list, true or false."
    )
    method = fields.CharField(
        max_length=32,
        required=False,
        allow_null=True,
        help_text="Test method. Empty: the parameter's usual one.",
    )
    source = fields.ChoiceField(  # type: ignore[assignment]
        choices=QualityValue.Source.choices[:2], required=False, help_text="Where the result comes from."
    )
    lot_no = fields.CharField(
        max_length=32, required=False, allow_null=True, help_text="Lot. Empty: the whole offer."
    )
    sample_no = fields.CharField(
        max_length=64, required=False, allow_blank=True, help_text="Number of the sample."
    )
    tested_at = fields.DateTimeField(required=False, allow_null=True, help_text="When it was tested.")
    governing = fields.BooleanField(
        required=False, help_text="Whether this result counts among those of the parameter."
    )


PriceStepInput = row_input(PriceStep)


class ContentInput(Input):
    class Meta:
        model = Availability
        fields = (
            "total_quantity", "total_weight_kg", "available_from_date", "available_until_date", "variety", "grade",
            "location", "weight_basis", "quantity_tolerance_percent", "allow_partial", "min_order_quantity",
            "max_hold_hours", "price_type", "unit_price", "pricing_unit", "price_basis", "tax_basis", "tax_condition",
            "quality_schedule", "price_public", "is_firm", "firm_until_at", "trade_type", "bargain_type",
            "delivery_term", "payment_term", "passing_term", "weighment_term", "eod_policy", "valid_until_date",
            "carry_forward_days", "visibility", "internal_reference", "notes", "tags",
        )  # fmt: skip
        options: ClassVar = {"is_firm": {"required": False}, "price_public": {"required": False}}

    total_quantity = QuantityField()
    total_weight_kg = QuantityField(required=False, allow_null=True)
    min_order_quantity = QuantityField(required=False, allow_null=True)
    quantity_tolerance_percent = fields.DecimalField(
        max_digits=5, decimal_places=2, min_value=Decimal(0), max_value=Decimal(10), required=False
    )
    unit_price = PriceField(required=False, allow_null=True)
    tax_condition = fields.ChoiceField(
        choices=[
            choice
            for choice in Availability._meta.get_field("tax_condition").choices or ()
            if choice[0] != "ANY"
        ],
        required=False,
        allow_null=True,
    )
    crop_year = fields.CharField(required=False, allow_null=True, validators=[crop_year])
    place = PlaceInput(
        required=False, allow_null=True, help_text="Where the goods are stored, if it isn't registered."
    )
    price_terms = PriceTermsInput(
        required=False, allow_null=True, help_text="Details of a price on call or by a formula."
    )
    price_steps = PriceStepInput.many_init(
        required=False, max_length=10, help_text="Prices for larger quantities, smallest first."
    )
    lots = LotInput.many_init(
        required=False, max_length=500, help_text="Lots of the parcel; their packages add up to the quantity."
    )
    quality = QualityInput.many_init(
        required=False, max_length=200, help_text="Results of the whole offer or of its lots."
    )
    invited_partner_ids = fields.ListField(
        child=fields.RowField(Partner.objects.all()), source="invited_partners", required=False, max_length=200,
        unique=True, help_text="Partners that see an offer for invited buyers only.",
    )  # fmt: skip


class MediaInput(Input):
    upload_id = fields.RowField(
        StoredFile.objects.visible_to, source="upload", required=False, allow_null=True,
        help_text="An uploaded picture, JPEG or PNG.",
    )  # fmt: skip
    id = fields.UUIDField(required=False, allow_null=True, help_text="A picture that the offer has already.")
    caption = fields.CharField(
        max_length=120, required=False, allow_blank=True,
        help_text="What it shows. Others read it: it names nobody.",
    )  # fmt: skip


class OfferInput(ContentInput):
    media = MediaInput.many_init(
        required=False, max_length=20, help_text="Pictures in their order. Left out: those that it has."
    )


class PortalPostInput(Input):
    class Meta:
        model = Availability

    commodity_id = fields.RowField(Commodity.objects.visible_to, source="commodity")
    unit = fields.CharField(max_length=16, required=False)
    seller_partner_id = fields.RowField(
        Partner.objects.visible_to, source="seller_partner", required=False, allow_null=True
    )
    copy_of_id = fields.RowField(
        Availability.objects.visible_to, source="copy_of", required=False, allow_null=True
    )
    submit = fields.BooleanField(
        required=False,
        label="Submit for approval",
        help_text="Submit the offer for approval immediately. Otherwise it is saved as a draft.",
    )
    locals().update(within("content", ContentInput))


class PostInput(PortalPostInput):
    locals().update(within("content", OfferInput))


class PortalUpdateInput(Input):
    class Meta:
        model = Availability

    locals().update(within("content", ContentInput))


class UpdateInput(PortalUpdateInput):
    locals().update(within("content", OfferInput))


class AvailabilityApproveInput(Input):
    note = fields.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        help_text="Remark on the decision, stored with it. Up to 1,000 characters.",
    )
    verified_report_ids = fields.ListField(
        child=fields.UUIDField(), required=False, max_length=50, unique=True,
        help_text="Test reports of this offer that you verified.",
    )  # fmt: skip
    cleared_media_ids = fields.ListField(
        child=fields.UUIDField(), required=False, max_length=20, unique=True,
        help_text="Pictures of this offer that name nobody, for matched buyers to see.",
    )  # fmt: skip


class AvailabilityRejectInput(Input):
    reason_code = fields.ChoiceField(
        choices=[
            ("PRICE", "Price"), ("QUALITY_EVIDENCE", "Evidence of quality"), ("DUPLICATE", "Duplicate"),
            ("LOT_CONFLICT", "Lot conflict"), ("DOCUMENTS", "Documents"), ("SELLER", "Seller"), ("OTHER", "Other"),
        ],
        help_text="Kind of reason.",
    )  # fmt: skip
    reason = fields.CharField(
        min_length=10, max_length=1000, help_text="Why, for the seller, 10 to 1,000 characters."
    )


class AvailabilityCancelInput(Input):
    reason_code = fields.ChoiceField(
        choices=[
            ("SOLD_ELSEWHERE", "Sold elsewhere"), ("PRICE", "Price"), ("QUALITY", "Quality"), ("MISTAKE", "Mistake"),
            ("OTHER", "Other"),
        ],
        help_text="Kind of reason.",
    )  # fmt: skip
    reason = fields.CharField(
        min_length=3,
        max_length=1000,
        required=False,
        help_text="Why, 3 to 1,000 characters. Required with Other.",
    )
    release_holds = fields.BooleanField(
        required=False, label="Release reservations", help_text="Staff only: release what buyers hold."
    )


class AvailabilitySuspendInput(Input):
    reason = fields.CharField(min_length=3, max_length=1000, help_text="Why, 3 to 1,000 characters.")


class AvailabilityExtendInput(Input):
    class Meta:
        model = Availability

    valid_until_date = fields.DateField(required=False, allow_null=True)
    available_until_date = fields.DateField(required=False, allow_null=True)


class VisibilityInput(Input):
    class Meta:
        model = Availability

    visibility = fields.ChoiceField(choices=Availability.Visibility.choices)
    invited_partner_ids = fields.ListField(
        child=fields.RowField(Partner.objects.all()), source="invited_partners", required=False, max_length=200,
        unique=True, help_text="Partners that see an offer for invited buyers only.",
    )  # fmt: skip
    price_public = fields.BooleanField(required=False)


class ReportValueInput(Input):
    parameter = fields.CharField(max_length=40, help_text="Code of the commodity's parameter.")
    value = fields.CharField(max_length=40, help_text="Result as text.")


class ReportInput(Input):
    class Meta:
        model = TestReport

    lab_name = fields.CharField(max_length=120)
    lab_accreditation = fields.CharField(max_length=64, required=False, allow_blank=True)
    report_no = fields.CharField(max_length=64)
    sample_no = fields.CharField(max_length=64)
    method = fields.CharField(max_length=32)
    tested_date = fields.DateField()
    sampled_date = fields.DateField(required=False, allow_null=True)
    lot_no = fields.CharField(
        max_length=32,
        required=False,
        allow_null=True,
        help_text="Lot that was tested. Empty: the whole offer.",
    )
    values = ReportValueInput.many_init(min_length=1, max_length=40, help_text="Results of the report.")
    governing = fields.BooleanField(
        required=False, help_text="Whether the report's results count from now on. Default: yes."
    )


class PortalTestReportInput(ReportInput):
    file = FileField(accepts=(PDF, JPEG, PNG), help_text="The report: PDF, JPEG or PNG.")


class TestReportInput(ReportInput):
    upload_id = fields.RowField(
        StoredFile.objects.visible_to, source="upload", help_text="The uploaded report: PDF, JPEG or PNG."
    )


class ReserveInput(Input):
    class Meta:
        model = Reservation

    quantity = QuantityField()
    hold_hours = fields.IntegerField(
        min_value=1,
        max_value=168,
        required=False,
        label="Reserved for (hours)",
        help_text="Hours until the reservation ends. Empty: the longest that the offer allows.",
    )
    holder_partner_id = fields.RowField(
        Partner.objects.visible_to, source="holder_partner", required=False, allow_null=True
    )
    requirement_id = fields.UUIDField(required=False, allow_null=True)
    match_id = fields.UUIDField(required=False, allow_null=True)
    negotiation_id = fields.UUIDField(required=False, allow_null=True)
    unit_price = PriceField(
        required=False, allow_null=True,
        help_text="Price for the credit that is needed, where the offer has none.",
    )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Matches and negotiations reserve themselves: their ids don't come from a partner."""
        actor = self.context.get("actor")
        if actor is not None and actor.partner_id is not None:
            named = [name for name in ("match_id", "negotiation_id") if attrs.get(name) is not None]
            if named:
                words = ErrorDetail("Reserve through the match or negotiation itself.", code="not_allowed")
                raise ValidationError({name: [words] for name in named})
        return attrs


class ReleaseInput(Input):
    reservation_id = fields.UUIDField(help_text="The reservation to release.")
    quantity = QuantityField(
        required=False,
        allow_null=True,
        help_text="Quantity to release, in the offer's unit. Empty: all that is still reserved.",
    )
    reason = fields.CharField(
        min_length=3,
        max_length=500,
        required=False,
        help_text="Why it is released, 3 to 500 characters. Required from staff.",
    )


class MarkSoldInput(Input):
    reservation_id = fields.UUIDField(help_text="The reservation that backs the trade.")
    trade_id = fields.UUIDField(help_text="The trade.")


# Search and upload


def _ids(help_text: str) -> Any:
    return fields.ListField(
        child=fields.UUIDField(), required=False, max_length=100, unique=True, help_text=help_text
    )


def _texts(length: int, help_text: str) -> Any:
    child = fields.CharField(max_length=length)
    return fields.ListField(child=child, required=False, max_length=100, unique=True, help_text=help_text)


def _choices(choices: Any, help_text: str) -> Any:
    child = fields.ChoiceField(choices=choices)
    return fields.ListField(child=child, required=False, max_length=100, unique=True, help_text=help_text)


class QualityRangeInput(Input):
    parameter = fields.CharField(max_length=40, help_text="Code of a parameter whose results are numbers.")
    min = fields.DecimalField(
        max_digits=12, decimal_places=4, required=False, allow_null=True, help_text="Smallest result."
    )
    max = fields.DecimalField(
        max_digits=12, decimal_places=4, required=False, allow_null=True, help_text="Largest result."
    )


class PriceRangeInput(Input):
    min = PriceField(required=False, allow_null=True, help_text="Lowest price.")
    max = PriceField(required=False, allow_null=True, help_text="Highest price.")
    pricing_unit_id = fields.RowField(
        PricingUnit, source="pricing_unit", help_text="How the two prices are quoted."
    )


class NearInput(Input):
    latitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-90, max_value=90, help_text="Degrees north."
    )
    longitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-180, max_value=180, help_text="Degrees east."
    )
    radius_km = fields.DecimalField(
        max_digits=5, decimal_places=1, min_value=1, max_value=2000, help_text="Radius in km, 1 to 2,000."
    )


class AvailabilitySearchInput(Input):
    commodity_id = fields.RowField(
        Commodity.objects.visible_to, source="commodity", help_text="Commodity that is searched."
    )
    variety_ids = _ids("Varieties.")
    crop_years = _texts(7, "Crop years, such as 2025-26.")
    statuses = _choices(Availability.Status.choices, "Statuses.")
    visibilities = _choices(Availability.Visibility.choices, "Visibilities.")
    seller_partner_ids = _ids("Sellers.")
    state_codes = _texts(3, "States, by GST code.")
    quality = QualityRangeInput.many_init(
        required=False, max_length=20, help_text="Ranges of quality that all lots meet."
    )
    price = PriceRangeInput(
        required=False, allow_null=True, help_text="Range of prices, compared without GST."
    )
    open_quantity_min = QuantityField(
        required=False, allow_null=True, help_text="Least quantity that is available."
    )
    unit = fields.CharField(
        max_length=16,
        required=False,
        allow_null=True,
        help_text="Unit of the quantity. Empty: the trade unit.",
    )
    available_on_date = fields.DateField(
        required=False, allow_null=True, help_text="Day on which the goods can be collected."
    )
    near = NearInput(required=False, allow_null=True, help_text="Point and radius.")
    sort = fields.ChoiceField(
        choices=[
            ("listed_at", "Newest first"),
            ("price", "Lowest price first"),
            ("distance", "Nearest first"),
        ],
        required=False,
        help_text="Order of the results. Default: newest first.",
    )
    limit = fields.IntegerField(
        min_value=1, max_value=200, required=False, help_text="Rows a page, 1 to 200."
    )
    cursor = fields.CharField(
        max_length=2000, required=False, allow_null=True, help_text="From `next` or `previous`."
    )


class OfferRow(Input):
    """A row of an upload: columns of the offer, lots as ``lot_1_…``, quality as ``q_`` with the parameter's code."""

    LOTS = 5

    commodity = fields.NamedField(
        Commodity, max_length=32, help_text="Code of the commodity, such as COTTON."
    )
    total_quantity = QuantityField(help_text="Quantity in the unit, such as 100.")
    unit = fields.CharField(max_length=16, required=False, help_text="Unit. Empty: the trade unit.")
    total_weight_kg = QuantityField(required=False, allow_null=True, help_text="Weight in kg, for packages.")
    weight_basis = fields.ChoiceField(choices=Availability.WeightBasis.choices, required=False)
    crop_year = fields.CharField(required=False, validators=[crop_year], help_text="Such as 2025-26.")
    variety = fields.CharField(max_length=32, required=False, help_text="Code of the variety.")
    address = fields.CharField(max_length=300, help_text="Street and town where the goods are stored.")
    country = fields.CharField(validators=[COUNTRY], required=False, help_text="Country. Empty: IN.")
    state_code = fields.CharField(max_length=60, required=False, help_text="State, such as GJ.")
    district = fields.CharField(max_length=80, required=False, help_text="District.")
    available_from_date = fields.DateField(help_text="First day, such as 2026-01-12.")
    available_until_date = fields.DateField(required=False, help_text="Last day.")
    price_type = fields.ChoiceField(choices=Availability.PriceType.choices[:2], required=False)
    unit_price = PriceField(required=False, help_text="Price in the pricing unit.")
    pricing_unit = fields.NamedField(
        PricingUnit, max_length=32, required=False, help_text="Such as INR/CANDY. Empty: the commodity's."
    )
    delivery_term = fields.NamedField(DeliveryTerms, max_length=32, required=False, help_text="Code.")
    payment_term = fields.NamedField(PaymentTerms, max_length=32, required=False, help_text="Code.")
    passing_term = fields.NamedField(PassingTerms, max_length=32, required=False, help_text="Code.")
    weighment_term = fields.NamedField(WeighmentTerms, max_length=32, required=False, help_text="Code.")
    allow_partial = fields.BooleanField(required=False, help_text="Whether buyers may reserve a part.")
    min_order_quantity = QuantityField(required=False, help_text="Smallest part.")
    visibility = fields.ChoiceField(choices=Availability.Visibility.choices, required=False)
    internal_reference = fields.CharField(max_length=64, required=False, help_text="Your own reference.")
    notes = fields.CharField(max_length=2000, required=False, help_text="Remarks.")
    submit = fields.BooleanField(required=False, help_text="Whether the offer is submitted for approval.")

    def get_fields(self) -> dict[str, Any]:
        built = super().get_fields()
        columns = ("lot_no", "press_mark", "pr_from", "pr_to", "bales", "net_kg")
        lot: dict[str, Any] = dict(LotInput().fields)
        for number in range(1, self.LOTS + 1):
            for name in columns:
                built[f"lot_{number}_{name}"] = type(lot[name])(**{**lot[name]._kwargs, "required": False})
        for code in (
            QualityParameter.objects.active().order_by("code").values_list("code", flat=True).distinct()
        ):
            built[f"q_{code}"] = fields.CharField(max_length=40, required=False, help_text="Result as text.")
        return built


class OfferUploadInput(Input):
    file = FileField(accepts=(CSV, XLSX), help_text="CSV, XLSX or a list in JSON, with one offer a row.")
    mode = fields.ChoiceField(
        choices=Job.Mode.choices,
        required=False,
        help_text="Atomic: all rows or none. Partial: all rows without errors. Check: change nothing.",
    )


class OfferValidateInput(Input):
    file = FileField(accepts=(CSV, XLSX), help_text="CSV, XLSX or a list in JSON, with one offer a row.")


class OfferFaultOutput(LookupOutput):
    pointer = fields.CharField()
    code = fields.CharField()
    detail = fields.CharField()


class OfferPreviewRowOutput(LookupOutput):
    row = fields.IntegerField(source="number")
    outcome = fields.CharField(source="foreseen", help_text="create or refused.")
    errors = OfferFaultOutput(many=True, source="faults")  # type: ignore[assignment]


class OfferPreviewOutput(LookupOutput):
    file_sha256 = fields.CharField()
    total = fields.IntegerField()
    create = fields.IntegerField()  # type: ignore[assignment]
    refused = fields.IntegerField()
    rows = OfferPreviewRowOutput(many=True)


# Outputs


class PlaceOutput(LookupOutput):
    location_id = fields.UUIDField(allow_null=True)
    address = fields.CharField(allow_null=True)
    country = fields.CharField()
    state_code = fields.CharField()
    district = fields.CharField(allow_null=True)
    latitude = fields.DecimalField(max_digits=9, decimal_places=6, allow_null=True)
    longitude = fields.DecimalField(max_digits=9, decimal_places=6, allow_null=True)
    time_zone = fields.CharField()


class PriceTermsOutput(LookupOutput):
    exchange = fields.CharField(required=False)
    month = fields.CharField(required=False)
    points = fields.CharField(required=False)
    call_side = fields.CharField(required=False)
    fixation_deadline = fields.DateField(required=False)
    index = fields.CharField(required=False)
    days = fields.IntegerField(required=False)
    difference = fields.CharField(required=False)


class MaskedOutput(Output):
    """A row of which another partner sees fields from a stage on; all others are null for it.

    ``FROM_STAGE``: field → stage; what isn't named is seen from BROWSE on. Times and versions are never shown: they
    would tell when others reserved, or which rows one seller posted together.
    """

    FROM_STAGE: ClassVar[dict[str, Stage]] = {}
    HIDDEN: ClassVar = dict.fromkeys(("version", "created_at", "updated_at"), Stage.OWNER)

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name in {**self.FROM_STAGE, **self.HIDDEN}:
            if name in built:
                built[name].allow_null = True
        return built

    def offer_of(self, row: Any) -> Availability:
        """The offer whose stage counts."""
        offer: Availability = row.availability
        return offer

    def stage_of(self, row: Any) -> Stage:
        """How much the caller sees of the row."""
        return self.offer_of(row).stage_for(self.context["actor"])

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        stage = self.stage_of(row)
        for field, needed in {**self.FROM_STAGE, **self.HIDDEN}.items():
            if stage < needed and field in data:
                data[field] = None
        return data


class AvailabilityOutput(MaskedOutput):
    place = PlaceOutput(source="*")
    quantity_band = SerializerMethodField()
    seller_ref = SerializerMethodField()
    seller_risk_category = fields.CharField(
        source="seller_partner.risk_category", allow_null=True, help_text="Rating band of the seller."
    )
    seller_verified = SerializerMethodField()
    price_terms = PriceTermsOutput(allow_null=True)
    price_steps = row_answer(PriceStep)(many=True, allow_null=True)
    tags = fields.ListField(child=fields.CharField(), allow_null=True, help_text="The seller's own tags.")
    listed_date = fields.DateField(
        allow_null=True, help_text="Day on which the offer was listed, in Indian time."
    )
    warnings = SerializerMethodField()
    is_fully_reserved = fields.BooleanField(allow_null=True)
    readiness = SerializerMethodField()

    class Meta:
        model = Availability
        fields = (
            "number",
            "seller_ref",
            "seller_partner_id",
            "seller_verified",
            "copy_of",
            "commodity_id",
            "variety",
            "grade",
            "crop_year",
            "place",
            "unit",
            "unit_version",
            "quantity_band",
            "total_quantity",
            "available_quantity",
            "reserved_quantity",
            "sold_quantity",
            "withdrawn_quantity",
            "is_fully_reserved",
            "total_weight_kg",
            "weight_basis",
            "quantity_tolerance_percent",
            "allow_partial",
            "min_order_quantity",
            "max_hold_hours",
            "price_type",
            "unit_price",
            "currency",
            "pricing_unit",
            "pricing_unit_version",
            "price_basis",
            "tax_basis",
            "tax_condition",
            "price_terms",
            "price_steps",
            "quality_schedule",
            "price_public",
            "is_firm",
            "firm_until_at",
            "estimated_value",
            "price_per_kg",
            "trade_type",
            "bargain_type",
            "delivery_term",
            "payment_term",
            "passing_term",
            "weighment_term",
            "available_from_date",
            "available_until_date",
            "eod_policy",
            "valid_until_date",
            "carry_forward_days",
            "expires_at",
            "visibility",
            "internal_reference",
            "notes",
            "status_reason",
            "terms_version",
            "approved_terms_version",
            "listed_at",
            "listed_date",
            "price_flag",
            "reference_price",
            "risk_status",
            "warnings",
            "readiness",
        )

    _PRICE = ("unit_price", "price_per_kg", "price_terms")
    FROM_STAGE: ClassVar[dict[str, Stage]] = {
        **dict.fromkeys((*_PRICE, "seller_risk_category", "seller_verified"), Stage.MATCHED),
        **dict.fromkeys(
            ("available_quantity", "min_order_quantity", "price_steps", "terms_version", "is_fully_reserved"),
            Stage.NEGOTIATING,
        ),
        **dict.fromkeys(("number", "seller_partner_id"), Stage.TRADE),
        **dict.fromkeys(
            (
                "copy_of_id",
                "total_quantity",
                "reserved_quantity",
                "sold_quantity",
                "withdrawn_quantity",
                "total_weight_kg",
                "estimated_value",
                "internal_reference",
                "notes",
                "tags",
                "status_reason",
                "approved_terms_version",
                "listed_at",
                "price_public",
                "price_flag",
                "reference_price",
                "risk_status",
                "warnings",
                "readiness",
            ),
            Stage.OWNER,
        ),
    }

    def offer_of(self, row: Any) -> Availability:
        offer: Availability = row
        return offer

    def get_quantity_band(self, offer: Availability) -> str:
        """The available quantity as a band, which every viewer may see."""
        return band(offer.available_quantity)

    def get_seller_ref(self, offer: Availability) -> str:
        """The seller's pseudonym for this viewer."""
        return offer.seller_ref_for(self.context["actor"])

    def get_seller_verified(self, offer: Availability) -> bool:
        """Whether the seller is active and its KYC valid today."""
        seller = offer.seller_partner
        return bool(seller.status == Partner.Status.ACTIVE and seller.kyc == "valid")

    def get_warnings(self, offer: Availability) -> list[str]:
        """What may be wrong; some of it is for staff only."""
        is_staff = self.context["actor"].is_staff or self.context["actor"].is_system
        return [code for code in offer.warnings if is_staff or code not in STAFF_ONLY]

    def get_readiness(self, offer: Availability) -> str | None:
        """How complete the offer is, 0 to 1; counted where one row is read."""
        known = offer.__dict__.get("parameters")
        return None if known is None else f"{readiness(offer, known):.2f}"

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        stage = self.stage_of(row)
        if stage < Stage.MATCHED and row.price_public:
            shown = Output.to_representation(self, row)
            data |= {name: shown[name] for name in self._PRICE}
        place = dict(data["place"])
        if stage < Stage.TRADE:
            place |= dict.fromkeys(("location_id", "address", "latitude", "longitude"))
            common = row.__dict__.get("names_district", 0)
            if stage < Stage.MATCHED or common < 3:
                place["district"] = None
        return {**data, "place": place}


class PeriodQuery(Input):
    from_date = fields.DateField(required=False, help_text="First day. Default: 30 days before the last.")
    to_date = fields.DateField(required=False, help_text="Last day. Default: today.")
    commodity_id = fields.RowField(
        Commodity.objects.visible_to, source="commodity", required=False, help_text="One commodity."
    )


class PriceQuery(Input):
    commodity_id = fields.RowField(Commodity.objects.visible_to, source="commodity", help_text="The goods.")
    pricing_unit_id = fields.RowField(
        PricingUnit, source="pricing_unit", help_text="How the price is to be quoted: by weight."
    )
    price_basis = fields.ChoiceField(
        choices=Availability.PriceBasis.choices, help_text="Place that the price is for."
    )
    variety_id = fields.UUIDField(required=False, help_text="One variety.")
    crop_year = fields.CharField(required=False, validators=[crop_year], help_text="Such as 2025-26.")
    state_code = fields.CharField(max_length=3, required=False, help_text="State, by GST code.")


class SuggestedPriceOutput(LookupOutput):
    price = fields.DecimalField(18, 6, help_text="Middle of the observed prices, by weight and age.")
    low = fields.DecimalField(18, 6, help_text="A quarter of the weight was cheaper.")
    high = fields.DecimalField(18, 6, help_text="A quarter of the weight was dearer.")


class PriceSuggestionOutput(SuggestionAnswer):
    value = SuggestedPriceOutput(allow_null=True, help_text="Null where too few prices are known.")
    pricing_unit_id = fields.UUIDField()
    evidence = fields.DictField(child=fields.CharField(), help_text="How many observations and partners.")


class SearchRowOutput(AvailabilityOutput):
    """A row of the search, with its distance from the point that was asked with."""

    distance_km = SerializerMethodField()

    def get_distance_km(self, offer: Availability) -> str | None:
        """Kilometres along the great circle, one decimal."""
        km = offer.__dict__.get("distance_km")
        return None if km is None else str(tenth(km))


class AvailabilitySearchOutput(LookupOutput):
    results = SearchRowOutput(many=True)
    next = fields.CharField(allow_null=True, help_text="Cursor of the next page.")
    previous = fields.CharField(allow_null=True, help_text="Cursor of the page before.")


class StatusFigureOutput(LookupOutput):
    status = fields.CharField()
    count = fields.IntegerField()


class GoodsFigureOutput(LookupOutput):
    commodity_id = fields.UUIDField()
    unit = fields.CharField()
    currency = fields.CharField()
    count = fields.IntegerField()
    value = fields.DecimalField(max_digits=24, decimal_places=2, allow_null=True)
    total_quantity = fields.DecimalField(max_digits=24, decimal_places=3)
    reserved_quantity = fields.DecimalField(max_digits=24, decimal_places=3)
    sold_quantity = fields.DecimalField(max_digits=24, decimal_places=3)
    withdrawn_quantity = fields.DecimalField(max_digits=24, decimal_places=3)


class AvailabilityFiguresOutput(LookupOutput):
    by_status = StatusFigureOutput(many=True)
    by_goods = GoodsFigureOutput(many=True)
    hours_to_approve = fields.DecimalField(max_digits=9, decimal_places=1, allow_null=True)
    reservations = fields.IntegerField()
    traded_percent = fields.DecimalField(max_digits=5, decimal_places=1, allow_null=True)


class LotOutput(MaskedOutput):
    class Meta:
        model = Lot
        fields = (
            "position", "lot_no", "press_mark", "gin_location", "gin_type", "pr_from", "pr_to", "bales", "gross_kg",
            "tare_kg", "net_kg", "godown_location", "godown",
        )  # fmt: skip

    FROM_STAGE: ClassVar = dict.fromkeys(
        ("lot_no", "press_mark", "pr_from", "pr_to", "gin_location_id", "godown_location_id", "godown"),
        Stage.TRADE,
    )


class QualityOutput(MaskedOutput):
    parameter = fields.CharField(source="parameter.code", help_text="Code of the parameter.")
    parameter_id = fields.UUIDField(help_text="ID of the parameter.")
    unit = fields.CharField(source="parameter.unit", allow_null=True, help_text="Unit of the result.")
    value = fields.CharField(source="shown", help_text="Result as text.")
    verified = fields.BooleanField(
        source="is_verified", help_text="Whether staff verified the report behind it."
    )

    class Meta:
        model = QualityValue
        fields = (
            "lot", "parameter", "method", "source", "sample_no", "tested_at", "test_report", "governing",
        )  # fmt: skip

    FROM_STAGE: ClassVar = {
        "lot_id": Stage.NEGOTIATING,
        **dict.fromkeys(("sample_no", "tested_at", "test_report_id"), Stage.TRADE),
    }


class TestReportOutput(MaskedOutput):
    class Meta:
        model = TestReport
        fields = (
            "availability", "lab_name", "lab_accreditation", "report_no", "sample_no", "lot", "method", "sampled_date",
            "tested_date", "sha256", "verified_at",
        )  # fmt: skip

    FROM_STAGE: ClassVar = dict.fromkeys(
        ("lab_accreditation", "report_no", "sample_no", "sha256", "lot_id"), Stage.TRADE
    )


class MediaOutput(MaskedOutput):
    name = fields.CharField(source="__str__", help_text="Such as photo-1; never that of the file.")
    is_ready = SerializerMethodField()

    class Meta:
        model = Media
        fields = ("availability", "caption", "cleared")

    def get_is_ready(self, row: Media) -> bool:
        """Whether the copy that others see is made."""
        return row.copy_id is not None


class ReservationOutput(Output):
    open_quantity = fields.DecimalField(max_digits=18, decimal_places=3, source="still_open")

    class Meta:
        model = Reservation
        fields = (
            "availability_id",
            "holder_partner_id",
            "requirement_id",
            "match_id",
            "negotiation_id",
            "trade_id",
            "quantity",
            "released_quantity",
            "open_quantity",
            "weight_kg",
            "terms_version",
            "unit_price",
            "currency",
            "pricing_unit",
            "expires_at",
        )


class HeldOutput(ReservationOutput):
    """A reservation as the seller of the offer sees it: the buyer under a pseudonym, its own id hidden."""

    holder_ref = SerializerMethodField()

    class Meta(ReservationOutput.Meta):
        fields = (*ReservationOutput.Meta.fields, "holder_ref")  # type: ignore[assignment]

    _HIDDEN = (
        "id", "holder_partner_id", "requirement_id", "match_id", "negotiation_id", "trade_id", "version", "created_at",
        "updated_at",
    )  # fmt: skip

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name in self._HIDDEN:
            built[name].allow_null = True
        return built

    def get_holder_ref(self, row: Reservation) -> str:
        """The buyer's pseudonym for this viewer."""
        return pseudonym(self.context["actor"].partner_id, row.holder_partner_id, row.availability_id)

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        actor = self.context["actor"]
        if not (actor.is_staff or actor.is_system or row.holder_partner_id == actor.partner_id):
            data |= dict.fromkeys(self._HIDDEN)
        return data
