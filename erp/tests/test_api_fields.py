"""Strict input: what each field accepts, what it refuses with which code, and that every error is reported."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import models
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from erp.api import fields
from erp.api.parsers import parse_json
from erp.api.serializers import Input, LookupOutput, Output, faults_from, invalid
from erp.api.validators import refuse_web_address
from erp.models import Model

ID = "01993c1e-7d2a-7abc-8def-0123456789ab"


def code(field: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        field.run_validation(value)
    return faults_from(caught.value.detail)[0].code


def refused(serializer: type[Input], data: Any, **context: Any) -> list[tuple[str, str]]:
    body = serializer(data=data, context=context)
    assert not body.is_valid()
    return [(fault.pointer, fault.code) for fault in faults_from(body.errors)]


@pytest.mark.parametrize("value", [5, True, Decimal("1.5"), ["a"], {"a": 1}])
def test_text_is_text_and_nothing_else(value):
    assert code(fields.CharField(), value) == "invalid"


def test_text_is_trimmed_and_composed():
    assert fields.CharField().run_validation("  Cafe\u0301 \u00a0") == "Caf\u00e9"


def test_length_counts_the_stored_text():
    assert fields.CharField(max_length=4).run_validation("  cafe\u0301  ") == "caf\u00e9"
    assert code(fields.CharField(max_length=3), "cafe") == "too_long"
    assert code(fields.CharField(min_length=3), " ab ") == "too_short"


@pytest.mark.parametrize(
    "value", ["a\x00b", "a\x1bb", "a\nb", "a\u0085b", "a\u2028b", "a\u202eb", "a\u2066b"]
)
def test_control_characters_are_refused(value):
    assert code(fields.CharField(), value) in ("control_character", "null_character")


def test_several_lines_are_taken_where_they_are_wanted():
    assert fields.CharField(multiline=True).run_validation("a\r\n\tb\n") == "a\n\tb"
    assert code(fields.CharField(multiline=True), "a\x07b") == "control_character"


def test_joiners_of_indic_scripts_pass():
    assert fields.CharField().run_validation("क्\u200dष") == "क्\u200dष"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("\u200b", "invisible"),
        ("\u2800 \u3164", "invisible"),
        ("a\uffff", "noncharacter"),
        ("a\U0010fffe", "noncharacter"),
        ("a\ud800", "lone_surrogate"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"multiline": True}, {"allow_blank": True}, {"allow_null": True}])
def test_unreadable_text_is_refused_in_every_field(value, fault, options):
    assert code(fields.CharField(**options), value) == fault
    assert code(fields.ListField(child=fields.CharField(**options)), [value]) == fault
    assert code(fields.DictField(child=fields.CharField(**options)), {"x": value}) == fault


def test_a_password_may_be_of_blanks_but_not_of_noncharacters():
    field = fields.CharField(trim_whitespace=False)
    assert field.run_validation(" \u2003 ") == " \u2003 "
    assert code(field, " \uffff ") == "noncharacter"


def test_names_of_an_object_are_text_too():
    field = fields.DictField(child=fields.CharField())
    assert field.run_validation({"Cafe\u0301": "a"}) == {"Caf\u00e9": "a"}
    assert code(field, {"a\uffff": "a"}) == "noncharacter"
    assert code(field, {"a\u202e": "a"}) == "control_character"
    assert code(field, {"Cafe\u0301": "a", "Caf\u00e9": "b"}) == "doubled"


def test_blank_is_refused_unless_allowed():
    assert code(fields.CharField(), " \t ") == "blank"
    assert fields.CharField(allow_blank=True).run_validation("  ") == ""


@pytest.mark.parametrize("value", ["1", True, Decimal("1.0"), Decimal("1E+2"), None, "１", [1]])
def test_an_integer_is_a_whole_json_number(value):
    assert code(fields.IntegerField(), value) in ("invalid", "null")


def test_an_integer_stays_within_64_bits_and_its_own_range():
    assert fields.IntegerField().run_validation(-(2**63)) == -(2**63)
    assert code(fields.IntegerField(), 2**63) == "out_of_range"
    assert code(fields.IntegerField(min_value=1), 0) == "out_of_range"
    assert code(fields.IntegerField(max_value=9), 10) == "out_of_range"


@pytest.mark.parametrize("value", [1, 0, "true", "yes", "", Decimal(1), []])
def test_a_boolean_is_true_or_false(value):
    assert code(fields.BooleanField(), value) == "invalid"


def test_true_and_false_are_themselves():
    assert fields.BooleanField().run_validation(True) is True
    assert fields.BooleanField().run_validation(False) is False


@pytest.mark.parametrize(
    "value",
    [100, Decimal("100.5"), True, "1e2", "1E2", "1,00", "1_0", "１２", "٣", "+1", " 1", "1 ", "1\n", ".5",
     "5.", "007", "", "--1", "0x10", "NaN", "Infinity", "1.2.3", ["1"]],
)  # fmt: skip
def test_a_decimal_is_text_in_plain_notation(value):
    assert code(fields.DecimalField(18, 3), value) == "not_a_decimal_string"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", "100"),
        ("-0.5", "-0.5"),
        ("0", "0"),
        ("999999999999999.999", "999999999999999.999"),
        ("1.500", "1.500"),
        ("-0.00", "0.00"),
    ],
)
def test_a_decimal_is_stored_exactly(text, value):
    number = fields.DecimalField(18, 3).run_validation(text)
    assert (number, str(number)) == (Decimal(value), value)


def test_a_decimal_is_never_rounded_nor_cut():
    assert code(fields.DecimalField(18, 3), "0.0001") == "too_many_decimals"
    assert code(fields.DecimalField(18, 3), "1.0000") == "too_many_decimals"
    assert code(fields.DecimalField(18, 3), "1000000000000000") == "out_of_range"
    assert code(fields.DecimalField(3, 3), "1.000") == "out_of_range"
    assert fields.DecimalField(3, 3).run_validation("0.999") == Decimal("0.999")
    assert code(fields.DecimalField(None, None), "9" * 101) == "out_of_range"
    assert code(fields.DecimalField(18, 3, min_value=Decimal("0.001")), "0") == "out_of_range"
    assert code(fields.DecimalField(18, 3, max_value=Decimal(20)), "20.001") == "out_of_range"


def test_the_fault_of_a_bare_number_shows_what_to_send():
    with pytest.raises(ValidationError) as caught:
        fields.DecimalField(18, 3).run_validation(100)
    assert '"100"' in str(caught.value.detail[0])


@pytest.mark.parametrize(
    "value",
    [
        "20260203",
        "2026-W06-2",
        "2026-2-3",
        "2026-02-30",
        "2026-02-03T00:00:00Z",
        "２026-02-03",
        20260203,
        "",
        "2026-02-03 ",
    ],
)
def test_a_day_is_written_one_way(value):
    assert code(fields.DateField(), value) == "invalid"


def test_a_day_is_of_a_year_that_business_knows():
    assert fields.DateField().run_validation("2024-02-29") == date(2024, 2, 29)
    assert code(fields.DateField(), "1899-12-31") == "out_of_range"
    assert code(fields.DateField(), "2201-01-01") == "out_of_range"
    assert code(fields.DateField(), "0001-01-01") == "out_of_range"


@pytest.mark.parametrize(
    "value",
    ["2026-02-03T04:05:06", "2026-02-03", "2026-02-03 04:05:06Z", "2026-02-03T04:05Z", "2026-02-03T25:00:00Z",
     1770091506, "2026-02-03T04:05:60Z", "2026-02-03T04:05:06.1234567Z", "2026-02-03T04:05:06+0530",
     "2026-02-03T04:05:06+99:00"],
)  # fmt: skip
def test_a_moment_needs_its_offset(value):
    assert code(fields.DateTimeField(), value) == "invalid"


@pytest.mark.parametrize(
    "value", ["2026-02-03T04:05:06.5Z", "2026-02-03t09:35:06.5+05:30", "2026-02-02T22:05:06.500-06:00"]
)
def test_a_time_is_stored_in_utc(value):
    moment = fields.DateTimeField().run_validation(value)
    assert moment == datetime(2026, 2, 3, 4, 5, 6, 500_000, UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "value", [ID.replace("-", ""), "{" + ID + "}", "urn:uuid:" + ID, ID + "\n", 5, "", "x"]
)
def test_an_id_is_a_canonical_uuid(value):
    assert code(fields.UUIDField(), value) == "invalid"


def test_a_choice_is_written_exactly():
    field = fields.ChoiceField(choices=[("RAW", "Raw"), ("1", "One")])
    assert field.run_validation("RAW") == "RAW"
    assert [code(field, value) for value in ("raw", 1, " RAW", ["RAW"], {})] == ["not_a_choice"] * 5


@pytest.mark.parametrize("value", ["ab", {"a": 1}, 5])
def test_a_list_is_a_list(value):
    assert code(fields.ListField(child=fields.CharField()), value) == "not_a_list"


def test_a_list_that_wants_each_once_names_the_repeats():
    class Tags(Input):
        tags = fields.ListField(child=fields.CharField(), unique=True, max_length=3)

    assert refused(Tags, {"tags": ["a", "b", " a"]}) == [("/tags/2", "doubled")]
    assert refused(Tags, {"tags": ["a", "b", "c", "d"]}) == [("/tags", "too_long")]


def test_free_names_are_bounded_and_their_values_strict():
    class Readings(Input):
        readings = fields.DictField(child=fields.DecimalField(5, 2), key_length=5)

    assert refused(Readings, {"readings": {"mic/x": 4.5, "length": "1"}}) == [
        ("/readings/length", "too_long")
    ]
    assert refused(Readings, {"readings": {"mic/x": 4.5}}) == [("/readings/mic~1x", "not_a_decimal_string")]


class Lot(Input):
    number = fields.CharField(max_length=10)
    crop_year = fields.IntegerField(required=False)


class Offer(Input):
    quantity = fields.DecimalField(18, 3)
    note = fields.CharField(required=False, allow_null=True)
    lots = Lot(many=True, required=False, max_length=3)
    place = Lot(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("note") == "both":
            raise ValidationError({"quantity": ["Too much."], "lots": ["Too few."]})
        if attrs.get("note") == "none":
            raise ValidationError("Not together.")
        return attrs


def test_values_come_out_as_what_they_are():
    body = Offer(data=parse_json(b'{"quantity": "1.5", "note": null, "lots": [{"number": " A "}]}'))
    assert body.is_valid()
    assert dict(body.validated_data) == {"quantity": Decimal("1.5"), "note": None, "lots": [{"number": "A"}]}


def test_every_error_is_reported_with_its_pointer():
    data = {
        "quantity": 100,
        "lots": [{"number": "A"}, {"crop_year": "2025", "grade": 1}, 5],
        "place": [],
        "a/b": 1,
        "~": 2,
    }
    assert refused(Offer, data) == [
        ("/quantity", "not_a_decimal_string"),
        ("/lots/1/number", "required"),
        ("/lots/1/crop_year", "invalid"),
        ("/lots/1/grade", "unknown_field"),
        ("/lots/2", "not_an_object"),
        ("/place", "not_an_object"),
        ("/a~1b", "unknown_field"),
        ("/~0", "unknown_field"),
    ]


@pytest.mark.parametrize(
    ("data", "fault"), [([], "not_an_object"), ("x", "not_an_object"), (None, "null"), (5, "not_an_object")]
)
def test_a_body_that_is_no_object_is_one_fault(data, fault):
    assert refused(Offer, data) == [("", fault)]


def test_faults_of_a_list_as_a_whole_point_to_it():
    assert refused(Offer, {"quantity": "1", "lots": {}}) == [("/lots", "not_a_list")]
    assert refused(Offer, {"quantity": "1", "lots": [{"number": "A"}] * 4}) == [("/lots", "too_long")]
    assert refused(Offer, {"quantity": None}) == [("/quantity", "null")]


def test_rules_across_fields_name_the_fields_or_the_object():
    assert refused(Offer, {"quantity": "1", "note": "both"}) == [
        ("/quantity", "invalid"),
        ("/lots", "invalid"),
    ]
    assert refused(Offer, {"quantity": "1", "note": "none"}) == [("", "invalid")]


def test_the_problem_counts_fields_and_knows_when_all_are_unknown():
    wrong = Offer(data={"quantity": 1, "x": 1})
    wrong.is_valid()
    problem = invalid(faults_from(wrong.errors))
    assert (problem.code, problem.detail) == ("request.invalid", "2 fields need attention.")
    strange = Offer(data={"quantity": "1", "x": 1})
    strange.is_valid()
    problem = invalid(faults_from(strange.errors))
    assert (problem.code, problem.detail) == ("request.unknown_field", "1 field needs attention.")


def test_multipart_text_is_read_as_strictly_as_json():
    class Import(Input):
        rows = fields.IntegerField()
        dry = fields.BooleanField()
        tags = fields.ListField(child=fields.IntegerField(), required=False)
        name = fields.CharField(required=False)

    body = Import(data=QueryDict("rows=5&dry=true&tags=1&tags=2&name=5"))
    assert body.is_valid(), body.errors
    assert dict(body.validated_data) == {"rows": 5, "dry": True, "tags": [1, 2], "name": "5"}
    assert refused(Import, QueryDict("rows=05&dry=yes&name=a&name=b&x=1")) == [
        ("/rows", "invalid"),
        ("/dry", "invalid"),
        ("/name", "doubled"),
        ("/x", "unknown_field"),
    ]


class Shelf:
    """A fake manager: rows by id, and the number of its queries."""

    def __init__(self, *ids: str) -> None:
        self.rows = [SimpleNamespace(pk=UUID(i)) for i in ids]
        self.asked: list[Any] = []

    def __call__(self, actor: Any) -> Any:
        def filter(pk__in: set[UUID]) -> list[Any]:
            self.asked.append((actor, pk__in))
            return [row for row in self.rows if row.pk in pk__in]

        return SimpleNamespace(filter=filter)

    def __deepcopy__(self, memo: Any) -> "Shelf":
        return self


OTHER = "01993c1e-7d2a-7abc-8def-00000000000"
shelf = Shelf(ID, OTHER + "1", OTHER + "2")


class Line(Input):
    partner = fields.RowField(shelf)


class Order(Input):
    buyer = fields.RowField(shelf, required=False, allow_null=True)
    lines = Line(many=True)
    watchers = fields.ListField(child=fields.RowField(shelf), required=False)


def test_ids_become_rows_with_one_query_per_field_however_many_there_are():
    shelf.asked.clear()
    data = {
        "lines": [{"partner": ID}, {"partner": OTHER + "1"}, {"partner": ID}],
        "watchers": [ID, OTHER + "2"],
        "buyer": None,
    }
    order = Order(data=data, context={"actor": "me"})
    assert order.is_valid(), order.errors
    assert [line["partner"].pk for line in order.validated_data["lines"]] == [
        UUID(ID),
        UUID(OTHER + "1"),
        UUID(ID),
    ]
    assert [actor for actor, _ in shelf.asked] == ["me", "me"]


def test_an_id_that_is_not_there_is_a_fault_at_its_place():
    data = {
        "buyer": OTHER + "9",
        "lines": [{"partner": ID}, {"partner": OTHER + "8"}, {"partner": "x"}],
        "watchers": [5],
    }
    assert refused(Order, data, actor="me") == [
        ("/buyer", "does_not_exist"),
        ("/lines/1/partner", "does_not_exist"),
        ("/lines/2/partner", "invalid"),
        ("/watchers/0", "invalid"),
    ]


class Quote(LookupOutput):
    price = fields.DecimalField(18, 2)
    at = fields.DateTimeField()
    on = fields.DateField()


@pytest.mark.parametrize(
    ("price", "text"), [("100", "100.00"), ("1E+3", "1000.00"), ("-0.5", "-0.50"), ("1.005", "1.005")]
)
def test_decimals_go_out_as_text_and_lose_nothing(price, text):
    quote = {"price": Decimal(price), "at": datetime(2026, 2, 3, tzinfo=UTC), "on": date(2026, 2, 3)}
    assert Quote(quote).data == {"price": text, "at": "2026-02-03T00:00:00Z", "on": "2026-02-03"}


def test_moments_go_out_in_utc_wherever_they_came_from():
    from zoneinfo import ZoneInfo

    moment = datetime(2026, 2, 3, 5, 30, 0, 120_000, ZoneInfo("Asia/Kolkata"))
    assert fields.DateTimeField().to_representation(moment) == "2026-02-03T00:00:00.120000Z"


class Bale(Model):
    """A row that no table holds."""

    code = models.CharField(max_length=10)
    status = models.CharField(max_length=10, choices=[("OPEN", "Open")])
    weight = models.DecimalField(max_digits=9, decimal_places=4)
    heavier = models.ForeignKey("self", models.PROTECT, null=True)

    class Meta(Model.Meta):
        app_label = "erp_tests_fields"
        managed = False


class BaleOutput(Output):
    class Meta:
        model = Bale
        fields = ("code", "weight", "heavier_id")


def test_a_row_goes_out_with_what_every_row_has():
    row = Bale(id=UUID(ID), code="B1", status="OPEN", weight=Decimal(5), heavier_id=UUID(OTHER + "1"))
    context = {"allowed_actions": lambda row: ["update"], "links": lambda row: {"self": f"/x/{row.pk}"}}
    output = BaleOutput(row, context=context).data
    assert list(output) == [
        "id", "version", "status", "code", "weight", "heavier_id",
        "created_at", "updated_at", "allowed_actions", "links",
    ]  # fmt: skip
    assert (output["id"], output["version"], output["status"], output["weight"]) == (ID, 1, "OPEN", "5.0000")
    assert output["heavier_id"] == OTHER + "1"
    assert output["updated_at"].endswith("Z")
    assert (output["allowed_actions"], output["links"]) == (["update"], {"self": f"/x/{ID}"})


def test_a_row_out_of_context_offers_nothing():
    output = BaleOutput(Bale(code="B1", weight=Decimal(5))).data
    assert (output["allowed_actions"], output["links"], output["heavier_id"]) == ([], {}, None)


@pytest.mark.parametrize("part", ["x", "x-", "a."])
def test_the_time_to_look_for_a_web_address_grows_with_the_text_and_not_faster(part):
    began = time.process_time()
    refuse_web_address(part * (60_000 // len(part)))
    assert time.process_time() - began < 5
