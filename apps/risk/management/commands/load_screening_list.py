"""Load a snapshot of a screening list from a file."""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from apps.risk.services import screening
from erp import clock
from erp.access import SYSTEM
from erp.commands import FAILED, USAGE, Command, finish, leave
from erp.errors import DomainError


class Command(Command):  # type: ignore[no-redef]
    """Load a dated snapshot; one with many entries fewer than the active one waits for a person in the portal."""

    help = "Load a snapshot of a screening list from a CSV file."
    examples = ("UN lists/un.csv --source 'UN consolidated list' --date 2026-11-30",)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The list, its file, where it is from and of which day it is."""
        parser.add_argument("code", help="which list, such as UN")
        parser.add_argument(
            "file", type=Path, help="CSV: reference, kind, names (between bars), country, identifiers"
        )
        parser.add_argument("--source", required=True, help="where the snapshot is from")
        parser.add_argument(
            "--date", type=date.fromisoformat, default=None, help="day of the snapshot; default: today"
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Load the file and say what became of it."""
        if not options["file"].is_file():
            leave(f"There is no file {options['file']}.", USAGE)
        try:
            row = screening.load_list(
                actor=SYSTEM,
                code=options["code"][:20],
                source=options["source"][:200],
                snapshot_date=options["date"] or clock.today(),
                content=options["file"].read_bytes(),
            )
        except DomainError as error:
            leave(str(error) or type(error).__doc__ or error.code, FAILED)
        document = {"id": str(row.pk), "code": row.code, "entries": row.entries, "status": row.status}
        finish(
            self,
            document,
            [f"{row.code}: {row.entries} entries, {row.get_status_display()}"],
            as_json=options["json"],
        )
