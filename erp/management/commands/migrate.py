"""Django's ``migrate``, which refuses a database that other migrations made."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate

from erp import commands, schema


class Command(commands.Command, migrate.Command):
    """Before and after, the database must be one that this code's migrations make: else exit 4.

    Not in production, where a former release runs on a newer schema after a rollback, and not for test databases.
    """

    examples = ("", "--plan")

    def handle(self, *args: Any, **options: Any) -> None:
        checked = not (settings.PRODUCTION or options["run_syncdb"])
        if checked:
            _refuse_other_migrations()
        super().handle(*args, **options)
        if checked:
            _refuse_other_migrations()


def _refuse_other_migrations() -> None:
    if wrong := schema.fault():
        raise CommandError(f"{wrong} {schema.remedy()}", returncode=commands.DOWN)
