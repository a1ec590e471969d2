"""``sync_capabilities``: capabilities to permissions, roles to groups."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from erp import access
from erp.commands import finish


class Command(BaseCommand):
    """Bring permissions and groups in line with the code's matrix; deviations made at run time survive."""

    help = "Sync capabilities to permissions and roles to groups (also runs after migrate)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing; exit 1 when something differs"
        )
        parser.add_argument(
            "--prune", action="store_true", help="remove permissions that the code no longer declares"
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        drift = access.sync(check=options["check"], prune=options["prune"])
        changes = [{"kind": d.kind, "name": d.name, "operation": d.operation} for d in drift]
        lines = [f"{d.operation:6}  {d.kind:10}  {d.name}" for d in drift] or ["in line"]
        finish(
            self,
            {"drift": changes},
            lines,
            as_json=options["json"],
            code=1 if options["check"] and drift else 0,
        )
