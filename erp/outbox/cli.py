"""Shared parts of the outbox's commands: selections, operators, reasons, failures as exit codes (core §11)."""

import getpass
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sized
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from erp import commands
from erp.outbox.operations import Selection
from erp.outbox.publisher import NotPublished
from erp.outbox.topology import Unreachable


class Command(commands.Command):
    """A command whose failures are exit codes: a dependency that is down is 4, an interruption 130."""

    # They look at no URL and no template; a relay must start fast, and although a module is broken.
    requires_system_checks: list[str] = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; report a failure as text, or as ``{"error": …}`` with ``--json``."""
        try:
            return super().execute(*args, **options)
        except (Unreachable, NotPublished) as error:
            raise self._failure(f"Pub/Sub doesn't answer: {error}", commands.DOWN, options) from None
        except CommandError as error:
            raise self._failure(str(error), error.returncode, options) from None
        except KeyboardInterrupt:
            sys.exit(commands.INTERRUPTED)
        except Exception as error:
            if words := commands.outage(error):
                raise self._failure(words, commands.DOWN, options) from None
            raise

    def _failure(self, message: str, code: int, options: dict[str, Any]) -> CommandError:
        if options.get("json"):
            commands.finish(self, {"error": message}, (), as_json=True)
        return CommandError(message, returncode=code)

    def confirm(self, question: str, options: dict[str, Any]) -> None:
        """Ask for confirmation on a terminal unless ``--yes``; without a terminal no confirmation is asked."""
        if options["yes"] or not sys.stdin.isatty():
            return
        if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was changed", returncode=commands.INTERRUPTED)


def add_selection(parser: ArgumentParser) -> None:
    """Add the arguments that select events."""
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids of events")
    parser.add_argument(
        "--type", action="append", default=[], metavar="NAME", help="event type, may be repeated"
    )
    parser.add_argument(
        "--aggregate", default="", metavar="TYPE[:ID]", help="aggregate type, or one aggregate"
    )
    parser.add_argument("--since", type=_time, metavar="TIME", help="created at this ISO time or later")
    parser.add_argument("--until", type=_time, metavar="TIME", help="created at this ISO time or earlier")


def add_change(parser: ArgumentParser) -> None:
    """Add the arguments of commands that change events."""
    parser.add_argument("--all", action="store_true", help="all, if no other selection is given")
    parser.add_argument("--reason", required=True, help="reason; stored with the operator's name")
    parser.add_argument("--by", default=getpass.getuser(), help="operator's name; default: the system user")
    parser.add_argument("--dry-run", action="store_true", help="report what would be done, change nothing")
    parser.add_argument("--yes", action="store_true", help="don't ask")


def selection(options: dict[str, Any], *, changes: bool = False) -> Selection:
    """The selection of the arguments. A command that changes events requires a selection or ``--all``."""
    aggregate_type, _, aggregate_id = options["aggregate"].partition(":")
    try:
        selected = Selection(
            ids=tuple(UUID(text) for text in options["ids"]),
            types=tuple(options["type"]),
            aggregate_type=aggregate_type,
            aggregate_id=UUID(aggregate_id) if aggregate_id else None,
            since=options["since"],
            until=options["until"],
        )
    except ValueError:
        raise CommandError("ids are UUIDs", returncode=commands.USAGE) from None
    if changes and not selected and not options["all"]:
        raise CommandError(
            "select events: ids, --type, --aggregate, --since, --until, or --all", returncode=commands.USAGE
        )
    return selected


def limit_note(listed: Sized, limit: int) -> list[str]:
    """Say that a list ended at its limit."""
    return [f"Only the first {limit:,} are shown; --limit N shows more."] if len(listed) >= limit else []


def fields(document: dict[str, Any]) -> list[str]:
    """The lines of one object: its names, aligned, with times in IST."""
    width = max(map(len, document))
    return [f"{name:{width}}  {_value(name, value)}" for name, value in document.items()]


def _value(name: str, value: Any) -> str:
    return commands.cell(datetime.fromisoformat(value) if value and name.endswith("_at") else value)


def reason(options: dict[str, Any]) -> str:
    """The operator's reason; an empty one is refused."""
    text: str = options["reason"].strip()
    if not text:
        raise CommandError("--reason must not be empty", returncode=commands.USAGE)
    return text


def _time(text: str) -> datetime:
    try:
        value = parse_datetime(text)
    except ValueError:
        value = None
    if value is None:
        raise ArgumentTypeError(f"{text} is not an ISO time like 2026-01-31T09:30:00+05:30")
    return value if timezone.is_aware(value) else timezone.make_aware(value)
