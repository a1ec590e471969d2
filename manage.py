#!/usr/bin/env python
"""Commands of the product. Outside production, embedded servers are used where no URL is configured."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext

# Commands that touch no server: they start none.
WITHOUT_SERVERS = {
    "check",
    "collectstatic",
    "compilemessages",
    "compliance_audit",
    "diffsettings",
    "events",
    "help",
    "makemessages",
    "makemigrations",
    "spectacular",
    "startapp",
    "version",
    "--help",
    "--version",
}


def servers() -> AbstractContextManager[object]:
    """The embedded servers for the time of one command, where they are needed and none run."""
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    production = os.environ.get("ERP_ENV") == "production"
    if production or command in WITHOUT_SERVERS or "--help" in sys.argv:
        return nullcontext()
    from erp.embedded.supervisor import for_command

    return for_command()


def main() -> None:
    """Run one command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from erp import commands
    from erp.embedded.process import CannotStart

    try:
        with servers():
            commands.run(sys.argv)
    except CannotStart as error:
        commands.leave(str(error), error.exit_code)


if __name__ == "__main__":
    main()
