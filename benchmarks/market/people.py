"""``python -m benchmarks.market.people PARTNERS``: add partners with a user each to a database with the demo's people.

Prints who may sign in, as JSON: partners with names that nobody else may read, and members of staff.
"""

import json
import sys
from typing import Any

SIDES = (("seller", "SELLER", "24", "GJ"), ("buyer", "BUYER", "33", "TN"))
PASSWORD = "market only: buys and sells"  # noqa: S105 - of a database that is thrown away
LIMIT = 500_000_000


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


def main() -> None:
    """Make them."""
    import django

    django.setup()
    from apps.partners.models import Partner
    from apps.risk.services import screening
    from config import business
    from config.management.commands import seed_demo
    from erp import clock, ids
    from erp.access import SYSTEM

    screening.load_list(
        actor=SYSTEM, code="DEMO", source="Bundled list of invented parties", snapshot_date=clock.today(),
        content=business.DEMO_LIST.read_bytes(),
    )  # fmt: skip
    with ids.repeatable("market"):
        partners = [partner(number) for number in range(int(sys.argv[1]))]
    for firm in Partner.objects.order_by("pk"):
        screening.screen_partner(firm, actor=SYSTEM)
    factors = seed_demo.second_factors()
    staff = [
        {"email": email, "seed": factors.get(email, ""), "roles": list(roles)}
        for email, (_, roles) in seed_demo.STAFF.items()
    ]
    sys.stdout.write(
        json.dumps(
            {"partners": partners, "staff": staff, "staff_password": seed_demo.PASSWORD, "password": PASSWORD}
        )
    )


if __name__ == "__main__":
    main()
