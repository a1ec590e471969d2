"""Recompute an exported settlement: ``python -m apps.trades.engine FILE``. Needs Python and these files only.

Exit codes: 0 the figures agree · 1 they differ, or the engine refuses the terms or facts · 2 the file can't be read.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from apps.trades import engine
from apps.trades.engine import records, report
from apps.trades.engine.errors import BadInput
from erp.errors import DomainError


def main(arguments: list[str] | None = None) -> int:
    """Print the recomputed settlement, and where the file differs from it."""
    parser = argparse.ArgumentParser(prog="python -m apps.trades.engine", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a settlement exported as JSON, - for standard input")
    path: Path = parser.parse_args(arguments).file
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        done = engine.recompute(records.load(text))
    except OSError as error:
        return _fail(2, f"{path}: {error.strerror}")
    except BadInput as error:
        return _fail(2, *(f"{fault.pointer or '/'}: {fault.detail}" for fault in error.errors))
    except DomainError as error:
        return _fail(1, f"{error.code}: {error.detail}")
    sys.stdout.write(f"Trade of {report.day(done.terms.trade_date)} as of {report.day(done.facts.as_of)}\n")
    sys.stdout.write(report.statement(done.settlement))
    if done.differences:
        return _fail(
            1,
            *(
                f"{pointer}: {_shown(one)} in the file, {_shown(two)} computed"
                for pointer, one, two in done.differences
            ),
        )
    sys.stdout.write("\nThe recomputed figures agree with the file.\n")
    return 0


def _fail(code: int, *words: str) -> int:
    sys.stderr.write("".join(f"{line}\n" for line in words))
    return code


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else records.canonical(value).decode()[:200]


if __name__ == "__main__":
    sys.exit(main())
