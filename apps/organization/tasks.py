"""What runs without a caller: the doctor's look at the coming year."""

from apps.organization.models import Organization, uncovered
from erp import clock, doctor


def _coming_year() -> str:
    """From 1 March on, whether each organization has its next year with its series."""
    lacking = list(Organization.objects.filter(uncovered(clock.today())).order_by("name"))
    if lacking:
        raise doctor.Wrong(
            f"{len(lacking)} organizations without: {', '.join(str(each.pk) for each in lacking[:3])}",
            "open the financial year, and copy its series, in the admin",
        )
    return "covered"


doctor.of_modules.append(doctor.Look("financial years", _coming_year, "look at the log", after="migrations"))
