"""What each part in a trade shows over HTTP (§8.18), what events hold (§8.19), and races (§8.3–8.5)."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.approvals.services import AlreadyDecided
from apps.matching.models import Match
from apps.trades.models import Trade
from apps.trades.services import approval, rules
from apps.trades.tests.deals import Deals
from apps.trades.tests.stored import Exchange

TRADES = "/api/v1/trades"


@pytest.fixture
def deals(world):
    return Deals(world)


def test_each_part_in_a_trade_shows_its_fields_and_no_filter_tells_more(deals, client_for, emitted):
    """§8.18, §8.19."""
    trade = deals.approved()
    deals.weighed(trade)
    sent = deals.dispatched(trade)
    address = f"{TRADES}/{trade.pk}"
    sellers, buyers = client_for(deals.sellers), client_for(deals.buyers)
    brokers = client_for(deals.world.user("BROKER", of=deals.broker))
    carriers = client_for(deals.world.user("SERVICE_PROVIDER", of=deals.transporter))
    stranger = client_for(deals.world.user("SELLER"))
    own = {
        name: client.read(address).json()
        for name, client in (
            ("SELLER", sellers),
            ("BUYER", buyers),
            ("BROKER", brokers),
            ("CARRIER", carriers),
        )
    }
    figures = ("number", "price", "contract_value", "quantity", "seller_name", "buyer_name", "contract_hash")
    assert all(own["SELLER"][name] == own["BUYER"][name] for name in figures)
    assert own["SELLER"]["requirement_id"] is None  # which of the buyer's it serves stays his
    assert own["BUYER"]["requirement_id"] == str(trade.requirement_id)
    assert own["BROKER"]["contract_value"] == "2557505.20"
    assert own["CARRIER"]["from_location_id"] == str(deals.place.pk)
    for role, hidden in (
        (
            "BROKER",
            ("seller_name", "buyer_id", "contract_hash", "reservation_id", "match_id", "from_location_id"),
        ),
        ("CARRIER", ("seller_name", "buyer_id", "price", "contract_value", "trade_date", "approved_at")),
    ):
        assert {name: own[role][name] for name in hidden} == dict.fromkeys(hidden), role
        assert own[role]["my_roles"] == ["BROKER_SELLER" if role == "BROKER" else "TRANSPORTER"]
    assert stranger.read(address).status_code == 404
    for client in (brokers, carriers):
        for query in (
            {"seller_id": str(trade.seller_id)}, {"buyer_id": str(trade.buyer_id)}, {"contract_value__gte": "1"},
            {"match_id": str(trade.match_id)}, {"requirement_id": str(trade.requirement_id)},
            {"trade_date__gte": "2020-01-01"}, {"deadline_due": "2099-01-01"},
        ):  # fmt: skip
            assert client.read(f"{TRADES}?{urlencode(query)}").json()["results"] == [], query
        assert client.read(f"{TRADES}?ordering=contract_value").status_code == 400
        assert len(client.read(TRADES).json()["results"]) == 1
        for part in (
            "terms",
            "payments",
            "amendments",
            "disputes",
            "acknowledgements",
            "approvals",
            "weighments",
        ):
            assert client.read(f"{address}/{part}").json()["results"] == [], part
        assert [row["partner_id"] for row in client.read(f"{address}/parties").json()["results"]] == [
            str((deals.broker if client is brokers else deals.transporter).pk)
        ]
    assert brokers.read(f"{address}/dispatches").json()["results"] == []
    (carried,) = carriers.read(f"{address}/dispatches").json()["results"]
    assert (carried["id"], carried["invoice_number"], carried["consignment_value"]) == (
        str(sent.pk),
        None,
        None,
    )
    assert sellers.read(f"{TRADES}?requirement_id={trade.requirement_id}").json()["results"] == []
    for name in ("created", "acknowledged", "approved", "weighed", "dispatched"):
        for row in emitted(f"trade.{name}"):
            text = str(row.payload)
            for secret in ("Somnath", "Kovai", "GJ03BT4321", sent.invoice_number):
                assert secret not in text, (name, secret)
            assert not re.search(r"\d{2}[A-Z]{5}\d{4}[A-Z]\dZ", text), name


@pytest.mark.parametrize("role", ["SELLER", "BUYER", "BROKER", "SERVICE_PROVIDER"])
def test_a_page_takes_as_many_statements_for_more_trades(world, client_for, role):
    """§8.26."""
    exchange = Exchange(world)
    firm = getattr(exchange, {"SERVICE_PROVIDER": "transporter"}.get(role, role.lower()))
    client = client_for(world.user(role, of=firm))
    counts = []
    for number in (1, 4):
        for _ in range(number - len(counts)):
            exchange.trade()
        client.read(TRADES)
        with CaptureQueriesContext(connection) as captured:
            assert len(client.read(TRADES).json()["results"]) == number
        counts.append(len(captured))
    assert counts[0] == counts[1]


def _race(step, number):
    def run(n):
        try:
            return step(n)
        except Exception as problem:
            return type(problem).__name__
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_of_many_at_once_one_trade_is_made_approved_and_numbered(deals):
    """§8.3 one trade of a match, §8.4 consecutive numbers, §8.5 two approve at once: APPROVED once, sold once."""
    match = deals.matched()
    made = _race(lambda n: deals.created(match).number, 12)
    assert sorted(made) == ["AlreadyCreated"] * 11 + ["TRD-2627-000001"]
    others = [deals.matched(10) for _ in range(6)]
    numbers = _race(lambda n: deals.created(others[n]).number, 6)
    assert sorted(numbers) == [f"TRD-2627-{n:06d}" for n in range(2, 8)]

    trade = deals.acknowledged(Trade.objects.get(match=match))
    approval.approve(trade, actor=deals.managers[0])
    again = _race(lambda n: approval.approve(trade, actor=deals.managers[1 + n % 2]).status, 6)
    assert again.count("APPROVED") == 1
    assert set(again) <= {"APPROVED", rules.InvalidState.__name__, AlreadyDecided.__name__}
    trade = Trade.objects.get(pk=trade.pk)
    assert (trade.approvals.count(), trade.availability.sold_quantity) == (2, 100)
    assert Match.objects.filter(status="CONVERTED").count() == 7
