"""Writes through services: ``python -m benchmarks.relay.writer``; each number on standard input is carried out.

A write creates a commodity or changes one; after each number it prints when it began and ended (Unix time).
"""

import json
import sys
import time
from uuid import uuid4

CHANGES = 4  # of each commodity, after its creation


def main() -> None:
    """Write as told until the end of the input."""
    import django

    django.setup()
    write(CHANGES + 1)  # caches and the connection
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.time()
        write(int(line))
        print(json.dumps([began, time.time()]), flush=True)


def write(count: int) -> None:
    """So many writes, each a unit of work of its own."""
    from apps.commodities.services import commodities as services
    from erp.access import SYSTEM

    row = None
    for n in range(count):
        if n % (CHANGES + 1) == 0:
            code = f"B{uuid4().hex[:20].upper()}"
            row = services.create(actor=SYSTEM, code=code, name=code, category="FIBRE")
        else:
            row = services.update(row, actor=SYSTEM, name=row.name, category="FIBRE", description=f"Lot {n}")


if __name__ == "__main__":
    main()
