"""The terminal of a process, for what developers are to see and no log may hold."""

import sys


def show(text: str) -> None:
    """Write the text to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
