"""``verify_ledger``: whether what was counted once still adds up."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.module_loading import autodiscover_modules

from erp import ledgers
from erp.commands import FAILED, OK, finish


class Command(BaseCommand):
    """Recompute the sums of every module's ledgers; exit 1 when one disagrees."""

    help = "Recompute every ledger and report differences."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        autodiscover_modules("ledgers")
        checked, lines = [], []
        for ledger in sorted(ledgers.registry.values()):
            rows, found = ledger.rows(), list(ledger.mismatches())
            checked.append(
                {"ledger": ledger.name, "rows": rows, "mismatches": [each._asdict() for each in found]}
            )
            lines.append(f"{'FAILED' if found else 'ok':6}  {ledger.name}  {rows} {ledger.title}")
            lines += [f"        {each.detail}  ({each.key})" for each in found]
        failed = any(each["mismatches"] for each in checked)
        report = {"passed": not failed, "ledgers": checked}
        finish(self, report, lines, as_json=options["json"], code=FAILED if failed else OK)
