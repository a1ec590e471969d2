"""The doctor's check of the coming financial year."""

from apps.organization.models import Organization, lacks_financial_year
from erp import clock, doctor


def _check_coming_year() -> str:
    """Check, from 1 March on, that each organization has its next year with its series."""
    organizations = list(Organization.objects.filter(lacks_financial_year(clock.today())).order_by("name"))
    if organizations:
        raise doctor.CheckFailed(
            f"{len(organizations)} organizations without: {', '.join(str(each.pk) for each in organizations[:3])}",
            "add the financial year and copy its series in the admin",
        )
    return "covered"


doctor.module_checks.append(
    doctor.HealthCheck("financial years", _check_coming_year, "look at the log", after="migrations")
)
