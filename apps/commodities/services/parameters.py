"""Change quality parameters and their templates."""

from collections.abc import Mapping
from typing import Any

from apps.commodities import capabilities
from apps.commodities.events import parameters as events
from apps.commodities.models.parameters import Measured, ParameterTemplate, QualityParameter
from apps.commodities.services.rules import (
    Duplicate,
    FieldsContradict,
    InForce,
    LimitsInverted,
    NotActive,
    OutsidePossible,
    require_active,
)
from erp.errors import FieldError, Invalid
from erp.reference import EQUAL, ReferenceList, writable_fields
from erp.text import name_key

FIELDS = writable_fields(Measured)
ITSELF = ("code", "name", "data_type", "direction", "methods")  # required without a template
NUMBERS_ONLY = ("possible_min", "possible_max", "usual_min", "usual_max", "tolerance")

ERRORS = (Duplicate, FieldsContradict, LimitsInverted, OutsidePossible)


def _check(row: Any) -> None:
    """Check rules across fields; each error names its field."""
    row.default_method = row.default_method or row.methods[0]
    _check_fixed(row)
    if faults := [*_contradictions(row)]:
        raise FieldsContradict(errors=faults)
    for low, high in (
        ("target_low", "target_high"),
        ("possible_min", "possible_max"),
        ("usual_min", "usual_max"),
    ):
        if _above(row, low, high):
            raise LimitsInverted(
                errors=[FieldError(f"/{high}", "inverted", "The upper limit is below the lower limit.")]
            )
    for name in ("usual_min", "usual_max"):
        if _above(row, "possible_min", name) or _above(row, name, "possible_max"):
            raise OutsidePossible(
                errors=[
                    FieldError(f"/{name}", "outside_possible", "The value is outside the possible range.")
                ]
            )


def _check_fixed(row: Any) -> None:
    """Type, unit and methods can't change, since results rely on them."""
    changed = row.changed_fields()
    faults = [
        FieldError(f"/{name}", "fixed", "It cannot be changed: test results depend on it.")
        for name in ("data_type", "unit")
        if name in changed
    ]
    before, now = changed.get("methods", ((), ()))
    if lost := [method for method in before if method not in now]:
        faults.append(
            FieldError("/methods", "fixed", f"Methods cannot be removed: add {', '.join(lost)} again.")
        )
    if faults:
        raise InForce("Test results of this parameter depend on it.", errors=faults)


def _contradictions(row: Any) -> list[FieldError]:
    number, target = row.is_number, row.direction == Measured.Direction.TARGET
    expected = {
        "unit": (number, "numbers"),
        "precision": (row.data_type == Measured.DataType.DECIMAL, "decimals"),
        "target_low": (target, "a target range"),
        "target_high": (target, "a target range"),
    }
    faults = [
        FieldError(f"/{name}", "contradicts", f"Required with {what}, and only then.")
        for name, (wanted, what) in expected.items()
        if (getattr(row, name) is not None) != wanted
    ]
    if target and not number:
        faults.append(FieldError("/direction", "contradicts", "Only numbers have a target range."))
    faults += [
        FieldError(f"/{name}", "contradicts", "Only numbers have limits.")
        for name in NUMBERS_ONLY
        if getattr(row, name) is not None and not number
    ]
    if (row.data_type == Measured.DataType.ENUM) != (len(row.choices) > 1):
        faults.append(
            FieldError(
                "/choices",
                "contradicts",
                "At least two choices are required for a choice from a list, and only then.",
            )
        )
    codes = [choice["code"] for choice in row.choices]
    faults += [
        FieldError(f"/choices/{place}/code", "doubled", "This code is listed twice.")
        for place, code in enumerate(codes)
        if code in codes[:place]
    ]
    if row.default_method not in row.methods:
        faults.append(
            FieldError("/default_method", "contradicts", "The default method must be one of the methods.")
        )
    return faults


def _above(row: Any, low: str, high: str) -> bool:
    first, second = getattr(row, low), getattr(row, high)
    return first is not None and second is not None and bool(first > second)


def _check_parameter(parameter: QualityParameter) -> None:
    parameter.name_key = name_key(parameter.name)
    if parameter.is_new:
        require_active(parameter.commodity, "/commodity_id")
        require_active(parameter.template, "/template_id")
    _check(parameter)


def _with_template(values: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the values of a new parameter from its template, if it has one. Raises Invalid."""
    template = values.get("template")
    if template is None:
        missing = [name for name in ITSELF if name not in values]
        words = "Required without a template."
        if faults := [FieldError(f"/{name}", "required", words) for name in missing]:
            raise Invalid(errors=faults)
        return dict(values)
    copied = {name: getattr(template, name) for name in FIELDS}
    return copied | {name: value for name, value in values.items() if value not in (None, "", [])}


PARAMETERS = ReferenceList(
    QualityParameter,
    noun="parameter",
    path="quality-parameters",
    basename="quality-parameter",
    part_of=("commodity", "commodities"),
    title="Quality parameters of commodities.",
    views=capabilities.VIEW,
    requires=capabilities.MANAGE_SPECIFICATIONS,
    created=events.ParameterAdded,
    updated=events.ParameterUpdated,
    fixed=("commodity", "template", "code"),
    unreported_fields=("name_key",),
    optional=ITSELF,
    prepare=_with_template,
    check=_check_parameter,
    raises=ERRORS,
    create_raises=[NotActive],
    update_raises=[InForce],
    filters={"code": EQUAL, "is_mandatory": ["exact"]},
    sortable=("code", "name", "display_order"),
    columns=("code", "name", "commodity", "unit", "direction", "is_mandatory"),
    ordering=("display_order", "code"),
)
create_parameter, update_parameter = PARAMETERS.create, PARAMETERS.update

TEMPLATES = ReferenceList(
    ParameterTemplate,
    noun="template",
    path="parameter-templates",
    basename="parameter-template",
    title="Quality parameters to copy, by category of commodities.",
    views=capabilities.VIEW,
    requires=capabilities.MANAGE_SPECIFICATIONS,
    created=events.ParameterTemplateCreated,
    updated=events.ParameterTemplateUpdated,
    fixed=("category", "code"),
    check=_check,
    raises=ERRORS,
    update_raises=[InForce],
    filters={"category": EQUAL, "code": EQUAL},
    sortable=("code", "name", "display_order"),
    columns=("code", "name", "category", "unit", "direction"),
    ordering=("display_order", "code"),
)
create_template, update_template = TEMPLATES.create, TEMPLATES.update
