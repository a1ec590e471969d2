"""``python -m benchmarks.market.people PARTNERS``: fill an empty database with the demo and partners with a user each.

All in one process: each one more would load the product for seconds.

Prints who may sign in, as JSON: partners with names that nobody else may read, and members of staff.
"""

import json
import sys
from typing import Any

SIDES = (("seller", "SELLER", "24", "GJ"), ("buyer", "BUYER", "33", "TN"))
PASSWORD = "market only: buys and sells"  # noqa: S105 - of a database that is thrown away
LIMIT = 500_000_000
# Rupees that buyer and seller did before, and from which TDS on goods begins.
OPENING, THRESHOLD = "4900000.00", "5000000.00"
SECOND_MANAGER = "second.manager@demo.example"


def partner(number: int) -> dict[str, Any]:
    """A partner that may trade, with registration, place, credit and one user."""
    from apps.availability.tests.factories import with_credit
    from apps.partners.models import PartnerLocation, TaxRegistration
    from apps.partners.tests.factories import ADDRESS, gstin, ready_partner
    from config.testing import active_user
    from erp.models import unguarded_writes

    side, role, state, letters = SIDES[number % 2]
    firm = ready_partner(f"Secretname {number:04d} {side.title()}s", roles=(side,), state_code=state)
    with unguarded_writes():
        registration = TaxRegistration(
            partner=firm, state_code=state, form="REGULAR", is_main=True, claimed=True
        )
        registration.gstin = gstin(firm.pan, state)
        registration.save()
        PartnerLocation(
            partner=firm, code="HQ", name="Head office", kind="principal", geo_status="located",
            **{**ADDRESS, "state_code": state},
        ).save()  # fmt: skip
    if side == "buyer":
        with_credit(firm, LIMIT)
    email = f"{side}{number:04d}@secret-market.example"
    user = active_user(
        "PARTNER_ADMIN", role, password=PASSWORD, user_type="EXTERNAL", partner_id=firm.pk, email=email
    )
    return {
        "side": side, "email": email, "user": str(user.pk), "partner": str(firm.pk), "state": letters,
        "registration": str(registration.pk),
        "secrets": [firm.legal_name, firm.pan, registration.gstin, email, str(firm.pk)],
    }  # fmt: skip


def open_years(firms: list[dict[str, Any]]) -> str:
    """The firm's books for this year and the next, and TDS positions of each buyer with each seller; the firm's id."""
    from datetime import date, timedelta
    from decimal import Decimal

    from apps.organization.models import FinancialYear, Organization
    from apps.organization.services import years
    from apps.trades.models import TaxPosition
    from config.management.commands import seed_demo
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

    house = Organization.objects.get(pan=seed_demo.FIRM["pan"])
    last = FinancialYear.objects.filter(organization=house).order_by("start_date").last()
    assert last is not None
    start = last.end_date + timedelta(1)
    end = date(start.year + 1, start.month, start.day) - timedelta(1)
    years.add_financial_year(house, actor=SYSTEM, start_date=start, end_date=end)
    sides = {side: [row["partner"] for row in firms if row["side"] == side] for side in ("seller", "buyer")}
    with unguarded_writes():
        for first in (last.start_date.year, start.year):
            for buyer in sides["buyer"]:
                for seller in sides["seller"]:
                    TaxPosition(
                        kind="TDS_GOODS", deductor_id=buyer, deductee_id=seller, liable=True,
                        financial_year=f"{first}-{(first + 1) % 100:02}", opening_amount=Decimal(OPENING),
                    ).save()  # fmt: skip
    return str(house.pk)


def second_manager(house: str) -> dict[str, Any]:
    """Someone who approves what the first manager approved, where two are needed."""
    from uuid import UUID

    import pyotp

    from apps.accounts.models import User
    from apps.accounts.services import common, rights, second_factor
    from config.management.commands import seed_demo
    from erp.access import SYSTEM

    person = seed_demo.invite_person(
        SECOND_MANAGER, "Sunita Rane", user_type=User.Type.INTERNAL, organization_id=UUID(house)
    )
    assert person is not None
    change = rights.propose_capability_change(
        actor=SYSTEM, kind="user_role", user=person, role="INTERNAL_MANAGER", operation="add",
        reason="Approves with the first manager.",
    )  # fmt: skip
    rights.apply_capability_change(change, actor=SYSTEM)
    person = User.objects.get(pk=person.pk)
    setup = second_factor.start_mfa(person, actor=person)
    code = pyotp.TOTP(setup.secret).now()
    second_factor.confirm_mfa(person, actor=person, code=code, origin=common.Origin("admin"))
    return {"email": SECOND_MANAGER, "seed": setup.secret, "roles": ["SECOND_MANAGER"]}


def main() -> None:
    """Make them."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from apps.partners.models import Partner
    from apps.risk.services import screening
    from config import business
    from config.management.commands import seed_demo
    from erp import clock, ids
    from erp.access import SYSTEM

    seed_demo.seed()
    screening.load_list(
        actor=SYSTEM, code="DEMO", source="Bundled list of invented parties", snapshot_date=clock.today(),
        content=business.DEMO_LIST.read_bytes(),
    )  # fmt: skip
    with ids.repeatable("market"):
        partners = [partner(number) for number in range(int(sys.argv[1]))]
    for firm in Partner.objects.order_by("pk"):
        screening.screen_partner(firm, actor=SYSTEM)
    house = open_years(partners)
    factors = seed_demo.second_factors()
    staff = [
        {"email": email, "seed": factors.get(email, ""), "roles": list(roles)}
        for email, (_, roles) in seed_demo.STAFF.items()
    ]
    staff.append(second_manager(house))
    sys.stdout.write(
        json.dumps(
            {
                "partners": partners,
                "staff": staff,
                "house": house,
                "list": str(business.DEMO_LIST),
                "staff_password": seed_demo.PASSWORD,
                "password": PASSWORD,
            }
        )
    )


if __name__ == "__main__":
    main()
