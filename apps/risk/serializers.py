"""Inputs and outputs of risk. A partner reads whether it is allowed and why not; the rest is null to it."""

from decimal import Decimal
from typing import Any, ClassVar

from rest_framework.serializers import SerializerMethodField

from apps.availability.models import Availability
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.terms import PaymentTerms
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.risk.models import (
    PairBlock,
    ProviderCheck,
    RiskAssessment,
    RiskOverride,
    RiskPolicy,
    ScreeningHit,
    ScreeningList,
    Side,
    SurveillanceAlert,
)
from apps.risk.services.assessing import answer_for, own_reasons
from erp.access import Actor
from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, LookupOutput, Output
from erp.columns import CURRENCY
from erp.files import CSV, JPEG, PDF, PNG
from erp.uploads.models import StoredFile


def _requirements(actor: Actor) -> Any:
    rows = Requirement.objects.select_related("buyer_partner", "commodity", "pricing_unit")
    return rows.visible_to(actor)


def _offers(actor: Actor) -> Any:
    return Availability.objects.with_row().visible_to(actor)


def _optional(**kwargs: Any) -> dict[str, Any]:
    return {"required": False, "allow_null": True, **kwargs}


class AssessRequirementInput(Input):
    requirement_id = fields.RowField(
        _requirements, source="requirement", help_text="The requirement to assess."
    )


class AssessAvailabilityInput(Input):
    availability_id = fields.RowField(_offers, source="availability", help_text="The offer to assess.")


class AssessPartnerInput(Input):
    partner_id = fields.RowField(Partner, source="partner", help_text="The partner to assess.")
    side = fields.ChoiceField(choices=Side.choices, help_text="Whether it buys or sells.")


class ProposedQuantityInput(Input):
    value = fields.DecimalField(
        max_digits=18, decimal_places=3, min_value=Decimal("0.001"), help_text="Quantity, more than zero."
    )
    unit = fields.CharField(max_length=16, help_text="The offer's unit, or a unit of weight.")


class ProposedPriceInput(Input):
    amount = fields.DecimalField(
        max_digits=18, decimal_places=6, min_value=Decimal("0.000001"), help_text="Price in the pricing unit."
    )
    currency = fields.CharField(max_length=3, help_text="Currency of the pricing unit.")
    pricing_unit_id = fields.RowField(
        PricingUnit.objects.visible_to, source="pricing_unit", help_text="How the price is quoted."
    )


class AssessTradeInput(AssessRequirementInput, AssessAvailabilityInput):
    quantity = ProposedQuantityInput(help_text="Proposed quantity.")
    price = ProposedPriceInput(help_text="Proposed price.")
    payment_term_id = fields.RowField(
        PaymentTerms.objects.visible_to,
        source="payment_term",
        **_optional(help_text="Empty: the offer's terms."),
    )
    match_id = fields.UUIDField(**_optional(help_text="The match that the trade comes from."))
    reservation_id = fields.UUIDField(
        **_optional(help_text="Its own hold of credit doesn't count against the trade.")
    )


class CapInput(Input):
    amount = fields.DecimalField(
        max_digits=20, decimal_places=2, min_value=Decimal("0.01"), help_text="Largest value with GST."
    )
    currency = fields.CharField(max_length=3, help_text="Currency of the buyer's account.")


class OverrideInput(Input):
    class Meta:
        model = RiskOverride

    assessment_id = fields.RowField(
        RiskAssessment, source="assessment", help_text="The newest assessment of its subject."
    )
    codes = fields.ListField(
        child=fields.CharField(max_length=32), min_length=1, max_length=10, unique=True,
        help_text="Gates of the assessment that are overridden.",
    )  # fmt: skip
    expires_at = fields.DateTimeField(
        **_optional(help_text="When it ends, at most 30 days ahead. Empty: 7 days.")
    )
    max_value = CapInput(
        **_optional(help_text="Most that trades may be worth together. Required for a trade.")
    )
    reason_code = fields.ChoiceField(choices=RiskOverride.ReasonCode.choices, help_text="Kind of reason.")
    reason = fields.CharField(min_length=20, max_length=2000, multiline=True)
    evidence_upload_ids = fields.ListField(
        child=fields.RowField(StoredFile.objects.visible_to), required=False, max_length=10, unique=True,
        source="evidence", help_text="Files that show why.",
    )  # fmt: skip


class _Row(Output):
    """A row that is never changed: without a version."""

    version = None  # type: ignore[assignment]
    updated_at = None  # type: ignore[assignment]


class GateOutput(LookupOutput):
    code = fields.CharField(help_text="Code of the gate.")
    side = fields.CharField(allow_null=True, help_text="Side of the trade; null for the pair.")
    outcome = fields.CharField(help_text="WARN, REVIEW or FAIL.")
    evidence = fields.DictField(help_text="Figures by which it fired.")
    override_id = fields.UUIDField(allow_null=True, help_text="The override that covers it.")


class FactorOutput(LookupOutput):
    code = fields.CharField(help_text="What the score lost points for.")
    side = fields.CharField(help_text="Side of the trade.")
    points = fields.IntegerField(help_text="Points lost.")


class AssessmentOutput(_Row):
    outcome = SerializerMethodField(help_text="allowed, not_allowed or under_review.")
    reasons = SerializerMethodField(help_text="Why not, as the assessed side may read it.")
    policy_version = fields.IntegerField(source="policy.policy_version", help_text="Version of the policy.")
    gates = GateOutput(many=True)
    factors = FactorOutput(many=True)
    inputs = fields.DictField(help_text="Every figure and row version that was read.")

    class Meta:
        model = RiskAssessment
        fields = (
            "subject_type", "requirement", "availability", "partner", "match_id", "trade_id", "reservation_id",
            "side", "requirement_version", "availability_version", "quantity", "unit", "price", "pricing_unit",
            "value", "currency", "score", "inputs", "inputs_digest", "engine_version", "provider_checks",
            "valid_until",
        )  # fmt: skip

    # What a partner reads of its own answer.
    OWN: ClassVar = frozenset({"id", "outcome", "reasons", "valid_until", "links", "allowed_actions"})

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name, field in built.items():
            if name not in self.OWN:
                field.allow_null = True
                field._kwargs = {**field._kwargs, "allow_null": True}
        return built

    def get_outcome(self, row: RiskAssessment) -> str:
        """Whether the subject is allowed."""
        return answer_for(row)

    def get_reasons(self, row: RiskAssessment) -> list[str]:
        """Codes of the assessed side."""
        return [] if row.side is None else own_reasons(row, row.side)

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        if self.context["actor"].partner_id is None:
            return data
        return {name: value if name in self.OWN else None for name, value in data.items()}


class OverrideOutput(Output):
    status = fields.CharField(source="status_now", help_text="Status by the clock.")

    class Meta:
        model = RiskOverride
        fields = (
            "assessment", "codes", "partner_low", "partner_high", "requirement", "availability", "max_value",
            "used_value", "currency", "starts_at", "expires_at", "reason_code", "reason", "uploads",
            "requested_by", "decided_by", "approval_id",
        )  # fmt: skip


class AlertOutput(Output):
    class Meta:
        model = SurveillanceAlert
        fields = (
            "kind", "severity", "partner_ids", "trade_ids", "commodity", "evidence", "assignee", "decided_by",
            "decided_at", "note",
        )  # fmt: skip


class PairBlockOutput(Output):
    class Meta:
        model = PairBlock
        fields = ("low", "high", "cause", "alert", "reason", "from_at", "until_at", "freed_at", "freed_by")


class HitOutput(Output):
    class Meta:
        model = ScreeningHit
        fields = (
            "partner", "field", "entry", "list_code", "entry_reference", "similarity", "exact", "ended",
            "proposed_status", "requested_by", "decided_by", "approval_id",
        )  # fmt: skip


class RiskPolicyOutput(Output):
    class Meta:
        model = RiskPolicy
        fields = (
            "commodity", "policy_version", "body", "base_version", "reason", "proposed_by", "approval_id",
            "activated_at",
        )  # fmt: skip


class ScreeningListOutput(Output):
    class Meta:
        model = ScreeningList
        fields = ("code", "source", "snapshot_date", "sha256", "entries", "decided_by")


class PartnerSideOutput(LookupOutput):
    side = fields.CharField(help_text="Whether it buys or sells.")
    status = fields.CharField(help_text="PASS, WARN, REVIEW or FAIL.")
    score = fields.IntegerField(allow_null=True, help_text="0 to 100.")
    valid_until = fields.DateTimeField(help_text="When it must be assessed anew.")
    assessment_id = fields.UUIDField(help_text="The assessment behind it.")
    gate_codes = fields.ListField(child=fields.CharField(), help_text="Gates that fired.")
    factors = FactorOutput(many=True, help_text="What the score lost.")
    suggested_limit = fields.CharField(help_text="Limit that conduct suggests; nobody applies it by itself.")


class PartnerLinkOutput(LookupOutput):
    link_id = fields.UUIDField(help_text="Of the link.")
    kind = fields.CharField(help_text="What the partners share, never its value.")
    strength = fields.CharField(help_text="block or warn.")
    status = fields.CharField(help_text="suspected or confirmed.")


class PartnerBlockOutput(LookupOutput):
    block_id = fields.UUIDField(help_text="Of the pair block.")
    cause = fields.CharField(help_text="WASH, CONDUCT or MANUAL.")
    until = fields.DateTimeField(allow_null=True, help_text="When it ends.")


class PartnerCheckOutput(LookupOutput):
    check_id = fields.UUIDField(help_text="Of the check.")
    kind = fields.CharField(help_text="CREDIT_BUREAU or SCREENING.")
    status = fields.CharField(help_text="REQUESTED, ANSWERED, BY_HAND or LAPSED.")
    grade = fields.CharField(allow_null=True, help_text="A to D.")


class PartnerRiskOutput(LookupOutput):
    partner_id = fields.UUIDField(help_text="The partner.")
    sides = PartnerSideOutput(many=True, help_text="The newest word on each side.")
    rating = fields.CharField(allow_null=True, help_text="0.00 to 5.00; null below three settled trades.")
    band = fields.CharField(allow_null=True, help_text="A to D, as others see it.")
    trades = fields.IntegerField(help_text="Settled trades of 24 months.")
    exposure_level = fields.CharField(help_text="How much of the limit is used.")
    limit = fields.CharField(help_text="Credit limit today.")
    exposure = fields.CharField(help_text="Everything at risk today.")
    links = PartnerLinkOutput(many=True, help_text="Related parties.")
    blocks = PartnerBlockOutput(many=True, help_text="Pairs that are blocked.")
    checks = PartnerCheckOutput(many=True, help_text="Questions to providers, the newest first.")
    open_alerts = fields.IntegerField(help_text="Alerts that nobody has decided.")


# Forms of the staff portal


class PolicyInput(Input):
    class Meta:
        model = RiskPolicy

    commodity_id = fields.RowField(Commodity.objects.visible_to, source="commodity", **_optional())
    body = fields.DictField(help_text="Thresholds, points and windows. What is left out takes its default.")
    reason = fields.CharField(min_length=10, max_length=500, multiline=True)


class HitDecisionInput(Input):
    status = fields.ChoiceField(
        choices=[("TRUE_MATCH", "The party on the list"), ("FALSE_POSITIVE", "Somebody else")],
        help_text="What was found. A second person approves.",
    )
    reason = fields.CharField(
        min_length=10, max_length=1000, multiline=True, help_text="What shows it: address, papers, dates."
    )


class AlertDecisionInput(Input):
    status = fields.ChoiceField(
        choices=[("CLEARED", "Nothing wrong"), ("CONFIRMED", "Confirmed")], help_text="What was found."
    )
    note = fields.CharField(max_length=2000, multiline=True, help_text="What you saw.")


class BlockPairInput(Input):
    partner_id = fields.RowField(Partner, source="partner", help_text="One of the two.")
    other_partner_id = fields.RowField(Partner, source="other_partner", help_text="The other one.")
    reason = fields.CharField(min_length=10, max_length=1000, multiline=True, help_text="Why.")
    until_at = fields.DateTimeField(**_optional(help_text="Empty: until somebody frees the pair."))


class ReasonInput(Input):
    reason = fields.CharField(min_length=10, max_length=1000, multiline=True, help_text="Why.")


class AnswerByHandInput(Input):
    grade = fields.ChoiceField(choices=ProviderCheck.Grade.choices, help_text="What the provider would say.")
    as_of = fields.DateField(help_text="Day of the data.")
    reason = fields.CharField(
        min_length=10, max_length=1000, multiline=True, help_text="Where the grade is from."
    )
    evidence = FileField(accepts=(PDF, PNG, JPEG), help_text="A paper that shows the grade.")


class RateInput(Input):
    currency = fields.CharField(max_length=3, validators=[CURRENCY], help_text="ISO 4217 code, such as USD.")
    date = fields.DateField(help_text="Day of the rate, not in the future.")
    rate = fields.DecimalField(
        max_digits=18, decimal_places=8, min_value=Decimal("0.00000001"), help_text="INR per unit."
    )
    source = fields.CharField(max_length=60, help_text="Where the rate is from.")  # type: ignore[assignment]


class LoadListInput(Input):
    code = fields.CharField(max_length=20, help_text="Which list, such as UN.")
    snapshot_date = fields.DateField(help_text="Day of the snapshot.")
    content = FileField(
        accepts=(CSV,), help_text="CSV: reference, kind, names between bars, country, identifiers."
    )
    source_name = fields.CharField(max_length=200, source="source", help_text="Where the snapshot is from.")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = super().to_internal_value(data)
        return {**values, "content": values["content"].content}
