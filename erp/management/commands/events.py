"""``events``: code and committed contracts of every event."""

from argparse import ArgumentParser
from typing import Any

from erp import commands, events
from erp.audit import event_files


class Command(commands.Command):
    """Compare events and ``docs/events``, write what is new, or write the AsyncAPI document."""

    help = "Check or write the JSON Schemas, golden samples and the AsyncAPI document of all events."
    examples = ("check", "write")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "action",
            choices=["check", "write", "asyncapi"],
            help="check: exit 1 when code and files differ; write: add new and compatible schemas,"
            " refuse breaking changes; asyncapi: write the AsyncAPI 3 document",
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        output, lines, code = {"check": _check, "write": _write, "asyncapi": _asyncapi}[options["action"]]()
        commands.finish(self, output, lines, as_json=options["json"], code=code)


_Result = tuple[dict[str, Any], list[str], int]


def _check() -> _Result:
    versions = [model.__event__.key for model in events.registry]
    faults = [fault for model in events.registry for fault in event_files.faults(model)]
    faults += [f"{name}: no event in the code belongs to this file" for name in event_files.orphans()]
    faults += event_files.asyncapi_faults()
    lines = faults or [f"{len(versions)} event versions: code and files agree"]
    return (
        {"passed": not faults, "events": versions, "faults": faults},
        lines,
        commands.FAILED if faults else commands.OK,
    )


def _write() -> _Result:
    written, refused = event_files.write()
    lines = [f"written  {name}" for name in written]
    for key, faults in refused.items():
        lines += [f"refused  {key}: {fault}" for fault in faults]
    if refused:
        lines.append("A breaking change needs a new version and an upcaster from the old one.")
    return (
        {"written": written, "refused": refused},
        lines or ["nothing new"],
        commands.FAILED if refused else commands.OK,
    )


def _asyncapi() -> _Result:
    written = event_files.write_asyncapi()
    return {"written": written}, [f"written  {name}" for name in written] or ["nothing new"], commands.OK
