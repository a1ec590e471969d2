"""Negotiations over HTTP: what each side and staff read at each stage, by every channel, and what is refused."""

import json
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.integrations.tests.examples import consume
from apps.integrations.tests.test_feed import read as read_feed
from apps.negotiations.models import Negotiation, Offer
from apps.negotiations.services import decisions
from apps.negotiations.tests.factories import again, proposed
from apps.partners.models import CreditLimit, Partner
from apps.requirement.models import Requirement
from apps.risk.models import RiskAssessment
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox
from erp.services import unit_of_work

pytestmark = pytest.mark.django_db
URL = "/api/v1/negotiations"
# What a negotiation shows to a side: these fields are null for the other one.
OF_BUYER = {"requirement_id", "reservation_id"}


def answer(response):
    return response.status_code, response.json().get("code")


def move(client, row, verb, body, **more):
    return client.write(f"{URL}/{row.pk}/{verb}", body, if_match=again(row).version, **more)


@pytest.fixture
def firms(sides, partner, user):
    """A match between two firms whose every name and number is told apart from all others."""

    def make(**fields):
        buyer = partner("Kaveri Yarn Works", trade_name="Kaveri Yarns", roles=("buyer",))
        seller = partner("Girnar Ginneries", trade_name="Girnar", roles=("seller",))
        table = sides(buyer=user("BUYER", of=buyer), seller=user("SELLER", of=seller), **fields)
        with unguarded_writes():
            Requirement.objects.filter(pk=table.match.requirement_id).update(
                ceiling_price=Decimal("54321.5"), target_price=Decimal("50123.5"), internal_reference="KV-7",
                urgency="URGENT",
            )  # fmt: skip
        return table

    return make


def words_of(firm, person):
    """Words that identify a firm."""
    of_firm = {str(firm.pk), firm.legal_name, firm.trade_name, firm.code}
    return of_firm | {str(person.pk), person.email, person.full_name}


def channels(client, table, row):
    """Everything that a side can read about the negotiation, its listings and its match: channel → text."""
    pages = {
        "retrieve": client.read(f"{URL}/{row.pk}"),
        "list": client.read(URL),
        "fields": client.read(URL, {"fields": "buyer,seller,side,standing_offer"}),
        "offers": client.read(f"{URL}/{row.pk}/offers"),
        "offer": client.read(f"/api/v1/availabilities/{table.match.availability_id}"),
        "offers on the market": client.read("/api/v1/availabilities"),
        "requirement": client.read(f"/api/v1/requirements/{table.match.requirement_id}"),
        "requirements": client.read("/api/v1/requirements"),
        "match": client.read(f"/api/v1/matching/{row.match_id}"),
        "matches": client.read("/api/v1/matching"),
        "events": read_feed(client),
    }
    assert pages["match"].status_code == pages["offer"].status_code == 200
    for order in ("created_at", "-expires_at"):
        pages[f"ordered by {order}"] = client.read(URL, {"ordering": order})
    for verb, body in (
        ("offer", {"price": "1", "quantity": {"value": "9999", "unit": "BALE"}}),
        ("accept", {"offer_id": str(uuid4())}),
        ("reject", {"reason": "OTHER"}),
        ("offer", {"price": "53000", "message": "Kaveri Yarn Works or Girnar Ginneries?"}),
    ):
        response = move(client, row, verb, body)
        assert response.status_code >= 400
        pages[f"error of {verb} {len(pages)}"] = response
    return {
        name: json.dumps(page if isinstance(page, list) else page.json()) for name, page in pages.items()
    }  # fmt: skip


@pytest.mark.slow
def test_each_side_reads_at_each_stage_no_more_than_its_share(firms, client_for, user):
    """§8.12: field by field and stage by stage, by every channel."""
    table = firms(credit=5_000_000)
    clients = {"BUYER": client_for(table.buyer), "SELLER": client_for(table.seller)}
    requirement = table.match.requirement
    names = {
        "BUYER": words_of(Partner.objects.get(pk=table.buyer.partner_id), table.buyer),
        "SELLER": words_of(Partner.objects.get(pk=table.seller.partner_id), table.seller),
    }
    never = {"54321.5", "50123.5", "KV-7", "URGENT", requirement.number}  # of the buyer
    row = table.start()
    table.bid(row, 53_000, message="Ready to lift in 3 days.")
    held = table.hold(row)
    consume()
    for stage in ("NEGOTIATING", "ended without a deal"):
        for side, client in clients.items():
            other = "SELLER" if side == "BUYER" else "BUYER"
            for channel, text in channels(client, table, row).items():
                if "offer" not in channel or not channel.startswith("error"):
                    shown = [word for word in names[other] if word in text]
                    assert not shown, (stage, side, channel, shown)
                if side == "SELLER":
                    assert not [word for word in never if word in text], (stage, channel)
                    assert str(held.pk) not in text, (stage, channel)
                    if not channel.startswith("requirement"):
                        assert str(requirement.pk) not in text, (stage, channel)
        body = {side: client.read(f"{URL}/{row.pk}").json() for side, client in clients.items()}
        assert {name for name in OF_BUYER if body["SELLER"][name] is not None} == set()
        assert body["BUYER"]["requirement_id"] == str(requirement.pk)
        for side, other in (("BUYER", "seller"), ("SELLER", "buyer")):
            found = body[side][other]
            assert (found["partner_id"], found["name"], found["verified"]) == (None, None, True)
            assert (found["ref"][:2], len(found["ref"])) == (f"{other[0].upper()}-", 28)
            assert body[side][side.lower()]["ref"] is None
            assert body[side]["side"] == side
        assert body["BUYER"].keys() == body["SELLER"].keys()
        different = {name for name in body["BUYER"] if body["BUYER"][name] != body["SELLER"][name]}
        own = {"side", "buyer", "seller", "allowed_actions", *OF_BUYER}
        if stage == "NEGOTIATING":
            assert different == own
            assert body["SELLER"]["standing_offer"]["message"] == "Ready to lift in 3 days."
            decisions.withdraw(again(row), actor=table.buyer, reason="OTHER", note="Kaveri bought elsewhere.")
        else:
            assert different == own - {"allowed_actions", "reservation_id"} | {"close_note"}
            with unguarded_writes():  # what changes later is shown to nobody
                Partner.objects.filter(pk=table.seller.partner_id).update(
                    status="suspended", risk_category="high"
                )
                Negotiation.objects.filter(pk=row.pk).update(close_reason="PARTNER_SUSPENDED")
            later = clients["BUYER"].read(f"{URL}/{row.pk}").json()
            assert (later["seller"], later["close_reason"]) == (body["BUYER"]["seller"], "MATCH_ENDED")
            offered, wanted = again(table.listing), again(requirement)
            assert not offered.disclosures.live(clock.now()).exists()
            assert not wanted.disclosures.live(clock.now()).exists()
            assert (body["BUYER"]["close_note"], body["SELLER"]["close_note"]) == (
                "Kaveri bought elsewhere.",
                None,
            )
        consume()


def test_names_are_shown_once_there_is_a_trade_and_to_staff(firms, client_for, user):
    table = firms()
    row = table.start()
    table.bid(row)
    table.accept(row, table.seller)
    seller, staff = client_for(table.seller), client_for(user("INTERNAL"))
    assert seller.read(f"{URL}/{row.pk}").json()["buyer"]["name"] is None
    with unit_of_work(SYSTEM):
        decisions.link_trade(again(row), actor=SYSTEM, trade_id=uuid4())
    shown = seller.read(f"{URL}/{row.pk}").json()["buyer"]
    assert (shown["name"], shown["partner_id"]) == ("Kaveri Yarns", str(table.buyer.partner_id))
    found = staff.read(f"{URL}/{row.pk}").json()
    assert (found["side"], found["buyer"]["name"], found["seller"]["name"]) == (
        None,
        "Kaveri Yarns",
        "Girnar",
    )
    assert found.keys() >= OF_BUYER
    assert None not in {found[name] for name in OF_BUYER}
    assert found["allowed_actions"] == []


def test_others_find_nothing_and_staff_move_nothing(firms, client_for, user):
    """§8.12: a third partner gets 404, staff that move 403."""
    table = firms()
    row = table.start()
    table.bid(row)
    third, staff = client_for(user("TRADER")), client_for(user("INTERNAL_DIRECTOR"))
    assert third.read(f"{URL}/{row.pk}").status_code == 404
    assert third.read(f"{URL}/{row.pk}/offers").status_code == 404
    assert third.read(URL).json()["results"] == []
    assert answer(third.write(URL, {"match_id": str(table.match.pk)})) == (400, "request.invalid")
    accept = {"offer_id": str(again(row).standing_offer_id)}
    for verb, body in (
        ("offer", {"price": "1"}), ("accept", accept), ("reject", {"reason": "PRICE"}),
        ("withdraw", {"reason": "PRICE"}),
    ):  # fmt: skip
        assert move(third, row, verb, body).status_code == 404
        assert answer(move(staff, row, verb, body)) == (403, "capability.missing")
    assert staff.write(URL, {"match_id": str(table.match.pk)}).status_code == 403
    auditor = client_for(user("AUDITOR"))
    assert len(auditor.read(URL).json()["results"]) == 1
    clerk = client_for(user("PARTNER_ADMIN", of=Partner.objects.get(pk=table.seller.partner_id)))
    assert clerk.read(f"{URL}/{row.pk}").json()["allowed_actions"] == []
    assert answer(move(clerk, row, "accept", accept)) == (403, "capability.missing")


def test_filters_and_orders_lift_no_mask(firms, client_for, user):
    table = firms()
    table.start()
    buyer, seller = client_for(table.buyer), client_for(table.seller)

    def found(client, **query):
        response = client.read(URL, query)
        return response.status_code if response.status_code != 200 else len(response.json()["results"])

    requirement = {"requirement_id": str(table.match.requirement_id)}
    assert (found(buyer, **requirement), found(seller, **requirement)) == (1, 0)
    assert found(client_for(user("INTERNAL")), **requirement) == 1
    for client, side in ((buyer, "BUYER"), (seller, "SELLER")):
        other = "SELLER" if side == "BUYER" else "BUYER"
        assert (found(client, side=side), found(client, side=other)) == (1, 0)
        assert found(client, match_id=str(table.match.pk), status="OPEN", turn="BUYER") == 1
        assert found(client, availability_id=str(table.match.availability_id)) == 1
        for query in ({"buyer_partner": str(table.buyer.partner_id)}, {"reservation_id": str(uuid4())}):
            assert found(client, **query) == 400
        assert found(client, ordering="buyer_partner") == 400
        assert found(client, search="Kaveri") == 400
        assert found(client, expand="buyer_partner") == 400
    assert found(buyer, expires_at__lte=(clock.now() + timedelta(hours=49)).isoformat()) == 1
    assert found(buyer, expires_at__lte=clock.now().isoformat()) == 0


def test_pseudonyms_link_nothing(firms, offer, requirement, client_for, user):
    """§8.13: another for each viewer and each match, the same within one."""
    table = firms()
    goods, listing = table.listing.commodity, table.listing
    row = table.start()
    second = proposed(
        requirement(buyer=table.buyer, goods=goods), offer(seller=table.seller, commodity=goods)
    )
    third = proposed(requirement(buyer=user("BUYER"), goods=goods), listing)
    buyer, seller = client_for(table.buyer), client_for(table.seller)
    names = set()
    for match in (second, third):
        answered = seller.write(URL, {"match_id": str(match.pk)})
        assert answered.status_code == 201
        names.add(answered.json()["buyer"]["ref"])
    names |= {each["seller"]["ref"] for each in buyer.read(URL).json()["results"]}
    names |= {each["buyer"]["ref"] for each in seller.read(URL).json()["results"]}
    # One buyer in two matches, another in one, seen by the seller; the seller in two, seen by the buyer.
    assert len(names) == 5
    before = buyer.read(f"{URL}/{row.pk}").json()["seller"]["ref"]
    assert buyer.read(f"/api/v1/matching/{row.match_id}").json()["counterpart_ref"] == before
    table.bid(row)
    assert buyer.read(f"{URL}/{row.pk}").json()["seller"]["ref"] == before
    assert (row.pk.version, again(row).standing_offer_id.version) == (4, 4)  # ids carry no time


def test_a_newer_key_renames_nobody(firms, client_for, settings):
    table = firms()
    row = table.start()
    client = client_for(table.buyer)
    before = client.read(f"{URL}/{row.pk}").json()["seller"]["ref"]
    settings.PSEUDONYM_KEY = 2
    assert client.read(f"{URL}/{row.pk}").json()["seller"]["ref"] == before
    with unguarded_writes():
        Negotiation.objects.filter(pk=row.pk).update(pseudonym_key=2)
    assert client.read(f"{URL}/{row.pk}").json()["seller"]["ref"] != before


WRONG = [
    {"price": "0"}, {"price": "-1"}, {"price": 53000}, {"price": "1e5"}, {"price": "1.0000001"}, {"price": "NaN"},
    {"price": None}, {}, {"price": "1" * 20},
    {"price": "53000", "quantity": {"value": "50.5", "unit": "BALE"}}, {"price": "53000", "quantity": "50"},
    {"price": "53000", "quantity": {"value": "0", "unit": "BALE"}}, {"price": "53000", "quantity": {"value": "50"}},
    {"price": "53000", "message": "98765 43210"}, {"price": "53000", "message": "\0"},
    {"price": "53000", "message": "x" * 501}, {"price": "53000", "side": "SELLER"},
    {"price": "53000", "valid_until": "2020-01-01T00:00:00Z"}, {"price": "53000", "payment_term_id": str(uuid4())},
    {"price": "53000", "window": {"from_date": "2026-12-02", "until_date": "2026-12-01"}},
]  # fmt: skip


def test_what_is_wrong_is_refused_and_leaves_nothing(firms, client_for):
    """§8.14."""
    table = firms()
    row = table.start()
    client, events = client_for(table.buyer), EventOutbox.objects.count()
    for body in WRONG:
        assert move(client, row, "offer", body).status_code in (400, 422), body
    assert answer(move(client, row, "withdraw", {"reason": "OTHER"})) == (422, "negotiation.note_required")
    assert answer(move(client, row, "withdraw", {"reason": "NOT_INTERESTED"})) == (400, "request.invalid")
    assert (Offer.objects.count(), EventOutbox.objects.count(), again(row).version) == (
        0,
        events,
        row.version,
    )
    missing = client.write(f"{URL}/{row.pk}/offer", {"price": "53000"})
    stale = client.write(f"{URL}/{row.pk}/offer", {"price": "53000"}, if_match=99)
    assert (missing.status_code, stale.status_code) == (428, 412)
    dry = client.write(f"{URL}/{row.pk}/offer?dry_run=true", {"price": "53000"}, if_match=row.version)
    assert dry.status_code == 400  # nobody probes without a trace
    made = move(client, row, "offer", {"price": "53000.5", "quantity": None, "message": "<b>Ready</b>"})
    assert (made.status_code, made.json()["standing_offer"]["price"]) == (201, "53000.500000")
    assert made.json()["standing_offer"]["quantity"] == {"value": "100.000", "unit": "BALE"}


def test_a_deal_that_risk_blocks_is_refused_and_succeeds_once_the_cause_is_gone(firms, client_for, user):
    """§8.7, X10: the other side's cause isn't said, also on replay; with a new key once the buyer's limit suffices."""
    table = firms(credit=10_000)
    row = table.start()
    table.bid(row, 42_000)  # so low that it holds nothing
    seller, key = client_for(table.seller), uuid4().hex
    body, version = {"offer_id": str(again(row).standing_offer_id)}, again(row).version
    kept = RiskAssessment.objects.count()
    first, second = (
        seller.write(f"{URL}/{row.pk}/accept", body, if_match=version, key=key) for _ in range(2)
    )  # fmt: skip
    assert (answer(first), "reasons" in first.json()) == ((409, "negotiation.counterpart_not_ready"), False)
    assert (second.content, second.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert RiskAssessment.objects.count() == kept + 1
    assert (again(row).status, again(row).version, again(table.match).status) == ("OPEN", version, "PROPOSED")
    with unguarded_writes():
        CreditLimit.objects.filter(partner=table.buyer.partner_id).update(amount=9_000_000)
    done = seller.write(f"{URL}/{row.pk}/accept", body, if_match=version)
    assert (done.status_code, done.json()["status"]) == (200, "ACCEPTED")
    assert answer(seller.write(f"{URL}/{row.pk}/accept", body, if_match=done.json()["version"])) == (
        409, "negotiation.not_open",
    )  # fmt: skip


def test_one_acceptance_costs_a_constant_number_of_statements(firms, client_for):
    table = firms()
    row = table.start()
    table.bid(row)
    client = client_for(table.seller)
    body = {"offer_id": str(again(row).standing_offer_id)}
    with CaptureQueriesContext(connection) as queries:
        assert move(client, row, "accept", body).status_code == 200
    assert len(queries) <= 150
