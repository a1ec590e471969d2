"""``seed_demo``: people and partners to try the product with."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.notifications import services as notifications
from apps.partners import services as partners
from apps.partners.models import Partner
from erp.access import SYSTEM
from erp.commands import finish
from erp.ids import uuid7

PASSWORD = "demo only: try everything"  # noqa: S105 - refused in production
HOUSE = "INTERNAL"
STAFF = {
    "masterdata@demo.example": ("Meera Joshi", ("INTERNAL", "INTERNAL_MASTERDATA")),
    "manager@demo.example": ("Mohan Desai", ("INTERNAL", "INTERNAL_MANAGER")),
    "compliance@demo.example": ("Chitra Nair", ("INTERNAL", "INTERNAL_COMPLIANCE")),
    "auditor@demo.example": ("Anand Rao", ("AUDITOR",)),
}
FIRMS = {
    "Shree Somnath Ginning & Pressing": (
        "partnership",
        {"seller@demo.example": ("Somnath Office", ("PARTNER_ADMIN", "SELLER"))},
    ),
    "Kovai Spinners Pvt Ltd": (
        "private_limited",
        {"buyer@demo.example": ("Kovai Office", ("PARTNER_ADMIN", "BUYER"))},
    ),
}


def seed() -> list[str]:
    """Add what is missing; returns what was added. A second run adds nothing."""
    added: list[str] = []
    house = (
        User.objects.filter(user_type=User.Type.INTERNAL).values_list("organization_id", flat=True).first()
    )
    organization_id = house or uuid7()
    for email, (name, roles) in STAFF.items():
        added += _person(email, name, roles, user_type=User.Type.INTERNAL, organization_id=organization_id)
    for firm, (legal_form, people) in FIRMS.items():
        partner = Partner.objects.filter(legal_name=firm).first()
        if partner is None:
            partner = partners.register(actor=SYSTEM, legal_name=firm, legal_form=legal_form)
            added.append(firm)
        for email, (name, roles) in people.items():
            added += _person(email, name, roles, user_type=User.Type.EXTERNAL, partner_id=partner.pk)
    added += [str(text) for text in notifications.load_templates(actor=SYSTEM)]
    return added


def _person(email: str, name: str, roles: tuple[str, ...], **whose: Any) -> list[str]:
    if User.objects.filter(email=email).exists():
        return []
    accounts.add_user(actor=SYSTEM, email=email, full_name=name, roles=roles, password=PASSWORD, **whose)
    return [email]


class Command(BaseCommand):
    """Load demo data: staff, a seller and a buyer with their users."""

    help = "Load people and partners to try the product with. Refused in production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("Demo data has no place in production.")
        added = seed()
        finish(
            self,
            {"added": added},
            [f"added  {name}" for name in added] or ["nothing to add"],
            as_json=options["json"],
        )
