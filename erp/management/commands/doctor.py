"""``doctor``: is everything there that the product needs, and what helps where it isn't."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from erp import doctor
from erp.commands import DOWN, FAILED, OK, finish


class Command(BaseCommand):
    """One line per dependency, with a hint where it isn't well: exit 4 when one is down, 1 when one fails."""

    help = "Check every dependency of the product and print a hint for each failure."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(doctor.examine())
        states = {finding.state for finding in findings}
        code = DOWN if "down" in states else FAILED if "failed" in states else OK
        finish(
            self,
            {"passed": code == OK, "checks": [finding.as_dict() for finding in findings]},
            [
                f"{finding.state:8}{finding.name:14}{finding.detail}"
                + (f" – {finding.hint}" if finding.hint else "")
                for finding in findings
            ],
            as_json=options["json"],
            code=code,
        )
