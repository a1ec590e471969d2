"""``verify_ledger``: whether what was counted once still adds up."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.utils.module_loading import autodiscover_modules

from erp import commands, ledgers


class Command(commands.Command):
    """Recompute the sums of every module's ledgers; exit 1 when one disagrees."""

    help = "Recompute every ledger and report differences."
    examples = ("", "--json", "--trade TRD-2526-000123", "--since 2026-01-01")

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_json(parser)
        parser.add_argument("--trade", metavar="NUMBER", help="check only settlements of this trade")
        parser.add_argument(
            "--since", metavar="DATE", type=date.fromisoformat, help="check only settlements from this day on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        autodiscover_modules("ledgers")
        checked, rows, details = [], [], []
        narrowed = {name: options[name] for name in ("trade", "since") if options[name] is not None}
        for ledger in sorted(ledgers.registry.values(), key=lambda ledger: ledger.name):
            if not narrowed.keys() <= set(ledger.options):
                continue
            count, found = ledger.rows(**narrowed), list(ledger.mismatches(**narrowed))
            checked.append(
                {"ledger": ledger.name, "rows": count, "mismatches": [each._asdict() for each in found]}
            )
            rows.append(("FAILED" if found else "ok", ledger.name, count, ledger.title))
            details += [f"{ledger.name}: {each.detail} ({each.key})" for each in found]
        failed = any(each["mismatches"] for each in checked)
        lines = [*commands.table(("state", "ledger", "rows", "of"), rows), *details]
        report = {"passed": not failed, "ledgers": checked}
        commands.finish(
            self, report, lines, as_json=options["json"], code=commands.FAILED if failed else commands.OK
        )
