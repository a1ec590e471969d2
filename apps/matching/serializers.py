"""Inputs and outputs of matching. What a side may not know of the other is null (matching §5.9)."""

from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, ClassVar, Final

from rest_framework.serializers import SerializerMethodField

from apps.commodities.models.commodities import Commodity
from apps.matching.engine.body import DEFAULT, RuleBody
from apps.matching.models import Allocation, Match, MatchRun, RuleSet, Side
from apps.matching.services.pairs import DROPPED, HIDDEN, NOT_ELIGIBLE, POOL
from apps.partners.models import Partner
from apps.partners.pseudonyms import pseudonym_of_side
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output, set_nullable, within

STATES: Final = 40
_OPTIONAL: Final[dict[str, Any]] = {"required": False, "allow_null": True}


class FindInput(Input):
    limit = fields.IntegerField(
        min_value=1,
        max_value=50,
        required=False,
        help_text="Most matches in the answer, 1 to 50. Default 10.",
    )
    min_score = fields.DecimalField(
        max_digits=5, decimal_places=4, min_value=Decimal(0), max_value=Decimal(1),
        help_text="Least score, 0 to 1. It can only be higher than that of the rules.", **_OPTIONAL,
    )  # fmt: skip


class ExecuteInput(Input):
    commodity_id = fields.RowField(
        Commodity.objects.visible_to, source="commodity", help_text="Goods to match."
    )
    states = fields.ListField(
        child=fields.CharField(max_length=3), required=False, max_length=STATES, unique=True,
        help_text="GST codes of states where the goods are. Empty: all.",
    )  # fmt: skip
    mode = fields.ChoiceField(
        choices=[("FULL", "All requirements"), ("STALE", "Those not matched by the current rules")],
        required=False, help_text="Which requirements. Default: those not matched by the current rules.",
    )  # fmt: skip
    allocate = fields.BooleanField(
        required=False, help_text="Whether contested stock is divided. Default: yes."
    )


class MatchQuantityInput(Input):
    value = fields.DecimalField(
        max_digits=18,
        decimal_places=3,
        min_value=Decimal("0.001"),
        help_text="Quantity that the buyer takes.",
    )
    unit = fields.CharField(max_length=16, help_text="Unit of the match, such as BALE.")


def _side() -> Any:
    return fields.ChoiceField(
        choices=Side.choices, help_text="Side for which staff decide. Not for partners.", **_OPTIONAL
    )


def _note() -> Any:
    return fields.CharField(
        max_length=500,
        required=False,
        allow_blank=True,
        help_text="Remark, at most 500 characters. Staff need it.",
    )


class MatchApproveInput(Input):
    quantity = MatchQuantityInput(**_OPTIONAL, help_text="What the buyer takes. Empty: all that is proposed.")
    side = _side()
    note = _note()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        chosen = attrs.pop("quantity", None)
        return attrs if chosen is None else {**attrs, "quantity": chosen["value"], "unit": chosen["unit"]}


class MatchRejectInput(Input):
    reason = fields.ChoiceField(choices=Match.Reason.choices, help_text="Why the side rejects.")
    side = _side()
    note = _note()


# Rules


def _bp(name: str, least: int = 0, most: int = 10_000) -> Any:
    return fields.IntegerField(
        min_value=least, max_value=most, help_text=f"{_WORDS[name]} In basis points, {least:,} to {most:,}."
    )


_WORDS: Final = {
    "quality": "Weight of quality.", "price": "Weight of the price.", "delivery": "Weight of delivery.",
    "quantity": "Weight of quantity.", "place": "Weight of the place.", "window": "Weight of the dates.",
    "terms": "Weight of terms.", "min_quality": "Least score of quality.",
    "at_limit": "Score of a result exactly on its limit.",
    "unverified_factor": "Factor of results without a verified report.", "neutral": "Score of what is unknown.",
    "at_ceiling": "Price score at the ceiling.", "default_target": "Target as a share of the ceiling.",
    "band": "Width of the price band where there is no ceiling.", "at_need": "Quantity score at the least quantity.",
    "min_part": "Smallest part of a requirement.", "warn_factor": "Factor of pairs with a risk warning.",
    "silent": "Score of terms that an offer doesn't name.", "different": "Score of other terms than wished.",
    "road": "Road distance as a share of the straight line.", "similarity": "From which likeness lots are duplicates.",
    "max_share": "Most that one group of buyers gets of contested stock.",
}  # fmt: skip


class WeightsInput(Input):
    quality, price, delivery, quantity = (_bp(name) for name in ("quality", "price", "delivery", "quantity"))


class DeliveryWeightsInput(Input):
    place, window, terms = (_bp(name) for name in ("place", "window", "terms"))


class ParameterRuleInput(Input):
    parameter = fields.CharField(max_length=40, help_text="Code of the quality parameter.")
    weight = fields.IntegerField(
        min_value=0, max_value=1_000, help_text="Weight among the wanted parameters."
    )
    missing = fields.ChoiceField(
        choices=[("ZERO", "Scores 0"), ("NEUTRAL", "Scores neutral"), ("REJECT", "Leaves the offer out")],
        help_text="What a missing result means.",
    )  # fmt: skip
    tolerance = fields.DecimalField(
        max_digits=18, decimal_places=4, min_value=Decimal(0), allow_null=True,
        help_text="Tolerance in the parameter's unit. Empty: the parameter's own.",
    )  # fmt: skip


class RuleBodyInput(Input):
    weights = WeightsInput(help_text="Weights of the parts, together 10,000.")
    delivery_weights = DeliveryWeightsInput(help_text="Weights within delivery, together 10,000.")
    min_score = fields.DecimalField(
        max_digits=5, decimal_places=4, min_value=Decimal("0.30"), max_value=Decimal("0.95"),
        help_text="Least score of a match, 0.30 to 0.95.",
    )  # fmt: skip
    min_quality, at_limit, unverified_factor, neutral, at_ceiling, band, at_need, min_part, silent, different = (
        _bp(name) for name in (
            "min_quality", "at_limit", "unverified_factor", "neutral", "at_ceiling", "band", "at_need", "min_part",
            "silent", "different",
        )
    )  # fmt: skip
    default_target, warn_factor = _bp("default_target", 5_000), _bp("warn_factor", 5_000)
    road = _bp("road", 10_000, 30_000)
    similarity, max_share = _bp("similarity"), _bp("max_share")
    place_scale_km = fields.IntegerField(
        min_value=1, max_value=20_000, help_text="Distance that scores 0, in km."
    )
    tax_view = fields.ChoiceField(
        choices=[("EXCLUDE", "GST is credited"), ("INCLUDE", "GST is a cost")],
        help_text="Whether GST is a cost.",
    )
    freight_rate = fields.DecimalField(
        max_digits=8, decimal_places=4, min_value=Decimal(0), max_value=Decimal(1_000),
        help_text="Freight in INR per tonne and km.",
    )  # fmt: skip
    schedule_id = fields.UUIDField(allow_null=True, help_text="Schedule of premiums and discounts.")
    schedule_version = fields.IntegerField(min_value=1, allow_null=True, help_text="Version of the schedule.")
    duplicate_minutes = fields.IntegerField(
        min_value=0, max_value=1_440, help_text="Time between duplicates."
    )
    cooldown_hours = fields.IntegerField(min_value=0, max_value=720, help_text="Pause after a rejection.")
    lives_hours = fields.IntegerField(min_value=1, max_value=720, help_text="How long a match lives.")
    parameters = ParameterRuleInput.many_init(max_length=100, help_text="Rules of single parameters.")


class RuleSetInput(Input):
    commodity_id = fields.RowField(
        Commodity.objects.visible_to, source="commodity", help_text="Commodity. Empty: the default rules.",
        allow_null=True,
    )  # fmt: skip
    reason = fields.CharField(min_length=10, max_length=500, help_text="Why the rules change.")
    locals().update(within("body", RuleBodyInput))


class RuleSetOutput(Output):
    rules = SerializerMethodField()

    class Meta:
        model = RuleSet
        fields = ("commodity", "base_version", "reason", "proposed_by", "approval_id", "activated_at")

    def get_rules(self, row: RuleSet) -> dict[str, Any]:
        """Every figure of the rules, as PUT takes it."""
        body = DEFAULT.stored() | row.body
        named = [{"parameter": code, **rule} for code, rule in sorted(body["parameters"].items())]
        return {**body, "parameters": named}


class SimulatedWant(LookupOutput):
    requirement_id = fields.UUIDField()
    added = fields.IntegerField(help_text="Matches that only the new rules find.")
    removed = fields.IntegerField(help_text="Matches that only the current rules find.")
    moved = fields.IntegerField(help_text="Matches at another place in the order.")
    largest_change = fields.DecimalField(
        max_digits=7, decimal_places=6, help_text="Largest change of a score."
    )


class SimulationOutput(LookupOutput):
    base_version = fields.IntegerField(help_text="Version that it is compared with.")
    rule_version = fields.IntegerField()
    wants = fields.IntegerField(
        help_text="Requirements that were scored by both: the sample, or as much of it as there was time for."
    )
    added = fields.IntegerField()
    removed = fields.IntegerField()
    moved = fields.IntegerField()
    rows = SimulatedWant(many=True)


# Matches


def _is_partner(actor: Any) -> bool:
    return not (actor.is_staff or actor.is_system or actor.is_superuser)


def two_places(value: str | Decimal | None) -> Decimal | None:
    """A score as buyers see it."""
    return None if value is None else Decimal(value).quantize(Decimal("0.01"))


def shown_km(metres: int | None) -> int | None:
    """A distance as buyers see it: rounded up to 50 km."""
    return None if metres is None else ceil(metres / 50_000) * 50


def _rules_of(row: Match) -> RuleBody:
    return DEFAULT if row.rule_set is None else RuleBody.model_validate(row.rule_set.body)


class MatchOutput(Output):
    commodity_id = fields.UUIDField(source="availability.commodity_id", help_text="Goods of the offer.")
    side = SerializerMethodField()
    buyer_partner_id = fields.UUIDField(allow_null=True)
    seller_partner_id = fields.UUIDField(allow_null=True)
    counterpart_ref = SerializerMethodField()
    counterpart_rating = SerializerMethodField()
    counterpart_verified = SerializerMethodField()
    rule_version = SerializerMethodField()
    score = SerializerMethodField()
    distance_km = SerializerMethodField()
    quantity = SerializerMethodField()
    own_decision = SerializerMethodField()
    counterpart_decided = SerializerMethodField()
    landed = SerializerMethodField()
    freight = SerializerMethodField()
    wanted = SerializerMethodField()
    breakdown = SerializerMethodField()
    proposed_count = fields.IntegerField(allow_null=True)
    allocated_count = fields.IntegerField(allow_null=True)
    count_unit = fields.CharField(allow_null=True)

    class Meta:
        model = Match
        fields = (
            "requirement", "availability", "requirement_terms_version", "availability_terms_version",
            "engine_version", "risk_status", "quoted", "equalised", "tax", "unit", "proposed_quantity",
            "proposed_kg", "need_quantity", "need_kg", "allocated_quantity", "allocated_kg", "allocation", "label",
            "inputs_digest", "expires_at", "run", "buyer_decision", "buyer_decided_by", "buyer_decided_at",
            "buyer_reason", "buyer_note", "seller_decision", "seller_decided_by", "seller_decided_at", "seller_reason",
            "seller_note", "reservation_id", "trade_id", "superseded_by",
        )  # fmt: skip

    # What both sides see; further what the buyer sees. Everything else is for staff.
    BOTH: ClassVar = frozenset(
        {
            "id", "version", "status", "availability_id", "commodity_id", "side", "counterpart_ref",
            "counterpart_rating", "counterpart_verified", "availability_terms_version", "quoted", "unit", "count_unit",
            "proposed_quantity", "proposed_kg", "proposed_count", "allocated_quantity", "allocated_kg",
            "allocated_count", "quantity", "label", "expires_at", "own_decision", "counterpart_decided", "trade_id",
            "superseded_by_id", "breakdown", "wanted", "created_at", "updated_at", "allowed_actions", "links",
        }
    )  # fmt: skip
    BUYER: ClassVar = BOTH | {
        "requirement_id", "requirement_terms_version", "equalised", "tax", "landed", "freight", "distance_km", "score",
        "need_quantity", "need_kg", "allocation_id", "reservation_id",
    }  # fmt: skip

    def _build_fields(self) -> dict[str, Any]:
        built = super()._build_fields()
        for name, field in built.items():
            if name not in self.BOTH:
                set_nullable(field)
        return built

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        side = self._side(row)
        if side is None:
            return data
        shown = self.BUYER if side == Side.BUYER else self.BOTH
        if side == Side.SELLER:
            data["expires_at"] = self.fields["expires_at"].to_representation(self._end_by_offer(row))
        return {name: value if name in shown else None for name, value in data.items()}

    def _end_by_offer(self, row: Match) -> datetime:
        """When a match ends by the rules and the offer: a seller doesn't learn when the requirement does."""
        ends = [row.created_at + timedelta(hours=_rules_of(row).lives_hours), row.availability.expires_at]
        return min(end for end in ends if end is not None)

    def _side(self, row: Match) -> Side | None:
        """The side of the caller; None for staff, who see everything."""
        actor = self.context["actor"]
        return row.side_of(actor) if _is_partner(actor) else None

    def _counterpart(self, row: Match) -> Partner | None:
        side = self._side(row)
        return None if side is None else row.seller_partner if side == Side.BUYER else row.buyer_partner

    def get_side(self, row: Match) -> str | None:
        """Side of the caller's partner; null for staff."""
        return self._side(row)

    def get_counterpart_ref(self, row: Match) -> str | None:
        """Pseudonym of the other side, in this match only; null for staff."""
        other = self._counterpart(row)
        if other is None:
            return None
        side = Side.SELLER if self._side(row) == Side.BUYER else Side.BUYER
        return pseudonym_of_side(side, self.context["actor"].partner_id, other.pk, row.pk)

    def get_counterpart_rating(self, row: Match) -> str | None:
        """Rating band of the other side, for the buyer."""
        other = self._counterpart(row)
        return None if other is None or self._side(row) != Side.BUYER else other.risk_category or None

    def get_counterpart_verified(self, row: Match) -> bool | None:
        """Whether the other side is active and its KYC valid today."""
        other = self._counterpart(row)
        if other is None or self._side(row) != Side.BUYER:
            return None
        return bool(other.status == Partner.Status.ACTIVE and other.kyc == "valid")

    def get_rule_version(self, row: Match) -> int:
        """Version of the rules that made the match; 0 for the built-in ones."""
        return 0 if row.rule_set is None else row.rule_set.version

    def get_score(self, row: Match) -> str | None:
        """Score from 0 to 1; to the buyer with two decimals."""
        return f"{row.score if self._side(row) is None else two_places(row.score):f}"

    def get_distance_km(self, row: Match) -> int | None:
        """Distance in km, rounded up to the next 50."""
        return shown_km(row.distance_m)

    def get_quantity(self, row: Match) -> dict[str, str] | None:
        """What the buyer takes, once it is agreed."""
        if row.status not in (Match.Status.APPROVED, Match.Status.CONVERTED) or row.buyer_quantity is None:
            return None
        return {"value": f"{row.buyer_quantity:f}", "unit": row.unit}

    def get_own_decision(self, row: Match) -> str | None:
        """What the caller's own side has decided."""
        side = self._side(row)
        return None if side is None else row.decision_of(side)

    def get_counterpart_decided(self, row: Match) -> bool | None:
        """Whether the other side has decided; not how."""
        side = self._side(row)
        if side is None:
            return None
        return row.decision_of(Side.SELLER if side == Side.BUYER else Side.BUYER) is not None

    def get_freight(self, row: Match) -> str | None:
        """Estimated freight in INR per kg; to the buyer from the rounded distance."""
        freight = self._freight(row)
        return None if freight is None else f"{freight:f}"

    def _freight(self, row: Match) -> Decimal | None:
        if row.freight is None or not row.freight or self._side(row) is None or row.distance_m is None:
            return None if row.freight is None else Decimal(row.freight)
        rules = _rules_of(row)
        road_km = ceil((shown_km(row.distance_m) or 0) * 1000 * rules.road / 10_000_000)
        return (rules.freight_rate * road_km / 1000).quantize(Decimal("1e-8"))

    def get_landed(self, row: Match) -> str | None:
        """Cost at the destination in INR per kg at base quality, with the freight that is shown."""
        freight = self._freight(row)
        if row.equalised is None or freight is None or row.tax is None:
            return None
        return f"{max(row.equalised + freight + row.tax, Decimal(0)):f}"

    def get_wanted(self, row: Match) -> dict[str, Any]:
        """Where and when the goods are wanted, and on which terms."""
        want = row.requirement
        terms = ("delivery_term_ids", "payment_term_ids", "weighment_term_ids", "passing_term_ids")
        return {
            "destination_state_code": want.state_code,
            "delivery_from_date": str(want.delivery_from_date),
            "delivery_until_date": str(want.delivery_until_date),
            **{name: [str(key) for key in getattr(want, name)] for name in terms},
        }

    def get_breakdown(self, row: Match) -> dict[str, Any]:
        """Parts of the score and quality by parameter; sellers see what is wanted and their own results only."""
        side = self._side(row)
        return row.breakdown if side is None else breakdown_for(row.breakdown, side)


def breakdown_for(breakdown: dict[str, Any], side: str) -> dict[str, Any]:
    """The reasons as a side may read them."""
    if side == Side.SELLER:
        hidden = {"preferred"}
        return {
            "parameters": [
                {
                    **{name: each[name] for name in ("code", "name", "unit", "direction", "got", "flags")},
                    "wanted": {name: value for name, value in each["wanted"].items() if name not in hidden},
                }
                for each in breakdown["parameters"]
            ]
        }
    parts = {name: breakdown[name] for name in ("quality", "price", "quantity", "window", "terms")}
    rounded = {name: {**part, "score": f"{two_places(part['score']):f}"} for name, part in parts.items()}
    parameters = [{**each, "score": f"{two_places(each['score']):f}"} for each in breakdown["parameters"]]
    flags = [flag for flag in breakdown["flags"] if flag != "warned"]
    return {**rounded, "parameters": parameters, "flags": flags}


# Runs


def banded(number: int, *, few: bool = False) -> str:
    """A count as partners see it."""
    if not number:
        return "0"
    if number < 5 or few:
        return "few"
    return next((text for most, text in ((20, "5–19"), (100, "20–99")) if number < most), "100+")


def counts_for(run: MatchRun, actor: Any) -> dict[str, str]:
    """How many pairs failed each filter first: exact for staff, in bands and without what tells of others."""
    if not _is_partner(actor):
        return {name: str(number) for name, number in run.rejected.items()}
    by_offer = run.availability_id is not None
    hidden = HIDDEN | ({"price"} if by_offer else set())
    shown = {name: banded(n, few=name in run.few) for name, n in run.rejected.items() if name not in hidden}
    others = {name: number for name, number in run.rejected.items() if name in hidden}
    if by_offer and run.dropped:  # a score falls as the price rises, so where it was too low isn't told
        others[DROPPED] = sum(run.dropped.values())
    if others:
        shown[NOT_ELIGIBLE] = banded(sum(others.values()), few=all(name in run.few for name in others))
    return shown


class MatchRunOutput(Output):
    rule_version = SerializerMethodField()
    pool = SerializerMethodField()
    rejected = SerializerMethodField()
    dropped = SerializerMethodField()

    masked = ("duration_ms", "superseded", "found", "batch_id", "cause_event_id")

    class Meta:
        model = MatchRun
        fields = (
            "kind", "requirement", "availability", "commodity", "states", "mode", "allocate", "batch",
            "cause_event_id", "engine_version", "kept", "found", "superseded", "problem", "duration_ms", "job_id",
        )  # fmt: skip

    def to_representation(self, row: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(row)
        if _is_partner(self.context["actor"]):
            data |= dict.fromkeys(self.masked)
        return data

    def get_rule_version(self, row: MatchRun) -> int:
        """Version of the rules; 0 for the built-in ones."""
        return 0 if row.rule_set is None else row.rule_set.version

    def get_pool(self, row: MatchRun) -> str:
        """Live listings of suitable goods; for partners in bands."""
        return banded(row.pool, few=POOL in row.few) if _is_partner(self.context["actor"]) else str(row.pool)

    def get_rejected(self, row: MatchRun) -> dict[str, str]:
        """How many failed each filter first; for partners in bands."""
        return counts_for(row, self.context["actor"])

    def get_dropped(self, row: MatchRun) -> dict[str, str]:
        """How many were left out after scoring, and why; for buyers in bands, for sellers among those not eligible."""
        if not _is_partner(self.context["actor"]):
            return {name: str(number) for name, number in row.dropped.items()}
        if row.availability_id is not None:
            return {}
        return {name: banded(number, few=DROPPED in row.few) for name, number in row.dropped.items()}


class RunResultOutput(LookupOutput):
    run = MatchRunOutput()
    matches = MatchOutput(many=True, help_text="The best first.")


class BatchOutput(LookupOutput):
    run_id = fields.UUIDField(source="pk")
    job_id = fields.UUIDField(help_text="The job, which can be followed and cancelled.")
    links = SerializerMethodField()

    def get_links(self, run: MatchRun) -> dict[str, str]:
        """The job."""
        return {"self": f"/api/v1/jobs/{run.job_id}", "run": f"/api/v1/matching/runs/{run.pk}"}


class AllocationOutput(Output):
    participants = SerializerMethodField()
    parts = SerializerMethodField()

    class Meta:
        model = Allocation
        fields = ("availability", "run", "unit", "open_quantity", "step", "max_share", "divisible")

    def get_participants(self, row: Allocation) -> int:
        """How many matches took part."""
        return len(row.parts.all())

    def get_parts(self, row: Allocation) -> list[dict[str, Any]]:
        """What each match got; a participant sees its own part."""
        actor = self.context["actor"]
        parts = sorted(row.parts.all(), key=lambda part: part.rank)
        if _is_partner(actor):
            parts = [part for part in parts if part.match.buyer_partner_id == actor.partner_id]
            return [{"match_id": str(part.match_id), "given": f"{part.given:f}"} for part in parts]
        return [
            {
                "match_id": str(part.match_id), "rank": part.rank, "cluster": str(part.cluster),
                "want": f"{part.want:f}", "need": f"{part.need:f}", "given": f"{part.given:f}", "reason": part.reason,
            }
            for part in parts
        ]  # fmt: skip


class ExplanationOutput(LookupOutput):
    run_id = fields.UUIDField(allow_null=True, help_text="The run that is explained.")
    at = fields.DateTimeField(allow_null=True, help_text="When it ran.")
    pool = fields.CharField(help_text="Live listings of suitable goods; for partners in bands.")
    rejected = fields.DictField(child=fields.CharField(), help_text="How many failed each filter first.")
    dropped = fields.DictField(child=fields.CharField(), help_text="How many were left out after scoring.")
    pair = SerializerMethodField()

    def get_pair(self, explained: Any) -> dict[str, Any] | None:
        """Why one named pair doesn't match, if it is asked for."""
        pair: dict[str, Any] | None = explained["pair"]
        return pair
