"""Fields that the shapes of several kinds of rows share."""

from typing import Any

from rest_framework.fields import empty

from apps.commodities import models
from erp.api import fields
from erp.api.serializers import Input
from erp.api.validators import matches

CODE = matches(models.CODE, "Use A–Z, 0–9, _ / and -, at most 32.")
HSN = matches("[0-9]{4}|[0-9]{6}|[0-9]{8}", "Send 4, 6 or 8 digits.")
UNIT = matches(models.UNIT_CODE, "Send a unit's code, such as KG or BALE.")


class AliasesField(fields.ListField):
    """Other names, at most 20."""

    def __init__(self, **kwargs: Any) -> None:
        child = fields.CharField(min_length=2, max_length=100)
        super().__init__(
            **{"child": child, "unique": True, "required": False, "max_length": models.MOST_ALIASES, **kwargs}
        )


class UnitField(fields.CharField):
    """The code of a unit; validated, it is the unit."""

    default_error_messages = {"does_not_exist": "There is no such unit."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"validators": [UNIT], **kwargs})

    def run_validation(self, data: Any = empty) -> Any:
        code = super().run_validation(data)
        if code is None:
            return None
        unit = models.Unit.objects.filter(code=code).first()
        if unit is None:
            self.fail("does_not_exist")
        return unit


class FigureField(fields.DecimalField):
    """A figure of quality, in the unit of its parameter."""

    def __init__(self, **kwargs: Any) -> None:
        shape = {"max_digits": 18, "decimal_places": 6, "required": False, "allow_null": True}
        super().__init__(**{**shape, **kwargs})


MOST_ROWS = 50


def rows(shape: type[Input], most: int = MOST_ROWS) -> Any:
    """A list of small rows within a row; none where it is left out."""
    return shape.many_init(required=False, max_length=most)


class SimpleStatus(Input):
    """What PUT takes beside the fields of POST, for rows that are in use or archived."""

    status = fields.ChoiceField(choices=models.Simple.Status.choices)
