"""``consume_events``: hand the events of a subscription to the modules."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from erp import metrics
from erp.commands import finish
from erp.outbox import cli
from erp.outbox.subscriber import Consumer


class Command(cli.Command):
    """Consume until SIGTERM; several may run."""

    help = "Pull events and run their handlers, once per event and in stream order."
    examples = ("", "--idle 10")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--subscription", default=settings.PUBSUB_SUBSCRIPTION, help="short name; default: the product's"
        )
        parser.add_argument(
            "--idle",
            type=float,
            metavar="SECONDS",
            help="end after this many seconds without a message (default: never)",
        )
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        metrics.serve()
        consumer = Consumer(options["subscription"], idle=options["idle"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: consumer.stop())
        tally = consumer.run().as_dict()
        finish(self, tally, [f"{name} {count}" for name, count in tally.items()], as_json=options["json"])
