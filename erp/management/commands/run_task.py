"""``run_task``: one piece of periodic work, by hand, in this process."""

from argparse import ArgumentParser
from collections import defaultdict
from typing import Any

from celery import current_app
from django.core.management.base import CommandError

from erp import commands


class Command(commands.Command):
    """Run a periodic task now and wait for it. Tasks are idempotent: beat's own run does no harm."""

    help = "Run one periodic task by its name in the schedule, in this process."
    examples = ("", "expire-reservations")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name", nargs="?", default="", metavar="NAME", help="without one, the names are listed"
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        schedule: dict[str, dict[str, Any]] = current_app.conf.beat_schedule
        if not options["name"]:
            tasks = {name: entry["task"] for name, entry in sorted(schedule.items())}
            lines = commands.table(("name", "task"), tasks.items())
            commands.finish(self, {"tasks": tasks}, lines, as_json=options["json"])
            return
        entry = schedule[_find(options["name"], schedule)]
        current_app.loader.import_default_modules()
        task = current_app.tasks[entry["task"]]
        result = task(*entry.get("args", ()), **entry.get("kwargs", {}))
        commands.finish(
            self,
            {"task": entry["task"], "result": result},
            [f"{entry['task']}: {result if result is not None else 'done'}"],
            as_json=options["json"],
        )


def _find(name: str, schedule: dict[str, dict[str, Any]]) -> str:
    """The entry of a name: its own, or that of the only task whose function is called so."""
    short = name.replace("_", "-")
    if short in schedule:
        return short
    by_function: dict[str, list[str]] = defaultdict(list)
    for key, entry in schedule.items():
        by_function[entry["task"].rsplit(".", 1)[-1].replace("_", "-")].append(key)
    found = by_function.get(short, [])
    if len(found) != 1:
        raise CommandError(
            f"{name} is not a periodic task; the tasks are: {', '.join(found or sorted(schedule))}",
            returncode=commands.USAGE,
        )
    return found[0]
