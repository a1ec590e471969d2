"""What follows from the end of a requirement, and from the standing of its buyer."""

from decimal import Decimal
from uuid import uuid4

import pytest
from celery import current_app

from apps.availability.models import Reservation
from apps.availability.services import stock
from apps.locations.services import tree
from apps.partners.models import Partner
from apps.partners.services import standing
from apps.requirement import tasks
from apps.requirement.models import Requirement
from apps.requirement.services import decisions, requirements
from erp import clock
from erp.access import SYSTEM
from erp.errors import Invalid
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
_Status = Requirement.Status


@pytest.fixture
def buyer(user):
    return user("BUYER")


@pytest.fixture
def held(offer, buyer):
    """Reserve goods of a new offer for a requirement, as its buyer."""
    return lambda row: stock.reserve(offer(), actor=buyer, quantity=Decimal(10), requirement_id=row.pk)


@pytest.fixture
def reserve_for(offer, buyer):
    """Reserve goods of a new offer for a requirement and the buyer's firm, as SYSTEM."""
    firm = {"actor": SYSTEM, "holder_partner": Partner.objects.get(pk=buyer.partner_id)}
    return lambda row, **more: stock.reserve(
        offer(), quantity=Decimal(10), requirement_id=row.pk, **firm, **more
    )


@pytest.fixture
def eager():
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def status_of(reservation):
    return Reservation.objects.get(pk=reservation.pk).status


def test_a_buyer_reserves_for_its_own_live_requirement_only(requirement, buyer, held, reserve_for):
    row = requirement(buyer=buyer)
    assert held(row).requirement_id == row.pk
    others = (
        requirement(),
        requirement(buyer=buyer, live=False),
        requirement(buyer=buyer, intent="PRICE_DISCOVERY_ONLY", ceiling_price=None),
    )
    for other in others:
        with pytest.raises(Invalid):
            held(other)
        with pytest.raises(Invalid):  # nor do staff, or a module above for a deal, name another's
            reserve_for(other)


def test_a_deal_goes_on_after_its_requirement_ended_but_for_its_own_buyer_only(
    requirement, buyer, reserve_for
):
    row = requirements.cancel(requirement(buyer=buyer), actor=buyer, reason_code="NOT_NEEDED")
    with pytest.raises(Invalid):
        reserve_for(row)
    assert reserve_for(row, negotiation_id=uuid4()).requirement_id == row.pk
    with pytest.raises(Invalid):
        reserve_for(requirement(), negotiation_id=uuid4())


def test_the_end_of_a_requirement_releases_what_is_reserved_for_it(
    requirement, buyer, held, emitted, set_clock
):
    cancelled, live, expired = (requirement(buyer=buyer) for _ in range(3))
    first, second, third = held(cancelled), held(live), held(expired)
    protected = held(cancelled)
    with unguarded_writes():
        Requirement.objects.filter(pk=expired.pk).update(expires_at=clock.now())
    requirements.cancel(Requirement.objects.get(pk=cancelled.pk), actor=buyer, reason_code="PRICE")
    decisions.expire(Requirement.objects.get(pk=expired.pk), actor=SYSTEM)
    with unguarded_writes():
        Reservation.objects.filter(pk=protected.pk).update(bound_negotiation_id=uuid4())
    assert tasks.release_reservations() == 2
    assert [status_of(row) for row in (first, second, third, protected)] == [
        "RELEASED", "HELD", "RELEASED", "HELD",
    ]  # fmt: skip
    assert {row.payload["reason"] for row in emitted("availability.released")} == {"requirement_ended"}
    assert tasks.release_reservations() == 0


def test_one_release_that_fails_keeps_no_other_waiting(requirement, buyer, held, monkeypatch):
    row = requirement(buyer=buyer)
    one, other = held(row), held(row)
    requirements.cancel(Requirement.objects.get(pk=row.pk), actor=buyer, reason_code="PRICE")
    release = stock.release_for_requirement

    def fail(offer, **values):
        if offer.pk == one.availability_id:
            raise RuntimeError("broken")
        return release(offer, **values)

    monkeypatch.setattr(stock, "release_for_requirement", fail)
    assert tasks.release_reservations() == 1
    assert (status_of(one), status_of(other)) == ("HELD", "RELEASED")


def test_events_start_the_sweeps_at_once(
    requirement, buyer, held, user, deliver, eager, django_capture_on_commit_callbacks
):
    row, live = requirement(buyer=buyer), requirement(buyer=buyer)
    reservation = held(row)
    with django_capture_on_commit_callbacks(execute=True):
        requirements.cancel(Requirement.objects.get(pk=row.pk), actor=buyer, reason_code="PRICE")
        deliver()
    assert status_of(reservation) == "RELEASED"
    with django_capture_on_commit_callbacks(execute=True):
        standing.suspend(
            Partner.objects.get(pk=buyer.partner_id), actor=user("INTERNAL_DIRECTOR"), reason_code="non_payment",
            reason="Two invoices are overdue.",
        )  # fmt: skip
        deliver()
    assert Requirement.objects.get(pk=live.pk).status == _Status.SUSPENDED


def test_one_requirement_that_fails_keeps_no_other_on_the_market(requirement, buyer, user, monkeypatch):
    one, other = requirement(buyer=buyer), requirement(buyer=buyer)
    standing.suspend(
        Partner.objects.get(pk=buyer.partner_id), actor=user("INTERNAL_DIRECTOR"), reason_code="non_payment",
        reason="Two invoices are overdue.",
    )  # fmt: skip
    suspend = decisions.suspend

    def fail(row, **values):
        if row.pk == one.pk:
            raise RuntimeError("broken")
        return suspend(row, **values)

    monkeypatch.setattr(decisions, "suspend", fail)
    assert tasks.follow_partners() == 1
    assert Requirement.objects.get(pk=other.pk).status == _Status.SUSPENDED


def test_delivery_places_follow_a_place_that_is_merged(requirement, place, emitted):
    entered_twice, winner = (
        place("Gondal"),
        place("Gondal APMC", latitude=Decimal("21.961"), longitude=Decimal("70.79")),
    )
    row = requirement(places=[{"location": place()}, {"location": entered_twice}])
    first = requirement(places=[{"location": entered_twice}])
    tree.merge(entered_twice, actor=SYSTEM, into=winner, reason="Entered twice.")
    assert tasks.follow_places() == 2
    assert tasks.follow_places() == 0
    assert row.places.get(position=1).location == first.places.get().location == winner
    first = Requirement.objects.get(pk=first.pk)
    assert (first.latitude, first.longitude) == (Decimal("21.961"), Decimal("70.79"))
    assert (first.version, Requirement.objects.get(pk=row.pk).version) == (2, 2), "profiles go by it"
    assert Requirement.objects.get(pk=row.pk).latitude is None
    assert emitted("requirement.updated", aggregate_id=first.pk)[-1].payload["changed"] == ["places"]
