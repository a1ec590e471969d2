"""Matches, the runs that made them, the rules behind them, and what makes the next run necessary."""

from apps.matching.models.allocations import Allocation, AllocationPart
from apps.matching.models.marks import RematchMark
from apps.matching.models.matches import Match, MatchNotice, MatchRun, Side, protecting
from apps.matching.models.profiles import OfferProfile, WantProfile
from apps.matching.models.rules import RuleSet

__all__ = [
    "Allocation",
    "AllocationPart",
    "Match",
    "MatchNotice",
    "MatchRun",
    "OfferProfile",
    "RematchMark",
    "RuleSet",
    "Side",
    "WantProfile",
    "protecting",
]
