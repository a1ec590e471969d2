"""``outbox``: look at events on their way to Pub/Sub, and resolve those that failed."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from erp import commands
from erp.access import SYSTEM
from erp.commands import finish
from erp.errors import NotFound
from erp.outbox import cli, operations
from erp.outbox.models import EventOutbox
from erp.outbox.publisher import Poison
from erp.services import Service


class Command(cli.Command):
    """Status, list, show; retry and skip failed events; replay published ones."""

    help = "Show, retry, skip or replay events of the outbox."
    examples = (
        "status --max-age 60",
        "list --status failed",
        "retry --type availability.reserved --reason 'topic was restored'",
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        status = self.add_action(actions, "status", "figures; exit 1 beyond a threshold")
        status.add_argument(
            "--max-age", type=float, default=5.0, metavar="SECONDS", help="oldest pending event (default 5)"
        )
        status.add_argument(
            "--max-failed", type=int, default=0, metavar="N", help="failed events (default 0)"
        )
        self.add_json(status)

        listing = self.add_action(
            actions,
            "list",
            "failed events first, then waiting ones (both oldest first), then published ones (newest first)",
        )
        cli.add_selection(listing)
        listing.add_argument(
            "--status", action="append", default=[], choices=EventOutbox.Status.values, help="may be repeated"
        )
        listing.add_argument(
            "--limit", type=int, default=100, metavar="N", help="at most N events (default 100)"
        )
        self.add_json(listing)

        show = self.add_action(actions, "show", "one event with its payload")
        show.add_argument("id", help="the event's id")
        self.add_json(show)

        for name, text in (
            ("retry", "reset the attempts of failed events"),
            ("skip", "skip failed events: a gap marker replaces each"),
            ("replay", "publish events again with the same ids"),
        ):
            action = self.add_action(actions, name, text)
            cli.add_selection(action)
            cli.add_change(action)
            if name == "replay":
                action.add_argument("--topic", default=settings.PUBSUB_TOPIC, help="default: the live topic")
            self.add_json(action)

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["action"])(options)

    def status(self, options: dict[str, Any]) -> None:
        """Figures and what is wrong with them."""
        now = operations.figures()
        faults = []
        if now.oldest_seconds > options["max_age"]:
            faults.append(f"the oldest pending event has waited {now.oldest_seconds:.0f} s")
        if now.failed > options["max_failed"]:
            faults.append(f"{now.failed} events failed and block {now.blocked_streams} streams")
        if now.unowned_buckets and now.oldest_seconds > options["max_age"]:
            faults.append(f"no relay owns {now.unowned_buckets} buckets with waiting events")
        lines = [f"{name.replace('_', ' '):16} {value:>10,g}" for name, value in asdict(now).items()]
        finish(
            self,
            {**asdict(now), "ok": not faults, "faults": faults},
            [*lines, *(f"! {fault}" for fault in faults)],
            as_json=options["json"],
            code=commands.FAILED if faults else commands.OK,
        )

    def list(self, options: dict[str, Any]) -> None:
        """Events that match: by urgency for people, in the order in which they were written for ``--json``."""
        selected, limit = cli.selection(options), options["limit"]
        if options["json"]:
            rows = selected.rows(*options["status"])[:limit]
            finish(self, {"events": [operations.describe(row) for row in rows]}, (), as_json=True)
            return
        urgent = selected.by_urgency(limit, *options["status"])
        finish(self, {}, [*_table(urgent), *cli.limit_note(urgent, limit)], as_json=False)

    def show(self, options: dict[str, Any]) -> None:
        """One event."""
        row = cli.selection({**_NOTHING, "ids": [options["id"]]}).rows().first()
        if row is None:
            raise CommandError(f"there is no event {options['id']}")
        documents = operations.describe(row, payload=True)
        finish(
            self,
            documents,
            cli.fields(documents),
            as_json=options["json"],
        )

    def retry(self, options: dict[str, Any]) -> None:
        """Retry failed events."""
        self._resolve(options, operations.retry, "retried")

    def skip(self, options: dict[str, Any]) -> None:
        """Failed events are given up."""
        self._resolve(options, operations.skip, "skipped")

    def _resolve(self, options: dict[str, Any], resolve: Service, done: str) -> None:
        selected, reason = cli.selection(options, changes=True), cli.reason(options)
        rows = list(selected.rows(EventOutbox.Status.FAILED))
        if rows and not options["dry_run"]:
            self.confirm(f"{len(rows)} failed events will be {done}. Continue?", options)
            rows = [row for row in rows if self._one(resolve, row, reason, options["by"])]
        documents = [operations.describe(row) for row in rows]
        missing = sorted({str(i) for i in selected.ids} - {event["id"] for event in documents})
        code = commands.OK if not missing else commands.PARTIAL if documents else commands.FAILED
        finish(
            self,
            {done: documents, "not_failed": missing, "dry_run": options["dry_run"]},
            [
                *(
                    f"{'would be ' if options['dry_run'] else ''}{done}: {event['type']} {event['id']}"
                    for event in documents
                ),
                *(f"not a failed event: {key}" for key in missing),
            ]
            or ["none"],
            as_json=options["json"],
            code=code,
        )

    @staticmethod
    def _one(resolve: Service, row: EventOutbox, reason: str, by: str) -> bool:
        """Resolve one event, in a transaction of its own; False when it isn't failed any more."""
        try:
            resolve(row, actor=SYSTEM, reason=reason, by=by)
        except (operations.NotFailed, NotFound):
            return False
        return True

    def replay(self, options: dict[str, Any]) -> None:
        """Published events go out once more."""
        selected, reason = cli.selection(options, changes=True), cli.reason(options)
        count = selected.rows(EventOutbox.Status.PUBLISHED).count()
        live = options["topic"] == settings.PUBSUB_TOPIC
        if not options["dry_run"]:
            if live and not options["yes"]:
                raise CommandError(
                    f"{count} events would be sent to the live topic: confirm with --yes, or choose another --topic",
                    returncode=commands.USAGE,
                )
            try:
                count = operations.replay(
                    selected, topic=options["topic"], actor=SYSTEM, by=options["by"], reason=reason
                )
            except Poison as error:
                raise CommandError(f"Pub/Sub refused: {error}") from None
        finish(
            self,
            {"replayed": count, "topic": options["topic"], "dry_run": options["dry_run"]},
            [f"{'would be ' if options['dry_run'] else ''}replayed to {options['topic']}: {count}"],
            as_json=options["json"],
        )


_NOTHING: dict[str, Any] = {"type": [], "aggregate": "", "since": None, "until": None}


def _table(rows: Iterable[EventOutbox]) -> Iterator[str]:
    return commands.table(
        ("status", "created", "event", "stream", "seq", "attempts", "id", "error"),
        [
            (
                row.status,
                row.created_at,
                f"{row.event_type} v{row.event_version}",
                f"{row.aggregate_type}:{row.aggregate_id}",
                row.sequence,
                row.processing_attempts,
                row.pk,
                row.last_error,
            )
            for row in rows
        ],
    )
