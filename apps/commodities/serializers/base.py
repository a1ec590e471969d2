"""Fields that several inputs and outputs share."""

from typing import Any

from rest_framework.fields import empty

from apps.commodities.models import base, units
from apps.commodities.models.base import CODE_FORMAT, UNIT_FORMAT
from apps.commodities.models.commodities import HSN_FORMAT
from erp.api import fields
from erp.api.serializers import Input

CODE, HSN, UNIT = CODE_FORMAT, HSN_FORMAT, UNIT_FORMAT


class UnitField(fields.CharField):
    """The code of a unit, validated to the unit."""

    default_error_messages = {"does_not_exist": "This unit does not exist."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"validators": [UNIT], **kwargs})

    def run_validation(self, data: Any = empty) -> Any:
        code = super().run_validation(data)
        if code is None:
            return None
        unit = units.Unit.objects.filter(code=code).first()
        if unit is None:
            self.fail("does_not_exist")
        return unit


class FigureField(fields.DecimalField):
    """A figure of quality, in the unit of its parameter."""

    def __init__(self, **kwargs: Any) -> None:
        shape = {"max_digits": 18, "decimal_places": 6, "required": False, "allow_null": True}
        super().__init__(**{**shape, **kwargs})


MOST_ROWS = 50


def rows(shape: type[Input], most: int = MOST_ROWS, **options: Any) -> Any:
    """A list of small rows within a row; empty where it is left out."""
    return shape.many_init(required=False, max_length=most, **options)


class SimpleStatus(Input):
    """Fields of an update: the status, and the fields of a new row."""

    status = fields.ChoiceField(choices=base.Simple.Status.choices)
