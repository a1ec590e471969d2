"""``compliance_audit``: the eight rules of the audit, proved from the running code."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from erp.audit import audit
from erp.commands import FAILED, OK, finish


class Command(BaseCommand):
    """Print modules by rules, and every write with its service; exit 1 on any violation."""

    help = "Check the eight compliance rules against the running code. Needs no database."
    requires_system_checks = ()  # what they would find is in the report

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        report = audit()
        finish(
            self,
            report.as_dict(),
            report.lines(),
            as_json=options["json"],
            code=OK if report.passed else FAILED,
        )
