"""``export_audit``: entries of a financial year as CSV or JSON lines."""

import csv
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from erp import commands
from erp.access import SYSTEM
from erp.trail import services
from erp.trail.models import Entry, Seal, year_limits

COLUMNS = (
    "time", "user", "on_behalf_of", "channel", "capability", "object", "operation", "field", "old", "new", "reason",
    "request_id", "entry", "seal",
)  # fmt: skip
CHUNK = 2_000


class Command(commands.Command):
    """Write the entries, one line per changed field; the export is recorded in the trail itself."""

    help = "Export the audit trail of a financial year, oldest first."
    examples = ("--fy 2025-26 --output audit-2025-26.csv", "--fy 2025-26 --table partner --format jsonl")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fy", required=True, metavar="2025-26", help="financial year, April to March")
        parser.add_argument("--user", type=UUID, help="only changes by this user (id)")
        parser.add_argument("--table", help="only changes of this table")
        parser.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="default: csv")
        parser.add_argument("--output", type=Path, help="file to write; standard output without it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            year_limits(options["fy"])
        except ValueError as error:
            raise CommandError(str(error), returncode=commands.USAGE) from None
        rows = Entry.objects.of_year(options["fy"])
        if options["user"]:
            rows = rows.filter(actor_id=options["user"])
        if options["table"]:
            rows = rows.filter(table=options["table"])
        out = options["output"].open("w", encoding="utf-8", newline="") if options["output"] else self.stdout
        filters = {name: str(options[name]) for name in ("user", "table") if options[name]}
        written = [0]
        try:
            _write(_counted(_lines(rows), written), out, options["format"])
        finally:  # also of an export that was cut off
            services.record_export(actor=SYSTEM, year=options["fy"], filters=filters, lines=written[0])
            if options["output"]:
                out.close()
        sys.stderr.write(f"{written[0]} lines exported.\n")


def _counted(lines: Iterator[dict[str, Any]], written: list[int]) -> Iterator[dict[str, Any]]:
    for line in lines:
        written[0] += 1
        yield line


def _lines(rows: Any) -> Iterator[dict[str, Any]]:
    position = 0
    while chunk := list(rows.filter(position__gt=position).order_by("position")[:CHUNK]):
        position = chunk[-1].position
        seals = dict(
            Seal.objects.filter(position__in=[entry.position for entry in chunk]).values_list(
                "position", "number"
            )
        )
        for entry in chunk:
            yield from _fields(entry, seals.get(entry.position))


def _fields(entry: Entry, seal: int | None) -> Iterator[dict[str, Any]]:
    before, after = entry.before or {}, entry.after or {}
    for name in sorted({*before, *after}):
        yield {
            "time": entry.recorded_at.isoformat(),
            "user": entry.actor_id and str(entry.actor_id),
            "on_behalf_of": entry.on_behalf_of and str(entry.on_behalf_of),
            "channel": entry.channel,
            "capability": entry.capability,
            "object": f"{entry.table} {entry.row}",
            "operation": entry.operation,
            "field": name,
            "old": before.get(name),
            "new": after.get(name),
            "reason": entry.reason,
            "request_id": entry.request_id,
            "entry": entry.position,
            "seal": seal,
        }


def _write(lines: Iterator[dict[str, Any]], out: Any, form: str) -> None:
    if form == "csv":
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
    for line in lines:
        if form == "csv":
            texts = {name: line[name] for name in COLUMNS}
            texts |= {name: _text(line[name]) for name in ("old", "new", "reason")}
            writer.writerow(texts)
        else:
            out.write(json.dumps(line, default=str) + "\n")


def _text(value: Any) -> str:
    """A value as a cell of a table, never as a formula of it."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" and text[:1] else text
