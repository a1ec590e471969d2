"""``seed_demo``: people, partners and a commission to try the product with."""

from argparse import ArgumentParser
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyotp
from django.conf import settings
from django.core.management.base import CommandError

from apps.accounts import secrets as one_time
from apps.accounts.models import TotpDevice, User
from apps.accounts.services import common, joining, rights, second_factor
from apps.commodities.models.commissions import Commission
from apps.commodities.models.commodities import Commodity
from apps.commodities.services import commissions as commodities
from apps.notifications import services as notifications
from apps.organization.models import TAX_TYPES, FinancialYear, Organization
from apps.organization.services import identity, registrations, series, years
from apps.trades.engine.v1.taxes import financial_year
from config import business, demo_trade
from config import demo_deals as deals
from config.reference import goods, places
from erp import clock, commands, ids
from erp.access import SYSTEM

PASSWORD = "demo only: grants every role"  # noqa: S105 - refused in production
STAFF_ROLE = "INTERNAL"
STAFF = {
    "masterdata@demo.example": ("Meera Joshi", ("INTERNAL", "INTERNAL_MASTERDATA")),
    "manager@demo.example": ("Mohan Desai", ("INTERNAL", "INTERNAL_MANAGER")),
    # The second of two who approve a large trade.
    "approver@demo.example": ("Priya Menon", ("INTERNAL", "INTERNAL_MANAGER")),
    "compliance@demo.example": ("Chitra Nair", ("INTERNAL", "INTERNAL_COMPLIANCE")),
    # Decides on rights that Chitra proposes.
    "rights@demo.example": ("Ketan Mehta", ("INTERNAL", "INTERNAL_COMPLIANCE")),
    "auditor@demo.example": ("Anand Rao", ("AUDITOR",)),
    "director@demo.example": ("Dinesh Shah", ("INTERNAL", "INTERNAL_DIRECTOR")),
    "finance@demo.example": ("Farida Khan", ("INTERNAL", "INTERNAL_FINANCE")),
}
PLAYERS = tuple(
    f"{name}@demo.example" for name in ("seller", "buyer", "mill", "ginner", "broker", "transport")
)  # of `make demo`
# The company of the demo and its number series. PAN and GSTIN are fictitious.
FIRM: dict[str, Any] = {
    "name": "Demo Cotton Exchange",
    "legal_name": "Demo Cotton Exchange Pvt Ltd",
    "legal_form": "private_limited",
    "pan": "ZZZCD5005E",
    "cin": "U51909MH2015PTC999001",
    "line1": "Cotton Exchange Building, Kalbadevi Road",
    "city": "Mumbai",
    "state_code": "27",
    "pin_code": "400002",
}
FIRST_YEAR = 2025  # the demo's deal is of 2025-26
SERIES = {
    "trade": "TRD-{FY}-{N:6}",
    "settlement_statement": "SET-{FY}-{N:6}",
    "claim": "CLM-{FY}-{N:6}",
    "tax_invoice": "{BRANCH}/{FY}/{N:5}",
}


def seed() -> list[str]:
    """Add missing demo data; return what was added. A second run adds nothing."""
    added: list[str] = []
    organization = Organization.objects.filter(pan=FIRM["pan"]).first()
    if organization is None:
        organization = _firm()
        added.append(organization.name)
    organization_id = organization.pk
    for email, (name, roles) in STAFF.items():
        if person := invite_person(
            email, name, user_type=User.Type.INTERNAL, organization_id=organization_id
        ):
            _staff(person, roles)
            added.append(email)
    for firm in business.FIRMS:
        if firm.email not in PLAYERS:
            continue
        partner = business.make_partner(firm)
        external = {"user_type": User.Type.EXTERNAL, "partner_id": partner.pk, "roles": firm.roles}
        if invite_person(firm.email, firm.person, **external):
            added += [firm.name, firm.email]
    if screened := list(business.screen()):
        added.append(f"{len(screened)} screenings")
    added += goods()
    added += _commission()
    added += _tax_positions()
    added += [str(text) for text in notifications.load_templates(actor=SYSTEM)]
    return added


def _commission() -> list[str]:
    """What sellers of cotton owe for a deal."""
    cotton = Commodity.objects.get(code="COTTON")
    if Commission.objects.filter(commodity=cotton).exists():
        return []
    made = commodities.create_commission(
        actor=SYSTEM,
        name="Commission on cotton",
        commodity=cotton,
        side=Commission.Side.SELLER,
        basis=Commission.Basis.PERCENT,
        percent=Decimal("0.25"),
        valid_from=date(FIRST_YEAR, 4, 1),
    )
    return [made.name]


def _tax_positions() -> list[str]:
    """What the books before this system counted towards the thresholds of TDS when the demo's deal was invoiced."""
    today = clock.today()
    invoiced = demo_trade.paid_on(today) - timedelta(days=demo_trade.INVOICED_DAYS)
    added = []
    for year, amount in {financial_year(today): "0.00", financial_year(invoiced): "3200000.00"}.items():
        added += deals.open_position("TDS_GOODS", business.KOVAI, business.SOMNATH, year, amount)
        added += deals.open_position("TDS_BROKERAGE", business.SOMNATH, business.MUMBADEVI, year)
    return added


def _firm() -> Organization:
    """Our own firm, with its registration, the years from the demo's deal to today, and series."""
    with ids.repeatable("demo organization"):
        firm: Organization = identity.create(actor=SYSTEM, **FIRM)
    place = {name: FIRM[name] for name in ("line1", "city", "state_code", "pin_code")}
    registration = registrations.add_gst_registration(
        firm,
        actor=SYSTEM,
        gstin="27ZZZCD5005E1ZF",
        branch_code="MUM",
        valid_from=date(FIRST_YEAR, 4, 1),
        **place,
    )
    start = FIRST_YEAR
    while not FinancialYear.objects.filter(organization=firm).on(clock.today()).exists():
        year = years.add_financial_year(
            firm, actor=SYSTEM, start_date=date(start, 4, 1), end_date=date(start + 1, 3, 31)
        )
        if start == FIRST_YEAR:
            for kind, template in SERIES.items():
                series.add_document_series(
                    firm,
                    actor=SYSTEM,
                    financial_year=year,
                    document_type=kind,
                    template=template,
                    gst_registration=registration if kind in TAX_TYPES else None,
                )
        start += 1
    return firm


def second_factors() -> dict[str, str]:
    """Secret of every demo member's authenticator, by address: for an app, or for ``pyotp``."""
    devices = TotpDevice.objects.select_related("user").filter(user__email__in=STAFF).order_by("user__email")
    return {device.user.email: device.seed for device in devices if device.seed}


def invite_person(email: str, name: str, **whose: Any) -> User | None:
    """Invite a user and accept on their behalf; return None for an existing user."""
    if User.objects.filter(email=email).exists():
        return None
    with ids.repeatable(f"demo person {email}"):
        person: User = joining.invite(actor=SYSTEM, email=email, full_name=name, **whose)
    token = one_time.invitation_of(person)
    assert token is not None
    joining.accept_invitation(
        actor=SYSTEM, token=token, password=PASSWORD, terms_version="demo", is_adult=True
    )
    return User.objects.get(pk=person.pk)


def _staff(person: User, roles: tuple[str, ...]) -> None:
    """Give a member of the company the further roles, and an authenticator."""
    for role in roles:
        if role != STAFF_ROLE:
            change = rights.propose_capability_change(
                actor=SYSTEM,
                kind="user_role",
                user=User.objects.get(pk=person.pk),
                role=role,
                operation="add",
                reason="Gives demo users their roles.",
            )
            rights.apply_capability_change(change, actor=SYSTEM)
    person = User.objects.get(pk=person.pk)
    setup = second_factor.start_mfa(person, actor=person)
    second_factor.confirm_mfa(
        person, actor=person, code=pyotp.TOTP(setup.secret).now(), origin=common.Origin("admin")
    )


class Command(commands.Command):
    """Load demo data: staff, a seller and a buyer with their users; with ``--business`` a trading house at work."""

    help = "Create demo users and partners, on request with a business around them. Refused in production."
    examples = ("", "--business")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--business",
            action="store_true",
            help="add places, branches, partners, offers, approvals and jobs",
        )
        parser.add_argument(
            "--seed", type=int, default=1, metavar="N", help="with --business: which 60 offers (default 1)"
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("Demo data is not allowed in production.")
        added = seed()
        if options["business"]:
            added += places() + business.fill(invite_person, options["seed"])
        factors = second_factors()
        commands.finish(
            self,
            {"added": added, "password": PASSWORD, "second_factors": factors},
            [
                *([f"added  {name}" for name in added] or ["nothing to add"]),
                f"password of all users: {PASSWORD}",
                "",
                *commands.table(("user", "authenticator"), factors.items()),
            ],
            as_json=options["json"],
        )
