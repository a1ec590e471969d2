"""Inputs and outputs of negotiations. Who the other side is stays hidden until there is a trade."""

from decimal import Decimal
from typing import Any, ClassVar

from rest_framework.serializers import SerializerMethodField

from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.matching.models import Match
from apps.negotiations.models import MESSAGE_LENGTH, NOTE_LENGTH, Negotiation, Offer, Side
from apps.partners.pseudonyms import pseudonym_of_side
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output

_TERMS = ("delivery_term", "payment_term", "passing_term", "weighment_term")


def _optional(**kwargs: Any) -> dict[str, Any]:
    return {"required": False, "allow_null": True, **kwargs}


class StartInput(Input):
    match_id = fields.RowField(
        Match.objects.visible_to, source="match", help_text="The match to negotiate, of your own partner."
    )


class OfferedQuantityInput(Input):
    value = fields.DecimalField(
        max_digits=18, decimal_places=3, min_value=Decimal("0.001"), help_text="Whole numbers for packages."
    )
    unit = fields.CharField(max_length=16, help_text="Unit of the offered goods, such as BALE.")


class DeliveryWindowInput(Input):
    from_date = fields.DateField(help_text="First day of delivery.")
    until_date = fields.DateField(help_text="Last day of delivery.")


def _term(name: str, rows: Any, words: str) -> Any:
    return fields.RowField(rows, source=name, **_optional(help_text=f"{words} Empty: as in the last offer."))


class OfferInput(Input):
    price = fields.DecimalField(
        max_digits=18, decimal_places=6, min_value=Decimal("0.000001"),
        help_text="Price in the pricing unit of the offered goods, as a decimal string.",
    )  # fmt: skip
    quantity = OfferedQuantityInput(
        **_optional(help_text="Quantity. Empty: as in the last offer, the first time as in the match.")
    )
    delivery_term_id = _term("delivery_term", DeliveryTerms.objects.visible_to, "Place of delivery.")
    payment_term_id = _term("payment_term", PaymentTerms.objects.visible_to, "When and how the buyer pays.")
    passing_term_id = _term("passing_term", PassingTerms.objects.visible_to, "How quality is passed.")
    weighment_term_id = _term("weighment_term", WeighmentTerms.objects.visible_to, "Which weight is final.")
    window = DeliveryWindowInput(
        **_optional(help_text="Days of delivery. Empty: as in the last offer, the first time as offered.")
    )
    valid_until = fields.DateTimeField(
        **_optional(help_text="How long the offer is firm: 15 minutes to 71 hours. Empty: 24 hours.")
    )
    message = fields.CharField(
        max_length=MESSAGE_LENGTH, required=False, allow_blank=True,
        help_text="Message to the other side, without names and contact data.",
    )  # fmt: skip

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The values; an empty one is left out."""
        values = super().to_internal_value(data)
        return {name: value for name, value in values.items() if value is not None}


class AcceptInput(Input):
    offer_id = fields.UUIDField(help_text="The current offer that you saw.")


class EndInput(Input):
    reason = fields.ChoiceField(
        choices=[(reason.value, reason.label) for reason in Negotiation.OF_PARTNERS],
        help_text="Kind of reason.",
    )
    note = fields.CharField(
        max_length=NOTE_LENGTH, required=False, allow_blank=True,
        help_text="Remark for your own side. Required with Other.",
    )  # fmt: skip


class OfferedQuantityOutput(LookupOutput):
    value = fields.DecimalField(max_digits=18, decimal_places=3)
    unit = fields.CharField()


class OfferOutput(Output):
    quantity = SerializerMethodField()
    currency = fields.CharField(
        source="negotiation.availability.currency", help_text="Currency of the price."
    )
    pricing_unit_id = fields.UUIDField(
        source="negotiation.availability.pricing_unit_id",
        allow_null=True,
        help_text="How the price is quoted.",
    )

    class Meta:
        model = Offer
        fields = (
            "negotiation_id", "round", "side", "price", "weight_kg", *_TERMS, "window_from_date", "window_until_date",
            "message", "valid_until",
        )  # fmt: skip

    def get_quantity(self, row: Offer) -> OfferedQuantityOutput:
        """The quantity in the unit of the offered goods."""
        found = {"value": row.quantity, "unit": row.negotiation.availability.unit}
        return OfferedQuantityOutput(found).data  # type: ignore[return-value]


class PartyOutput(LookupOutput):
    ref = fields.CharField(
        allow_null=True,
        help_text="Pseudonym of the other side, the same throughout the match; null for your own.",
    )
    partner_id = fields.UUIDField(
        allow_null=True, help_text="The partner; of the other side once there is a trade."
    )
    name = fields.CharField(allow_null=True, help_text="Its name; of the other side once there is a trade.")
    risk_category = fields.CharField(allow_null=True, help_text="Rating band.")
    verified = fields.BooleanField(help_text="Whether it is active and its KYC valid, today or at the end.")


class NegotiationOutput(Output):
    side = SerializerMethodField()
    buyer = SerializerMethodField()
    seller = SerializerMethodField()
    commodity_id = fields.UUIDField(source="availability.commodity_id", help_text="The goods negotiated.")
    unit = fields.CharField(source="availability.unit", help_text="Unit of all quantities.")
    currency = fields.CharField(source="availability.currency", help_text="Currency of all prices.")
    pricing_unit_id = fields.UUIDField(
        source="availability.pricing_unit_id", allow_null=True, help_text="How prices are quoted."
    )
    price_basis = fields.CharField(
        source="availability.price_basis", allow_null=True, help_text="Place that prices are for."
    )
    standing_offer = OfferOutput(allow_null=True)

    class Meta:
        model = Negotiation
        fields = (
            "match_id", "availability_id", "requirement_id", "opened_by", "turn", "round", "max_rounds", "expires_at",
            "hard_expires_at", "reservation_id", "accepted_offer_id", "accepted_at", "closed_by", "close_reason",
            "close_note", "trade_id",
        )  # fmt: skip

    # Rows and words of one side, null for the other one.
    OF_BUYER: ClassVar = ("requirement_id", "reservation_id")

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name in (*self.OF_BUYER, "close_note"):
            built[name].allow_null = True
        return built

    def get_side(self, row: Negotiation) -> str | None:
        """Your side; null for staff."""
        return row.side_of(self.context["actor"])

    def get_buyer(self, row: Negotiation) -> PartyOutput:
        """The buyer, under a pseudonym for the seller."""
        return self._party(row, Side.BUYER)

    def get_seller(self, row: Negotiation) -> PartyOutput:
        """The seller, under a pseudonym for the buyer."""
        return self._party(row, Side.SELLER)

    def _party(self, row: Negotiation, side: Side) -> PartyOutput:
        partner, viewer = row.partner_on(side), row.side_of(self.context["actor"])
        is_other = viewer not in (None, side)
        is_named = not is_other or row.trade_id is not None
        own_id = self.context["actor"].partner_id
        found = {
            "ref": pseudonym_of_side(side, own_id, partner.pk, row.match_id, row.pseudonym_key)
            if is_other
            else None,
            "partner_id": partner.pk if is_named else None,
            "name": str(partner) if is_named else None,
            **row.badge_of(side),
        }
        return PartyOutput(found).data  # type: ignore[return-value]

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        viewer = row.side_of(self.context["actor"])
        if viewer == Side.SELLER:
            data |= dict.fromkeys(self.OF_BUYER)
        if viewer is not None:
            data["close_reason"] = row.shown_reason
            if row.closed_by != viewer:
                data["close_note"] = None
        return data
