"""``sync_capabilities``: capabilities to permissions, roles to groups."""

from argparse import ArgumentParser
from typing import Any

from erp import access, commands


class Command(commands.Command):
    """Bring permissions and groups in line with the code's matrix; deviations made at run time survive."""

    help = "Sync capabilities to permissions and roles to groups (also runs after migrate)."
    examples = ("--check", "--prune")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing; exit 1 when something differs"
        )
        parser.add_argument(
            "--prune", action="store_true", help="remove permissions that the code no longer declares"
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        drift = access.sync(check=options["check"], prune=options["prune"])
        changes = [{"kind": d.kind, "name": d.name, "operation": d.operation} for d in drift]
        rows = [(d.operation, d.kind, d.name) for d in drift]
        lines = [*commands.table(("change", "kind", "name"), rows)] if drift else ["in line"]
        commands.finish(
            self,
            {"drift": changes},
            lines,
            as_json=options["json"],
            code=1 if options["check"] and drift else 0,
        )
