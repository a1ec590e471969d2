"""Django forms built from the inputs of services: one definition of fields and rules for API and admin.

A form here only renders and reads. The submitted values go as JSON through the service's ``Input``, as in an API
request, and every error is shown beside the field that its JSON pointer names.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
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
from erp.errors import (
    DomainError,
    FieldError,
    Invalid,
    KeyInvalid,
    KeyMissing,
    KeyReused,
    PreconditionFailed,
)
from erp.figures import trim
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
    ``options`` replaces a control by a choice (name → pairs); ``fixed`` are values without a control (name → value,
    None for none). ``codes`` reads what a control of a code suggests (name → code and words of it), also in rows.
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
        fixed: Mapping[str, Any] | None = None,
        codes: Mapping[str, Callable[[], list[tuple[str, str]]]] | None = None,
    ) -> None:
        super().__init__(data=data, files=files, initial=dict(initial or {}), label_suffix="")
        self.input = input
        self.instance = row if row is not None else model()
        self._meta = read_only_meta(model)
        fixed, self._codes, self._options = fixed or {}, codes or {}, options or {}
        self.slots = [
            slot
            for slot in slots
            if slot.name not in fixed and (slot.name in self._options or not _is_bare_id(slot, slots))
        ]
        self._fixed = [(slot.path, fixed[slot.name]) for slot in slots if fixed.get(slot.name) is not None]
        self._choose = choose
        for slot in self.slots:
            typed = data.get(slot.name) if data is not None else self.initial.get(slot.name)
            self.fields[slot.name] = self.draw(slot, typed, slot.name)

    def full_clean(self) -> None:
        """Do nothing: the input validates the values before the service runs."""
        self._errors = ErrorDict()
        self.cleaned_data: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return the submitted values as the JSON of an API request."""
        values = _frame(self.input)
        for path, value in self._fixed:
            _put(values, path, value)
        for slot in self.slots:
            if isinstance(slot.field, FileField):
                value = self.files.get(slot.name, _ABSENT)
            else:
                value = _read(slot.field, self.data, slot.name)
            if value is _ABSENT:
                continue
            _put(values, slot.path, value)
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
            text = words_of_fault(slot, fault)
            self.add_error(slot.name if slot else None, forms.ValidationError(text, code=fault.code))

    def differences(self, row: models.Model) -> list[tuple[str, str, str]]:
        """Return the fields whose submitted value differs from the current one: label, submitted, current."""
        now = initial_of(row, self.slots)
        changed = []
        for slot in self.slots:
            held, typed = now.get(slot.name, ""), self.data.get(slot.name, "")
            if isinstance(slot.field, serializers.ListSerializer):
                held = _rows_text(held)
                typed = _rows_text(_read(slot.field, self.data, slot.name))
            elif isinstance(slot.field, serializers.BooleanField):
                held, typed = ("yes" if held else "no"), ("yes" if slot.name in self.data else "no")
            if (
                isinstance(slot.field, serializers.CharField)
                and slot.field.style.get("input_type") == "password"
            ):
                continue
            if str(held) != str(typed):
                changed.append((_label(slot), str(typed) or "–", str(held) or "–"))
        return changed

    def draw(self, slot: FieldSlot, typed: Any, place: str = "") -> forms.Field:
        """The control of a slot, with its words; ``place`` is its name among the options."""
        drawn = self._draw(slot, self._options.get(place), typed)
        drawn.label, drawn.help_text = _label(slot), slot.field.help_text or ""
        drawn.required = _is_required(slot.field) and not isinstance(slot.field, serializers.BooleanField)
        return drawn

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
        if isinstance(field, serializers.ListSerializer):
            return forms.Field(widget=RowsWidget(self, slot))
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
        if slot.path[-1] in self._codes:
            return forms.CharField(strip=False, widget=_Codes(self._codes[slot.path[-1]]()))
        return forms.CharField(strip=False, widget=_text_widget(field))

    def _draw_row(self, field: Any, typed: Any) -> forms.Field:
        visible = field._visible()
        address = self._choose(visible.model)
        if not address:
            rows = visible.order_by("pk")[:_MOST_CHOICES]
            shown = [("", "Choose"), *((str(row.pk), str(row)) for row in rows)]
            return forms.ChoiceField(choices=shown, widget=widgets.UnfoldAdminSelectWidget())
        named = self.instance._state.fields_cache.values()  # the row's page names them, whoever looks
        chosen = next(
            (row for row in named if type(row) is visible.model and str(row.pk) == str(typed)), None
        )
        try:
            chosen = chosen or (visible.filter(pk=UUID(str(typed))).first() if typed else None)
        except ValueError:
            chosen = None
        pairs = [("", "")] + ([(str(chosen.pk), str(chosen))] if chosen is not None else [])
        widget = _Search(
            attrs={"data-ajax--url": address, "data-placeholder": "Search", "data-allow-clear": "true"}
        )
        return forms.ChoiceField(choices=pairs, widget=widget)


def _is_bare_id(slot: FieldSlot, slots: list[FieldSlot]) -> bool:
    """Whether the control asks for an id that may be left out, of rows that no page offers and no type names."""
    named = any(other.name == f"{slot.name.removesuffix('id')}type" for other in slots)
    is_id = isinstance(slot.field, serializers.UUIDField) and not isinstance(slot.field, RowField)
    return is_id and not slot.field.required and not named


class _NoHelp(dict[str, str]):
    """No help beside a value that can't be changed: it says how to fill in the field."""

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return ""


def read_only_meta(model: type[models.Model]) -> SimpleNamespace:
    """What Django's read-only fields ask of a form."""
    return SimpleNamespace(model=model, labels=None, help_texts=_NoHelp())


class RowsWidget(forms.Widget):
    """Rows of a list, each with the controls of its input, and buttons that add and remove a row (rows.js).

    A control is named by its place: ``lines.0.effect``. The row that the script copies has a mark of its depth in place
    of the number, so that lists within rows work likewise.
    """

    template_name = "admin/service/rows.html"

    def __init__(self, form: ServiceForm, slot: FieldSlot) -> None:
        super().__init__()
        self.form, self.slot = form, slot

    @property
    def media(self) -> forms.Media:
        """The script, and what the controls of a row need."""
        needed = forms.Media(js=("erp/rows.js",))
        for slot in self._slots():
            needed += self.form.draw(slot, "", self._place(slot)).widget.media
        return needed

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """The rows as they were typed."""
        return [
            {slot.name: _typed(slot.field, data, f"{name}.{place}.{slot.name}") for slot in self._slots()}
            for place in _places(data, name)
        ]

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        rows = [self._row(name, place, row) for place, row in enumerate(value or [])]
        mark = f"__{name.count('.')}__"
        return {
            **super().get_context(name, None, attrs),
            "name": name,
            "mark": mark,
            "rows": rows,
            "empty": self._row(name, mark, {}),
        }

    def _slots(self) -> list[FieldSlot]:
        return list(_slots(self.slot.field.child))

    def _place(self, slot: FieldSlot) -> str:
        return f"{self.slot.name}.{slot.name}"

    def _row(self, name: str, place: Any, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        cells = []
        for slot in self._slots():
            full = f"{name}.{place}.{slot.name}"
            value = row.get(slot.name, "")
            field = self.form.draw(slot, value, self._place(slot))
            attrs = {"id": f"id_{full}", **field.widget_attrs(field.widget)}
            widget = field.widget.render(full, value, attrs)
            cells.append({"id": attrs["id"], "field": field, "widget": widget})
        return cells


def _typed(field: Any, data: Any, name: str) -> Any:
    """What was typed into a control of a row, to show it again."""
    if isinstance(field, serializers.ListSerializer):
        return [
            {
                slot.name: _typed(slot.field, data, f"{name}.{place}.{slot.name}")
                for slot in _slots(field.child)
            }
            for place in _places(data, name)
        ]
    if isinstance(field, serializers.ListField):
        parts = data.getlist(name)
        return parts if isinstance(field.child, serializers.ChoiceField) else "\n".join(parts)
    return data.get(name, "")


def _places(data: Any, name: str) -> list[int]:
    """The numbers of a list's rows among the names of controls, in order."""
    steps = {key[len(name) + 1 :].partition(".")[0] for key in data if key.startswith(f"{name}.")}
    return sorted(int(step) for step in steps if step.isdecimal() and len(step) < 6)


def _rows_text(rows: Any) -> str:
    """Rows in one line, for the difference of two."""
    return "; ".join(
        ", ".join(str(value) for value in row.values() if value not in ("", None)) for row in rows or []
    )


class _Search(widgets.UnfoldAdminAutocompleteWidget):  # type: ignore[misc]
    """Unfold's search field; its own option template knows only options of a model field."""

    option_template_name = "django/forms/widgets/select_option.html"


class _Codes(widgets.UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """A code, with the known ones to choose from; the browser filters them by what is typed."""

    template_name = "admin/service/code.html"

    def __init__(self, codes: list[tuple[str, str]]) -> None:
        super().__init__()
        self._known = codes

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        attrs = {**(attrs or {}), "list": f"codes-{name}", "autocomplete": "off"}
        return {**super().get_context(name, value, attrs), "codes": self._known}


# Problems whose words are for integrators of the API.
_WORDS: Final[dict[type[DomainError], str]] = {
    KeyMissing: "The form was not submitted completely. Check your entries and save again.",
    KeyInvalid: "The form was not submitted completely. Check your entries and save again.",
    KeyReused: "This form was already submitted with other values. Check your entries and save again.",
    PreconditionFailed: "Somebody changed this in the meantime. Compare the values, then save again.",
}


def text_of_error(error: DomainError) -> str:
    """A problem in one line: its title, and its detail if that adds something."""
    if type(error) in _WORDS:
        return _WORDS[type(error)]
    if isinstance(error, Invalid) and error.errors:
        return "Correct the fields marked below."
    return error.title if error.detail in ("", error.title) else f"{error.title} {error.detail}"


def words_of_fault(slot: FieldSlot | None, fault: FieldError) -> str:
    """An error of a form in words: no code, no pointer; ``slot`` is the control that it stands beside, if any."""
    steps = [step for step in fault.pointer[len(slot.pointer) if slot else 0 :].split("/") if step]
    place = ": ".join(f"row {int(step) + 1}" if step.isdecimal() else label_of(step) for step in steps)
    field = slot.field if slot else None
    for step in steps:
        field = getattr(field, "child", None) if step.isdecimal() else getattr(field, "fields", {}).get(step)
    text = _words_of_number(field, fault.code) or fault.detail
    if text.startswith("Send "):
        text = f"Enter {text.removeprefix('Send ')}"
    return f"{capfirst(place)}: {text}" if place else text


_NOT_A_NUMBER: Final = ("not_a_decimal_string", "out_of_range", "min_value", "max_value")


def _words_of_number(field: Any, code: str) -> str:
    whole = isinstance(field, serializers.IntegerField)
    if not (whole or isinstance(field, serializers.DecimalField)) or not (
        code in _NOT_A_NUMBER or (code == "invalid" and whole)
    ):
        return ""
    low, high = field.min_value, field.max_value
    kind = "a whole number" if whole else "a number"
    if low is not None and high is not None:
        return f"Enter {kind} from {trim(low)} to {trim(high)}."
    if low is not None:
        return f"Enter {kind} of {trim(low)} or more."
    return f"Enter {kind} of at most {trim(high)}." if high is not None else f"Enter {kind}."


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


def _is_required(field: Any) -> bool:
    """Whether a field and the objects around it can't be left out."""
    while isinstance(field, serializers.Field) and field.required:
        if not isinstance(field.parent, serializers.Serializer):
            return True
        field = field.parent
    return False


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
        return widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})
    return widgets.UnfoldAdminTextInputWidget()


def _read(field: Any, data: Any, name: str) -> Any:
    """Return the JSON value of a control; absent if it was left empty."""
    if isinstance(field, serializers.BooleanField):
        return data.get(name, "") not in ("", "false", "0")
    if isinstance(field, serializers.ListSerializer):
        return [_read_row(field.child, data, f"{name}.{place}") for place in _places(data, name)]
    if isinstance(field, serializers.ListField):
        return _read_list(field, data.getlist(name), name)
    text = _plain(field, data.get(name, ""))
    if text == "":
        if field.allow_null:
            return None
        return "" if getattr(field, "allow_blank", False) else _ABSENT
    if isinstance(field, serializers.ChoiceField):
        return next((value for value in field.choices if str(value) == text), text)
    if isinstance(field, serializers.DateTimeField):
        return _moment(text)
    if isinstance(field, serializers.DictField | serializers.JSONField):
        return _structure(text, name)
    return inputs.primitive(field, text)


def _read_row(child: Any, data: Any, name: str) -> dict[str, Any]:
    """The JSON object of one row of a list."""
    values = _frame(child)
    for slot in _slots(child):
        value = _read(slot.field, data, f"{name}.{slot.name}")
        if value is not _ABSENT:
            _put(values, slot.path, value)
    return values


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value within objects, which are made as needed."""
    for step in path[:-1]:
        values = values.setdefault(step, {})
    values[path[-1]] = value


# Grouped by lakh or by thousand: the last group has three digits, so that a decimal comma (12,50) is refused.
_GROUPED: Final = re.compile(r"([-+]?)(?:₹\s*)?([0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}|[0-9]+)((?:\.[0-9]+)?)")
_DATE_FORMATS: Final = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d %b %Y", "%d %B %Y")


def _plain(field: Any, text: str) -> str:
    """A number or date as the API takes it: ``1,500`` is 1500, ``5%`` is 5, ``30/11/2026`` is 2026-11-30."""
    typed = text.strip()
    if isinstance(field, serializers.IntegerField | serializers.DecimalField):
        if typed.endswith("%") and "percent" in f"{field.field_name} {field.help_text}".lower():
            typed = typed[:-1].rstrip()
        found = _GROUPED.fullmatch(typed.replace("\N{MINUS SIGN}", "-"))
        if found is None:
            return typed
        sign, whole, fraction = found.groups()
        digits = whole.replace(",", "").lstrip("0") or "0"
        return f"{sign.replace('+', '')}{digits}{fraction}"
    if type(field) is inputs.DateField:
        for form in _DATE_FORMATS:
            with suppress(ValueError):
                return datetime.strptime(typed, form).date().isoformat()  # noqa: DTZ007 - a day
    return text


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
    """A local time as the browser's control gives it or a person types it, with the offset of the company's zone."""
    typed = text.strip().removesuffix("IST").replace(",", " ")
    typed = " ".join(typed.split())
    with suppress(ValueError):
        return timezone.make_aware(datetime.fromisoformat(typed)).isoformat()
    for form in _DATE_FORMATS:
        with suppress(ValueError):
            return timezone.make_aware(datetime.strptime(typed, f"{form} %H:%M")).isoformat()  # noqa: DTZ007 - local
    return text


def initial_of(row: models.Model, slots: list[FieldSlot]) -> dict[str, Any]:
    """Return the current values of the row for the controls."""
    initial = {}
    gathered: dict[tuple[str, ...], Any] = {}  # what several slots take their values from is read once
    for slot in slots:
        owner: Any = row
        for step in slot.path[:-1]:
            owner = getattr(owner, step, owner)
        value = owner
        *steps, last = slot.field.source.split(".")  # a service may take several values as one keyword
        for depth, step in enumerate(steps, 1):
            key = (*slot.path[:-1], "", *steps[:depth])
            if key not in gathered:
                gathered[key] = getattr(value, step, _ABSENT)
            value = gathered[key]
        value = getattr(value, last, _ABSENT)
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


def typed_values(slots: list[FieldSlot], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for the controls that are there."""
    return {slot.name: as_typed(slot.field, values[slot.name]) for slot in slots if slot.name in values}


def as_typed(field: Any, value: Any) -> Any:
    """Return a value as the field's control would submit it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return value
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return timezone.localtime(value.replace(tzinfo=value.tzinfo or UTC)).strftime("%Y-%m-%dT%H:%M")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(field, serializers.ListSerializer):
        return [_typed_row(field.child, item) for item in value]
    if isinstance(value, list | tuple):
        simple = isinstance(getattr(field, "child", None), serializers.ChoiceField)
        if any(isinstance(item, dict) for item in value):
            return json.dumps(value, ensure_ascii=False, indent=2)
        return [str(item) for item in value] if simple else "\n".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def _typed_row(child: Any, row: Any) -> dict[str, Any]:
    """A row of a list as its controls would submit it."""
    typed = {}
    for slot in _slots(child):
        value = row
        for step in (*slot.path[:-1], slot.field.source or slot.path[-1]):
            value = value.get(step) if isinstance(value, dict) else getattr(value, step, None)
        typed[slot.name] = as_typed(slot.field, value)
    return typed


def _beside(pointer: str, place: str) -> bool:
    """Whether a fault belongs beside a control: it points at its value, into it, or at the object around."""
    return f"{pointer}/".startswith(f"{place}/") or (len(pointer) > 1 and place.startswith(f"{pointer}/"))
