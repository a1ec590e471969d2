"""What a list can be asked: filters by name, search, order, and nothing that isn't declared."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import Q
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from erp.access import actor_of
from erp.api import fields
from erp.api.faults import UNKNOWN_FIELD, escape, faults_from, invalid
from erp.api.pagination import unfold
from erp.errors import FieldError
from erp.text import name_key

LOOKUPS = ("exact", "in", "gte", "lte", "isnull")
IN_LIMIT = 100
SEARCH = fields.CharField(min_length=2, max_length=100)
DEFAULT_ORDERING = "-created_at"
Words = str | tuple[str, ...] | list[str]


def check_query(query: QueryDict, known: Iterable[str]) -> None:
    """Refuse parameters that aren't known here, and any given twice. Raises ``Invalid`` with all faults."""
    known = frozenset(known)
    faults = []
    for name, values in query.lists():
        pointer = f"/query/{escape(name)}"
        if name not in known:
            faults.append(FieldError(pointer, UNKNOWN_FIELD, "This parameter is not supported here."))
        elif len(values) > 1:
            faults.append(FieldError(pointer, "doubled", "Send this parameter once."))
    if faults:
        raise invalid(faults)


class FilterBackend(BaseFilterBackend):
    """Reads a list's query by what its view declares; anything else, or anything twice, is refused.

    - ``filters``: field (or path to one, ``partner__kind``) → lookups out of ``exact``, ``in``, ``gte``,
      ``lte``, ``isnull``;
    - ``filterset_class``: a django-filter ``FilterSet`` for what these can't say; its ``in_order``, where it has
      one, says in which order the caller gets the rows;
    - ``search_fields``: text fields that ``search=`` looks through;
    - ``ordering_fields``: what ``ordering=`` takes; ``ordering``: another default than ``-created_at``;
    - ``count_exact``: whether ``count=exact`` is offered; ``query_parameters``: what the view itself reads.

    ``updated_after`` is offered wherever the model has ``updated_at``.
    """

    def filter_queryset(
        self, request: Request, queryset: models.QuerySet[Any], view: Any
    ) -> models.QuerySet[Any]:
        """The rows asked for, in the order asked for. Raises ``Invalid`` with every fault."""
        unfold(request)
        query = request.query_params
        model: Any = queryset.model
        offered = _offered(view.__class__, model)
        check_query(query, [*offered, *getattr(view, "query_parameters", ())])
        condition, order = Q(), _default_order(view, model)
        faults: list[FieldError] = []
        for name, text in query.dict().items():
            try:
                match offered.get(name):
                    case Filter() as asked:
                        condition &= asked.condition(text)
                    case "search":
                        condition &= _search(text, view.search_fields)
                    case "ordering":
                        order = _ordering(text, view.ordering_fields)
                    case "updated_after":
                        condition &= Q(updated_at__gt=fields.from_text(fields.DateTimeField(), text))
            except ValidationError as error:
                faults += faults_from(error.detail, f"/query/{escape(name)}")
        if "updated_after" in query:
            queryset, order = _of_known_change(request, queryset, view), ["updated_at"]
            if "ordering" in query:
                faults.append(
                    FieldError(
                        "/query/ordering", "invalid", "updated_after has its own order; remove ordering."
                    )
                )
        queryset, order = self._by_filterset(request, queryset, view, order, faults)
        if faults:
            raise invalid(faults)
        return queryset.filter(condition).order_by(*order)

    def _by_filterset(
        self,
        request: Request,
        queryset: models.QuerySet[Any],
        view: Any,
        order: list[str],
        faults: list[FieldError],
    ) -> tuple[models.QuerySet[Any], list[str]]:
        kind = getattr(view, "filterset_class", None)
        if kind is None:
            return queryset, order
        filterset = kind(data=request.query_params, queryset=queryset, request=request)
        if filterset.is_valid():
            is_ordered = hasattr(filterset, "in_order") and "updated_after" not in request.query_params
            return filterset.qs, filterset.in_order(order) if is_ordered else order
        for name, errors in filterset.errors.as_data().items():
            pointer = f"/query/{escape(name)}" if name in kind.base_filters else "/query"
            detail = [
                ErrorDetail(message, error.code or "invalid")
                for error in errors
                for message in error.messages
            ]
            faults += faults_from(detail, pointer)
        return queryset, order

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """OpenAPI query parameters."""
        offered = _offered(view.__class__, view.queryset.model)
        return [_parameter(name, offer, view) for name, offer in offered.items() if offer != "page"]


def _of_known_change(request: Request, rows: models.QuerySet[Any], view: Any) -> models.QuerySet[Any]:
    """Rows whose time of change the caller may know: all, or its own partner's where others see masked fields."""
    partner, actor = getattr(view, "changes_known_to", None), actor_of(request)
    masked = partner is not None and actor.partner_id is not None
    return rows.of_partner(actor, partner) if masked else rows  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Filter:
    """One filter parameter: a path to a column, a lookup, and the strict field that reads its value."""

    path: str
    lookup: str
    field: serializers.Field[Any, Any, Any, Any]

    def condition(self, text: str) -> Q:
        """The condition that ``text`` asks for. Raises DRF's ``ValidationError``."""
        return Q(**{f"{self.path}__{self.lookup}": self._value(text)})

    def _value(self, text: str) -> Any:
        if self.lookup != "in":
            return fields.from_text(self.field, text)
        items = text.split(",")
        if len(items) > IN_LIMIT:
            raise ValidationError(f"At most {IN_LIMIT} values.", "too_long")
        return [fields.from_text(self.field, item) for item in items]


@cache
def _offered(view: Any, model: Any) -> dict[str, Any]:
    """What a view's list can be asked: parameter → ``Filter``, or the name of what handles it."""
    offered: dict[str, Any] = {}
    for path, lookups in (getattr(view, "filters", None) or {}).items():
        column = _column(model, path)
        for lookup in lookups:
            if lookup not in LOOKUPS:
                raise ImproperlyConfigured(f"{view.__name__}.filters: {path} has no lookup {lookup}")
            field = fields.BooleanField() if lookup == "isnull" else _strict(column)
            offered[path if lookup == "exact" else f"{path}__{lookup}"] = Filter(path, lookup, field)
    if (filterset := getattr(view, "filterset_class", None)) is not None:
        offered |= dict.fromkeys(filterset.base_filters, "filterset")
    if getattr(view, "search_fields", None):
        offered["search"] = "search"
    if getattr(view, "ordering_fields", None):
        offered["ordering"] = "ordering"
    if any(field.name == "updated_at" for field in model._meta.fields):
        offered["updated_after"] = "updated_after"
    return offered | dict.fromkeys(view.pagination_class.parameters(view), "page")


def _column(model: Any, path: str) -> "models.Field[Any, Any]":
    for step in path.split("__"):
        field = model._meta.get_field(step)
        model = field.related_model
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return field  # type: ignore[no-any-return]


def _strict(column: "models.Field[Any, Any]") -> serializers.Field[Any, Any, Any, Any]:
    """The strict field for a column's values."""
    match column:
        case models.Field(choices=choices) if choices:
            return fields.ChoiceField(choices=choices)
        case models.BooleanField():
            return fields.BooleanField()
        case models.DecimalField():
            return fields.DecimalField(column.max_digits, column.decimal_places)
        case models.DateTimeField():
            return fields.DateTimeField()
        case models.DateField():
            return fields.DateField()
        case models.UUIDField():
            return fields.UUIDField()
        case models.IntegerField():
            return fields.IntegerField()
        case models.CharField() | models.TextField():
            return fields.CharField(max_length=column.max_length or 1000)
    raise ImproperlyConfigured(f"A list can't be filtered by {column}")


def _search(text: str, paths: Iterable[str]) -> Q:
    found = Q()
    for word in fields.from_text(SEARCH, text).split():
        keyed = name_key(word)  # what a column of keys holds
        found &= reduce(
            or_, [Q(**{f"{path}__icontains": keyed if path.endswith("_key") else word}) for path in paths]
        )
    return found


def _ordering(text: str, names: Iterable[str]) -> list[str]:
    terms = text.split(",")
    bare = [term.removeprefix("-") for term in terms]
    known = list(names)
    if unknown := [name for name in bare if name not in known]:
        raise ValidationError(f"{', '.join(unknown)} isn't one of {', '.join(known)}.", "not_a_choice")
    if len(set(bare)) < len(bare):
        raise ValidationError("Name each field only once.", "doubled")
    return terms


def _default_order(view: Any, model: type[models.Model]) -> list[str]:
    order: Words | None = getattr(view, "ordering", None)
    if order:
        return [order] if isinstance(order, str) else list(order)
    return [DEFAULT_ORDERING] if any(field.name == "created_at" for field in model._meta.fields) else []


def _parameter(name: str, offer: Any, view: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    match offer:
        case Filter(lookup="in", field=field):
            schema, words = {"type": "array", "items": _schema(field), "maxItems": IN_LIMIT}, "One of these."
        case Filter(lookup="isnull", field=field):
            schema, words = _schema(field), "Whether it is empty."
        case Filter(lookup="gte" | "lte" as lookup, field=field):
            schema, words = _schema(field), f"At {'least' if lookup == 'gte' else 'most'} this."
        case Filter(field=field):
            schema, words = _schema(field), "Exactly this."
        case "search":
            schema |= {"minLength": 2, "maxLength": 100}
            words = "Rows that contain every word, ignoring case."
        case "ordering":
            known = [sign + field for field in view.ordering_fields for sign in ("", "-")]
            schema = {"type": "array", "items": {"type": "string", "enum": known}}
            default = ",".join(_default_order(view, view.queryset.model))
            words = f"Fields to order by, `-` for descending; the default is `{default}`."
        case "updated_after":
            schema["format"] = "date-time"
            words = "Rows changed after this time, in the order of their change."
        case _:
            words = str(view.filterset_class.base_filters[name].label or "")
    parameter = {"name": name, "in": "query", "required": False, "description": words, "schema": schema}
    return parameter | ({"explode": False, "style": "form"} if schema.get("type") == "array" else {})


def _schema(field: Any) -> dict[str, Any]:
    match field:
        case fields.ChoiceField():
            return {"type": "string", "enum": list(field.choices)}
        case fields.BooleanField():
            return {"type": "boolean"}
        case fields.DecimalField():
            return {"type": "string", "format": "decimal"}
        case fields.DateTimeField():
            return {"type": "string", "format": "date-time"}
        case fields.DateField():
            return {"type": "string", "format": "date"}
        case fields.UUIDField():
            return {"type": "string", "format": "uuid"}
        case fields.IntegerField():
            return {"type": "integer"}
    return {"type": "string", "maxLength": field.max_length}
