"""What a model says about single values: bounds of a column, and rows within a JSON column."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q


def within(low: Any = None, high: Any = None) -> list[Any]:
    """Validators of a column whose values lie between two bounds, both inclusive; None leaves an end open."""
    limits = ((MinValueValidator, low), (MaxValueValidator, high))
    return [validator(limit) for validator, limit in limits if limit is not None]


def matches(pattern: str, message: str) -> RegexValidator:
    """The whole text must fit ``pattern``; else the fault ``format`` with ``message``."""
    return RegexValidator(rf"\A(?:{pattern})\Z", message, code="format")


COUNTRY = matches("[A-Z]{2}", "Send an ISO 3166-1 country code of two letters, such as IN.")
CURRENCY = matches("[A-Z]{3}", "Send an ISO 4217 code of three letters, such as INR.")


def bounds_of(column: Any) -> tuple[Any, Any]:
    """The least and the greatest value that validators and check constraints allow; None: an end is open.

    Of a constraint counts what holds for the column alone: a ``range``, ``gte`` or ``lte``, also beside "or null".
    """
    lows, highs = [], []
    for validator in column.validators:
        if isinstance(validator, MinValueValidator):
            lows.append(validator.limit_value)
        elif isinstance(validator, MaxValueValidator):
            highs.append(validator.limit_value)
    for lookup, limit in _conditions(column):
        lows += [limit[0]] if lookup == "range" else [limit] if lookup == "gte" else []
        highs += [limit[1]] if lookup == "range" else [limit] if lookup == "lte" else []
    ends = (max(lows, default=None), min(highs, default=None))
    low, high = (None if end is None else column.to_python(end) for end in ends)
    return low, high


def _conditions(column: Any) -> Iterator[tuple[str, Any]]:
    model = getattr(column, "model", None)
    for constraint in model._meta.constraints if model is not None else ():
        for part in _conjuncts(getattr(constraint, "condition", None)):
            alternatives = part.children if isinstance(part, Q) and not part.negated else [part]
            others = [each for each in alternatives if each != (column.name, None)]
            if len(others) == 1 and isinstance(others[0], tuple):
                name, _, lookup = others[0][0].partition("__")
                limit = others[0][1]
                if name == column.name and not hasattr(limit, "resolve_expression"):
                    yield lookup, limit


def _conjuncts(condition: Any) -> list[Any]:
    if not isinstance(condition, Q) or condition.negated:
        return []
    return list(condition.children) if condition.connector == Q.AND else [condition]


class Row:
    """The shape of the objects in a ``RowsField``: a class whose attributes are model fields, never a table.

    ``names`` are those of its input and its answer in the OpenAPI document, where they aren't the class's own.
    """

    names: ClassVar[tuple[str, str]] = ("", "")
    columns: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.columns = {name: field for name, field in vars(cls).items() if isinstance(field, models.Field)}
        for name, field in cls.columns.items():
            field.set_attributes_from_name(name)


class RowsField(models.JSONField):
    """A list of small rows, stored with the row that they belong to; the database sees plain JSON."""

    def __init__(self, shape: type[Row] | None = None, *, most: int = 50, **options: Any) -> None:
        self.shape: Any = shape or Row
        self.most = most
        super().__init__(**{"default": list, "blank": True, **options})

    def deconstruct(self) -> Any:
        """As a JSON column: migrations don't depend on the shape of the rows."""
        name, _, args, options = super().deconstruct()
        return name, "django.db.models.JSONField", args, options
