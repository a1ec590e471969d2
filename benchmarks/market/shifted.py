"""``python -m benchmarks.market.shifted FOLDER PROGRAM …``: a process of the product in the business time of a market.

``FOLDER/days`` holds by how many days the product's clock is ahead. Ten days of a market pass in minutes.
"""

import os
import runpy
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.2
AHEAD_DAYS = 60  # at most


def shift(folder: Path) -> None:
    """Move the product's clock by what the file says, whenever it says something else."""
    from django.conf import settings

    from erp import clock

    settings.JWT_LEEWAY_SECONDS = AHEAD_DAYS * 86_400  # tokens are checked by the machine's time
    file, real = folder / "days", clock.now
    looked = [0.0]

    def now() -> Any:
        if time.monotonic() - looked[0] > LOOK_SECONDS:
            looked[0] = time.monotonic()
            clock._offset = timedelta(days=int(file.read_text()))
        return real()

    clock.now = now


def main() -> None:
    """Run the program, with the clock moved in it and in the processes that it forks."""
    folder, argv = Path(sys.argv[1]), sys.argv[2:]
    if fault := os.environ.get("MARKET_FAULT"):
        from benchmarks.market import mutants

        mutants.prepare(fault)
    shift(folder)
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        sys.path.insert(0, str(Path(argv[0]).resolve().parent))
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
