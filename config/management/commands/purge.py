"""``purge``: erase what has outlived its purpose."""

from argparse import ArgumentParser
from typing import Any

from erp import commands, retention


class Command(commands.Command):
    """Run every retention rule; exit 3 when a row could not be erased."""

    help = "Erase personal data whose retention period is over."
    examples = ("--dry-run", "", "--json")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what is due")
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        outcomes = list(retention.run(dry_run=options["dry_run"]))
        report = {
            "dry_run": options["dry_run"],
            "rules": [
                {
                    "rule": each.rule.name,
                    "days": each.rule.period.days,
                    "due": each.due,
                    "erased": each.erased,
                    "failed": each.failed,
                }
                for each in outcomes
            ],
        }
        lines = commands.table(
            ("rule", "days", "due", "erased", "failed", "of"),
            ((e.rule.name, e.rule.period.days, e.due, e.erased, e.failed, e.rule.title) for e in outcomes),
        )
        code = commands.PARTIAL if any(each.failed for each in outcomes) else commands.OK
        commands.finish(self, report, lines, as_json=options["json"], code=code)
