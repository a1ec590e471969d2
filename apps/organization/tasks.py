"""What runs without a caller: the doctor's look at the coming year."""

from apps.organization.models import Organization, lacks_financial_year
from erp import clock, doctor


def _check_coming_year() -> str:
    """From 1 March on, whether each organization has its next year with its series."""
    lacking = list(Organization.objects.filter(lacks_financial_year(clock.today())).order_by("name"))
    if lacking:
        raise doctor.Wrong(
            f"{len(lacking)} organizations without: {', '.join(str(each.pk) for each in lacking[:3])}",
            "open the financial year, and copy its series, in the admin",
        )
    return "covered"


doctor.of_modules.append(
    doctor.Look("financial years", _check_coming_year, "look at the log", after="migrations")
)
