"""Suggestions: the same words give the same answer, with reasons, and nothing is stored."""

from decimal import Decimal

import pytest
from django.apps import apps

from apps.commodities.lookups import suggestions as lookups
from apps.commodities.models.tax import HsnMapping
from apps.commodities.services import parameters, reference_goods, reference_units, tax, varieties
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
BASE = "/api/v1/commodities"


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


@pytest.fixture
def cotton(commodity):
    """Cotton with a variety, and seed of it."""
    lint = commodity(name="Cotton lint", aliases=["rui", "raw cotton"])
    varieties.create_variety(
        actor=SYSTEM, commodity=lint, code="SHANKAR-6", name="Shankar-6", aliases=["S-6", "ICS-105"]
    )
    commodity(name="Cotton seed", category="OILSEED", aliases=["binola"], hsn_code="12072900")
    return lint


def codes(**asked):
    found = lookups.suggest_hsn(actor=SYSTEM, **asked).results
    return [(row.hsn_code, row.confidence) for row in found]


@pytest.mark.parametrize(
    ("name", "code", "confidence"),
    [
        ("Cotton Yarn 30s", "5205", "0.85"),
        ("cotton seed", "1207", "0.85"),
        ("COTTON  SEED oil cake", "2306", "0.85"),
        ("Cotton seeds", "1207", "0.6"),
        ("S-6", "5201", "0.95"),
        ("shankar-6", "5201", "0.95"),
        ("Rui", "5201", "0.95"),
        ("binola", "12072900", "0.95"),
        ("Desi chana", "0713", "0.85"),
        ("basmatirice", "1006", "0.6"),
        ("Linters, cotton linters", "140420", "0.85"),
    ],
)
def test_a_name_suggests_its_code(cotton, name, code, confidence):
    assert codes(name=name)[0] == (code, Decimal(confidence))


def test_parts_of_a_phrase_are_not_matched_again_and_unknown_names_get_no_code(cotton):
    assert codes(name="Cotton yarn") == [("5205", Decimal("0.85"))]
    assert [code for code, _ in codes(name="wheat, soybean or rice")] == ["1201", "1001", "1006"]
    assert len(codes(name="wheat maize rice soybean groundnut chana cotton")) == 5
    assert codes(name="granite") == []
    assert codes(name="granite", category="METAL") == []
    assert codes(name="Unheard-of lint", category="FIBRE") == [("5201", Decimal("0.4"))]


def test_what_staff_confirmed_comes_first(cotton):
    tax.confirm_hsn_mapping(actor=SYSTEM, name="Cotton yarn waste", hsn_code="5203")
    assert codes(name="cotton  YARN waste")[0] == ("5203", Decimal(1))
    assert [code for code, _ in codes(name="cotton yarn waste")] == ["5203", "5205"]


@pytest.mark.parametrize(
    ("staple", "origin", "line"),
    [
        ("20.5", "IN", "52010012"),
        ("20.6", "IN", "52010013"),
        ("24.5", "IN", "52010013"),
        ("24.6", "IN", "52010014"),
        ("28.0", "IN", "52010014"),
        ("28.2", "IN", None),
        ("28.49", "IN", None),
        ("28.5", "IN", "52010015"),
        ("34.4", "IN", "52010015"),
        ("34.5", "IN", "52010019"),
        ("20.0", "US", "52010021"),
        ("24.5", "US", "52010022"),
        ("27.0", "US", "52010023"),
        ("28.2", "US", "52010024"),
        ("32.0", "US", "52010024"),
        ("32.1", "EG", "52010025"),
    ],
)
def test_lint_gets_a_code_of_eight_digits_by_its_staple(staple, origin, line):
    found = [code for code, _ in codes(name="Cotton lint", origin_country=origin, staple_mm=Decimal(staple))]
    assert found == ([line, "5201"] if line else ["5201"])


def test_a_gap_in_the_tariff_is_a_reason_and_seed_cotton_has_no_staple():
    (silent,) = lookups.suggest_hsn(actor=SYSTEM, name="cotton", staple_mm=Decimal("28.2")).results
    assert [reason.code for reason in silent.reasons] == ["phrase", "tariff_silent"]
    assert codes(name="kapas", staple_mm=Decimal("28.5")) == [("5201", Decimal("0.85"))]
    assert codes(name="cotton", category="SEED_COTTON", staple_mm=Decimal("28.5")) == [
        ("5201", Decimal("0.85"))
    ]
    assert codes(name="Cotton, Bengal deshi")[0][0] == "52010011"


def test_a_suggestion_has_provider_reasons_and_rates(staff, cotton):
    tax.load_tax_rates(actor=SYSTEM)
    answer = staff.write(f"{BASE}/ai/suggest-hsn", {"name": "Wheat"})
    assert answer.json() == {
        "results": [
            {
                "confidence": "0.850",
                "reasons": [{"code": "phrase", "facts": {"phrase": "wheat"}}],
                "provider": "builtin",
                "degraded": "",
                "is_suggestion": True,
                "hsn_code": "1001",
                "description": "Wheat and meslin",
                "rates": [
                    {"condition": "NOT_PREPACKED", "rate_percent": "0.0000", "valid_from": "2025-09-22"},
                    {"condition": "PREPACKED", "rate_percent": "5.0000", "valid_from": "2025-09-22"},
                ],
            }
        ]
    }
    assert staff.write(f"{BASE}/ai/suggest-hsn", {"name": "granite"}).json() == {"results": []}


def test_included_commodities_are_recognized_by_name_and_alias(staff):
    reference_units.load_units(actor=SYSTEM)
    reference_goods.load_commodities(actor=SYSTEM)
    for name, code in (
        ("Cotton Yarn 30s", "5205"),
        ("cotton seed", "1207"),
        ("S-6", "5201"),
        ("ICS-107", "5201"),
        ("narma", "5201"),
        ("sarki", "12072900"),
        ("Gehun", "10019910"),
    ):
        assert codes(name=name)[0][0] == code, name
    assert codes(name="granite") == []
    assert codes(name="narma", staple_mm=Decimal("28.5")) == [("5201", Decimal("0.95"))]
    assert [code for code, _ in codes(name="rui", staple_mm=Decimal("28.5"))] == ["52010015", "5201"]
    for name, document in (("kapas", "SEED_COTTON"), ("sut", "YARN"), ("MCU-5", "FIBRE"), ("gram", "PULSE")):
        assert category(staff, name=name)[0] == document, name


def category(staff, **asked):
    found = staff.write(f"{BASE}/ai/detect-category", asked).json()
    return found["category"], [each["category"] for each in found["alternatives"]]


def test_a_category_is_suggested_from_commodities_phrases_and_description(staff, cotton, commodity):
    commodity(name="Kapas", category="SEED_COTTON", aliases=["narma"])
    assert category(staff, name="Narma") == ("SEED_COTTON", [])
    assert category(staff, name="kapas") == ("SEED_COTTON", ["FIBRE"])
    assert category(staff, name="Cotton Yarn 30s") == ("YARN", [])
    assert category(staff, name="S-6") == ("FIBRE", [])
    assert category(staff, name="Grey cotton fabric") == ("FABRIC", [])
    assert category(staff, name="Maize, moong and paddy") == ("CEREAL", ["PULSE"])
    assert category(staff, name="DOC", description="Cotton seed oil cake") == ("OILCAKE", [])
    answer = staff.write(f"{BASE}/ai/detect-category", {"name": "granite"}).json()
    assert (answer["category"], answer["confidence"], answer["is_suggestion"]) == (None, "0.000", True)
    assert answer["reasons"] == [{"code": "unknown", "facts": {}}]


def test_templates_that_a_commodity_lacks_are_suggested_in_their_order(staff, commodity):
    shape = {"data_type": "TEXT", "direction": "NONE", "methods": ["CLASSER"]}
    for code, order, of in (("leaf", 20, "FIBRE"), ("colour", 10, "FIBRE"), ("csp", 5, "YARN")):
        parameters.create_template(
            actor=SYSTEM, category=of, code=code, name=code.title(), display_order=order, **shape
        )
    goods = commodity()
    path = f"{BASE}/{goods.pk}/ai/suggest-parameters"
    assert [row["code"] for row in staff.write(path, {}).json()["results"]] == ["colour", "leaf"]
    assert [row["code"] for row in staff.write(path, {"limit": 1}).json()["results"]] == ["colour"]
    parameters.create_parameter(actor=SYSTEM, commodity=goods, code="colour", name="Colour", **shape)
    (left,) = staff.write(path, {}).json()["results"]
    assert (left["code"], left["provider"], left["is_suggestion"]) == ("leaf", "builtin", True)


@pytest.mark.slow
def test_a_thousand_suggestions_are_equal_and_store_nothing(cotton):
    def rows():
        return {model: model._base_manager.count() for model in apps.get_app_config("commodity").get_models()}

    before = rows()
    answers = {
        tuple(codes(name=name)) for _ in range(1000 // 4) for name in ("S-6", "s-6", "S-6 ", "\uff33-6")
    }
    assert answers == {(("5201", Decimal("0.95")),)}
    assert rows() == before
    assert not HsnMapping.objects.exists()
