"""``createsuperuser`` leads nowhere: users are added by services."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from erp import commands


class Command(commands.Command):
    """In place of Django's command, which would write past the services."""

    help = "Refused: `bootstrap` creates the first super administrator; add others in the admin."
    examples = ("",)
    requires_system_checks = []  # noqa: RUF012 - Django's own declaration

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("arguments", nargs="*", help="ignored")

    def run_from_argv(self, argv: list[str]) -> None:
        """Whatever flags come: the answer is the same."""
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(self.help, returncode=2)
