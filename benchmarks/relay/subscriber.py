"""A subscriber as the product's consumer is one: ``python -m benchmarks.relay.subscriber FILE`` writes what arrives.

One line a delivery: nanoseconds of Unix time, stream, sequence, the payload's ``ref`` or "-".
"""

import json
import signal
import sys
import time


def main() -> None:
    """Take until SIGTERM."""
    import django

    django.setup()
    from django.conf import settings

    from erp.outbox import endpoint
    from erp.outbox.pull import Puller

    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    settle: list[str] = []
    with (
        open(sys.argv[1], "a", buffering=1) as file,
        Puller(endpoint.subscription_path(settings.PUBSUB_SUBSCRIPTION), outstanding=1000) as puller,
    ):
        while not stopped:
            delivery = puller.next(0.0 if settle else 0.2)
            if delivery is not None:
                at = time.time_ns()
                attributes = delivery.attributes
                ref = json.loads(delivery.data).get("ref", "-")
                file.write(
                    f"{at} {attributes['aggregatetype']}:{attributes['aggregateid']} {attributes['sequence']} {ref}\n"
                )
                settle.append(delivery.ack_id)
            if settle and (delivery is None or len(settle) >= 50):
                puller.acknowledge(settle)
                settle = []


if __name__ == "__main__":
    main()
