"""Journey A8–A11: a lot is offered and approved, a mill asks for it, and two buyers race for it, over HTTP."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.availability.models import Availability, Reservation
from apps.availability.services.offers import REPORT_PURPOSE
from apps.availability.tests import factories as goods
from apps.requirement.models import Requirement
from apps.requirement.tests import factories as wants
from erp import clock
from erp.files import PDF, Upload
from erp.models import unguarded_writes
from erp.testing import at_once
from erp.uploads import services as uploads

pytestmark = pytest.mark.django_db(transaction=True)
OFFERS, WANTS = "/api/v1/availabilities", "/api/v1/requirements"
LOT = {"lot_no": "SSG-27", "press_mark": "SSG", "pr_from": 1201, "pr_to": 1300, "bales": 100}
QUALITY = {
    "staple_length": "29.2", "micronaire": "3.90", "strength": "28.6", "rd": "76.0", "trash": "3.2", "moisture": "8.4",
}  # fmt: skip
MASKED = ("SSG", "1201", "1300", "Station Road", "17000", "2557505.20")


@pytest.fixture
def cotton(commodity, user):
    """Cotton of the journey, its variety, and the units of its prices."""
    from apps.commodities.models.varieties import Variety
    from apps.commodities.services import parameters
    from erp.access import SYSTEM

    row = wants.cotton(commodity, season_start_month=10)
    for code, unit in (("rd", "Rd"), ("moisture", "%")):
        parameters.create_parameter(
            actor=SYSTEM, commodity=row, code=code, name=code.title(), data_type="DECIMAL", unit=unit, precision=1,
            methods=["HVI"], direction="NONE", possible_min=Decimal(0), possible_max=Decimal(100),
        )  # fmt: skip
    with unguarded_writes():
        variety = Variety(commodity=row, code="SHANKAR-6", name="Shankar-6", status="ACTIVE")
        variety.save()
    return row, variety


def offered(cotton, today):
    row, variety = cotton
    return {
        "commodity_id": str(row.pk),
        "variety_id": str(variety.pk),
        "crop_year": "2025-26",
        "total_quantity": "100",
        "total_weight_kg": "17000.000",
        "weight_basis": "ESTIMATED",
        "place": {
            "address": "Station Road, Gondal",
            "country": "IN",
            "state_code": "GJ",
            "district": "Rajkot",
        },
        "unit_price": "53500",
        "pricing_unit_id": str(goods.per_candy().pk),
        "price_basis": "EX_GIN",
        "visibility": "PUBLIC",
        **{f"{name}_id": str(term.pk) for name, term in goods.terms().items()},
        "lots": [LOT],
        "quality": [{"parameter": code, "value": value} for code, value in QUALITY.items()],
        "available_from_date": str(today),
        "available_until_date": str(today + timedelta(days=30)),
    }


def wanted(cotton, today):
    def band(parameter, preferred, **ends):
        return {"parameter": parameter, "required": True, "preferred": preferred, **ends}

    return {
        "commodity_id": str(cotton[0].pk),
        "max_quantity": "100",
        "tolerance_percent": "5",
        "kg_per_count": "170",
        "ceiling_price": "54000",
        "pricing_unit_id": str(wants.candy().pk),
        "delivery_from_date": str(today),
        "delivery_until_date": str(today + timedelta(days=10)),
        "bands": [
            band("staple_length", "29.5", min="28.5", max="30.0"),
            band("micronaire", "4.1", min="3.7", max="4.5"),
            band("trash", "3.0", max="4.5"),
        ],
        "places": [{"latitude": "11.016844", "longitude": "76.955833", "state_code": "TN"}],
    }


def test_a_lot_is_offered_wanted_and_reserved_once(cotton, user, client_for, emitted):
    """A8–A11 (availability §8.1 and §8.26, requirement §8.16): figures to the last digit, every write sent twice."""
    people = {name: user(role) for name, role in (("SO", "SELLER"), ("KO", "BUYER"), ("K2", "BUYER"))}
    seller, kovai, second = (client_for(person) for person in people.values())
    manager, today = client_for(user("INTERNAL_MANAGER")), clock.today()

    # A8: the offer, its report, its submission
    body = offered(cotton, today)
    assert seller.write(OFFERS, {**body, "total_quantity": 100}).status_code == 400
    posted = seller.write_twice(OFFERS, body)
    assert (posted.status_code, posted.json()["status"]) == (201, "DRAFT"), posted.content
    assert posted.json()["estimated_value"] == "2557505.20"
    assert Decimal(posted.json()["price_per_kg"]) == Decimal("150.44148248")
    offer = f"{OFFERS}/{posted.json()['id']}"
    report = Upload("report.pdf", PDF, b"%PDF-1.4 report of the laboratory")
    file = uploads.create(actor=people["SO"], file=report, purpose=REPORT_PURPOSE)
    tested = {
        "upload_id": str(file.pk), "lab_name": "CIRCOT Mumbai", "report_no": "R-27", "sample_no": "S-27",
        "method": "UHML", "tested_date": str(today), "lot_no": "SSG-27",
        "values": [{"parameter": "staple_length", "value": "29.2"}],
    }  # fmt: skip
    assert seller.write_twice(f"{offer}/test-reports", tested).status_code == 201
    pending = seller.write_twice(f"{offer}/submit")
    assert pending.json()["status"] == "PENDING_APPROVAL"
    events = emitted("", aggregate_id=posted.json()["id"])
    assert [event.event_type.partition(".")[2] for event in events] == [
        "created",
        "test_report_added",
        "submitted",
    ]

    # A9: approved by another person who has read it; the mill sees neither seller, place nor marks
    stale, current = posted["ETag"], pending["ETag"]
    assert manager.write(f"{offer}/approve", {}, if_match=stale).status_code == 412
    assert seller.write(f"{offer}/approve", {}, if_match=current).json()["code"] == "capability.missing"
    approved = manager.write_twice(f"{offer}/approve", {}, if_match=current)
    assert approved.json()["status"] == "ACTIVE"
    assert manager.write(f"{offer}/approve", {}, if_match=current).status_code == 412
    seen = kovai.read(offer)
    hidden = (*MASKED, str(people["SO"].partner_id))
    assert seen.json()["quantity_band"] == "100–200"
    assert [word for word in hidden if word in seen.content.decode()] == []
    assert kovai.read(f"{offer}/lots").json()["results"] == []

    # A10: the requirement
    created = kovai.write_twice(WANTS, wanted(cotton, today))
    assert (created.status_code, created.json()["estimated_value"]) == (201, "2581407.12"), created.content
    want = f"{WANTS}/{created.json()['id']}"
    published = kovai.write_twice(f"{want}/publish")
    assert published.json()["status"] == "ACTIVE"
    events = emitted("", aggregate_id=created.json()["id"])
    assert [event.event_type for event in events] == ["requirement.created", "requirement.published"]
    assert Requirement.objects.get().approved_terms is not None

    # A11: two buyers at once for all of it; only the winner can release it
    racers = [kovai, second]
    answers = at_once(
        *[lambda each=each: each.write(f"{offer}/reserve", {"quantity": "100"}) for each in racers]
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert lost.json()["code"] == "availability.quantity_exceeded"
    winner, loser = sorted(racers, key=lambda each: answers[racers.index(each)].status_code)
    theirs = {"reservation_id": won.json()["id"]}
    assert loser.write(f"{offer}/release", theirs).status_code == 422
    assert seller.write(f"{offer}/release", theirs).status_code == 403
    assert winner.write_twice(f"{offer}/release", theirs).json()["open_quantity"] == "0.000"
    row = Availability.objects.get()
    assert (row.available_quantity, row.reserved_quantity, Reservation.objects.count()) == (100, 0, 1)
    told = emitted("", aggregate_id=posted.json()["id"])[4:]
    assert [event.event_type.partition(".")[2] for event in told] == ["reserved", "released"]
    assert [
        word for word in ("Station Road", "SSG") for event in told if word in json.dumps(event.payload)
    ] == []
