"""What inputs and answers take over from the columns of a model."""

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxLengthValidator, MinLengthValidator
from django.db import models
from django.db.models import F, Q

from erp.api import fields
from erp.api.serializers import Input, Output, input_field
from erp.columns import Row, RowsField, bounds_of, matches, within
from erp.models import Model


class Rest(Row):
    """A pause of the loom."""

    names = ("RestRow", "")

    minutes = models.PositiveSmallIntegerField(validators=within(1, 90))
    reason = models.CharField(max_length=20, default="", blank=True)


class Loom(Model):
    """A row that no table holds."""

    class Kind(models.TextChoices):
        AIR = "AIR"
        RAPIER = "RAPIER"

    code = models.CharField(max_length=8, validators=[matches("[A-Z]+", "Use A–Z.")])
    name = models.CharField(
        "loom's name", max_length=40, help_text="As on its plate.", validators=[MinLengthValidator(2)]
    )
    kind = models.CharField(max_length=6, choices=Kind, null=True, blank=True)
    speed = models.DecimalField(max_digits=6, decimal_places=2, default=Decimal(1))
    width = models.IntegerField(null=True, blank=True)
    slack = models.IntegerField(default=0)
    note = models.CharField(max_length=100, default="", blank=True)
    twin = models.ForeignKey("self", models.PROTECT, null=True, blank=True)
    tags = ArrayField(
        models.CharField(max_length=10), default=list, blank=True, validators=[MaxLengthValidator(2)]
    )
    rests = RowsField(Rest, most=3)

    class Meta(Model.Meta):
        app_label = "erp_tests_columns"
        managed = False
        constraints: ClassVar = [
            models.CheckConstraint(
                name="speed", condition=Q(speed__range=(0, 900)) & Q(slack__lte=F("width"))
            ),
            models.CheckConstraint(name="width", condition=Q(width=None) | Q(width__gte=50)),
            models.CheckConstraint(name="slack", condition=Q(kind="AIR", slack__gte=5) | Q(kind="RAPIER")),
        ]


class LoomInput(Input):
    note = fields.CharField(max_length=5, required=False)

    class Meta:
        model = Loom
        fields = ("code", "name", "kind", "speed", "width", "note", "twin", "tags", "rests")
        options: ClassVar = {"kind": {"required": True}}


class LoomOutput(Output):
    class Meta:
        model = Loom
        fields = ("code", "rests")


class ShortInput(LoomInput):
    tags = None


def column(name: str) -> Any:
    return Loom._meta.get_field(name)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("speed", (Decimal(0), Decimal(900))),
        ("width", (50, 2147483647)),
        ("slack", (-2147483648, 2147483647)),  # what holds beside another column bounds nothing by itself
    ],
)
def test_bounds_of_a_column_come_from_its_validators_and_check_constraints(name, bounds):
    assert bounds_of(column(name)) == bounds


def test_an_input_takes_length_format_choices_and_words_from_the_model():
    made = LoomInput().fields
    assert list(made) == ["code", "name", "kind", "speed", "width", "note", "twin_id", "tags", "rests"]
    assert (made["name"].label, made["name"].help_text) == ("Loom's name", "As on its plate.")
    assert [name for name, field in made.items() if field.required] == ["code", "name", "kind"]
    assert [name for name, field in made.items() if field.allow_null] == ["kind", "width", "twin_id"]
    assert (made["note"].max_length, input_field(column("note")).allow_blank) == (5, True)
    assert "tags" not in ShortInput().fields
    assert (made["code"].max_length, made["twin_id"].source) == (None, "twin")


@pytest.mark.parametrize(
    ("wrong", "pointer", "code"),
    [
        ({"code": "a"}, "code", "format"),
        ({"name": "x"}, "name", "min_length"),
        ({"kind": "HAND"}, "kind", "invalid_choice"),
        ({"speed": "900.01"}, "speed", "max_value"),
        ({"width": 49}, "width", "min_value"),
        ({"tags": ["a", "a"]}, "tags", "doubled"),
        ({"tags": ["a", "b", "c"]}, "tags", "max_length"),
        ({"rests": [{"minutes": 91}]}, "rests", "max_value"),
        ({"rests": [{"minutes": 1}] * 4}, "rests", "max_length"),
    ],
)
def test_an_input_refuses_what_the_model_does(wrong, pointer, code):
    taken = LoomInput(data={"code": "L", "name": "Loom", "kind": None, **wrong})
    assert not taken.is_valid()
    assert list(taken.errors) == [pointer]
    assert f"code='{code}'" in repr(taken.errors)


def test_rows_within_a_row_hold_every_member_and_go_out_as_they_are():
    taken = LoomInput(data={"code": "L", "name": "Loom", "kind": "AIR", "rests": [{"minutes": 5}]})
    taken.is_valid(raise_exception=True)
    rests = taken.validated_data["rests"]
    assert [dict(rest) for rest in rests] == [{"minutes": 5, "reason": ""}]
    assert LoomOutput(Loom(code="L", rests=rests)).data["rests"] == [{"minutes": 5, "reason": ""}]
    shapes = type(LoomInput().fields["rests"].child), type(LoomOutput().fields["rests"].child)
    assert [shape.__name__ for shape in shapes] == ["RestRow", "RestOutput"]


def test_migrations_see_a_plain_json_column():
    assert column("rests").deconstruct()[1:] == (
        "django.db.models.JSONField",
        [],
        {"default": list, "blank": True},
    )
