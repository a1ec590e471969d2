"""What the product's commands share: one JSON object or lines for people, and the exit codes of core §11."""

import json
import sys
from collections.abc import Iterable
from typing import Any, Final

from django.core.management.base import BaseCommand

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PARTIAL: Final = 3
DOWN: Final = 4
LOCKED: Final = 5
INTERRUPTED: Final = 130


def finish(
    command: BaseCommand, told: dict[str, Any], lines: Iterable[str], *, as_json: bool, code: int = OK
) -> None:
    """Print the result on standard output (logs go to standard error) and leave with ``code``."""
    if as_json:
        command.stdout.write(json.dumps(told, default=str))
    else:
        for line in lines:
            command.stdout.write(line)
    if code:
        command.stdout.flush()
        sys.exit(code)
