"""Inputs and outputs of offers and reservations. Fields that the caller may not see at its stage are null."""

import re
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import SerializerMethodField

from apps.availability.models import Availability, Reservation, Stage, band
from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import COUNTRY, matches, time_zone

STATE = matches("[A-Z0-9]{1,3}", "State must be a code of one to three letters or digits, such as GJ.")


def crop_year(value: str) -> None:
    """Check a season such as ``2025-26``: the second year follows the first."""
    years = re.fullmatch(r"([0-9]{4})-([0-9]{2})", value)
    if years is None or (int(years[1]) + 1) % 100 != int(years[2]):
        raise ValidationError("Crop year must be two consecutive years, such as 2025-26.", code="format")


class QuantityField(fields.DecimalField):
    """A quantity as a decimal string: more than zero, at most 15 digits before the point and 3 after."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 18, "decimal_places": 3, "min_value": Decimal("0.001"), **kwargs})


class PlaceInput(Input):
    class Meta:
        model = Availability

    address = fields.CharField(max_length=300)
    country = fields.CharField(validators=[COUNTRY])
    state_code = fields.CharField(required=False, allow_blank=True, validators=[STATE])
    district = fields.CharField(max_length=80, required=False, allow_blank=True)
    time_zone = fields.CharField(max_length=64, required=False, validators=[time_zone])


class PostInput(Input):
    class Meta:
        model = Availability

    commodity_id = fields.RowField(Commodity.objects.visible_to, source="commodity")
    total_quantity = QuantityField()
    unit = fields.CharField(max_length=16, required=False)
    crop_year = fields.CharField(required=False, allow_null=True, validators=[crop_year])
    place = PlaceInput(help_text="Where the goods are stored.")
    total_weight_kg = QuantityField(required=False, allow_null=True)
    weight_basis = fields.ChoiceField(choices=Availability.WeightBasis.choices, required=False)
    quantity_tolerance_percent = fields.DecimalField(
        max_digits=5, decimal_places=2, min_value=Decimal(0), max_value=Decimal(10), required=False
    )
    allow_partial = fields.BooleanField(required=False)
    min_order_quantity = QuantityField(required=False, allow_null=True)
    max_hold_hours = fields.IntegerField(min_value=1, max_value=168, required=False)
    available_from_date = fields.DateField()
    available_until_date = fields.DateField()
    visibility = fields.ChoiceField(choices=Availability.Visibility.choices, required=False)
    internal_reference = fields.CharField(max_length=64, required=False, allow_blank=True)
    notes = fields.CharField(max_length=2000, required=False, allow_blank=True)
    seller_partner_id = fields.RowField(
        Partner.objects.visible_to, source="seller_partner", required=False, allow_null=True
    )
    submit = fields.BooleanField(
        required=False,
        label="Submit for approval",
        help_text="Submit the offer for approval immediately. Otherwise it is saved as a draft.",
    )


class AvailabilityApproveInput(Input):
    note = fields.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        help_text="Remark on the decision, stored with it. Up to 1,000 characters.",
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


class PlaceOutput(LookupOutput):
    address = fields.CharField(allow_null=True)
    country = fields.CharField()
    state_code = fields.CharField()
    district = fields.CharField(allow_null=True)
    time_zone = fields.CharField()


class AvailabilityOutput(Output):
    place = PlaceOutput(source="*")
    quantity_band = SerializerMethodField()
    seller_ref = SerializerMethodField()

    class Meta:
        model = Availability
        fields = (
            "number",
            "seller_ref",
            "seller_partner_id",
            "commodity_id",
            "crop_year",
            "place",
            "unit",
            "quantity_band",
            "total_quantity",
            "available_quantity",
            "reserved_quantity",
            "sold_quantity",
            "withdrawn_quantity",
            "total_weight_kg",
            "weight_basis",
            "quantity_tolerance_percent",
            "allow_partial",
            "min_order_quantity",
            "max_hold_hours",
            "available_from_date",
            "available_until_date",
            "expires_at",
            "visibility",
            "internal_reference",
            "notes",
            "terms_version",
            "listed_at",
        )

    # Fields that another partner sees from a stage on; what isn't named is seen from BROWSE on.
    FROM_STAGE: ClassVar[dict[str, Stage]] = {
        "available_quantity": Stage.NEGOTIATING,
        "min_order_quantity": Stage.NEGOTIATING,
        **dict.fromkeys(
            (
                "number",
                "seller_partner_id",
                "total_quantity",
                "reserved_quantity",
                "sold_quantity",
                "withdrawn_quantity",
                "total_weight_kg",
                "internal_reference",
                "notes",
                "created_at",
                "updated_at",
            ),
            Stage.OWNER,
        ),
    }
    masked = FROM_STAGE

    def get_fields(self) -> dict[str, Any]:
        built = super().get_fields()
        for name in self.FROM_STAGE:
            built[name].allow_null = True
        return built

    def get_quantity_band(self, offer: Availability) -> str:
        """The available quantity as a band, which every viewer may see."""
        return band(offer.available_quantity)

    def get_seller_ref(self, offer: Availability) -> str:
        """The seller's pseudonym for this viewer."""
        return offer.seller_ref_for(self.context["actor"])

    def to_representation(self, offer: Availability) -> dict[str, Any]:
        actor = self.context["actor"]
        data: dict[str, Any] = super().to_representation(offer)
        stage = offer.stage_for(actor, getattr(offer, "has_reservation", None))
        for field, needed in self.FROM_STAGE.items():
            if stage < needed:
                data[field] = None
        if stage < Stage.OWNER:
            # Every movement of stock raises the row's own version, which would report other buyers' reservations.
            data["version"] = offer.terms_version
            data["place"] = {**data["place"], "address": None, "district": None}
        return data


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
            "expires_at",
        )
