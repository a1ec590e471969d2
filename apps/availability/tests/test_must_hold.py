"""What the page of offers says must hold (§8), where no other test shows it: 5, 6, 12, 18, 21, 23, 24 and 25."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from apps.availability import tasks
from apps.availability.models import Availability, Reservation
from apps.availability.services import decisions, rules, stock
from apps.availability.tests import factories
from apps.partners.models import Partner
from erp import clock
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
OFFERS = "/api/v1/availabilities"


def again(offer):
    return Availability.objects.get(pk=offer.pk)


def body(goods, **fields):
    terms = {f"{name}_id": str(row.pk) for name, row in factories.terms().items()}
    return {
        "commodity_id": str(goods.pk),
        "total_quantity": "100",
        "total_weight_kg": "17000",
        "place": {"address": "Gondal", "country": "IN", "state_code": "GJ"},
        "unit_price": "53500",
        "pricing_unit_id": str(factories.per_candy().pk),
        "available_from_date": str(clock.today()),
        "available_until_date": str(clock.today()),
        **terms,
        **fields,
    }


def test_05_06_what_is_released_can_be_reserved_at_once_and_a_whole_is_released_as_a_whole(offer, user):
    live, buyer = offer(), user("BUYER")
    held = stock.reserve(live, actor=buyer, quantity=Decimal(100))
    stock.release(again(live), actor=buyer, reservation_id=held.pk, quantity=Decimal(50))
    assert stock.reserve(again(live), actor=user("BUYER"), quantity=Decimal(50)).status == "HELD"
    whole = offer(allow_partial=False)
    held = stock.reserve(whole, actor=buyer, quantity=Decimal(100))
    with pytest.raises(rules.WholeLotOnly):
        stock.release(again(whole), actor=buyer, reservation_id=held.pk, quantity=Decimal(50))
    assert stock.release(again(whole), actor=buyer, reservation_id=held.pk).status == "RELEASED"


def test_12_an_offer_is_created_once_and_each_step_emits_its_own_event_only(offer, user, emitted):
    pending = [offer(live=False, submit=True) for _ in range(3)]
    before = len(emitted())
    for row in pending:
        decisions.approve(row, actor=user("INTERNAL_MANAGER"))
    steps = [event.event_type for event in emitted()[before:] if event.event_type.startswith("availability.")]
    assert steps == ["availability.approved"] * 3
    with unguarded_writes():
        Availability.objects.update(expires_at=clock.now())
    assert (tasks.expire_offers(), tasks.expire_offers()) == (3, 0)
    for row in pending:
        types = [event.event_type for event in emitted("", aggregate_id=row.pk)]
        assert types == [f"availability.{step}" for step in ("created", "submitted", "approved", "expired")]


def test_18_a_related_party_is_refused_by_one_event_and_by_the_same_answer_again(
    offer, user, partner, client_for, emitted
):
    live, firm = offer(), partner()
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(parent=live.seller_partner)
    answer = client_for(user("BUYER", of=firm)).write_twice(f"{OFFERS}/{live.pk}/reserve", {"quantity": "10"})
    assert (answer.status_code, answer.json()["code"]) == (422, "availability.related_party")
    assert len(emitted("availability.reservation_refused")) == 1
    assert not Reservation.objects.exists()


def test_21_a_traders_own_requirement_never_blocks_its_offer_nor_that_of_others(offer, requirement, user):
    trader = user("TRADER")
    want = requirement(buyer=trader, visibility="PUBLIC")
    own = offer(seller=trader, commodity=want.commodity)
    held = stock.reserve(own, actor=user("BUYER"), quantity=Decimal(60))
    others = stock.reserve(
        offer(commodity=want.commodity), actor=trader, quantity=Decimal(60), requirement_id=want.pk
    )
    assert (held.status, others.status, again(own).status) == ("HELD", "HELD", "ACTIVE")


HOSTILE = "'; DROP TABLE availability_availability; --<script>"


def test_23_hostile_text_stays_data(offer, user, client_for, commodity):
    seller = user("SELLER")
    client = client_for(seller)
    answer = client.write(OFFERS, body(commodity(), notes=HOSTILE, internal_reference=HOSTILE, tags=["%_\\"]))
    assert answer.status_code == 201, answer.content
    row = answer.json()
    assert (row["notes"], row["internal_reference"], row["tags"]) == (HOSTILE, HOSTILE, ["%_\\"])
    for query in ({"internal_reference": HOSTILE}, {"tag": "%_\\"}, {"number": "%"}, {"number": "_"}):
        found = client.read(OFFERS, {"scope": "own", **query}).json()["results"]
        assert len(found) == ("number" not in query), query


def test_24_a_quantity_is_a_plain_decimal_string(user, client_for, commodity, offer):
    goods, live, seller, buyer = commodity(), offer(), client_for(user("SELLER")), client_for(user("BUYER"))
    bad = (
        100,
        100.0,
        "1e2",
        "-1",
        "0",
        "1.0001",
        "1" * 18,
        "0.5",
        "10\u0000",
        "NaN",
        "१००",
        "1_0",
        " 1",
        None,
    )
    for quantity in bad:
        for path, client, sent in (
            (OFFERS, seller, body(goods, total_quantity=quantity)),
            (f"{OFFERS}/{live.pk}/reserve", buyer, {"quantity": quantity}),
        ):
            answer = client.write(path, sent)
            assert answer.status_code in (400, 422), (quantity, answer.content)
            assert answer.json()["errors"][0]["pointer"].endswith("quantity")
    assert (Availability.objects.count(), Reservation.objects.count()) == (1, 0)
    assert buyer.write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "100"}).status_code == 201


_FIGURES = """
from django.conf import settings
settings.configure(SECRET_KEY="a key")
from uuid import UUID
from apps.partners.pseudonyms import pseudonym
print([pseudonym(UUID(int=n), UUID(int=2), UUID(int=3)) for n in range(3)])
"""


def test_25_a_pseudonym_depends_on_no_process_and_no_hash_seed():
    def run(seed):
        return subprocess.run(
            [sys.executable, "-c", _FIGURES],
            cwd=Path(settings.BASE_DIR), env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True,
        ).stdout  # fmt: skip

    assert run("1") == run("2") != b""
