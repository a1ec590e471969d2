"""Quality parameters: typed, ordered limits, fixed methods, and templates that are copied once."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connections

from apps.commodities.events import parameters as events
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.services import parameters as services
from apps.commodities.tests.examples import MICRONAIRE
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
PATH = "/api/v1/quality-parameters"
TEMPLATES = "/api/v1/parameter-templates"
GRADE_CODES = [
    {"code": code, "label": code.upper(), "rank": rank} for rank, code in enumerate(("g2", "g1"), 1)
]
KCA = {
    "name": "KCA grade",
    "data_type": "ENUM",
    "methods": ["CLASSER"],
    "direction": "HIGHER",
    "choices": GRADE_CODES,
}


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


@pytest.fixture
def cotton(commodity):
    return commodity()


@pytest.fixture
def add(staff, cotton):
    def send(**fields):
        body = {"commodity_id": str(cotton.pk), "code": "micronaire", **MICRONAIRE, **fields}
        return staff.write(PATH, {name: value for name, value in body.items() if value is not ...})

    return send


def code_of(answer):
    return (
        answer.status_code,
        answer.json()["code"],
        [fault["pointer"] for fault in answer.json().get("errors", [])],
    )


def test_a_new_parameter_is_an_event_in_the_stream_of_its_commodity(add, cotton, assert_emitted):
    made = add(is_mandatory=True, usual_min="0", possible_min="0")
    row = made.json()
    assert (made.status_code, row["default_method"], row["template_id"]) == (201, "HVI", None), made.content
    assert (row["usual_min"], row["usual_max"]) == ("0.000000", "5.500000")  # zero is a value
    event = assert_emitted(
        events.ParameterAdded,
        commodity_id=str(cotton.pk),
        parameter_id=row["id"],
        unit="index",
        direction="TARGET",
        is_mandatory=True,
    )
    assert (event.aggregate_type, str(event.aggregate_id)) == ("commodity", str(cotton.pk))


def test_an_enum_has_choices_and_no_figures(add):
    made = add(code="kca_grade", **dict.fromkeys(MICRONAIRE, ...) | KCA)
    assert (made.status_code, made.json()["choices"]) == (201, GRADE_CODES), made.content


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"unit": None}, "fields_contradict", "/unit"),
        ({"precision": None}, "fields_contradict", "/precision"),
        ({"data_type": "INTEGER"}, "fields_contradict", "/precision"),
        ({"target_low": None}, "fields_contradict", "/target_low"),
        ({"target_low": None, "target_high": None}, "fields_contradict", "/target_low"),
        ({"direction": "HIGHER"}, "fields_contradict", "/target_low"),
        ({"choices": GRADE_CODES}, "fields_contradict", "/choices"),
        ({"default_method": "CLASSER"}, "fields_contradict", "/default_method"),
        ({**dict.fromkeys(MICRONAIRE, ...), **KCA, "unit": "%"}, "fields_contradict", "/unit"),
        ({**dict.fromkeys(MICRONAIRE, ...), **KCA, "usual_min": "1"}, "fields_contradict", "/usual_min"),
        (
            {**dict.fromkeys(MICRONAIRE, ...), **KCA, "choices": GRADE_CODES[:1]},
            "fields_contradict",
            "/choices",
        ),
        (
            {**dict.fromkeys(MICRONAIRE, ...), **KCA, "choices": GRADE_CODES * 2},
            "fields_contradict",
            "/choices/2/code",
        ),
        ({"target_low": "5"}, "limits_inverted", "/target_high"),
        ({"possible_min": "7.1"}, "limits_inverted", "/possible_max"),
        ({"usual_min": "5.6"}, "limits_inverted", "/usual_max"),
        ({"usual_min": "1.9"}, "outside_possible", "/usual_min"),
        ({"usual_max": "7.1"}, "outside_possible", "/usual_max"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_its_field(add, fields, code, pointer):
    status, problem, pointers = code_of(add(**fields))
    assert (status, problem) == (422, f"commodity.{code}")
    assert pointer in pointers
    assert not QualityParameter.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"tolerance": "-0.1"},
        {"usual_min": "1e3"},
        {"usual_min": "NaN"},
        {"usual_min": "３"},
        {"usual_min": 3},
        {"precision": 7},
        {"methods": []},
        {"methods": ["HVI", "HVI"]},
        {"methods": [f"M{n}" for n in range(11)]},
        {"code": "Micronaire"},
        {"unit": "furlong"},
        {"name": ...},
        {"direction": ...},
        {"template_id": "01890a5d-ac96-774b-bcce-b302099a8057"},
    ],
)
def test_what_is_out_of_shape_is_400(add, fields):
    assert add(**fields).status_code == 400


def test_code_and_name_of_a_parameter_are_unique_within_the_commodity(add, cotton, commodity):
    assert add().status_code == 201
    assert code_of(add(name="Other"))[:2] == (409, "commodity.duplicate")
    assert code_of(add(code="other", name="  ＭICRONAIRE "))[:2] == (409, "commodity.duplicate")
    assert add(commodity_id=str(commodity().pk)).status_code == 201


def test_type_and_unit_are_fixed_and_methods_only_added(add, staff):
    path = add()["Location"]
    for fields, pointer in (
        ({"unit": "ratio"}, "/unit"),
        ({"data_type": "INTEGER", "precision": None}, "/data_type"),
        ({"methods": ["AIRFLOW"]}, "/methods"),
    ):
        answer = staff.write(path, {**MICRONAIRE, **fields, "status": "ACTIVE"}, method="PUT", if_match=1)
        assert code_of(answer) == (409, "commodity.in_force", [pointer])
    more = {**MICRONAIRE, "methods": ["AIRFLOW", "HVI", "AFIS"], "default_method": "HVI", "status": "ACTIVE"}
    assert staff.write(path, more, method="PUT", if_match=1).status_code == 200


def test_an_update_event_has_old_and_new_values_and_equal_values_emit_none(
    add, staff, emitted, assert_emitted
):
    path = add()["Location"]
    assert staff.write(path, {**MICRONAIRE, "status": "ACTIVE"}, method="PUT").status_code == 428
    same = staff.write(
        path, {**MICRONAIRE, "usual_max": "5.50", "status": "ACTIVE"}, method="PUT", if_match=1
    )
    assert (same.status_code, same["ETag"], emitted("commodity.parameter.updated")) == (200, '"1"', [])
    less = staff.write(
        path,
        {**MICRONAIRE, "name": "Mic", "usual_max": "5.4", "status": "ARCHIVED"},
        method="PUT",
        if_match=1,
    )
    assert less.status_code == 200
    assert_emitted(
        events.ParameterUpdated,
        version=2,
        changes={
            "name": {"old": "Micronaire", "new": "Mic"},
            "usual_max": {"old": "5.500000", "new": "5.4"},
            "status": {"old": "ACTIVE", "new": "ARCHIVED"},
        },
    )
    stale = staff.write(path, {**MICRONAIRE, "status": "ACTIVE"}, method="PUT", if_match=1)
    assert (stale.status_code, stale["ETag"]) == (412, '"2"')


def test_a_template_is_copied_once_and_submitted_values_take_precedence(staff, cotton, assert_emitted):
    made = staff.write(TEMPLATES, {"category": "FIBRE", "code": "micronaire", **MICRONAIRE})
    assert made.status_code == 201, made.content
    template = made.json()
    assert_emitted(events.ParameterTemplateCreated, template_id=template["id"], category="FIBRE")
    copied = staff.write(
        PATH,
        {
            "commodity_id": str(cotton.pk),
            "template_id": template["id"],
            "tolerance": "0.1",
            "is_mandatory": True,
        },
    )
    row = copied.json()
    assert copied.status_code == 201, copied.content
    assert (row["code"], row["template_id"], row["tolerance"]) == ("micronaire", template["id"], "0.100000")
    assert {row[name] for name in ("target_low", "usual_min")} == {"3.500000", "3.000000"}
    changed = staff.write(
        made["Location"], {**MICRONAIRE, "name": "Fineness", "status": "ACTIVE"}, method="PUT", if_match=1
    )
    assert changed.status_code == 200
    assert_emitted(
        events.ParameterTemplateUpdated, changes={"name": {"old": "Micronaire", "new": "Fineness"}}
    )
    assert staff.read(copied["Location"]).json()["name"] == "Micronaire"


def test_archived_templates_and_commodities_get_no_new_parameters(staff, cotton):
    template = services.create_template(actor=SYSTEM, category="FIBRE", code="micronaire", **MICRONAIRE)
    services.update_template(template, actor=SYSTEM, **MICRONAIRE, status="ARCHIVED")
    body = {"commodity_id": str(cotton.pk), "template_id": str(template.pk)}
    assert code_of(staff.write(PATH, body)) == (422, "commodity.not_active", ["/template_id"])


@pytest.fixture
def strength(cotton):
    return services.create_parameter(
        actor=SYSTEM,
        commodity=cotton,
        code="strength",
        name="Strength",
        data_type="DECIMAL",
        unit="g/tex",
        methods=["HVI"],
        precision=1,
        direction="HIGHER",
        possible_min=Decimal(15),
        possible_max=Decimal(50),
    )


def test_presets_name_parameters_of_the_commodity_within_what_is_possible(staff, cotton, strength, commodity):
    def send(*presets, **fields):
        body = {"commodity_id": str(cotton.pk), "code": "SUVIN", "name": "Suvin", "presets": list(presets)}
        return staff.write("/api/v1/varieties", {**body, **fields})

    row = {"parameter_id": str(strength.pk), "low": "34"}
    for refused, code, pointer in (
        ((row, row), "fields_contradict", "/presets/1/parameter_id"),
        (({"parameter_id": str(strength.pk)},), "fields_contradict", "/presets/0"),
        (({**row, "high": "33"},), "limits_inverted", "/presets/0/high"),
        (({**row, "low": "14.9"},), "outside_possible", "/presets/0/low"),
        (({**row, "high": "50.1"},), "outside_possible", "/presets/0/high"),
    ):
        assert code_of(send(*refused)) == (422, f"commodity.{code}", [pointer])
    other = send(row, commodity_id=str(commodity().pk))
    assert code_of(other) == (422, "commodity.other_commodity", ["/presets/0/parameter_id"])
    assert send({**row, "parameter_id": "01890a5d-ac96-774b-bcce-b302099a8057"}).status_code == 400
    made = send(row)
    assert made.json()["presets"] == [{"parameter_id": str(strength.pk), "low": "34.000000", "high": None}]


def test_an_equal_preset_is_no_change_and_an_archived_parameter_may_remain(staff, cotton, strength, emitted):
    row = {"parameter_id": str(strength.pk), "low": "34"}
    body = {"commodity_id": str(cotton.pk), "code": "SUVIN", "name": "Suvin", "presets": [row]}
    path = staff.write("/api/v1/varieties", body)["Location"]
    values = {name: getattr(strength, name) for name in ("name", "data_type", "unit", "methods", "direction")}
    services.update_parameter(
        strength, actor=SYSTEM, **values, precision=1, possible_max=Decimal(50), status="ARCHIVED"
    )
    values = {"name": "Suvin", "presets": [{**row, "low": "34.0"}], "status": "ACTIVE"}
    assert staff.write(path, values, method="PUT", if_match=1).status_code == 200
    assert emitted("commodity.variety.updated") == []
    again = staff.write("/api/v1/varieties", {**body, "code": "DCH-32", "name": "DCH-32"})
    assert code_of(again)[:2] == (422, "commodity.not_active")


def test_partners_read_and_are_refused_every_write_by_its_capability(
    add, cotton, user, client_for, commodity
):
    made = add().json()
    draft = commodity(active=False)
    hidden = services.create_parameter(actor=SYSTEM, commodity=draft, code="micronaire", **MICRONAIRE)
    buyer = client_for(user("BUYER"))
    assert [row["id"] for row in buyer.read(PATH).json()["results"]] == [made["id"]]
    parts = buyer.read(f"/api/v1/commodities/{cotton.pk}/quality-parameters").json()["results"]
    assert [row["links"]["self"] for row in parts] == [f"{PATH}/{made['id']}"]
    assert buyer.read(f"{PATH}/{hidden.pk}").status_code == 404
    assert buyer.read(f"/api/v1/commodities/{draft.pk}/quality-parameters").status_code == 404
    for path, method in ((PATH, "POST"), (TEMPLATES, "POST"), (f"{PATH}/{made['id']}", "PUT")):
        answer = buyer.write(path, {}, method=method, if_match=1 if method == "PUT" else None)
        assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.manage_specifications")


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_posts_of_one_name_one_is_stored(user, commodity, client_for):
    cotton, people = commodity(), [user("INTERNAL_MASTERDATA") for _ in range(20)]
    spellings = ("Micronaire", "MICRONAIRE", "micronaire", "Ｍicronaire")

    def send(place):
        try:
            body = {"commodity_id": str(cotton.pk), **MICRONAIRE, "code": f"code_{place}"}
            return client_for(people[place]).write(PATH, {**body, "name": spellings[place % 4]}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(send, range(20)))
    assert statuses == [201] + [409] * 19
    assert QualityParameter.objects.count() == 1
