"""What others see of a requirement: never what the buyer would pay, and never who it is before a trade."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.availability.models import Stage
from apps.integrations.tests.examples import consume
from apps.partners.models import Partner, PartnerLocation, PartyLink
from apps.requirement import capabilities, lookups
from apps.requirement.models import DemandCell, Requirement
from apps.requirement.serializers import RequirementOutput
from apps.requirement.services import decisions, ledger, requirements, rules, statistics
from apps.requirement.tests.factories import band, candy, content, cotton
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
URL = "/api/v1/requirements"
SECRETS = {
    "ceiling_price": Decimal("54321.5"), "target_price": Decimal("51234.5"), "total_budget": Decimal("98765432.10"),
    "min_quantity": Decimal(61), "preferred_quantity": Decimal(97), "max_quantity": Decimal(173),
    "urgency": "URGENT", "intent": "NEGOTIATION", "internal_reference": "PO-7781",
    "notes": "The old mill stands still.", "tags": ["monsoon"],
}  # fmt: skip
WORDS = (
    "54321",
    "51234",
    "98765432",
    "173",
    "URGENT",
    "NEGOTIATION",
    "PO-7781",
    "mill stands",
    "monsoon",
    "29.5",
)


def told(data, words=WORDS):
    """Secrets in what was answered; ids and times hold such figures by chance."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+", "", json.dumps(data))
    return [word for word in words if word in text]


@pytest.fixture
def seller(user):
    return user("SELLER")


@pytest.fixture
def public(requirement):
    return requirement(visibility="PUBLIC", **SECRETS)


def shown(client, row):
    return client.read(f"{URL}/{row.pk}")


def named(data):
    return {name for name, value in data.items() if value not in (None, [], {})}


def test_a_browsing_seller_sees_what_is_wanted_and_nothing_else(public, seller, client_for):
    answer = shown(client_for(seller), public)
    data = answer.json()
    assert named(data) <= RequirementOutput.FROM_BROWSE
    assert (data["quantity_band"], data["destination_state_code"], data["is_live"]) == ("100–200", "33", True)
    assert data["bands"][0].items() >= {"parameter": "micronaire", "min": "3.7000", "max": "4.5000"}.items()
    assert {band["preferred"] for band in data["bands"]} == {None}
    assert told(data) == []
    assert str(public.buyer_partner_id) not in json.dumps(data)
    assert answer.headers["ETag"] != f'"{public.version}"'
    others = client_for(seller).read(URL).json()["results"]
    assert [row["id"] for row in others] == [str(public.pk)]
    assert told(others) == []


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        (Stage.NEGOTIATING, {"destination_district", "buyer_risk_category", "buyer_verified"}),
        (
            Stage.TRADE,
            {
                "destination_district",
                "buyer_risk_category",
                "buyer_verified",
                "number",
                "buyer_partner_id",
                "places",
            },
        ),
    ],
)
def test_each_stage_shows_its_fields_and_ends_with_its_source(requirement, seller, client_for, stage, more):
    row, source = requirement(**SECRETS), uuid4()
    client = client_for(seller)
    assert shown(client, row).status_code == 404  # matched only
    partner = Partner.objects.get(pk=seller.partner_id)
    for _ in range(2):
        decisions.disclose(
            row, actor=SYSTEM, partner=partner, stage=stage, source_type="negotiation", source_id=source
        )
    data = shown(client, row).json()
    assert named(data) <= RequirementOutput.FROM_BROWSE | more
    assert named(data) >= (more - {"destination_district", "buyer_risk_category"})
    assert told(data) == []
    decisions.conceal(row, actor=SYSTEM, source_type="negotiation", source_id=source)
    assert shown(client, row).status_code == 404


def test_a_district_shows_only_where_it_names_no_buyer(requirement, seller, client_for, user):
    row = requirement()
    with unguarded_writes():
        Requirement.objects.filter(pk=row.pk).update(district="Coimbatore")
    partner = Partner.objects.get(pk=seller.partner_id)
    decisions.disclose(
        row, actor=SYSTEM, partner=partner, stage=Stage.NEGOTIATING, source_type="negotiation",
        source_id=uuid4(),
    )  # fmt: skip
    assert shown(client_for(seller), row).json()["destination_district"] is None
    with unguarded_writes():
        for _ in range(3):
            PartnerLocation(
                partner_id=user("BUYER").partner_id, code="A", name="Mill", kind="factory", line1="Mill Road",
                city="Coimbatore", district="coimbatore", state_code="33", postal_code="641018",
            ).save()  # fmt: skip
    assert shown(client_for(seller), row).json()["destination_district"] == "Coimbatore"


def test_restricted_rows_are_404_for_the_uninvited_and_their_parts_too(requirement, user, client_for):
    invited, other = user("SELLER"), user("SELLER")
    row = requirement(visibility="RESTRICTED", invited_partners=[Partner.objects.get(pk=invited.partner_id)])
    ledger.commit(row, actor=SYSTEM, trade_id=uuid4(), quantity=Decimal(10))
    assert shown(client_for(invited), row).status_code == 200
    for path in ("", "/fulfilments", "/suggestions", "/history"):
        assert client_for(other).read(f"{URL}/{row.pk}{path}").status_code == 404, path
    assert client_for(other).read(URL).json()["results"] == []
    for path in ("fulfilments", "suggestions"):
        assert client_for(invited).read(f"{URL}/{row.pk}/{path}").json()["results"] == []
    assert client_for(invited).read(f"{URL}/{row.pk}/history").status_code == 404
    owner = client_for(User.objects.get(pk=row.created_by_id))
    actions = [line["action"] for line in owner.read(f"{URL}/{row.pk}/history").json()["results"]]
    assert actions == ["requirement.commit", "requirement.create"]
    assert len(owner.read(f"{URL}/{row.pk}/fulfilments").json()["results"]) == 1


def test_a_buyer_does_not_browse_and_an_internal_one_is_for_staff(requirement, user, client_for, seller):
    row, internal = requirement(visibility="PUBLIC"), requirement(visibility="INTERNAL")
    assert shown(client_for(user("BUYER")), row).status_code == 404
    assert shown(client_for(user("TRADER")), row).status_code == 200
    assert shown(client_for(user("BROKER")), row).status_code == 200
    assert shown(client_for(seller), internal).status_code == 404
    staff = shown(client_for(user("INTERNAL")), internal).json()
    assert (staff["ceiling_price"], staff["status"]) == ("54000.000000", "ACTIVE")


@pytest.mark.parametrize(
    "query",
    ["ceiling_price=1", "ordering=ceiling_price", "urgency=URGENT", "number=REQ", "internal_reference=PO", "tag=x",
     "intent=DIRECT_BUY", "max_quantity=1", "ordering=live_since", "ordering=created_at,-live_since",
     "status=FULFILLED", "status__in=ACTIVE,FULFILLED"],
)  # fmt: skip
def test_no_filter_or_order_finds_a_masked_value(public, seller, user, client_for, query):
    assert client_for(seller).read(f"{URL}?{query}").status_code == 400
    if query.split("=")[0] not in ("ceiling_price", "max_quantity") and query != "ordering=ceiling_price":
        owner = User.objects.get(pk=public.created_by_id)
        assert client_for(owner).read(f"{URL}?scope=own&{query}").status_code == 200
        assert client_for(user("INTERNAL")).read(f"{URL}?{query}").status_code == 200


def test_scopes_and_filters_of_the_list(public, requirement, user, client_for):
    trader = user("TRADER")
    own = requirement(buyer=trader, visibility="PUBLIC")
    client = client_for(trader)

    def ids(query):
        return {row["id"] for row in client.read(f"{URL}?{query}").json()["results"]}

    assert ids("scope=own") == {str(own.pk)}
    assert ids("scope=market") == {str(public.pk)}
    assert ids("") == {str(own.pk), str(public.pk)}
    assert ids(f"commodity_id={public.commodity_id}") == {str(public.pk)}
    assert ids("state_code=33&scope=own&urgency=NORMAL") == {str(own.pk)}
    assert ids(f"variety_id={uuid4()}") == {str(own.pk), str(public.pk)}  # any variety


def test_neither_status_nor_order_tells_who_has_bought_or_would_pay_more(requirement, seller, client_for):
    first, second = requirement(visibility="PUBLIC"), requirement(visibility="PUBLIC")
    with unguarded_writes():
        Requirement.objects.filter(pk=first.pk).update(published_at=clock.now() - timedelta(days=1))
    ledger.fulfill(
        first, actor=SYSTEM, quantity=Decimal(40), amount=Decimal(1), currency="INR", reason="By telephone."
    )
    requirements.update(
        Requirement.objects.get(pk=first.pk), actor=User.objects.get(pk=first.created_by_id),
        content=content(visibility="PUBLIC", ceiling_price=Decimal(55_000)),
    )  # fmt: skip

    def ids(query, user=seller):
        return [row["id"] for row in client_for(user).read(f"{URL}?{query}").json()["results"]]

    both = [str(first.pk), str(second.pk)]
    for query in ("status=ACTIVE", "status=PARTIALLY_FULFILLED", "status__in=ACTIVE,PARTIALLY_FULFILLED"):
        assert ids(f"{query}&ordering=published_at") == both, query
    with unguarded_writes():
        Requirement.objects.update(published_at=clock.now())
    same_day = sorted(both, reverse=True)  # not the later one first: that would tell which were made together
    assert (ids("ordering=-published_at"), ids(""), ids("ordering=-created_at")) == (same_day,) * 3
    owner = User.objects.get(pk=first.created_by_id)
    assert ids("scope=own&status=ACTIVE", owner) == []
    assert ids("scope=own&status=PARTIALLY_FULFILLED", owner) == both[:1]


def test_events_and_feed_tell_sellers_nothing(public, seller, emitted, client_for):
    ledger.commit(public, actor=SYSTEM, trade_id=uuid4(), quantity=Decimal(10))
    for event in emitted():
        if event.event_type.startswith("requirement."):
            assert told(event.payload, ["54321", "51234", "98765432"]) == []
    consume()
    rows = client_for(seller).read("/api/v1/events").json()["results"]
    assert [row for row in rows if row["type"].startswith("requirement.")] == []
    owner = User.objects.get(pk=public.created_by_id)
    types = {row["type"] for row in client_for(owner).read("/api/v1/events").json()["results"]}
    assert types >= {"requirement.created", "requirement.fulfillment_updated"}


# Searches of staff


@pytest.fixture
def staff(user):
    return user("INTERNAL")


def found(staff, **query):
    return [row.pk for row in lookups.search(actor=staff, **query).results]


def test_a_search_finds_by_quality_ceiling_quantity_day_and_distance(requirement, commodity, staff):
    goods = cotton(commodity)
    near = requirement(goods=goods)
    far = requirement(
        goods=goods, ceiling_price=Decimal(56_000), max_quantity=Decimal(40), urgency="URGENT",
        bands=[band("micronaire", maximum=3.9)],
        places=[{"latitude": Decimal("21.96"), "longitude": Decimal("70.79"), "state_code": "GJ"}],
        delivery_from_date=clock.today() + timedelta(days=60), delivery_until_date=clock.today() + timedelta(days=70),
    )  # fmt: skip
    requirement()
    quality = [{"parameter": "micronaire", "value": Decimal("4.2")}]
    here = {"latitude": Decimal("11.01"), "longitude": Decimal("76.95"), "radius_km": 2000}
    assert found(staff, commodity=goods) == [far.pk, near.pk]
    assert found(staff, commodity=goods, quality=quality) == [near.pk]
    assert found(staff, commodity=goods, ceiling={"min": Decimal(55_000), "pricing_unit": candy()}) == [
        far.pk
    ]
    assert found(staff, commodity=goods, ceiling={"max": Decimal(54_000), "pricing_unit": candy()}) == [
        near.pk
    ]
    assert found(staff, commodity=goods, sort="ceiling") == [far.pk, near.pk]
    assert found(staff, commodity=goods, open_quantity_min=Decimal(41)) == [near.pk]
    assert found(staff, commodity=goods, open_quantity_min=Decimal(6_801), unit="KG") == [near.pk]
    assert found(staff, commodity=goods, delivery_on_date=clock.today() + timedelta(days=17)) == [near.pk]
    assert found(staff, commodity=goods, delivery_on_date=clock.today() + timedelta(days=18)) == []
    assert found(staff, commodity=goods, delivery_on_date=clock.today() + timedelta(days=77)) == [far.pk]
    assert found(staff, commodity=goods, near=here, sort="distance") == [near.pk, far.pk]
    assert found(staff, commodity=goods, near={**here, "radius_km": 100}) == [near.pk]
    assert found(staff, commodity=goods, urgencies=["URGENT"], state_codes=["24"]) == [far.pk]
    page = lookups.search(actor=staff, commodity=goods, near=here, sort="distance", limit=1)
    assert [row.pk for row in page.results] == [near.pk]
    after = lookups.search(
        actor=staff, commodity=goods, near=here, sort="distance", limit=1, cursor=page.next
    )
    assert [row.pk for row in after.results] == [far.pk]


def test_a_search_costs_the_same_queries_for_one_row_and_for_many(requirement, commodity, staff, client_for):
    goods, client = cotton(commodity), client_for(staff)

    def cost():
        with CaptureQueriesContext(connection) as queries:
            answer = client.write(f"{URL}/search", {"commodity_id": str(goods.pk)})
        return len(answer.json()["results"]), len(queries)

    requirement(goods=goods)
    cost()
    (one, few), _ = cost(), [requirement(goods=goods) for _ in range(3)]
    assert (one, cost()) == (1, (4, few))


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"sort": "distance"}, "/sort"),
        ({"quality": [{"parameter": "denier", "value": Decimal(1)}]}, "/quality/0/parameter"),
        ({"unit": "KG"}, "/unit"),
        ({"ceiling": {"min": Decimal(2), "max": Decimal(1)}}, "/ceiling/min"),
    ],
)
def test_a_search_that_contradicts_itself_is_refused(requirement, staff, query, pointer):
    row = requirement()
    if "ceiling" in query:
        query["ceiling"]["pricing_unit"] = candy()
    with pytest.raises(rules.SearchInvalid) as error:
        lookups.search(actor=staff, commodity=row.commodity, **query)
    assert error.value.errors[0].pointer == pointer


def test_by_intent_urgent_ones_come_first_with_totals(requirement, staff, commodity, client_for, user):
    goods = cotton(commodity)
    normal = requirement(goods=goods)
    urgent = requirement(goods=goods, urgency="URGENT", max_quantity=Decimal(30))
    requirement(goods=goods, intent="NEGOTIATION")
    body = {"intent": "DIRECT_BUY", "commodity_id": str(goods.pk)}
    answer = client_for(staff).write(f"{URL}/search/by-intent", body).json()
    assert [row["id"] for row in answer["results"]] == [str(urgent.pk), str(normal.pk)]
    assert [(line["urgency"], line["open_quantity"]) for line in answer["totals"]] == [
        ("NORMAL", "100.000"),
        ("URGENT", "30.000"),
    ]
    assert client_for(user("BUYER")).write(f"{URL}/search/by-intent", body).status_code == 403


# Statistics


@pytest.fixture
def wants(requirement, commodity, user):
    """Requirements of one cell: a number of buyers with the same quantity, or named quantities."""
    goods = cotton(commodity)
    return goods, lambda *quantities: [
        requirement(goods=goods, max_quantity=Decimal(quantity)) for quantity in quantities
    ]


def cells():
    statistics.compute_demand(actor=SYSTEM)
    return list(DemandCell.objects.all())


def test_a_cell_needs_five_buyers_and_none_with_more_than_half(wants):
    _, make = wants
    make(100, 100, 100, 100)
    assert cells() == []
    (fifth,) = make(401)
    with unguarded_writes():  # it is worth more than a crore
        Requirement.objects.filter(pk=fifth.pk).update(status="ACTIVE")
    assert cells() == []  # one has more than half
    with unguarded_writes():
        Requirement.objects.filter(pk=fifth.pk).update(
            min_quantity=400, preferred_quantity=400, max_quantity=400, status="ACTIVE"
        )
    (cell,) = cells()
    assert (cell.buyers, cell.open_kg, cell.state_code) == (5, 800 * 170, "33")
    assert cell.bands["micronaire"] == {"minimum": "3.7", "maximum": "4.5"}
    assert told(cell.bands, ["54000"]) == []
    assert cells()[0].pk != cell.pk  # computed anew, the same


def test_related_buyers_are_one_and_each_counts_once_for_a_bound(wants, requirement):
    goods, make = wants
    rows = make(10, 10, 10, 10, 10)
    one, other = sorted((rows[0].buyer_partner_id, rows[1].buyer_partner_id))
    for shared in ("phone", "pan"):
        with unguarded_writes():
            link = PartyLink(low_id=one, high_id=other, kind=shared, strength="warn")
            link.save()
        assert cells() == [], shared
        with unguarded_writes():
            PartyLink.objects.filter(pk=link.pk).delete()
    with unguarded_writes():
        Partner.objects.filter(pk=one).update(parent=other)
    assert cells() == []
    with unguarded_writes():
        Partner.objects.filter(pk=one).update(parent=None)
    for _ in range(6):  # one buyer asks for the same again, with another bound
        requirement(
            goods=goods, buyer=User.objects.get(pk=rows[0].created_by_id), max_quantity=Decimal(1),
            bands=[band("micronaire", 2.1, 2.2), band("strength", 20)],
        )  # fmt: skip
    (cell,) = cells()
    assert cell.bands["micronaire"] == {"minimum": "3.7", "maximum": "4.5"}
    assert "strength" not in cell.bands


def test_a_bound_of_which_one_buyer_has_more_than_half_is_left_out(wants, requirement):
    goods, make = wants
    make(50, 50, 50)
    for quantity in (40, 5, 5, 5, 5):
        requirement(goods=goods, max_quantity=Decimal(quantity), bands=[band("strength", 20)])
    (cell,) = cells()
    assert cell.buyers == 8
    assert "strength" not in cell.bands


def test_no_two_queries_differ_by_a_cell_that_is_left_out(wants, requirement, user, client_for):
    goods, make = wants
    make(10, 10, 10, 10, 10)
    requirement(goods=goods, crop_years=["2025-26"], max_quantity=Decimal(999))
    statistics.compute_demand(actor=SYSTEM)
    client = client_for(user("SELLER"))
    path = f"{URL}/demand-statistics?commodity_id={goods.pk}"
    everything = client.read(path).json()["results"]
    assert [cell["open_kg"] for cell in everything] == ["5000–10000"]
    assert client.read(f"{path}&crop_year=2025-26").json()["results"] == []
    assert client.read(f"{path}&state_code=33&days=365").json()["results"] == everything
    assert client.read(f"{URL}/demand-statistics").status_code == 400
    assert client.read(f"{path}&days=0").status_code == 400
    assert told(everything, ["999"]) == []


def test_analytics_are_of_ones_own_and_for_staff_of_all(requirement, user, client_for, staff):
    buyer = user("BUYER")
    row = requirement(buyer=buyer)
    requirement()
    ledger.fulfill(
        row,
        actor=SYSTEM,
        quantity=Decimal(100),
        amount=Decimal(5),
        currency="INR",
        reason="Bought by telephone.",
    )
    own = client_for(buyer).read(f"{URL}/analytics").json()
    assert own["by_status"] == [{"value": "FULFILLED", "number": 1}]
    assert own["quantities"] == [
        {"unit": "BALE", "wanted": "100.000", "bought": "100.000", "share_filled": "100.00"}
    ]
    assert own["hours_to_first_purchase"] == 0
    everything = client_for(staff).read(f"{URL}/analytics").json()
    assert sum(line["number"] for line in everything["by_status"]) == 2
    assert client_for(user("SELLER")).read(f"{URL}/analytics").status_code == 403
    assert capabilities.VIEW_ANALYTICS.own == ("BUYER", "TRADER")


def test_a_cancelled_requirement_stays_readable_by_its_buyer(requirement, user, client_for):
    buyer = user("BUYER")
    row = requirements.cancel(requirement(buyer=buyer), actor=buyer, reason_code="PRICE")
    data = shown(client_for(buyer), row).json()
    assert (data["status"], data["allowed_actions"]) == ("CANCELLED", [])
    assert content()["max_quantity"] == 100
