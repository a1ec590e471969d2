"""Which requirements need an approval, and the request for it, bound to the version of the terms."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.commodities.market import PRICE_TASK, PriceQuestion
from apps.requirement import capabilities
from apps.requirement.models import Requirement
from apps.requirement.services.rules import Quote
from erp.access import SYSTEM, Actor
from erp.ai import asking
from erp.ai.registry import tasks
from erp.approvals import ApprovalKind

DELIVERED = ("FOR_MILL", "CFR", "CIF")


def _authors(request: ApprovalRequest) -> Iterable[UUID]:
    row = Requirement.objects.get(pk=request.subject_id)
    return {person for person in (row.created_by_id, row.updated_by_id, *row.editors) if person}


REQUIREMENT = ApprovalKind(
    name="requirement.approve",
    title="Requirement of goods",
    subject="requirement",
    model="requirement.Requirement",
    capability=capabilities.APPROVE,
    days=None,
    decided_at="module",
    excludes=_authors,
    version_of=lambda requirement: int(requirement.terms_version),
)


def pending_request(requirement: Requirement) -> ApprovalRequest | None:
    """The open request about the requirement."""
    found: ApprovalRequest | None = (
        ApprovalRequest.objects.pending().filter(kind=REQUIREMENT.name, subject_id=requirement.pk).first()
    )
    return found


def request_approval(requirement: Requirement, actor: Actor, reason: str) -> ApprovalRequest:
    """Open the request that ``approve`` decides."""
    request: ApprovalRequest = approvals.request(
        actor=actor,
        kind=REQUIREMENT,
        subject_id=requirement.pk,
        subject_version=requirement.terms_version,
        reason=f"Requirement {requirement.number} {reason}.",
        amount=requirement.estimated_value,
        currency=requirement.currency,
        diff=[
            ("number", None, requirement.number),
            ("commodity", None, requirement.commodity.name),
            ("quantity", None, f"{requirement.max_quantity.normalize():f} {requirement.unit}"),
            ("delivery_from", None, str(requirement.delivery_from_date)),
            ("delivery_until", None, str(requirement.delivery_until_date)),
        ],
    )
    return request


def withdraw_request(requirement: Requirement, actor: Actor = SYSTEM) -> None:
    """End the open request, because the requirement changed or ended."""
    approvals.mark_stale(actor=actor, row_type=REQUIREMENT.subject, row_id=requirement.pk)


def compare_price(requirement: Requirement, actor: Actor) -> None:
    """Note the suggested price of the goods, and whether the ceiling is far above or below it."""
    requirement.reference_price = requirement.reference_count = requirement.price_flag = None
    task, ceiling = tasks.get(PRICE_TASK), requirement.ceiling_price
    if task is None or ceiling is None:
        return
    quoted = requirement.pricing_unit
    question = PriceQuestion(
        commodity_id=requirement.commodity_id,
        category=requirement.commodity.category,
        variety_id=requirement.variety_ids[0] if len(requirement.variety_ids) == 1 else None,
        crop_year=requirement.crop_years[0] if len(requirement.crop_years) == 1 else None,
        currency=requirement.currency,
        price_group="DELIVERED" if requirement.price_basis in DELIVERED else "EX",
        pricing_unit=quoted.code,
        kg=str(Quote(requirement).kg),
        tick=quoted.tick,
        places=quoted.places,
    )
    found = asking.ask(task, question, actor=actor, for_partner=requirement.buyer_partner_id)
    if found.value is None:
        return
    requirement.reference_price = found.value.price
    requirement.reference_count = int(found.evidence.get("observations", 0))
    share = ceiling * 100 / found.value.price
    if share > settings.REQUIREMENT_CEILING_HIGH_PERCENT:
        requirement.price_flag = Requirement.PriceFlag.HIGH
    elif share < settings.REQUIREMENT_CEILING_LOW_PERCENT:
        requirement.price_flag = Requirement.PriceFlag.LOW


def reasons_for_approval(requirement: Requirement) -> list[str]:
    """Why the requirement can't go live without an approval; empty when it can."""
    value = requirement.estimated_value
    found = {
        "value": value is not None and value > settings.REQUIREMENT_APPROVAL_LIMIT,
        "ceiling_high": requirement.price_flag == Requirement.PriceFlag.HIGH,
        "currency": requirement.currency != "INR",
    }
    return [reason for reason, holds in found.items() if holds]


def snapshot(requirement: Requirement) -> dict[str, Any]:
    """What an approval, or the first publication, covers."""
    value = requirement.estimated_value
    return {"reasons": reasons_for_approval(requirement), "value": None if value is None else str(value)}


def beyond_approval(requirement: Requirement) -> list[str]:
    """Which changes against the last approved (or first published) terms need another approval.

    Measured against the snapshot, so that small steps can't add up to a large one.
    """
    reasons, before = reasons_for_approval(requirement), requirement.approved_terms
    if before is None:
        return reasons
    found = [reason for reason in reasons if reason not in before["reasons"]]
    risen = (
        "value" in reasons
        and before["value"] is not None
        and requirement.estimated_value
        > Decimal(before["value"]) * (1 + settings.REQUIREMENT_VALUE_RISE_PERCENT / 100)
    )
    return found + (["value_risen"] if risen and "value" not in found else [])
