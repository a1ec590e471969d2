"""Units, pricing units, pack weights, and conversions that show every factor."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import IntegrityError, connections, transaction

from apps.commodities.events import packs, pricing
from apps.commodities.exact import UnitDimension
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import PackWeight, Unit, UnitDefinition
from apps.commodities.services import factors, reference_units, rules, units
from apps.commodities.services import pricing as pricing_services
from apps.commodities.tests.examples import GOODS
from apps.commodities.tests.examples_units import PER_KG, pack_weight, pricing_unit, unit
from erp.access import SYSTEM
from erp.errors import CapabilityMissing
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
UNITS, PRICES = "/api/v1/units", "/api/v1/pricing-units"
DAY = date(2026, 1, 12)


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


@pytest.fixture(autouse=True)
def basic(db):
    for code in ("KG", "QTL", "BALE"):
        unit(code)


@pytest.fixture
def loaded(db):
    reference_units.load_units(actor=SYSTEM)


@pytest.fixture
def cotton(loaded, commodity):
    """Cotton with the weights of its bales."""
    made = commodity(code="COTTON", name="Cotton lint")
    reference_units.load_pack_weights(actor=SYSTEM)
    return made


@pytest.fixture
def ask(cotton, user, client_for):
    """Ask for a conversion of cotton, as a buyer."""
    client = client_for(user("BUYER"))

    def send(quantity, **body):
        path = f"/api/v1/commodities/{cotton.pk}/calculate-conversion"
        return client.write(path, {"quantity": quantity, "on_date": DAY.isoformat(), **body})

    return send


def status_and_code(answer):
    return answer.status_code, answer.json().get("code")


def test_the_units_of_the_trade_are_loaded_once(db, emitted):
    made = reference_units.load_units(actor=SYSTEM)
    assert made > 0
    assert (Unit.objects.count(), PricingUnit.objects.count()) == (40, 14)
    assert set(UnitDefinition.objects.values_list("status", "unit_version")) == {("PUBLISHED", 1)}
    assert len(emitted("unit_definition.published")) == 40
    before = EventOutbox.objects.count()
    assert reference_units.load_units(actor=SYSTEM) == 0
    assert EventOutbox.objects.count() == before


def test_changes_of_staff_are_not_overwritten(loaded):
    cents = PricingUnit.objects.get(code="USC/LB")
    assert (cents.currency, cents.divisor, cents.unit_id, cents.tick) == ("USD", 100, "LB", Decimal("0.01"))
    pricing_services.update_pricing_unit(
        cents, actor=SYSTEM, currency="USD", divisor=100, unit=cents.unit, places=4, status="ARCHIVED"
    )
    assert reference_units.load_units(actor=SYSTEM) == 0
    cents.refresh_from_db()
    assert (cents.places, cents.tick, cents.status) == (4, None, "ARCHIVED")


def test_pack_weights_are_loaded_for_existing_commodities(loaded, commodity, emitted):
    assert reference_units.load_pack_weights(actor=SYSTEM) == 0
    cotton = commodity(code="COTTON", name="Cotton lint")
    assert reference_units.load_pack_weights(actor=SYSTEM) == 10
    assert reference_units.load_pack_weights(actor=SYSTEM) == 0
    assert len(emitted("commodity.pack_weight.set")) == 10
    weights = {(w.origin_country, w.basis): (w.value, w.unit_id) for w in cotton.pack_weights.all()}
    assert weights["IN", "NOMINAL"] == (170, "KG")
    assert weights["BR", "NOMINAL"] == (None, "KG")
    assert weights["US", "STATISTICAL_NET"] == (480, "LB")


def test_only_the_product_itself_publishes_without_approval(user):
    with pytest.raises(CapabilityMissing):
        reference_units.load_units(actor=user())


@pytest.mark.parametrize(
    ("price", "value"),
    [
        ("INR/CANDY", "14341150.67"),
        ("INR/CANDY_784LB", "14341295.12"),
        ("INR/CANDY_MCX", "14343570.71"),
        ("INR/CANDY_CCI", "14325842.70"),
    ],
)
def test_six_hundred_bales_at_fifty_thousand(ask, price, value):
    answer = ask({"count": "600"}, rate="50000", pricing_unit=price).json()
    assert answer["amount"]["value"] == value
    assert answer["weight"] == {"value": "102000.000", "unit": "KG", "basis": "nominal"}


def test_every_factor_is_shown(ask):
    answer = ask({"count": "600"}, to_unit="LB", rate="50000", pricing_unit="INR/CANDY")
    body = answer.json()
    assert answer.status_code == 200, body
    assert body["amount"] == {
        "value": "14341150.67",
        "currency": "INR",
        "unrounded": "14341150.666441707441",
    }
    exact = Fraction(102000) * 100000000 / 45359237
    assert body["converted"] == {
        "value": "224871.507428575",
        "unit": "LB",
        "numerator": str(exact.numerator),
        "denominator": str(exact.denominator),
    }
    assert [(d["unit"], d["unit_version"]) for d in body["definitions"]] == [
        ("KG", 1),
        ("LB", 1),
        ("CANDY", 1),
    ]
    candy = body["definitions"][2]
    assert (candy["numerator"], candy["denominator"]) == ("17781", "50")
    assert "Trade convention" in candy["source"]
    assert len(body["steps"]) == 3
    assert body["steps"][2] == "102000.000 KG × 1 ÷ 17781/50 × 50000 ÷ 1 = 85000000000/5927 INR"


def test_a_conversion_stores_nothing(ask):
    before = EventOutbox.objects.count()
    assert ask({"count": "600"}, to_unit="LB").status_code == 200
    assert EventOutbox.objects.count() == before


def test_a_given_weight_overrides_the_count(ask, cotton):
    given = ask({"count": "600", "weight": "101990.5"}, rate="50000", pricing_unit="INR/CANDY").json()
    assert given["weight"] == {"value": "101990.500", "unit": "KG", "basis": "given"}
    assert given["amount"]["value"] == "14339814.97"
    in_pounds = ask({"weight": "1000", "weight_unit": "LB"}, to_unit="KG").json()
    assert in_pounds["converted"]["value"] == "453.592370000"


def test_a_bale_has_the_weight_of_its_country_and_date(ask, cotton):
    pack_weight(cotton, value=Decimal(165), valid_from=date(2026, 2, 1))
    later = ask({"count": "600"}, on_date="2026-02-01").json()
    assert later["weight"]["value"] == "99000.000"
    assert ask({"count": "600"}).json()["weight"]["value"] == "102000.000"
    assert ask({"count": "600"}, on_date="2026-01-31").json()["weight"]["value"] == "102000.000"
    american = ask({"count": "100"}, origin_country="US", to_unit="KG").json()
    assert american["weight"] == {"value": "48000.000", "unit": "LB", "basis": "nominal"}
    assert american["converted"]["value"] == "21772.433760000"


def test_bales_without_a_fixed_weight_need_a_weight(ask):
    for quantity, more in (
        ({"count": "600"}, {"origin_country": "BR"}),
        ({"count": "600"}, {"origin_country": "ZW"}),
        ({"count": "600", "count_unit": "BAG"}, {}),
    ):
        answer = ask(quantity, to_unit="KG", **more)
        assert status_and_code(answer) == (422, "commodity.weight_needed")
    by_count = ask({"count": "600"}, origin_country="BR", rate="29000", pricing_unit="INR/BALE").json()
    assert (by_count["weight"], by_count["amount"]["value"]) == (None, "17400000.00")


def test_a_price_per_package_multiplies_the_count(ask):
    answer = ask({"count": "600", "weight": "99000"}, rate="29000", pricing_unit="INR/BALE").json()
    assert answer["amount"]["value"] == "17400000.00"
    missing = ask({"weight": "99000"}, rate="29000", pricing_unit="INR/BALE")
    assert status_and_code(missing) == (422, "commodity.unit_dimension")
    assert missing.json()["errors"][0]["pointer"] == "/pricing_unit"


@pytest.mark.parametrize(
    ("quantity", "to_unit", "pointer"),
    [
        ({"weight": "100"}, "M", ""),
        ({"weight": "100"}, "BALE", "/to_unit"),
        ({"weight": "100", "weight_unit": "BALE"}, "KG", "/quantity/weight_unit"),
        ({"count": "100", "count_unit": "KG"}, "KG", "/quantity/count_unit"),
        ({"count": "100"}, "M", ""),
    ],
)
def test_units_of_another_dimension_are_refused(ask, quantity, to_unit, pointer):
    answer = ask(quantity, to_unit=to_unit)
    assert status_and_code(answer) == (422, "commodity.unit_dimension"), answer.json()
    if pointer:
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_count_is_converted_among_counts(ask):
    assert ask({"count": "600"}, to_unit="DOZEN").json()["converted"]["value"] == "50.000000000"


@pytest.mark.parametrize(
    ("rounding", "value"),
    [
        ({}, "14341150.67"),
        ({"places": 0}, "14341151"),
        ({"places": 2, "mode": "DOWN"}, "14341150.66"),
        ({"mode": "HALF_EVEN"}, "14341150.67"),
    ],
)
def test_the_amount_is_rounded_once_as_requested(ask, rounding, value):
    answer = ask({"count": "600"}, rate="50000", pricing_unit="INR/CANDY", rounding=rounding).json()
    assert answer["amount"]["value"] == value
    assert answer["amount"]["unrounded"] == "14341150.666441707441"


def test_cents_are_hundredths(ask):
    answer = ask({"weight": "1000", "weight_unit": "LB"}, rate="73.26", pricing_unit="USC/LB").json()
    assert answer["amount"]["value"] == "732.60"
    assert answer["amount"]["currency"] == "USD"


def test_a_rate_is_quoted_in_the_commoditys_pricing_unit_by_default(ask, cotton):
    lacking = ask({"count": "600"}, rate="50000")
    assert status_and_code(lacking) == (422, "commodity.fields_contradict")
    with unguarded_writes():
        cotton.pricing_unit = PricingUnit.objects.get(code="INR/CANDY")
        cotton.save()
    assert ask({"count": "600"}, rate="50000").json()["amount"]["value"] == "14341150.67"


@pytest.mark.parametrize(
    "body",
    [
        {"quantity": {}},
        {"quantity": {"count_unit": "BALE"}},
        {"quantity": {"count": "600", "weight_unit": "KG"}},
        {"quantity": {"count": "600"}, "pricing_unit": "INR/CANDY"},
    ],
)
def test_fields_that_need_each_other(ask, body):
    quantity = body.pop("quantity")
    assert status_and_code(ask(quantity, **body)) == (422, "commodity.fields_contradict")


@pytest.mark.parametrize(
    ("more", "pointer", "code"),
    [
        ({"to_unit": "STONE"}, "/to_unit", "does_not_exist"),
        ({"rate": "1", "pricing_unit": "INR/STONE"}, "/pricing_unit", "does_not_exist"),
        ({"unit_versions": {"CANDY": 1}}, "/unit_versions/CANDY", "not_used"),
        ({"rate": "1e3"}, "/rate", "not_a_decimal_string"),
        ({"rounding": {"places": 7}}, "/rounding/places", "out_of_range"),
    ],
)
def test_missing_units_are_named(ask, more, pointer, code):
    answer = ask({"count": "600"}, **more)
    assert answer.status_code == 400
    assert (answer.json()["errors"][0]["pointer"], answer.json()["errors"][0]["code"]) == (pointer, code)


@pytest.fixture
def second_candy(loaded):
    """From 2027 on the candy is 356 kg."""
    candy = Unit.objects.get(code="CANDY")
    with unguarded_writes():
        first = candy.definitions.get()
        first.valid_to = date(2026, 12, 31)
        first.save()
        made = UnitDefinition(
            unit=candy,
            unit_version=2,
            numerator=356,
            denominator=1,
            source="The trade's agreement of 2026",
            valid_from=date(2027, 1, 1),
            status="PUBLISHED",
        )
        made.save()
    return made


def test_a_new_version_changes_no_pinned_figure(ask, second_candy):
    def amount(**more):
        answer = ask({"count": "600"}, rate="50000", pricing_unit="INR/CANDY", **more)
        return answer.json()["amount"]["value"]

    assert amount() == "14341150.67"
    assert amount(on_date="2027-01-01") == "14325842.70"
    assert amount(on_date="2027-01-01", unit_versions={"CANDY": 1}) == "14341150.67"
    pinned = factors.factors(["CANDY"], on=DAY)["CANDY"]
    assert (pinned.unit_version, pinned.value) == (1, Fraction("355.62"))


def test_a_withdrawn_definition_is_not_chosen_but_can_be_requested(ask, second_candy):
    with unguarded_writes():
        second_candy.status = "WITHDRAWN"
        second_candy.save()
    more = {"rate": "50000", "pricing_unit": "INR/CANDY", "on_date": "2027-01-01"}
    assert status_and_code(ask({"count": "600"}, **more)) == (422, "commodity.no_definition")
    pinned = ask({"count": "600"}, unit_versions={"CANDY": 2}, **more).json()
    assert pinned["amount"]["value"] == "14325842.70"
    assert status_and_code(ask({"count": "600"}, unit_versions={"CANDY": 3}, **more)) == (
        422,
        "commodity.no_definition",
    )


def test_a_draft_defines_nothing(ask, user):
    stone = units.create_unit(
        actor=SYSTEM, code="STONE", dimension="MASS", symbol="st", name="Stone", unece_code="STI"
    )
    units.draft_unit_definition(
        actor=user("INTERNAL_MASTERDATA"),
        unit=stone,
        numerator=Decimal(635029318),
        denominator=Decimal(100000000),
        source="14 lb",
        valid_from=date(2020, 1, 1),
    )
    assert status_and_code(ask({"count": "600"}, to_unit="STONE")) == (422, "commodity.no_definition")


def test_units_are_shown_with_every_definition_that_was_published(staff, second_candy, user, client_for):
    rows = client_for(user("BUYER")).read(f"{UNITS}?code=CANDY").json()["results"]
    shown = [
        (d["unit_version"], d["numerator"], d["denominator"], d["status"]) for d in rows[0]["definitions"]
    ]
    assert shown == [(1, "17781", "50", "PUBLISHED"), (2, "356", "1", "PUBLISHED")]
    assert rows[0]["dimension"] == "MASS"


def test_a_new_definition_changes_the_etag_of_the_unit(loaded, staff, user, deliver):
    from apps.approvals import services as approvals
    from apps.approvals.models import ApprovalRequest

    candy = Unit.objects.get(code="CANDY")
    before = staff.read(f"{UNITS}/{candy.pk}")["ETag"]
    draft = units.draft_unit_definition(
        actor=user("INTERNAL_MASTERDATA"),
        unit=candy,
        numerator=Decimal(356),
        denominator=Decimal(1),
        source="The trade's agreement",
        valid_from=date(2027, 1, 1),
    )
    assert staff.read(f"{UNITS}/{candy.pk}")["ETag"] == before
    units.submit_unit_definition(draft, actor=user("INTERNAL_MASTERDATA"), reason="The trade has agreed.")
    request = ApprovalRequest.objects.get()
    approvals.approve(request, actor=user("INTERNAL_MANAGER"), subject_version=request.subject_version)
    deliver()
    answer = staff.read(f"{UNITS}/{candy.pk}")
    assert answer["ETag"] != before
    assert [d["valid_to"] for d in answer.json()["definitions"]] == ["2026-12-31", None]


def test_a_new_pricing_unit_is_an_event(staff, assert_emitted):
    made = staff.write(PRICES, {"code": "INR/KG", **PER_KG})
    row = made.json()
    assert (made.status_code, row["status"], row["unit"], row["tick"]) == (201, "ACTIVE", "KG", "0.050000")
    assert_emitted(
        pricing.PricingUnitCreated,
        pricing_unit_id=row["id"],
        code="INR/KG",
        currency="INR",
        divisor=1,
        unit="KG",
    )


def test_places_tick_and_status_change_the_rest_is_fixed(staff, emitted, assert_emitted):
    row = pricing_unit()
    path = f"{PRICES}/{row.pk}"
    same = staff.write(path, {**PER_KG, "status": "ACTIVE"}, method="PUT", if_match=1)
    assert (same.status_code, emitted("pricing_unit.updated")) == (200, [])
    for name, value in (("currency", "USD"), ("divisor", 100), ("unit", "QTL")):
        answer = staff.write(path, {**PER_KG, "status": "ACTIVE", name: value}, method="PUT", if_match=1)
        assert status_and_code(answer) == (409, "commodity.in_force")
        assert answer.json()["errors"][0]["pointer"] == f"/{name}"
    body = {**PER_KG, "places": 4, "tick": None, "status": "ARCHIVED"}
    assert staff.write(path, body, method="PUT", if_match=1).status_code == 200
    assert_emitted(
        pricing.PricingUnitUpdated,
        version=2,
        changes={
            "places": {"old": 2, "new": 4},
            "tick": {"old": "0.050000", "new": None},
            "status": {"old": "ACTIVE", "new": "ARCHIVED"},
        },
    )


def test_code_and_quotation_of_a_pricing_unit_are_unique(staff):
    pricing_unit()
    for body in ({"code": "INR/KG", **PER_KG, "currency": "USD"}, {"code": "RS/KG", **PER_KG}):
        assert status_and_code(staff.write(PRICES, body)) == (409, "commodity.duplicate")
    unknown = staff.write(PRICES, {"code": "INR/STONE", **PER_KG, "unit": "STONE"})
    assert unknown.status_code == 400
    assert unknown.json()["errors"][0]["code"] == "does_not_exist"


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_posts_of_one_code_one_wins(user, client_for):
    clients = [client_for(user("INTERNAL_MASTERDATA")) for _ in range(20)]

    def send(client):
        try:
            return client.write(PRICES, {"code": "INR/KG", **PER_KG}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(send, clients))
    assert statuses == [201] + [409] * 19
    assert PricingUnit.objects.count() == 1


def test_partners_read_and_get_403_on_writes(user, client_for):
    row, buyer = pricing_unit(), client_for(user("BUYER"))
    assert buyer.read(PRICES).json()["results"][0]["code"] == "INR/KG"
    answer = buyer.write(PRICES, {"code": "INR/MT", **PER_KG})
    assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.manage_terms")
    pricing_services.update_pricing_unit(
        row, actor=SYSTEM, **{**PER_KG, "unit": row.unit, "tick": None}, status="ARCHIVED"
    )
    assert buyer.read(PRICES).json()["results"] == []
    assert buyer.read(f"{PRICES}/{row.pk}").json()["status"] == "ARCHIVED"


def test_a_pack_weight_is_an_event_in_the_stream_of_its_commodity(commodity, assert_emitted):
    cotton = commodity()
    row = pack_weight(cotton)
    assert_emitted(
        packs.PackWeightSet,
        commodity_id=str(cotton.pk),
        pack_weight_id=str(row.pk),
        package_unit="BALE",
        origin_country="IN",
        basis="NOMINAL",
        value="170",
        unit="KG",
        low="155",
        high="175",
    )


def test_the_open_weight_ends_the_day_before_the_next(commodity):
    cotton = commodity()
    first = pack_weight(cotton, valid_from=date(2020, 1, 1))
    pack_weight(cotton, valid_from=date(2026, 1, 1), value=Decimal(165))
    pack_weight(cotton, valid_from=date(2020, 1, 1), origin_country="PK")
    first.refresh_from_db()
    assert first.valid_to == date(2025, 12, 31)
    with pytest.raises(rules.Overlap):
        pack_weight(cotton, valid_from=date(2026, 1, 1))


def test_weights_are_within_their_limits_and_packages_are_counted(commodity):
    cotton = commodity()
    for wrong in ({"value": Decimal(180)}, {"low": Decimal(180)}, {"valid_to": date(2019, 1, 1)}):
        with pytest.raises(rules.LimitsInverted):
            pack_weight(cotton, **wrong)
    for wrong in ({"package_unit": unit("KG")}, {"unit": unit("BALE")}):
        with pytest.raises(UnitDimension):
            pack_weight(cotton, **wrong)


def test_weights_are_read_beside_all_and_within_their_commodity(commodity, user, client_for):
    buyer, cotton, hidden = client_for(user("BUYER")), commodity(), commodity(active=False)
    row = pack_weight(cotton)
    pack_weight(hidden)
    for path in ("/api/v1/pack-weights", f"/api/v1/commodities/{cotton.pk}/pack-weights"):
        results = buyer.read(path).json()["results"]
        assert [(r["id"], r["package_unit"], r["value"], r["unit"]) for r in results] == [
            (str(row.pk), "BALE", "170.000", "KG")
        ]
    assert buyer.read(f"/api/v1/commodities/{hidden.pk}/pack-weights").status_code == 404


def test_staff_set_a_weight_on_the_commoditys_page(commodity, staff_client_for, user):
    cotton, staff = commodity(), staff_client_for(user("INTERNAL_MASTERDATA"))
    page = f"/admin/commodity/commodity/{cotton.pk}"
    form = f"{page}/run/set_pack_weight/"
    typed = {"package_unit": "BALE", "unit": "KG", "value": "170", "low": "155", "high": "175"}
    answer = staff.fill(form, **typed, source="Practice", valid_from="2026-01-01")
    assert answer.status_code == 302, answer.content
    assert PackWeight.objects.get().value == 170
    assert "170" in staff.get(f"{page}/change/").content.decode()


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"base_unit": "PIECE"}, "/base_unit"),
        ({"package_unit": "QTL", "trade_unit": "QTL"}, "/package_unit"),
        ({"quantity_mode": "WEIGHT", "package_unit": None, "trade_unit": "BALE"}, "/trade_unit"),
    ],
)
def test_units_of_a_commodity_need_the_right_dimension(staff, fields, pointer):
    answer = staff.write("/api/v1/commodities", {"code": "COTTON", **GOODS, **fields})
    assert status_and_code(answer) == (422, "commodity.unit_dimension"), answer.json()
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_units_of_a_commodity_must_exist(staff):
    body = {"code": "COTTON", **GOODS, "base_unit": "STONE"}
    answer = staff.write("/api/v1/commodities", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0] == {
        "pointer": "/base_unit",
        "code": "does_not_exist",
        "detail": "This unit does not exist.",
    }


def test_a_commodity_is_priced_in_its_own_kind_or_packages(staff, loaded):
    def post(code, number):
        row = PricingUnit.objects.get(code=code)
        body = {"code": f"GOODS-{number}", **GOODS, "name": f"Goods {number}", "pricing_unit_id": str(row.pk)}
        return staff.write("/api/v1/commodities", body)

    made = post("INR/CANDY", 1)
    assert made.status_code == 201, made.content
    assert made.json()["pricing_unit_id"] == str(PricingUnit.objects.get(code="INR/CANDY").pk)
    assert post("INR/BALE", 2).status_code == 201
    bags = pricing_services.create_pricing_unit(
        actor=SYSTEM, code="INR/BAG", currency="INR", unit=unit("BAG"), places=2
    )
    assert status_and_code(post("INR/BAG", 3)) == (422, "commodity.unit_dimension")
    pricing_services.update_pricing_unit(
        bags, actor=SYSTEM, currency="INR", unit=bags.unit, places=2, status="ARCHIVED"
    )
    assert status_and_code(post("INR/BAG", 3)) == (422, "commodity.not_active")


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (UnitDefinition, {"numerator": 2, "denominator": 2}),
        (UnitDefinition, {"numerator": 0}),
        (UnitDefinition, {"valid_to": date(1800, 1, 1)}),
        (PackWeight, {"value": 500}),
        (PackWeight, {"low": 0}),
        (PackWeight, {"origin_country": "India"}),
        (PricingUnit, {"divisor": 10}),
        (PricingUnit, {"places": 7}),
        (PricingUnit, {"currency": "rs"}),
        (Unit, {"code": "kg"}),
    ],
)
def test_database_constraints_refuse_invalid_rows(commodity, model, change):
    pack_weight(commodity())
    pricing_unit()
    units.draft_unit_definition(
        actor=SYSTEM,
        unit=unit(),
        numerator=Decimal(1),
        denominator=Decimal(1),
        source="SI",
        valid_from=date(2020, 1, 1),
    )
    row = model.objects.first()
    with pytest.raises((IntegrityError, Exception)) as caught, transaction.atomic(), unguarded_writes():
        model.objects.filter(pk=row.pk).update(**change)
    assert caught.type.__module__ == "django.db.utils"
