"""``setup_pubsub``: topics, subscriptions and grants as they must be."""

from argparse import ArgumentParser
from typing import Any

from google.api_core import exceptions as api

from erp import commands
from erp.commands import finish
from erp.outbox import cli, topology


class Command(cli.Command):
    """Make or align the topology; twice makes no change."""

    help = "Create or update Pub/Sub's topics and subscriptions."
    examples = ("", "--check")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on drift")
        parser.add_argument(
            "--dry-run", action="store_true", help="change nothing, report what would be done"
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        look_only = options["check"] or options["dry_run"]
        drift: list[dict[str, Any]] = []
        unchecked: list[dict[str, Any]] = []
        lines: list[str] = []
        broken = False
        with topology.clients() as pubsub:
            # Whatever was made beside what people must first put right would stand alone.
            blocked = not look_only and any(d.remedy for d in topology.differences(pubsub))
            for difference in topology.differences(pubsub):
                change = difference.as_dict()
                if not difference.checked:
                    unchecked.append(change)
                    lines.append(f"?  {difference}")
                    continue
                drift.append(change)
                change["repaired"] = False
                if look_only or blocked or difference.repair is None:
                    broken = broken or not look_only
                    lines.append(f"!  {difference}")
                    continue
                try:
                    difference.repair()
                except (*topology.REFUSED, api.AlreadyExists) as error:
                    broken = True
                    change["error"] = error.message
                    lines.append(f"!  {difference} – {error.message}")
                else:
                    change["repaired"] = True
                    lines.append(f"+  {difference}")
        failed = broken or (options["check"] and bool(drift))
        finish(
            self,
            {
                "drift": drift,
                "not_checked": unchecked,
                "changed": sum(change["repaired"] for change in drift),
            },
            lines if drift else [*lines, "in line"],
            as_json=options["json"],
            code=commands.FAILED if failed else commands.OK,
        )
