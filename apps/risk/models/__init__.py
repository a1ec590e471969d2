"""Policies, assessments, overrides, surveillance, screening and what outside providers answer."""

from apps.risk.models.assessments import RiskAssessment, RiskOverride, RiskStatus, Subject
from apps.risk.models.base import Side, Verdict
from apps.risk.models.checks import CurrencyRate, ProviderCheck
from apps.risk.models.policies import RiskPolicy
from apps.risk.models.screening import ScreeningEntry, ScreeningHit, ScreeningList, ScreeningName
from apps.risk.models.surveillance import PairBlock, SurveillanceAlert, TradeFact, ordered

__all__ = [
    "CurrencyRate",
    "PairBlock",
    "ProviderCheck",
    "RiskAssessment",
    "RiskOverride",
    "RiskPolicy",
    "RiskStatus",
    "ScreeningEntry",
    "ScreeningHit",
    "ScreeningList",
    "ScreeningName",
    "Side",
    "Subject",
    "SurveillanceAlert",
    "TradeFact",
    "Verdict",
    "ordered",
]
