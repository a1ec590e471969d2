"""What papers a partner's roles need: a dated table, and what of it is there."""

import csv
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from django.db.models import Q

from apps.partners.models import (
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerLocation,
    PartnerOwner,
    PartnerRole,
    Vehicle,
)
from apps.partners.services.rules import roles_of
from erp import clock
from erp.text import name_key

PAPER_DAYS: Final = 365  # after which a renewal asks for a paper again
ENDING_DAYS: Final = 90  # before the end of a paper
_FILE: Final = Path(__file__).parents[1] / "data" / "checklist.csv"
# What isn't a paper, by the words in which a missing one is named.
ROWS: Final = {
    "principal_location": "Add the principal place of business.",
    "bank_account": "Add a bank account.",
    "vehicle": "Add a vehicle.",
}
_LABELS: Final = dict(PartnerDocument.Type.choices)


@dataclass(frozen=True)
class ChecklistRule:
    """One line of the table: ``items`` are alternatives of which one suffices."""

    party: str
    items: tuple[str, ...]
    mandatory: bool
    valid_from: date
    valid_to: date | None

    @property
    def name(self) -> str:
        """The name of the item: its first alternative."""
        return self.items[0]

    @property
    def title(self) -> str:
        """The item in words."""
        return " or ".join(str(_LABELS.get(item, item.replace("_", " ").capitalize())) for item in self.items)


@dataclass(frozen=True)
class ChecklistItem:
    """An item of a partner's checklist, and whether it is there (uploaded or added) and verified."""

    item: str
    title: str
    done: bool
    verified: bool


@cache
def _rules() -> tuple[ChecklistRule, ...]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            ChecklistRule(
                line["party"],
                tuple(line["item"].split("|")),
                line["mandatory"] == "yes",
                date.fromisoformat(line["valid_from"]),
                date.fromisoformat(line["valid_to"]) if line["valid_to"] else None,
            )
            for line in csv.DictReader(file)
        )


def parties_of(role: PartnerRole, *, indian: bool) -> list[str]:
    """The parties of the table whose papers a role needs."""
    if not indian:
        return ["foreign"]
    if role.role in PartnerRole.TRADING:
        return ["indian_trading", *(["seller"] if role.role == PartnerRole.Role.SELLER else [])]
    return [role.transporter_kind or role.service_kind or role.role]


def rules_for(parties: list[str], day: date) -> list[ChecklistRule]:
    """Mandatory rules of the parties in force on a day; an item that a stricter rule also asks for comes once."""
    found = [
        rule
        for rule in _rules()
        if rule.party in parties
        and rule.mandatory
        and rule.valid_from <= day
        and (rule.valid_to is None or day <= rule.valid_to)
    ]
    kept: dict[frozenset[str], ChecklistRule] = {}
    for rule in sorted(found, key=lambda rule: len(rule.items)):
        if not any(items <= frozenset(rule.items) for items in kept):
            kept[frozenset(rule.items)] = rule
    return [rule for rule in found if kept.get(frozenset(rule.items)) is rule]


def checklist(round: OnboardingRound, day: date) -> list[ChecklistItem]:
    """The checklist of a file with what is there; papers that expired or were rejected don't count.

    A renewal also asks for papers that end within 90 days or were uploaded more than 12 months ago.
    """
    partner, roles = round.partner, roles_of(round.partner)
    parties = [party for role in roles for party in parties_of(role, indian=partner.is_indian)]
    parties += ["everybody", *(["without_owner"] if _needs_authority(partner) else [])]
    papers: dict[str, bool] = {}
    live = PartnerDocument.objects.of_firm().filter(partner=partner, status__in=["uploaded", "verified"])
    if round.kind != OnboardingRound.Kind.ONBOARDING:
        live = live.filter(_is_fresh(round, day))
    for kind, status, expiry in live.values_list("document_type", "status", "expiry_date"):
        if expiry is None or expiry >= day:
            papers[kind] = papers.get(kind, False) or status == PartnerDocument.Status.VERIFIED
    rows = _rows(partner)
    items = []
    for rule in rules_for(parties, day):
        states = [
            (True, rows[item]) if item in rows else (item in papers, papers.get(item, False))
            for item in rule.items
            if item in papers or item in rows
        ]
        done = any(there for there, _ in states)
        items.append(ChecklistItem(rule.name, rule.title, done, any(verified for _, verified in states)))
    return items


def _is_fresh(round: OnboardingRound, day: date) -> Q:
    """Papers that a renewal takes as they are: those of the renewal itself, and recent ones that go on for a while."""
    start = datetime.combine(day - timedelta(days=PAPER_DAYS), time(), clock.KOLKATA)
    goes_on = Q(expiry_date=None) | Q(expiry_date__gt=day + timedelta(days=ENDING_DAYS))
    return Q(round=round) | (Q(created_at__gte=start) & goes_on)


def _rows(partner: Partner) -> dict[str, bool]:
    """Items of the list that are rows and are there; they need no verification to be approved."""
    found = {
        "principal_location": PartnerLocation.objects.filter(
            partner=partner, kind=PartnerLocation.Kind.PRINCIPAL, status=PartnerLocation.Status.ACTIVE
        ),
        "bank_account": PartnerBankAccount.objects.filter(
            partner=partner, status__in=["pending_verification", "verified"]
        ),
        "vehicle": Vehicle.objects.filter(partner=partner, status=Vehicle.Status.ACTIVE),
    }
    return {item: True for item, rows in found.items() if rows.exists()}


def _needs_authority(partner: Partner) -> bool:
    """Whether the applicant is none of the listed owners, and so acts by a letter of authority."""
    if partner.applicant is None:
        return False
    names = PartnerOwner.objects.filter(partner=partner).values_list("name", flat=True)
    return name_key(partner.applicant.full_name) not in {name_key(name) for name in names}
