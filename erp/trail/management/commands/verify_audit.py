"""``verify_audit``: whether the audit trail is whole."""

from argparse import ArgumentParser
from itertools import islice
from typing import Any

from erp import commands
from erp.trail import sealing, triggers
from erp.trail.models import Seal

MOST = 20  # findings that are printed


class Command(commands.Command):
    """Recompute the hash chain and look for missing triggers; exit 1 at any finding."""

    help = "Prove that no entry of the audit trail was changed, removed or added."
    examples = ("", "--json")

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sealing.seal()
        found = [finding._asdict() for finding in islice(sealing.findings(), MOST)]
        found += [
            {"position": None, "detail": str(error.msg)} for error in triggers.check_triggers(["default"])
        ]
        seals = Seal.objects.count()
        lines = [finding["detail"] for finding in found] or [
            f"The audit trail is whole: {seals} entries are sealed."
        ]
        report = {"passed": not found, "sealed": seals, "findings": found}
        commands.finish(
            self, report, lines, as_json=options["json"], code=commands.FAILED if found else commands.OK
        )
