"""What all commands share: one JSON object or lines for people, and the exit codes of core §11."""

import json
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, NoReturn

import psycopg
import redis
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

from erp import clock

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PARTIAL: Final = 3
DOWN: Final = 4
LOCKED: Final = 5
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141


class _HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's order of options; examples keep their lines."""


class Command(BaseCommand):
    """A command of the product. ``--help`` ends with its examples, which are the arguments after its name."""

    examples: ClassVar[tuple[str, ...]] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's parser, with the examples."""
        calls = "".join(f"\n  manage.py {subcommand} {example}".rstrip() for example in self.examples)
        return super().create_parser(
            prog_name, subcommand, formatter_class=_HelpFormatter, epilog=f"examples:{calls}", **kwargs
        )

    @staticmethod
    def add_action(actions: Any, name: str, text: str) -> ArgumentParser:
        """Add an action to a command; its ``--help`` says the same as the list of actions."""
        parser: ArgumentParser = actions.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        return parser

    def add_json(self, parser: ArgumentParser) -> None:
        """Add ``--json``."""
        parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table: a header, aligned columns (numbers to the right), times in IST; or "none"."""
    listed = [tuple(row) for row in rows]
    if not listed:
        yield "none"
        return
    cells = [tuple(header.upper() for header in headers), *(tuple(map(cell, row)) for row in listed)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [all(isinstance(row[at], int | None) for row in listed) for at in range(len(headers))]
    for line in cells:
        yield "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()


def cell(value: Any) -> str:
    """A value as text on one line: times in IST, objects as JSON, nothing as a dash."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime):
        return clock.local(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split()) if value not in (None, "") else "–"


def finish(
    command: BaseCommand, document: dict[str, Any], lines: Iterable[str], *, as_json: bool, code: int = OK
) -> None:
    """Print the result on standard output (logs go to standard error) and leave with ``code``."""
    if as_json:
        command.stdout.write(json.dumps(document, default=str))
    else:
        for line in lines:
            command.stdout.write(line)
    if code:
        command.stdout.flush()
        sys.exit(code)


class _Utility(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        try:
            return super().fetch_command(subcommand)
        except SystemExit:  # Django's 1 for an unknown command
            sys.exit(USAGE)


def run(argv: Sequence[str]) -> None:
    """Run a command of ``manage.py``.

    A dependency that is down, or a database without the tables, ends it with code 4 and one line on standard error.
    """
    try:
        _Utility(list(argv)).execute()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # such as `| head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        sys.exit(CLOSED_PIPE)
    except Exception as error:
        words = outage(error)
        if not words:
            raise
        leave(words, DOWN)


def leave(words: str, code: int) -> NoReturn:
    """End the process with one line on standard error."""
    sys.stderr.write(f"{words}\n")
    sys.exit(code)


def outage(error: Exception) -> str:
    """Which dependency is down, with a hint, in one line; empty where the error means something else."""
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    detail = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return f"The database isn't migrated: {detail}. Run `manage.py migrate`."
    if isinstance(
        error, OperationalError | InterfaceError | psycopg.OperationalError | psycopg.InterfaceError
    ):
        return f"The database doesn't answer: {detail}. Start PostgreSQL and check DATABASE_URL."
    if isinstance(error, BrokerError | redis.RedisError):
        return f"Redis or the broker doesn't answer: {detail}. Check REDIS_URL and CELERY_BROKER_URL."
    return ""
