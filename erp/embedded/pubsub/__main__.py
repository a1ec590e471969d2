"""Run the server: ``python -m erp.embedded.pubsub --port N --journal DIR [--fault-plan FILE]``."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import grpc
from pydantic import ValidationError

from erp.embedded.pubsub import SERVICE_AGENT
from erp.embedded.pubsub.broker import Broker
from erp.embedded.pubsub.faults import Faults, Plan
from erp.embedded.pubsub.journal import Damaged, Journal
from erp.embedded.pubsub.service import MAX_REQUEST_BYTES, PubSubServer

OPTIONS = [
    ("grpc.so_reuseport", 0),  # two servers on one port would each get half of the calls
    ("grpc.max_receive_message_length", 2 * MAX_REQUEST_BYTES),  # so that we refuse what is too large
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_ping_strikes", 0),  # the client library pings idle streams every 30 s
]


async def serve(host: str, port: int, journal: Journal | None, service_agent: str, faults: Faults) -> int:
    """Serve until SIGTERM, SIGINT or a journal that can't be written; returns the exit code."""
    broker = Broker(journal, service_agent=service_agent)
    # What was just loaded stays: the collector needn't walk a large backlog again and again.
    gc.collect()
    gc.freeze()
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(PubSubServer(broker, journal, faults).handlers())
    try:
        port = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        sys.stderr.write(f"port {port} of {host} is taken\n")
        return 1
    await server.start()
    sys.stdout.write(f"Pub/Sub listens on {host}:{port}\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    waits: set[asyncio.Future[object]] = {asyncio.ensure_future(stop.wait())}
    if journal is not None:
        waits.add(asyncio.ensure_future(journal.broken))
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if journal is not None and journal.broken.done():
        sys.stderr.write(f"the journal can't be written: {journal.broken.exception()}\n")
        return 1
    await server.stop(0.5)
    if journal is not None:
        await journal.close()
    return 0


async def main() -> int:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m erp.embedded.pubsub", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--journal", type=Path, help="folder of the log; else all is in memory only")
    parser.add_argument("--no-fsync", action="store_true", help="survive only a crash of the process")
    parser.add_argument("--compact-bytes", type=int, default=64 * 2**20, help="compact the log beyond it")
    parser.add_argument("--service-agent", default=SERVICE_AGENT, help="IAM member of dead-lettering")
    parser.add_argument("--fault-plan", type=Path, help="JSON file of faults to make on purpose")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    journal = None
    try:
        plan = Plan.model_validate_json(arguments.fault_plan.read_bytes()) if arguments.fault_plan else None
        if arguments.journal:
            journal = Journal(
                arguments.journal, fsync=not arguments.no_fsync, compact_bytes=arguments.compact_bytes
            )
        return await serve(arguments.host, arguments.port, journal, arguments.service_agent, Faults(plan))
    except BlockingIOError:
        sys.stderr.write(f"another server uses the journal in {arguments.journal}\n")
        return 5
    except (OSError, ValidationError, Damaged) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
