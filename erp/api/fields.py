"""One strict set of fields: a value is accepted exactly or refused, never guessed, rounded or truncated.

Each field also reads itself from text (``from_text``), for query parameters and multipart parts.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty

from erp.identifiers import AADHAAR, Identifier, IdentifierInvalid
from erp.text import UnstorableText, normalise

INT64 = (-(2**63), 2**63 - 1)
YEARS = (1900, 2200)
NUMBER_LENGTH = 100
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(?::00)?")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def from_text(field: serializers.Field[Any, Any, Any, Any], text: str) -> Any:
    """Read ``text`` (a query parameter, a multipart part) as ``field`` reads the equivalent JSON value.

    Raises DRF's ``ValidationError``.
    """
    return field.run_validation(primitive(field, text))


def primitive(field: serializers.Field[Any, Any, Any, Any], text: str) -> Any:
    """Return the JSON value of ``text`` in this field; the text itself if it has none."""
    if isinstance(field, serializers.IntegerField) and _INTEGER.fullmatch(text):
        return int(text)
    if isinstance(field, serializers.BooleanField) and text in ("true", "false"):
        return text == "true"
    return text


class CharField(serializers.CharField):
    """Text as ``erp.text.normalise`` stores it.

    ``max_length`` counts code points of what is stored. ``multiline=True`` lets line feeds and tabs through. A text
    that is an Aadhaar number and nothing else is refused, since none is ever stored (Aadhaar Act 2016, section 8);
    ``twelve_digits=True`` is for numbers that may look like one: of a bank account, an e-way bill, a payment.
    """

    default_error_messages = {
        "invalid": "Send text.",
        "blank": "This can't be empty.",
        "max_length": "At most {max_length} characters.",
        "min_length": "At least {min_length} characters.",
    }

    def __init__(self, *, multiline: bool = False, twelve_digits: bool = False, **kwargs: Any) -> None:
        self.multiline, self.twelve_digits = multiline, twelve_digits
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            text = normalise(data, multiline=self.multiline, trim=self.trim_whitespace)
            if not self.twelve_digits:
                AADHAAR.refuse(text)
        except (UnstorableText, IdentifierInvalid) as fault:
            raise ValidationError(str(fault), code=fault.code) from None
        return text


class IdentifierField(CharField):
    """A number of ``erp.identifiers``, taken in its canonical form; the fault is ``<identifier>.<reason>``."""

    def __init__(self, identifier: Identifier, **kwargs: Any) -> None:
        self.identifier = identifier
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return self.identifier.normalise(data)
        except IdentifierInvalid as fault:
            raise ValidationError(str(fault), code=fault.code) from None


class IntegerField(serializers.IntegerField):
    """A whole JSON number, within 64 bits or ``min_value`` … ``max_value``."""

    default_error_messages = {
        "invalid": "Send a whole number, without quotes.",
        "out_of_range": "The number is out of range.",
        "max_value": "At most {max_value}.",
        "min_value": "At least {min_value}.",
    }

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        if not INT64[0] <= data <= INT64[1]:
            self.fail("out_of_range")
        return int(data)


class BooleanField(serializers.BooleanField):
    """``true`` or ``false``."""

    default_error_messages = {"invalid": "Send true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class DecimalField(serializers.DecimalField):
    """An exact decimal as text in plain notation (``"2479684.66"``); never rounded.

    ``max_digits`` and ``decimal_places`` are those of the column; ``min_value`` and ``max_value`` are
    inclusive.
    """

    default_error_messages = {
        "not_a_decimal_string": 'Send a decimal as text, such as "{example}".',
        "too_many_decimals": "At most {decimal_places} decimals.",
        "out_of_range": "At most {digits} digits before the point.",
        "max_value": "At most {max_value}.",
        "min_value": "At least {min_value}.",
    }

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str) or not _DECIMAL.fullmatch(data):
            plain = isinstance(data, int | Decimal) and not isinstance(data, bool)
            text = str(data) if plain else ""
            self.fail("not_a_decimal_string", example=text if _DECIMAL.fullmatch(text) else "100.25")
        whole, _, decimals = data.lstrip("-").partition(".")
        places = self.decimal_places
        if places is not None and len(decimals) > places:
            self.fail("too_many_decimals", decimal_places=places)
        limit = NUMBER_LENGTH if self.max_digits is None else self.max_digits - (places or 0)
        if len(whole.lstrip("0")) > limit or len(data) > NUMBER_LENGTH:
            self.fail("out_of_range", digits=limit)
        return abs(Decimal(data)) if not Decimal(data) else Decimal(data)

    def to_representation(self, value: Any) -> str:
        number = Decimal(value)
        places = self.decimal_places
        exponent = number.as_tuple().exponent
        if places is not None and isinstance(exponent, int) and -exponent < places:
            return f"{number:.{places}f}"  # adds zeros, takes nothing away
        return f"{number:f}"


class DateField(serializers.DateField):
    """A day as ``YYYY-MM-DD``, of the years 1900 to 2200."""

    default_error_messages = {
        "invalid": "Send a date as YYYY-MM-DD.",
        "out_of_range": f"Send a date of the years {YEARS[0]} to {YEARS[1]}.",
    }

    def to_internal_value(self, value: Any) -> date:
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            self.fail("invalid")
        try:
            day = date.fromisoformat(value)
        except ValueError:
            self.fail("invalid")
        if not YEARS[0] <= day.year <= YEARS[1]:
            self.fail("out_of_range")
        return day


class TimeField(serializers.TimeField):
    """A time of day as ``HH:MM``."""

    default_error_messages = {"invalid": "Send a time of day as HH:MM."}

    def to_internal_value(self, value: Any) -> time:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            self.fail("invalid")
        try:
            return time.fromisoformat(value)
        except ValueError:
            self.fail("invalid")


class DateTimeField(serializers.DateTimeField):
    """A moment as RFC 3339 with its offset, of the years 1900 to 2200; UTC inside and in answers."""

    default_error_messages = {
        "invalid": "Send a time as RFC 3339 with its offset, such as 2026-02-03T04:05:06Z.",
        "out_of_range": f"Send a time of the years {YEARS[0]} to {YEARS[1]}.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not _DATETIME.fullmatch(value):
            self.fail("invalid")
        try:
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("invalid")
        if not YEARS[0] <= moment.year <= YEARS[1]:
            self.fail("out_of_range")
        return moment

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class UUIDField(serializers.UUIDField):
    """A UUID in its canonical form, in text."""

    default_error_messages = {"invalid": "Send a UUID."}

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str) or not _UUID.fullmatch(data):
            self.fail("invalid")
        return UUID(data)


class ChoiceField(serializers.ChoiceField):
    """One of the declared values, exactly as written."""

    default_error_messages = {"invalid_choice": "Send one of: {choices}."}

    def to_internal_value(self, data: Any) -> Any:
        if type(data) in (str, int) and (data in self.choices or (data == "" and self.allow_blank)):
            return data
        return self.fail("invalid_choice", choices=", ".join(str(choice) for choice in self.choices))


class ListField(serializers.ListField):
    """A list of ``child`` values. ``unique=True`` refuses one that comes twice."""

    default_error_messages = {
        "not_a_list": "Send a list.",
        "empty": "The list can't be empty.",
        "min_length": "At least {min_length} items.",
        "max_length": "At most {max_length} items.",
    }

    def __init__(self, *, unique: bool = False, **kwargs: Any) -> None:
        self.unique = unique
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        items: list[Any] = super().to_internal_value(data)
        if self.unique:
            again = [place for place, item in enumerate(items) if item in items[:place]]
            if again:
                twice = ErrorDetail("This value is already in the list.", code="doubled")
                raise ValidationError({str(place): [twice] for place in again})
        return items


class DictField(serializers.DictField):
    """An object with free names of up to ``key_length`` characters, each holding a ``child`` value."""

    default_error_messages = {"not_a_dict": "Send an object.", "empty": "The object can't be empty."}

    def __init__(self, *, key_length: int = 100, **kwargs: Any) -> None:
        self.key_length = key_length
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict")
        name_field = CharField(max_length=self.key_length, allow_blank=True, trim_whitespace=False)
        faults: dict[str, Any] = {}
        named: dict[str, Any] = {}
        for name, value in data.items():
            try:
                text = name_field.run_validation(str(name))
            except ValidationError as fault:
                faults[str(name)] = fault.detail
                continue
            if text in named:
                faults[text] = [ErrorDetail("This came twice.", "doubled")]
            named[text] = value
        if faults:
            raise ValidationError(faults)
        return dict(super().to_internal_value(named))


class NamedField(CharField):
    """The code of a row of ``model``, validated to the row; for rows of a table. Each code is read once per table."""

    default_error_messages = {"does_not_exist": "This row does not exist, or you may not see it."}

    def __init__(self, model: type[models.Model], **kwargs: Any) -> None:
        self.model = model
        super().__init__(**kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        code = super().run_validation(data)
        if not code:
            return None
        known: dict[tuple[type[models.Model], str], models.Model | None] = self.context["known"]
        key = self.model, code
        if key not in known:
            rows: Any = self.model._default_manager
            known[key] = rows.all().visible_to(self.context["actor"]).filter(code=code).first()
        found = known[key]
        if found is None:
            self.fail("does_not_exist")
        return found


Rows = models.QuerySet[Any] | models.Manager[Any] | type[models.Model] | Callable[[Any], models.QuerySet[Any]]


class RowField(UUIDField):
    """The id of a row that the caller can see; validated, it is the row.

    ``rows`` is a model, manager or queryset with ``visible_to(actor)``, or a function of the actor. An id
    that isn't there and one that isn't visible are refused with the same words. All ids of one input are read
    in one query per field, however many items of a list carry them.
    """

    default_error_messages = {"does_not_exist": "This row does not exist, or you may not see it."}

    def __init__(self, rows: Rows, **kwargs: Any) -> None:
        self.rows = rows
        self.wanted: set[UUID] = set()
        self.found: dict[UUID, models.Model] | None = None
        super().__init__(**kwargs)

    def expect(self, data: Any) -> None:
        """Note an id that will be asked for, so that one query can answer all. What was found before is forgotten."""
        if self.found is not None:  # an input that is validated again
            self.wanted, self.found = set(), None
        if isinstance(data, str) and _UUID.fullmatch(data):
            self.wanted.add(UUID(data))

    def to_internal_value(self, data: Any) -> Any:
        key = super().to_internal_value(data)
        if self.found is None or key not in self.wanted:
            self.wanted.add(key)
            self.found = {row.pk: row for row in self._visible().filter(pk__in=self.wanted)}
        if key not in self.found:
            self.fail("does_not_exist")
        return self.found[key]

    def to_representation(self, value: Any) -> str:
        return str(getattr(value, "pk", value))

    def _visible(self) -> models.QuerySet[Any]:
        actor = self.context["actor"] if "actor" in self.context else self.context["request"].user
        if isinstance(self.rows, type):
            return self.rows._default_manager.all().visible_to(actor)  # type: ignore[no-any-return, attr-defined]
        if isinstance(self.rows, models.QuerySet | models.Manager):
            return self.rows.all().visible_to(actor)  # type: ignore[no-any-return, attr-defined]
        return self.rows(actor)
