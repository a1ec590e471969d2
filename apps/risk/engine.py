"""Gates and score of an assessment: pure functions of the stored inputs and the policy's body (risk §5).

The same inputs and policy always give the same gates, score and status. Figures are decimals as text, computed as
fractions. A gate only makes the verdict worse.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from apps.risk.policy import Points2, Points3, PolicyBody

VERSION: Final = 1
PASS, WARN, REVIEW, FAIL = "PASS", "WARN", "REVIEW", "FAIL"
ORDER: Final = (PASS, WARN, REVIEW, FAIL)
BUYER, SELLER = "BUYER", "SELLER"
# Gates in the order in which they are listed, and whether two people can take them out of the verdict.
GATES: Final[dict[str, bool]] = {
    "partner.not_ready": False,
    "country.embargoed": False,
    "screening.match": False,
    "screening.possible": False,  # decide the hit instead
    "screening.stale": False,
    "party.block": False,
    "party.warn": True,
    "pair.blocked": True,
    "pair.weak": True,
    "credit.no_limit": False,
    "credit.exceeded": False,
    "credit.partial": True,
    "credit.thin": True,
    "credit.unknown": False,
    "credit.overdue": True,  # while it is only reviewed
    "provider.missing": True,
    "bureau.adverse": True,
    "bureau.weak": True,
    "score.low": True,
}
_PLACES: Final = list(GATES)
# What a partner may read about itself: no score, link, hit or grade.
OWN_CODES: Final = frozenset(
    code
    for code in GATES
    if code.startswith(("partner.", "country.", "credit.")) or code == "provider.missing"
)


def overridable(code: str, outcome: str) -> bool:
    """Whether two people can take a gate out of the verdict."""
    return GATES[code] and not (code == "credit.overdue" and outcome == FAIL)


@dataclass(frozen=True)
class Result:
    """What gates and score say."""

    status: str
    score: int | None
    gates: list[dict[str, Any]]
    factors: list[dict[str, Any]]


@dataclass(frozen=True)
class Conduct:
    """How contracts were performed: each part in percent, 2 places half up; None where nothing was due."""

    paid: Decimal | None
    delivered: Decimal | None
    passed: Decimal | None
    disputed: Decimal | None
    trades: int

    @property
    def conduct(self) -> Fraction | None:
        """The weighted mean of the parts that exist; None without a trade."""
        good = None if self.disputed is None else 100 - self.disputed
        parts = ((35, self.paid), (30, self.delivered), (25, self.passed), (10, good))
        known = [(weight, Fraction(value)) for weight, value in parts if value is not None]
        total = sum(weight for weight, _ in known)
        return sum((weight * value for weight, value in known), Fraction(0)) / total if total else None

    def rating(self, least: int) -> Decimal | None:
        """Conduct ÷ 20 with two places; unknown below ``least`` settled trades."""
        conduct = self.conduct
        return None if conduct is None or self.trades < least else _half_up(conduct / 20)

    @property
    def figures(self) -> list[Fraction]:
        """Conduct and its parts by which a pair is judged."""
        parts = (self.conduct, self.paid, self.delivered, self.passed)
        return [Fraction(value) for value in parts if value is not None]


def _half_up(value: Fraction) -> Decimal:
    whole, rest = divmod(value * 100, 1)
    return Decimal(int(whole) + (rest >= Fraction(1, 2))).scaleb(-2)


def conduct_of(facts: Mapping[str, Any]) -> Conduct:
    """The conduct that settled facts give."""

    def percent(part: str, whole: str) -> Decimal | None:
        base = Fraction(str(facts[whole]))
        return _half_up(100 * Fraction(str(facts[part])) / base) if base else None

    return Conduct(
        paid=percent("paid_in_time_amount", "due_amount"),
        delivered=percent("in_window_kg", "due_kg"),
        passed=percent("lots_passed", "lots"),
        disputed=percent("disputed", "trades"),
        trades=int(facts["trades"]),
    )


def band_of(rating: Decimal | None) -> str | None:
    """The band that others see; None for a new partner."""
    if rating is None:
        return None
    bounds = (("A", "4.50"), ("B", "4.00"), ("C", "3.00"))
    return next((band for band, least in bounds if rating >= Decimal(least)), "D")


def suggested_limit(limit: Decimal, rating: Decimal | None, performance: Decimal | None) -> Decimal:
    """The limit that conduct suggests to staff; nothing applies it."""
    known = rating is not None and performance is not None
    if known and rating >= Decimal("4.5") and performance >= 90:  # type: ignore[operator]
        factor = Fraction(6, 5)
    elif known and rating >= 4 and performance >= 80:  # type: ignore[operator]
        factor = Fraction(11, 10)
    elif (rating is not None and rating < 3) or (performance is not None and performance < 60):
        factor = Fraction(3, 4)
    else:
        factor = Fraction(1)
    return _half_up(Fraction(limit) * factor)


def digest(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of the inputs in canonical form."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def judge(inputs: Mapping[str, Any], policy: PolicyBody) -> Result:
    """Evaluate every gate, then the score; the worst gate that no override covers decides."""
    factors: list[dict[str, Any]] = []
    gates: list[dict[str, Any]] = []
    scores = []
    for party in inputs["parties"]:
        gates += _gates_of_party(party, inputs.get("deal") or {}, policy)
        lost = list(_points(party, policy))
        factors += lost
        score = max(0, 100 - sum(factor["points"] for factor in lost))
        scores.append(score)
        if score < policy.warn_below:
            gates.append(_gate("score.low", party["side"], WARN, score=score, least=policy.warn_below))
    if (pair := inputs.get("pair")) is not None:
        gates += _gates_of_pair(pair, policy)
    gates.sort(key=lambda gate: (_PLACES.index(gate["code"]), gate["side"] or ""))
    for gate in gates:
        if overridable(gate["code"], gate["outcome"]):
            gate["override_id"] = next(
                (
                    each["id"]
                    for each in inputs.get("overrides", ())
                    if [gate["code"], gate["side"]] in each["gates"]
                ),
                None,
            )
    counted = [gate["outcome"] for gate in gates if gate["override_id"] is None]
    status = max(counted, key=ORDER.index, default=PASS)
    return Result(status, min(scores, default=None), gates, factors)


def _gate(code: str, side: str | None, outcome: str, **evidence: Any) -> dict[str, Any]:
    return {"code": code, "side": side, "outcome": outcome, "evidence": evidence, "override_id": None}


def _gates_of_party(
    party: Mapping[str, Any], deal: Mapping[str, Any], policy: PolicyBody
) -> Iterator[dict[str, Any]]:
    side = party["side"]
    if party["reasons"]:
        yield _gate("partner.not_ready", side, FAIL, reasons=party["reasons"])
    if party["embargoed"]:
        yield _gate("country.embargoed", side, FAIL, countries=party["embargoed"])
    screening = party["screening"]
    if screening["exact"]:
        yield _gate("screening.match", side, FAIL, hits=screening["exact"])
    if screening["possible"]:
        yield _gate("screening.possible", side, REVIEW, hits=screening["possible"])
    if screening["stale"]:
        yield _gate("screening.stale", side, REVIEW, newest=screening["newest"], list=screening.get("code"))
    credit = party["credit"]
    if side == BUYER:
        yield from _credit_gates(credit, deal, policy)
    at_risk = None if credit["exposure_inr"] is None else Fraction(credit["exposure_inr"])
    if at_risk is not None and side == BUYER:
        at_risk += Fraction(deal.get("value_inr") or 0)
    grade = party["bureau"] and party["bureau"]["grade"]
    if grade is None and (at_risk is None or at_risk > policy.bureau_above):
        yield _gate("provider.missing", side, REVIEW, kind="CREDIT_BUREAU", above=str(policy.bureau_above))
    elif grade == "D":
        yield _gate("bureau.adverse", side, REVIEW, grade=grade)
    elif grade == "C":
        yield _gate("bureau.weak", side, WARN, grade=grade)


def _credit_gates(
    credit: Mapping[str, Any], deal: Mapping[str, Any], policy: PolicyBody
) -> Iterator[dict[str, Any]]:
    """Gates of the buyer's credit. Without a deal what is open now is judged; full advance needs none."""
    limit, exposure = Fraction(credit["limit"]), Fraction(credit["exposure"])
    figures = {"limit": credit["limit"], "exposure": credit["exposure"], "value": deal.get("value")}
    overdue = Fraction(credit["overdue_fail"]), Fraction(credit["overdue_review"])
    if overdue[0] > policy.overdue_above:
        yield _gate("credit.overdue", BUYER, FAIL, amount=credit["overdue_fail"])
    elif overdue[1] > policy.overdue_above:
        yield _gate("credit.overdue", BUYER, REVIEW, amount=credit["overdue_review"])
    if not deal.get("needs_credit", exposure > 0) or deal.get("value_unknown"):
        return
    value, whole = Fraction(deal.get("value") or 0), Fraction(deal.get("whole") or 0)
    headroom = limit - exposure
    if deal.get("unknown"):
        yield _gate("credit.unknown", BUYER, REVIEW, missing=deal["unknown"])
    if limit <= 0:
        yield _gate("credit.no_limit", BUYER, FAIL, **figures)
    elif headroom < value:
        yield _gate("credit.exceeded", BUYER, FAIL, **figures)
    else:
        if whole > headroom:
            yield _gate("credit.partial", BUYER, WARN, **figures, whole=deal["whole"])
        fits = whole if value <= whole <= headroom else value
        thin = (headroom - fits) * 100 < Fraction(policy.thin_headroom_percent) * limit
        if thin or (exposure + fits) * 100 >= Fraction(policy.thin_utilisation_percent) * limit:
            yield _gate("credit.thin", BUYER, WARN, **figures)


def _gates_of_pair(pair: Mapping[str, Any], policy: PolicyBody) -> Iterator[dict[str, Any]]:
    if pair["blocking"]:
        yield _gate("party.block", None, FAIL, shared=pair["blocking"])
    if pair["warning"]:
        yield _gate("party.warn", None, WARN, shared=pair["warning"])
    if pair["blocks"]:
        yield _gate("pair.blocked", None, FAIL, causes=pair["blocks"])
    conduct = conduct_of(pair["facts"])
    if conduct.trades >= policy.least_trades and min(conduct.figures) <= policy.pair_weak_to:
        yield _gate(
            "pair.weak", None, WARN, lowest=str(_half_up(min(conduct.figures))), trades=conduct.trades
        )


def _points(party: Mapping[str, Any], policy: PolicyBody) -> Iterator[dict[str, Any]]:
    """What the score loses, by factor."""
    side, conduct = party["side"], conduct_of(party["facts"])
    credit = party["credit"]
    limit, exposure = Fraction(credit["limit"]), Fraction(credit["exposure"])
    used = exposure * 100 / limit if limit > 0 else Fraction(100) if exposure > 0 else None
    performance = conduct.paid if side == BUYER else conduct.delivered
    lost = {
        "utilisation": _above(used, policy.utilisation_points, 90, 75),
        "rating": _below(conduct.rating(policy.least_trades), policy.rating_points, 2, 3, 4),
        "performance": _below(performance, policy.performance_points, 40, 60, 75),
        "disputes": _above(conduct.disputed, policy.dispute_points, 10, 5),
        "experience": _fewer(conduct.trades, policy.experience_points, 10, 50),
    }
    return ({"code": code, "side": side, "points": points} for code, points in lost.items() if points)


def _above(value: Any, points: Points2, worst: int, bad: int) -> int:
    if value is None:
        return 0
    return points.worst if value > worst else points.bad if value > bad else 0


def _below(value: Any, points: Points3, worst: int, bad: int, weak: int) -> int:
    if value is None:
        return points.weak
    return (
        points.worst if value < worst else points.bad if value < bad else points.weak if value < weak else 0
    )


def _fewer(count: int, points: Points2, worst: int, bad: int) -> int:
    return points.worst if count < worst else points.bad if count < bad else 0
