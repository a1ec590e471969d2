"""Who sees what of an offer, the search of staff, figures, and uploads."""

import json
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from apps.availability import lookups
from apps.availability.models import Availability, Stage
from apps.availability.services import bulk, decisions, offers, rules, stock
from apps.availability.tests import factories
from apps.integrations.tests.examples import consume
from apps.partners.models import Partner, PartnerLocation
from apps.partners.tests.factories import ADDRESS
from config.testing import make_ready
from erp import clock
from erp.access import SYSTEM
from erp.files import CSV, Upload
from erp.jobs.models import Job
from erp.jobs.tasks import work
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
OFFERS = "/api/v1/availabilities"
LOT = {
    "lot_no": "SSG-27",
    "press_mark": "SSG",
    "pr_from": 1201,
    "pr_to": 1300,
    "bales": 100,
    "godown": "Shed 4",
}
# From which stage on another partner sees a field.
SHOWN = {
    Stage.BROWSE: ("commodity_id", "crop_year", "quantity_band", "seller_ref", "delivery_term_id", "listed_date"),
    Stage.MATCHED: ("unit_price", "price_per_kg", "seller_verified"),
    Stage.NEGOTIATING: ("available_quantity", "min_order_quantity", "price_steps", "terms_version"),
    Stage.TRADE: ("number", "seller_partner_id"),
    Stage.OWNER: (
        "version", "created_at", "updated_at", "listed_at", "internal_reference", "notes", "tags", "total_quantity",
        "reserved_quantity", "total_weight_kg", "estimated_value", "reference_price", "risk_status", "warnings",
        "status_reason", "price_public", "price_flag", "approved_terms_version",
    ),
}  # fmt: skip


@pytest.fixture
def full(offer):
    """An offer that has a value for every field."""

    def make(**fields):
        return offer(
            crop_year="2025-26", lots=[LOT], internal_reference="INT-9", notes="Ask first.", tags=["early"],
            min_order_quantity=Decimal(10), price_steps=[{"min_quantity": Decimal(50), "unit_price": Decimal(53000)}],
            place={"address": "Plot 4, Gondal", "country": "IN", "state_code": "GJ", "district": "Rajkot",
                   "latitude": Decimal("21.960000"), "longitude": Decimal("70.800000")},
            **fields,
        )  # fmt: skip

    return make


def disclose(offer, user, stage, **fields):
    return decisions.disclose(
        offer, actor=SYSTEM, partner=Partner.objects.get(pk=user.partner_id), stage=stage, source_type="match",
        source_id=uuid4(), **fields,
    )  # fmt: skip


@pytest.mark.parametrize("stage", [Stage.BROWSE, Stage.MATCHED, Stage.NEGOTIATING, Stage.TRADE])
def test_each_stage_shows_its_fields_and_no_more(full, user, client_for, stage):
    """Each stage shows its row of the table, and no more."""
    live, buyer = full(), user("BUYER")
    if stage > Stage.BROWSE:
        disclose(live, buyer, stage)
    row = client_for(buyer).read(f"{OFFERS}/{live.pk}").json()
    for needed, names in SHOWN.items():
        for name in names:
            assert (row[name] is not None) == (stage >= needed), (name, row[name])
    exact = ("address", "latitude", "longitude")
    assert all((row["place"][name] is not None) == (stage >= Stage.TRADE) for name in exact)
    assert row["place"]["state_code"] == "24"
    lots = client_for(buyer).read(f"{OFFERS}/{live.pk}/lots").json()["results"]
    assert len(lots) == (stage >= Stage.NEGOTIATING)
    for lot in lots:
        hidden = [lot[name] is None for name in ("press_mark", "pr_from", "pr_to", "godown", "lot_no")]
        assert set(hidden) == {stage < Stage.TRADE}
        assert lot["bales"] == 100


def test_the_district_shows_only_where_three_sellers_have_a_place_in_it(full, user, client_for, partner):
    live, buyer = full(), user("BUYER")
    disclose(live, buyer, Stage.MATCHED)

    def district():
        return client_for(buyer).read(f"{OFFERS}/{live.pk}").json()["place"]["district"]

    assert district() is None
    for _ in range(3):
        with unguarded_writes():
            PartnerLocation(partner=partner(), code="HQ", name="Office", kind="principal", **ADDRESS).save()
    assert district() == "Rajkot"


def test_a_public_price_is_seen_by_everybody(full, user, client_for):
    live = full(price_public=True)
    assert client_for(user("BUYER")).read(f"{OFFERS}/{live.pk}").json()["unit_price"] == "53500.000000"


def test_the_version_and_etag_of_others_move_only_with_what_they_see(full, user, client_for):
    live, client = full(), client_for(user("BUYER"))
    first = client.read(f"{OFFERS}/{live.pk}")
    with unguarded_writes():
        Availability.objects.filter(pk=live.pk).update(notes="Changed.", version=9)
    again = client.read(f"{OFFERS}/{live.pk}")
    assert (again["ETag"], again.json()["version"]) == (first["ETag"], None)


def test_ids_of_offers_do_not_tell_when_they_were_made(full, partner):
    live = full()
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(10))
    assert {row.pk.version for row in (live, held, live.lots.get())} == {4}


def test_a_restricted_offer_does_not_exist_for_the_uninvited(full, user, client_for, partner):
    """RESTRICTED is 404 to the uninvited on every path, and not in lists; the invited see it as matched."""
    guest, other = partner(), user("BUYER")
    live = full(visibility="RESTRICTED", invited_partners=[guest])
    stranger = client_for(other)
    for path in ("", "/lots", "/quality", "/test-reports", "/reservations"):
        assert stranger.read(f"{OFFERS}/{live.pk}{path}").status_code == 404
    assert stranger.write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "1"}).status_code == 404
    assert stranger.read(OFFERS).json()["results"] == []
    invited = client_for(user("BUYER", of=guest))
    assert invited.read(OFFERS).json()["results"][0]["unit_price"] == "53500.000000"
    assert invited.write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "10"}).status_code == 201


@pytest.mark.parametrize("visibility", ["MATCHED_ONLY", "INTERNAL"])
def test_nobody_browses_offers_for_matches_or_staff(full, user, client_for, visibility):
    live, buyer = full(visibility=visibility), user("BUYER")
    assert client_for(buyer).read(f"{OFFERS}/{live.pk}").status_code == 404
    disclose(live, buyer, Stage.MATCHED)
    assert client_for(buyer).read(f"{OFFERS}/{live.pk}").status_code == 200


def test_a_disclosure_ends(full, user, client_for, emitted):
    live, buyer = full(visibility="MATCHED_ONLY"), user("BUYER")
    shown = disclose(live, buyer, Stage.MATCHED)
    decisions.conceal(live, actor=SYSTEM, source_type="match", source_id=shown.source_id)
    assert client_for(buyer).read(f"{OFFERS}/{live.pk}").status_code == 404
    decisions.conceal(live, actor=SYSTEM, source_type="match", source_id=shown.source_id)
    assert len(emitted("availability.concealed")) == 1
    disclose(live, buyer, Stage.TRADE, until=clock.now() - timedelta(seconds=1))
    assert client_for(buyer).read(f"{OFFERS}/{live.pk}").status_code == 404


def test_the_seller_sees_reservations_under_pseudonyms(full, user, client_for):
    seller, buyer = user("SELLER"), user("BUYER")
    live = full(seller=seller)
    stock.reserve(live, actor=buyer, quantity=Decimal(10))
    path = f"{OFFERS}/{live.pk}/reservations"
    (row,) = client_for(seller).read(path).json()["results"]
    assert (row["quantity"], row["id"], row["holder_partner_id"], row["links"]) == ("10.000", None, None, {})
    assert len(row["holder_ref"]) == 32
    (own,) = client_for(buyer).read(path).json()["results"]
    assert own["holder_partner_id"] == str(buyer.partner_id)
    assert client_for(user("BUYER")).read(path).json()["results"] == []


def test_the_history_of_an_offer_is_for_its_seller_and_staff(full, user, client_for):
    seller, buyer = user("SELLER"), user("BUYER")
    live = full(seller=seller)
    held = stock.reserve(live, actor=buyer, quantity=Decimal(10))
    path = f"{OFFERS}/{live.pk}/history"
    assert client_for(buyer).read(path).status_code == 404
    read = client_for(seller).read(path)
    lines = read.json()["results"]
    assert [line["action"] for line in lines] == [
        "availability.reserve", "availability.approve", "availability.post",
    ]  # fmt: skip
    assert (lines[0]["by"], lines[0]["actor_id"], lines[-1]["actor_id"]) == ("partner", None, str(seller.pk))
    assert {change["type"] for change in lines[-1]["changes"]} == {"availability", "lot"}
    assert str(held.pk) not in read.content.decode()
    assert str(held.pk) in client_for(user("INTERNAL")).read(path).content.decode()


def test_events_name_partners_by_the_pseudonyms_that_the_rows_show(offer, user, client_for):
    seller, buyer = user("SELLER"), user("BUYER")
    live = offer(seller=seller)
    stock.reserve(live, actor=buyer, quantity=Decimal(10))
    consume()

    def told(person, kind):
        rows = client_for(person).read("/api/v1/events").json()["results"]
        return next(row["data"] for row in rows if row["type"] == f"availability.{kind}")

    ref = client_for(buyer).read(f"{OFFERS}/{live.pk}").json()["seller_ref"]
    (held,) = client_for(seller).read(f"{OFFERS}/{live.pk}/reservations").json()["results"]
    for kind in ("approved", "reserved"):
        assert told(buyer, kind)["seller_partner_id"] == str(UUID(hex=ref))
        assert told(seller, kind)["seller_partner_id"] == str(seller.partner_id)
    assert told(seller, "reserved")["holder_partner_id"] == str(UUID(hex=held["holder_ref"]))
    assert told(buyer, "reserved")["holder_partner_id"] == str(buyer.partner_id)
    other = told(user("BUYER"), "approved")["seller_partner_id"]
    assert other not in (str(seller.partner_id), str(UUID(hex=ref)), None)


@pytest.mark.parametrize("field", ["unit_price", "estimated_value", "listed_at__gte", "number", "tags"])
def test_no_filter_finds_a_masked_value(user, client_for, field):
    assert client_for(user("BUYER")).read(f"{OFFERS}?{field}=1").status_code == 400


def test_the_order_of_the_market_does_not_tell_which_offers_were_posted_together(offer, user, client_for):
    """The newest day first; within a day by ids, which are random. The seller and staff get the moments."""
    seller = user("SELLER")
    made = [offer(seller=seller, price_public=True) for _ in range(3)]
    old = offer(seller=seller)
    with unguarded_writes():
        Availability.objects.filter(pk=old.pk).update(listed_at=clock.now() - timedelta(days=2))

    def ids(client, query=""):
        return [row["id"] for row in client.read(f"{OFFERS}?{query}").json()["results"]]

    buyer = client_for(user("BUYER"))
    shuffled = [*sorted((str(row.pk) for row in made), reverse=True), str(old.pk)]
    for query in ("", "ordering=-created_at", "ordering=-listed_at", "ordering=-listed_at,created_at"):
        assert ids(buyer, query) == shuffled, query
    assert ids(buyer, "ordering=listed_at") == shuffled[::-1]
    newest = [str(old.pk), *(str(row.pk) for row in reversed(made))]
    assert ids(client_for(seller), "scope=own") == ids(client_for(user("INTERNAL"))) == newest


def test_the_scope_and_the_day_of_a_list(offer, user, client_for):
    """Filters by what is masked need scope=own or the capability to see all."""
    trader, today = user("TRADER"), clock.today()
    own = offer(seller=trader, internal_reference="PO-7", tags=["monsoon"])
    later = offer(available_from_date=today + timedelta(days=5))
    client = client_for(trader)

    def ids(query):
        return {row["id"] for row in client.read(f"{OFFERS}?{query}").json()["results"]}

    assert (ids("scope=own"), ids("scope=market")) == ({str(own.pk)}, {str(later.pk)})
    assert ids("scope=all") == ids("") == {str(own.pk), str(later.pk)}
    assert ids(f"available_on_date={today}") == {str(own.pk)}
    assert ids(f"available_on_date={today + timedelta(days=30)}") == {str(own.pk), str(later.pk)}
    assert client.read(f"{OFFERS}?available_on_date=12/01/2026").status_code == 400
    for query in ("internal_reference=PO-7", "tag=monsoon", f"number={own.number}"):
        assert client.read(f"{OFFERS}?{query}").status_code == 400
        assert ids(f"scope=own&{query}") == {str(own.pk)}
        assert len(client_for(user("INTERNAL")).read(f"{OFFERS}?{query}").json()["results"]) == 1


# Search and figures


def search(actor, commodity, **asked):
    return lookups.search(actor=actor, commodity=commodity, **asked)["results"]


def test_staff_search_by_price_quality_and_place(offer, commodity, user):
    goods, staff = commodity(), user("INTERNAL")
    make_ready(goods)
    near = {
        "address": "Gondal",
        "country": "IN",
        "state_code": "GJ",
        "latitude": Decimal("21.96"),
        "longitude": Decimal("70.80"),
    }
    far = {**near, "latitude": Decimal("11.02"), "longitude": Decimal("76.96"), "state_code": "TN"}

    def make(price, moisture, place):
        values = [{"parameter": "moisture", "value": moisture}]
        return offer(commodity=goods, unit_price=Decimal(price), quality=values, place=place)

    cheap, dry, distant = make(53000, "9.0", near), make(54000, "7.5", near), make(52000, "8.0", far)
    assert search(staff, goods) == [distant, dry, cheap]
    assert search(staff, goods, sort="price") == [distant, cheap, dry]
    unit = factories.per_candy()
    assert search(staff, goods, price={"min": Decimal(52500), "pricing_unit": unit}, sort="price") == [
        cheap,
        dry,
    ]
    assert search(staff, goods, price={"max": Decimal(53000), "pricing_unit": unit}, sort="price") == [
        distant,
        cheap,
    ]
    assert search(staff, goods, quality=[{"parameter": "moisture", "max": Decimal(8)}], sort="price") == [
        distant,
        dry,
    ]
    point = {"latitude": Decimal("21.9"), "longitude": Decimal("70.8"), "radius_km": Decimal(50)}
    found = search(staff, goods, near=point, sort="distance")
    assert set(found) == {cheap, dry}
    assert 6 < found[0].distance_km < 7
    for asked in (
        {"sort": "distance"},
        {"quality": [{"parameter": "mic"}]},
        {"quality": [{"parameter": "moisture", "min": Decimal(2), "max": Decimal(1)}]},
        {"price": {"min": Decimal(2), "max": Decimal(1), "pricing_unit": unit}},
    ):
        with pytest.raises(lookups.SearchInvalid):
            search(staff, goods, **asked)


def test_a_search_pages_through_all_rows_with_the_same_queries(
    offer, commodity, user, client_for, django_assert_max_num_queries
):
    goods = commodity()
    made = {str(offer(commodity=goods).pk) for _ in range(5)}
    client, seen, cursor = client_for(user("INTERNAL")), set(), None
    for _ in range(3):
        body = {"commodity_id": str(goods.pk), "limit": 2, **({"cursor": cursor} if cursor else {})}
        with django_assert_max_num_queries(20):
            page = client.write(f"{OFFERS}/search", body).json()
        seen |= {row["id"] for row in page["results"]}
        cursor = page["next"]
    assert (seen, cursor) == (made, None)
    assert (
        client_for(user("SELLER")).write(f"{OFFERS}/search", {"commodity_id": str(goods.pk)}).status_code
        == 403
    )


def test_figures_count_the_sellers_own_offers_and_for_staff_all(offer, user, partner, client_for):
    seller = user("SELLER")
    live = offer(seller=seller)
    offer()
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(40))
    stock.commit(live, actor=SYSTEM, reservation_id=held.pk, trade_id=uuid4(), unit_price=Decimal(1))
    own = client_for(seller).read(f"{OFFERS}/analytics").json()
    assert own["by_status"] == [{"status": "ACTIVE", "count": 1}]
    assert (own["by_goods"][0]["reserved_quantity"], own["traded_percent"]) == ("40.000", "100.0")
    assert client_for(user("INTERNAL")).read(f"{OFFERS}/analytics").json()["by_status"][0]["count"] == 2
    assert client_for(user("BUYER")).read(f"{OFFERS}/analytics").status_code == 403
    assert client_for(seller).read(f"{OFFERS}/analytics?from_date=2030-01-01").status_code == 400


# Upload


COLUMNS = (
    "commodity", "total_quantity", "total_weight_kg", "address", "state_code", "available_from_date",
    "available_until_date", "unit_price", "pricing_unit", "lot_1_lot_no", "lot_1_bales", "q_moisture",
)  # fmt: skip


def table(*lines):
    return Upload("offers.csv", CSV, "\n".join([",".join(COLUMNS), *lines]).encode())


@pytest.fixture
def goods(commodity):
    made = commodity()
    make_ready(made)
    factories.per_candy()
    return made


def line(goods, quantity="100", moisture="8.0", lot="L-1"):
    return f"{goods.code},{quantity},17000,Gondal,GJ,2026-01-12,2099-01-12,53500,INR/CANDY,{lot},{quantity},{moisture}"


def test_a_table_posts_one_offer_a_row_each_with_its_event(goods, user, emitted):
    seller = user("SELLER")
    job = bulk.bulk_upload(
        actor=seller, file=table(line(goods), line(goods, "x"), line(goods, moisture="8.123")), mode="partial"
    )
    work(str(job.pk))
    job = Job.objects.get(pk=job.pk)
    assert (job.accepted, job.refused) == (1, 2)
    made = Availability.objects.get(seller_partner_id=seller.partner_id)
    assert (made.total_quantity, made.lots.get().lot_no, made.quality.get().shown) == (100, "L-1", "8")
    assert len(emitted("availability.created")) == 1
    assert emitted("availability.bulk_uploaded")[-1].payload == {
        "job_id": str(job.pk),
        "accepted": 1,
        "refused": 2,
    }


def test_a_list_in_json_posts_the_same_offers_as_a_table(goods, user, client_for):
    seller = user("SELLER")
    rows = [dict(zip(COLUMNS, line(goods, quantity).split(","), strict=True)) for quantity in ("100", "50")]
    rows[1] |= {"allow_partial": False, "notes": None}

    def sent(content):
        file = Upload(
            "offers.json", CSV, content if isinstance(content, bytes) else json.dumps(content).encode()
        )
        return client_for(seller).write("/api/v1/availabilities/bulk/validate", {"file": file})

    shown = sent(rows)
    assert (shown.status_code, shown.json()["create"], shown.json()["refused"]) == (200, 2, 0), shown.content
    file = Upload("offers.json", CSV, json.dumps(rows).encode())
    work(str(bulk.bulk_upload(actor=seller, file=file).pk))
    made = Availability.objects.order_by("-total_quantity")
    assert [(row.total_quantity, row.allow_partial) for row in made] == [(100, True), (50, False)]
    bad = (
        [{**rows[0], "total_quantity": 100}], [["a"]], [1], rows[:1] * 501, [{**rows[0], "lots": [{}]}], b"[{",
        b'[{"commodity": "A", "commodity": "B"}]', [{**rows[0], "price": "1"}], [], [{**rows[0], "notes": "a\u0000b"}],
    )  # fmt: skip
    for content in bad:
        assert sent(content).status_code in (400, 422), content


def test_a_preview_keeps_nothing_and_shows_each_row(goods, user, emitted):
    seen = lookups.bulk_validate(actor=user("SELLER"), file=table(line(goods), line(goods, "x")))
    assert (seen["total"], seen["create"], seen["refused"]) == (2, 1, 1)
    assert seen["rows"][1].faults[0]["pointer"] == "/total_quantity"
    assert not Availability.objects.exists()
    assert not emitted("availability.created")
    with pytest.raises(bulk.FileHeader):
        lookups.bulk_validate(actor=user("SELLER"), file=Upload("x.csv", CSV, b"price\n1\n"))


def test_an_offer_for_invited_buyers_names_them_and_no_other_does(offer, partner, user):
    seller = user("SELLER")
    live = offer(seller=seller)
    with pytest.raises(rules.VisibilityInvalid):
        offers.set_visibility(live, actor=seller, visibility="RESTRICTED")
    with pytest.raises(rules.VisibilityInvalid):
        offers.set_visibility(live, actor=seller, visibility="PUBLIC", invited_partners=[partner()])
    row = offers.set_visibility(live, actor=seller, visibility="RESTRICTED", invited_partners=[partner()])
    assert (row.status, row.terms_version, row.version) == ("ACTIVE", live.terms_version, live.version + 1)
    same = offers.set_visibility(
        row,
        actor=seller,
        visibility="RESTRICTED",
        invited_partners=[i.partner for i in row.invitations.all()],
    )
    assert same.version == row.version
