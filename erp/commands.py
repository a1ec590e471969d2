"""What all commands share: one JSON object or lines for people, and the exit codes of core §11."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

import psycopg
import redis
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PARTIAL: Final = 3
DOWN: Final = 4
LOCKED: Final = 5
INTERRUPTED: Final = 130


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
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
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
