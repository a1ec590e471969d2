"""``write_schema``: ``docs/schema.txt`` anew, from a fresh database."""

from typing import Any

from django.db import connection

from erp import commands, schema


class Command(commands.Command):
    """Apply all migrations to an empty database, describe it in ``docs/schema.txt``, and drop it again."""

    help = "Write docs/schema.txt, with which databases are compared, from the migrations."
    examples = ("",)

    def handle(self, *args: Any, **options: Any) -> None:
        name = str(connection.settings_dict["NAME"])
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        try:
            schema.path().write_text(schema.describe())
        finally:
            connection.creation.destroy_test_db(name, verbosity=0)
