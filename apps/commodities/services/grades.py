"""Change grades."""

from apps.commodities import capabilities
from apps.commodities.events import grades as events
from apps.commodities.models.grades import Grade
from apps.commodities.services.limits import LIMIT_ERRORS, normalize_limits
from apps.commodities.services.rules import Duplicate, FieldsContradict, require_active
from erp.errors import Conflict, FieldError
from erp.reference import ReferenceList


class SecondBasis(Conflict):
    """Another grade of the commodity is the basis."""

    constraints = ("grade_one_basis",)


def _check(grade: Grade) -> None:
    if grade.is_new:
        require_active(grade.commodity, "/commodity_id")
    if grade.is_new or "pricing_unit_id" in grade.changed_fields():
        require_active(grade.pricing_unit, "/pricing_unit_id")
    kinds = Grade.DifferenceKind
    faults = []
    if (grade.difference is not None) != (grade.difference_kind != kinds.NONE):
        faults.append(FieldError("/difference", "contradicts", "Required with a difference, and only then."))
    if (grade.pricing_unit is not None) != (grade.difference_kind == kinds.MONEY):
        faults.append(
            FieldError("/pricing_unit_id", "contradicts", "Required with an amount, and only then.")
        )
    if grade.is_basis and grade.difference_kind != kinds.NONE:
        faults.append(
            FieldError("/difference_kind", "contradicts", "The basis grade cannot have a difference.")
        )
    if faults:
        raise FieldsContradict(errors=faults)
    normalize_limits(grade, "limits")


GRADES = ReferenceList(
    Grade,
    noun="grade",
    path="grades",
    part_of=("commodity", "commodities"),
    title="Grades of commodities.",
    views=capabilities.VIEW,
    requires=capabilities.MANAGE_SPECIFICATIONS,
    created=events.GradeAdded,
    updated=events.GradeUpdated,
    fixed=("commodity", "code"),
    check=_check,
    raises=[Duplicate, SecondBasis, *LIMIT_ERRORS],
    sortable=("code", "name", "rank"),
    columns=("code", "name", "commodity", "rank", "is_basis"),
    ordering=("commodity__code", "rank"),
)
create_grade, update_grade = GRADES.create, GRADES.update
