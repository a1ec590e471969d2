"""Risk in the staff portal: what waits for people, alerts, overrides, hits, policies, lists and rates."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.risk import capabilities
from apps.risk.models import (
    CurrencyRate,
    PairBlock,
    ProviderCheck,
    RiskAssessment,
    RiskOverride,
    RiskPolicy,
    RiskStatus,
    ScreeningHit,
    ScreeningList,
    SurveillanceAlert,
    TradeFact,
)
from apps.risk.serializers import (
    AlertDecisionInput,
    AnswerByHandInput,
    BlockPairInput,
    HitDecisionInput,
    LoadListInput,
    PolicyInput,
    RateInput,
    ReasonInput,
)
from apps.risk.services import checks, overrides, policies, rates, screening, surveillance
from erp.admin import Queue, ServiceAdmin, Table, quantity, titled
from erp.services import Service

_OUT_OF_DATE = titled("stale", "out of date")
_WAITS: dict[str, Any] = {"amber": timedelta(hours=4), "red": timedelta(hours=24)}


class RiskPage(ServiceAdmin):
    """A page of this module, for staff who see risk."""

    views = capabilities.VIEW
    ordering: ClassVar = ["-id"]  # ids rise with time


@admin.register(RiskStatus)
class RiskStatusAdmin(RiskPage):
    """The newest word about each listing and partner."""

    empty = "Listings and partners are assessed when they are published, approved or changed."
    queues: ClassVar = [
        Queue(title="Risk to review", filters={"status": "REVIEW"}, since="assessment__created_at", **_WAITS)
    ]
    list_display: ClassVar = ["owner", "subject_type", "side", "status", "score", "valid_until", _OUT_OF_DATE]
    list_filter: ClassVar = ["status", "subject_type", "side", "stale"]
    list_select_related: ClassVar = ["owner"]
    search_fields: ClassVar = ["owner__legal_name", "owner__trade_name"]
    search_help_text = "Name of the partner"
    details: ClassVar = [
        "owner", "subject_type", "side", "requirement", "availability", "partner", "status", "score", "assessment",
        "valid_until", "renew_at", _OUT_OF_DATE,
    ]  # fmt: skip


@admin.register(RiskAssessment)
class RiskAssessmentAdmin(RiskPage):
    """Assessments, which are never changed."""

    empty = "Listings and partners are assessed when they are published, approved or changed."
    list_display: ClassVar = ["subject_type", "side", "status", "score", "value", "created_at", "valid_until"]
    list_filter: ClassVar = ["status", "subject_type"]
    search_fields: ClassVar = ["=id", "=match_id", "=trade_id"]
    search_help_text = "The full ID of an assessment, match or trade"
    details: ClassVar = [
        "subject_type", "requirement", "availability", "partner", "side", "match_id", "trade_id", "reservation_id",
        "quantity", "unit", "price", "pricing_unit", "value", "currency", "status", "score", "policy",
        "engine_version", "valid_until", "requested_by", "created_at",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: RiskAssessment) -> list[Table]:
        """Gates that fired, and what the score lost."""
        gates = [
            (gate["code"], gate["side"] or "–", gate["outcome"], _words(gate["evidence"]),
             "Yes" if gate["override_id"] else "No")
            for gate in row.gates
        ]  # fmt: skip
        factors = [
            (factor["code"].capitalize(), factor["side"], f"−{factor['points']}") for factor in row.factors
        ]
        return [
            Table("Gates", ["Gate", "Side", "Outcome", "Figures", "Overridden"], gates),
            Table("Score", ["Factor", "Side", "Points"], factors),
        ]


def _words(evidence: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in evidence.items())


@admin.register(RiskOverride)
class RiskOverrideAdmin(RiskPage):
    """Gates that two people take out of the verdict for a while. The second one decides under Approvals."""

    empty = "Open an assessment that warns, waits or fails, and request an override with its ID."
    starts: ClassVar = [overrides.request_override]
    runs: ClassVar = [overrides.revoke]
    inputs: ClassVar = {overrides.revoke: ReasonInput}
    list_display: ClassVar = [
        "codes", "partner_low", "partner_high", "status", "max_value", "used_value", "expires_at", "requested_by",
        "decided_by",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "reason_code"]
    list_select_related: ClassVar = ["partner_low", "partner_high", "requested_by", "decided_by"]
    search_fields: ClassVar = ["partner_low__legal_name", "partner_high__legal_name"]
    search_help_text = "Name of a partner"


@admin.register(SurveillanceAlert)
class SurveillanceAlertAdmin(RiskPage):
    """Alerts about what was traded. They block nobody."""

    empty = "Executed trades are watched for reversals, rings and prices away from the market."
    runs: ClassVar = [surveillance.take_alert, surveillance.decide_alert]
    inputs: ClassVar = {surveillance.decide_alert: AlertDecisionInput}
    queues: ClassVar = [
        Queue(title="Alerts to look at", filters={"status": "OPEN"}, since="created_at", **_WAITS),
        Queue(
            title="Alerts in review",
            filters={"status": "IN_REVIEW"},
            since="updated_at",
            amber=timedelta(days=2),
            red=timedelta(days=7),
            quiet=True,
        ),
    ]
    list_display: ClassVar = ["kind", "severity", "status", "commodity", "assignee", "created_at"]
    list_filter: ClassVar = ["status", "kind", "severity"]
    list_select_related: ClassVar = ["commodity", "assignee"]


@admin.register(PairBlock)
class PairBlockAdmin(RiskPage):
    """Pairs of partners that must not trade with each other."""

    empty = "Pairs are blocked for reversed trades, for bad conduct, or by hand."
    starts: ClassVar = [surveillance.block_pair]
    runs: ClassVar = [surveillance.free_pair]
    inputs: ClassVar = {surveillance.block_pair: BlockPairInput, surveillance.free_pair: ReasonInput}
    list_display: ClassVar = ["low", "high", "cause", "from_at", "until_at", "freed_at"]
    list_filter: ClassVar = ["cause"]
    list_select_related: ClassVar = ["low", "high"]
    search_fields: ClassVar = ["low__legal_name", "high__legal_name"]


@admin.register(ScreeningHit)
class ScreeningHitAdmin(RiskPage):
    """Names of partners that are equal or alike to names on lists. Two people decide each."""

    empty = "Partners are screened when they are approved, when a name changes, and after a new list."
    runs: ClassVar = [screening.decide_hit]
    inputs: ClassVar = {screening.decide_hit: HitDecisionInput}
    queues: ClassVar = [
        Queue(title="Screening hits", filters={"status": "OPEN"}, since="created_at", **_WAITS)
    ]
    list_display: ClassVar = [
        "partner",
        "field",
        "list_code",
        "entry_reference",
        "similarity",
        "exact",
        "status",
        "created_at",
    ]
    list_filter: ClassVar = ["status", "exact", "field"]
    list_select_related: ClassVar = ["partner"]
    search_fields: ClassVar = ["partner__legal_name", "entry_reference"]

    def tables(self, request: HttpRequest, row: ScreeningHit) -> list[Table]:
        """What the list says about the party."""
        entry = row.entry
        lines = [] if entry is None else [(name, entry.kind, entry.country or "–") for name in entry.names]
        return [Table("On the list", ["Name", "Kind", "Country"], lines)]

    def disabled_reason(self, request: HttpRequest, service: Service, row: ScreeningHit) -> str:
        """Return why a decision is disabled: one waits for its second person."""
        return "A decision waits for a second person under Approvals." if row.proposed_status else ""


@admin.register(ProviderCheck)
class ProviderCheckAdmin(RiskPage):
    """Questions to outside providers. One that isn't answered can be answered by hand, with evidence."""

    empty = "A credit bureau is asked once much is at risk."
    runs: ClassVar = [checks.answer_by_hand]
    inputs: ClassVar = {checks.answer_by_hand: AnswerByHandInput}
    queues: ClassVar = [
        Queue(
            title="Providers that don't answer",
            filters={"status": "REQUESTED"},
            since="requested_at",
            amber=timedelta(minutes=15),
            red=timedelta(hours=4),
            quiet=True,
        )
    ]
    list_display: ClassVar = ["partner", "kind", "status", "grade", "as_of", "attempts", "requested_at"]
    list_filter: ClassVar = ["status", "kind", "grade"]
    list_select_related: ClassVar = ["partner"]
    search_fields: ClassVar = ["partner__legal_name"]


@admin.register(RiskPolicy)
class RiskPolicyAdmin(RiskPage):
    """Figures of gates and score. Each change is a version that a second person approves."""

    starts: ClassVar = [policies.propose_policy]
    inputs: ClassVar = {policies.propose_policy: PolicyInput}
    empty = "The first assessment activates the policy that comes with the product."
    list_display: ClassVar = ["commodity", "policy_version", "status", "proposed_by", "activated_at"]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["commodity", "proposed_by"]


@admin.register(ScreeningList)
class ScreeningListAdmin(RiskPage):
    """Dated snapshots of screening lists."""

    starts: ClassVar = [screening.load_list]
    runs: ClassVar = [screening.activate_list, screening.retire_list]
    inputs: ClassVar = {
        screening.load_list: LoadListInput,
        screening.activate_list: ReasonInput,
        screening.retire_list: ReasonInput,
    }
    empty = "Lists are fetched every night, or loaded from a file."
    queues: ClassVar = [
        Queue(
            title="Screening lists to activate",
            filters={"status": "LOADED"},
            since="created_at",
            quiet=True,
            **_WAITS,
        )
    ]
    list_display: ClassVar = ["code", "snapshot_date", "entries", "status", "source"]
    list_filter: ClassVar = ["status", "code"]


@admin.register(CurrencyRate)
class CurrencyRateAdmin(RiskPage):
    """INR per unit of a currency, by day."""

    starts: ClassVar = [rates.record_rate]
    inputs: ClassVar = {rates.record_rate: RateInput}
    empty = "Rates are fetched every evening, or entered here."
    list_display: ClassVar = ["currency", "date", "rate", "source", "entered_by"]
    list_filter: ClassVar = ["currency"]
    list_select_related: ClassVar = ["entered_by"]


@admin.register(TradeFact)
class TradeFactAdmin(RiskPage):
    """What risk knows of trades: who traded what, and how it was performed."""

    empty = "Trades write them."
    list_display: ClassVar = [
        "buyer", "seller", "commodity", quantity("quantity_kg", "kg", "quantity"), "price", "trade_date", "stage",
        "disputed",
    ]  # fmt: skip
    list_filter: ClassVar = ["stage", "disputed"]
    list_select_related: ClassVar = ["buyer", "seller", "commodity"]
    search_fields: ClassVar = ["=trade_id", "buyer__legal_name", "seller__legal_name"]
    search_help_text = "Name of a partner, or the full ID of a trade"
