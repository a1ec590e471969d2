"""``compliance_audit``: the eight rules of the audit, proved from the running code."""

from argparse import ArgumentParser
from typing import Any

from erp import commands
from erp.audit import audit


class Command(commands.Command):
    """Print modules by rules, and every write with its service; exit 1 on any violation."""

    help = "Check the eight compliance rules against the running code. Needs no database."
    examples = ("", "--json")
    requires_system_checks = ()  # what they would find is in the report

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        report = audit()
        commands.finish(
            self,
            report.as_dict(),
            report.lines(),
            as_json=options["json"],
            code=commands.OK if report.passed else commands.FAILED,
        )
