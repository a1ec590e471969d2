"""The event feed: visible events, in order, once, and never before a cursor that a client has."""

import json
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings as configured
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.availability.models import Availability
from apps.availability.services import stock as offers
from apps.availability.tests import factories
from apps.commodities.services import commodities as commodities
from apps.integrations import services, tasks
from apps.integrations.models import FeedEntry
from apps.integrations.tests.examples import consume
from config.testing import PASSWORD, make_ready
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.outbox import wire
from erp.outbox.models import EventOutbox
from erp.outbox.subscriber import Consumer, DeliveryOutcome, Subscription
from erp.services import unit_of_work
from erp.tests.outbox_support import drain, pubsub, until

__all__ = ["pubsub"]
pytestmark = pytest.mark.django_db
transactional = pytest.mark.django_db(transaction=True)

FEED = "/api/v1/events"


@pytest.fixture
def deal(world: Any) -> Any:
    """An offer with a reservation of ten bales, and the users concerned."""

    class Deal:
        seller, buyer, third = world.user("SELLER"), world.user("BUYER"), world.user("TRADER")
        manager = world.user("INTERNAL_MANAGER")
        offer = world.offer(seller=seller)
        hold = offers.reserve(offer, actor=buyer, quantity=Decimal(10))

    consume()
    return Deal


def read(client: Any, path: str = FEED, **query: Any) -> list[dict[str, Any]]:
    """All events from a cursor on, page by page."""
    found: list[dict[str, Any]] = []
    page = client.read(path, query).json()
    while page["results"]:
        found += page["results"]
        page = client.read(page["next"]).json()
    return found


def of_offers(events: list[dict[str, Any]]) -> list[str]:
    """Types of the events of offers."""
    return [e["type"] for e in events if e["aggregate"]["type"] == "availability"]


def shown(event: dict[str, Any]) -> set[str]:
    """Fields that are not masked."""
    return {name for name, value in event["data"].items() if value is not None}


def status_and_code(answer: Any) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status_code, answer.json()["code"]


def envelope(aggregate_id: UUID, sequence: int = 1, **fields: Any) -> wire.Envelope:
    """The envelope of a commodity's event."""
    return wire.Envelope(
        **{
            "event_id": uuid4(),
            "event_type": "commodity.updated",
            "event_version": 1,
            "stream": wire.Stream("commodity", aggregate_id),
            "sequence": sequence,
            "occurred_at": timezone.now(),
            "data": json.dumps({"commodity_id": str(aggregate_id), "version": sequence, "changes": {}}),
            **fields,
        }
    )


def test_each_party_reads_its_own_events_and_no_events_before_the_approval(deal, client_for):
    seen = {name: read(client_for(getattr(deal, name))) for name in ("seller", "buyer", "third", "manager")}
    assert of_offers(seen["seller"]) == [
        "availability.created",
        "availability.submitted",
        "availability.approved",
        "availability.reserved",
    ]
    assert of_offers(seen["buyer"]) == ["availability.approved", "availability.reserved"]
    assert of_offers(seen["third"]) == ["availability.approved"]
    assert of_offers(seen["manager"]) == [*of_offers(seen["seller"]), "availability.risk_recorded"]
    for events in seen.values():
        sequences = [e["sequence"] for e in events if e["aggregate"]["type"] == "availability"]
        assert sequences == sorted(set(sequences))


def test_an_event_shows_no_more_than_the_row_itself(deal, client_for):
    """A field that is hidden in the offer is hidden in its events too; its seller has the same pseudonym."""
    for reader in (deal.seller, deal.buyer, deal.third):
        client = client_for(reader)
        row = client.read(f"/api/v1/availabilities/{deal.offer.pk}").json()
        for event in read(client, aggregate_id=str(deal.offer.pk)):
            names = shown(event) & row.keys()
            if row["seller_partner_id"] is None:
                names -= {"seller_partner_id"}
                assert event["data"]["seller_partner_id"] == str(UUID(hex=row["seller_ref"]))
            for name in names:
                assert row[name] is not None, (event["type"], name)


def test_seller_and_holder_do_not_learn_each_others_names(deal, client_for):
    by_seller = read(client_for(deal.seller), type="availability.reserved")[0]
    by_holder = read(client_for(deal.buyer), type="availability.reserved")[0]
    by_staff = read(client_for(deal.manager), type="availability.reserved")[0]
    assert by_seller["data"].keys() == by_holder["data"].keys() == by_staff["data"].keys()
    names = {"reservation_id", "holder_partner_id"}
    assert names & shown(by_seller) == {"holder_partner_id"}  # a pseudonym
    assert shown(by_holder) >= names | {"quantity", "remaining"}
    assert shown(by_seller) >= {"quantity", "remaining"}
    assert by_staff["data"] == EventOutbox.objects.get(event_type="availability.reserved").payload
    assert str(deal.buyer.partner_id) not in json.dumps(by_seller)
    assert str(deal.seller.partner_id) not in json.dumps(by_holder)


def test_an_event_looks_as_in_the_outbox(deal, client_for):
    row = EventOutbox.objects.get(event_type="availability.approved")
    event = read(client_for(deal.seller), type="availability.approved")[0]
    assert event == {
        "id": str(row.pk),
        "type": "availability.approved",
        "version": 1,
        "occurred_at": event["occurred_at"],
        "aggregate": {"type": "availability", "id": str(deal.offer.pk)},
        "sequence": 3,
        "data": row.payload,
    }


def test_events_of_a_row_that_is_no_longer_visible_disappear(deal, client_for):
    client = client_for(deal.third)
    assert of_offers(read(client)) == ["availability.approved"]
    with unguarded_writes():
        Availability.objects.filter(pk=deal.offer.pk).update(visibility="INTERNAL")
    assert of_offers(read(client)) == []
    assert of_offers(read(client_for(deal.buyer))) == ["availability.approved", "availability.reserved"]


def test_partners_do_not_read_events_of_drafts(world, client_for):
    """Partners read the activation of a commodity, not the events of its draft."""
    commodity = world.commodity(active=False, name="A working title")
    fields = {
        "name": "Long staple",
        "aliases": [commodity.name],
        "category": "FIBRE",
        "trade_unit": "BALE",
        "package_unit": "BALE",
        "pricing_unit": make_ready(commodity),
    }
    commodities.update(
        commodity, actor=SYSTEM, **fields, quantity_mode="COUNT_AND_WEIGHT", hsn_code="5201", status="ACTIVE"
    )
    consume()
    events = read(client_for(world.user("BUYER")), aggregate_id=str(commodity.pk))
    assert [(e["type"], shown(e)) for e in events] == [("commodity.updated", {"commodity_id", "version"})]
    assert "working title" not in json.dumps(events)
    assert "working title" in json.dumps(read(client_for(world.user("INTERNAL"))))


def test_events_of_a_user_are_read_by_that_user_only(world, client_for):
    one, other = world.user("BUYER"), world.user("BUYER")
    client = client_for(one)
    for person in (one, other):
        body = {"email": person.email, "password": PASSWORD}
        assert client_for().write("/api/v1/auth/login", body).status_code == 200
    consume()
    events = [e for e in read(client) if e["type"].startswith(("user.", "session."))]
    assert [e["type"] for e in events] == ["user.logged_in"]
    assert {e["data"]["user_id"] for e in events} == {str(one.pk)}


def test_events_without_readers_are_not_stored(world, client_for):
    client_for(world.user("BUYER")).write(
        "/api/v1/auth/login", {"email": "nobody@example.com", "password": "wrong and long enough"}
    )
    consume()
    assert EventOutbox.objects.filter(aggregate_type="sign_in").exists()
    assert not FeedEntry.objects.filter(aggregate_type="sign_in").exists()


def test_events_of_an_unknown_type_are_read_by_staff_only(deal, client_for):
    sequence = (
        EventOutbox.objects.filter(aggregate_type="availability", aggregate_id=deal.offer.pk).count() + 1
    )
    event = envelope(
        deal.offer.pk,
        sequence,
        stream=wire.Stream("availability", deal.offer.pk),
        event_type="availability.teleported",
        data=json.dumps({"price": "1"}),
    )
    assert Subscription("tests").receive(event) is DeliveryOutcome.APPLIED
    assert "availability.teleported" not in of_offers(read(client_for(deal.seller)))
    assert read(client_for(deal.manager), type="availability.teleported")[0]["data"] == {"price": "1"}


def test_a_gap_replaces_an_event_that_was_not_published(deal, client_for):
    sequence = (
        EventOutbox.objects.filter(aggregate_type="availability", aggregate_id=deal.offer.pk).count() + 1
    )
    lost = envelope(deal.offer.pk, sequence, stream=wire.Stream("availability", deal.offer.pk))
    Subscription("tests").receive(lost.gap())
    for reader in (deal.seller, deal.third):
        gap = read(client_for(reader), type="erp.gap")[0]
        assert gap["aggregate"] == {"type": "availability", "id": str(deal.offer.pk)}
        assert (gap["sequence"], gap["data"]) == (sequence, {})


def test_a_repeated_event_adds_no_second_entry(deal, world):
    before = FeedEntry.objects.count()
    consume()
    consume("another")  # which hasn't had them: the entry itself is there once
    assert FeedEntry.objects.count() == before > 0


@transactional
def test_a_late_commit_adds_no_entry_before_an_existing_cursor(world, client_for):
    """Two consumers: the first writes its entry before the second and tries to commit after it."""
    commodity = world.commodity()
    client = client_for(world.user("INTERNAL"))
    cursor = client.read(FEED, {"after": "latest"}).json()["next"]
    written, finish, done = threading.Event(), threading.Event(), threading.Event()
    before = last_position()
    first, second = envelope(commodity.pk), envelope(world.commodity().pk)

    def slow() -> None:
        with unit_of_work(SYSTEM):
            services.record(actor=SYSTEM, event=first)
            written.set()
            assert finish.wait(20)
        connections.close_all()

    def quick() -> None:
        with unit_of_work(SYSTEM):
            services.record(actor=SYSTEM, event=second)
        done.set()
        connections.close_all()

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    threads[0].start()
    assert written.wait(20)
    threads[1].start()
    until(lambda: done.is_set() or waiting())
    assert last_position() == before + 1, "who waits has no position yet"
    page = client.read(cursor).json()
    finish.set()
    for thread in threads:
        thread.join(20)
    seen = [e["id"] for e in page["results"]] + [e["id"] for e in read(client, page["next"])]
    assert seen == [str(first.event_id), str(second.event_id)]


def last_position() -> int:
    """The highest assigned position, visible or not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM integration_feedentry_position_seq WHERE is_called")
        return (cursor.fetchone() or (0,))[0]


def waiting() -> bool:
    """Whether a connection waits for an advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


@transactional
def test_a_client_polling_a_busy_feed_misses_no_event(world, client_for):
    commodity, client = world.commodity(), client_for(world.user("INTERNAL"))
    cursor = client.read(FEED, {"after": "latest"}).json()["next"]
    events = [[envelope(commodity.pk, n) for n in range(25)] for _ in range(6)]

    def consume(mine: list[wire.Envelope]) -> None:
        for event in mine:
            with unit_of_work(SYSTEM):
                services.record(actor=SYSTEM, event=event)
                with connection.cursor() as cursor:  # commits come in another order than inserts
                    cursor.execute("SELECT pg_sleep(random() / 200)")
        connections.close_all()

    threads = [threading.Thread(target=consume, args=[mine]) for mine in events]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    alive, found = True, []
    while alive or found:
        alive = any(thread.is_alive() for thread in threads)
        page = client.read(cursor).json()
        cursor, found = page["next"], [e["id"] for e in page["results"]]
        seen += found
    assert len(seen) == len(set(seen))
    assert set(seen) == {str(event.event_id) for mine in events for event in mine}


def test_every_page_has_a_next_link_also_an_empty_one(deal, client_for, world):
    client = client_for(deal.seller)
    whole = client.read(FEED, {"limit": 200}).json()["results"]
    seen, page = [], client.read(FEED, {"limit": 1}).json()
    while page["results"]:
        assert len(page["results"]) == 1
        seen += page["results"]
        answer = client.read(page["next"])
        page = answer.json()
        assert answer["Link"] == f'<{page["next"]}>; rel="next"'
    assert seen == whole
    assert page["previous"] is None
    offers.release(deal.offer, actor=deal.buyer, reservation_id=deal.hold.pk)
    consume()
    assert of_offers(read(client, page["next"])) == ["availability.released"]


def test_latest_starts_at_the_end_of_the_feed(deal, client_for, world):
    client = client_for(deal.seller)
    page = client.read(FEED, {"after": "latest", "type__in": "availability.released,availability.approved"})
    assert page.json()["results"] == []
    offers.release(deal.offer, actor=deal.buyer, reservation_id=deal.hold.pk)
    consume()
    assert of_offers(client.read(page.json()["next"]).json()["results"]) == ["availability.released"]


def test_the_cursor_advances_past_filtered_events(deal, client_for):
    client = client_for(deal.seller)
    assert of_offers(read(client, type="availability.approved")) == ["availability.approved"]
    two = "availability.approved,availability.created"
    assert of_offers(read(client, type__in=two, limit=1)) == ["availability.created", "availability.approved"]
    assert {e["aggregate"]["type"] for e in read(client, aggregate_type="availability")} == {"availability"}
    assert read(client, aggregate_id=str(uuid4())) == []
    page = client.read(FEED, {"type": "availability.rejected"}).json()
    assert page["results"] == []
    assert read(client, page["next"].replace("availability.rejected", "availability.approved")) == []


def test_a_forged_cursor_is_refused(deal, client_for):
    client = client_for(deal.seller)
    cursor = client.read(FEED, {"limit": 1}).json()["next"].split("after=")[1].split("&")[0]
    others = client.read("/api/v1/availabilities", {"limit": 1}).json()["next"]
    bad = ["abc", "", cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), str(uuid4()), "x" * 4000]
    bad += [others.split("cursor=")[1].split("&")[0]] if others else []
    for after in bad:
        answer = client.read(FEED, {"after": after})
        assert status_and_code(answer) == (400, "request.invalid"), after
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/query/after"]
    for name in ("cursor", "updated_after", "ordering", "since"):
        answer = client.read(FEED, {name: "1"})
        assert status_and_code(answer) == (400, "request.unknown_field"), name


def test_reading_the_feed_needs_the_capability(world, client_for):
    assert status_and_code(client_for().read(FEED)) == (401, "account.not_authenticated")
    refused = client_for(world.user("APPLICANT", user_type="APPLICANT", partner_id=None)).read(FEED)
    assert status_and_code(refused) == (403, "capability.missing")
    assert refused.json()["capability"] == "integration.read_events"


def test_a_page_costs_the_same_queries_for_one_event_and_for_many(deal, client_for, world):
    client = client_for(deal.seller)
    client.read(FEED)
    costs = []
    for limit in (1, 200):
        for _ in range(limit // 40):
            world.offer(seller=deal.seller)
        consume()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.read(FEED, {"limit": limit}).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]


def age(**condition: Any) -> int:
    """Make entries older than their retention."""
    old = timezone.now() - timedelta(days=configured.FEED_RETENTION_DAYS, seconds=1)
    with unguarded_writes():
        return int(FeedEntry.objects.filter(**condition).update(recorded_at=old))


def test_an_old_cursor_has_expired(deal, client_for, monkeypatch):
    monkeypatch.setattr(services, "PURGE_ROWS", 2)
    client = client_for(deal.seller)
    pages = [client.read(FEED, {"limit": 1}).json()]
    while pages[-1]["results"]:
        pages.append(client.read(pages[-1]["next"]).json())
    total = FeedEntry.objects.count()
    third = FeedEntry.objects.order_by("position")[2].position
    assert age(position__lte=third) == 3
    assert tasks.purge_feed() == 3
    assert FeedEntry.objects.count() == total - 3
    assert status_and_code(client.read(pages[0]["next"])) == (410, "integration.cursor_expired")
    assert client.read(pages[-1]["next"]).json()["results"] == []
    assert client.read(FEED).status_code == 200


def test_the_cursor_of_a_quiet_feed_remains_valid(deal, client_for):
    client = client_for(deal.seller)
    latest = client.read(FEED, {"after": "latest"}).json()
    one = client.read(FEED, {"type": "availability.created"}).json()  # what it found is older than the end
    assert len(one["results"]) == 1
    age()
    assert tasks.purge_feed() > 0
    assert FeedEntry.objects.count() == 1
    for page in (latest, one):
        assert client.read(page["next"]).json()["results"] == []
    assert tasks.purge_feed() == 0


def test_the_cursor_of_an_empty_feed_expires_like_an_event(world, client_for, settings):
    client = client_for(world.user("BUYER"))
    assert not FeedEntry.objects.exists()
    assert tasks.purge_feed() == 0
    page = client.read(FEED).json()
    assert page["results"] == []
    cursor = page["next"]
    world.offer()
    consume()
    assert "availability.approved" in of_offers(client.read(cursor).json()["results"])
    settings.FEED_RETENTION_DAYS = -1
    assert status_and_code(client.read(cursor)) == (410, "integration.cursor_expired")


def test_a_cursor_whose_event_was_lost_in_a_restore_has_expired(deal, client_for):
    client = client_for(deal.seller)
    cursor = client.read(FEED, {"after": "latest"}).json()["next"]
    with unguarded_writes():
        FeedEntry.objects.filter(position=FeedEntry.objects.newest().position).delete()
    assert status_and_code(client.read(cursor)) == (410, "integration.cursor_expired")
    with unguarded_writes():
        FeedEntry.objects.all().delete()
    assert status_and_code(client.read(cursor)) == (410, "integration.cursor_expired")
    assert client.read(FEED).json()["results"] == []


@transactional
@pytest.mark.usefixtures("pubsub")
@pytest.mark.slow
def test_the_parties_of_a_deal_read_its_events_in_their_feeds(world, client_for):
    seller, buyer, third = (client_for(world.user(role)) for role in ("SELLER", "BUYER", "TRADER"))
    manager = client_for(world.user("INTERNAL_MANAGER"))
    commodity = world.commodity()
    subscription = configured.PUBSUB_SUBSCRIPTION

    def settle() -> None:
        assert drain().failed == 0
        assert Consumer(subscription, idle=1.0).run().failed == 0

    settle()
    cursors = [c.read(FEED, {"after": "latest"}).json()["next"] for c in (seller, buyer, third)]
    offer = seller.write(
        "/api/v1/availabilities",
        {
            "commodity_id": str(commodity.pk),
            "total_quantity": "100",
            "unit": "BALE",
            "total_weight_kg": "17000.000",
            "place": {"address": "Station Road, Gondal", "country": "IN", "state_code": "GJ"},
            "unit_price": "53500",
            "pricing_unit_id": str(factories.per_candy().pk),
            **{f"{name}_id": str(row.pk) for name, row in factories.terms().items()},
            "available_from_date": "2026-01-12",
            "available_until_date": str(clock.today() + timedelta(days=30)),
        },
    ).json()
    url = f"/api/v1/availabilities/{offer['id']}"
    assert seller.write(f"{url}/submit", {}).status_code == 200
    settle()
    assert [read(c, cursor) for c, cursor in zip((buyer, third), cursors[1:], strict=True)] == [[], []]
    version = manager.read(url).json()["version"]
    assert manager.write(f"{url}/approve", {"note": "Seen."}, if_match=version).status_code == 200
    assert buyer.write(f"{url}/reserve", {"quantity": "60"}).status_code == 201
    settle()
    settle()
    feeds = [read(c, cursor) for c, cursor in zip((seller, buyer, third), cursors, strict=True)]
    assert [of_offers(feed) for feed in feeds] == [
        [f"availability.{verb}" for verb in ("created", "submitted", "approved", "reserved")],
        ["availability.approved", "availability.reserved"],
        ["availability.approved"],
    ]
    assert len({e["id"] for feed in feeds for e in feed}) == 4
    assert feeds[0][-1]["data"]["remaining"] == {"value": "40.000", "unit": "BALE"}
    assert feeds[0][-1]["data"]["reservation_id"] is None
