"""Reference data of commodities: loaded completely, once, and never over changes of staff."""

from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest

from apps.commodities.differences import Result, evaluate
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.grades import Grade
from apps.commodities.models.parameters import ParameterTemplate, QualityParameter
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.models.varieties import Variety
from apps.commodities.services import factors, reference_goods, reference_units, schedules, varieties
from erp.access import SYSTEM
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
D = Decimal


def load():
    return sum(
        make(actor=SYSTEM)
        for make in (
            reference_units.load_units,
            reference_goods.load_commodities,
            reference_goods.load_schedules,
        )
    )


@pytest.fixture
def loaded(db):
    return load()


def parameter(commodity, code):
    return QualityParameter.objects.get(commodity__code=commodity, code=code)


def test_all_reference_data_is_loaded_and_active(loaded):
    assert set(Commodity.objects.values_list("code", "status")) == {
        (code, "ACTIVE")
        for code in ("COTTON", "KAPAS", "COTTON_SEED", "COTTON_YARN", "WHEAT", "CHANA", "SOYBEAN")
    }
    counts = {
        row.code: row.quality_parameters.count()
        for row in Commodity.objects.prefetch_related("quality_parameters")
    }
    assert counts == {
        "COTTON": 21,
        "KAPAS": 7,
        "COTTON_SEED": 6,
        "COTTON_YARN": 13,
        "WHEAT": 8,
        "CHANA": 7,
        "SOYBEAN": 6,
    }
    assert ParameterTemplate.objects.count() == sum(counts.values()) - counts["COTTON_SEED"]
    assert (Variety.objects.count(), Grade.objects.count(), QualitySchedule.objects.count()) == (7, 5, 3)
    mandatory = QualityParameter.objects.filter(is_mandatory=True, commodity__code="COTTON")
    assert set(mandatory.values_list("code", flat=True)) == {
        "staple_length",
        "micronaire",
        "strength",
        "trash",
        "moisture",
    }


def test_rows_are_as_the_trade_has_them(loaded):
    cotton = Commodity.objects.get(code="COTTON")
    assert (cotton.trade_unit, cotton.package_unit, cotton.pricing_unit.code, cotton.season_start_month) == (
        "BALE",
        "BALE",
        "INR/CANDY",
        10,
    )
    micronaire = parameter("COTTON", "micronaire")
    assert micronaire.template == ParameterTemplate.objects.get(category="FIBRE", code="micronaire")
    assert (micronaire.methods, micronaire.default_method, micronaire.precision) == (
        ["HVI", "AIRFLOW"],
        "HVI",
        2,
    )
    assert (micronaire.target_low, micronaire.target_high, micronaire.tolerance) == (
        D("3.5"),
        D("4.9"),
        D("0.15"),
    )
    assert (micronaire.possible_max, micronaire.usual_min) == (7, 3)
    assert parameter("COTTON", "plus_b").tolerance == D("0.5")
    assert parameter("COTTON_SEED", "oil").template is None
    assert parameter("WHEAT", "foreign_matter").usual_min == 0
    colours = [choice["code"] for choice in parameter("COTTON", "colour_grade").choices]
    assert (len(colours), colours[0], "31-3" in colours, "85" in colours) == (150, "11", True, True)
    suvin = Variety.objects.get(code="SUVIN")
    strength = str(parameter("COTTON", "strength").pk)
    assert {"parameter_id": strength, "low": "34", "high": None} in suvin.presets
    assert Variety.objects.get(is_standard=True).aliases == ["S-6", "ICS-105"]
    assert Grade.objects.get(is_basis=True).code == "FULLY_GOOD"


def test_schedules_are_published_in_their_versions(loaded):
    rows = set(QualitySchedule.objects.values_list("code", "schedule_version", "status"))
    assert rows == {
        ("DEMO-29", 3, "PUBLISHED"),
        ("KCA-MIC", 1, "PUBLISHED"),
        ("KCA-STAPLE", 1, "PUBLISHED"),
    }
    staple = QualitySchedule.objects.get(code="KCA-STAPLE")
    assert len(staple.lines[0]["cells"]) == 13
    assert {"first": "g2", "second": "36", "effect": "250"} in staple.lines[0]["cells"]


def test_loaded_schedules_price_as_the_trade_does(loaded):
    day = date(2026, 1, 5)
    candy = PricingUnit.objects.get(code="INR/CANDY")
    lot = {"rd": "75.1", "trash": "3.8", "moisture": "8.9", "staple_length": "29.2", "micronaire": "3.9"}
    terms = schedules.terms_of(QualitySchedule.objects.get(code="DEMO-29"), day=day)
    results = [Result(line.parameter, line.method, D(lot[line.parameter])) for line in terms.lines]
    done = evaluate(terms, results, rate=D(53500), net_weight=D("16938.500"))
    assert (done.adjusted_rate, done.accounted_weight) == (D("52269.500000"), D("16870.746"))
    factor = factors.factors([candy.unit_id], on=day)[candy.unit_id]
    rupees = factors.price_of(candy, factor)
    graded = [Result("kca_grade", "CLASSER", "g2"), Result("staple_32", "CLASSER", D(36))]
    staple = schedules.terms_of(QualitySchedule.objects.get(code="KCA-STAPLE"), day=day)
    done = evaluate(staple, graded, rate=D(20000), net_weight=D(170), price=replace(rupees, currency="PKR"))
    assert done.adjusted_rate.quantize(D("0.01"), ROUND_HALF_UP) == D("22381.97")


def test_a_second_run_changes_nothing(loaded):
    before = EventOutbox.objects.count()
    assert loaded > 100
    assert load() == 0
    assert EventOutbox.objects.count() == before


def test_changes_of_staff_are_not_overwritten(loaded):
    variety = Variety.objects.get(code="J-34")
    varieties.update_variety(variety, actor=SYSTEM, name="J 34", status="ARCHIVED")
    schedule = QualitySchedule.objects.get(code="KCA-MIC")
    before = (schedule.version, EventOutbox.objects.count())
    assert load() == 0
    variety.refresh_from_db()
    assert (variety.name, variety.status, variety.presets) == ("J 34", "ARCHIVED", [])
    assert (QualitySchedule.objects.get(code="KCA-MIC").version, EventOutbox.objects.count()) == before


def test_rows_of_staff_go_before_and_the_rest_is_added_around_them(db, commodity):
    reference_units.load_units(actor=SYSTEM)
    own = commodity(code="OWN", name="Gram")
    mine = commodity(code="KAPAS", name="Our kapas", active=False)
    assert reference_goods.load_commodities(actor=SYSTEM) > 0
    assert not Commodity.objects.filter(code="CHANA").exists()  # its alias is another commodity's name
    mine.refresh_from_db()
    assert (mine.name, mine.status, mine.quality_parameters.count()) == ("Our kapas", "DRAFT", 7)
    assert own.quality_parameters.count() == 0
