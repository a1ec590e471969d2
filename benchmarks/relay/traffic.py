"""Events at a steady rate, each in a transaction of its own: ``python -m benchmarks.relay.traffic``.

Writes the moment of each commit to a file, one line an event: its number and nanoseconds of Unix time.
"""

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

THREADS = 4
STREAMS = 2_000


def main() -> None:
    """Emit for so many seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--first", type=int, required=True, help="number of the first event")
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    import django

    django.setup()
    commits: list[tuple[int, int]] = []
    begin = time.monotonic() + 0.3
    threads = [
        threading.Thread(target=emit, args=(number, begin, arguments, commits)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arguments.file.write_text("".join(f"{ref} {at}\n" for ref, at in sorted(commits)))
    sys.stdout.write(json.dumps({"events": len(commits), "seconds": time.monotonic() - begin}) + "\n")


def emit(number: int, begin: float, arguments: argparse.Namespace, commits: list[tuple[int, int]]) -> None:
    """One thread's share, at its own even pace."""
    from django.db import connection, transaction

    from erp.outbox.flush import Buffered, flush

    pick = random.Random(f"{arguments.first}:{number}")
    pace = THREADS / arguments.rate
    begin += pace * number / THREADS

    def note(ref: int) -> Callable[[], None]:
        return lambda: commits.append((ref, time.time_ns()))

    for turn in range(int(arguments.seconds / pace)):
        ref = arguments.first + turn * THREADS + number
        stream = UUID(int=pick.randrange(STREAMS) + 1, version=4)
        time.sleep(max(0.0, begin + turn * pace - time.monotonic()))
        with transaction.atomic():
            transaction.on_commit(note(ref))  # runs first, so before the wake-up
            flush([Buffered("lot.moved", 1, {"ref": ref, "text": "x" * 980}, "lot", stream)])
    connection.close()


if __name__ == "__main__":
    main()
