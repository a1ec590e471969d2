"""What staff see of a partner's risk in one answer. Nothing is stored."""

from decimal import Decimal
from typing import Any

from apps.partners.models import CreditAccount, Partner, PartyLink, Scorecard
from apps.risk.models import PairBlock, ProviderCheck, RiskStatus, Subject, SurveillanceAlert
from apps.risk.services.facts import suggest_limit
from erp import clock


def risk_of(partner: Partner) -> dict[str, Any]:
    """Words about the partner with their factors, rating, exposure, links, blocks, checks and open alerts."""
    words = RiskStatus.objects.of_owner(partner.pk).filter(subject_type=Subject.PARTNER)
    account = CreditAccount.objects.filter(partner=partner).select_related("partner").first()
    card = Scorecard.objects.filter(partner=partner).first()
    limit = Decimal("0.00") if account is None else account.limit
    now = clock.now()
    statuses = list(words.select_related("assessment").order_by("side"))
    return {
        "partner_id": partner.pk,
        "sides": [
            {
                "side": word.side,
                "status": word.status,
                "score": word.score,
                "valid_until": word.valid_until,
                "assessment_id": word.assessment_id,
                "gate_codes": word.assessment.gate_codes,
                "factors": word.assessment.factors,
                "suggested_limit": str(suggest_limit(partner.pk, limit, word.side)),
            }
            for word in statuses
        ],
        "rating": None if card is None or card.rating is None else str(card.rating),
        "band": None if card is None else card.band,
        "trades": 0 if card is None else card.trades,
        "exposure_level": "none" if account is None else str(account.level(limit)),
        "limit": str(limit),
        "exposure": "0.00" if account is None else str(account.exposure),
        "links": [
            {"link_id": link.pk, "kind": link.kind, "strength": link.strength, "status": link.status}
            for link in PartyLink.objects.of(partner.pk).effective().order_by("kind", "pk")[:100]
        ],
        "blocks": [
            {"block_id": row.pk, "cause": row.cause, "until": row.until_at}
            for row in PairBlock.objects.of(partner.pk).live(now).order_by("pk")[:100]
        ],
        "checks": [
            {"check_id": check.pk, "kind": check.kind, "status": check.status, "grade": check.grade}
            for check in ProviderCheck.objects.of(partner.pk).order_by("-created_at")[:20]
        ],
        "open_alerts": SurveillanceAlert.objects.of(partner.pk).open().count(),
    }
