"""Inputs and outputs of requirements. Fields that the caller may not see at its stage are null."""

import re
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import SerializerMethodField

from apps.availability.models import Stage, band
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.commodities.models.varieties import Variety
from apps.locations.earth import tenth
from apps.locations.models import Location
from apps.partners.models import Partner, PartnerLocation
from apps.partners.pseudonyms import pseudonym
from apps.requirement.models import (
    Band,
    DemandCell,
    Fulfilment,
    Requirement,
    Suggestion,
)
from apps.requirement.models.requirements import COMMON_DISTRICT
from apps.requirement.services.suggestions import SCOPES
from erp.api import fields
from erp.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from erp.api.serializers import Input, LookupOutput, Output, set_nullable, within
from erp.api.validators import time_zone


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


def _optional(**kwargs: Any) -> dict[str, Any]:
    return {"required": False, "allow_null": True, **kwargs}


def _rows(rows: Any, most: int, **kwargs: Any) -> Any:
    """Ids of rows, each once; validated, the rows."""
    return fields.ListField(
        child=fields.RowField(rows), required=False, max_length=most, unique=True, **kwargs
    )


def _bound(words: str) -> Any:
    return fields.DecimalField(max_digits=12, decimal_places=4, **_optional(help_text=words))


class BandInput(Input):
    parameter = fields.CharField(
        max_length=40, help_text="Code of the commodity's parameter, such as micronaire."
    )
    min = _bound("Lowest accepted result.")
    max = _bound("Highest accepted result.")
    preferred = _bound("Preferred result. Sellers don't see it.")
    accepted_codes = fields.ListField(
        child=fields.CharField(max_length=40), required=False, max_length=20, unique=True,
        help_text="Accepted codes of a parameter that isn't a number.",
    )  # fmt: skip
    method = fields.CharField(max_length=32, **_optional(help_text="Test method. Empty: the usual one."))
    required = fields.BooleanField(  # type: ignore[assignment]
        required=False, help_text="Whether offers outside the band are left out."
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = super().to_internal_value(data)
        names = {"min": "minimum", "max": "maximum"}
        return {names.get(name, name): value for name, value in values.items()}


class DeliveryPlaceInput(Input):
    location_id = fields.RowField(
        Location.objects.visible_to, source="location", **_optional(help_text="Registered place.")
    )
    latitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-90, max_value=90, **_optional(help_text="Degrees north.")
    )
    longitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-180, max_value=180, **_optional(help_text="Degrees east.")
    )
    state_code = fields.CharField(
        max_length=60, required=False, allow_blank=True,
        help_text="State in India, by GST code, letters or name. Required with coordinates.",
    )  # fmt: skip
    max_distance_km = fields.IntegerField(
        min_value=1, max_value=3000, **_optional(help_text="Goods farther away aren't wanted.")
    )


class ContentInput(Input):
    class Meta:
        model = Requirement
        fields = (
            "grade", "kg_per_count", "single_lot", "price_basis", "tax_basis", "origin_country", "time_zone",
            "delivery_from_date", "delivery_until_date", "eod_policy", "valid_until_date", "intent", "urgency",
            "visibility", "internal_reference", "notes", "tags",
        )  # fmt: skip
        options: ClassVar = {
            "kg_per_count": {"min_value": Decimal("0.001")},
            "time_zone": {"required": False, "validators": [time_zone]},
            "tags": {"max_length": 20},
        }

    buyer_location_id = fields.RowField(
        PartnerLocation.objects.visible_to, source="buyer_location", **_optional()
    )
    max_quantity = QuantityField()
    min_quantity = QuantityField(**_optional())
    preferred_quantity = QuantityField(**_optional())
    ceiling_price = PriceField(**_optional())
    target_price = PriceField(**_optional())
    pricing_unit_id = fields.RowField(PricingUnit.objects.visible_to, source="pricing_unit")
    total_budget = fields.DecimalField(
        max_digits=18, decimal_places=2, min_value=Decimal("0.01"), **_optional()
    )
    tolerance_percent = fields.DecimalField(
        max_digits=5, decimal_places=2, min_value=Decimal(0), max_value=Decimal(10), required=False
    )
    flexibility_days = fields.IntegerField(min_value=0, max_value=60, required=False)
    carry_forward_days = fields.IntegerField(min_value=0, max_value=30, required=False)
    variety_ids = _rows(Variety.objects.visible_to, 20)
    substitute_ids = _rows(Commodity.objects.visible_to, 10)
    crop_years = fields.ListField(
        child=fields.CharField(validators=[crop_year]), required=False, max_length=5, unique=True
    )
    origin_state_codes = fields.ListField(
        child=fields.CharField(max_length=60), required=False, max_length=40, unique=True
    )
    delivery_term_ids = _rows(DeliveryTerms.objects.visible_to, 10)
    payment_term_ids = _rows(PaymentTerms.objects.visible_to, 10)
    passing_term_ids = _rows(PassingTerms.objects.visible_to, 10)
    weighment_term_ids = _rows(WeighmentTerms.objects.visible_to, 10)
    bands = BandInput.many_init(required=False, max_length=40, help_text="Accepted quality by parameter.")
    places = DeliveryPlaceInput.many_init(
        required=False, max_length=20, help_text="Where the goods are wanted; the first is the destination."
    )
    invited_partner_ids = fields.ListField(
        child=fields.RowField(Partner.objects.all()), source="invited_partners", required=False, max_length=200,
        unique=True, help_text="Partners that see a requirement for invited sellers only.",
    )  # fmt: skip


class CreateInput(Input):
    class Meta:
        model = Requirement

    commodity_id = fields.RowField(Commodity.objects.visible_to, source="commodity")
    unit = fields.CharField(max_length=16, required=False)
    buyer_partner_id = fields.RowField(Partner.objects.visible_to, source="buyer_partner", **_optional())
    publish = fields.BooleanField(
        required=False, help_text="Publish the requirement immediately. Otherwise it is saved as a draft."
    )
    locals().update(within("content", ContentInput))


class UpdateInput(Input):
    class Meta:
        model = Requirement

    locals().update(within("content", ContentInput))


class RequirementApproveInput(Input):
    note = fields.CharField(
        max_length=1000, required=False, allow_blank=True, help_text="Remark on the decision, stored with it."
    )


class RequirementRejectInput(Input):
    reason_code = fields.ChoiceField(
        choices=[
            ("PRICE", "Price"), ("QUANTITY", "Quantity"), ("DOCUMENTS", "Documents"), ("DUPLICATE", "Duplicate"),
            ("BUYER", "Buyer"), ("OTHER", "Other"),
        ],
        help_text="Kind of reason.",
    )  # fmt: skip
    reason = fields.CharField(
        min_length=10, max_length=1000, help_text="Why, for the buyer, 10 to 1,000 characters."
    )


class RequirementCancelInput(Input):
    reason_code = fields.ChoiceField(
        choices=[
            ("BOUGHT_ELSEWHERE", "Bought elsewhere"), ("NOT_NEEDED", "Not needed"), ("PRICE", "Price"),
            ("QUALITY", "Quality"), ("MISTAKE", "Mistake"), ("OTHER", "Other"),
        ],
        help_text="Kind of reason.",
    )  # fmt: skip
    reason = fields.CharField(
        min_length=3,
        max_length=1000,
        required=False,
        help_text="Why, 3 to 1,000 characters. Required with Other.",
    )


class RequirementSuspendInput(Input):
    reason = fields.CharField(min_length=3, max_length=1000, help_text="Why, 3 to 1,000 characters.")


class FulfillInput(Input):
    quantity = fields.DecimalField(
        max_digits=18, decimal_places=3, help_text="Quantity to add, or to take off with a minus sign."
    )
    amount = fields.DecimalField(
        max_digits=18, decimal_places=2, help_text="Amount to add or take off, with the sign of the quantity."
    )
    currency = fields.CharField(
        min_length=3, max_length=3, help_text="Currency of the requirement, such as INR."
    )
    reason = fields.CharField(min_length=10, max_length=1000, help_text="Why, 10 to 1,000 characters.")
    trade_id = fields.UUIDField(**_optional(help_text="The trade that is corrected, if any."))


class AiAdjustInput(Input):
    action = fields.ChoiceField(
        choices=[("SUGGEST", "Suggest"), ("APPLY", "Apply"), ("DISMISS", "Dismiss")], required=False,
        help_text="Ask for suggestions (default), apply one, or dismiss it.",
    )  # fmt: skip
    scope = fields.ListField(
        child=fields.ChoiceField(choices=[(scope, scope.capitalize()) for scope in SCOPES]), required=False,
        min_length=1, max_length=len(SCOPES), unique=True, help_text="What may be relaxed. Default: quality.",
    )  # fmt: skip
    keep = fields.ListField(
        child=fields.CharField(max_length=40), required=False, max_length=20, unique=True,
        help_text="Codes of parameters that must stay as they are.",
    )  # fmt: skip
    suggestion_id = fields.UUIDField(**_optional(help_text="The suggestion to apply or dismiss."))
    option = fields.IntegerField(
        min_value=1, max_value=5, required=False, help_text="The option to apply. Default 1."
    )


def _choices(choices: Any, words: str) -> Any:
    return fields.ListField(
        child=fields.ChoiceField(choices=choices),
        required=False,
        max_length=100,
        unique=True,
        help_text=words,
    )


class _PageInput(Input):
    limit = fields.IntegerField(
        min_value=1, max_value=MAX_LIMIT, required=False, help_text=f"Rows per page. Default {DEFAULT_LIMIT}."
    )
    cursor = fields.CharField(max_length=4000, **_optional(help_text="Cursor of the next or previous page."))


class ResultInput(Input):
    parameter = fields.CharField(max_length=40, help_text="Code of the parameter.")
    value = fields.DecimalField(max_digits=12, decimal_places=4, help_text="Result that the bands must take.")


class CeilingInput(Input):
    min = PriceField(**_optional(help_text="Lowest ceiling."))
    max = PriceField(**_optional(help_text="Highest ceiling."))
    pricing_unit_id = fields.RowField(
        PricingUnit.objects.visible_to, source="pricing_unit", help_text="How the prices are quoted."
    )


class NearInput(Input):
    latitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-90, max_value=90, help_text="Degrees north."
    )
    longitude = fields.DecimalField(
        max_digits=9, decimal_places=6, min_value=-180, max_value=180, help_text="Degrees east."
    )
    radius_km = fields.IntegerField(min_value=1, max_value=2000, help_text="Greatest distance in km.")


class RequirementSearchInput(_PageInput):
    commodity_id = fields.RowField(
        Commodity.objects.visible_to, source="commodity", help_text="The goods that are wanted."
    )
    variety_ids = _rows(Variety.objects.visible_to, 100, help_text="Varieties, one of which is accepted.")
    crop_years = fields.ListField(
        child=fields.CharField(validators=[crop_year]),
        required=False,
        max_length=100,
        unique=True,
        help_text="Seasons, one of which is accepted.",
    )
    statuses = _choices(Requirement.Status.choices, "Statuses. Empty: all.")
    intents = _choices(Requirement.Intent.choices, "Intents. Empty: all.")
    urgencies = _choices(Requirement.Urgency.choices, "Urgencies. Empty: all.")
    buyer_partner_ids = fields.ListField(
        child=fields.RowField(Partner.objects.visible_to), source="buyer_partners", required=False, max_length=100,
        unique=True, help_text="Buyers. Empty: all.",
    )  # fmt: skip
    state_codes = fields.ListField(
        child=fields.CharField(max_length=3), required=False, max_length=100, unique=True,
        help_text="GST codes of states of the destination. Empty: all.",
    )  # fmt: skip
    quality = ResultInput.many_init(
        required=False, max_length=20, help_text="Results that the bands must take."
    )
    ceiling = CeilingInput(**_optional(help_text="Range of the ceiling."))
    open_quantity_min = QuantityField(**_optional(help_text="At least so much is still wanted."))
    unit = fields.CharField(
        max_length=16, **_optional(help_text="Unit of the quantity. Default: the trade unit.")
    )
    delivery_on_date = fields.DateField(**_optional(help_text="A day within the delivery window."))
    near = NearInput(**_optional(help_text="Distance of the destination from a place."))
    sort = fields.ChoiceField(
        choices=[
            ("live_since", "Newest first"),
            ("ceiling", "Highest ceiling first"),
            ("distance", "Nearest first"),
        ],
        required=False,
        help_text="Order. Default: newest first.",
    )


class ByIntentInput(_PageInput):
    intent = fields.ChoiceField(choices=Requirement.Intent.choices, help_text="How the buyers want to buy.")
    commodity_id = fields.RowField(
        Commodity.objects.visible_to, source="commodity", **_optional(help_text="The goods. Empty: all.")
    )
    urgency = fields.ChoiceField(
        choices=Requirement.Urgency.choices, **_optional(help_text="Urgency. Empty: all.")
    )
    state_codes = fields.ListField(
        child=fields.CharField(max_length=3), required=False, max_length=100, unique=True,
        help_text="GST codes of states of the destination. Empty: all.",
    )  # fmt: skip


# Outputs


class BandOutput(LookupOutput):
    parameter = fields.CharField(source="parameter.code")
    parameter_id = fields.UUIDField()
    min = fields.DecimalField(max_digits=12, decimal_places=4, source="minimum", allow_null=True)
    max = fields.DecimalField(max_digits=12, decimal_places=4, source="maximum", allow_null=True)
    preferred = fields.DecimalField(max_digits=12, decimal_places=4, allow_null=True)
    accepted_codes = fields.ListField(child=fields.CharField())
    method = fields.CharField(allow_null=True)
    required = fields.BooleanField()  # type: ignore[assignment]

    def to_representation(self, row: Band) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        if _stage(self, row.requirement) < Stage.OWNER:
            data["preferred"] = None
        return data


class DeliveryPlaceOutput(LookupOutput):
    location_id = fields.UUIDField(allow_null=True)
    latitude = fields.DecimalField(max_digits=9, decimal_places=6, allow_null=True)
    longitude = fields.DecimalField(max_digits=9, decimal_places=6, allow_null=True)
    state_code = fields.CharField()
    max_distance_km = fields.IntegerField(allow_null=True)


def _stage(serializer: Any, requirement: Requirement) -> Stage:
    return requirement.stage_for(serializer.context["actor"])


class RequirementOutput(Output):
    buyer_ref = SerializerMethodField()
    buyer_risk_category = fields.CharField(
        source="buyer_partner.risk_category", allow_null=True, help_text="Rating band of the buyer."
    )
    buyer_verified = SerializerMethodField()
    is_live = fields.BooleanField(help_text="Whether it is matched now.")
    quantity_band = SerializerMethodField()
    open_quantity = fields.DecimalField(
        max_digits=18, decimal_places=3, allow_null=True, help_text="Quantity still wanted of the maximum."
    )
    destination_state_code = fields.CharField(source="state_code", help_text="State of the destination.")
    destination_district = SerializerMethodField()
    bands = BandOutput(many=True)
    places = DeliveryPlaceOutput(many=True, allow_null=True)
    warnings = SerializerMethodField()

    class Meta:
        model = Requirement
        fields = (
            "number", "buyer_partner", "buyer_location", "commodity", "variety_ids", "substitute_ids", "grade",
            "crop_years", "unit", "unit_version", "min_quantity", "preferred_quantity", "max_quantity",
            "kg_per_count", "tolerance_percent", "single_lot", "committed_quantity", "purchased_quantity",
            "spent_amount", "ceiling_price", "target_price", "currency", "pricing_unit", "pricing_unit_version",
            "price_basis", "tax_basis", "total_budget", "estimated_value", "origin_country", "origin_state_codes",
            "time_zone", "delivery_term_ids", "payment_term_ids", "passing_term_ids", "weighment_term_ids",
            "delivery_from_date", "delivery_until_date", "flexibility_days", "eod_policy", "valid_until_date",
            "carry_forward_days", "expires_at", "intent", "urgency", "visibility", "internal_reference", "notes",
            "tags", "status_reason", "terms_version", "published_at", "live_since", "risk_status", "reference_price",
            "price_flag",
        )  # fmt: skip

    # What other partners see from BROWSE on; ids, links and actions beside it.
    FROM_BROWSE: ClassVar = frozenset(
        {
            "id", "allowed_actions", "links", "is_live", "buyer_ref", "commodity_id", "variety_ids", "grade_id",
            "crop_years", "unit", "quantity_band", "destination_state_code", "bands", "delivery_from_date",
            "delivery_until_date", "delivery_term_ids", "payment_term_ids", "passing_term_ids", "weighment_term_ids",
        }
    )  # fmt: skip
    FROM_STAGE: ClassVar[dict[str, Stage]] = {
        "destination_district": Stage.NEGOTIATING,
        "buyer_risk_category": Stage.NEGOTIATING,
        "buyer_verified": Stage.NEGOTIATING,
        "number": Stage.TRADE,
        "buyer_partner_id": Stage.TRADE,
        "places": Stage.TRADE,
    }

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name, field in built.items():
            if name not in self.FROM_BROWSE:
                set_nullable(field)
        return built

    def get_buyer_ref(self, row: Requirement) -> str:
        """The buyer's pseudonym for this viewer."""
        return pseudonym(self.context["actor"].partner_id, row.buyer_partner_id, row.pk)

    def get_buyer_verified(self, row: Requirement) -> bool | None:
        """Whether the buyer is active and its KYC valid today."""
        buyer = row.buyer_partner
        return bool(buyer.status == Partner.Status.ACTIVE and buyer.kyc == "valid")

    def get_quantity_band(self, row: Requirement) -> str:
        """What is still wanted as a band, which every viewer may see."""
        return band(row.open_quantity) if row.open_quantity else "0"

    def get_destination_district(self, row: Requirement) -> str | None:
        """District of the destination; to other partners only where it names no buyer."""
        is_common = row.__dict__.get("names_district", 0) >= COMMON_DISTRICT
        return row.district or None if is_common or _stage(self, row) >= Stage.TRADE else None

    def get_warnings(self, row: Requirement) -> list[str] | None:
        """What may be wrong, for the buyer."""
        return ["ceiling_unlikely"] if row.price_flag == Requirement.PriceFlag.LOW else []

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        stage = _stage(self, row)
        if stage >= Stage.OWNER:
            return data
        return {
            name: value
            if name in self.FROM_BROWSE or stage >= self.FROM_STAGE.get(name, Stage.OWNER)
            else None
            for name, value in data.items()
        }


class FulfilmentOutput(Output):
    class Meta:
        model = Fulfilment
        fields = ("kind", "trade_id", "committed_delta", "purchased_delta", "amount_delta", "reason")


class MoveOutput(LookupOutput):
    bound = fields.CharField(
        help_text="Parameter (or ceiling, delivery_from, delivery_until, distance) and side."
    )
    old = fields.CharField()
    new = fields.CharField()


class OptionOutput(LookupOutput):
    moves = MoveOutput(many=True)
    cost = fields.CharField(help_text="Steps that the bounds move, as an exact fraction.")
    unlocked = fields.CharField(help_text="Quantity unlocked; a band where few sellers stand behind it.")
    offers = fields.IntegerField()


class SuggestionOutput(Output):
    options = OptionOutput(many=True, source="result.options")
    open_before = fields.CharField(source="result.open_before")
    missing = fields.CharField(source="result.missing")
    opinion = fields.DictField(allow_null=True, help_text="What a remote model says of the options.")

    class Meta:
        model = Suggestion
        fields = ("base_terms_version", "scope", "keep", "provider", "expires_at")


class AdjustmentOutput(LookupOutput):
    suggestion = SuggestionOutput(allow_null=True)
    reason = fields.CharField(help_text="Why there is no suggestion; else empty.")


class TotalOutput(LookupOutput):
    commodity_id = fields.UUIDField()
    unit = fields.CharField()
    urgency = fields.CharField()
    requirements = fields.IntegerField()
    open_quantity = fields.DecimalField(max_digits=18, decimal_places=3)


class FoundOutput(RequirementOutput):
    distance_km = SerializerMethodField()

    def get_distance_km(self, row: Requirement) -> str | None:
        """Distance from the place of the search, in km."""
        distance = row.__dict__.get("distance_km")
        return None if distance is None else str(tenth(distance))


class RequirementSearchOutput(LookupOutput):
    results = FoundOutput(many=True)
    next = fields.CharField(allow_null=True)
    previous = fields.CharField(allow_null=True)


class ByIntentOutput(RequirementSearchOutput):
    totals = TotalOutput(many=True)


class DemandCellOutput(LookupOutput):
    variety_id = fields.UUIDField(allow_null=True)
    crop_year = fields.CharField()
    state_code = fields.CharField()
    week = fields.DateField(help_text="Monday of the week in which delivery begins.")
    buyers = fields.IntegerField()
    open_kg = SerializerMethodField(help_text="Open quantity in kilograms, as a band.")
    bands = fields.DictField(
        child=fields.DictField(child=fields.CharField()), help_text="Median bounds by parameter."
    )

    class Meta:
        model = DemandCell

    def get_open_kg(self, cell: DemandCell) -> str:
        """Such as 5000–10000: what changes from one day to the next is nobody's exact figure."""
        return band(cell.open_kg)


class DemandOutput(LookupOutput):
    results = DemandCellOutput(many=True)


class CountOutput(LookupOutput):
    value = fields.CharField()
    number = fields.IntegerField()


class FilledOutput(LookupOutput):
    unit = fields.CharField()
    wanted = fields.DecimalField(max_digits=18, decimal_places=3)
    bought = fields.DecimalField(max_digits=18, decimal_places=3)
    share_filled = fields.DecimalField(max_digits=9, decimal_places=2, help_text="Percent.")


class RequirementAnalyticsOutput(LookupOutput):
    by_status = CountOutput(many=True)
    by_intent = CountOutput(many=True)
    quantities = FilledOutput(many=True)
    hours_to_first_purchase = fields.IntegerField(allow_null=True)


class DemandQuery(Input):
    commodity_id = fields.RowField(Commodity.objects.visible_to, source="commodity", help_text="The goods.")
    days = fields.IntegerField(
        min_value=1,
        max_value=365,
        required=False,
        help_text="Delivery begins within so many days. Default 30.",
    )
    state_code = fields.CharField(
        max_length=3, required=False, help_text="GST code of the destination's state."
    )
    crop_year = fields.CharField(required=False, validators=[crop_year], help_text="Season, such as 2025-26.")
