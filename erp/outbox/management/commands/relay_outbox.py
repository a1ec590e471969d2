"""``relay_outbox``: publish waiting events, as a process of its own."""

import asyncio
import signal
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from erp import commands, metrics
from erp.commands import finish
from erp.outbox import cli
from erp.outbox.ownership import LayoutHeld, LayoutRefused
from erp.outbox.relay import Relay, Summary
from erp.outbox.topology import Lossy

# With --once: for a bucket to become free, and for Pub/Sub to answer.
PATIENCE_SECONDS = 10.0


class Command(cli.Command):
    """Relay until SIGTERM, which finishes what is in flight; or until all is out."""

    help = "Publish the event outbox to Pub/Sub."
    examples = ("", "--once")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="publish waiting events, then end")
        parser.add_argument(
            "--allow-lossy", action="store_true", help="start even if the topology can lose events"
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        metrics.serve()
        try:
            summary = asyncio.run(self._relay(options["once"], options["allow_lossy"]))
        except Lossy as error:
            raise CommandError(
                f"nothing is published, because events could be lost: {error}. Run setup_pubsub."
            ) from None
        except LayoutRefused as error:
            raise CommandError(str(error)) from None
        except LayoutHeld as error:
            raise CommandError(str(error), returncode=commands.LOCKED) from None
        code = {"idle": commands.LOCKED, "unreachable": commands.DOWN}.get(summary.ended, commands.OK)
        counts = asdict(summary)
        finish(
            self,
            counts,
            [f"{name} {value}" for name, value in counts.items()],
            as_json=options["json"],
            code=code,
        )

    @staticmethod
    async def _relay(once: bool, allow_lossy: bool) -> Summary:
        relay = Relay(drain=once, patience=PATIENCE_SECONDS if once else None, allow_lossy=allow_lossy)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, relay.stop)
        return await relay.run()
