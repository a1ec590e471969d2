"""Django forms built from the inputs of services: one definition of fields and rules for API and admin.

A form here only renders and reads. The submitted values go as JSON through the service's ``Input``, as in an API
request, and every error is shown beside the field that its JSON pointer names.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from types import SimpleNamespace, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.forms.utils import ErrorDict
from django.http import QueryDict
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.text import capfirst
from rest_framework import serializers
from unfold import widgets

from erp.api import fields as inputs
from erp.api.endpoints import Empty
from erp.api.faults import escape
from erp.api.fields import RowField
from erp.api.files import FileField
from erp.api.parsers import parse_json
from erp.api.serializers import Input
from erp.api.viewsets import ViewSet
from erp.errors import DomainError, FieldError, Invalid
from erp.labels import label_of
from erp.services import Service

_ABSENT: Final = object()
_MOST_CHOICES: Final = 200  # of a relation whose rows have no page to search them on


@dataclass(frozen=True)
class FieldSlot:
    """One control of a form: the input's field, and the way to its value."""

    path: tuple[str, ...]
    field: Any

    @property
    def name(self) -> str:
        """Name of the control."""
        return ".".join(self.path)

    @property
    def pointer(self) -> str:
        """JSON pointer of the value."""
        return "".join(f"/{escape(step)}" for step in self.path)


def input_of(service: Service) -> type[Input]:
    """The input of the service: that of its endpoint, else one made of its keywords."""
    return next(_inputs_of_endpoints(service, ViewSet), None) or input_from_keywords(service)


def _inputs_of_endpoints(service: Service, viewset: type[ViewSet]) -> Iterator[type[Input]]:
    for endpoint in viewset.endpoints.values():
        if endpoint.service is service:
            yield endpoint.input
    for child in viewset.__subclasses__():
        yield from _inputs_of_endpoints(service, child)


_FIELDS: Final[dict[type, Callable[..., Any]]] = {
    str: lambda **options: inputs.CharField(max_length=2000, **options),
    bool: inputs.BooleanField,
    int: inputs.IntegerField,
    Decimal: lambda **options: inputs.DecimalField(max_digits=24, decimal_places=8, **options),
    date: inputs.DateField,
    datetime: inputs.DateTimeField,
    UUID: inputs.UUIDField,
}


@cache
def input_from_keywords(service: Service) -> type[Input]:
    """An input with a field for every keyword of the service, by its annotation.

    Raises ImproperlyConfigured for an annotation without a matching control: such a service needs an
    ``Input`` of its own.
    """
    hints = get_type_hints(service.function)
    if not service.keywords:
        return Empty
    made = {
        name: _field_of(service, name, hints[name], parameter)
        for name, parameter in inspect.signature(service.function).parameters.items()
        if name in service.keywords
    }
    return type(f"{service.__name__.title().replace('_', '')}Input", (Input,), made)


def _field_of(service: Service, name: str, hint: Any, parameter: inspect.Parameter) -> Any:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [part for part in parts if part is not type(None)]
    options: dict[str, Any] = {"required": parameter.default is parameter.empty}
    if len(kinds) < len(parts):
        options["allow_null"] = True
    elif kinds == [str] and parameter.default == "":
        options["allow_blank"] = True
    kind = kinds[0] if len(kinds) == 1 else None
    if isinstance(kind, type) and issubclass(kind, models.Model):
        return RowField(kind, **options)
    if kind not in _FIELDS:
        raise ImproperlyConfigured(
            f"{service.name}: give the admin an Input, because {name} has no form field of its own"
        )
    return _FIELDS[kind](**options)


class ServiceForm(forms.Form):
    """The controls of an input.

    ``input`` is an instance with its context (``actor``, ``target``), ``slots`` its controls in the order to
    draw them; ``choose`` gives, for a model, the address where its rows are searched, or an empty text;
    ``options`` replaces a control by a choice (name → pairs).
    """

    use_required_attribute = False

    def __init__(
        self,
        input: Input,
        slots: list[FieldSlot],
        *,
        data: QueryDict | None = None,
        files: MultiValueDict[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
        row: models.Model | None = None,
        model: type[models.Model],
        choose: Callable[[type[models.Model]], str],
        options: Mapping[str, list[tuple[str, str]]] | None = None,
    ) -> None:
        super().__init__(data=data, files=files, initial=dict(initial or {}), label_suffix="")
        self.input = input
        # What Django's read-only fields ask of a form.
        self.instance = row if row is not None else model()
        self._meta = SimpleNamespace(model=model, labels=None, help_texts=None)
        self.slots = slots
        self._choose = choose
        for slot in self.slots:
            typed = data.get(slot.name) if data is not None else self.initial.get(slot.name)
            drawn = self._draw(slot, (options or {}).get(slot.name), typed)
            drawn.label, drawn.help_text = _label(slot), slot.field.help_text or ""
            drawn.required = slot.field.required and not isinstance(slot.field, serializers.BooleanField)
            self.fields[slot.name] = drawn

    def full_clean(self) -> None:
        """Do nothing: the input validates the values before the service runs."""
        self._errors = ErrorDict()
        self.cleaned_data: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return the submitted values as the JSON of an API request."""
        values = _frame(self.input)
        for slot in self.slots:
            if isinstance(slot.field, FileField):
                value = self.files.get(slot.name, _ABSENT)
            else:
                value = _read(slot.field, self.data, slot.name)
            if value is _ABSENT:
                continue
            place = values
            for step in slot.path[:-1]:
                place = place.setdefault(step, {})
            place[slot.path[-1]] = value
        return values

    def keywords(self) -> dict[str, Any]:
        """The service's keywords. Raises DRF's ``ValidationError`` with every fault of the input."""
        serializer = type(self.input)(data=self.values(), context=self.input.context)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def add_problem(self, error: DomainError) -> None:
        """Add the problem's errors to the fields they point to, and the problem itself above the form."""
        self.add_error(None, forms.ValidationError(text_of_error(error), code=error.code))
        for fault in error.errors:
            slot = next((slot for slot in self.slots if _beside(fault.pointer, slot.pointer)), None)
            text = f"{fault.detail} ({fault.code})"
            if slot is None:
                text = f"{fault.pointer}: {text}"
            self.add_error(slot.name if slot else None, forms.ValidationError(text, code=fault.code))

    def differences(self, row: models.Model) -> list[tuple[str, str, str]]:
        """Return the fields whose submitted value differs from the current one: label, submitted, current."""
        now = initial_of(row, self.slots)
        changed = []
        for slot in self.slots:
            held, typed = now.get(slot.name, ""), self.data.get(slot.name, "")
            if isinstance(slot.field, serializers.BooleanField):
                held, typed = ("yes" if held else "no"), ("yes" if slot.name in self.data else "no")
            if (
                isinstance(slot.field, serializers.CharField)
                and slot.field.style.get("input_type") == "password"
            ):
                continue
            if str(held) != str(typed):
                changed.append((_label(slot), str(typed) or "–", str(held) or "–"))
        return changed

    def _draw(self, slot: FieldSlot, choices: list[tuple[str, str]] | None, typed: Any) -> forms.Field:
        field = slot.field
        if choices is not None:
            return forms.ChoiceField(
                choices=[("", "Choose"), *choices], widget=widgets.UnfoldAdminSelectWidget()
            )
        if isinstance(field, RowField):
            return self._draw_row(field, typed)
        if isinstance(field, FileField):
            return forms.FileField(widget=widgets.UnfoldAdminFileFieldWidget())
        if isinstance(field, serializers.BooleanField):
            return forms.BooleanField(widget=widgets.UnfoldBooleanSwitchWidget())
        if isinstance(field, serializers.ChoiceField):
            pairs = [(str(value), _choice(str(label))) for value, label in field.choices.items()]
            blank = [] if field.required and slot.name in self.initial else [("", "Choose")]
            return forms.ChoiceField(choices=[*blank, *pairs], widget=widgets.UnfoldAdminSelectWidget())
        if isinstance(field, serializers.ListField) and isinstance(field.child, serializers.ChoiceField):
            return forms.MultipleChoiceField(
                choices=[(str(value), _choice(str(label))) for value, label in field.child.choices.items()],
                widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(),
            )
        return forms.CharField(strip=False, widget=_text_widget(field))

    def _draw_row(self, field: Any, typed: Any) -> forms.Field:
        visible = field._visible()
        address = self._choose(visible.model)
        if not address:
            rows = visible.order_by("pk")[:_MOST_CHOICES]
            shown = [("", "Choose"), *((str(row.pk), str(row)) for row in rows)]
            return forms.ChoiceField(choices=shown, widget=widgets.UnfoldAdminSelectWidget())
        try:
            chosen = visible.filter(pk=UUID(str(typed))).first() if typed else None
        except ValueError:
            chosen = None
        pairs = [("", "")] + ([(str(chosen.pk), str(chosen))] if chosen is not None else [])
        widget = _Search(
            attrs={"data-ajax--url": address, "data-placeholder": "Search", "data-allow-clear": "true"}
        )
        return forms.ChoiceField(choices=pairs, widget=widget)


class _Search(widgets.UnfoldAdminAutocompleteWidget):  # type: ignore[misc]
    """Unfold's search field; its own option template knows only options of a model field."""

    option_template_name = "django/forms/widgets/select_option.html"


def text_of_error(error: DomainError) -> str:
    """Return a problem in one line: title, detail if it adds something, and the code."""
    more = "" if error.detail == error.title else f" {error.detail}"
    return f"{error.title}{more} ({error.code})"


def slots_of(input: Input, service: Service) -> list[FieldSlot]:
    """The controls of an input, in the order in which the service names its keywords."""
    order = {name: place for place, name in enumerate(inspect.signature(service.function).parameters)}
    first = {name: order.get(str(field.source), len(order)) for name, field in input.fields.items()}
    return sorted(_slots(input), key=lambda slot: first[slot.path[0]])


def _slots(serializer: Any, path: tuple[str, ...] = ()) -> Iterator[FieldSlot]:
    for name, field in serializer.fields.items():
        if isinstance(field, serializers.Serializer):
            yield from _slots(field, (*path, name))
        else:
            yield FieldSlot((*path, name), field)


def _frame(serializer: Any) -> dict[str, Any]:
    """Return the objects that the input requires, still empty, so that their fields report what is missing."""
    return {
        name: _frame(field)
        for name, field in serializer.fields.items()
        if isinstance(field, serializers.Serializer) and field.required
    }


def _label(slot: FieldSlot) -> str:
    own = slot.field._kwargs.get("label")  # DRF makes one of the name otherwise
    words = [label_of(step) for step in slot.path[:-1]] + [capfirst(own) if own else label_of(slot.path[-1])]
    return ": ".join(
        [words[0], *(word[:1].lower() + word[1:] if word[1:2].islower() else word for word in words[1:])]
    )


def _choice(label: str) -> str:
    """A choice in words: an enumeration's own label, or its value where it has none."""
    return label_of(label.lower()) if label.isupper() or "_" in label or label.islower() else label


def _text_widget(field: Any) -> Any:
    if isinstance(field, serializers.CharField) and field.style.get("input_type") == "password":
        return widgets.UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    if isinstance(field, serializers.DateField):
        return widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"})
    if isinstance(field, serializers.TimeField):
        return widgets.UnfoldAdminTextInputWidget(attrs={"type": "time"})
    if isinstance(field, serializers.DateTimeField):
        return widgets.UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
    if isinstance(field, serializers.DecimalField):
        return widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})
    if isinstance(field, serializers.IntegerField):
        return widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"})
    if getattr(field, "multiline", False) or not isinstance(
        field, serializers.CharField | serializers.UUIDField
    ):
        return widgets.UnfoldAdminTextareaWidget()
    return widgets.UnfoldAdminTextInputWidget()


def _read(field: Any, data: Any, name: str) -> Any:
    """Return the JSON value of a control; absent if it was left empty."""
    if isinstance(field, serializers.BooleanField):
        return data.get(name, "") not in ("", "false", "0")
    if isinstance(field, serializers.ListField):
        return _read_list(field, data.getlist(name), name)
    text = data.get(name, "")
    if text == "":
        if field.allow_null:
            return None
        return "" if getattr(field, "allow_blank", False) else _ABSENT
    if isinstance(field, serializers.ChoiceField):
        return next((value for value in field.choices if str(value) == text), text)
    if isinstance(field, serializers.DateTimeField):
        return _moment(text)
    if isinstance(field, serializers.DictField | serializers.ListSerializer | serializers.JSONField):
        return _structure(text, name)
    return inputs.primitive(field, text)


def _read_list(field: Any, parts: list[str], name: str) -> Any:
    if isinstance(field.child, serializers.ChoiceField):
        return parts
    text = parts[0].strip() if parts else ""
    if text.startswith("["):
        return _structure(text, name)
    return [inputs.primitive(field.child, line.strip()) for line in text.splitlines() if line.strip()]


def _structure(text: str, name: str) -> Any:
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except DomainError as error:
        pointer = "/" + name.replace(".", "/")
        raise Invalid(
            "A field needs attention.", errors=[FieldError(pointer, error.code, error.detail)]
        ) from None


def _moment(text: str) -> str:
    """A local time as the browser's control gives it, with the offset of the company's zone."""
    try:
        return timezone.make_aware(datetime.fromisoformat(text)).isoformat()
    except ValueError:
        return text


def initial_of(row: models.Model, slots: list[FieldSlot]) -> dict[str, Any]:
    """Return the current values of the row for the controls."""
    initial = {}
    for slot in slots:
        owner: Any = row
        for step in slot.path[:-1]:
            owner = getattr(owner, step, owner)
        value = getattr(owner, slot.field.source, _ABSENT)
        if value is not _ABSENT:
            initial[slot.name] = as_typed(slot.field, value)
    return initial


def initial_for(service: Service, slots: list[FieldSlot]) -> dict[str, Any]:
    """Return the service's default values for the controls."""
    parameters = inspect.signature(service.function).parameters
    return {
        slot.name: as_typed(slot.field, parameters[slot.field.source].default)
        for slot in slots
        if len(slot.path) == 1
        and slot.field.source in parameters
        and parameters[slot.field.source].default is not inspect.Parameter.empty
    }


def as_typed(field: Any, value: Any) -> Any:
    """Return a value as the field's control would submit it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return timezone.localtime(value.replace(tzinfo=value.tzinfo or UTC)).strftime("%Y-%m-%dT%H:%M")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(value, list | tuple):
        if any(isinstance(item, dict) for item in value):
            return json.dumps(value, ensure_ascii=False, indent=2)
        simple = isinstance(getattr(field, "child", None), serializers.ChoiceField)
        if any(isinstance(item, dict) for item in value):
            return json.dumps(value, ensure_ascii=False, indent=2)
        return [str(item) for item in value] if simple else "\n".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def _beside(pointer: str, place: str) -> bool:
    """Whether a fault belongs beside a control: it points at its value, into it, or at the object around."""
    return f"{pointer}/".startswith(f"{place}/") or (len(pointer) > 1 and place.startswith(f"{pointer}/"))
