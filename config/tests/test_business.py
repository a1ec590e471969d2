"""The demo's business: everything through services, the same rows with the same ids, a second run adds nothing."""

import json
from collections import Counter
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.approvals.models import ApprovalRequest
from apps.availability.models import Availability, Reservation
from apps.locations.models import Location
from apps.matching.models import Match
from apps.negotiations.models import Negotiation
from apps.notifications.models import Message
from apps.organization.models import BankAccount, Calendar, GstRegistration, Organization
from apps.partners.models import CreditLimit, Partner, PartyLink, Vehicle
from apps.requirement.models import Requirement
from apps.trades.models import Amendment, Dispute, Trade
from config import business
from erp import ids
from erp.jobs.models import Job
from erp.outbox import deadletters
from erp.outbox.models import EventOutbox
from erp.tests.outbox_support import pubsub

__all__ = ["pubsub"]
pytestmark = pytest.mark.django_db


def seed() -> list[str]:
    out = StringIO()
    call_command("seed_demo", "--business", "--json", stdout=out)
    added: list[str] = json.loads(out.getvalue())["added"]
    return added


@pytest.mark.slow
def test_the_demo_s_business_has_something_of_everything_and_is_made_once(pubsub: Any) -> None:
    added = seed()
    assert "60 offers" in added
    assert any(line.endswith(" places") for line in added)
    assert Location.objects.exists()
    branches = Counter(GstRegistration.objects.values_list("organization__name", flat=True))
    assert branches == {"Demo Cotton Exchange": 4, "Demo Fibres": 2}
    assert Calendar.objects.count() == 3
    forms = set(Partner.objects.values_list("legal_form", flat=True))
    assert (Partner.objects.count(), len(forms)) == (8, 6)
    assert not PartyLink.objects.exists(), "no two firms share anything by chance"
    assert Vehicle.objects.get().number == "GJ03BT4321"
    limits = CreditLimit.objects.values_list("partner__legal_name", "amount", "status")
    assert ("Kovai Spinners Pvt Ltd", Decimal("10000000.00"), "approved") in limits
    statuses = Counter(Availability.objects.values_list("status", flat=True))
    assert statuses == {"DRAFT": 9, "PENDING_APPROVAL": 12, "ACTIVE": 39}
    wants = Counter(Requirement.objects.values_list("status", flat=True))
    assert wants == {
        "DRAFT": 2, "PENDING_APPROVAL": 1, "ACTIVE": 13, "PARTIALLY_FULFILLED": 2, "FULFILLED": 4, "CANCELLED": 1,
    }  # fmt: skip
    held = set(Reservation.objects.values_list("status", flat=True))
    assert held == {"HELD", "RELEASED", "IN_TRADE", "SOLD", "RETURNED"}
    assert set(Negotiation.objects.values_list("status", flat=True)) == set(Negotiation.Status.values)
    assert set(Trade.objects.values_list("status", flat=True)) == set(Trade.Status.values)
    assert Trade.objects.get(status="SETTLED").settlements.get().net_due == 0
    assert (Amendment.objects.get().status, Dispute.objects.get().status) == ("APPLIED", "OPEN")
    assert Match.objects.live().exists()
    assert set(BankAccount.objects.values_list("status", flat=True)) == {"active", "pending_approval"}
    waiting = ApprovalRequest.objects.pending().values_list("capability", flat=True)
    assert len(set(waiting)) >= 2, "two people have something to decide"
    assert Counter(Job.objects.values_list("status", flat=True)) == {
        "succeeded": 1,
        "partial": 1,
        "failed": 1,
    }
    assert Message.objects.filter(status=Message.Status.FAILED).count() == 3
    with deadletters.held(more=0.1) as letters:
        (letter,) = letters.letters
        assert letter.row.last_error == "not an event of this product: without ce-time"
    before = EventOutbox.objects.count()
    assert seed() == []
    assert EventOutbox.objects.count() == before

    with ids.repeatable("demo offer 1 60", 60):
        assert Availability.objects.get(internal_reference="DEMO-1-060").pk == ids.uuid4()
    newest = Availability.objects.order_by("-created_at").values_list("internal_reference", flat=True)[:2]
    assert list(newest) == ["DEMO-1-060", "DEMO-1-059"]
    with ids.repeatable("demo organization 2"):
        assert Organization.objects.get(name="Demo Fibres").pk == ids.uuid7()
    for firm in business.FIRMS:
        with ids.repeatable(f"demo partner {firm.name}"):
            assert Partner.objects.get(legal_name=firm.name).pk == ids.uuid7()


def test_demo_data_is_refused_in_production(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="not allowed in production"):
        seed()
