"""Events of risk: ids, codes and own figures; no name, no list entry, no value of a key. Only staff read them."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from apps.risk import capabilities
from erp.events import DecimalText, Event, Money, event, rows_of

_ROWS = {
    "risk_assessment": "RiskAssessment", "risk_override": "RiskOverride", "risk_alert": "SurveillanceAlert",
    "pair_block": "PairBlock", "screening_hit": "ScreeningHit", "screening_list": "ScreeningList",
    "provider_check": "ProviderCheck", "risk_policy": "RiskPolicy", "currency_rate": "CurrencyRate",
}  # fmt: skip
for _type, _model in _ROWS.items():
    rows_of(_type, model=f"risk.{_model}", reads=capabilities.VIEW)


def _event(name: str, aggregate: str, field: str) -> Any:
    return event(f"risk.{name}", version=1, aggregate=(aggregate, field), readers={})


@_event("assessed", "risk_assessment", "assessment_id")
class RiskAssessed(Event):
    assessment_id: UUID
    subject_type: str
    requirement_id: UUID | None
    availability_id: UUID | None
    partner_id: UUID | None
    match_id: UUID | None
    trade_id: UUID | None
    side: str | None
    status: str
    previous_status: str | None
    gate_codes: list[str]
    score: int | None
    policy_version: int
    valid_until: datetime


class OverrideEvent(Event):
    override_id: UUID


class OverrideTold(OverrideEvent):
    assessment_id: UUID
    codes: list[str]
    partner_ids: list[UUID]
    requirement_id: UUID | None
    availability_id: UUID | None
    max_value: Money | None
    expires_at: datetime
    requested_by: UUID | None


@_event("override_requested", "risk_override", "override_id")
class RiskOverrideRequested(OverrideTold):
    approval_id: UUID


@_event("override_granted", "risk_override", "override_id")
class RiskOverrideGranted(OverrideTold):
    granted_by: UUID | None


@_event("override_refused", "risk_override", "override_id")
class RiskOverrideRefused(OverrideEvent):
    status: str


@_event("override_used", "risk_override", "override_id")
class RiskOverrideUsed(OverrideEvent):
    trade_id: UUID | None
    value: Money
    used_value: Money
    status: str


@_event("override_expired", "risk_override", "override_id")
class RiskOverrideExpired(OverrideEvent):
    pass


@_event("override_revoked", "risk_override", "override_id")
class RiskOverrideRevoked(OverrideEvent):
    pass


class AlertEvent(Event):
    alert_id: UUID
    kind: str
    severity: str
    partner_ids: list[UUID]
    trade_ids: list[UUID]
    status: str


@_event("alert_raised", "risk_alert", "alert_id")
class RiskAlertRaised(AlertEvent):
    pass


@_event("alert_taken", "risk_alert", "alert_id")
class RiskAlertTaken(AlertEvent):
    pass


@_event("alert_decided", "risk_alert", "alert_id")
class RiskAlertDecided(AlertEvent):
    pass


class PairEvent(Event):
    block_id: UUID
    partner_ids: list[UUID]
    cause: str
    until: datetime | None


@_event("pair_blocked", "pair_block", "block_id")
class RiskPairBlocked(PairEvent):
    pass


@_event("pair_freed", "pair_block", "block_id")
class RiskPairFreed(PairEvent):
    pass


class HitEvent(Event):
    hit_id: UUID
    partner_id: UUID
    exact: bool
    status: str


@_event("hit_found", "screening_hit", "hit_id")
class RiskHitFound(HitEvent):
    pass


@_event("hit_decided", "screening_hit", "hit_id")
class RiskHitDecided(HitEvent):
    pass


@_event("hit_proposed", "screening_hit", "hit_id")
class RiskHitProposed(HitEvent):
    proposed_status: str
    approval_id: UUID


@_event("list_loaded", "screening_list", "list_id")
class RiskListLoaded(Event):
    list_id: UUID
    code: str
    snapshot_date: date
    entries: int
    status: str


@_event("list_proposed", "screening_list", "list_id")
class RiskListProposed(Event):
    list_id: UUID
    code: str
    proposed_status: str
    approval_id: UUID


class CheckEvent(Event):
    check_id: UUID
    partner_id: UUID
    kind: str


@_event("check_requested", "provider_check", "check_id")
class RiskCheckRequested(CheckEvent):
    pass


@_event("check_answered", "provider_check", "check_id")
class RiskCheckAnswered(CheckEvent):
    by_hand: bool
    grade: str | None
    changed: bool  # whether it says anything new: a new list rarely does


@_event("check_unanswered", "provider_check", "check_id")
class RiskCheckUnanswered(CheckEvent):
    attempts: int


@_event("check_lapsed", "provider_check", "check_id")
class RiskCheckLapsed(CheckEvent):
    pass


class PolicyEvent(Event):
    policy_id: UUID
    commodity_id: UUID | None
    version: int


@_event("policy_proposed", "risk_policy", "policy_id")
class RiskPolicyProposed(PolicyEvent):
    approval_id: UUID


@_event("policy_changed", "risk_policy", "policy_id")
class RiskPolicyChanged(PolicyEvent):
    previous_version: int | None


@_event("policy_refused", "risk_policy", "policy_id")
class RiskPolicyRefused(PolicyEvent):
    status: str


@_event("fact_recorded", "trade_fact", "trade_id")
class RiskFactRecorded(Event):
    trade_id: UUID
    stage: str


@_event("rating_changed", "risk_rating", "partner_id")
class RiskRatingChanged(Event):
    partner_id: UUID
    band: str | None


@_event("rate_recorded", "currency_rate", "rate_id")
class RiskRateRecorded(Event):
    rate_id: UUID
    currency: str
    date: date
    rate: DecimalText
    source: str
