"""Commissions: one row per scope, side and day; the most specific wins; exact, and rounded once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from uuid import uuid4

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from apps.commodities.commissions import amount_of, commission_for
from apps.commodities.events import commissions as events
from apps.commodities.models.commissions import Commission
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import Unit
from apps.commodities.services import commissions, rules, units
from apps.commodities.tests.examples_tax import SLABS
from apps.commodities.tests.examples_terms import row as terms
from erp.access import SYSTEM
from erp.models import unguarded_writes

PATH = "/api/v1/commissions"
VALUE = Decimal("2479684.66")
FROM = date(2026, 4, 1)


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_FINANCE"))


def percent(**fields):
    values = {"name": "Brokerage", "side": "SELLER", "basis": "PERCENT", "percent": Decimal("0.25")}
    return commissions.create_commission(actor=SYSTEM, **{**values, "valid_from": FROM, **fields})


def slabs(mode, by="VALUE", rows=SLABS["slabs"], **fields):
    return Commission(name="Slabs", basis="SLABS", slab_by=by, slab_mode=mode, slabs=rows, **fields)


@pytest.mark.parametrize(
    ("commission", "due"),
    [
        (Commission(basis="PERCENT", percent=Decimal("0.25")), "6199.21"),
        (slabs("WHOLE"), "6199.21"),
        (slabs("MARGINAL"), "8699.21"),
        (Commission(basis="FIXED", amount=Decimal("150000.00")), "150000.00"),
        (Commission(basis="PERCENT", percent=Decimal("0.125")), "3099.61"),
        (Commission(basis="PERCENT", percent=Decimal("0.25"), max_amount=Decimal(6000)), "6000.00"),
        (Commission(basis="PERCENT", percent=Decimal("0.25"), min_amount=Decimal("7000.5")), "7000.50"),
    ],
)
def test_the_amount_is_exact_and_rounded_once(commission, due):
    assert str(amount_of(commission, value=VALUE)) == due


def test_a_half_goes_up_and_a_bound_belongs_to_the_upper_slab():
    assert amount_of(Commission(basis="PERCENT", percent=Decimal(1)), value=Decimal("0.50")) == Decimal(
        "0.01"
    )
    assert amount_of(slabs("WHOLE"), value=Decimal(1000000)) == Decimal("2500.00")
    assert amount_of(slabs("WHOLE"), value=Decimal("999999.99")) == Decimal("5000.00")
    assert amount_of(slabs("MARGINAL"), value=Decimal(1000000)) == Decimal("5000.00")
    assert amount_of(slabs("MARGINAL"), value=Decimal(0)) == Decimal("0.00")


def test_slabs_of_quantity_share_the_value_by_weight_and_an_amount_is_due_once():
    rows = [
        {"from": "0", "to": "10000", "percent": "1", "amount": None},
        {"from": "10000", "to": None, "percent": None, "amount": "250"},
    ]
    for mode, due in (("WHOLE", "250.00"), ("MARGINAL", "500.25")):
        commission = slabs(mode, "QUANTITY", rows)
        amount = amount_of(commission, value=Decimal("100100.00"), quantity_kg=Decimal(40000))
        assert str(amount) == due, mode
    with pytest.raises(ValueError, match="quantity"):
        amount_of(slabs("WHOLE", "QUANTITY", rows), value=VALUE)


def test_an_amount_per_price_unit_takes_the_exact_number_of_them():
    per_candy = Commission(basis="PER_PRICE_UNIT", amount=Decimal("100.00"))
    assert amount_of(per_candy, value=VALUE, price_units=Fraction(17000) / Fraction(35562, 100)) == Decimal(
        "4780.38"
    )


@pytest.mark.django_db
def test_of_eight_rows_the_most_specific_wins_and_as_each_ends_the_next(commodity):
    goods, trade, partner = commodity(), terms("trade-types"), uuid4()
    deal = {
        "side": "SELLER",
        "commodity_id": goods.pk,
        "trade_type_id": trade.pk,
        "partner_id": partner,
        "value": VALUE,
    }
    rows = {}
    for with_partner, with_goods, with_trade in product((0, 1), repeat=3):
        weight = 4 * with_partner + 2 * with_goods + with_trade
        rows[weight] = percent(
            name=f"Weight {weight}",
            partner_id=partner if with_partner else None,
            commodity=goods if with_goods else None,
            trade_type=trade if with_trade else None,
            valid_to=FROM + timedelta(days=10 * (8 - weight)),
        )
    assert {weight: row.specificity for weight, row in rows.items()} == {n: n for n in range(8)}
    for weight in range(7, -1, -1):
        last = FROM + timedelta(days=10 * (8 - weight))
        assert commission_for(**deal, on_date=last).commission_id == rows[weight].pk
    none = commission_for(**deal, on_date=FROM + timedelta(days=81))
    assert (none.amount, none.commission_id) == (Decimal("0.00"), None)
    assert commission_for(**{**deal, "side": "BUYER"}, on_date=FROM).commission_id is None
    stranger = {**deal, "partner_id": uuid4(), "commodity_id": commodity().pk, "trade_type_id": None}
    assert commission_for(**stranger, on_date=FROM).commission_id == rows[0].pk


@pytest.mark.django_db
def test_a_deal_in_another_currency_is_refused(commodity):
    percent()
    with pytest.raises(ValueError, match="INR"):
        commission_for(side="SELLER", on_date=FROM, commodity_id=commodity().pk, value=VALUE, currency="USD")


@pytest.mark.django_db
def test_a_commission_has_its_own_stream_which_partners_cannot_read(
    staff, commodity, assert_emitted, deliver
):
    made = staff.write(PATH, {**SLABS, "commodity_id": str(commodity().pk)})
    created = made.json()
    assert made.status_code == 201, made.content
    assert created["slabs"][1] == {"from": "1000000.000", "to": None, "percent": "0.2500", "amount": None}
    event = assert_emitted(events.CommissionSet, commission_id=created["id"], change="created", side="SELLER")
    assert (event.aggregate_type, str(event.aggregate_id)) == ("commission", created["id"])
    same = staff.write(made["Location"], SLABS, method="PUT", if_match=1)
    assert (same.status_code, same["ETag"]) == (200, '"1"'), same.content
    body = {**SLABS, "basis": "FIXED", "slabs": [], "slab_by": None, "slab_mode": None, "amount": "150000.00"}
    changed = staff.write(made["Location"], body, method="PUT", if_match=1)
    assert changed.status_code == 200, changed.content
    assert_emitted(events.CommissionSet, commission_id=created["id"], change="updated", basis="FIXED")
    deliver()
    assert [
        row["type"] for row in staff.read("/api/v1/events?type=commodity.commission.set").json()["results"]
    ]


@pytest.mark.django_db
def test_partners_and_other_staff_see_no_commission(user, client_for, deliver):
    row = percent()
    deliver()
    for role in ("BUYER", "SELLER", "BROKER", "INTERNAL_MASTERDATA"):
        reader = client_for(user(role))
        for path in (PATH, f"{PATH}/{row.pk}"):
            answer = reader.read(path)
            assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.view_commissions")
    assert not Commission.objects.all().visible_to(user("BROKER")).exists()
    buyer = client_for(user("BUYER"))
    assert buyer.read("/api/v1/events?type=commodity.commission.set").json()["results"] == []
    assert buyer.write(PATH, SLABS).json()["capability"] == "commodity.manage_commissions"
    auditor = client_for(user("AUDITOR"))
    assert [each["id"] for each in auditor.read(f"{PATH}?on_date=2026-04-01").json()["results"]] == [
        str(row.pk)
    ]
    assert auditor.read(f"{PATH}?on_date=2026-03-31").json()["results"] == []


@pytest.mark.django_db
@pytest.mark.parametrize("scope", [(), ("commodity",), ("trade_type",), ("partner_id",)])
def test_two_commissions_of_one_scope_and_side_are_never_effective_on_one_day(staff, commodity, scope):
    given = {"commodity": commodity(), "trade_type": terms("trade-types"), "partner_id": uuid4()}
    fields = {name: given[name] for name in scope}
    percent(valid_to=FROM + timedelta(days=30), **fields)
    with pytest.raises(rules.Overlap), transaction.atomic():
        percent(valid_from=FROM + timedelta(days=30), **fields)
    percent(valid_from=FROM + timedelta(days=31), **fields)
    percent(side="BUYER", **fields)
    assert Commission.objects.count() == 3


@pytest.mark.django_db
def test_an_overlap_is_a_conflict_for_the_caller(staff):
    assert staff.write(PATH, SLABS).status_code == 201
    answer = staff.write(PATH, {**SLABS, "valid_from": "2101-03-31", "valid_to": None})
    assert (answer.status_code, answer.json()["code"]) == (409, "commodity.overlap")


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_posts_for_the_same_days_one_is_stored(staff):
    def post(number):
        try:
            return staff.write(PATH, {**SLABS, "valid_from": f"2100-04-{number + 1:02}"}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(post, range(20)))
    assert statuses == [201] + [409] * 19
    assert Commission.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("basis", "field", "figure"), [("FIXED", "amount", "150000.00"), ("PERCENT", "percent", "0.1250")]
)
def test_a_fixed_amount_and_an_eighth_of_a_percent_are_stored_as_they_are(staff, basis, field, figure):
    plain = {name: value for name, value in SLABS.items() if not name.startswith("slab")}
    made = staff.write(PATH, {**plain, "basis": basis, field: figure})
    assert (made.status_code, made.json()[field]) == (201, figure), made.content


@pytest.mark.django_db
def test_once_begun_only_the_name_and_a_later_end_change(staff):
    today = timezone.localdate()
    row = percent(valid_from=today)
    body = {
        "name": "Renamed",
        "side": "SELLER",
        "basis": "PERCENT",
        "percent": "0.25",
        "valid_from": str(today),
    }
    path = f"{PATH}/{row.pk}"
    yesterday, tomorrow = str(today - timedelta(days=1)), str(today + timedelta(days=1))
    for change, field in (
        ({"percent": "0.5"}, "percent"),
        ({"side": "BUYER"}, "side"),
        ({"valid_from": tomorrow}, "valid_from"),
        ({"valid_from": yesterday}, "valid_from"),
        ({"max_amount": "5.00"}, "max_amount"),
    ):
        answer = staff.write(path, {**body, **change}, method="PUT", if_match=1)
        assert (answer.status_code, answer.json()["code"]) == (409, "commodity.in_force"), change
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{field}"]
    assert staff.write(path, {**body, "valid_to": str(today)}, method="PUT", if_match=1).status_code == 200
    old = percent(side="BUYER", valid_from=today - timedelta(days=9))
    body = {**body, "side": "BUYER", "valid_from": str(old.valid_from), "valid_to": yesterday}
    answer = staff.write(f"{PATH}/{old.pk}", body, method="PUT", if_match=1)
    assert answer.json()["code"] == "commodity.in_force"
    later = percent(partner_id=uuid4(), valid_from=today + timedelta(days=1))
    body = {**body, "side": "SELLER", "partner_id": str(later.partner_id), "valid_to": None, "percent": "1"}
    answer = staff.write(f"{PATH}/{later.pk}", {**body, "valid_from": tomorrow}, method="PUT", if_match=1)
    assert answer.status_code == 200, answer.content


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"percent": "1"}, "fields_contradict", "/percent"),
        ({"amount": "1.00"}, "fields_contradict", "/amount"),
        ({"slabs": []}, "fields_contradict", "/slabs"),
        ({"slab_by": None}, "fields_contradict", "/slab_by"),
        ({"basis": "PERCENT"}, "fields_contradict", "/percent"),
        ({"max_amount": "99.99"}, "limits_inverted", "/max_amount"),
        ({"valid_to": "2100-03-31"}, "limits_inverted", "/valid_to"),
        (
            {"slabs": [{"from": "0", "to": None, "percent": "1", "amount": "1"}]},
            "fields_contradict",
            "/slabs/0/percent",
        ),
        (
            {"slabs": [{"from": "1", "to": None, "percent": "1"}]},
            "bands_not_contiguous",
            "/slabs/0/from",
        ),
        (
            {"slabs": [{"from": "0", "to": "5", "percent": "1"}, {"from": "6", "to": None, "percent": "1"}]},
            "bands_not_contiguous",
            "/slabs/1/from",
        ),
        ({"slabs": [{"from": "0", "to": "5", "percent": "1"}]}, "bands_not_contiguous", "/slabs/0/to"),
    ],
)
def test_a_commission_has_exactly_the_fields_of_its_basis(staff, change, code, pointer):
    answer = staff.write(PATH, {**SLABS, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, f"commodity.{code}"), answer.content
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


@pytest.mark.django_db
def test_a_price_unit_is_named_where_the_amount_is_for_one_and_may_not_be_archived(staff):
    unit = units.create_unit(
        actor=SYSTEM, code="CANDY", dimension=Unit.Dimension.MASS, symbol="c", name="Candy"
    )
    with unguarded_writes():
        candy = PricingUnit(code="INR/CANDY", currency="INR", unit=unit, places=2)
        candy.save()
    body = {
        "name": "Per candy",
        "side": "BUYER",
        "basis": "PER_PRICE_UNIT",
        "amount": "100.00",
        "valid_from": "2100-04-01",
    }
    assert staff.write(PATH, body).json()["code"] == "commodity.fields_contradict"
    body["pricing_unit_id"] = str(candy.pk)
    made = staff.write(PATH, body)
    assert (made.status_code, made.json()["pricing_unit_id"]) == (201, str(candy.pk)), made.content
    with unguarded_writes():
        PricingUnit.objects.update(status="ARCHIVED")
    assert staff.write(PATH, {**body, "partner_id": str(uuid4())}).json()["code"] == "commodity.not_active"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change", [{"amount": Decimal(1)}, {"percent": None}, {"percent": Decimal(101)}, {"currency": "rs"}]
)
def test_the_database_enforces_the_rules_too(change):
    row = percent()
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        Commission.objects.filter(pk=row.pk).update(**change)
