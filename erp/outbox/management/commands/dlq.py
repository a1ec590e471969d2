"""``dlq``: dead letters of the consumers and of the relay."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError

from erp import commands
from erp.access import SYSTEM
from erp.commands import finish
from erp.errors import Conflict, NotFound
from erp.outbox import cli
from erp.outbox.deadletters import MOST, NO_REASON, Letters, PulledLetter, check_redrivable, held
from erp.outbox.operations import Selection
from erp.outbox.publisher import Poison


class Command(cli.Command):
    """List and show dead letters, send them again, or give them up."""

    help = "Show, redrive or discard dead letters. Showing them locks them for some seconds."
    examples = ("list", "redrive --type availability.reserved --reason 'consumer was repaired'")

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = self.add_action(actions, "list", "dead letters, newest first, without payload")
        cli.add_selection(listing)
        self.add_limit(listing)
        self.add_json(listing)

        show = self.add_action(actions, "show", "one dead letter with payload and attributes")
        show.add_argument("id", help="the event's id, or the message id if it is not an event")
        self.add_json(show)

        for name, text in (
            ("redrive", "publish them again with the same event ids"),
            ("discard", "discard them: consumers skip their place in the stream"),
        ):
            action = self.add_action(actions, name, text)
            cli.add_selection(action)
            cli.add_change(action)
            self.add_limit(action)
            self.add_json(action)

    @staticmethod
    def add_limit(parser: ArgumentParser) -> None:
        """Add ``--limit``."""
        parser.add_argument(
            "--limit", type=int, default=MOST, metavar="N", help=f"at most N dead letters (default {MOST})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["action"])(options)

    def list(self, options: dict[str, Any]) -> None:
        """What there is."""
        with held(options["limit"]) as letters:
            chosen = sorted(_chosen(letters, options), key=lambda letter: letter.row.failed_at, reverse=True)
        lines = [*_table(chosen), *cli.limit_note(chosen, options["limit"])]
        documents = [letter.as_dict() for letter in chosen]
        finish(self, {"dead_letters": documents}, lines, as_json=options["json"])

    def show(self, options: dict[str, Any]) -> None:
        """One of them."""
        with held() as letters:
            found = letters.select(Selection(), (options["id"],))
            document = found[0].as_dict(payload=True) if found else {}
        if not document:
            raise CommandError(f"there is no dead letter {options['id']}")
        finish(
            self,
            document,
            cli.fields(document),
            as_json=options["json"],
        )

    def redrive(self, options: dict[str, Any]) -> None:
        """Send again."""
        self._each(options, Letters.redrive, "redriven")

    def discard(self, options: dict[str, Any]) -> None:
        """Give up."""
        self._each(options, Letters.discard, "discarded")

    def _each(self, options: dict[str, Any], act: Any, done: str) -> None:
        if not options["ids"]:
            cli.selection(options, changes=True)
        reason = cli.reason(options)
        settled: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        with held(options["limit"]) as letters:
            chosen = _chosen(letters, options)
            if chosen and not options["dry_run"]:
                self.confirm(f"{len(chosen)} dead letters will be {done}. Continue?", options)
            for letter in chosen:
                try:
                    if not options["dry_run"]:
                        act(letters, letter, actor=SYSTEM, by=options["by"], reason=reason)
                    elif done == "redriven":
                        check_redrivable(letter.row)
                except (Conflict, NotFound, Poison) as error:
                    refused.append({**letter.as_dict(), "error": str(error)})
                else:
                    settled.append(letter.as_dict())
        missing = sorted(set(options["ids"]) - {document["id"] for document in settled + refused})
        wrong, future = bool(refused or missing), "would be " if options["dry_run"] else ""
        finish(
            self,
            {done: settled, "refused": refused, "missing": missing, "dry_run": options["dry_run"]},
            [
                *(
                    f"{future}{done}: {document.get('type', 'malformed')} {document['id']}"
                    for document in settled
                ),
                *(f"refused: {document['error']}" for document in refused),
                *(f"not found: {key}" for key in missing),
            ]
            or ["none"],
            as_json=options["json"],
            code=commands.OK if not wrong else commands.PARTIAL if settled else commands.FAILED,
        )


def _chosen(letters: Letters, options: dict[str, Any]) -> list[PulledLetter]:
    if options["ids"]:
        return letters.select(Selection(), tuple(options["ids"]))
    selected = cli.selection(options)
    return letters.select(selected) if selected else list(letters.letters)


def _table(letters: Iterable[PulledLetter]) -> Iterator[str]:
    return commands.table(
        ("failed", "kind", "event", "stream", "seq", "attempts", "id", "reason"),
        [
            (
                letter.row.failed_at,
                letter.row.kind,
                letter.row.event_type,
                f"{letter.row.aggregate_type}:{letter.row.aggregate_id}" if letter.event else "",
                letter.row.sequence,
                letter.row.attempts,
                letter.key,
                letter.row.last_error or NO_REASON,
            )
            for letter in letters
        ],
    )
