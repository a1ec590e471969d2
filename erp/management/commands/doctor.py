"""``doctor``: is everything there that the product needs, and what helps where it isn't."""

from argparse import ArgumentParser
from typing import Any

from erp import commands, doctor


class Command(commands.Command):
    """One line per dependency, with a hint where it isn't well: exit 4 when one is down, 1 when one fails."""

    help = "Check every dependency of the product and print a hint for each failure."
    examples = ("", "--json")
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(doctor.examine())
        states = {finding.state for finding in findings}
        code = commands.DOWN if "down" in states else commands.FAILED if "failed" in states else commands.OK
        commands.finish(
            self,
            {"passed": code == commands.OK, "checks": [finding.as_dict() for finding in findings]},
            commands.table(
                ("state", "check", "detail"),
                [
                    (each.state, each.name, f"{each.detail} – {each.hint}" if each.hint else each.detail)
                    for each in findings
                ],
            ),
            as_json=options["json"],
            code=code,
        )
