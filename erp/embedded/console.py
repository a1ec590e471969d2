"""What stands in for whoever would send mail and SMS: the terminal of the process, and never a log."""

import sys


def show(text: str) -> None:
    """Write the text to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
