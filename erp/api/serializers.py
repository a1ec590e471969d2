"""Serializers of requests (``Input``: strict, reports all errors at once) and responses (``Output``, ``Answer``)."""

from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from functools import cache
from typing import Any, ClassVar, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxLengthValidator, MinLengthValidator, RegexValidator
from django.db import models
from django.http import QueryDict
from django.utils.text import capfirst
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty
from rest_framework.serializers import LIST_SERIALIZER_KWARGS
from rest_framework.settings import api_settings

from erp.api import fields
from erp.api.faults import UNKNOWN_FIELD, faults_from, invalid
from erp.columns import Row, RowsField, bounds_of
from erp.reference import default_of

Shape = TypeVar("Shape")

__all__ = ["LookupOutput", "Input", "Output", "faults_from", "invalid"]


def copy_fields(built: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of a serializer's fields that can be bound to another one.

    DRF makes each field anew for every request; a field without fields below it has nothing that binding changes
    in place, so a shallow copy is enough.
    """
    nested = ("child", "child_relation", "fields")
    return {
        name: deepcopy(field) if any(hasattr(field, below) for below in nested) else copy(field)
        for name, field in built.items()
    }


class InputList(serializers.ListSerializer[Any]):
    """A list of inputs; errors name the item's position."""

    default_error_messages = {
        "not_a_list": "Send a list.",
        "empty": "The list can't be empty.",
        "max_length": "At most {max_length} items.",
        "min_length": "At least {min_length} items.",
    }

    allow_empty: bool
    max_length: int | None
    min_length: int | None

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list")
        if not data and not self.allow_empty:
            self.fail("empty")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        if self.min_length is not None and len(data) < self.min_length:
            self.fail("min_length", min_length=self.min_length)
        items: list[Any] = []
        faults: dict[Any, Any] = {}
        for place, item in enumerate(data):
            try:
                items.append(self.run_child_validation(item))
            except ValidationError as error:
                faults[place] = error.detail
        if faults:
            raise ValidationError(faults)
        return items


class Input(serializers.Serializer[Any]):
    """The body of a request. Unknown fields are refused, and all errors are reported together."""

    # ``Meta.model``: the model whose ``verbose_name`` and ``help_text`` apply to fields of the same name (``state_id``:
    # ``state``) without texts of their own. Inherited by subclasses.

    default_error_messages = {"not_an_object": "Send an object."}

    def __init_subclass__(cls) -> None:
        """Derive the fields that ``Meta`` names.

        ``Meta.model``: the model whose ``verbose_name`` and ``help_text`` are the words of fields of the same name
        (``state_id`` is named as ``state``) that have none of their own. ``Meta.fields``: columns of the model whose
        fields are derived from it (``input_field``), in this order and before all others, unless one of the same name
        is declared; ``Meta.options``: further keywords of these, column → keywords.
        """
        super().__init_subclass__()
        meta = vars(cls).get("Meta")
        if model := getattr(meta or getattr(cls, "Meta", None), "model", None):
            columns = {name: field for field in model._meta.fields for name in (field.name, field.attname)}
            shared: dict[str, Any] = cls._declared_fields
            declared = {
                name: _with_words(field, columns.get(str(field.source or name)))
                for name, field in shared.items()
            }
            options = getattr(meta, "options", {})
            derived = [columns[name] for name in getattr(meta, "fields", ())]
            cls._declared_fields = {
                column.attname: declared.pop(column.attname, None)
                or input_field(column, **options.get(column.name, {}))
                for column in derived
            } | declared

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> "InputList":
        """``many=True`` makes a list that reports by place."""
        lists = ("allow_empty", "max_length", "min_length")
        own = {name: kwargs.pop(name) for name in lists if name in kwargs}
        shared = {name: value for name, value in kwargs.items() if name in LIST_SERIALIZER_KWARGS}
        return InputList(*args, **{"child": cls(*args, **kwargs), **shared, **own})

    def get_fields(self) -> dict[str, Any]:
        """The declared fields."""
        return copy_fields(self._declared_fields)

    def run_validation(self, data: Any = empty) -> Any:
        """Validated values. Raises DRF's ``ValidationError`` with every fault."""
        if self.parent is None:
            _expect(self, data)
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown: dict[str, Any] = {}
        if isinstance(data, QueryDict):
            data, unknown = self._from_form(data)
        if not isinstance(data, Mapping):
            words = ErrorDetail(str(self.error_messages["not_an_object"]), code="not_an_object")
            raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [words]})
        known = {field.field_name for field in self._writable_fields}
        for name in data:
            if name not in known:
                unknown[str(name)] = [ErrorDetail("This field is not supported here.", code=UNKNOWN_FIELD)]
        try:
            values: dict[str, Any] = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**error.detail, **unknown}) from None  # type: ignore[dict-item]
        if unknown:
            raise ValidationError(unknown)
        return values

    def _from_form(self, form: QueryDict) -> tuple[dict[str, Any], dict[str, Any]]:
        """Multipart parts as the JSON values they stand for; a list field takes one that comes repeatedly."""
        values: dict[str, Any] = {}
        doubled: dict[str, Any] = {}
        for name, parts in form.lists():
            field = self.fields.get(name)
            if isinstance(field, serializers.ListField):
                values[name] = [_primitive(field.child, part) for part in parts]
            elif len(parts) == 1:
                values[name] = parts[0] if field is None else _primitive(field, parts[0])
            else:
                doubled[name] = [ErrorDetail("This came twice.", code="doubled")]
        return values, doubled


def _with_words(field: Any, column: Any) -> Any:
    """A copy of the field with the words of a model's column, where it has none."""
    words = {} if column is None else words_of(column)
    added = {name: text for name, text in words.items() if not field._kwargs.get(name)}
    if not added:
        return field
    copy = deepcopy(field)
    copy._kwargs = {**field._kwargs, **added}
    return deepcopy(copy)


def words_of(column: Any) -> dict[str, str]:
    """Label and description of a column, as its model says them."""
    # Of a Row only a label that was given.
    label = column.verbose_name if hasattr(column, "model") else column._verbose_name
    words = {"label": capfirst(str(label or "")), "help_text": str(column.help_text)}
    return {name: text for name, text in words.items() if text}


def within(keyword: str, shape: type[Input]) -> dict[str, Any]:
    """The fields of ``shape`` for an input that passes their values as one keyword, a mapping."""
    made = {}
    for name, field in shape._declared_fields.items():
        copy: Any = deepcopy(field)
        copy._kwargs = {**copy._kwargs, "source": f"{keyword}.{copy._kwargs.get('source') or name}"}
        made[name] = deepcopy(copy)
    return made


def _primitive(field: Any, part: Any) -> Any:
    return fields.primitive(field, part) if isinstance(part, str) else part


def _expect(field: Any, data: Any) -> None:
    """Tell every ``RowField`` under ``field`` all the ids that ``data`` will ask of it."""
    if isinstance(field, fields.RowField):
        field.expect(data)
    elif isinstance(field, serializers.Serializer):
        if isinstance(data, Mapping):
            for child in field._writable_fields:
                _expect(child, data.get(child.field_name))
    elif isinstance(field, serializers.ListSerializer | serializers.ListField):
        for item in data if isinstance(data, list) else ():
            _expect(field.child, item)
    elif isinstance(field, serializers.DictField):
        for item in data.values() if isinstance(data, dict) else ():
            _expect(field.child, item)


class LookupOutput(serializers.Serializer[Any]):
    """A response that is not a row: the result of a lookup, or a part of a row."""


_FIELDS: dict[Any, Any] = {
    models.CharField: fields.CharField,
    models.TextField: fields.CharField,
    models.SlugField: fields.CharField,
    models.EmailField: fields.CharField,
    models.URLField: fields.CharField,
    models.BooleanField: fields.BooleanField,
    models.SmallIntegerField: fields.IntegerField,
    models.IntegerField: fields.IntegerField,
    models.BigIntegerField: fields.IntegerField,
    models.PositiveSmallIntegerField: fields.IntegerField,
    models.PositiveIntegerField: fields.IntegerField,
    models.PositiveBigIntegerField: fields.IntegerField,
    models.DecimalField: fields.DecimalField,
    models.DateField: fields.DateField,
    models.DateTimeField: fields.DateTimeField,
    models.UUIDField: fields.UUIDField,
}


def input_field(column: Any, **overrides: Any) -> Any:
    """The input field of a model's column.

    Type, choices, length, format and bounds are the column's; it may be left out where the column has a default or
    may be blank, and null where the column may. ``overrides`` go before.
    """
    options: dict[str, Any] = {"required": not (column.has_default() or column.blank), **words_of(column)}
    if column.null:
        options["allow_null"] = True
    if isinstance(column, models.ForeignKey):
        return fields.RowField(column.related_model, **{**options, "source": column.name, **overrides})
    if isinstance(column, RowsField):
        return row_input(column.shape).many_init(**{**options, "max_length": column.most, **overrides})
    if isinstance(column, ArrayField):
        for validator in column.validators:
            if isinstance(validator, MinLengthValidator | MaxLengthValidator):
                end = "min" if isinstance(validator, MinLengthValidator) else "max"
                options[f"{end}_length"] = validator.limit_value
        child = input_field(column.base_field, required=True)
        return fields.ListField(**{**options, "child": child, "unique": True, **overrides})
    if column.choices:
        return fields.ChoiceField(**{**options, "choices": column.choices, **overrides})
    kind: Any = _FIELDS[type(column)]
    if issubclass(kind, fields.CharField):
        options |= _text_options(column)
    if isinstance(column, models.DecimalField):
        options |= {"max_digits": column.max_digits, "decimal_places": column.decimal_places}
    if isinstance(column, models.DecimalField | models.IntegerField):
        low, high = bounds_of(column)
        options |= {name: end for name, end in (("min_value", low), ("max_value", high)) if end is not None}
    return kind(**{**options, **overrides})


def _text_options(column: Any) -> dict[str, Any]:
    """Length and format; a pattern says how long the text may be."""
    formats = [validator for validator in column.validators if isinstance(validator, RegexValidator)]
    options: dict[str, Any] = {"validators": formats} if formats else {"max_length": column.max_length}
    for validator in column.validators:
        if isinstance(validator, MinLengthValidator):
            options["min_length"] = validator.limit_value
    if column.blank and not column.null:
        options["allow_blank"] = True
    return options


@cache
def row_input(shape: type[Row]) -> type[Input]:
    """The input of a ``RowsField``'s rows. What a row leaves out is there all the same, with its default."""
    built = {}
    for column in shape.columns.values():
        optional = column.has_default() or column.blank
        built[column.attname] = input_field(column, **({"default": default_of(column)} if optional else {}))
    return shape_of(shape, Input, shape.names[0] or f"{shape.__name__}Input", built)


@cache
def row_answer(shape: type[Row]) -> type[LookupOutput]:
    """The answer of a ``RowsField``'s rows."""
    built = {}
    for column in shape.columns.values():
        options: dict[str, Any] = {"allow_null": column.null, **words_of(column)}
        if isinstance(column, models.DecimalField):
            options |= {"max_digits": column.max_digits, "decimal_places": column.decimal_places}
        kind: Any = fields.UUIDField if column.is_relation else _FIELDS[type(column)]
        built[column.attname] = kind(**options)
    return shape_of(shape, LookupOutput, shape.names[1] or f"{shape.__name__}Output", built)


def shape_of(source: type, base: type[Shape], name: str, members: Mapping[str, Any]) -> type[Shape]:
    """A class of inputs or answers made for a model or a ``Row``, with the words and the module of its source."""
    return type(name, (base,), {"__doc__": source.__doc__, "__module__": source.__module__, **members})


def set_nullable(field: Any) -> None:
    """Let a field of an output be null, its copies too: a field with a child is made anew from its arguments."""
    field.allow_null = True
    field._kwargs = {**field._kwargs, "allow_null": True}


class Output(serializers.ModelSerializer[Any]):
    """A row in responses."""

    # ``Meta.model`` and ``Meta.fields`` name the row's own fields; ``id``, ``version``, ``status`` (if the model
    # has one), the two times, ``allowed_actions`` and ``links`` are always included. The last two come from
    # functions of the row in the context (``allowed_actions``, ``links``); without one they are empty. Declared
    # fields are included too. ``masked`` names the fields that are null for callers who may not see their value.

    masked: ClassVar[Iterable[str]] = ()
    _built: ClassVar[dict[str, Any]]  # the fields of the class, copied for each use
    id = fields.UUIDField(read_only=True)
    version = fields.IntegerField(read_only=True)
    created_at = fields.DateTimeField(read_only=True)
    updated_at = fields.DateTimeField(read_only=True)
    allowed_actions = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        **_FIELDS,
    }
    serializer_choice_field = fields.ChoiceField

    def get_fields(self) -> dict[str, Any]:
        """All fields, every one read-only."""
        if "_built" not in vars(type(self)):
            type(self)._built = self._build_fields()
        return copy_fields(type(self)._built)

    def _build_fields(self) -> dict[str, Any]:
        built = super().get_fields() if hasattr(self, "Meta") else deepcopy(self._declared_fields)
        for name in self.masked:
            set_nullable(built[name])
        ends = ("created_at", "updated_at", "allowed_actions", "links")
        order = ["id", "version", *(name for name in built if name not in ("id", "version", *ends)), *ends]
        return {name: built[name] for name in order if name in built}

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        """Rows within a row go out as their shape says."""
        if isinstance(model_field, RowsField):
            return row_answer(model_field.shape), {"many": True, "read_only": True}
        kind, options = super().build_standard_field(field_name, model_field)
        if field_name == "child":  # of an array: answers aren't checked
            options = {name: options[name] for name in options if name not in ("validators", "min_length")}
        return kind, options

    def get_field_names(self, declared_fields: Mapping[str, Any], info: Any) -> list[str]:
        """The fields of ``Meta``, a foreign key by its column, and those that are declared."""
        status = ["status"] if "status" in info.fields else []
        keys = {name: f"{name}_id" for name in info.forward_relations if name not in declared_fields}
        named = [keys.get(name, name) for name in getattr(self.Meta, "fields", ())]
        return list(dict.fromkeys([*status, *named, *declared_fields]))

    def build_property_field(self, field_name: str, model_class: Any) -> tuple[Any, dict[str, Any]]:
        """A foreign key named by its column (``partner_id``) goes out as the id that it holds."""
        column = next((f for f in model_class._meta.concrete_fields if f.attname == field_name), None)
        if column is None:
            return super().build_property_field(field_name, model_class)
        return fields.UUIDField, {"allow_null": column.null, "read_only": True}

    def get_extra_kwargs(self) -> dict[str, Any]:
        extra = super().get_extra_kwargs()
        names = {*getattr(self.Meta, "fields", ()), "status"}
        return {name: {**extra.get(name, {}), "read_only": True} for name in names}

    def get_uniqueness_extra_kwargs(
        self, field_names: Any, declared_fields: Any, extra_kwargs: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return extra_kwargs, {}

    def get_allowed_actions(self, row: Any) -> list[str]:
        """Return the verbs open to this caller now; the write checks again."""
        function = self.context.get("allowed_actions")
        return list(function(row)) if function else []

    def get_links(self, row: Any) -> dict[str, str]:
        """Return `self` and related rows by name."""
        function = self.context.get("links")
        return dict(function(row)) if function else {}
